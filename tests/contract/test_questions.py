"""The questions of docs/questions.md, over a month of a simulated company with its frictions and journeys."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.decode import decode
from schemas.times import parse_time
from schemas.touchpoint import digest, subject_of
from sinks import rows
from sinks.clickhouse import query
from streams.entries import entry_of
from streams.facts import Facts
from streams.rules import parse_rules
from streams.tracker import Tracker
from tests.contract.conftest import ARRIVED, TABLES, Table, tail
from volvere.simulator import Company

DOC = (Path(__file__).resolve().parents[2] / "docs" / "questions.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^## (\d+)\. .*?```sql\n(.*?)```", DOC, re.MULTILINE | re.DOTALL)
END = parse_time("2026-06-15T00:00:00Z")


def derived(said: list[bytes]) -> dict[str, list[bytes]]:
    """What `track` says about these touchpoints in the end: rows of frictions and journeys."""
    subjects: dict[str, Facts] = {}
    tracker = Tracker(parse_rules())
    for value in said:
        t = decode(value, ARRIVED)
        name = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
        facts = subjects.setdefault(name, Facts(name, t.customer_id))
        facts.merge(entry_of(t, digest(t), replay=False))
    out: dict[str, list[bytes]] = defaultdict(list)
    for facts in subjects.values():
        look = tracker.look(facts, END, END)
        out["frictions"] += [rows.friction(value, tail("frictions")) for value in look.frictions]
        out["journeys"] += [rows.journey(value, tail("journeys")) for _, value in look.journeys]
    return out


@pytest.fixture(scope="module")
def told() -> dict[str, list[bytes]]:
    """Rows of a company's January and of the months after, by table."""
    company = Company(customers=400, days=150, start=parse_time("2026-01-01T00:00:00Z"), contacts_per_day=0.05)
    said = [json.dumps(t).encode() for t in company.touchpoints()]
    found = {"touchpoints": [rows.touchpoint(value, ARRIVED, (), tail("touchpoints")) for value in said]}
    return found | derived(said)


@pytest.fixture(scope="module")
def stored(migrated: Client, told: dict[str, list[bytes]]) -> Client:
    """All of it in a store, merged, and then half of it once more."""
    migrated.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    for name in TABLES:
        migrated.command(f"TRUNCATE TABLE volvere_store.{name}")
    table = Table(migrated)
    for name, lines in told.items():
        table.put(name, lines)
        migrated.command(f"OPTIMIZE TABLE volvere_store.{name} FINAL")
        table.put(name, lines[::-2])
    return migrated


def test_there_are_ten() -> None:
    """As the heading says."""
    assert [number for number, _ in QUESTIONS] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize(("number", "sql"), QUESTIONS, ids=[number for number, _ in QUESTIONS])
def test_question(stored: Client, answers: dict[str, Any], number: str, sql: str) -> None:
    """It has an answer, the same with rows that are still there twice, over HTTP, and after contacts were folded."""
    found = query(stored, sql)
    assert found[1], "there is something to see"
    assert any(any(isinstance(v, int | float) and v for v in row) for row in found[1])
    stored.command("SYSTEM START VIEW volvere_store.contacts_refresh")
    stored.command("SYSTEM REFRESH VIEW volvere_store.contacts_refresh")
    stored.command("SYSTEM WAIT VIEW volvere_store.contacts_refresh")
    stored.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    assert query(stored, sql) == found
    assert answers.setdefault(number, found) == found


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What was answered in another shape."""
    return {}
