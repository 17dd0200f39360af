"""The worker `store`, between a broker and ClickHouse."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
import stamina
from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.client import Client

from schemas.errors import Transient
from schemas.topics import STORE_DEAD_LETTERS
from sinks.clickhouse import StoreProblem, connect, query
from sinks.letters import Letters
from sinks.store import Refused, Store
from tests.contract.chdb_http import ChdbHttp, Fail
from tests.contract.conftest import TABLES
from tests.contract.test_clickhouse import friction, journey
from tests.kafka import ApacheKafka, read
from volvere.embedded import EmbeddedBroker
from volvere.topics import create

PARTITIONS = 2
QUICK = {"session_timeout_ms": 1000, "heartbeat_interval_ms": 200}
"""A new group on the embedded broker waits half a session before its first member gets to work."""


def touchpoint(number: int, **changes: Any) -> bytes:
    """A touchpoint as it is sent."""
    fields = {
        "source": "pbx", "event_id": f"e{number}", "customer_id": f"c{number % 7}", "kind": "contact.started",
        "channel": "voice", "occurred_at": f"2026-03-01T09:{number // 60 % 60:02d}:{number % 60:02d}Z",
    }  # fmt: skip
    return json.dumps(fields | changes).encode()


Sent = list[tuple[str, int, bytes | None]]
"""Topic, partition and value of records to send."""


async def send(bootstrap: str, prefix: str, sent: Sent, **options: Any) -> dict[tuple[str, int], int]:
    """Send records; gives the offset after the last of each partition. With a transactional id, in one transaction."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    await producer.start()
    try:
        if options:
            await producer.begin_transaction()
        futures = [await producer.send(prefix + topic, value, b"k", partition) for topic, partition, value in sent]
        if options:
            await producer.commit_transaction()
        ends: dict[tuple[str, int], int] = {}
        for done in [await future for future in futures]:
            ends[done.topic, done.partition] = max(ends.get((done.topic, done.partition), 0), done.offset + 1)
        return ends
    finally:
        await producer.stop()


def work(store: Store, then: Callable[[], Awaitable[object]]) -> None:
    """Run a store until `then` is done, and stop it in order."""

    async def both() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(store.run(stop))
        waiting = asyncio.ensure_future(then())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
        stop.set()
        await running
        await waiting

    asyncio.run(both())


@contextlib.contextmanager
def unstorable(client: Client, journey_id: str) -> Iterator[None]:
    """While this lasts ClickHouse does not take the row of a journey, which we find nothing wrong with."""
    client.command(
        f"ALTER TABLE volvere_store.journeys ADD CONSTRAINT odd CHECK toUInt8(if(journey_id = '{journey_id}', 'x', '1')) = 1"
    )
    try:
        yield
    finally:
        client.command("ALTER TABLE volvere_store.journeys DROP CONSTRAINT odd")


class Away(Letters):
    """Dead letters that Kafka does not take."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tried = asyncio.Event()

    async def put(self, letters: object) -> None:
        """As when no broker answers."""
        self.tried.set()
        raise TimeoutError


def letters(bootstrap: str, prefix: str) -> set[tuple[str, str, str, str, bytes | None]]:
    """What lies in the store's dead letters: reason, topic, partition, offset, value."""
    told = asyncio.run(read(bootstrap, prefix + STORE_DEAD_LETTERS.name, quiet_ms=300))
    named = [({name: value.decode() for name, value in r.headers}, r.value) for r in told]
    return {(h["reason"], h["topic"], h["partition"], h["offset"], value) for h, value in named}


@pytest.fixture
def topics(embedded_broker: EmbeddedBroker, topic_prefix: str) -> str:
    """The prefix of new topics on the embedded broker."""
    create(embedded_broker.bootstrap, PARTITIONS, prefix=topic_prefix)
    return topic_prefix


@pytest.fixture
def clickhouse(embedded: Client) -> Client:
    """The embedded engine, with empty tables."""
    for name in TABLES:
        embedded.command(f"TRUNCATE TABLE volvere_store.{name}")
    return embedded


