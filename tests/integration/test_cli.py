"""The commands, each as a process: what their help teaches, what they write, how they end; and the workers as services."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import FACTS, FRICTIONS, JOURNEYS, TOPICS, TOUCHPOINTS
from tests.command import COMMAND, ask, environment, running, volvere
from tests.kafka import ApacheKafka, read_topic
from volvere.embedded import EmbeddedBroker
from volvere.settings import load
from volvere.worker import Broker, load_rules, track_config, tracking

COMMANDS = [
    *("run", "convert", "send", "simulate", "watch", "query", "explain", "customer", "demo"),
    *("topics create", "topics check", "worker track", "worker store", "worker all", "config show", "rebuild"),
    *("dlq show", "dlq replay", "rules show", "rules check", "rules explain", "rules try"),
    *("bench track", "bench store", "bench kernel", "bench restore", "bench failover", "bench soak", "bench questions"),
    *("store migrate", "store check", "store load", "lag"),
]
SETTLED = ("dropped_call", "long_wait", "queue_abandoned", "repeat_contact")
"""Kinds that open by what happens; for the others time must pass as well."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str, tmp_path: Path) -> None:
    """Every command says what it does, explains every option, and gives an example that can be copied."""
    text = re.sub(r"[\s│]+", " ", volvere(tmp_path, *command.split(), "--help").out)
    taught, _, _ = text.partition(" Options ")
    assert f"volvere {command}" in taught.replace("volvere.cli", "")
    assert len(taught) > 150


def test_help_names_every_command(tmp_path: Path) -> None:
    """`volvere --help` lists all there is, with a sentence each; without arguments it is what is shown."""
    text = volvere(tmp_path, "--help").out
    for command in COMMANDS:
        assert f"│ {command.split()[0]} " in text
    assert "Begin with volvere demo" in text
    assert "Commands" in volvere(tmp_path, code=2).said
    assert "Traceback" not in volvere(tmp_path, "worker", code=2).said


def test_simulate_tells_one_company_a_seed(tmp_path: Path) -> None:
    """The same seed says the same, byte for byte; another one something else; the truth is written beside."""
    same = ["simulate", "--customers", 120, "--days", 9, "--seed", 3, "--truth"]
    first, again = volvere(tmp_path, *same, "one"), volvere(tmp_path, *same, "two")
    assert first.out == again.out
    assert first.err == ""
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    truth = [json.loads(line) for line in (tmp_path / "one").read_text().splitlines()]
    assert {p["near_miss"] for p in truth} == {True, False}
    other = volvere(
        tmp_path, "simulate", "--customers", 120, "--days", 9, "--seed", 4, "--start", "2024-02-05T00:00:00Z"
    )
    told = map(json.loads, other.out.splitlines())
    times = [t["occurred_at"] for t in told if "version" not in t]  # corrections come when they come
    assert times == sorted(times)
    assert times[0][:7] == "2024-02"
    assert other.out != first.out


def test_simulate_says_what_it_expects(tmp_path: Path) -> None:
    """Arguments that make no company, and a place where nothing can be written, are told in one message."""
    for wrong, said in (
        (["--customers", 0], "greater than or equal to 1"),
        (["--start", "yesterday"], "RFC 3339"),
        (["--truth", tmp_path / "no" / "where"], "cannot be written"),
    ):
        done = volvere(tmp_path, "simulate", *wrong, code=2)
        assert said in re.sub(r"[\s│]+", " ", done.err)
        assert "Traceback" not in done.err


def test_convert_passes_touchpoints_on(tmp_path: Path) -> None:
    """What is a touchpoint already is written as it came, from a pipe and from gzip alike."""
    line = '{"source":"pbx",  "event_id":"1"}'
    assert volvere(tmp_path, "convert", "-", "--format", "touchpoints", stdin=line).out == line + "\n"


