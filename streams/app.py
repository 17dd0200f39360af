"""The one place where Faust hosts the thinking: an app, an agent, and the partitions that it holds.

On assignment a partition is claimed (its transactional producer started, which fences an earlier owner),
then its state is read to the end, then reading goes on where its control record says; Faust's
consumer is not let go before that. Whatever goes wrong between merging and committing ends the
process: `Impossible` and anything unforeseen are fatal on purpose, and Kafka hands the records
to somebody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, cast

import faust
import mode
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from schemas.errors import Impossible
from schemas.topics import DEAD_LETTERS, FACTS, FRICTIONS, JOURNEYS, TOUCHPOINTS
from streams.facts import CODEC
from streams.fuse import Fuse
from streams.partition import CONTROL, ROOM, Control, Names, Partition, Tally, read_control
from streams.publish import MAX_BATCH_BYTES, Ordered, Publisher, Topics, Transactional, send, settle
from streams.rules import Rules
from streams.silence import Listener
from streams.tracker import Tracker
from streams.transport import BatchConsumer, BatchSchema, BatchTransport

log = logging.getLogger("volvere.track")

BARRIER = b"\xffbarrier"
"""Key of the record that ends a restore on a broker whose high watermarks cannot be trusted."""

CLAIM_WITHIN = 30.0
"""Seconds for claiming: a rebalance waits for it no longer either."""
STALLED = 60.0
"""Seconds in which a restore must come further."""


def _wall() -> int:
    return time.time_ns() // 1000


async def _pass(point: str, partition: Partition) -> None:
    """What happens at a named point of a flush: nothing."""


def _die(_: BaseException) -> None:
    """End the process at once, so that nothing else is written."""
    logging.shutdown()
    os._exit(4)


@dataclass
class TrackConfig:
    """Where and how `track` runs. Times in seconds unless named otherwise.

    trusted: the broker's high watermarks and transactions can be relied on (Apache Kafka).
    generation: of a state that does not exist yet. input_silent_after: when no partition gets a record for so long, no
    time passes any more. fuse: stop when nearly nothing can be read. client: what every client of Kafka needs to be let
    in, as aiokafka names it. at, fatal, now: what tests and the wiring may replace.
    """

    bootstrap: str
    application: str = "volvere"
    prefix: str = ""
    transactions: bool = True
    trusted: bool = True
    generation: int = 1
    session_timeout: float = 15.0
    heartbeat_interval: float = 3.0
    transaction_timeout_ms: int = 12_000
    flush_records: int = 20_000
    flush_bytes: int = 8 * 1024 * 1024
    flush_after: float = 0.05
    flush_behind: float = 1.0
    idle_end: float = 0.2
    tick: float = 0.2
    input_silent_after: float = 900.0
    fuse: bool = True
    fetch_bytes: int = 2 * 1024 * 1024
    instance_id: str | None = None
    client: dict[str, Any] = field(default_factory=dict)
    at: Callable[[str, Partition], Awaitable[None]] = _pass
    fatal: Callable[[BaseException], None] = _die
    now: Callable[[], int] = _wall


class TrackApp(faust.App):
    """A Faust app with the record-batch transport and a host for it."""

    host: TrackHost

    def _create_directories(self) -> None:
        """Nothing is kept on disk."""

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return BatchTransport(self.conf.broker_producer, self)


class TrackHost:
    """The partitions that this worker holds, and when they flush."""

    def __init__(self, app: TrackApp, rules: Rules, config: TrackConfig) -> None:
        self.app, self.rules, self.config = app, rules, config
        self.tally = Tally()
        self.partitions: dict[int, Partition] = {}
        self.progress = asyncio.Condition()
        prefix = config.prefix
        self.names = Names(
            *(prefix + topic.name for topic in (TOUCHPOINTS, FRICTIONS, JOURNEYS, DEAD_LETTERS)),
        )
        self.state_topic = prefix + FACTS.name
        self.topics = Topics(self.names.source, self.state_topic)
        self._claiming = asyncio.Lock()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._waiting_since: dict[int, float] = {}
        self._last_records: dict[int, float] = {}
        self._at_end: dict[int, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._shared: AIOKafkaProducer | None = None
        self.fuse = Fuse(config.fuse)
        self.listener = Listener(self._reader, self.names.source, config.input_silent_after)
        self._ended = False

    @property
    def consumer(self) -> BatchConsumer:
        """The app's consumer."""
        return cast(BatchConsumer, self.app.consumer)

    @property
    def stored_topics(self) -> tuple[str, str]:
        """What it writes that others store."""
        return self.names.frictions, self.names.journeys

    @property
    def group(self) -> str:
        """The consumer group."""
        return f"{self.config.application}-track"

    # -- what the transport asks

    def position(self, tp: TP) -> int | None:
        """Where to read on, for a partition that is held."""
        held = self.partitions.get(tp.partition)
        return held.offset if held is not None else None

    async def assigned(self, partitions: set[int], missed: bool) -> None:
        """Drop what is not ours any more; everything, if an assignment was missed in between."""
        for number in set(self.partitions) - (set() if missed else partitions):
            log.info("partition %d dropped%s", number, ": an assignment was missed" if missed else "")
            self._drop(number)

    async def settle(self) -> None:
        """Flush what is merged, once a claim that is under way has ended.

        The claim must end before this worker rejoins, or it could fence the next owner.
        """
        async with self._claiming:
            pass
        await asyncio.gather(*(self.flush(p) for p in list(self.partitions.values())))

    # -- ownership

    async def start(self) -> None:
        """Before the app starts: the producer that forwards, and that publishes where there are no transactions."""
        self._shared = self._producer(transactional_id=None)
        await self._shared.start()

    async def stop(self) -> None:
        """After the app has stopped."""
        self._ended = True
        if self._listening is not None:
            self._listening.cancel()
        for number in list(self.partitions):
            self._drop(number)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._shared is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._shared.stop(), 5)

    def _producer(self, transactional_id: str | None) -> AIOKafkaProducer:
        options: dict[str, Any] = {"acks": "all"}
        if transactional_id is not None:
            options |= {
                "transactional_id": transactional_id,
                "transaction_timeout_ms": self.config.transaction_timeout_ms,
            }
        return AIOKafkaProducer(
            bootstrap_servers=self.config.bootstrap,
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=8 * MAX_BATCH_BYTES,
            **options,
            **self.config.client,
        )

    def _publisher(self, number: int) -> Publisher:
        assert self._shared is not None
        within = self.config.transaction_timeout_ms / 1000
        if self.config.transactions:
            producer = self._producer(f"{self.config.application}-{number}")
            return Transactional(producer, self._shared, self.topics, self.group, within)
        return Ordered(self._shared, self.topics, self._commit, within)

    async def _commit(self, number: int, offset: int) -> None:
        await self.consumer._commit({TP(self.names.source, number): offset})

    def _drop(self, number: int) -> None:
        partition = self.partitions.pop(number)
        partition.dead = True
        if (timer := self._timers.pop(number, None)) is not None:
            timer.cancel()
        for known in (self._waiting_since, self._last_records, self._at_end):
            known.pop(number, None)
        self._spawn(self._close(partition.publisher))

    async def _close(self, publisher: Publisher) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(publisher.stop(), 5)

    async def rebalanced(self, *_: Any, **__: Any) -> None:
        """Claim and restore the partitions that are new; Faust awaits this before it reads on."""
        try:
            await self._rebalanced()
        except Exception as e:  # noqa: BLE001 - whatever it is, nothing may be written after it
            self.fatal(e)

    async def _rebalanced(self) -> None:
        assigned = {tp.partition for tp in self.consumer.assignment() if tp.topic == self.names.source}
        new = sorted(assigned - set(self.partitions))
        generation = self.app.consumer_generation_id
        if not new:
            return
        started = time.monotonic()
        async with self._claiming:
            if self.app.consumer_generation_id != generation or self._rejoining():
                return
            async with asyncio.timeout(CLAIM_WITHIN):
                if self.config.trusted:
                    await self._examine(new)
                publishers = {number: self._publisher(number) for number in new}
                await asyncio.gather(*(publisher.start() for publisher in publishers.values()))
        restored, records = await self._restore(publishers)
        if self.app.consumer_generation_id != generation:
            for publisher in publishers.values():
                await self._close(publisher)
            return
        await asyncio.gather(*(partition.begin() for partition in restored.values()))
        self.partitions.update(restored)
        for partition in self.partitions.values():
            partition.room = ROOM // len(self.partitions)
        took = time.monotonic() - started
        log.info("claimed partitions %s; %d state records in %.2f s", new, records, took)
        await self._notify()

    async def _notify(self) -> None:
        async with self.progress:
            self.progress.notify_all()

    def _rejoining(self) -> bool:
        consumer: Any = self.consumer._thread._consumer
        subscription = consumer._subscription.subscription
        return subscription is None or bool(subscription._reassignment_in_progress)

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self.config.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
            fetch_max_wait_ms=50,
            **self.config.client,
        )

    async def _examine(self, numbers: list[int]) -> None:
        """Before claiming: Impossible if a newer release, or one with other partitions, has written the state.

        The control record is the last record of every flush, so the tail of the state shows it.
        """
        async with self._reader_for(numbers) as (reader, states, _):
            ends = await reader.end_offsets(states)
            count = _partition_count(reader, self.names.source)
            begins = await reader.beginning_offsets(states)
            wanted, tail = {tp for tp in states if ends[tp] > begins[tp]}, 8
            while wanted:  # a flush that was aborted may lie on top of the last one: look further back
                for tp in wanted:
                    reader.seek(tp, max(begins[tp], ends[tp] - tail))
                seen = {tp for tp in wanted if begins[tp] >= ends[tp] - tail}
                last: dict[TopicPartition, bytes] = {}
                async for record in _until(reader, list(wanted), ends):
                    if record.key == CONTROL:  # only the last one holds: a rebuild may lie between it and those before
                        last[TopicPartition(record.topic, record.partition)] = record.value
                for value in last.values():
                    read_control(value, count)
                wanted, tail = wanted - seen - last.keys(), tail * 64

    @contextlib.asynccontextmanager
    async def _reader_for(self, numbers: list[int]) -> Any:
        reader = self._reader()
        await reader.start()
        await asyncio.sleep(0)  # stop() would trip over a task of the reader that never had its turn
        try:
            states = [TopicPartition(self.state_topic, n) for n in numbers]
            sources = [TopicPartition(self.names.source, n) for n in numbers]
            reader.assign(states + sources)  # the source only for its offsets: without it asking costs a second
            reader.pause(*sources)
            yield reader, states, sources
        finally:
            await reader.stop()

    async def _restore(self, publishers: dict[int, Publisher]) -> tuple[dict[int, Partition], int]:
        """Read the state of claimed partitions to its end, and make partitions of it."""
        numbers = list(publishers)
        state: dict[int, dict[bytes, bytes]] = {n: {} for n in numbers}
        control: dict[int, bytes] = {}
        records = 0
        async with self._reader_for(numbers) as (reader, states, sources):
            begins = await reader.beginning_offsets(sources)
            count = _partition_count(reader, self.names.source)
            if self.config.trusted:
                ends = await reader.end_offsets(states + sources)
            else:
                ends = await self._barriers(states)
            await reader.seek_to_beginning(*states)
            async for record in _until(reader, [tp for tp in states if ends[tp] > 0], ends):
                records += 1
                held = state[record.partition]
                if record.key == CONTROL:
                    control[record.partition] = record.value
                elif record.value is None:
                    held.pop(record.key, None)
                elif record.key != BARRIER:
                    held[record.key] = record.value
        made: dict[int, Partition] = {}
        for tp in sources:
            n = tp.partition
            known = Control(begins[tp], 0, 0, self.config.generation, CODEC, count)
            if n in control:  # only the last one holds
                known = read_control(control[n], count)
            if known.offset < begins[tp]:
                log.error("partition %d: records %d to %d expired unread", n, known.offset, begins[tp])
                known.offset = begins[tp]
            if self.config.trusted and known.offset > ends[tp]:
                raise Impossible(
                    f"partition {n}: the state goes to offset {known.offset}, the topic ends at {ends[tp]}: "
                    "was the topic deleted? Rebuild the state, or use another application name"
                )
            tracker = Tracker(self.rules, known.generation)
            made[n] = Partition(
                n,
                tracker,
                publishers[n],
                self.names,
                state[n],
                known,
                self.tally,
                self.config.now,
                self.config.at,
                self.fuse,
            )
        return made, records

    async def _barriers(self, states: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Write a record to each state partition; reading to it is reading to the end."""
        assert self._shared is not None
        written: dict[tuple[str, int], int] = {}
        for tp in states:
            await settle(await send(self._shared, tp.topic, tp.partition, [(BARRIER, b"", [])]), written)
        return {tp: written[tp.topic, tp.partition] for tp in states}

    # -- merging and flushing

    async def track(self, stream: Any) -> None:
        """The agent: merge every batch that is not stale, and flush when enough has come together."""
        consumer = self.consumer
        async for event in stream.noack().events():
            batch = event.value
            partition = self.partitions.get(event.message.partition)
            if partition is None or batch.epoch != consumer.epoch:
                continue
            try:
                if batch.records[0].offset < partition.offset:
                    raise Impossible(
                        f"partition {partition.number}: read offset {batch.records[0].offset} again, "
                        f"which is before {partition.offset}"
                    )
                partition.take(batch)
            except Exception as e:  # noqa: BLE001 - whatever it is, nothing may be written after it
                self.fatal(e)
            self._last_records[partition.number] = time.monotonic()
            self._at_end[partition.number] = batch.at_end
            if partition.pending >= self.config.flush_records or partition.pending_bytes >= self.config.flush_bytes:
                await self.flush(partition)
            else:
                self._arm(partition)
            await self._notify()

    def _arm(self, partition: Partition) -> None:
        """Flush soon after the first change; while behind, wait for a larger flush."""
        if partition.number not in self._timers:
            self._waiting_since.setdefault(partition.number, time.monotonic())
            loop = asyncio.get_running_loop()
            self._timers[partition.number] = loop.call_later(self.config.flush_after, self._fire, partition)

    def _fire(self, partition: Partition) -> None:
        self._timers.pop(partition.number, None)
        if partition.dead or not partition.pending:
            return
        number, now = partition.number, time.monotonic()
        if self.config.trusted:
            behind = not self._at_end.get(number, True)
        else:
            behind = now - self._last_records.get(number, 0.0) < self.config.flush_after
        if behind and now - self._waiting_since.get(number, now) < self.config.flush_behind:
            self._arm(partition)
        else:
            self._spawn(self.flush(partition))

    async def flush(self, partition: Partition, settle: bool = False) -> None:
        """One flush of one partition; whatever fails in it is fatal."""
        if self._ended:
            return
        try:
            await partition.flush(settle)
        except Exception as e:  # noqa: BLE001 - whatever it is, nothing may be written after it
            if self.partitions.get(partition.number) is partition:
                self.fatal(e)
        if partition.dead:
            return
        self._waiting_since.pop(partition.number, None)
        if partition.pending:
            self._arm(partition)
        await self._notify()

    def fatal(self, error: BaseException) -> NoReturn:
        """Nothing more is written after this."""
        self._ended = True
        for partition in self.partitions.values():
            partition.dead = True
        log.critical("%s: %s", type(error).__name__, error, exc_info=not isinstance(error, Impossible))
        self.config.fatal(error)
        self._spawn(self._notify())
        raise error

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # fatal has dealt with it

    # -- time

    async def tick(self) -> None:
        """Let time pass for partitions that are read to their end, for ever."""
        self._listening = self._spawn(self.listener.run())
        while not self._ended:
            await asyncio.sleep(self.config.tick)
            if self._listening.done():
                self._listening.result()
            self._must_fit(self.listener.partitions)
            if not self.consumer.flow_active or self.listener.silent:
                continue
            for partition in list(self.partitions.values()):
                until = self._idle_until(partition)
                if until is not None:
                    partition.idle(until)
                    if partition.due:  # shielded: who stops the clock does not stop a flush
                        await asyncio.shield(self._spawn(self.flush(partition)))

    def _must_fit(self, count: int) -> None:
        """The partition count decides who owns a customer: when it grows under a living state, nothing more is written."""
        for partition in self.partitions.values():
            if count and count != partition.control.partitions:
                self.fatal(
                    Impossible(
                        f"{self.names.source} has {count} partitions now, the state was built for "
                        f"{partition.control.partitions}; rebuild the state: see `volvere rebuild --help`"
                    )
                )

    def _idle_until(self, partition: Partition) -> int | None:
        """Processing time (microseconds) up to which everything appended is merged; None: not at the end."""
        end = self.consumer.ends.get(TP(self.names.source, partition.number))
        if end is None or partition.pending:
            return None
        if self.config.trusted:  # the position may be past what was handed out: markers of transactions are no records
            merged = partition.offset >= self.consumer.handed.get(TP(self.names.source, partition.number), 0)
            return partition.broker_time(end.at) if end.position >= end.highwater and merged else None
        quiet = time.monotonic() - self._last_records.get(partition.number, 0.0) >= self.config.idle_end
        return self.config.now() if quiet else None

    # -- files

    def _read_to(self, ends: dict[int, int]) -> bool:
        at = {n: p.offset for n, p in self.partitions.items()}
        return self._ended or all(n in at and at[n] >= end for n, end in ends.items())

    async def finish(self, ends: dict[int, int], mark: int) -> None:
        """Wait until the records up to `ends` (partition -> offset after the last) are merged, then flush for the last time.

        What was in the wrong partition and had to be forwarded is waited for, too. mark: the input's greatest `occurred_at`; no more time will pass, so it is the last watermark.
        """
        held: list[Partition] = []
        while not held or any(self.partitions.get(p.number) is not p for p in held):  # it changed hands: again
            async with self.progress:
                await self.progress.wait_for(partial(self._read_to, ends))
            if self._ended:
                raise Impossible("the tracker has ended before its input was read")
            held = [p for p in self.partitions.values() if p.number in ends or p.state]
            if not held:
                return
            for partition in held:
                await self.flush(partition)
            forwarded = {n: end for (topic, n), end in self.topics.ends.items() if topic == self.names.source}
            if any(end > ends.get(n, 0) for n, end in forwarded.items()):
                ends = {n: max(ends.get(n, 0), forwarded.get(n, 0)) for n in ends | forwarded}
                held = []
                continue
            for partition in held:
                partition.watermark = max(partition.watermark, mark)
                await self.flush(partition, settle=True)


def _partition_count(reader: AIOKafkaConsumer, topic: str) -> int:
    """From the reader's metadata, which it has once it was asked for offsets."""
    return len(reader.partitions_for_topic(topic) or ())


async def _until(reader: AIOKafkaConsumer, partitions: list[TopicPartition], ends: dict[TopicPartition, int]) -> Any:
    """The records of some partitions up to their ends, yielding to the event loop in between."""
    left = set(partitions)
    came = time.monotonic()
    while left:
        if time.monotonic() - came > STALLED:
            raise Impossible(f"{sorted(left)}: nothing could be read for {STALLED:g} s, and the end is not reached")
        for tp, records in (await reader.getmany(*left, timeout_ms=200, max_records=2_000)).items():
            came = time.monotonic()
            for record in records:
                if record.offset < ends[tp]:
                    yield record
        for tp in list(left):
            if await reader.position(tp) >= ends[tp]:
                left.discard(tp)
        await asyncio.sleep(0)


def _credentials(client: dict[str, Any]) -> faust.SSLCredentials | faust.SASLCredentials | None:
    """What Faust's own consumer needs to be let in, made of the options of the other clients."""
    context = client.get("ssl_context")
    if "sasl_mechanism" not in client:
        return faust.SSLCredentials(context) if context is not None else None
    return faust.SASLCredentials(
        username=client["sasl_plain_username"],
        password=client["sasl_plain_password"],
        mechanism=client["sasl_mechanism"],
        ssl_context=context,
    )


def build(rules: Rules, config: TrackConfig) -> TrackApp:
    """The app, wired; nothing is connected before it starts."""
    app = TrackApp(
        f"{config.application}-track",
        broker=[f"kafka://{address}" for address in config.bootstrap.split(",")],
        broker_credentials=_credentials(config.client),
        agent_supervisor=mode.CrashingSupervisor,
        broker_session_timeout=config.session_timeout,
        broker_heartbeat_interval=config.heartbeat_interval,
        broker_rebalance_timeout=max(config.session_timeout, 30.0),
        broker_commit_interval=10_000_000.0,
        broker_max_poll_records=20_000,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=config.fetch_bytes,
        consumer_group_instance_id=config.instance_id,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
        web_enabled=False,
    )
    app.host = TrackHost(app, rules, config)
    source = app.topic(app.host.names.source, schema=BatchSchema(), maxsize=16)
    app.agent(source, name="track")(app.host.track)
    app.on_rebalance_complete.connect(app.host.rebalanced, weak=False)
    return app
