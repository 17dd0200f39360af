"""`volvere bench questions`: how long the questions of docs/questions.md take over many touchpoints.

A simulated company's touchpoints, with the frictions and journeys that the kernel finds in them, are stored in an embedded
ClickHouse in a folder that is deleted at the end. Each question is asked while one row in twenty is there twice and not merged,
and again after merging; contacts are folded before both, but one touchpoint in a thousand counts as having come since.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
from clickhouse_connect.driver.client import Client
from rich.table import Table

from schemas.decode import decode
from schemas.errors import Impossible
from schemas.times import parse_time
from schemas.touchpoint import digest, subject_of
from sinks import rows
from sinks.clickhouse import Inserter, connect, migrate, query
from streams.entries import entry_of
from streams.facts import Facts
from streams.rules import parse_rules
from streams.tracker import Tracker
from volvere.show import err, out
from volvere.simulator import Company

DOCUMENT = Path(__file__).parents[2] / "docs" / "questions.md"
START = parse_time("2026-01-01T00:00:00Z")
"""The questions ask about January of that year."""
PER_CONTACT = 4.6
"""Touchpoints of one contact, on average."""
BATCH = 50_000
TWICE = 20
"""One row in so many is inserted again."""
FRESH = 1_000
"""One touchpoint in so many, the newest, has come in since contacts were folded, the others did yesterday: those of three hours,
where the table is made anew every five minutes."""
ROUNDS = 5
REFRESH = ("SYSTEM REFRESH VIEW volvere_store.contacts_refresh", "SYSTEM WAIT VIEW volvere_store.contacts_refresh")

_json = msgspec.json.Encoder().encode


def written(document: Path = DOCUMENT) -> list[tuple[str, str]]:
    """The questions: heading and SQL. Raises Impossible where there is no document."""
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as e:
        raise Impossible(f"{document}: {e.strerror}; run this from a checkout") from None
    return re.findall(r"^## (.*?)\n.*?```sql\n(.*?)```", text, re.MULTILINE | re.DOTALL)


def told(company: Company) -> Iterator[tuple[str, rows.Row]]:
    """Rows of a company as (table, row): its touchpoints, then the frictions and journeys that `track` would find."""
    subjects: dict[str, Facts] = {}
    tracker = Tracker(parse_rules())
    arrived = company.end
    tails = {name: rows.lineage(name, 0) for name in ("touchpoints", "frictions", "journeys")}
    for offset, said in enumerate(company.touchpoints()):
        value = _json(said)
        t = decode(value, arrived)
        name = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
        facts = subjects.get(name)
        if facts is None:
            facts = subjects[name] = Facts(name, t.customer_id)
        facts.merge(entry_of(t, digest(t), replay=False))
        yield "touchpoints", rows.touchpoint(value, arrived, (), tails["touchpoints"](offset, arrived))
    offset = 0
    while subjects:
        _, facts = subjects.popitem()
        look = tracker.look(facts, arrived, arrived)
        for value in look.frictions:
            yield "frictions", rows.friction(value, tails["frictions"](offset, arrived))
            offset += 1
        for _, value in look.journeys:
            yield "journeys", rows.journey(value, tails["journeys"](offset, arrived))
            offset += 1


def questions(touchpoints: int) -> None:
    """Store a company of so many touchpoints, ask, and print milliseconds."""
    asked = written()
    days = 120
    contacts = touchpoints / PER_CONTACT / days
    company = Company(customers=max(100, round(contacts * 20)), days=days, start=START, contacts_per_day=1 / 20)
    with tempfile.TemporaryDirectory(prefix="volvere-questions-") as folder:
        client = connect(folder)
        migrate(client)
        client.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
        stored, inserter = _store(Inserter(client), company, touchpoints), Inserter(client)
        took: list[list[float]] = []
        ages: list[object] = []
        refreshed = 0.0
        for merged in (False, True):
            for name, (_, again) in stored.items():
                if merged:
                    client.command(f"OPTIMIZE TABLE volvere_store.{name} FINAL")
                else:
                    inserter.insert(name, again)
            newest = stored["touchpoints"][0] * (FRESH - 1) // FRESH
            client.command(
                "ALTER TABLE volvere_store.touchpoints UPDATE _inserted_at = _inserted_at - 86400 "
                f"WHERE _offset < {newest} SETTINGS mutations_sync = 2"
            )
            client.command("SYSTEM START VIEW volvere_store.contacts_refresh")
            began = time.monotonic()
            for command in REFRESH:
                client.command(command)
            refreshed = time.monotonic() - began
            client.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
            took.append([_ask(client, sql) for _, sql in asked])
            age = "SELECT dateDiff('second', contacts_folded_at, now64(3, 'UTC')) FROM volvere.clock"
            ages.append(query(client, age)[1][0][0])
        count = ", ".join(f"{number:,} {name}" for name, (number, _) in stored.items())
        client.close()
    table = Table("milliseconds, medians of 5", "one row in twenty twice", "merged", box=None)
    for (heading, _), twice, once in zip(asked, *took, strict=True):
        table.add_row(heading, f"{twice:,.0f}", f"{once:,.0f}")
    out.print(f"questions: {count}; contacts were folded in {refreshed:.1f} s, and were {ages[-1]} s old at the end")
    out.print(table)


def _store(inserter: Inserter, company: Company, expected: int) -> dict[str, tuple[int, list[rows.Row]]]:
    """Insert all of it; by table how many rows, and those that are to be there twice."""
    waiting: dict[str, list[rows.Row]] = defaultdict(list)
    stored: dict[str, tuple[int, list[rows.Row]]] = {}
    began = time.monotonic()

    def flush(name: str) -> None:
        lines = waiting.pop(name)
        inserter.insert(name, lines)
        count, again = stored.setdefault(name, (0, []))
        again += lines[::TWICE]
        stored[name] = count + len(lines), again

    with err.status("") as status:
        for n, (name, line) in enumerate(told(company)):
            waiting[name].append(line)
            if len(waiting[name]) >= BATCH:
                flush(name)
                status.update(f"storing: {n:,} rows of about {1.2 * expected:,.0f}, {time.monotonic() - began:,.0f} s")
        for name in list(waiting):
            flush(name)
    return stored


def _ask(client: Client, sql: str) -> float:
    """Milliseconds that a question takes."""
    took = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        query(client, sql)
        took.append(1000 * (time.monotonic() - began))
    return median(took)
