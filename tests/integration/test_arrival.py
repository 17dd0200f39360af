"""Partitions that arrive: what a worker keeps goes on meanwhile, and a rebalance in the midst of it changes no result."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.app import TrackApp, TrackHost
from streams.partition import Control
from streams.restore import Restored, Restorer
from streams.rules import parse_rules
from tests.faults.crew import Crew, crew
from tests.faults.week import PARTITIONS, config, expected, found, must_be_there_once, published, values, week
from tests.kafka import ApacheKafka
from volvere.feed import feed
from volvere.topics import create
from volvere.worker import tracking

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

WITHIN = 120


@pytest.fixture
def team(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """A crew with topics of its own."""
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    with crew(apache_kafka.bootstrap, topic_prefix, tmp_path) as members:
        yield members


class HeldBack(Restorer):
    """Reads the state of partitions, but only once it is let."""

    def __init__(self, restorer: Restorer) -> None:
        self._restorer = restorer
        self.let = asyncio.Event()
        self.asked: list[set[int]] = []

    async def examine(self, numbers: Iterable[int]) -> dict[int, Control]:
        """At once."""
        return await self._restorer.examine(numbers)

    async def restore(self, numbers: Iterable[int], wanted: Callable[[int], bool]) -> dict[int, Restored]:
        """Later."""
        self.asked.append(set(numbers))
        await self.let.wait()
        return await self._restorer.restore(numbers, wanted)


@asynccontextmanager
async def working(team: Crew, failed: list[BaseException]) -> AsyncIterator[TrackApp]:
    """A worker in this process, beside the crew."""
    settings = config(team.bootstrap, team.prefix)
    settings.fatal = failed.append
    async with asyncio.timeout(WITHIN), tracking(parse_rules(), settings) as app:
        yield app


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; whoever waits in vain is ended by a timeout around it."""
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.02)


async def left_alone(team: Crew, host: TrackHost, other: str) -> HeldBack:
    """Hold half of the partitions, then lose the worker with the others, whose restore is held back."""
    await until(lambda: len(host.partitions) == PARTITIONS / 2 and not host.arrivals.numbers)
    slow = HeldBack(host.arrivals.restorer)
    host.arrivals.restorer = slow
    killed = team.running.pop(other)
    killed.kill()
    killed.wait()
    await until(lambda: slow.asked)
    return slow


async def must_be_true(team: Crew, host: TrackHost, parts: list[Any], fed: list[Any]) -> None:
    """Finish what was fed, and compare it with the truth."""
    ends = {n: end for one in fed for n, end in one.ends.items()}
    await host.finish(ends, max(one.newest for one in fed))
    truth = expected([item for part in parts for item in part])
    frictions, journeys = await published(team.bootstrap, team.prefix)
    must_be_there_once(frictions)
    ended = found(values(frictions), values(journeys))
    assert ended.frictions == truth.frictions
    assert ended.journeys == truth.journeys


def test_survivors_go_on_while_the_partitions_of_the_dead_are_restored(team: Crew) -> None:
    """Half a million customers take a while to read back; who was not hit must not wait for it."""
    parts = week().chunks[:6]
    failed: list[BaseException] = []

    async def work() -> None:
        team.start("other", "--still")
        fed = [await feed(team.bootstrap, [i for part in parts[:3] for i in part], team.prefix)]
        await asyncio.to_thread(team.until, lambda: team.committed >= fed[0].records, WITHIN)
        async with working(team, failed) as app:
            host = app.host
            slow = await left_alone(team, host, "other")
            kept, new = set(host.partitions), set(range(PARTITIONS)) - set(host.partitions)
            assert slow.asked == [new], "only what is new is restored"
            fed.append(await feed(team.bootstrap, [i for part in parts[3:] for i in part], team.prefix))
            await until(lambda: all(host.partitions[n].control.offset >= fed[1].ends[n] for n in kept))
            committed = await asyncio.to_thread(team.offsets)
            assert all(committed[n] >= fed[1].ends[n] for n in kept)
            assert all(committed[n] < fed[1].ends[n] for n in new)
            assert set(host.partitions) == kept, "nothing is done with what is not restored"
            slow.let.set()
            await must_be_true(team, host, parts, fed)
            assert set(host.partitions) == kept | new

    asyncio.run(work())
    assert not failed


def test_a_rebalance_in_the_midst_of_a_restore(team: Crew) -> None:
    """Workers come and go in rows: what moves on is left to its next owner, what stays is not begun anew."""
    parts = week().chunks[:6]
    failed: list[BaseException] = []

    async def work() -> None:
        team.start("other", "--still")
        fed = [await feed(team.bootstrap, [i for part in parts[:3] for i in part], team.prefix)]
        await asyncio.to_thread(team.until, lambda: team.committed >= fed[0].records, WITHIN)
        async with working(team, failed) as app:
            host = app.host
            slow = await left_alone(team, host, "other")
            team.start("third", "--still")
            fed.append(await feed(team.bootstrap, [i for part in parts[3:] for i in part], team.prefix))
            await until(lambda: len(host.partitions.keys() | host.arrivals.numbers) == PARTITIONS / 2)
            mine = set(host.partitions) | host.arrivals.numbers
            assert len(slow.asked) == 1 or not slow.asked[-1] & slow.asked[0], "it had begun with these already"
            slow.let.set()
            await until(lambda: set(host.partitions) == mine)
            await asyncio.to_thread(team.await_offsets, fed[1].ends)
            assert await asyncio.to_thread(team.stop, signal.SIGTERM) == [0], team.logs()
            await until(lambda: len(host.partitions) == PARTITIONS)
            await must_be_true(team, host, parts, fed)

    asyncio.run(work())
    assert not failed
