"""The command line. Exit codes: 0 done; 1 a check found something; 2 something that you can mend; 4 a bug."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer
from clickhouse_connect.driver.client import Client
from rich.table import Table
from rich.text import Text

from schemas.adapters import FORMATS
from schemas.errors import Impossible, Transient
from schemas.times import parse_time
from schemas.topics import DEAD_LETTERS, DEFAULT_PARTITIONS, STORE_DEAD_LETTERS
from sinks.alerts.routes import RoutesError
from sinks.clickhouse import StoreProblem, connect, migrate, newest_generation
from sinks.clickhouse import query as ask
from sinks.retention import Retention, apply
from streams.rules import RulesError
from volvere import files, security, show, topics, worker
from volvere.files import FileProblem, Item, LeftOut, Record, Refused
from volvere.rules_texts import MEANINGS
from volvere.settings import Settings, SettingsProblem, load, shown
from volvere.topics import BrokerProblem, Finding

app = typer.Typer(
    name="volvere",
    help="Watch the events that failing service leaves behind: touchpoints come in on Kafka, frictions "
    "go out on Kafka, and all of it stands in ClickHouse.\n\n"
    "Begin with `volvere demo`; then `volvere run FILE` on touchpoints of your own. Every setting is an "
    "environment variable (see .env.example); an option on the command line wins.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics_app = typer.Typer(no_args_is_help=True, help="Create or check Kafka's topics.")
rules_app = typer.Typer(no_args_is_help=True, help="See, check, explain and try the rules: what counts as friction.")
store_app = typer.Typer(
    no_args_is_help=True, help="Look after ClickHouse: its tables, what is in them, what is missing."
)
worker_app = typer.Typer(no_args_is_help=True, help="Run the workers, until SIGTERM or Ctrl-C.")
bench_app = typer.Typer(
    no_args_is_help=True, help="Measure on this machine: the workers against a real Kafka, the kernel alone."
)
dlq_app = typer.Typer(
    no_args_is_help=True,
    help="See what could not be read or stored, and send it again once it can be read. It holds personal data.",
)
alerts_app = typer.Typer(no_args_is_help=True, help="See to who is alerted of what: the routes file.")
config_app = typer.Typer(no_args_is_help=True, help="See the settings in force.")
app.add_typer(alerts_app, name="alerts")
app.add_typer(config_app, name="config")
app.add_typer(dlq_app, name="dlq")
app.add_typer(topics_app, name="topics")
app.add_typer(rules_app, name="rules")
app.add_typer(store_app, name="store")
app.add_typer(worker_app, name="worker")
app.add_typer(bench_app, name="bench")

InputFormat = StrEnum("InputFormat", {name.replace("-", "_"): name for name in FORMATS})  # type: ignore[misc]


class Form(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"
    csv = "csv"


PlainForm = StrEnum("PlainForm", ["table", "json"])

Kafka = Annotated[
    str | None, typer.Option("--kafka", metavar="HOST:PORT", help="Kafka's addresses, or `embedded` [VOLVERE_KAFKA]")
]
ClickHouse = Annotated[
    str | None,
    typer.Option("--clickhouse", metavar="WHERE", help="a folder, or an http(s) URL [VOLVERE_CLICKHOUSE]"),
]
RoutesFile = Annotated[
    Path | None, typer.Option("--routes", metavar="FILE", help="the routes file (TOML) [VOLVERE_ALERT_ROUTES]")
]
RulesFile = Annotated[Path | None, typer.Option("--rules", metavar="FILE", help="a rules file (TOML) [VOLVERE_RULES]")]
In = Annotated[InputFormat, typer.Option("--format", help="what the file is")]
TOUCHPOINTS_FORMAT = InputFormat("touchpoints")
FrictionKind = StrEnum("FrictionKind", {kind: kind for kind in MEANINGS})  # type: ignore[misc]


@app.command()
def run(
    file: Annotated[str, typer.Argument(help="the file; - is standard input; gzip is fine")],
    form: In = TOUCHPOINTS_FORMAT,
    rules: RulesFile = None,
    clickhouse: ClickHouse = None,
    kafka: Kafka = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="begin with an empty store")] = False,
    json: Annotated[bool, typer.Option("--json", help="the summary as JSON")] = False,
) -> None:
    """Do the whole job over a file: feed it, track it, store it.

    What is embedded is started, topics and tables are created, and the command ends when the last row is
    stored. Run again over the same file nothing is doubled; with changed rules the new frictions stand.

    `volvere run week.csv --format anonymous-bank` · `volvere run touchpoints.jsonl.gz --rules mine.toml`
    """
    from volvere.run import run as whole_job

    settings = load(clickhouse=clickhouse, kafka=kafka, rules=rules)
    worker.set_up_logging(settings, "error")
    in_force = worker.load_rules(settings.rules)
    items = files.read(file, form.value)
    client = worker.open_store(settings, fresh)
    with worker.broker(settings) as at, show.RunBars() as bars:
        done = _loop(whole_job(settings, in_force, at, client, items, bars.show))
    client.close()
    if json:
        typer.echo(msgspec.json.encode(done))
    else:
        show.summary(done)


@app.command()
def convert(
    file: Annotated[str, typer.Argument(help="the file; - is standard input")],
    form: In,
) -> None:
    """Write a file of another format as touchpoints, a JSON line each, to standard output.

    What is left out or refused is told on standard error; the rest goes on.

    `volvere convert week.csv --format anonymous-bank > week.jsonl`
    """
    for item in files.read(file, form.value):
        if isinstance(item, Record):
            sys.stdout.buffer.write(item.value + b"\n")
        else:
            _tell(item)


@app.command()
def send(
    file: Annotated[str, typer.Argument(help="the file; - is standard input")],
    form: In = TOUCHPOINTS_FORMAT,
    kafka: Kafka = None,
) -> None:
    """Send a file's touchpoints to Kafka, each to the partition that owns its customer.

    What only the company does, such as release.deployed without a customer, goes to the topic `operations`. What is
    no touchpoint is sent, too: `track` puts it into the dead letters, with the reason.

    `volvere send touchpoints.jsonl --kafka localhost:9092` · `zcat old.gz | volvere send -`
    """
    from volvere.feed import feed

    settings = _outside(load(kafka=kafka), "send")
    worker.set_up_logging(settings, "error")
    items = files.read(file, form.value)
    with worker.broker(settings, create=False) as at:
        fed = _loop(feed(at.bootstrap, items, settings.topic_prefix, access=at.access))
    show.out.print(f"{fed.records:,} records sent, {fed.left_out.total():,} left out, {fed.refused.total():,} refused")
    if fed.unfit:
        show.out.print(f"{fed.unfit:,} of the sent are no touchpoints: `track` puts them into the dead letters")
    show.refusals(fed.problems, fed.refused.total() + fed.unfit)


@app.command()
def simulate(
    customers: Annotated[int, typer.Option(min=1, help="how many customers")] = 1000,
    days: Annotated[int, typer.Option(min=1, help="how many days")] = 14,
    seed: Annotated[int, typer.Option(help="the same seed is the same company")] = 1,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="when it begins (RFC 3339)")] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the planted troubles and near misses here (JSON lines)")
    ] = None,
    operations: Annotated[
        bool, typer.Option("--operations", help="also what the company does on its own side, before the rest")
    ] = False,
) -> None:
    """Write a simulated company's touchpoints to standard output, a JSON line each.

    `volvere simulate --days 7 | volvere send -` · `volvere simulate --truth truth.jsonl > week.jsonl` ·
    `volvere simulate --days 90 --operations | volvere run -`
    """
    from itertools import chain

    from volvere.simulator import Company

    options: dict[str, Any] = {}
    try:
        if start is not None:
            options["start"] = parse_time(start)
        company = Company(seed=seed, customers=customers, days=days, **options)
    except ValueError as e:
        raise typer.BadParameter(str(e)) from None
    if truth is not None:
        try:
            truth.write_bytes(b"".join(msgspec.json.encode(p) + b"\n" for p in company.planted))
        except OSError as e:
            raise FileProblem(f"{truth}: cannot be written: {e.strerror}; choose another place") from None
    write = sys.stdout.buffer.write
    for told in chain(company.operations() if operations else (), company.touchpoints()):
        write(msgspec.json.encode(told) + b"\n")


@app.command()
def watch(
    kafka: Kafka = None,
    beginning: Annotated[bool, typer.Option("--from-beginning", help="also what happened before")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="end after so many")] = None,
    json: Annotated[bool, typer.Option("--json", help="the events themselves, a line each")] = False,
) -> None:
    """Show frictions as they happen, until Ctrl-C.

    `volvere watch --kafka localhost:9092` · `volvere watch --from-beginning --count 10 --json`
    """
    from volvere.watch import watch as events

    settings = _outside(load(kafka=kafka), "watch")
    worker.set_up_logging(settings, "error")
    with worker.broker(settings, create=False) as at:

        async def follow() -> None:
            seen = 0
            found = events(at.bootstrap, settings.topic_prefix, beginning=beginning, access=at.access)
            async for event in found:
                if json:
                    typer.echo(msgspec.json.encode(event))
                else:
                    show.out.print(show.friction_line(event), soft_wrap=True)
                seen += 1
                if seen == count:
                    return

        _loop(follow())


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="one question in SQL; - reads it from standard input")],
    form: Annotated[Form, typer.Option("--format", help="how to write the answer")] = Form.table,
    clickhouse: ClickHouse = None,
) -> None:
    """Ask ClickHouse: the views are in the database `volvere`.

    `volvere query "SELECT kind, count() FROM volvere.frictions GROUP BY kind"`
    """
    with _filled_store(clickhouse) as client:
        names, rows = ask(client, sys.stdin.read() if sql == "-" else sql)
    text = show.answer(names, rows, form.value)
    if isinstance(text, str):
        typer.echo(text)
    else:
        show.out.print(text)


@contextmanager
def _filled_store(clickhouse: str | None) -> Iterator[Client]:
    """The store to ask; one that is not there is not made."""
    settings = load(clickhouse=clickhouse)
    worker.set_up_logging(settings, "error")
    if settings.clickhouse_is_embedded and not (Path(settings.clickhouse).expanduser() / "metadata").is_dir():
        raise StoreProblem(
            f"there is no store in {settings.clickhouse}; fill one with `volvere run FILE`, or name it with --clickhouse"
        )
    client = connect(settings.clickhouse, **security.clickhouse(settings))
    try:
        yield client
    finally:
        client.close()


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise typer.BadParameter(f"{name!r} is no time zone; expected a name such as Europe/Madrid") from None


Zone = Annotated[Any, typer.Option("--zone", metavar="NAME", parser=_zone, help="time zone of the times shown")]


@app.command()
def explain(
    friction_id: Annotated[str, typer.Argument(help="the friction's id, or its first 6 characters or more")],
    clickhouse: ClickHouse = None,
    zone: Zone = "UTC",
    json: Annotated[bool, typer.Option("--json", help="what the store holds about it")] = False,
) -> None:
    """Tell one friction: what happened to whom, the evidence in order, the rule, what would have prevented it.

    `volvere explain 3f0c6a` · `volvere explain 3f0c6a1e-9d0b-5c7e-8a55-0d7f1f6f2b11 --zone Europe/Madrid`
    """
    from volvere import tell
    from volvere.explain import explain as found

    with _filled_store(clickhouse) as client:
        explained = found(client, friction_id)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(explained), indent=2))
    else:
        show.out.print(tell.friction(explained, zone))


@app.command()
def customer(
    who: Annotated[str, typer.Argument(metavar="ID", help="the customer's id, or the subject")],
    last: Annotated[int, typer.Option(min=1, max=1000, help="how many journeys, the newest")] = 5,
    clickhouse: ClickHouse = None,
    zone: Zone = "UTC",
    json: Annotated[bool, typer.Option("--json", help="what the store holds about these journeys")] = False,
) -> None:
    """Tell a customer's story: journeys with their contacts, frictions where they opened and ended, how it stands now.

    `volvere customer c-100` · `volvere customer c-100 --last 1 --zone Europe/Madrid` · `volvere customer "~contact/pbx-7"`
    """
    from volvere import tell
    from volvere.explain import customer as found

    with _filled_store(clickhouse) as client:
        life = found(client, who, last)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(life), indent=2))
    else:
        show.out.print(tell.customer(life, zone))


CheckupLanguage = StrEnum("CheckupLanguage", ["en", "es"])
CheckupForm = StrEnum("CheckupForm", ["table", "json"])


@app.command()
def checkup(
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="from when on [default: 28 days before the end]")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="DAY", help="until when, exclusive [default: with the last day that is known]"),
    ] = None,
    zone: Zone = "UTC",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="write a page for a browser or a printer")
    ] = None,
    form: Annotated[CheckupForm, typer.Option("--format", help="how to write the answer")] = CheckupForm.table,
    language: Annotated[CheckupLanguage, typer.Option("--language", help="English or Spanish")] = CheckupLanguage.en,
    margin: Annotated[
        float, typer.Option(min=0.001, max=1, help="of customer lifetime value: the share of the revenue that stays")
    ] = 1.0,
    clickhouse: ClickHouse = None,
) -> None:
    """Read from the store what is wrong with the company: eight gauges, and of the customers who met friction, how many came back.

    Each gauge has its figures beside those of the period before, its weeks, where it is worst, the frictions behind, and a
    verdict: good, watch or bad, by limits that say where they come from. What nothing is told of says what it would need.

    `volvere checkup` · `volvere checkup --from 2026-01-01 --to 2026-02-01 --zone Europe/Madrid --language es` ·
    `volvere checkup --html checkup.html` · `volvere checkup --format json`
    """
    from volvere.checkup import terminal
    from volvere.checkup.page import page
    from volvere.checkup.period import PeriodProblem
    from volvere.checkup.run import check_up
    from volvere.checkup.texts import Language

    with _filled_store(clickhouse) as client:
        try:
            found = check_up(client, since, until, zone, margin)
        except PeriodProblem as e:
            raise typer.BadParameter(str(e)) from None
    spoken = Language(language.value)
    if html is not None:
        try:
            html.write_text(page(found, spoken), encoding="utf-8")
        except OSError as e:
            raise FileProblem(f"{html}: cannot be written: {e.strerror}; choose another place") from None
    if form is CheckupForm.json:
        typer.echo(terminal.to_json(found, spoken))
    elif html is None:
        show.out.print(terminal.render(found, spoken))
    else:
        show.out.print(f"written to {html}", soft_wrap=True)


@app.command()
def demo(
    check: Annotated[
        bool, typer.Option("--check", help="hold every friction to the truth, in a large company")
    ] = False,
    seed: Annotated[int, typer.Option(help="the same seed is the same company")] = 7,
    customers: Annotated[
        int | None, typer.Option(min=100, help="how many customers [default: 400; with --check 20000]")
    ] = None,
    days: Annotated[int | None, typer.Option(min=9, help="how many days [default: 10; with --check 60]")] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="how long to spread the feeding over; with --check no time is lost")
    ] = 12.0,
) -> None:
    """Show the main job at work: a simulated company, its frictions live, its truth, three questions.

    Everything is embedded and thrown away at the end. Exit code 1 if a planted trouble was not found, or a
    near miss was. With --check the company is large, and besides the plan an oracle that knows the definitions
    alone judges each friction (from a checkout: it is a part of the tests). Exit code 1 at any disagreement.
    20,000 customers take about ten minutes and, as the embedded broker keeps all in memory, 6 GB.

    `volvere demo` · `volvere demo --seed 3 --customers 1000 --seconds 30` · `volvere demo --check`
    """
    worker.set_up_logging(load(), "error")
    if check:
        from volvere.check import check as judge

        good = _loop(judge(seed, customers or 20_000, days or 60))
    else:
        from volvere.demo import demo as show_it

        good = _loop(show_it(seed, customers or 400, days or 10, seconds))
    if not good:
        raise typer.Exit(1)


@app.command()
def doctor(
    form: Annotated[Form, typer.Option("--format", help="how to write the findings")] = Form.table,
    kafka: Kafka = None,
    clickhouse: ClickHouse = None,
    rules: RulesFile = None,
) -> None:
    """Look whether everything that the workers need is there and right, and say what to do about what is not.

    Settings, files, rules, routes, memory, disk, ports; Kafka: name, port, login, brokers, topics, transactions, clock, state, groups;
    ClickHouse: name, port, login, version, tables and views. Nothing is changed. Run it where a worker runs, with the worker's settings, before the
    first start and when something is odd. Exit code 1 when something is wrong.

    `volvere doctor` · `volvere doctor --kafka kafka:9092 --clickhouse http://clickhouse:8123 --format json`
    """
    from volvere.doctor import diagnose

    logging.disable()  # what the clients would say is in the findings
    found = diagnose({"kafka": kafka, "clickhouse": clickhouse, "rules": rules})
    text = show.findings(found, form.value)
    if isinstance(text, str):
        typer.echo(text)
    else:
        show.out.print(text)
    if any(f.verdict == "wrong" for f in found):
        raise typer.Exit(1)


@config_app.command("show")
def config_show(
    form: Annotated[Form, typer.Option("--format", help="how to write them")] = Form.table,
    kafka: Kafka = None,
    clickhouse: ClickHouse = None,
    rules: RulesFile = None,
) -> None:
    """Show every setting in force and where it comes from; of a secret only whether it is set.

    An option wins over the environment, the environment over the file .env, that over the default.

    `volvere config show` · `volvere config show --kafka kafka:9092 --format json`
    """
    options = {"kafka": kafka, "clickhouse": clickhouse, "rules": rules}
    lines = shown(load(**options), **options)
    text = show.answer(["setting", "value", "source"], [(s.variable, s.value, s.source) for s in lines], form.value)
    if isinstance(text, str):
        typer.echo(text)
    else:
        show.out.print(text)


@topics_app.command("create")
def topics_create(
    kafka: Kafka = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="of new topics; fixed for good")] = None,
) -> None:
    """Create the topics that are missing, and check the others. May be run again and again.

    `volvere topics create --kafka localhost:9092 --partitions 12`
    """
    settings = _outside(load(kafka=kafka, partitions=partitions), "topics create")
    worker.set_up_logging(settings, "error")
    _findings(
        topics.create(
            settings.kafka,
            settings.partitions,
            prefix=settings.topic_prefix,
            replication=settings.replication,
            access=security.kafka(settings),
        )
    )


@topics_app.command("check")
def topics_check(kafka: Kafka = None) -> None:
    """Check that every topic is there and as it must be; changes nothing. Exit code 2 if one is not.

    `volvere topics check --kafka localhost:9092`
    """
    settings = _outside(load(kafka=kafka), "topics check")
    worker.set_up_logging(settings, "error")
    access = security.kafka(settings)
    _findings(topics.check(settings.kafka, settings.partitions, prefix=settings.topic_prefix, access=access))


def _findings(found: list[Finding]) -> None:
    table = Table("topic", "state", "expected", "found", header_style="bold", box=None)
    for f in found:
        table.add_row(f.topic, f"[{'green' if f.good else 'red'}]{f.state}", f.expected, f.found)
    show.out.print(table)
    if not all(f.good for f in found):
        raise typer.Exit(2)


@store_app.command("migrate")
def store_migrate(
    clickhouse: ClickHouse = None,
    again: Annotated[bool, typer.Option("--again", help="apply all migrations, also those that were applied")] = False,
) -> None:
    """Bring ClickHouse's tables and views up to date, as workers do when they start; says what was applied.

    Rows stay, as long as VOLVERE_CLICKHOUSE_KEEP_DAYS says: that, and when they move to a colder volume, is made so here alone. With
    --again what somebody dropped or changed is made again; run it when `volvere store check` says so.

    `volvere store migrate --clickhouse http://localhost:8123` · `volvere store migrate --again`
    """
    settings = load(clickhouse=clickhouse)
    worker.set_up_logging(settings, "error")
    client = connect(settings.clickhouse, **security.clickhouse(settings))
    retention = Retention(
        settings.clickhouse_keep_days,
        settings.clickhouse_cold_after_days,
        settings.clickhouse_storage_policy,
        settings.clickhouse_cold_volume,
    )
    try:
        done = migrate(client, again=again, cluster=settings.clickhouse_cluster)
        kept = apply(client, retention, settings.clickhouse_cluster)
    finally:
        client.close()
    for name in done:
        show.out.print(f"applied {name}")
    for line in kept:
        show.out.print(line)
    if not done and not kept:
        show.out.print("nothing to do: every migration has been applied")


@store_app.command("check")
def store_check(clickhouse: ClickHouse = None) -> None:
    """Check that ClickHouse's tables and views are as this release wants them; changes nothing.

    Migrations, tables and views, their columns and comments. Exit code 2 if something is wrong, with a line for each thing
    that says what to do.

    `volvere store check --clickhouse http://localhost:8123`
    """
    from sinks.inspection import inspect

    with _filled_store(clickhouse) as client:
        wrong = inspect(client)
    for line in wrong:
        show.out.print(Text(line), soft_wrap=True)
    if wrong:
        raise typer.Exit(2)
    show.out.print("OK: migrations, tables, views, columns and comments are as this release wants them")


@store_app.command("load")
def store_load(
    names: Annotated[list[str], typer.Argument(metavar="FILE...", help="files; - is standard input; gzip is fine")],
    form: In = TOUCHPOINTS_FORMAT,
    clickhouse: ClickHouse = None,
) -> None:
    """Load files of touchpoints straight into ClickHouse, without Kafka: years of history, 50,000 rows at a time.

    The rows are those that `volvere worker store` would write, each with the time at which it happened as that of its arrival, so that
    loading a file again changes nothing. What is refused is told, and the rest goes on. Frictions and journeys are not looked for:
    `volvere rebuild --from clickhouse` does that afterwards.

    `volvere store load 2024.jsonl.gz 2025.jsonl.gz --clickhouse http://localhost:8123` · `volvere store load week.csv --format anonymous-bank`
    """
    from volvere.load import load as load_files

    settings = load(clickhouse=clickhouse)
    worker.set_up_logging(settings, "error")
    client = worker.open_store(settings)
    try:
        with show.bar("touchpoints") as moved:
            done = load_files(client, ((name, files.read(name, form.value)) for name in names), worker.wall(), moved)
    finally:
        client.close()
    show.loaded(done)


@store_app.command("verify")
def store_verify(
    form: Annotated[PlainForm, typer.Option("--format", help="how to write the answer")] = PlainForm.table,
    kafka: Kafka = None,
    clickhouse: ClickHouse = None,
) -> None:
    """Count Kafka's topics against ClickHouse's tables: is everything there that the store has dealt with?

    Of each touchpoint, operation, journey and friction that a topic still holds the newest version is looked for. What the store
    has not come to is `waiting`, what could not be stored `refused` (see `volvere dlq show --of store`). Changes nothing; it may run
    while workers do. Exit code 1 if something is missing.

    `volvere store verify --kafka kafka:9092 --clickhouse http://localhost:8123` · `volvere store verify --format json`
    """
    from volvere.verify import verify

    settings = _outside(load(kafka=kafka, clickhouse=clickhouse), "store verify")
    worker.set_up_logging(settings, "error")
    with _filled_store(clickhouse) as client, worker.broker(settings, create=False) as at:
        done = _loop(verify(settings, at, client))
    if form is PlainForm.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(done), indent=2))
    else:
        show.verified(done)
    if any(one.missing for one in done):
        raise typer.Exit(1)


@rules_app.command("show")
def rules_show(
    rules: RulesFile = None,
    toml: Annotated[bool, typer.Option("--toml", help="as a complete rules file, to start one from")] = False,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Show the rules in force; what differs from the defaults is marked.

    `volvere rules show --rules mine.toml` · `volvere rules show --toml > mine.toml`
    """
    from volvere import rules as sheets

    sheet = sheets.read(load(rules=rules).rules)
    if toml:
        typer.echo(sheets.toml(sheet), nl=False)
    elif json:
        typer.echo(msgspec.json.encode(sheets.as_json(sheet)))
    else:
        show.out.print(sheets.shown(sheet))


