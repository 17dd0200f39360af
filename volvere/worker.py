"""The workers, wired from the settings: `track` and `store`, as long-running services.

The same two run for a file (`volvere.run`), in the demo and on their own; what differs is who stops them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aiokafka.errors import KafkaError
from clickhouse_connect.driver import Client

from schemas.errors import Impossible, Transient
from sinks import clickhouse
from sinks.store import Store, Stored
from streams.rules import Rules, RulesError, parse_rules
from volvere import metrics, security, topics, vitals
from volvere.embedded import EmbeddedBroker, has_transactions
from volvere.monitor import Monitor
from volvere.settings import Settings
from volvere.topics import BrokerProblem

if TYPE_CHECKING:  # Faust takes a while; it is imported where it is used
    from streams.app import TrackApp, TrackConfig
    from streams.arrival import Claimed
    from streams.partition import Flushed

log = logging.getLogger("volvere")

EMBEDDED_SESSION = 4.0
"""Session timeout on the embedded broker, seconds: a new group waits half of it before it begins."""


def wall() -> int:
    """Processing time, microseconds."""
    return time.time_ns() // 1000


def load_rules(path: Path | None) -> Rules:
    """The rules in force. Raises RulesError, which names file, line and key."""
    if path is None:
        return parse_rules()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is not text"
        raise RulesError(f"{path}: cannot be read: {why}; expected a TOML file") from None
    return parse_rules(text, str(path))


@dataclass(frozen=True)
class Broker:
    """A broker that answers, with the topics in place.

    trusted: it has transactions and true watermarks. access: what every client of it needs.
    """

    bootstrap: str
    trusted: bool
    access: security.Access = field(default_factory=dict)


@contextlib.contextmanager
def broker(settings: Settings, *, create: bool = True) -> Iterator[Broker]:
    """The broker of the settings, started if it is the embedded one; topics created or checked. Raises BrokerProblem."""
    with contextlib.ExitStack() as stack:
        embedded = settings.kafka_is_embedded
        bootstrap = stack.enter_context(EmbeddedBroker(_broker_died)).bootstrap if embedded else settings.kafka
        access = security.kafka(settings)
        count, prefix = settings.partition_count if embedded else settings.partitions, settings.topic_prefix
        if create:
            found = topics.create(bootstrap, count, prefix=prefix, replication=settings.replication, access=access)
        else:
            found = topics.check(bootstrap, count, prefix=prefix, access=access)
        wrong = [f for f in found if not f.good]
        if wrong:
            lines = [f"topic {f.topic}: expected {f.expected}; found {f.found}" for f in wrong]
            raise BrokerProblem(
                "\n".join([*lines, "run `volvere topics create`, or choose another VOLVERE_TOPIC_PREFIX"])
            )
        trusted = not embedded and has_transactions(bootstrap, settings.application, access=access)
        yield Broker(bootstrap, trusted, access)


def _broker_died() -> None:
    """All that it held is gone, and its clients would wait for it for ever."""
    log.critical("the embedded broker has ended by itself; run the command again")
    logging.shutdown()
    os._exit(2)


def track_config(settings: Settings, kafka: Broker, **changes: Any) -> TrackConfig:
    """How `track` runs, from the settings."""
    from streams.app import TrackConfig

    values: dict[str, Any] = {
        "bootstrap": kafka.bootstrap,
        "client": dict(kafka.access),
        "application": settings.application,
        "prefix": settings.topic_prefix,
        "transactions": kafka.trusted if settings.transactions == "auto" else settings.transactions == "on",
        "trusted": kafka.trusted,
        "session_timeout": settings.session_timeout_s if kafka.trusted else EMBEDDED_SESSION,
        "heartbeat_interval": settings.heartbeat_interval_s if kafka.trusted else EMBEDDED_SESSION / 4,
        "transaction_timeout_ms": settings.transaction_timeout_ms,
        "instance_id": settings.instance_id,
        "flush_records": settings.flush_records,
        "flush_bytes": settings.flush_bytes,
        "flush_after": settings.flush_after_ms / 1000,
        "idle_end": settings.idle_end_ms / 1000,
        "fetch_bytes": settings.fetch_bytes,
        "input_silent_after": settings.input_silent_after_s,
        "fuse": settings.fuse == "on",
    }
    return TrackConfig(**values | changes)


def _noting(config: TrackConfig, watch: Monitor) -> TrackConfig:
    """The same, with its durations noted as well, and its spans."""

    def flushed(done: Flushed) -> None:
        watch.metrics.note(metrics.FLUSH, done.ended - done.began)
        watch.metrics.note(metrics.FLUSH_WRITE, done.ended - done.composed)
        config.flushed(done)

    def claimed(claim: Claimed) -> None:
        watch.metrics.note(metrics.CLAIM, claim.claim)
        watch.metrics.note(metrics.RESTORE, claim.restore)
        config.claimed(claim)

    spans = watch.traces.flush if watch.traces is not None else config.spans
    return replace(config, flushed=flushed, claimed=claimed, spans=spans)


@contextlib.asynccontextmanager
async def tracking(rules: Rules, config: TrackConfig, watch: Monitor | None = None) -> AsyncIterator[TrackApp]:
    """A running `track`, flushed and stopped at the end; `watch` looks at it meanwhile."""
    from streams.app import build

    watch = watch or Monitor("track")
    app = build(rules, _noting(config, watch))
    log.info("flushes are %s", "transactions" if config.transactions else "ordered: this broker has no transactions")
    with sparing_the_old():
        with _must_be_there(config):
            await app.host.start()
        watching = asyncio.ensure_future(_watch(app))
        try:
            async with watch.watched(vitals.Track(app.host, config.now)):
                with _must_be_there(config):
                    await app.start()
                yield app
        finally:
            watching.cancel()
            await app.stop()
            await app.host.stop()


@contextlib.contextmanager
def sparing_the_old() -> Iterator[None]:
    """Garbage collection that looks at an object twice, and never again.

    Facts are millions of objects that make no cycles. To look for cycles among them took a quarter of the time at the default
    thresholds, and at any it takes seconds at once, in which nobody gets anything.
    """
    before = gc.get_threshold()
    gc.set_threshold(20_000, 5, 1_000)
    gc.callbacks.append(_spare)
    try:
        yield
    finally:
        gc.callbacks.remove(_spare)
        gc.unfreeze()
        gc.set_threshold(*before)


def _spare(phase: str, collected: dict[str, int]) -> None:
    if phase == "stop" and collected["generation"] == 1:
        gc.freeze()


@contextlib.contextmanager
def _must_be_there(config: TrackConfig) -> Iterator[None]:
    """A broker that goes away before anything has begun is nobody's mistake."""
    try:
        yield
    except KafkaError as e:
        raise Transient(
            f"Kafka at {config.bootstrap} went away while the worker started: {e}; start the worker again"
        ) from e


