"""The one place where Faust hosts the thinking: an app, an agent, and the partitions that it holds.

What a worker keeps over a rebalance goes on at once; what is new is claimed and restored first (`streams.arrival`),
and then read where its control record says. Whatever goes wrong between merging and committing ends the
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
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types import TP

from schemas.errors import Impossible
from schemas.topics import DEAD_LETTERS, FACTS, FRICTIONS, JOURNEYS, METADATA_MAX_AGE_MS, TOUCHPOINTS
from streams.arrival import Arrivals, Claimed, close
from streams.fuse import Fuse
from streams.partition import ROOM, Flushed, Names, Partition, Spans, Tally, unheard
from streams.publish import MAX_BATCH_BYTES, Ordered, Publisher, Topics, Transactional, send, settle
from streams.restore import BARRIER, Restored, Restorer
from streams.rules import Rules
from streams.silence import Listener
from streams.tracker import Tracker
from streams.transport import BatchConsumer, BatchSchema, BatchTransport

log = logging.getLogger("volvere.track")

BUFFERED = 16
"""Batches that wait to be merged, of all partitions; reading pauses when they are more, so that a worker that is behind stays as small."""


FAR = 16
"""Times `flush_records` and `flush_bytes` that may come together in a worker, of all its partitions, where much is still to be read."""


def _wall() -> int:
    return time.time_ns() // 1000


async def _pass(point: str, partition: Partition) -> None:
    """What happens at a named point of a flush: nothing."""


def _ignore(_: Claimed) -> None:
    """Nobody wants to know of a claim."""


def _die(_: BaseException) -> None:
    """End the process at once, so that nothing else is written."""
    logging.shutdown()
    os._exit(4)


@dataclass
class TrackConfig:
    """Where and how `track` runs. Times in seconds unless named otherwise.

    trusted: the broker's high watermarks and transactions can be relied on (Apache Kafka).
    generation: of a state that does not exist yet. input_silent_after: when no partition gets a record for so long, no
    time passes any more. flush_after: how long the first change waits; flush_behind: where a tenth of flush_records follows on it,
    flush_far: where as many do, or more. fuse: stop when nearly nothing can be read. client: what every client of Kafka needs to be let
    in, as aiokafka names it. flushed, claimed: told of each, for metrics; spans: begins those of a flush, for traces. at, fatal, now: what tests and the wiring
    may replace.
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
    flush_far: float = 20.0
    idle_end: float = 0.2
    tick: float = 0.2
    input_silent_after: float = 900.0
    fuse: bool = True
    fetch_bytes: int = 2 * 1024 * 1024
    instance_id: str | None = None
    client: dict[str, Any] = field(default_factory=dict)
    flushed: Callable[[Flushed], None] = unheard
    claimed: Callable[[Claimed], None] = _ignore
    spans: Callable[[], Spans] | None = None
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
        restorer = Restorer(
            self._reader, self.names.source, self.state_topic, config.trusted, config.generation, self._barrier
        )
        self.arrivals = Arrivals(self, restorer)
        self.assigned_numbers: set[int] = set()
        self._generation = 0
        self.joined = False  # partitions were dealt out, if none to this worker
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._waiting_since: dict[int, float] = {}
        self.last_records: dict[int, float] = {}
        self._left: dict[int, int] = {}  # offsets that follow on what is merged
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._shared: AIOKafkaProducer | None = None
        self.fuse = Fuse(config.fuse)
        self._turn = asyncio.Lock()
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

    async def assigned(self, partitions: set[int], missed: bool, generation: int) -> None:
        """Drop what is not ours any more; everything, if an assignment was missed in between."""
        self.joined = True
        self.assigned_numbers, self._generation = partitions, generation
        kept = set() if missed else partitions
        for number in set(self.partitions) - kept:
            why = ": an assignment was missed" if missed else ""
            log.info("partition %d dropped%s", number, why, extra={"partition": number, "group_generation": generation})
            self._drop(number)
        self.arrivals.assigned(kept)

    async def settle(self) -> None:
        """Flush what is merged, once a claim that is under way has ended; the group waits for it.

        What far behind came together is too much for that: who stays the owner keeps it, another reads it again.
        """
        await self.arrivals.settle()
        few = [p for p in self.partitions.values() if p.pending <= self.config.flush_records]
        await asyncio.gather(*(self.flush(p) for p in few))

    # -- ownership

    async def start(self) -> None:
        """Before the app starts: the producer that forwards, and that publishes where there are no transactions.

        Raises KafkaError where no broker answers.
        """
        self._shared = self._producer(transactional_id=None)
        try:
            await self._shared.start()
        except KafkaError:
            await self._shared.stop()
            raise

    async def stop(self) -> None:
        """After the app has stopped."""
        self._ended = True
        if self._listening is not None:
            self._listening.cancel()
        await self.arrivals.stop()
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

    async def _commit(self, number: int, offset: int) -> None:
        await self.consumer._commit({TP(self.names.source, number): offset})

    def _drop(self, number: int) -> None:
        partition = self.partitions.pop(number)
        partition.dead = True
        if (timer := self._timers.pop(number, None)) is not None:
            timer.cancel()
        for known in (self._waiting_since, self.last_records, self._left):
            known.pop(number, None)
        self._spawn(close(partition.publisher))
        if not self._ended:
            self._spawn(partition.forget())

    async def rebalanced(self, *_: Any, **__: Any) -> None:
        """Let what is new arrive. Faust awaits this, and then reads on what is held."""
        new = self.assigned_numbers - self.partitions.keys() - self.arrivals.numbers
        if new:
            self.arrivals.start(sorted(new))

    # -- what an arriving partition asks

    def settled(self) -> bool:
        """The assignment that was told last is in force, and no other is under way."""
        consumer: Any = self.consumer._thread._consumer
        subscription = consumer._subscription.subscription
        rejoining = subscription is None or bool(subscription._reassignment_in_progress)
        stopping = self._ended or self.app.should_stop
        return not rejoining and not stopping and self.app.consumer_generation_id == self._generation

    def publisher(self, number: int) -> Publisher:
        """Of a partition that is to be claimed."""
        assert self._shared is not None
        within = self.config.transaction_timeout_ms / 1000
        if self.config.transactions:
            producer = self._producer(f"{self.config.application}-{number}")
            return Transactional(producer, self._shared, self.topics, self.group, within)
        return Ordered(self._shared, self.topics, self._commit, within)

    def partition(self, number: int, publisher: Publisher, restored: Restored) -> Partition:
        """Made of what was restored."""
        made = Partition(
            number,
            Tracker(self.rules, restored.control.generation),
            publisher,
            self.names,
            restored.state,
            restored.control,
            self.tally,
            self.config.now,
            self.config.at,
            self.fuse,
            restored.timers,
        )
        made.turn, made.flushed, made.spans = self._turn, self._flushed, self.config.spans
        return made

    async def install(self, partitions: list[Partition]) -> None:
        """Hold them from now on, and read."""
        self.partitions |= {partition.number: partition for partition in partitions}
        for partition in self.partitions.values():
            partition.room = ROOM // len(self.partitions)
        await self.consumer.read_on({TP(self.names.source, p.number): p.offset for p in partitions})

    def claimed(self, claim: Claimed) -> None:
        """These are held from now on, and it took so long."""
        log.info(
            "claimed partitions %s in %.2f s; %d state records in %.2f s",
            claim.partitions,
            claim.claim,
            claim.records,
            claim.restore,
            extra={"group_generation": self._generation},
        )
        self.config.claimed(claim)

    def _flushed(self, done: Flushed) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "partition %d: flush %d to offset %d: %d records, %d frictions in %.3f s",
                done.partition,
                done.number,
                done.offset,
                done.records,
                done.frictions,
                done.ended - done.began,
                extra={"partition": done.partition, "generation": done.generation, "flush": done.number},
            )
        self.config.flushed(done)

    async def arrived(self) -> None:
        """Some do not arrive any more: they are held, or were dropped."""
        async with self.progress:
            self.progress.notify_all()

    async def _notify(self) -> None:
        async with self.progress:
            self.progress.notify_all()

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self.config.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
            fetch_max_bytes=16 * 1024 * 1024,
            fetch_max_wait_ms=50,
            **self.config.client,
        )

    async def _barrier(self, number: int) -> int:
        """Write a record to a partition of the state; reading to it is reading to the end."""
        assert self._shared is not None
        written: dict[tuple[str, int], int] = {}
        await settle(await send(self._shared, self.state_topic, number, [(BARRIER, b"", [])]), written)
        return written[self.state_topic, number]

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
                self.fatal(e, partition)
            self.last_records[partition.number] = time.monotonic()
            self._left[partition.number] = batch.left
            if enough(self.config, partition, batch.left, len(self.partitions)):
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
        if partition.dead or not (partition.pending or partition.overdue):
            return
        number, now = partition.number, time.monotonic()
        left, records = self._left.get(number, 0), self.config.flush_records
        if self.config.trusted:  # a little always follows where touchpoints come all the time
            behind = left >= records // 10
        else:
            behind = now - self.last_records.get(number, 0.0) < self.config.flush_after
        wait = self.config.flush_far if left >= records else self.config.flush_behind
        if behind and now - self._waiting_since.get(number, now) < wait:
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
                self.fatal(e, partition)
        if partition.dead:
            return
        self._waiting_since.pop(partition.number, None)
        if partition.pending or partition.overdue:
            self._arm(partition)
        await self._notify()

    def fatal(self, error: BaseException, partition: Partition | None = None) -> NoReturn:
        """Nothing more is written after this. partition: where it happened, if in one."""
        self._ended = True
        for held in self.partitions.values():
            held.dead = True
        at = {} if partition is None else {"partition": partition.number, "generation": partition.control.generation}
        log.critical("%s: %s", type(error).__name__, error, exc_info=not isinstance(error, Impossible), extra=at)
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
        quiet = time.monotonic() - self.last_records.get(partition.number, 0.0) >= self.config.idle_end
        return self.config.now() if quiet else None

    # -- files

    def _read_to(self, ends: dict[int, int]) -> bool:
        at = {n: p.offset for n, p in self.partitions.items()}
        come = not self.arrivals.numbers and all(n in at and at[n] >= end for n, end in ends.items())
        return self._ended or come

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


def enough(config: TrackConfig, partition: Partition, left: int, held: int) -> bool:
    """Whether so much is merged that it is flushed now.

    left: offsets that follow. held: partitions of this worker. The more is still to be read the more comes together, but no more
    subjects: what a flush costs goes with them.
    """
    times = max(1, min(left // config.flush_records, FAR // held))
    return (
        len(partition.dirty) >= config.flush_records
        or partition.pending >= times * config.flush_records
        or partition.pending_bytes >= times * config.flush_bytes
    )


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
        stream_buffer_maxsize=BUFFERED,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=config.fetch_bytes,
        consumer_group_instance_id=config.instance_id,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
        web_enabled=False,
    )
    app.host = TrackHost(app, rules, config)
    source = app.topic(app.host.names.source, schema=BatchSchema())
    app.agent(source, name="track")(app.host.track)
    app.on_rebalance_complete.connect(app.host.rebalanced, weak=False)
    return app