@pytest.mark.parametrize("command", ["simulate", "query"])
def test_a_reader_that_has_seen_enough(command: str, store: Path) -> None:
    """`volvere simulate | head -1` ends in silence."""
    args = ["query", "SELECT number FROM numbers(300000)", "--format", "csv"] if command == "query" else ["simulate"]
    where = environment(clickhouse=store)
    with subprocess.Popen(
        [*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=store.parent, env=where
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, 1)  # a shell looks at the last command of a pipe


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a little in it."""
    folder = tmp_path_factory.mktemp("asked")
    file = folder / "company.jsonl"
    file.write_text(volvere(folder, "simulate", "--customers", 60, "--days", 3).out)
    volvere(folder, "run", file, "--clickhouse", folder / "clickhouse")
    return folder / "clickhouse"


def test_query_answers_in_three_forms(store: Path, tmp_path: Path) -> None:
    """JSON is an array of objects; CSV has a header; a table is as wide as what it holds. All say the same."""
    sql = "SELECT kind, count() AS n, max(occurred_at) AS last FROM volvere.touchpoints GROUP BY kind ORDER BY kind"
    plain = json.loads(volvere(tmp_path, "query", sql, "--format", "json", clickhouse=store).out)
    assert isinstance(plain, list)
    assert {tuple(row) for row in plain} == {("kind", "n", "last")}
    assert all(re.fullmatch(r"2025-01-\d\dT[\d:.]+Z", row["last"]) for row in plain)
    listed = list(csv.DictReader(io.StringIO(volvere(tmp_path, "query", sql, "--format", "csv", clickhouse=store).out)))
    assert listed == [{name: str(value) for name, value in row.items()} for row in plain]
    table = volvere(tmp_path, "query", "-", stdin=sql, clickhouse=store).out
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    assert cells == [[str(value) for value in row.values()] for row in plain]
    wide = volvere(
        tmp_path, "query", "SELECT repeat('wide ', 60) AS text, [1, 2] AS list, NULL AS none", clickhouse=store
    )
    assert "wide " * 59 in wide.out
    assert volvere(tmp_path, "query", "SELECT 1 AS one WHERE 0", "--format", "json", clickhouse=store).out == "[]\n"


# The workers, as services on a broker that lasts


async def _committed(where: dict[str, Any], worker: str, topic: str, wanted: int) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=where["kafka"], group_id=f"{where['application']}-{worker}", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(where["topic_prefix"] + topic, n) for n in range(4)]
        consumer.assign(partitions)
        while sum([await consumer.committed(p) or 0 for p in partitions]) < wanted:
            await consumer.getmany(timeout_ms=200)  # the pause between two questions
    finally:
        await consumer.stop()


def committed(where: dict[str, Any], worker: str, topic: str, wanted: int, within: float = 60) -> None:
    """Wait until a worker (`track`, `store`) has acknowledged so many records of a topic."""
    asyncio.run(asyncio.wait_for(_committed(where, worker, topic, wanted), within))


_numbers = itertools.count(1)
LINE = (
    '{"source":"web","event_id":"1","customer_id":"maria","kind":"page.viewed","channel":"web",'
    '"occurred_at":"2025-01-06T09:00:00Z"}\n'
)


@pytest.fixture
def service(embedded_broker: EmbeddedBroker) -> dict[str, Any]:
    """Settings of a deployment of its own: topics and groups that no other test uses."""
    name = f"cli-{os.getpid()}-{next(_numbers)}"
    return {
        "kafka": embedded_broker.bootstrap,
        "topic_prefix": f"{name}.",
        "application": name,
        "session_timeout_s": 4,
        "heartbeat_interval_s": 1,
    }


@pytest.fixture
def company(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A company's file, and its planted troubles that are certain without more time."""
    file, truth = tmp_path / "company.jsonl", tmp_path / "truth.jsonl"
    told = volvere(tmp_path, "simulate", "--customers", 160, "--days", 10, "--truth", truth)
    file.write_text(told.out)
    planted = [json.loads(line) for line in truth.read_text().splitlines()]
    return file, [p for p in planted if p["kind"] in SETTLED and not p["near_miss"]]


def standing(lines: list[str]) -> list[dict[str, Any]]:
    """The touchpoints of a file's lines that count: of each its newest version, without those that are cancelled."""
    told = sorted(map(json.loads, lines), key=lambda t: t.get("version", 0))
    newest = {(t["source"], t["event_id"]): t for t in told}
    return [t for t in newest.values() if not t.get("cancelled")]


def test_questions_are_measured(tmp_path: Path) -> None:
    """Each of the ten has its line, with rows that are there twice and without."""
    out = volvere(tmp_path, "bench", "questions", "--touchpoints", 10_000).out
    assert re.search(r"questions: [\d,]+ touchpoints, [\d,]+ journeys, [\d,]+ frictions", out), out
    lines = re.findall(r"^ (\d+)\. .*\?  +([\d,]+)  +([\d,]+)", out, re.MULTILINE)
    assert [int(number) for number, *_ in lines] == list(range(1, 11)), out


def test_topics_are_created_then_checked(service: dict[str, Any], tmp_path: Path) -> None:
    """`check` fails before and is content after `create`, which may be run again."""
    missing = volvere(tmp_path, "topics", "check", code=2, **service).out
    assert missing.count("missing") == len(TOPICS)
    made = volvere(tmp_path, "topics", "create", "--partitions", 4, **service).out
    assert made.count("created") == len(TOPICS)
    for topic in TOPICS:
        assert f"{service['topic_prefix']}{topic.name} " in made
    for command in ("check", "create"):
        assert re.findall(r" (ok|created|missing|wrong) ", volvere(tmp_path, "topics", command, **service).out) == [
            "ok"
        ] * len(TOPICS)


def test_both_workers_in_one_process(company: tuple[Path, list[Any]], tmp_path: Path) -> None:
    """`worker all`, `send`, `watch` and `query`: what is sent is found, shown, and, after SIGTERM, stored to the last row."""
    file, planted = company
    lines = file.read_text().splitlines()
    service: dict[str, Any] = {"topic_prefix": "", "application": "volvere"}
    with running(tmp_path, "worker", "all") as workers:
        said = workers.line(lambda line: "Kafka is at" in line)
        service["kafka"] = said.rpartition(" --kafka ")[2]
        sent = volvere(tmp_path, "send", file, **service)
        assert sent.out == f"{len(lines):,} records sent, 0 left out, 0 refused\n"

        seen: set[str] = set()
        wanted = {p["friction_id"] for p in planted}
        with running(tmp_path, "watch", "--from-beginning", "--json", **service) as watching:
            while not wanted <= seen:
                event = json.loads(watching.line(lambda _: True))
                seen.add(event["data"]["friction_id"])
        shown = volvere(tmp_path, "watch", "--from-beginning", "--count", 3, **service).out.splitlines()
        assert len(shown) == 3
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  (opened|resolved|updated) ", line) for line in shown)

        committed(service, "store", TOUCHPOINTS.name, len(lines))
        for topic in (FRICTIONS, JOURNEYS):
            committed(service, "store", topic.name, len(read_topic(service["kafka"], topic.name, quiet_ms=1_000)))
        done = workers.terminate()
    assert done.code == 0, done.out
    (row,) = ask(
        tmp_path,
        "SELECT (SELECT count() FROM volvere.touchpoints) AS touchpoints, "
        "(SELECT groupArray(toString(friction_id)) FROM volvere.frictions) AS frictions, "
        "(SELECT count() FROM volvere.contacts) AS contacts, (SELECT count() FROM volvere.journeys) AS journeys",
        tmp_path / "volvere-data",
    )
    stand = standing(lines)
    assert row["touchpoints"] == len(stand)
    assert wanted <= set(row["frictions"])
    alone = [t for t in stand if t["contact_id"] is None and t["kind"].startswith("contact.")]
    assert row["contacts"] == len({t["contact_id"] for t in stand} - {None}) + len(alone)
    assert row["journeys"] > 100


def test_the_embedded_broker_dies(tmp_path: Path) -> None:
    """Nobody waits for ever for a broker that has lost everything: the command ends and says so."""
    with running(tmp_path, "worker", "all") as workers:
        workers.line(lambda line: "Kafka is at" in line)
        tasks = Path(f"/proc/{workers.pid}/task").iterdir()
        (broker,) = {int(pid) for task in tasks for pid in (task / "children").read_text().split()}
        os.kill(broker, signal.SIGKILL)
        done = workers.end()
    assert done.code == 2
    assert "the embedded broker has ended by itself; run the command again" in done.out


@pytest.mark.kafka
@pytest.mark.parametrize("worker", ["track", "store"])
def test_a_worker_that_cannot_stop_in_order_ends_in_time(
    own_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, worker: str
) -> None:
    """Within its grace period an orchestrator's SIGTERM ends a worker, even one whose broker answers nothing any more."""
    own_kafka.start()
    service: dict[str, Any] = {"kafka": own_kafka.bootstrap, "topic_prefix": topic_prefix, "application": "stopped"}
    volvere(tmp_path, "topics", "create", "--partitions", 4, **service)
    with running(tmp_path, "worker", worker, stop_within_s=3, **service) as process:
        volvere(tmp_path, "send", "-", stdin=LINE, **service)
        committed(service, worker, TOUCHPOINTS.name, 1)
        own_kafka.signal(signal.SIGSTOP)
        done = process.terminate(within=30)
    assert done.code in (0, 4), done.out
    assert done.code == 0 or "not stopped within 3 s" in done.out


def test_a_tracker_that_is_stopped_and_another_that_goes_on(
    service: dict[str, Any], company: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    """SIGTERM in the midst of the work: what is merged is flushed, the exit is 0, and the next worker ends what it began.

    Two parts of a file, a worker each: frictions that need both parts (repeated contacts) are found all the same.
    """
    file, planted = company
    lines = file.read_text().splitlines(keepends=True)
    volvere(tmp_path, "topics", "create", "--partitions", 4, **service)
    sent = 0
    for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        with running(tmp_path, "worker", "track", **service) as tracker:
            volvere(tmp_path, "send", "-", stdin="".join(half), **service)
            sent += len(half)
            committed(service, "track", TOUCHPOINTS.name, sent)
            done = tracker.terminate()
        assert done.code == 0, done.out
        assert "Traceback" not in done.out
    bootstrap, prefix = service["kafka"], service["topic_prefix"]
    events = [json.loads(r.value or b"") for r in read_topic(bootstrap, prefix + FRICTIONS.name, quiet_ms=2_000)]
    last = {e["data"]["friction_id"]: e["type"].rpartition(".")[2] for e in events}
    assert [p for p in planted if p["friction_id"] not in last] == []
    assert "retracted" not in last.values()
    assert read_topic(bootstrap, prefix + FACTS.name, quiet_ms=2_000)


def test_a_tracker_that_is_stopped_says_what_it_has_merged(
    service: dict[str, Any], company: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    """With flushes a minute apart, all that was merged is flushed by the stop itself, and nothing before."""
    file, planted = company
    settings = load(**service, flush_after_ms=60_000)
    volvere(tmp_path, "topics", "create", "--partitions", 4, **service)
    volvere(tmp_path, "send", file, **service)
    count = len(file.read_text().splitlines())

    async def stopped_in_the_midst() -> tuple[int, int]:
        config = track_config(settings, Broker(service["kafka"], trusted=False))
        async with tracking(load_rules(None), config) as app:
            async with app.host.progress:
                await app.host.progress.wait_for(lambda: app.host.tally.read == count)
            before = app.host.tally.flushes
        return before, app.host.tally.flushes

    before, after = asyncio.run(asyncio.wait_for(stopped_in_the_midst(), 60))
    assert (before, after) == (0, 4)
    committed(service, "track", TOUCHPOINTS.name, count)
    events = read_topic(service["kafka"], service["topic_prefix"] + FRICTIONS.name, quiet_ms=2_000)
    found = {json.loads(r.value or b"")["data"]["friction_id"] for r in events}
    assert {p["friction_id"] for p in planted} <= found


def test_a_store_that_is_stopped_and_another_that_goes_on(
    service: dict[str, Any], company: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    """The store acknowledges what it has inserted, ends with 0, and the next one neither misses nor doubles anything."""
    file, _ = company
    lines = file.read_text().splitlines(keepends=True)
    volvere(tmp_path, "topics", "create", "--partitions", 4, **service)
    sent = 0
    for half in (lines[:900], lines[900:]):
        with running(tmp_path, "worker", "store", **service) as store:
            volvere(tmp_path, "send", "-", stdin="".join(half), **service)
            sent += len(half)
            committed(service, "store", TOUCHPOINTS.name, sent)
            done = store.terminate()
        assert done.code == 0, done.out
    answer = ask(tmp_path, "SELECT count() AS n, uniq(source, event_id) AS u FROM volvere.touchpoints", "volvere-data")
    assert answer == [{"n": len(standing(lines)), "u": len(standing(lines))}]