async def _watch(app: TrackApp) -> None:
    """A stream processor that crashed is fatal, too; without it a run would wait for ever."""
    await app._crashed.wait()
    reason = getattr(app, "_crash_reason", None)
    with contextlib.suppress(Exception):  # for whom it is fatal has been told
        app.host.fatal(reason or Impossible("the stream processor ended by itself"))


async def run_track(rules: Rules, config: TrackConfig, stop: asyncio.Event, watch: Monitor | None = None) -> None:
    """Track until stopped; what is merged then is flushed. Ends the process where it cannot go on."""
    async with tracking(rules, config, watch) as app:
        stopped = asyncio.ensure_future(stop.wait())
        ticks = asyncio.ensure_future(app.host.tick())
        done, left = await asyncio.wait({stopped, ticks}, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        if stopped not in done:
            app.host.fatal(ticks.exception() or Impossible("the stream processor ended by itself"))


def open_store(settings: Settings, fresh: bool = False) -> Client:
    """A client on a store whose schema is up to date. Raises StoreProblem."""
    client = clickhouse.connect(settings.clickhouse, **security.clickhouse(settings))
    if fresh:
        clickhouse.drop(client, settings.clickhouse_cluster)
    clickhouse.migrate(client, cluster=settings.clickhouse_cluster)
    return client


def store(settings: Settings, at: Broker, client: Client, watch: Monitor | None = None) -> Store:
    """The store worker."""

    def stored(done: Stored) -> None:
        if watch is not None:
            watch.metrics.note(metrics.BATCH, done.ended - done.began)
        if traces is not None:
            traces.stored(done)

    traces = watch.traces if watch is not None else None

    timeout_s = EMBEDDED_SESSION if settings.kafka_is_embedded else settings.session_timeout_s
    return Store(
        client,
        at.bootstrap,
        application=settings.application,
        prefix=settings.topic_prefix,
        access=at.access,
        consumer_options={
            "group_instance_id": settings.instance_id,
            "session_timeout_ms": round(timeout_s * 1000),
            "heartbeat_interval_ms": round(timeout_s * 250),
        },
        stored=stored,
        traced=traces is not None,
    )


async def run_store(settings: Settings, at: Broker, client: Client, stop: asyncio.Event, watch: Monitor) -> None:
    """Store until stopped."""
    worker = store(settings, at, client, watch)
    async with watch.watched(vitals.Storing(worker, wall)):
        await worker.run(stop)


async def run_all(
    settings: Settings, rules: Rules, at: Broker, client: Client, stop: asyncio.Event, watch: Monitor
) -> None:
    """Both workers until stopped, or until one of them ends."""
    config = track_config(settings, at, generation=generation(client))
    work = [
        asyncio.ensure_future(run_track(rules, config, stop, watch)),
        asyncio.ensure_future(run_store(settings, at, client, stop, watch)),
    ]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.gather(*work)


def generation(client: Client) -> int:
    """The generation of a state that begins empty: whatever an earlier one left in the store is older."""
    return clickhouse.newest_generation(client) + 1


def serve(
    settings: Settings, name: Literal["track", "store", "alert", "all"], work: Callable[[asyncio.Event, Monitor], Any]
) -> Any:
    """A service to be run: it is watched, shows its metrics and health where the settings say, and ends at a signal."""

    async def watched() -> None:
        watch = Monitor(name, settings.metrics_address, settings.stuck_after_s)
        with watch.running(), _traced(settings, watch):
            await until_signalled(lambda stop: work(stop, watch), settings.stop_within_s)

    return watched()


@contextlib.contextmanager
def _traced(settings: Settings, watch: Monitor) -> Iterator[None]:
    """Its traces are sent meanwhile, if they are wanted; otherwise not even the libraries are loaded."""
    if not settings.traces_to:
        yield
        return
    from volvere.traces import sending

    with sending(settings.traces_to, watch.name) as watch.traces:
        yield


async def until_signalled(work: Callable[[asyncio.Event], Any], within: float = 25.0) -> None:
    """Run a service until SIGTERM or SIGINT; it is given the event that says stop.

    within: seconds after the signal in which it must have ended; then the process ends, whatever it waits for.
    """
    stop = asyncio.Event()
    overdue = threading.Timer(within, _overdue, (within,))  # a thread: the loop itself may be what is stuck
    overdue.daemon = True

    def signalled() -> None:
        if not stop.is_set():
            stop.set()
            overdue.start()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        await work(stop)
    finally:
        overdue.cancel()


def _overdue(seconds: float) -> None:
    log.critical("not stopped within %g s, ending; what is not acknowledged will be read again", seconds)
    logging.shutdown()
    os._exit(4)


CORRELATED = ("partition", "generation", "group_generation", "flush", "batch")
"""What a line of the log may say besides its text, by which lines belong together; as fields of their own in JSON.

generation: of the state; group_generation: of the consumer group, one higher after each rebalance.
"""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in CORRELATED if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up_logging(settings: Settings, level: str | None = None) -> None:
    """Logs to standard error; the libraries' own chatter only from errors on."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s", "%H:%M:%S")
    handler.setFormatter(_Json() if settings.log_format == "json" else plain)
    logging.basicConfig(level=(level or settings.log_level).upper(), handlers=[handler], force=True)
    if settings.log_level != "debug":
        for name in (
            "aiokafka",
            "faust",
            "mode",
            "streams",
            "clickhouse_connect",
            "asyncio",
            "urllib3",
            "stamina",
            "opentelemetry",
        ):
            logging.getLogger(name).setLevel(logging.ERROR)
        # Its calls raise what they log; and a new Kafka has no coordinator for the first second, which is no error.
        for name in ("kafka", "aiokafka.consumer.group_coordinator"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    # At debug level they write down requests, logins with passwords, too, and records as they are sent: that is, customers.
    for name in ("kafka", "aiokafka.conn", "aiokafka.producer"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.INFO, logger.getEffectiveLevel()))