@rules_app.command("check")
def rules_check(file: Annotated[Path, typer.Argument(help="a rules file (TOML)")]) -> None:
    """Check a rules file: what is wrong with it, what it changes, what may not be meant.

    Every problem is told with file, line and key; exit code 2 if there is one.

    `volvere rules check mine.toml`
    """
    from volvere import rules as sheets

    sheet = sheets.read(file)
    changed = sheets.differences(sheet)
    count = "1 differs" if len(changed) == 1 else f"{len(changed)} values differ"
    show.out.print(f"OK: {count} from the defaults" if changed else "OK: these are the defaults")
    for line in changed:
        show.out.print(Text(f"  {line}"), soft_wrap=True)
    for line in sheets.doubts(sheet, worker.wall()):
        show.problem(f"is this meant? {line}", "yellow")


@rules_app.command("explain")
def rules_explain(
    kind: Annotated[FrictionKind, typer.Argument(help="a kind of friction", metavar="KIND")], rules: RulesFile = None
) -> None:
    """Explain a kind of friction: what it finds, its values in force and what they mean, an example, the source.

    `volvere rules explain repeat_contact` · `volvere rules explain lemon --rules mine.toml`
    """
    from volvere import rules as sheets

    show.out.print(sheets.explained(sheets.read(load(rules=rules).rules), kind.value))


