"""The worker `store`: from Kafka topics to ClickHouse.

    read ─▶ buffer ─▶ rows ─▶ insert ─▶ dead letters ─▶ acknowledge

An offset is committed after its rows were inserted, never before, so a crash repeats rows and
loses none; rows carry versions made of their content, so a repetition changes nothing. What only
the store can see to be wrong is published to `store.dlq` before its offset is committed. While
ClickHouse is away the first of them is tried again and again, and Kafka keeps the rest.

Three batches are in hand at most: one is read, one is made into rows and one is inserted, the
last two in threads. Each waits for the one before it, so that offsets are committed in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import stamina
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, RebalanceInProgressError
from clickhouse_connect.driver.client import Client

from schemas.errors import Transient, Unacceptable
from schemas.letters import letter
from schemas.topics import FRICTIONS, JOURNEYS, METADATA_MAX_AGE_MS, OPERATIONS, STORE_DEAD_LETTERS, TOUCHPOINTS
from schemas.traceparent import recorded
from sinks import rows
from sinks.clickhouse import Inserter
from sinks.letters import Letters
from sinks.rows import REFUSED, Row

log = logging.getLogger(__name__)

STORED = (TOUCHPOINTS, OPERATIONS, JOURNEYS, FRICTIONS)
"""The topics that are stored; the table has the topic's name."""

BATCH_ROWS = 50_000
BATCH_SECONDS = 1.0
ANSWER_WITHIN = 15.0
"""Seconds in which Kafka must answer one call; what it did not answer is asked again later."""
UNSTORABLE = "unstorable"
"""ClickHouse's verdict on a row."""
SHOWN = 20
"""How many refused records of one batch are logged one by one."""

Records = Mapping[TopicPartition, Sequence[ConsumerRecord]]
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
"""What an error quotes of a record: that may be a customer, and does not belong into a log."""


@dataclass(frozen=True)
class Refused:
    """A record that was not stored, and why."""

    record: ConsumerRecord = field(repr=False, compare=False)
    error: Unacceptable

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset."""
        return self.record.topic, self.record.partition, self.record.offset


@dataclass
class Counts:
    """What was done since the start. Rows and refusals go by table, refusals by reason as well."""

    rows: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    erased: int = 0
    batches: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Behind:
    """What of one partition is not stored yet: how many records, and when the oldest that was read came (microseconds; 0: none was read)."""

    records: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One batch that is stored and acknowledged. Times by the steady clock, seconds.

    number: of this worker's batches, by which log lines and spans belong together. rows: by table. traces: the `traceparent` of
    what is stored, frictions first; none where traces are not wanted.
    """

    number: int
    rows: dict[str, int]
    traces: list[bytes]
    began: float
    ended: float


def unheard(_: Stored) -> None:
    """Nobody wants to know of a batch."""


@dataclass
class Prepared:
    """Rows of one batch for one table, each with its record, and what was refused on the way."""

    table: str
    rows: list[Row] = field(default_factory=list)
    records: list[ConsumerRecord] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    erased: int = 0

    @property
    def letters(self) -> list[Refused]:
        """What goes to `store.dlq`: what is no touchpoint goes to the dead letters of `track`, which judges it alike."""
        return [r for r in self.refused if self.table != TOUCHPOINTS.name or r.error.reason == UNSTORABLE]


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Many rows are made here and none of it is garbage: to look for some time and again costs an eighth."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_uncollected()
def prepare(table: str, batches: Records) -> Prepared:
    """Records of one topic, by partition, to the rows of its table."""
    out = Prepared(table)
    for tp, records in batches.items():
        tail = rows.lineage(tp.topic, tp.partition)
        for record in records:
            at = record.timestamp * 1000
            try:
                if table == JOURNEYS.name:
                    if record.value is None:
                        out.erased += 1  # erasure deletes by its own topic; here there is nothing to add
                        continue
                    row = rows.journey(record.value, tail(record.offset, at))
                elif table == FRICTIONS.name:
                    row = rows.friction(record.value, tail(record.offset, at))
                else:
                    row = rows.touchpoint(record.value, at, record.headers, tail(record.offset, at))
            except Unacceptable as e:
                out.refused.append(Refused(record, e))
            else:
                out.rows.append(row)
                out.records.append(record)
    return out


