"""What the record-batch transport rests on: private methods of Faust and aiokafka, and who may own a partition."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.subscription_state import Subscription, SubscriptionState, TopicPartitionState
from faust.app.base import App
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from kafka.admin import NewPartitions

from schemas.topics import TOPICS, TOUCHPOINTS
from streams.app import BUFFERED, TrackApp, TrackConfig, build
from streams.rules import parse_rules
from streams.transport import BatchConsumer, BatchSchema, BatchThread, BatchTransport
from tests.faults.crew import Crew, admin, crew
from tests.faults.week import PARTITIONS, config, expected, found, must_be_there_once, published, values, week
from tests.kafka import ApacheKafka
from volvere import files
from volvere.feed import feed
from volvere.topics import create
from volvere.worker import tracking

OVERRIDDEN = [
    (BatchThread, AIOKafkaConsumerThread, "_create_worker_consumer"),
    (BatchThread, AIOKafkaConsumerThread, "_fetch_records"),
    (BatchConsumer, Consumer, "_new_consumer_thread"),
    (BatchConsumer, Consumer, "getmany"),
    (BatchConsumer, Consumer, "stop_flow"),
    (BatchConsumer, Consumer, "seek_to_committed"),
    (BatchConsumer, Consumer, "wait_empty"),
    (BatchConsumer, Consumer, "commit"),
    (BatchConsumer, Consumer, "_add_gap"),
    (BatchConsumer, Consumer, "on_partitions_assigned"),
    (BatchSchema, faust.Schema, "compile"),
    (TrackApp, App, "_new_transport"),
    (TrackApp, App, "_new_producer_transport"),
]


@pytest.mark.parametrize(("ours", "theirs", "name"), OVERRIDDEN, ids=[f"{o.__name__}.{n}" for o, _, n in OVERRIDDEN])
def test_what_is_overridden_is_there(ours: type, theirs: type, name: str) -> None:
    """A release of Faust that renames a private method would quietly call its own again."""
    assert vars(ours)[name] is not getattr(theirs, name)
    mine, others = inspect.signature(vars(ours)[name]), inspect.signature(getattr(theirs, name))
    assert len([p for p in mine.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]) <= len(others.parameters)
    required = [
        p.name for p in others.parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    mine.bind(*required)  # whoever calls theirs as it must be called can call ours
    kinds = inspect.isasyncgenfunction, inspect.iscoroutinefunction
    theirs_is, ours_is = (
        [kind(vars(c)[name] if c is ours else getattr(c, name)) for kind in kinds] for c in (theirs, ours)
    )
    assert theirs_is == ours_is


def test_what_is_reached_into_is_there() -> None:
    """Offsets, ends and rebalances are read where aiokafka keeps them."""
    for owner, names in {
        SubscriptionState: ("is_assigned", "subscription"),
        Subscription: ("_begin_reassignment",),
        TopicPartitionState: ("has_valid_position", "position"),
        Consumer: (
            "_wait_next_records",
            "_get_active_partitions",
            "_commit",
            "assignment",
            "pause_partitions",
            "resume_partitions",
        ),
        BatchTransport: ("Consumer",),
    }.items():
        assert [name for name in names if not hasattr(owner, name)] == []
    assert Transport.Consumer is Consumer
    assert "_isolation_level" in inspect.getsource(AIOKafkaConsumer.__init__)
    assert "_fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.__init__)
    assert "self._reassignment_in_progress" in inspect.getsource(Subscription)
    state = inspect.getsource(TopicPartitionState.__init__)
    assert "self.highwater" in state and "self.timestamp" in state


def test_the_app_uses_the_transport() -> None:
    """Faust makes its consumer from the transport that the app hands it."""
    app = build(parse_rules(), TrackConfig("127.0.0.1:9"))
    assert type(app._new_transport()) is BatchTransport
    assert BatchTransport.Consumer is BatchConsumer
    assert app.conf.broker_commit_interval > 1_000_000, "Faust never commits"
    assert app.conf.table_standby_replicas == 0 and not app.conf.web_enabled
    (agent,) = app.agents.values()
    assert aiter(agent.stream().channel).queue.maxsize == BUFFERED, (
        "what waits is bounded, however far behind a worker is"
    )


@pytest.fixture
def team(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """A crew with topics of its own."""
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    with crew(apache_kafka.bootstrap, topic_prefix, tmp_path) as members:
        yield members


async def scatter(bootstrap: str, topic: str, items: list[files.Record]) -> None:
    """Send each customer's records to any partition, as a producer with another partitioner does."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    await producer.start()
    try:
        sent = [await producer.send(topic, item.value, partition=item.line % PARTITIONS) for item in items]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """How far a topic goes, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, n) for n in range(PARTITIONS)])
        return {tp.partition: end for tp, end in found.items()}
    finally:
        await consumer.stop()


@pytest.mark.kafka
def test_misplaced_records_are_forwarded(team: Crew) -> None:
    """Producers in other languages choose other partitions; a customer still has one owner, and one truth."""
    items = [item for part in week().chunks for item in part if item.subject is not None]
    truth = expected(items)
    bootstrap, prefix = team.bootstrap, team.prefix
    source = prefix + TOUCHPOINTS.name

    async def work() -> Any:
        failed: list[BaseException] = []
        settings = config(bootstrap, prefix)
        settings.fatal = failed.append
        await scatter(bootstrap, source, items)
        async with asyncio.timeout(120), tracking(parse_rules(), settings) as app:
            await app.host.finish(await ends(bootstrap, source), truth.newest)  # what is forwarded, too
        assert not failed
        return app.host.tally

    tally = asyncio.run(work())
    size = len(items)
    assert size / 2 < tally.forwarded < size
    assert tally.read == size + tally.forwarded
    assert tally.too_late == 0 and not tally.refused
    frictions, journeys = asyncio.run(published(bootstrap, prefix))
    must_be_there_once(frictions)
    ended = found(values(frictions), values(journeys))
    assert ended.frictions == truth.frictions
    assert ended.journeys == truth.journeys


@pytest.mark.kafka
def test_an_older_release_refuses_before_it_claims(team: Crew) -> None:
    """A roll-back in the midst of an upgrade must not fence the newer worker, nor misread its state."""
    told = week()
    first = asyncio.run(feed(team.bootstrap, told.chunks[0], team.prefix))
    team.start("newer", "--newer")
    team.await_offsets(first.ends)
    older = team.start("older")
    assert older.wait(timeout=60) == 4, team.logs("older")
    team.ended()
    log = team.logs("older")
    assert "the state was written with codec 2; this release reads [1]: upgrade it" in log
    assert "claimed" not in log and "Traceback" not in log
    second = asyncio.run(feed(team.bootstrap, told.chunks[1], team.prefix))
    team.await_offsets(second.ends)
    assert team.stop(signal.SIGTERM) == [0], "the newer worker was never fenced"
    assert team.committed == first.records + second.records


@pytest.mark.kafka
def test_another_partition_count_is_refused(team: Crew) -> None:
    """With more partitions customers would have other owners, whose state knows nothing of them."""
    told = week()
    fed = asyncio.run(feed(team.bootstrap, told.chunks[0], team.prefix))
    team.start("before")
    team.await_offsets(fed.ends)
    assert team.stop() == [0]
    with admin(team.bootstrap) as client:
        client.create_partitions({team.prefix + t.name: NewPartitions(2 * PARTITIONS) for t in TOPICS if t.owned})
    after = team.start("after")
    assert after.wait(timeout=60) == 4, team.logs("after")
    log = team.logs("after")
    assert "the state was built for 4 partitions, the topics have 8" in log
    assert "rebuild" in log and "Traceback" not in log
    assert team.committed == fed.records