@rules_app.command("try")
def rules_try(
    file: Annotated[Path, typer.Argument(help="the rules to try (TOML)")],
    on: Annotated[str, typer.Option("--on", metavar="DATA", help="a file of touchpoints; - is standard input")],
    form: In = TOUCHPOINTS_FORMAT,
    rules: RulesFile = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Try rules on a file: what they would find in it beside what the present rules find, with examples.

    Nothing is sent or stored, and nobody is paged. The present rules are those of --rules; without it the
    defaults. What `volvere run` would find in the same file is what is shown here; pauses (`cool_down`) are not played.

    `volvere rules try mine.toml --on touchpoints.jsonl` · `volvere rules try mine.toml --on week.csv --format anonymous-bank`
    """
    from volvere import rules as sheets
    from volvere.trial import attempt

    settings = load(rules=rules)
    present, new = worker.load_rules(settings.rules), worker.load_rules(file)
    items = files.read(on, form.value)
    with show.TrialBars() as bars:
        trial = attempt(items, present, new, settings.partition_count, settings.flush_records, worker.wall, bars.show)
    if json:
        typer.echo(msgspec.json.encode(sheets.tried_json(trial)))
    else:
        show.out.print(sheets.tried(trial))
        show.refusals(trial.problems, trial.refused.total())


@worker_app.command("track")
def worker_track(kafka: Kafka = None, rules: RulesFile = None) -> None:
    """Detect frictions: `touchpoints` to `frictions` and `journeys`.

    Start as many as you like, up to the number of partitions: they share them.

    `volvere worker track --kafka localhost:9092 --rules mine.toml`
    """
    settings = _outside(load(kafka=kafka, rules=rules), "worker track")
    worker.set_up_logging(settings)
    in_force = worker.load_rules(settings.rules)
    with worker.broker(settings, create=False) as at:
        config = worker.track_config(settings, at)
        _loop(worker.serve(settings, "track", partial(worker.run_track, in_force, config)))


@worker_app.command("store")
def worker_store(kafka: Kafka = None, clickhouse: ClickHouse = None) -> None:
    """Copy `touchpoints`, `frictions`, `journeys` and `operations` to ClickHouse.

    `volvere worker store --kafka localhost:9092 --clickhouse http://localhost:8123`
    """
    settings = _outside(load(kafka=kafka, clickhouse=clickhouse), "worker store")
    worker.set_up_logging(settings)
    with worker.broker(settings, create=False) as at:
        client = worker.open_store(settings)
        _loop(worker.serve(settings, "store", partial(worker.run_store, settings, at, client)))


@worker_app.command("alert")
def worker_alert(
    kafka: Kafka = None,
    routes: RoutesFile = None,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="tell new receivers also what happened before")
    ] = False,
) -> None:
    """Tell alerting systems of frictions, as incidents: Alertmanager, PagerDuty, webhooks.

    Each incident is told when it opens, when it gets worse and when it is over. One worker works; start a second one,
    and it takes over when the first is gone. A receiver that is away holds up nobody else, and hears what it missed when it
    is back. A receiver that was never told anything begins with what happens from now on.

    `volvere worker alert --kafka localhost:9092 --routes routes.toml`
    """
    from volvere import alert

    settings = _outside(load(kafka=kafka, alert_routes=routes), "worker alert")
    worker.set_up_logging(settings)
    told = alert.load_routes(settings.alert_routes)
    with worker.broker(settings, create=False) as at:
        for name in [] if beginning else alert.begin(settings, at, told):
            show.problem(f"{name} is new: it is told what happens from now on", "dim")
        _loop(worker.serve(settings, "alert", partial(alert.run, settings, at, told)))


@worker_app.command("all")
def worker_all(kafka: Kafka = None, clickhouse: ClickHouse = None, rules: RulesFile = None) -> None:
    """Both in one process, with whatever is embedded; prints the broker's address for `send` and `watch`.

    `volvere worker all` · `volvere worker all --kafka localhost:9092 --clickhouse ./store`
    """
    settings = load(kafka=kafka, clickhouse=clickhouse, rules=rules)
    worker.set_up_logging(settings)
    in_force = worker.load_rules(settings.rules)
    client = worker.open_store(settings)
    with worker.broker(settings) as at:
        show.out.print(
            f"Kafka is at [bold]{at.bootstrap}[/bold]: volvere send FILE --kafka {at.bootstrap}", soft_wrap=True
        )
        _loop(worker.serve(settings, "all", partial(worker.run_all, settings, in_force, at, client)))


@alerts_app.command("check")
def alerts_check(
    file: Annotated[Path, typer.Argument(help="a routes file (TOML)")],
    send: Annotated[
        bool, typer.Option("--send", help="open a test incident at each receiver, and resolve it at once")
    ] = False,
) -> None:
    """Check a routes file: what is wrong with it, and who would be told of what.

    Every problem is told with file, line and key; exit code 2 if there is one, or if a receiver does not take the test incident.
    Secrets are looked for where the file says they are, and never shown.

    `volvere alerts check routes.toml` · `volvere alerts check routes.toml --send`
    """
    from volvere import alert

    told = alert.load_routes(file)
    worker.set_up_logging(load(), "error")
    show.out.print(f"OK: {len(told)} receiver{'' if len(told) == 1 else 's'}")
    for each in told:
        show.out.print(Text(f"  {each.words()}"), soft_wrap=True)
    if not send:
        return
    outcomes = _loop(alert.try_out(told))
    for name, wrong in outcomes.items():
        if wrong is None:
            show.out.print(Text(f"{name} took the test incident, and its end"), soft_wrap=True)
        else:
            show.problem(f"{name} did not take it: {wrong}")
    if any(wrong is not None for wrong in outcomes.values()):
        raise typer.Exit(2)


Reason = Annotated[str | None, typer.Option("--reason", metavar="WORD", help="only those refused for this reason")]


class Of(StrEnum):
    """Whose dead letters: what `track` cannot read of `touchpoints`, or what `store` cannot store of any topic."""

    touchpoints = "touchpoints"
    store = "store"


@dlq_app.command("show")
def dlq_show(
    of: Annotated[
        Of, typer.Option("--of", help="what `track` cannot read, or what `store` cannot store")
    ] = Of.touchpoints,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many, the newest")] = 20,
    form: Annotated[PlainForm, typer.Option("--format", help="how to write the answer")] = PlainForm.table,
    kafka: Kafka = None,
) -> None:
    """Show what could not be read: how many for which reason, and the newest with the place, the field and what was expected.

    With `--of store` what ClickHouse has not taken, and journeys, frictions and operations that are none.

    It shows the beginning of each record as it came: **personal data** may be in it.

    `volvere dlq show --kafka kafka:9092` · `volvere dlq show --of store` · `volvere dlq show --reason missing_field --limit 100 --format json`
    """
    from volvere import dlq

    settings = _outside(load(kafka=kafka), "dlq show")
    worker.set_up_logging(settings, "error")
    with worker.broker(settings, create=False) as at:
        box = _loop(dlq.show(settings, at, reason, limit, STORE_DEAD_LETTERS if of is Of.store else DEAD_LETTERS))
    if form is PlainForm.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(show.letters_json(box)), indent=2))
    else:
        show.letters(box)


@dlq_app.command("replay")
def dlq_replay(
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be sent")] = False,
    again: Annotated[bool, typer.Option("--again", help="also those that were dealt with before")] = False,
    kafka: Kafka = None,
) -> None:
    """Send what can be read now back to its topic: after an upgrade, or when what was ahead of its time has happened.

    What still cannot be read is left, and said. Each letter is dealt with once, unless --again is given: give it after
    an upgrade. To send one twice does no harm.

    `volvere dlq replay --dry-run --kafka kafka:9092` · `volvere dlq replay --reason future` · `volvere dlq replay --again`
    """
    from volvere import dlq

    settings = _outside(load(kafka=kafka), "dlq replay")
    worker.set_up_logging(settings, "error")
    with worker.broker(settings, create=False) as at:
        done = _loop(dlq.replay(settings, at, reason, again=again, dry_run=dry_run))
    show.replayed(done, dry_run)


@app.command()
def lag(
    most: Annotated[
        float | None, typer.Option("--max-seconds", min=0, help="exit code 1 where something waits for longer")
    ] = None,
    form: Annotated[PlainForm, typer.Option("--format", help="how to write the answer")] = PlainForm.table,
    kafka: Kafka = None,
) -> None:
    """Show how far the workers are behind, by consumer group and partition: records that wait, for how long the first of them, and whose they are.

    Kafka is asked, not the workers, so that it also tells when none runs. With --max-seconds it is a check: exit code 1 where a record waits
    for longer, or its age could not be found out.

    `volvere lag --kafka kafka:9092` · `volvere lag --max-seconds 60 --format json`
    """
    from volvere import lag as behind

    settings = _outside(load(kafka=kafka), "lag")
    worker.set_up_logging(settings, "error")
    with worker.broker(settings, create=False) as at:
        lines = _loop(behind.lag(settings, at))
    if form is PlainForm.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(lines), indent=2))
    else:
        show.lag(lines)
    if most is not None and any(line.seconds is None or line.seconds > most for line in lines):
        raise typer.Exit(1)


class Source(StrEnum):
    """Where a rebuild takes the touchpoints from."""

    topic = "topic"
    clickhouse = "clickhouse"


@app.command()
def rebuild(
    source: Annotated[Source, typer.Option("--from", help="where the touchpoints are taken from")],
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, help="give the topics so many; only from clickhouse")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    kafka: Kafka = None,
    clickhouse: ClickHouse = None,
    rules: RulesFile = None,
) -> None:
    """Build the state anew, as a new generation: after a change of rules that is to hold for the past, or for more partitions.

    Stop all `volvere worker track` before. From the topic, where it still holds the whole history: the workers read
    it again from its beginning. From clickhouse, where it does not: this command derives everything, then the workers go on
    from there; give it the rules that they have. Either way nobody is paged for the past, and the views show of
    each customer what the new generation found. If it is interrupted, workers refuse to start until it was run again.

    `volvere rebuild --from topic --kafka kafka:9092` · `volvere rebuild --from clickhouse --partitions 96 --rules mine.toml --yes`
    """
    from volvere import rebuild as anew

    settings = _outside(load(kafka=kafka, clickhouse=clickhouse, rules=rules), "rebuild")
    if partitions is not None and source is Source.topic:
        raise typer.BadParameter("records in the topic stay in their partitions; more of them need --from clickhouse")
    worker.set_up_logging(settings, "error")
    in_force, access = worker.load_rules(settings.rules), security.kafka(settings)
    with anew.store(settings, needed=source is Source.clickhouse) as client:
        if client is None:
            show.problem(
                f"ClickHouse ({settings.clickhouse}) is not asked which generation is the newest there", "yellow"
            )
        anew.must_be_idle(settings, access)
        what = f"forget what is known of every customer of {settings.application!r}, and derive it anew from the {source.value}"
        if not yes:
            typer.confirm(f"This will {what}. Go on?", abort=True)
        if partitions is not None:
            anew.grow(settings, access, partitions)
            settings = load(kafka=kafka, clickhouse=clickhouse, rules=rules, partitions=partitions)
        with worker.broker(settings, create=False) as at, show.bar("touchpoints") as moved:
            where = anew.survey(settings, at)
            older = 0 if client is None else newest_generation(client)
            given = client if source is Source.clickhouse else None
            done = _loop(anew.rebuild(settings, at, where, in_force, given, older, moved))
    counted = f", {done.touchpoints:,} touchpoints of the store derived anew" if source is Source.clickhouse else ""
    show.out.print(
        f"generation {done.generation} in {done.partitions} partitions: {done.forgotten:,} customers forgotten{counted}; "
        "start the workers again",
        soft_wrap=True,
    )


Touchpoints = Annotated[int, typer.Option(min=10_000, help="how many touchpoints")]
Customers = Annotated[int, typer.Option(min=100, help="of how many customers")]


@bench_app.command("track")
def bench_track(
    kafka: Kafka = None,
    rules: RulesFile = None,
    touchpoints: Touchpoints = 1_000_000,
    customers: Customers = 50_000,
) -> None:
    """One `track` worker over touchpoints that wait on Kafka: touchpoints a second, peak memory.

    `volvere bench track --kafka localhost:9092 --touchpoints 200000 --rules tests/bench/two_rules.toml`
    """
    from volvere.bench import workers

    settings = _outside(load(kafka=kafka, rules=rules), "bench track")
    worker.set_up_logging(settings, "error")
    workers.track(settings, touchpoints, customers)


@bench_app.command("kernel")
def bench_kernel() -> None:
    """The thinking alone, in this process: one more touchpoint for a customer with 10 and with 500 remembered, microseconds;
    and touchpoints a second of one core with up to a million customers remembered.

    `volvere bench kernel`
    """
    from volvere.bench import kernel

    kernel.kernel()


@bench_app.command("store")
def bench_store(kafka: Kafka = None, touchpoints: Touchpoints = 1_000_000, customers: Customers = 50_000) -> None:
    """The `store` worker, from Kafka's JSON into the full table of a new embedded ClickHouse: touchpoints a second.

    `volvere bench store --kafka localhost:9092 --touchpoints 200000`
    """
    from volvere.bench import workers

    settings = _outside(load(kafka=kafka), "bench store")
    worker.set_up_logging(settings, "error")
    workers.store(settings, touchpoints, customers)


Partitions = Annotated[int, typer.Option(min=1, help="of its topics")]


@bench_app.command("questions")
def bench_questions(touchpoints: Touchpoints = 5_000_000) -> None:
    """The ten questions of docs/questions.md over a simulated company in an embedded ClickHouse: milliseconds. From a checkout.

    `volvere bench questions --touchpoints 500000`
    """
    from volvere.bench import questions

    questions.questions(touchpoints)


@bench_app.command("failover")
def bench_failover(
    kafka: Kafka = None,
    workers: Annotated[int, typer.Option(min=2, help="how many `track` workers")] = 3,
    partitions: Partitions = 12,
    rounds: Annotated[int, typer.Option(min=1, help="how often each thing is done")] = 3,
    session_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="[VOLVERE_SESSION_TIMEOUT_S]")
    ] = None,
    heartbeat: Annotated[float | None, typer.Option(metavar="SECONDS", help="[VOLVERE_HEARTBEAT_INTERVAL_S]")] = None,
) -> None:
    """How long frictions are late when a `track` worker is killed, is restarted, stops or comes: the longest silence of a partition.

    The topics are its own, and deleted at the end. Exit code 1 when a silence after a kill -9 is longer than what is promised,
    or a friction is missing or seen twice.

    `volvere bench failover --kafka localhost:9092 --session-timeout 6 --heartbeat 1`
    """
    from volvere.bench.failover import failover

    settings = load(kafka=kafka, session_timeout_s=session_timeout, heartbeat_interval_s=heartbeat)
    worker.set_up_logging(_outside(settings, "bench failover"), "error")
    if workers > partitions:
        raise typer.BadParameter(f"{workers} workers, {partitions} partitions: expected a partition for each worker")
    if not failover(settings, workers, partitions, rounds):
        raise typer.Exit(1)


@bench_app.command("restore")
def bench_restore(
    kafka: Kafka = None,
    customers: Annotated[int, typer.Option(min=1000, help="of how many customers facts are read back")] = 1_000_000,
    versions: Annotated[
        int, typer.Option(min=1, help="of the facts of each, as long as Kafka has not compacted them")
    ] = 3,
    workers: Annotated[int, typer.Option(min=1, help="how many `track` workers share them")] = 2,
    partitions: Partitions = DEFAULT_PARTITIONS,
) -> None:
    """From no worker at all to the first new friction, with the facts of many customers to read back: seconds, memory.

    A million customers take some 10 GB of Kafka's disk. The topics are its own, and deleted at the end. Exit code 1 when
    the first friction comes later than after the 60 s that are promised of a million customers.

    `volvere bench restore --kafka localhost:9092 --customers 50000`
    """
    from volvere.bench.restore import restore

    settings = _outside(load(kafka=kafka), "bench restore")
    worker.set_up_logging(settings, "error")
    if workers > partitions:
        raise typer.BadParameter(f"{workers} workers, {partitions} partitions: expected a partition for each worker")
    if not restore(settings, customers, versions, workers, partitions):
        raise typer.Exit(1)


@bench_app.command("soak")
def bench_soak(
    kafka: Kafka = None,
    minutes: Annotated[float, typer.Option(min=0.25, help="how long, besides measuring the highest rate")] = 60,
    rate: Annotated[
        float | None, typer.Option(min=1, help="touchpoints a second; otherwise half of the highest rate")
    ] = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="without a `store` worker and its embedded ClickHouse")
    ] = False,
) -> None:
    """Whether the workers stay as they are, however long they run: memory, threads, open files, size of the state, lag.

    A simulated company comes at half of the highest rate of one `track` worker, its time so fast that customers are
    forgotten as fast as new ones come. Exit code 1 when, after the first sixth of the time, anything grows by 1 % in 10 minutes
    or more; a few minutes are too short to tell. Linux only. The topics and the store are its own, and deleted at the end.

    `volvere bench soak --kafka localhost:9092 --minutes 60`
    """
    from volvere.bench.soak import soak

    settings = _outside(load(kafka=kafka), "bench soak")
    worker.set_up_logging(settings, "error")
    if not Path("/proc/self/fd").is_dir():
        raise SettingsProblem(
            "`volvere bench soak` reads memory and open files of the workers from /proc: run it on Linux"
        )
    if not soak(settings, minutes, rate, store=not no_store):
        raise typer.Exit(1)


def _loop(work: Any) -> Any:
    """Run a coroutine to its end, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    # The policy, too: the thread of the Kafka consumer makes a loop of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return uvloop.run(work)


def _outside(settings: Settings, command: str) -> Settings:
    """These settings, if they name a broker that others can reach, too."""
    if settings.kafka_is_embedded:
        raise SettingsProblem(
            f"`volvere {command}` needs a Kafka that others reach: the embedded one lives and dies with one command. "
            "Give --kafka HOST:PORT or set VOLVERE_KAFKA; `volvere worker all` prints the address of an embedded one"
        )
    return settings


def _tell(item: Item) -> None:
    match item:
        case LeftOut(line=line, why=why):
            show.problem(f"line {line} left out: {why}", "dim")
        case Refused(line=line, field=field, message=message):
            show.problem(f"line {line} refused: {field + ': ' if field else ''}{message}")


PROBLEMS = (FileProblem, SettingsProblem, BrokerProblem, StoreProblem, RulesError, RoutesError, Transient)
"""What the user can mend: told in a line, exit code 2."""


def main() -> None:
    """The command `volvere`."""
    if os.getpid() == 1:  # the first process of a container: a signal that it does not handle is ignored
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except PROBLEMS as e:
        show.problem(str(e))
        sys.exit(2)
    except Impossible as e:
        show.problem(f"stopped, so that nothing is corrupted: {e}", "bold red")
        sys.exit(4)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
