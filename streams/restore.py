"""Reading the state of a partition back: all of its topic, to the end that it has after the claim.

Of every key only the last version is kept, and of the control records only the last one counts. Where the broker's
high watermarks cannot be trusted, the end is a record that is written for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.errors import Impossible
from streams.facts import CODEC
from streams.partition import CONTROL, Control, Timers, dissolve, read_control, timers_of

log = logging.getLogger("volvere.track")

BARRIER = b"\xffbarrier"
"""Key of the record that ends a restore on a broker whose high watermarks cannot be trusted."""

ANSWER_WITHIN = 30.0
"""Seconds for an answer of the broker: starting, stopping, asking for offsets."""
STALLED = 60.0
"""Seconds in which a restore must come further."""
AT_ONCE = 2_000
"""Records between two turns of the event loop."""

Records = list[ConsumerRecord[bytes, bytes]]


@dataclass
class Restored:
    """What the state topic says of a partition. records: how many were read."""

    control: Control
    state: dict[bytes, bytes]
    timers: Timers
    records: int


@dataclass
class _Reading:
    control: bytes | None = None
    state: dict[bytes, bytes] = field(default_factory=dict)
    records: int = 0


class Restorer:
    """Restores partitions.

    reader: a consumer of its own, not started. trusted: the broker's high watermarks can be relied on; where not, `barrier`
    writes a record to a partition of the state topic and gives the offset after it. generation: of a state that does not
    exist yet. read: records that were read back up to now.
    """

    def __init__(
        self,
        reader: Callable[[], AIOKafkaConsumer],
        source: str,
        state_topic: str,
        trusted: bool,
        generation: int,
        barrier: Callable[[int], Awaitable[int]],
    ) -> None:
        self._reader, self._source, self._state_topic = reader, source, state_topic
        self._trusted, self._generation, self._barrier = trusted, generation, barrier
        self.read = 0

    async def examine(self, numbers: Iterable[int]) -> dict[int, Control]:
        """Before claiming: Impossible if a newer release, or one with other partitions, has written the state.

        The control record is the last record of every flush, so the tail of the state shows it. Those that were found, by partition.
        """
        found: dict[int, Control] = {}
        if not self._trusted:
            return found
        async with self._reading(numbers) as (reader, states, _):
            async with within("the ends of the state"):
                ends = await reader.end_offsets(states)
                begins = await reader.beginning_offsets(states)
            count = self._partition_count(reader)
            wanted, tail = {tp for tp in states if ends[tp] > begins[tp]}, 8
            while wanted:  # a flush that was aborted may lie on top of the last one: look further back
                for tp in wanted:
                    reader.seek(tp, max(begins[tp], ends[tp] - tail))
                seen = {tp for tp in wanted if begins[tp] >= ends[tp] - tail}
                last: dict[TopicPartition, bytes] = {}
                async for tp, records in _until(reader, {tp: ends[tp] for tp in wanted}):
                    for record in records:
                        if record.key == CONTROL:  # a rebuild may lie between the last one and those before: it holds
                            last[tp] = record.value
                found |= {tp.partition: read_control(value, count) for tp, value in last.items()}
                wanted, tail = wanted - seen - last.keys(), tail * 64
        return found

    async def restore(self, numbers: Iterable[int], wanted: Callable[[int], bool]) -> dict[int, Restored]:
        """Read the state of claimed partitions to its end; those that are not wanted any more are left out."""
        async with self._reading(numbers) as (reader, states, sources):
            async with within("the ends of the state and the source"):
                begins = await reader.beginning_offsets(sources)
                if self._trusted:
                    ends = await reader.end_offsets(states + sources)
                else:
                    ends = {tp: await self._barrier(tp.partition) for tp in states}
                await reader.seek_to_beginning(*states)
            count = self._partition_count(reader)
            found = {tp.partition: _Reading() for tp in states}
            left = {tp: ends[tp] for tp in states if ends[tp] > 0}
            async for tp, records in _until(reader, left, wanted):
                _keep(records, ends[tp], found[tp.partition])
                self.read += len(records)
        restored: dict[int, Restored] = {}
        for tp in sources:
            n = tp.partition
            if wanted(n):
                control = self._control(n, found[n].control, count, begins[tp], ends.get(tp))
                state = found[n].state
                restored[n] = Restored(control, state, await timers_of(state), found[n].records)
            else:
                await dissolve(found[n].state)
        return restored

    def _control(self, number: int, value: bytes | None, count: int, begin: int, end: int | None) -> Control:
        """Where to read on in a source topic that goes from begin to end. Impossible where it does not reach so far."""
        control = Control(begin, 0, 0, self._generation, CODEC, count) if value is None else read_control(value, count)
        if control.offset < begin:
            log.error("partition %d: records %d to %d expired unread", number, control.offset, begin)
            control.offset = begin
        if end is not None and control.offset > end:
            raise Impossible(
                f"partition {number}: the state goes to offset {control.offset}, the topic ends at {end}: "
                "was the topic deleted? Rebuild the state, or use another application name"
            )
        return control

    @contextlib.asynccontextmanager
    async def _reading(
        self, numbers: Iterable[int]
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition], list[TopicPartition]]]:
        reader = self._reader()
        async with within("a consumer that starts"):
            await reader.start()
        await asyncio.sleep(0)  # stop() would trip over a task of the reader that never had its turn
        try:
            states = [TopicPartition(self._state_topic, n) for n in sorted(numbers)]
            sources = [TopicPartition(self._source, tp.partition) for tp in states]
            reader.assign(states + sources)  # the source only for its offsets: without it asking costs a second
            reader.pause(*sources)
            yield reader, states, sources
        finally:
            async with within("a consumer that stops"):
                await reader.stop()

    def _partition_count(self, reader: AIOKafkaConsumer) -> int:
        """From the reader's metadata, which it has once it was asked for offsets."""
        return len(reader.partitions_for_topic(self._source) or ())


def _keep(records: Records, end: int, into: _Reading) -> None:
    """The last version of each key."""
    state = into.state
    for record in records:
        if record.offset >= end:
            return
        into.records += 1
        key, value = record.key, record.value
        if key == CONTROL:
            into.control = value
        elif value is None:
            state.pop(key, None)
        elif key != BARRIER:
            state[key] = value


async def _until(
    reader: AIOKafkaConsumer, ends: dict[TopicPartition, int], wanted: Callable[[int], bool] = lambda _: True
) -> AsyncIterator[tuple[TopicPartition, Records]]:
    """The records of some partitions up to their ends and a few beyond, yielding to the event loop in between."""
    left = set(ends)
    came = time.monotonic()
    while left := {tp for tp in left if wanted(tp.partition)}:
        found = await reader.getmany(*left, timeout_ms=100, max_records=AT_ONCE)
        for tp, records in found.items():
            yield tp, records
        # What was not found may end in markers and aborted records, which are never handed out.
        for tp in list(found or left):
            async with within(f"the position in {tp}"):
                if await reader.position(tp) >= ends[tp]:
                    left.discard(tp)
        if found:
            came = time.monotonic()
        elif time.monotonic() - came > STALLED:
            raise Impossible(
                f"{sorted(left)}: nothing could be read for {STALLED:g} s, and the end is not reached; see to the broker"
            )
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def within(what: str, seconds: float = ANSWER_WITHIN) -> AsyncIterator[None]:
    """Impossible where the broker does not answer in time."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Impossible(f"{what}: no answer of the broker within {seconds:g} s; see to it, and start again") from None
