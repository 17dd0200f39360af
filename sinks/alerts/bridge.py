"""The alert bridge for one receiver: from the topic `frictions` to requests.

    read ─▶ hear ─▶ decide ─▶ tell ─▶ remember ─▶ acknowledge

Each receiver has a bridge, a consumer group and a place in the topic of its own: one that is away holds up nobody else,
and Kafka keeps what it missed. What it knows is in memory, and in the compacted topic `alerts`, in the partition of
the event that said it. **Tell, remember, acknowledge**, in that order for each key: so a crash repeats a
request with the same key, and never one that was remembered. Steps of different keys go side by side; an offset is
committed when nothing before it is under way.

Bounded: a thousand steps are under way at most, then reading waits; what is known is the open incidents.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, RebalanceInProgressError
from msgspec.structs import replace

from schemas.errors import Transient, Unacceptable
from schemas.times import SECOND, format_time
from schemas.topics import ALERTS, FRICTIONS, METADATA_MAX_AGE_MS, UNDELIVERED
from sinks.alerts.incidents import Change, Incident, Incidents, Step, read
from sinks.alerts.routes import Told
from sinks.alerts.sending import Later, Refused, Sender
from sinks.alerts.standby import standby

log = logging.getLogger(__name__)

UNDER_WAY = 1_000
ANSWER_WITHIN = 15.0
"""Seconds in which Kafka must answer one call; what it did not answer is asked again later."""
FINISH_WITHIN = 5.0
"""Seconds that what is under way has, when the partitions go or the worker stops; the next owner tells it again."""
COMMIT_EVERY = 1.0
AFTER_A_FAILURE = 5 * SECOND
"""Until what goes on is told again, if nobody heard it."""
AGAIN_AT_ONCE = 200
"""How many alerts one request repeats."""

_encode = msgspec.json.Encoder().encode
_incident = msgspec.json.Decoder(Incident).decode
Stored = Callable[[], AsyncIterator[ConsumerRecord]]
"""All records of the topic `alerts`, up to its present end."""


def group_of(application: str, receiver: str) -> str:
    """The consumer group of a receiver's bridge."""
    return f"{application}-alert-{receiver}"


