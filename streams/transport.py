"""The record-batch transport: Faust's aiokafka consumer, handing out whole fetches.

Faust keeps the app, its lifecycle, assignment, rebalancing, signals and agents; this module
changes what one message is (all that one fetch brought of one partition) and where reading
begins (the positions that the host remembers, never the group's offsets).

What has to be right, and is held by contract tests since it overrides private methods of
faust-streaming 0.15 and aiokafka 0.14:

- A fetch that began before a stop or a seek drains its records after it. An epoch is raised
  by both; what was drained in an older epoch is put back in the consumer's own thread, and batches
  of an older epoch are stale wherever they meet somebody.
- Nothing is acknowledged. The host's flush holds the position, so `commit` does nothing and
  `wait_empty`, which Faust awaits before partitions go and before it stops, flushes instead.
- The position after a drain is not the last offset + 1: transaction markers take offsets too.
- A partition that is assigned but not held yet is paused, and what is drained of it nevertheless (Faust takes an
  empty set of partitions for all of them) is put back. It is read only after the seek to where the host says.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

MAX_BATCH = 2_000
"""Records in one batch: the event loop is busy with one for well below 100 ms."""

POLL = 0.02
"""Seconds between two looks whether there is something to read."""


@dataclass(frozen=True, slots=True)
class End:
    """Where reading stands after a fetch: position, high watermark, and when the response came (steady clock, seconds)."""

    position: int
    highwater: int
    at: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition from one fetch. `position` is where reading goes on after them; `left`: how many offsets follow, 1 where that is not known."""

    epoch: int
    records: list[Any]
    position: int
    left: int


class Host(Protocol):
    """What the transport asks of whoever holds the partitions."""

    def position(self, tp: TP) -> int | None:
        """Where to read on, for a partition that is held."""

    async def assigned(self, partitions: set[int], missed: bool, generation: int) -> None:
        """These are ours from now on; `missed`: an assignment came and went unseen in between."""

    async def settle(self) -> None:
        """Flush what is merged: partitions may go, or the worker stops."""


class _Fetched(dict[Any, list[Any]]):
    """The records of a fetch by partition, with the epoch that it belongs to and the ends after it."""

    epoch: int
    ends: dict[TP, End]


class BatchThread(AIOKafkaConsumerThread):
    """The thread in which the Kafka consumer lives."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # producers of touchpoints may use transactions
        consumer._fetch_max_wait_ms = 100  # Faust's 1500 would make timers that late
        return consumer

    async def _fetch_records(self, consumer: Any, active: Any, timeout: Any = None, max_records: Any = None) -> Any:
        owner: BatchConsumer = self.consumer  # type: ignore[assignment]
        epoch = owner.epoch
        found = _Fetched(await super()._fetch_records(consumer, active, timeout=timeout, max_records=max_records))
        found.epoch = epoch
        for tp in list(found) if epoch != owner.epoch else [tp for tp in found if tp not in owner.reading]:
            records = found.pop(tp)
            if consumer._subscription.is_assigned(tp):
                consumer.seek(tp, records[0].offset)
        if epoch != owner.epoch:
            return found
        assignment = consumer._subscription.subscription.assignment
        found.ends = {}
        now, now_ms = time.monotonic(), time.time() * 1000
        for tp in assignment.tps if assignment is not None and assignment.active else ():
            state = assignment.state_value(tp)
            known = state.has_valid_position and state.highwater is not None and state.timestamp is not None
            if known and tp in owner.reading:
                age = (
                    max(0.0, now_ms - state.timestamp) / 1000
                )  # of moments: whether the wall clock is right is no matter
                found.ends[TP(*tp)] = End(state.position, state.highwater, now - age)
        return found

    async def seek_in(self, epoch: int, positions: Mapping[TP, int]) -> None:
        """Seek, unless the epoch is over: what reads on by then has been sought anew."""
        await self.call_thread(self._seek_in, epoch, positions)

    async def _seek_in(self, epoch: int, positions: Mapping[TP, int]) -> None:
        owner: BatchConsumer = self.consumer  # type: ignore[assignment]
        consumer = self._ensure_consumer()
        for tp, offset in positions.items():
            if epoch == owner.epoch and consumer._subscription.is_assigned(tp):
                consumer.seek(tp, offset)


class BatchConsumer(Consumer):
    """One message a partition and fetch; positions from the host."""

    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = 0
        self.ends: dict[TP, End] = {}
        self.handed: dict[TP, int] = {}  # the position after the last batch that was handed out
        self.reading: set[TP] = set()  # sought in this epoch
        self._last_generation: int | None = None

    @property
    def host(self) -> Host:
        """The app's host."""
        host: Host = self.app.host  # type: ignore[attr-defined]
        return host

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """The batches of one fetch."""
        if self.flow_active and not self._get_active_partitions():  # all arrive yet; Faust would sleep for a second
            await self.sleep(POLL)
            return
        fetched, _ = await self._wait_next_records(timeout)
        if not isinstance(fetched, _Fetched) or self.should_stop or fetched.epoch != self.epoch:
            return
        epoch, generation = fetched.epoch, self.app.consumer_generation_id
        for key, records in fetched.items():
            tp = TP(*key)
            end = fetched.ends.get(tp)
            for i in range(0, len(records), MAX_BATCH):
                part = records[i : i + MAX_BATCH]
                last = part[-1]
                position = last.offset + 1
                if i + MAX_BATCH >= len(records) and end is not None:
                    position = max(end.position, position)
                left = max(0, end.highwater - position) if end is not None else 1
                if epoch != self.epoch:
                    return
                self.handed[tp] = position
                yield tp, self._message(tp, last, Batch(epoch, part, position, left), generation)
        if epoch == self.epoch:
            self.ends = fetched.ends

    def _message(self, tp: TP, last: Any, batch: Batch, generation: int) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            [],
            None,
            batch,  # type: ignore[arg-type]
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    def stop_flow(self) -> None:
        """Nothing that was fetched before counts any more."""
        super().stop_flow()
        self._new_epoch()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where the host says that reading goes on; what it does not hold yet is paused."""
        self._new_epoch()
        assignment = self.assignment()
        wanted = {tp: at for tp in assignment if (at := self.host.position(tp)) is not None}
        self.pause_partitions(assignment - wanted.keys())
        await self._seek_in_epoch(wanted)
        return wanted

    async def read_on(self, positions: Mapping[TP, int]) -> None:
        """Read partitions that are held only now, besides the others."""
        if await self._seek_in_epoch(positions):  # if not, a rebalance is under way, and will seek
            self._read_offset.update(positions)
            self.resume_partitions(positions)

    async def _seek_in_epoch(self, positions: Mapping[TP, int]) -> bool:
        epoch = self.epoch
        await self._thread.seek_in(epoch, positions)
        if epoch != self.epoch:
            return False
        self.reading |= positions.keys()
        return True

    def _new_epoch(self) -> None:
        self.epoch += 1
        self.ends, self.handed, self.reading = {}, {}, set()

    async def wait_empty(self) -> None:
        """Flush instead of waiting for acknowledgements."""
        await self.host.settle()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: the flush holds the position."""
        return False

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: gaps matter to acknowledgements only."""

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the host before Faust goes on."""
        missed = self._last_generation is not None and generation_id != self._last_generation + 1
        self._last_generation = generation_id
        await self.host.assigned({tp.partition for tp in assigned}, missed, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)


class BatchTransport(Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer


class BatchSchema(faust.Schema[Any, Any]):
    """Hands the batch on as it is: decoding is done once, elsewhere."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(message.key, message.value, message.headers, message)

        return decode