def refusals(prepared: Prepared) -> Prepared:
    """The rows by which analysts see what was refused among touchpoints."""
    out = Prepared(REFUSED)
    for r in prepared.refused:
        topic, partition, offset = r.place
        tail = rows.lineage(topic, partition)(offset, r.record.timestamp * 1000)
        out.rows.append(rows.refused(r.record.value, r.record.headers, r.error, tail))
        out.records.append(r.record)
    return out


def traces_of(made: Sequence[Prepared]) -> list[bytes]:
    """The traces that these rows belong to, the last table's first."""
    records = (record for prepared in reversed(made) for record in prepared.records if record.headers)
    return [trace for record in records if (trace := recorded(record.headers)) is not None]


class Store(ConsumerRebalanceListener):  # type: ignore[misc]
    """Copies the topics to ClickHouse. The client must be migrated and is used by nobody else meanwhile."""

    def __init__(
        self,
        client: Client,
        bootstrap_servers: str | list[str],
        *,
        application: str = "volvere",
        prefix: str = "",
        refused: Callable[[list[Refused]], None] | None = None,
        access: Mapping[str, Any] | None = None,
        consumer_options: Mapping[str, Any] | None = None,
        batch_rows: int = BATCH_ROWS,
        batch_seconds: float = BATCH_SECONDS,
        stored: Callable[[Stored], None] = unheard,
        traced: bool = False,
    ) -> None:
        """traced: whether `stored` is told of traces. away_since: when ClickHouse took nothing for the first time, if it still does so; joined: whether partitions were dealt out."""
        self.counts = Counts()
        self.away_since: float | None = None
        self.joined = False
        self._told, self._traced = stored, traced
        self._inserter = Inserter(client)
        self._servers, self._group = bootstrap_servers, f"{application}-store"
        self._tables = {prefix + topic.name: topic.name for topic in STORED}
        self._refused = refused
        self._options = {**(access or {}), **(consumer_options or {})}
        self._letters = Letters(
            prefix + STORE_DEAD_LETTERS.name, {"bootstrap_servers": bootstrap_servers, **(access or {})}
        )
        self._batch_rows, self._batch_seconds = batch_rows, batch_seconds
        self._consumer: AIOKafkaConsumer = None
        self._pending: dict[TopicPartition, list[ConsumerRecord]] = {}
        self._pending_rows, self._pending_since = 0, 0.0
        self._writes: list[asyncio.Task[bool]] = []
        self._batches: list[dict[TopicPartition, list[ConsumerRecord]]] = []
        self._stop = asyncio.Event()
        self._stored: dict[tuple[str, int], int] = {}
        self._moved = asyncio.Condition()
        self._draining = 0
        self._over = False

    async def run(self, stop: asyncio.Event) -> None:
        """Store until `stop` is set; then finish what was read, and commit.

        Raises StoreProblem when ClickHouse refuses the login or every row, Transient when Kafka is not there.
        """
        self._stop = stop
        self._consumer = AIOKafkaConsumer(
            **{
                "bootstrap_servers": self._servers,
                "group_id": self._group,
                "client_id": self._group,
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                "max_partition_fetch_bytes": 4 * 1024 * 1024,
                "metadata_max_age_ms": METADATA_MAX_AGE_MS,
            }
            | self._options
        )
        self._consumer.subscribe(list(self._tables), listener=self)
        try:
            await self._consumer.start()
            await self._read()
        except KafkaError as e:
            raise Transient(f"Kafka at {self._servers}: {e}") from e
        finally:
            for write in self._writes:
                write.cancel()
            if self._writes:
                await asyncio.wait(self._writes)
            for end in (self._consumer.stop, self._letters.stop):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(end(), ANSWER_WITHIN)
            async with self._moved:
                self._over = True
                self._moved.notify_all()

    async def drain(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Wait until everything before these offsets, by (topic, partition), is stored.

        Raises Transient when the worker ends first.
        """

        def done() -> bool:
            return all(self._stored.get(tp, 0) >= end for tp, end in ends.items())

        self._draining += 1
        try:
            async with self._moved:
                await self._moved.wait_for(lambda: self._over or done())
        finally:
            self._draining -= 1
        if not done():
            raise Transient("the store ended before everything was stored")

    # What others may look at, from any thread

    def behind(self) -> dict[tuple[str, int], Behind]:
        """What is not stored yet, by (topic, partition); as far as Kafka has said so."""
        subscription = self._consumer and self._consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        if not assignment or not assignment.active:
            return {}
        batches = [*self._batches, self._pending]
        found = {}
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            if not state.has_valid_position or state.highwater is None:
                continue
            in_hand = [records for batch in batches if (records := batch.get(tp))]
            unread = max(0, (state.lso if state.lso is not None else state.highwater) - state.position)
            records = unread + sum(map(len, in_hand))
            oldest = min((some[0].timestamp * 1000 for some in in_hand), default=0)
            found[tp.topic, tp.partition] = Behind(records, oldest)
        return found

    @property
    def in_hand(self) -> int:
        """Records that were read, and are not stored yet."""
        return sum(len(records) for batch in [*self._batches, self._pending] for records in list(batch.values()))

    @property
    def moves(self) -> tuple[int, int]:
        """Differs from what it was before, if something was done since: a batch stored, or an insert tried again."""
        return self.counts.batches, self._inserter.retries

    # Reading

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._stop.is_set():
            found = await self._consumer.getmany(timeout_ms=100, max_records=self._batch_rows - self._pending_rows)
            if found and not self._pending_rows:
                self._pending_since = clock()
            self._keep(found)
            self._settle()
            late = clock() - self._pending_since >= self._batch_seconds
            # While a batch is being stored the next one only grows: small batches cost most.
            due = self._pending_rows and not self._writes and (late or (self._draining and not found))
            if due or self._pending_rows >= self._batch_rows:
                await self._wait_written(in_hand=1)
                self._begin_write()
                await asyncio.sleep(0)  # its thread begins before the next fetch is unpacked
            elif not found and not self._pending_rows and not self._writes:
                await self._note_positions()
        self._begin_write()
        await self._wait_written(in_hand=0)

    def _keep(self, found: Records) -> None:
        for tp, records in found.items():
            self._pending.setdefault(tp, []).extend(records)
            self._pending_rows += len(records)

    async def _wait_written(self, in_hand: int) -> None:
        """Wait until so many batches are left; a consumer that never polls for minutes would lose its partitions."""
        self._settle()
        while len(self._writes) > in_hand:
            if not (await asyncio.wait({self._writes[0]}, timeout=30))[0]:
                paused = self._consumer.assignment()
                self._consumer.pause(*paused)
                self._keep(await self._consumer.getmany(timeout_ms=0))
                self._consumer.resume(*(paused & self._consumer.assignment()))
            self._settle()

    def _settle(self) -> None:
        """Let go of batches that are done; what went wrong in one is raised here."""
        while self._writes and self._writes[0].done():
            del self._batches[0]
            self._writes.pop(0).result()

    async def _note_positions(self) -> None:
        """With everything stored, take note of positions: transaction markers take offsets but are no records."""
        behind = {}
        for tp in self._consumer.assignment() if self._draining else [TopicPartition(*key) for key in self._stored]:
            if tp in self._consumer.assignment():
                try:
                    position = await asyncio.wait_for(self._consumer.position(tp), ANSWER_WITHIN)
                except TimeoutError:
                    return
                if position > self._stored.get((tp.topic, tp.partition), -1) and not self._pending_rows:
                    behind[tp] = position
        if behind:
            await self._commit(behind)

    # Writing

    def _begin_write(self) -> None:
        batch, self._pending, self._pending_rows = self._pending, {}, 0
        if batch:
            before = self._writes[-1] if self._writes else None
            self._batches.append(batch)
            self._writes.append(asyncio.create_task(self._write(batch, before)))

    async def _write(
        self, batch: dict[TopicPartition, list[ConsumerRecord]], before: asyncio.Task[bool] | None
    ) -> bool:
        """Make rows, wait for the batch before, insert, commit; False when a stop came first."""
        made = []
        for topic, table in self._tables.items():
            part = {tp: records for tp, records in batch.items() if tp.topic == topic}
            if part:
                made.append(await asyncio.to_thread(prepare, table, part))
        if before is not None and not await before:
            return False  # to commit these offsets would say that the batch before is stored
        began = time.monotonic()
        try:
            for prepared in made:
                self.counts.rows[prepared.table] += await self._insert(prepared)
                if prepared.table == TOUCHPOINTS.name:
                    await self._insert(refusals(prepared))
                await self._tell(prepared)
                self._report(prepared)
        except Transient as e:
            log.warning("stopping with a batch not stored, Kafka keeps it: %s", e)
            return False
        self.counts.batches += 1
        await self._commit({tp: records[-1].offset + 1 for tp, records in batch.items()})
        rows = {prepared.table: len(prepared.rows) for prepared in made}
        traces = await asyncio.to_thread(traces_of, made) if self._traced else []
        self._told(Stored(self.counts.batches, rows, traces, began, time.monotonic()))
        return True

    async def _insert(self, prepared: Prepared) -> int:
        """Insert, for as long as it takes, and say how many rows; a stop ends the waiting with Transient."""

        def again(error: Exception) -> bool:
            return isinstance(error, Transient) and not self._stop.is_set()

        bad: list[tuple[int, str]] = []
        async for attempt in stamina.retry_context(on=again, attempts=None, timeout=None, wait_max=5.0):
            with attempt:
                try:
                    bad = await asyncio.to_thread(self._inserter.insert, prepared.table, prepared.rows)
                except Transient as e:
                    self.away_since = self.away_since or time.monotonic()
                    log.warning(
                        "ClickHouse is away, trying again, Kafka keeps what comes: %s",
                        e,
                        extra={"batch": self.counts.batches + 1},
                    )
                    raise
                finally:
                    self.counts.retries = self._inserter.retries
        self.away_since = None
        for at, message in bad:
            record = prepared.records[at]
            prepared.refused.append(Refused(record, Unacceptable(UNSTORABLE, message)))
        return len(prepared.rows) - len(bad)

    async def _tell(self, prepared: Prepared) -> None:
        """Publish what only the store refuses, for as long as it takes; a stop ends the waiting with Transient."""
        letters = [
            letter(r.record.key, r.record.value, r.record.headers, r.place, r.record.timestamp * 1000, r.error)
            for r in prepared.letters
        ]

        def again(error: Exception) -> bool:
            return isinstance(error, KafkaError | TimeoutError) and not self._stop.is_set()

        try:
            async for attempt in stamina.retry_context(on=again, attempts=None, timeout=None, wait_max=5.0):
                with attempt:
                    if letters:
                        await self._letters.put(letters)
        except (KafkaError, TimeoutError) as e:
            raise Transient(f"Kafka does not take dead letters for {self._letters.topic}: {e}") from e

    def _report(self, prepared: Prepared) -> None:
        self.counts.erased += prepared.erased
        self.counts.refused.update((prepared.table, refused.error.reason) for refused in prepared.refused)
        if not prepared.refused:
            return
        if self._refused is not None:
            self._refused(prepared.refused)
        told = prepared.letters
        for r in told[:SHOWN]:
            log.warning(
                "not stored: %s/%d/%d: %s: %s",
                *(*r.place, r.error.reason, _QUOTED.sub("…", str(r.error))),
                extra={"partition": r.place[1], "batch": self.counts.batches + 1},
            )
        if len(told) > SHOWN:
            log.warning("not stored: %d more records of %s in this batch", len(told) - SHOWN, prepared.table)

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), ANSWER_WITHIN)
        except TimeoutError:
            log.warning("Kafka did not take the offsets within %g s; a later batch will bring them", ANSWER_WITHIN)
            return
        except (CommitFailedError, IllegalStateError, RebalanceInProgressError) as e:
            log.info("offsets not committed, the partitions have moved and will be read again: %s", e)
            return
        async with self._moved:
            self._stored.update({(tp.topic, tp.partition): offset for tp, offset in offsets.items()})
            self._moved.notify_all()

    # Rebalancing

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002 - all of them
        """Finish what is in hand, for a while; what is only buffered will be read again by the next owner."""
        if self._writes:
            await asyncio.wait(self._writes, timeout=10)
        self._pending, self._pending_rows = {}, 0
        self._stored.clear()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:  # noqa: ARG002 - also none
        """Reading goes on at the committed offsets."""
        self.joined = True
