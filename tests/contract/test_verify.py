"""`volvere store verify`: what is missing is found, and nothing else is called missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import stamina
from clickhouse_connect.driver.client import Client
from kafka import TopicPartition

from sinks.retention import Retention, apply
from sinks.store import Store
from tests.command import volvere
from tests.contract.chdb_http import ChdbHttp
from tests.contract.conftest import TABLES, Table, touchpoint_row
from tests.contract.test_clickhouse import friction, journey
from tests.contract.test_store import PARTITIONS, QUICK, Sent, send, touchpoint, unstorable, work
from volvere.settings import load
from volvere.topics import administer, create
from volvere.verify import verify
from volvere.worker import Broker

SECOND_ID = "00000000-0000-5000-8000-000000000009"


class Bench:
    """Topics on a broker, a store of them, and an operator who asks."""

    def __init__(self, bootstrap: str, prefix: str, client: Client, *, trusted: bool) -> None:
        self.bootstrap, self.prefix, self.client, self.trusted = bootstrap, prefix, client, trusted
        create(bootstrap, PARTITIONS, prefix=prefix)

    def send(self, sent: Sent) -> dict[tuple[str, int], int]:
        """Records; gives the offset after the last of each partition."""
        return asyncio.run(send(self.bootstrap, self.prefix, sent))

    def store(self, ends: dict[tuple[str, int], int]) -> None:
        """A store worker until these offsets."""
        options: dict[str, Any] = {"application": self.prefix, "prefix": self.prefix, "consumer_options": QUICK}
        store = Store(self.client, self.bootstrap, **options)
        work(store, lambda: store.drain(ends))

    @property
    def settings(self) -> dict[str, Any]:
        """Where its topics are."""
        return {"kafka": self.bootstrap, "topic_prefix": self.prefix, "application": self.prefix}

    def verify(self) -> dict[str, Any]:
        """What is found of each table, without what is nought."""
        at = Broker(self.bootstrap, trusted=self.trusted)
        found = asyncio.run(verify(load(**self.settings), at, self.client))
        return {one.table: {k: v for k, v in asdict(one).items() if v and k not in ("topic", "table")} for one in found}


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def bench(request: pytest.FixtureRequest, topic_prefix: str, embedded: Client) -> Iterator[Bench]:
    """A bench on each broker in turn, with empty tables that keep rows for 10,000 days."""
    broker = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "apache_kafka")
    for name in TABLES:
        embedded.command(f"TRUNCATE TABLE volvere_store.{name}")
    apply(embedded, Retention(keep_days=10_000))
    stamina.set_testing(False)  # a new Kafka has no coordinator for its first seconds
    yield Bench(broker.bootstrap, topic_prefix, embedded, trusted=request.param == "apache")
    apply(embedded, Retention())


def test_topics_against_tables(bench: Bench, front: ChdbHttp, tmp_path: Path) -> None:
    """Repeats, versions, cancellations, late ones, erasures, dead letters, loaded rows: none is missing; what was taken away is."""
    sent: Sent = [("touchpoints", n % PARTITIONS, touchpoint(n)) for n in range(40)]
    sent += [("touchpoints", 1, touchpoint(n)) for n in range(10)]  # repeated, half of them in another partition
    sent += [
        ("touchpoints", 0, touchpoint(2, version=2, topic="billing")),
        ("touchpoints", 0, touchpoint(2, version=1)),
    ]
    sent += [("touchpoints", 0, touchpoint(3, version=1, cancelled=True)), ("touchpoints", 0, b"not json")]
    sent += [("touchpoints", 1, touchpoint(90, occurred_at="2019-03-01T09:00:00Z"))]
    sent += [("touchpoints", 1, touchpoint(91, occurred_at="1991-03-01T09:00:00Z"))]  # longer ago than rows are kept
    sent += [("operations", 0, touchpoint(n, kind="agent.left", customer_id=None)) for n in range(3)]
    sent += [("journeys", 0, json.dumps(journey(revision=n)).encode()) for n in (1, 2)]
    sent += [("journeys", 0, json.dumps(journey(journey_id="j2", state="merged", merged_into="j1")).encode())]
    sent += [
        ("journeys", 1, None),
        ("journeys", 1, b"{}"),
        ("journeys", 0, json.dumps(journey(journey_id="j3")).encode()),
    ]
    told = [friction(), friction(state="retracted", revision=2), friction(friction_id=SECOND_ID)]
    sent += [("frictions", 0, json.dumps(value).encode()) for value in told]
    with unstorable(bench.client, "j3"):
        bench.store(bench.send(sent))
    bench.send([("touchpoints", 1, touchpoint(n)) for n in (100, 101)])  # which no worker has come to
    Table(bench.client).touchpoints({"event_id": "elsewhere"})
    good: dict[str, Any] = {
        "touchpoints": {"records": 56, "things": 41, "stored": 41, "refused": 1, "waiting": 2, "expired": 1},
        "operations": {"records": 3, "things": 3, "stored": 3},
        "journeys": {"records": 6, "things": 2, "stored": 2, "refused": 2, "erased": 1},
        "frictions": {"records": 3, "things": 2, "stored": 2},
    }
    assert bench.verify() == good

    for change in (
        "ALTER TABLE volvere_store.touchpoints DELETE WHERE event_id = 'e5' OR (event_id = 'e2' AND version = 2)",
        "ALTER TABLE volvere_store.journeys DELETE WHERE journey_id = 'j2'",
        f"INSERT INTO volvere_store.frictions (kind, friction_id, appended_at, _topic) VALUES ('lost', generateUUIDv4(), now64(6), '{bench.prefix}frictions')",
    ):
        bench.client.command(f"{change} {'' if change.startswith('INSERT') else 'SETTINGS mutations_sync = 2'}")
    Table(bench.client).put("touchpoints", [touchpoint_row(**json.loads(touchpoint(2)))])  # but in an older version
    bad = bench.verify()
    named = bad["touchpoints"].pop("named")
    assert sorted(line.partition(": ")[2] for line in named) == ["pbx e2", "pbx e5"]
    assert all(line.startswith(f"{bench.prefix}touchpoints/") for line in named)
    assert bad["touchpoints"] == good["touchpoints"] | {"stored": 39, "missing": 2}
    assert bad["journeys"] == good["journeys"] | {
        "stored": 1,
        "missing": 1,
        "named": [f"{bench.prefix}journeys/0/2: ana j2"],
    }
    assert bad["frictions"] == good["frictions"] | {"only_stored": 1}
    if bench.trusted:
        return
    shown = volvere(tmp_path, "store", "verify", code=1, clickhouse=front.url, **bench.settings)
    assert f"missing {bench.prefix}journeys/0/2: ana j2" in shown.err
    letters = volvere(tmp_path, "dlq", "show", "--of", "store", **bench.settings).out
    assert "ClickHouse does not take the row" in letters and f"{bench.prefix}journeys/1/1" in letters


def test_nothing_at_all(bench: Bench) -> None:
    """Before a store has ever run all waits, and nothing is missing."""
    bench.send([("touchpoints", 0, touchpoint(1))])
    assert bench.verify() == {"touchpoints": {"waiting": 1}, "operations": {}, "journeys": {}, "frictions": {}}


@pytest.mark.parametrize("bench", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)
def test_what_a_topic_has_lost_is_history(bench: Bench) -> None:
    """What is older than a topic's retention stands in the table alone; transactions' markers and aborted records are nothing."""
    ends = bench.send([("touchpoints", 0, touchpoint(n)) for n in range(20)])
    more = asyncio.run(
        send(
            bench.bootstrap,
            bench.prefix,
            [("touchpoints", 0, touchpoint(n)) for n in range(20, 30)],
            transactional_id=bench.prefix,
        )
    )
    bench.store({tp: end + 1 for tp, end in (ends | more).items()})
    with administer(bench.bootstrap, {}) as admin:
        admin.delete_records({TopicPartition(f"{bench.prefix}touchpoints", 0): 12})
    assert bench.verify()["touchpoints"] == {"records": 18, "things": 18, "stored": 18}
