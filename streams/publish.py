"""How a flush reaches Kafka: publish, remember, acknowledge, in that order.

`Transactional` makes one transaction of it; the producer's `transactional.id` is the
application and the partition, so that starting it fences an earlier owner and ends its open
transaction. `Ordered` is for brokers that have no transactions: the same order, each
step acknowledged by the broker before the next, state before the control record. Whatever fails
in a flush ends the process: what Kafka holds then is what a successor reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import Impossible

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value, headers."""

Hook = Callable[[str], Awaitable[None]]
"""Awaited at each named point of a flush; for tests that kill a worker there."""

STEPS = ("publish", "state", "control", "commit", "install")
POINTS = tuple(f"{when} {step}" for step in STEPS for when in ("before", "after"))
"""The named points of a flush, in order."""

MAX_BATCH_BYTES = 1_000_000
LOG_APPEND_TIME = 1
"""Kafka's number for a record whose timestamp is the broker's."""


@dataclass
class Outbox:
    """All that one flush of a partition says. `position`: the source offset to go on from."""

    partition: int
    position: int
    control: Record
    published: dict[str, list[Record]] = field(default_factory=dict)
    state: list[Record] = field(default_factory=list)
    forwarded: list[tuple[int, Record]] = field(default_factory=list)


class Publisher(Protocol):
    """Writes outboxes, for one partition."""

    async def start(self) -> None:
        """Claim the partition: from here on an earlier owner can write nothing."""

    async def write(self, outbox: Outbox, at: Hook) -> int:
        """Write it all, or raise. The broker's time at which the state was appended, microseconds; 0 where it tells none."""

    async def stop(self) -> None:
        """Give the connection back."""


Sent = list[tuple[Awaitable[Any], int]]
"""What the broker will acknowledge, each with its number of records."""


async def send(producer: AIOKafkaProducer, topic: str, partition: int, records: list[Record]) -> Sent:
    """Hand records to the producer in as few batches as they fit into."""
    sent: Sent = []
    if not records:
        return sent
    batch = producer.create_batch()
    for key, value, headers in records:
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            sent.append((await producer.send_batch(batch, topic, partition=partition), batch.record_count()))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None, headers=headers)
    if batch.record_count():
        sent.append((await producer.send_batch(batch, topic, partition=partition), batch.record_count()))
    return sent


async def settle(sent: Sent, ends: dict[tuple[str, int], int]) -> int:
    """Await the broker's acknowledgements; `ends`: (topic, partition) -> the offset after what was written.

    The latest append by the broker's own clock, microseconds; 0 where it took the producer's.
    """
    latest = 0
    for future, count in sent:
        written = await future
        at = (written.topic, written.partition)
        ends[at] = max(ends.get(at, 0), written.offset + count)
        if written.timestamp_type == LOG_APPEND_TIME:
            latest = max(latest, written.timestamp * 1000)
    return latest


@dataclass
class Topics:
    """The topics' names, prefix included, and how far they were written: (topic, partition) -> offset."""

    source: str
    state: str
    ends: dict[tuple[str, int], int] = field(default_factory=dict)


class Transactional:
    """One flush, one transaction. `forwarder`: an ordinary producer, shared by the partitions. `within`: seconds."""

    def __init__(
        self, producer: AIOKafkaProducer, forwarder: AIOKafkaProducer, topics: Topics, group: str, within: float
    ) -> None:
        self.producer, self.forwarder, self.topics, self.group = producer, forwarder, topics, group
        self.within = within

    async def start(self) -> None:
        """Fence the old owner and end its open transaction."""
        await self.producer.start()

    async def write(self, outbox: Outbox, at: Hook) -> int:
        """Forward, then everything else in one transaction. Impossible where that takes too long."""
        async with _deadline(outbox, self.within):
            return await self._write(outbox, at)

    async def _write(self, outbox: Outbox, at: Hook) -> int:
        q, producer = outbox.partition, self.producer
        await _forward(self.forwarder, self.topics, outbox)
        await producer.begin_transaction()
        await at("before publish")
        sent: Sent = []
        for topic, records in outbox.published.items():
            sent += await send(producer, topic, q, records)
        await at("after publish")
        await at("before state")
        sent += await send(producer, self.topics.state, q, outbox.state)
        await at("after state")
        await at("before control")
        sent += await send(producer, self.topics.state, q, [outbox.control])
        await at("after control")
        appended = await settle(sent, self.topics.ends)
        offsets = {TopicPartition(self.topics.source, q): OffsetAndMetadata(outbox.position, "")}
        await producer.send_offsets_to_transaction(offsets, self.group)
        await at("before commit")
        await producer.commit_transaction()
        await at("after commit")
        return appended

    async def stop(self) -> None:
        """Close the producer; an open transaction is left to its successor."""
        await self.producer.stop()


class Ordered:
    """The same order without transactions: each step is acknowledged before the next."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topics: Topics,
        commit: Callable[[int, int], Awaitable[None]],
        within: float,
    ) -> None:
        self.producer, self.topics, self._commit, self.within = producer, topics, commit, within

    async def start(self) -> None:
        """Nothing to claim: such a broker cannot fence anybody."""

    async def write(self, outbox: Outbox, at: Hook) -> int:
        """Forward, publish, remember, acknowledge. Impossible where that takes too long."""
        async with _deadline(outbox, self.within):
            return await self._write(outbox, at)

    async def _write(self, outbox: Outbox, at: Hook) -> int:
        q, producer = outbox.partition, self.producer
        await _forward(producer, self.topics, outbox)
        await at("before publish")
        for topic, records in outbox.published.items():
            await settle(await send(producer, topic, q, records), self.topics.ends)
        await at("after publish")
        await at("before state")
        await settle(await send(producer, self.topics.state, q, outbox.state), self.topics.ends)
        await at("after state")
        await at("before control")
        appended = await settle(await send(producer, self.topics.state, q, [outbox.control]), self.topics.ends)
        await at("after control")
        await at("before commit")
        await self._commit(q, outbox.position)
        await at("after commit")
        return appended

    async def stop(self) -> None:
        """Nothing: the producer is shared."""


@contextlib.asynccontextmanager
async def _deadline(outbox: Outbox, seconds: float) -> AsyncIterator[None]:
    """Impossible where a flush takes longer: a producer itself would try for ever."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Impossible(
            f"partition {outbox.partition}: a flush took longer than the {seconds:g} s that it may; "
            "the broker did not answer, or this worker slept and was fenced meanwhile"
        ) from None


async def _forward(producer: AIOKafkaProducer, topics: Topics, outbox: Outbox) -> None:
    """Send misplaced records to their owners, acknowledged before the flush commits.

    Outside the transaction: merging is idempotent, and inside it would tie partitions together.
    """
    sent = [
        (await producer.send(topics.source, value, key=key, partition=to, headers=headers), 1)
        for to, (key, value, headers) in outbox.forwarded
    ]
    await settle(sent, topics.ends)