def test_everything_is_stored_and_acknowledged(
    embedded_broker: EmbeddedBroker, topics: str, clickhouse: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Four topics in, four tables filled; bad records are named and stop nobody; a restart reads nothing again."""
    sent: Sent = [("touchpoints", n % PARTITIONS, touchpoint(n)) for n in range(300)]
    sent += [("touchpoints", 0, b"not json"), ("touchpoints", 1, touchpoint(1, kind="Bad Kind"))]
    sent += [("operations", 0, touchpoint(n, kind="release.deployed", customer_id=None)) for n in range(3)]
    sent += [("journeys", 0, json.dumps(journey()).encode()), ("journeys", 0, None), ("journeys", 1, b"{}")]
    sent += [("frictions", 1, json.dumps(friction()).encode()), ("frictions", 1, b"[1]")]
    ends = asyncio.run(send(embedded_broker.bootstrap, topics, sent))
    told: list[Refused] = []
    options: dict[str, Any] = {"application": topics, "prefix": topics, "consumer_options": QUICK}
    store = Store(clickhouse, embedded_broker.bootstrap, refused=told.extend, **options)
    work(store, lambda: store.drain(ends))

    assert dict(store.counts.rows) == {"touchpoints": 300, "operations": 3, "journeys": 1, "frictions": 1}
    assert query(clickhouse, "SELECT count() FROM volvere.touchpoints")[1] == [(300,)]
    assert query(clickhouse, "SELECT count() FROM volvere_store.operations")[1] == [(3,)]
    assert query(clickhouse, "SELECT summary FROM volvere.frictions")[1] == [("Called again about billing",)]
    assert query(clickhouse, "SELECT journey_id FROM volvere.journeys")[1] == [("j1",)]
    named = "SELECT source, reason, field, refused FROM volvere.refusals ORDER BY reason"
    assert query(clickhouse, named)[1] == [("pbx", "invalid_field", "kind", 1), ("", "not_json", "", 1)]
    assert dict(store.counts.refused) == {
        ("touchpoints", "not_json"): 1,
        ("touchpoints", "invalid_field"): 1,
        ("journeys", "invalid_field"): 1,
        ("frictions", "invalid_field"): 1,
    }
    assert store.counts.erased == 1
    assert {r.place for r in told if r.place[0] != topics + "touchpoints"} == {
        (topics + "journeys", 1, 0),
        (topics + "frictions", 1, 1),
    }
    assert f"not stored: {topics}frictions/1/1: invalid_field" in caplog.text
    assert f"not stored: {topics}touchpoints" not in caplog.text, "track dead-letters them and says so"
    assert letters(embedded_broker.bootstrap, topics) == {
        ("invalid_field", topics + "journeys", "1", "0", b"{}"),
        ("invalid_field", topics + "frictions", "1", "1", b"[1]"),
    }

    again = Store(clickhouse, embedded_broker.bootstrap, **options)
    work(again, lambda: again.drain(ends))
    assert not again.counts.rows


def test_clickhouse_away_for_a_while(
    embedded_broker: EmbeddedBroker, topics: str, clickhouse: Client, front: ChdbHttp
) -> None:
    """While ClickHouse is busy or gone nothing is lost and nobody has to do anything."""
    stamina.set_testing(True, attempts=100, cap=True)
    ends = asyncio.run(send(embedded_broker.bootstrap, topics, [("touchpoints", 0, touchpoint(n)) for n in range(50)]))
    front.faults.extend([Fail(202)] * 12)
    store = Store(
        connect(front.url), embedded_broker.bootstrap, application=topics, prefix=topics, consumer_options=QUICK
    )
    work(store, lambda: store.drain(ends))
    assert not front.faults
    assert store.counts.retries >= 8
    assert query(clickhouse, "SELECT count() FROM volvere_store.touchpoints")[1] == [(50,)]


def test_refused_login_ends_the_worker(
    embedded_broker: EmbeddedBroker, topics: str, clickhouse: Client, front: ChdbHttp
) -> None:
    """A password that is wrong is said at once, and whoever waits for the store hears that it ended."""
    ends = asyncio.run(send(embedded_broker.bootstrap, topics, [("touchpoints", 0, touchpoint(n)) for n in range(5)]))
    front.faults.append(Fail(516, status=403))
    store = Store(
        connect(front.url), embedded_broker.bootstrap, application=topics, prefix=topics, consumer_options=QUICK
    )
    drained: list[BaseException] = []

    async def drain() -> None:
        try:
            await store.drain(ends)
        except Transient as e:
            drained.append(e)

    with pytest.raises(StoreProblem, match="refuses the login"):
        work(store, drain)
    assert len(drained) == 1
    assert query(clickhouse, "SELECT count() FROM volvere_store.touchpoints")[1] == [(0,)]


def test_stop_while_clickhouse_is_away(
    embedded_broker: EmbeddedBroker, topics: str, clickhouse: Client, front: ChdbHttp
) -> None:
    """A stop does not wait for ClickHouse: Kafka keeps what was not stored, and the next worker stores it."""
    stamina.set_testing(True, attempts=10_000, cap=True)
    ends = asyncio.run(send(embedded_broker.bootstrap, topics, [("touchpoints", 0, touchpoint(n)) for n in range(5)]))
    front.faults.extend([Fail(202)] * 10_000)
    options: dict[str, Any] = {"application": topics, "prefix": topics, "consumer_options": QUICK}
    store = Store(connect(front.url), embedded_broker.bootstrap, **options)

    async def tried() -> None:
        front.arrived.clear()
        assert await asyncio.to_thread(front.arrived.wait, 30)

    work(store, tried)
    front.faults.clear()
    assert not store.counts.rows
    restarted = Store(clickhouse, embedded_broker.bootstrap, **options)
    work(restarted, lambda: restarted.drain(ends))
    assert restarted.counts.rows["touchpoints"] == 5


def test_row_that_clickhouse_refuses_is_named(
    embedded_broker: EmbeddedBroker, topics: str, clickhouse: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What passes our judgement and not ClickHouse's is one record's loss, named by its place."""
    bad = journey(journey_id="j2")
    sent: Sent = [("journeys", 0, json.dumps(value).encode()) for value in (journey(), bad)]
    ends = asyncio.run(send(embedded_broker.bootstrap, topics, sent))
    store = Store(clickhouse, embedded_broker.bootstrap, application=topics, prefix=topics, consumer_options=QUICK)
    with unstorable(clickhouse, "j2"):
        work(store, lambda: store.drain(ends))
    assert store.counts.rows["journeys"] == 1
    assert store.counts.refused == {("journeys", "unstorable"): 1}
    assert f"not stored: {topics}journeys/0/1" in caplog.text
    assert letters(embedded_broker.bootstrap, topics) == {
        ("unstorable", topics + "journeys", "0", "1", json.dumps(bad).encode())
    }


def test_no_offset_without_its_letter(embedded_broker: EmbeddedBroker, topics: str, clickhouse: Client) -> None:
    """While Kafka does not take a dead letter its record is not acknowledged: the next worker tells of it."""
    ends = asyncio.run(send(embedded_broker.bootstrap, topics, [("journeys", 0, b"{}"), ("journeys", 0, b"[]")]))
    options: dict[str, Any] = {"application": topics, "prefix": topics, "consumer_options": QUICK}
    store = Store(clickhouse, embedded_broker.bootstrap, **options)
    store._letters = Away(topics, {})
    work(store, store._letters.tried.wait)
    restarted = Store(clickhouse, embedded_broker.bootstrap, **options)
    work(restarted, lambda: restarted.drain(ends))
    assert restarted.counts.refused == {("journeys", "invalid_field"): 2}
    assert {value for *_, value in letters(embedded_broker.bootstrap, topics)} == {b"{}", b"[]"}


@pytest.mark.kafka
def test_transaction_markers_do_not_hold_a_drain(
    apache_kafka: ApacheKafka, topic_prefix: str, clickhouse: Client
) -> None:
    """On Kafka a transaction's end takes an offset of its own; waiting for the end of the log must still end."""
    create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix)
    sent: Sent = [("touchpoints", n % PARTITIONS, touchpoint(n)) for n in range(20)]
    ends = asyncio.run(send(apache_kafka.bootstrap, topic_prefix, sent, transactional_id=topic_prefix))
    with_markers = {tp: end + 1 for tp, end in ends.items()}
    options: dict[str, Any] = {"application": topic_prefix, "prefix": topic_prefix}
    for rows in (20, 0):
        store = Store(clickhouse, apache_kafka.bootstrap, **options)
        work(store, partial(store.drain, with_markers))
        assert store.counts.rows["touchpoints"] == rows
    assert query(clickhouse, "SELECT count() FROM volvere.touchpoints")[1] == [(20,)]
