"""The questions of docs/questions.md, over a month of a simulated company with its frictions and journeys."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from sinks.clickhouse import query
from sinks.rows import Row
from tests.contract.conftest import TABLES, Table
from volvere.bench import questions
from volvere.simulator import Company

QUESTIONS = questions.written()


@pytest.fixture(scope="module")
def told() -> dict[str, list[Row]]:
    """Rows of a company's January and of the months after, by table."""
    found: dict[str, list[Row]] = defaultdict(list)
    for name, line in questions.told(Company(customers=400, days=150, start=questions.START, contacts_per_day=0.05)):
        found[name].append(line)
    return found


@pytest.fixture(scope="module")
def stored(migrated: Client, told: dict[str, list[Row]]) -> Client:
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
    assert [heading.partition(".")[0] for heading, _ in QUESTIONS] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize(("heading", "sql"), QUESTIONS)
def test_question(stored: Client, answers: dict[str, Any], heading: str, sql: str) -> None:
    """It has an answer, the same with rows that are still there twice, over HTTP, and after contacts were folded."""
    found = query(stored, sql)
    assert found[1], "there is something to see"
    assert any(any(isinstance(v, int | float) and v for v in row) for row in found[1])
    stored.command("SYSTEM START VIEW volvere_store.contacts_refresh")
    stored.command("SYSTEM REFRESH VIEW volvere_store.contacts_refresh")
    stored.command("SYSTEM WAIT VIEW volvere_store.contacts_refresh")
    stored.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    assert query(stored, sql) == found
    assert answers.setdefault(heading, found) == found


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What was answered in another shape."""
    return {}
