"""ClickHouse in three shapes, one suite: the engine in the process, the real HTTP client against a
front over that engine, and any server that VOLVERE_CLICKHOUSE names.

The engine takes one folder a process, so the first two share one, and every test begins with empty tables.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import stamina
from clickhouse_connect.driver.client import Client

from schemas.times import SECOND
from sinks import rows
from sinks.clickhouse import Inserter, connect, drop, migrate, query
from tests.contract.chdb_http import ChdbHttp

SERVER = os.environ.get("VOLVERE_CLICKHOUSE", "")
TABLES = ("touchpoints", "operations", "journeys", "frictions", "refused", "generations", "contacts")
ARRIVED = 4_000_000_000 * SECOND
"""A time of arrival after everything that a test's story tells."""

_offsets = itertools.count(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder of the embedded engine."""
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="module")
def front(folder: Path) -> Iterator[ChdbHttp]:
    """ClickHouse's HTTP interface over the embedded engine."""
    with ChdbHttp(folder) as server:
        yield server


@pytest.fixture(scope="module")
def embedded(folder: Path) -> Iterator[Client]:
    """The engine in this process, migrated."""
    client = connect(folder)
    migrate(client)
    yield client
    client.close()


@pytest.fixture(scope="module")
def http_client(front: ChdbHttp, embedded: Client) -> Iterator[Client]:
    """The real HTTP client, on the embedded engine's tables."""
    client = connect(front.url)
    yield client
    client.close()


@pytest.fixture(scope="module", params=["embedded", "http", *(["server"] if SERVER.startswith("http") else [])])
def migrated(request: pytest.FixtureRequest, embedded: Client) -> Iterator[Client]:
    """A client of each shape, tables and views in place."""
    if request.param == "embedded":
        yield embedded
        return
    if request.param == "http":
        client = connect(request.getfixturevalue("front").url)
        yield client
        client.close()
        return
    client = connect(SERVER, os.environ.get("VOLVERE_CLICKHOUSE_USER"), os.environ.get("VOLVERE_CLICKHOUSE_PASSWORD"))
    if query(client, "SELECT count() FROM system.databases WHERE name IN ('volvere', 'volvere_store')")[1] != [(0,)]:
        pytest.fail(
            f"{SERVER} has a database volvere or volvere_store; these tests need a server without and drop them"
        )
    migrate(client)
    yield client
    drop(client)
    client.close()


@pytest.fixture
def client(migrated: Client) -> Client:
    """A client whose tables are empty, and whose contacts are folded into their table only when a test says so."""
    migrated.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    for table in TABLES:
        migrated.command(f"TRUNCATE TABLE volvere_store.{table}")
    return migrated


@pytest.fixture(autouse=True)
def _impatient() -> Iterator[None]:
    """Retries happen as often as in life, without the waiting between them."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


class Table:
    """What a test needs to put records into a store and to look at it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.inserter = Inserter(client)

    def touchpoints(self, *sent: dict[str, Any]) -> None:
        """Touchpoints as they would come from Kafka, in one insert."""
        self.put("touchpoints", [touchpoint_row(**fields) for fields in sent])

    def journeys(self, *sent: dict[str, Any]) -> None:
        """Journey snapshots."""
        self.put("journeys", [rows.journey(json.dumps(fields).encode(), tail("journeys")) for fields in sent])

    def frictions(self, *sent: dict[str, Any]) -> None:
        """Friction events."""
        self.put("frictions", [rows.friction(json.dumps(fields).encode(), tail("frictions")) for fields in sent])

    def put(self, table: str, made: Sequence[rows.Row]) -> None:
        """Rows that ClickHouse must take."""
        assert self.inserter.insert(table, made) == []

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return query(self.client, sql)[1]

    def one(self, sql: str) -> dict[str, Any]:
        """The one row of an answer, by column."""
        names, found = query(self.client, sql)
        assert len(found) == 1
        return dict(zip(names, found[0], strict=True))


@pytest.fixture
def table(client: Client) -> Table:
    """An empty store."""
    return Table(client)


def tail(topic: str) -> rows.Lineage:
    """Lineage of a record at the next offset: no two records of a run are the same row by accident."""
    return rows.lineage(topic, 0)(next(_offsets), ARRIVED)


def touchpoint_row(**fields: Any) -> rows.Row:
    """The row of a touchpoint with the least that is required, and `fields`."""
    required = {
        "source": "pbx",
        "event_id": "e1",
        "customer_id": "ana",
        "kind": "contact.started",
        "channel": "voice",
        "occurred_at": "2026-03-01T09:00:00Z",
    }
    return rows.touchpoint(json.dumps(required | fields).encode(), ARRIVED, (), tail("touchpoints"))
