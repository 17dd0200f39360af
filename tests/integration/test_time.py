"""Time in a living worker, on Apache Kafka: whose clock it follows, when it stops, and when the worker does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from faust.types import TP
from kafka.admin import NewPartitions

from schemas.errors import Impossible
from schemas.times import HOUR, SECOND, format_time
from schemas.topics import DEAD_LETTERS, TOUCHPOINTS, partition_of
from streams.app import TrackApp, TrackConfig
from streams.rules import parse_rules
from tests.faults.crew import admin
from tests.faults.week import PARTITIONS, config
from tests.kafka import ApacheKafka, read
from volvere import files
from volvere.feed import feed
from volvere.topics import create
from volvere.worker import tracking, wall

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def settings(apache_kafka: ApacheKafka, topic_prefix: str) -> TrackConfig:
    """A worker with topics of its own."""
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    return config(apache_kafka.bootstrap, topic_prefix)


@contextlib.asynccontextmanager
async def living(settings: TrackConfig, failed: list[BaseException]) -> AsyncIterator[TrackApp]:
    """A worker for which time passes."""
    settings = replace(settings, fatal=failed.append, tick=0.02)
    async with asyncio.timeout(60), tracking(parse_rules(), settings) as app:
        ticks = asyncio.ensure_future(app.host.tick())
        try:
            yield app
        finally:
            ticks.cancel()
            await asyncio.wait({ticks})


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; whoever waits in vain is ended by a timeout around it."""
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.02)


def page(customer: str, n: int = 0) -> files.Record:
    """Somebody looks at a page, just now."""
    told = {"source": "web", "event_id": f"{customer}-{n}", "customer_id": customer, "kind": "page.viewed"}
    now = format_time(wall())
    return files.Record(1, msgspec.json.encode({**told, "channel": "web", "occurred_at": now}), customer)


async def send(settings: TrackConfig, *items: files.Record) -> None:
    """Append records now."""
    await feed(settings.bootstrap, items, settings.prefix)


def test_a_worker_whose_clock_is_hours_ahead_lets_no_hours_pass(settings: TrackConfig) -> None:
    """A machine without time service must not turn every waiting customer into a slow reply, for good."""
    failed: list[BaseException] = []
    ahead = replace(settings, now=lambda: wall() + 5 * HOUR)

    async def work() -> None:
        async with living(ahead, failed) as app:
            await send(settings, page("maria"))
            home = partition_of("maria", PARTITIONS)
            held = app.host.partitions
            await until(lambda: home in held and held[home].clock)
            began = held[home].clock
            await until(lambda: held[home].clock > began + SECOND)
            assert held[home].watermark <= wall()
            assert held[home].control.live_from <= wall(), "what comes now is live, not history"

    asyncio.run(work())
    assert not failed


def test_no_time_passes_while_the_whole_input_is_silent(
    settings: TrackConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead producer is no reason to find that nobody answers; it is said, and ends with the next record of anybody."""
    failed: list[BaseException] = []
    quick = replace(settings, input_silent_after=1.0)
    home = partition_of("maria", PARTITIONS)
    elsewhere = next(name for name in ("juan", "ana", "li") if partition_of(name, PARTITIONS) != home)

    async def work() -> None:
        async with living(quick, failed) as app:
            host = app.host
            await send(settings, page("maria"))
            await until(lambda: home in host.partitions and host.partitions[home].clock)
            held = host.partitions[home]
            await until(lambda: host.listener.silent)
            stopped, seen = held.clock, time.monotonic()
            at = TP(host.names.source, home)
            await until(lambda: at in host.consumer.ends and host.consumer.ends[at].at > seen + 0.5)
            assert held.clock == stopped
            await send(settings, page(elsewhere))
            await until(lambda: held.clock > stopped)

    with caplog.at_level(logging.INFO, "volvere"):
        asyncio.run(work())
    assert not failed
    said = [r.getMessage() for r in caplog.records if "the input is" in r.getMessage()]
    assert "the input is silent" in said[0] and "the input is back" in said[1]


RUBBISH = files.Record(1, b"\x00 no touchpoint", None)


def test_a_worker_that_can_read_nothing_stops_and_says_why(settings: TrackConfig) -> None:
    """A bad deploy must not turn a night's input into dead letters."""
    failed: list[BaseException] = []

    async def work() -> None:
        with contextlib.suppress(Exception):  # how its parts end does not matter: the process would be gone
            async with living(settings, failed) as app:
                await send(settings, *[RUBBISH] * 6000)
                await until(lambda: failed)
                assert app.host.tally.read < 6000

    asyncio.run(work())
    assert isinstance(failed[0], Impossible)
    assert "unreadable" in str(failed[0]) and "VOLVERE_FUSE=off" in str(failed[0])


def test_an_operator_can_let_it_go_on(settings: TrackConfig) -> None:
    """With the fuse off all of it goes to the dead letters, and the position moves on."""
    failed: list[BaseException] = []
    bare = replace(settings, fuse=False)

    async def work() -> int:
        async with living(bare, failed) as app:
            await send(settings, *[RUBBISH] * 1500, page("maria"))
            held = app.host.partitions
            await until(lambda: sum(p.control.offset for p in held.values()) >= 1501)
        return len(await read(settings.bootstrap, settings.prefix + DEAD_LETTERS.name))

    assert asyncio.run(work()) == 1500
    assert not failed


def test_partitions_that_are_added_under_a_living_worker_end_it(settings: TrackConfig) -> None:
    """From that moment producers send customers elsewhere, to owners who know nothing of them."""
    failed: list[BaseException] = []
    quick = replace(settings, input_silent_after=2.0)

    async def work() -> None:
        with contextlib.suppress(Exception):
            async with living(quick, failed) as app:
                await until(lambda: app.host.partitions and app.host.listener.partitions)
                with admin(settings.bootstrap) as client:
                    client.create_partitions({settings.prefix + TOUCHPOINTS.name: NewPartitions(PARTITIONS + 1)})
                await until(lambda: failed)

    asyncio.run(work())
    assert "5 partitions now, the state was built for 4" in str(failed[0])
    assert "rebuild" in str(failed[0])