class Bridge(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells one receiver.

    stored: reads the topic `alerts`. wall, since: processing time, and when this worker started, microseconds. resend: how often
    what goes on is told again to a receiver that expects it, seconds. access: for every client of Kafka.
    """

    def __init__(
        self,
        told: Told,
        bootstrap_servers: str,
        stored: Stored,
        wall: Callable[[], int],
        since: int,
        *,
        application: str = "volvere",
        prefix: str = "",
        resend: float = 60.0,
        access: Mapping[str, Any] | None = None,
        consumer_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = told.name
        self._told, self._servers, self._stored, self._wall = told, bootstrap_servers, stored, wall
        self._prefix, self._resend = prefix, round(resend * SECOND)
        self._group = group_of(application, told.name)
        self._access = dict(access or {})
        self._options = {"partition_assignment_strategy": (standby(since),), **(consumer_options or {})}
        self._sender = Sender(told.name, told.receiver, wall, ca_file=told.ca_file)
        self.counts = self._sender.counts
        self.joined = False  # partitions were dealt out, if none to this worker
        # Only what an Alertmanager is told again needs this: a repetition must not overtake an end.
        self._one_at_a_time = told.receiver.again((), 0) is not None
        self._wire = asyncio.Lock()
        self._forget()
        self._failed: BaseException | None = None
        self._epoch, self._leaving = 0, False
        self._restored = asyncio.Event()
        self._restored.set()
        self._consumer: AIOKafkaConsumer = None
        self._producer: AIOKafkaProducer = None

    def _forget(self) -> None:
        self.incidents = Incidents(self._told.wants, self._told.storms)
        self._firing: dict[str, Incident] = {}
        self._told_again_at = 0
        self._refused: set[str] = set()
        self._place: dict[str, int] = {}
        self._last: dict[str, asyncio.Task[None]] = {}
        self._steps: set[asyncio.Task[None]] = set()
        self._under_way: dict[tuple[int, int], int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._commit_due = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until `stop` is set; then finish what is under way, for a while. Raises Transient when Kafka is not there."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            linger_ms=5,
            client_id=self._group,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            **self._access,
        )
        self._consumer = AIOKafkaConsumer(
            **{
                "bootstrap_servers": self._servers,
                "group_id": self._group,
                "client_id": self._group,
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                "metadata_max_age_ms": METADATA_MAX_AGE_MS,
                **self._access,
            }
            | self._options
        )
        self._consumer.subscribe([self._prefix + FRICTIONS.name], listener=self)
        async with self._sender:
            try:
                await self._producer.start()
                await self._consumer.start()
                await self._read(stop)
                await self._finish()
                await self._commit()
            except KafkaError as e:
                raise Transient(f"Kafka at {self._servers}: {e}") from e
            finally:
                await self._finish(0)
                for client in (self._consumer, self._producer):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(client.stop(), ANSWER_WITHIN)

    @property
    def away(self) -> bool:
        """Whether the receiver takes nothing, and is tried again and again."""
        return self._sender.away

    @property
    def under_way(self) -> int:
        """What is to be told, and is not acknowledged yet."""
        return len(self._steps)

    # Reading

    async def _read(self, stop: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        repeating = asyncio.ensure_future(self._repeat()) if self._one_at_a_time else None
        try:
            while not stop.is_set():
                full = len(self._steps) >= UNDER_WAY
                partitions = self._consumer.assignment()
                (self._consumer.pause if full else self._consumer.resume)(*partitions)
                found = await self._consumer.getmany(timeout_ms=100 if self._steps else 300, max_records=UNDER_WAY)
                if not await self._still_ours():
                    continue  # what was found is read again, by whoever has the partitions
                if self._failed is not None:
                    raise self._failed
                for tp, records in found.items():
                    for record in records:
                        self._hear(tp, record)
                if not found and not full and partitions:
                    for step in self.incidents.tick(self._wall()):
                        self._begin(step, None)
                if clock() >= self._commit_due:
                    await self._commit()
                    self._commit_due = clock() + COMMIT_EVERY
        finally:
            if repeating is not None:
                repeating.cancel()
                await asyncio.wait([repeating])

    async def _still_ours(self) -> bool:
        """Whether what was just found may be heard; where it is of partitions that have just come, not before all is known."""
        epoch = self._epoch
        await self._restored.wait()
        return epoch == self._epoch and not self._leaving

    def _hear(self, tp: TopicPartition, record: ConsumerRecord) -> None:
        try:
            steps = self.incidents.hear(*read(record.value), tp.partition, record.offset)
        except Unacceptable as e:
            self._start((), record, self._unreadable(record, e))
            return
        for step in steps:
            self._begin(step, record)

    async def _unreadable(self, record: ConsumerRecord, error: Unacceptable) -> None:
        await self._give_up(record, "", Refused(error.reason, 0, str(error)))

    def _begin(self, step: Step, record: ConsumerRecord | None) -> None:
        before = [self._last[key] for key in step.keys if key in self._last]
        self._start(step.keys, record, self._do(step, record, before))

    def _start(self, keys: tuple[str, ...], record: ConsumerRecord | None, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._steps.add(task)
        self._last.update(dict.fromkeys(keys, task))
        place = None if record is None else (record.partition, record.offset)
        if place is not None:
            self._under_way[place] = self._under_way.get(place, 0) + 1

        def done(task: asyncio.Task[None]) -> None:
            if task not in self._steps:
                _heard(task)  # of partitions that are another's now
                return
            self._steps.discard(task)
            for key in keys:
                if self._last.get(key) is task:
                    del self._last[key]
            if not task.cancelled() and task.exception() is None:
                if place is not None:
                    self._under_way[place] -= 1
                    if not self._under_way[place]:
                        del self._under_way[place]
            elif not task.cancelled() and self._failed is None:
                self._failed = task.exception()

        task.add_done_callback(done)

    # Telling

    async def _do(self, step: Step, record: ConsumerRecord | None, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
            if any(task.cancelled() or task.exception() is not None for task in before):
                raise asyncio.CancelledError  # what had to come before did not
        for i in step.ahead:
            await self._remember(i)
        for change in step.tell:
            await self._tell(change, record)
        for i in step.remember:
            await self._remember(i)

    async def _tell(self, change: Change, record: ConsumerRecord | None) -> None:
        i = change.incident
        if change.what == "opened":
            self._refused.discard(i.key)
        elif i.key in self._refused:
            return

        def taken() -> None:
            if i.is_open:
                self._firing[i.key] = i
            else:
                self._firing.pop(i.key, None)

        refused = await self._send(change, taken)
        if refused is None:
            self.counts.told[change.what] += 1
            return
        if change.what == "opened":
            self._refused.add(i.key)
        elif change.what == "resolved":
            self._firing.pop(i.key, None)
        await self._give_up(record, f"{change.what} {i.key}", refused)

    async def _send(self, change: Change, taken: Callable[[], None]) -> Refused | None:
        lock = self._wire if self._one_at_a_time else None
        return await self._sender.send(lambda: self._told.receiver.request(change, self._wall()), taken, lock)

    async def _repeat(self) -> None:
        """Tell again, and again, what goes on. Who has forgotten it knows it then; who has not is not disturbed."""
        while True:
            await asyncio.sleep(0.2)
            now = self._wall()
            if now < self._told_again_at + self._resend or not self._firing:
                continue
            async with self._wire:
                firing = list(self._firing.values())
                for n in range(0, len(firing), AGAIN_AT_ONCE):
                    some = firing[n : n + AGAIN_AT_ONCE]
                    request = self._told.receiver.again(some, now)
                    assert request is not None
                    try:
                        refused = await self._sender.attempt(lambda request=request: request)  # type: ignore[misc]
                    except Later:
                        self._told_again_at = now - self._resend + min(self._resend, AFTER_A_FAILURE)
                        break
                    if refused is not None:
                        log.warning("%s refused a repetition: %d: %s", self.name, refused.status, refused.message)
                    self.counts.told_again += len(some)
                else:
                    self._told_again_at = now

    # Remembering

    async def _remember(self, i: Incident) -> None:
        """Write what the receiver knows, and wait until Kafka has it."""
        i = replace(i, refused=i.key in self._refused)
        # No event ends a storm, so that none of which this must be known is heard again.
        gone = i.took > 0 and i.told and not i.is_open
        where, before = i.partition, self._place.get(i.key)
        self._place[i.key] = where
        await (await self._write(i.key, where, None if gone else _encode(i)))
        if before is not None and before != where:  # the customer has moved, with a new generation
            await (await self._write(i.key, before, None))
        if i.told and not i.is_open:
            self._refused.discard(i.key)

    async def _write(self, key: str, partition: int, value: bytes | None) -> asyncio.Future[Any]:
        topic = self._prefix + ALERTS.name
        written: asyncio.Future[Any] = await self._producer.send(
            topic, value, key=f"{self.name}/{key}".encode(), partition=partition
        )
        return written

    async def _give_up(self, record: ConsumerRecord | None, what: str, refused: Refused) -> None:
        """To the dead letters: the event that it was about, and why it was not told."""
        self.counts.refused[refused.reason] += 1
        log.error("%s: given up, see %s: %s %s", self.name, UNDELIVERED.name, refused.reason, refused.status or "")
        headers = {
            "receiver": self.name,
            "reason": refused.reason,
            "status": str(refused.status or ""),
            "message": refused.message,
            "what": what,
            "time": format_time(self._wall()),
        }
        if record is not None:
            headers |= {"topic": record.topic, "partition": str(record.partition), "offset": str(record.offset)}
        await self._producer.send_and_wait(
            self._prefix + UNDELIVERED.name,
            None if record is None else record.value,
            key=None if record is None else record.key,
            headers=[(name, value.encode()) for name, value in headers.items()],
        )

    # Acknowledging

    async def _commit(self) -> None:
        """Commit what is done; what is over, and will not be heard again, is forgotten."""
        offsets: dict[TopicPartition, int] = {}
        first: dict[int, int] = {}
        for partition, offset in self._under_way:
            first[partition] = min(first.get(partition, offset), offset)
        try:
            for tp in self._consumer.assignment():
                if tp.partition in first:
                    at = first[tp.partition]
                else:
                    at = await asyncio.wait_for(self._consumer.position(tp), ANSWER_WITHIN)
                if at > self._committed.get(tp, -1):
                    offsets[tp] = at
            if offsets:
                await asyncio.wait_for(self._consumer.commit(offsets), ANSWER_WITHIN)
        except TimeoutError:
            log.warning("Kafka did not take the offsets within %g s; they are brought later", ANSWER_WITHIN)
            return
        except (CommitFailedError, IllegalStateError, RebalanceInProgressError) as e:
            log.info("offsets not committed, the partitions have moved and will be read again: %s", e)
            return
        self._committed |= offsets
        for i in self.incidents.settled({tp.partition: at for tp, at in self._committed.items()}):
            self._place.pop(i.key, None)
            written = await self._write(i.key, i.partition, None)
            written.add_done_callback(_heard)

    # Rebalancing

    async def _finish(self, within: float = FINISH_WITHIN) -> None:
        """Wait for what is under way; end what takes longer."""
        if self._steps:
            await asyncio.wait(self._steps, timeout=within)
        left = set(self._steps)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002 - all of them
        """Finish what is under way, for a while; the next owner knows what is remembered, and tells the rest."""
        self._epoch, self._leaving = self._epoch + 1, True
        await self._finish()
        async with self._wire:
            self._forget()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Know again what was remembered."""
        self.joined, self._leaving = True, False
        self._restored.clear()
        try:
            if assigned:
                await self._restore()
            else:
                log.info("%s: another bridge works, this one stands by", self.name)
        except Exception as e:  # noqa: BLE001 - it is raised where it ends the worker; here it would only be logged
            self._failed = e
        finally:
            self._restored.set()

    async def _restore(self) -> None:
        await self._producer.client.force_metadata_update()  # there may be more partitions than before
        mine, latest = f"{self.name}/", dict[tuple[str, int], tuple[int, Incident | None]]()
        async for record in self._stored():
            name = record.key.decode()
            if name.startswith(mine):
                found = None if record.value is None else _incident(record.value)
                latest[name.removeprefix(mine), record.partition] = (record.timestamp, found)
        newest = dict[str, tuple[int, Incident]]()
        for (key, _), (written, found) in latest.items():
            # In two partitions only where the customer has moved to another: the later one knows better.
            if found is not None and (key not in newest or written >= newest[key][0]):
                newest[key] = (written, found)
        remembered = [i for _, i in newest.values()]
        untold = self.incidents.restore(remembered)
        for i in remembered:
            self._place[i.key] = i.partition
            if i.refused:
                self._refused.add(i.key)
            if i.stands_alone:
                self._firing[i.key] = i
        for step in untold:
            self._begin(step, None)
        log.info("%s: %d incidents are remembered", self.name, len(remembered))


def _heard(future: asyncio.Future[Any]) -> None:
    """Whether it was written does not matter: it is written again when it is met again."""
    if not future.cancelled():
        future.exception()
