"""Partitions on their way in: claimed, restored, begun, and only then read.

Faust waits for none of this: the partitions that a worker keeps go on at once, and those that arrive stay paused until
their state is there. They share the fate of held ones over a rebalance: one that comes back in the very next generation goes on
arriving, any other is dropped, and its claim is worth nothing any more.

Claiming, and the first flush, must end before this worker joins a group anew: later they could hit the next owner.
So both happen under one lock, for which a rebalance waits, and only while the assignment that is known is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from streams.partition import Partition
from streams.publish import Publisher
from streams.restore import Restored, Restorer, within

CLOSE_WITHIN = 5.0
"""Seconds for giving a connection back."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Partitions that were claimed, and restored from so many records of the state. Seconds."""

    partitions: list[int]
    records: int
    claim: float
    restore: float


class Owner(Protocol):
    """What an arriving partition asks of whoever will hold it."""

    def settled(self) -> bool:
        """The assignment that it was told last is in force, and no other is under way."""

    def publisher(self, number: int) -> Publisher:
        """Of a partition that is to be claimed."""

    def partition(self, number: int, publisher: Publisher, restored: Restored) -> Partition:
        """Made of what was restored."""

    def claimed(self, claim: Claimed) -> None:
        """These are held from now on, and it took so long."""

    async def install(self, partitions: list[Partition]) -> None:
        """Hold them from now on, and read."""

    async def arrived(self) -> None:
        """Some do not arrive any more: they are held, or were dropped."""

    def fatal(self, error: BaseException) -> None:
        """Nothing may be written after this."""


class Arrivals:
    """The partitions that are claimed and restored just now. Everything runs in one event loop."""

    def __init__(self, owner: Owner, restorer: Restorer) -> None:
        self._owner, self.restorer = owner, restorer
        self._coming: dict[int, Publisher] = {}
        self._claiming = asyncio.Lock()
        self._assigned = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def numbers(self) -> set[int]:
        """Those that arrive."""
        return set(self._coming)

    def start(self, numbers: Iterable[int]) -> None:
        """Claim and restore these, in a task."""
        publishers = {n: self._owner.publisher(n) for n in numbers}
        self._coming |= publishers
        task = asyncio.ensure_future(self._arrive(publishers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def assigned(self, partitions: set[int]) -> None:
        """These go on arriving, the others do not. Whoever waits for the end of a rebalance goes on."""
        self._coming = {n: publisher for n, publisher in self._coming.items() if n in partitions}
        self._assigned.set()
        self._assigned.clear()

    async def settle(self) -> None:
        """Wait for a claim, or a first flush, that is under way."""
        async with self._claiming:
            pass

    async def stop(self) -> None:
        """Drop them all."""
        self._coming.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _still(self, publishers: dict[int, Publisher]) -> dict[int, Publisher]:
        return {n: publisher for n, publisher in publishers.items() if self._coming.get(n) is publisher}

    async def _arrive(self, publishers: dict[int, Publisher]) -> None:
        held: set[int] = set()
        try:
            held = await self._bring(publishers)
        except Exception as e:  # noqa: BLE001 - whatever it is, nothing may be written after it
            if self._still(publishers):  # what was dropped may fail as it likes: its claim belongs to somebody else
                with contextlib.suppress(Exception):  # it is raised for others
                    self._owner.fatal(e)
        finally:
            for number in self._still(publishers):
                self._coming.pop(number)
            await self._owner.arrived()
            await asyncio.gather(*(close(publisher) for n, publisher in publishers.items() if n not in held))

    async def _bring(self, publishers: dict[int, Publisher]) -> set[int]:
        """Claim, restore, begin and install; gives those that are held now."""
        started = time.monotonic()
        async with self._claiming:
            mine = self._still(publishers)
            if not self._owner.settled() or not mine:  # the assignment that comes begins anew with what it brings
                return set()
            await self.restorer.examine(mine)
            async with within("claims"):
                await asyncio.gather(*(publisher.start() for publisher in mine.values()))
        claimed = time.monotonic()
        restored = await self.restorer.restore(mine, lambda n: self._coming.get(n) is publishers[n])
        records = sum(r.records for r in restored.values())
        while self._still(mine):
            async with self._claiming:
                if self._owner.settled():
                    mine = self._still(mine)
                    partitions = [self._owner.partition(n, mine[n], restored.pop(n)) for n in mine]
                    await asyncio.gather(*(partition.begin() for partition in partitions))
                    await self._owner.install(partitions)
                    self._owner.claimed(Claimed(sorted(mine), records, claimed - started, time.monotonic() - claimed))
                    return set(mine)
            await self._assigned.wait()
        return set()


async def close(publisher: Publisher) -> None:
    """Give its connection back, whatever state it is in."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(publisher.stop(), CLOSE_WITHIN)
