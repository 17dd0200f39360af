"""`volvere bench track` and `bench store`: touchpoints a second of one worker, on a real Kafka, with real data volumes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.errors import Impossible
from schemas.topics import FRICTIONS, TOUCHPOINTS
from schemas.touchpoint import subject_of
from sinks import clickhouse
from sinks.store import STORED, Store
from volvere import security, topics
from volvere.feed import Fed, feed
from volvere.files import Record
from volvere.settings import Settings
from volvere.show import err, out
from volvere.simulator import Company

PARTITIONS = 4
ANSWER_WITHIN_S = 900


def records(touchpoints: int, customers: int) -> Iterator[Record]:
    """The first so many touchpoints of a simulated company of so many customers."""
    days = max(9, round(touchpoints / customers / 1.25) + 2)
    for n, t in enumerate(Company(seed=1, customers=customers, days=days).touchpoints(), 1):
        if n > touchpoints:
            return
        subject = subject_of(t["customer_id"], t.get("contact_id"), t["source"], t["event_id"])
        yield Record(n, msgspec.json.encode(t), subject)


def _loaded(settings: Settings, prefix: str, touchpoints: int, customers: int) -> Fed:
    """Topics of their own, filled before anything is measured."""
    access = security.kafka(settings)
    topics.create(settings.kafka, PARTITIONS, prefix=prefix, replication=settings.replication, access=access)
    with err.status(f"writing {touchpoints:,} touchpoints of {customers:,} customers to {settings.kafka}"):
        return asyncio.run(feed(settings.kafka, records(touchpoints, customers), prefix, access=access))


def track(settings: Settings, touchpoints: int, customers: int) -> None:
    """One `track` worker, a process of its own, from an empty state to the end of the topic."""
    prefix = f"bench-{uuid4().hex[:8]}-"
    fed = _loaded(settings, prefix, touchpoints, customers)
    began, ended, memory = _tracked(settings, prefix, fed)
    done = fed.records - began[1]
    frictions = sum(_ends(settings, [prefix + FRICTIONS.name]).values())
    out.print(
        f"track: {done / (ended - began[0]):,.0f} touchpoints/s, one worker, one transaction a flush\n"
        f"  {fed.records:,} touchpoints of {customers:,} customers, {PARTITIONS} partitions; "
        f"{frictions:,} offsets of friction events\n"
        f"  measured from the first committed flush ({began[1]:,} touchpoints) to the last: {ended - began[0]:.1f} s; "
        f"peak memory {memory / 2**20:,.0f} MiB"
    )


def _tracked(settings: Settings, prefix: str, fed: Fed) -> tuple[tuple[float, int], float, int]:
    """What _followed gives of a `track` worker that reads all of it, and the worker's peak memory in bytes."""
    environment = {
        **os.environ,
        "VOLVERE_KAFKA": settings.kafka,
        "VOLVERE_TOPIC_PREFIX": prefix,
        "VOLVERE_APPLICATION": prefix.rstrip("-"),
        "VOLVERE_LOG_LEVEL": "warning",
    }
    if settings.rules is not None:
        environment["VOLVERE_RULES"] = str(settings.rules)
    command = [sys.executable, "-m", "volvere.cli", "worker", "track"]
    with err.status("tracking"), subprocess.Popen(command, env=environment) as worker:
        topic = prefix + TOUCHPOINTS.name
        began, ended = asyncio.run(_followed(settings, f"{prefix.rstrip('-')}-track", topic, fed, worker))
        memory = _peak_memory(worker.pid)
        worker.terminate()
        worker.wait(30)
    return began, ended, memory


async def _followed(
    settings: Settings, group: str, topic: str, fed: Fed, worker: subprocess.Popen[bytes]
) -> tuple[tuple[float, int], float]:
    """((time, records) at the first committed flush, time at the last), by the group's offsets."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=group, enable_auto_commit=False, **security.kafka(settings)
    )
    partitions = [TopicPartition(topic, q) for q in fed.ends]
    first: tuple[float, int] | None = None
    await consumer.start()
    try:
        consumer.assign(partitions)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while worker.poll() is None:
                done = sum([await consumer.committed(tp) or 0 for tp in partitions])
                now = time.monotonic()
                if done and first is None:
                    first = now, done
                if first is not None and done >= sum(fed.ends.values()):
                    return first, now
                await asyncio.sleep(0.1)
    finally:
        await consumer.stop()
    raise Impossible(f"the worker ended with exit code {worker.returncode}")


def _ends(settings: Settings, named: list[str]) -> dict[tuple[str, int], int]:
    """The offset after the last record of every partition of these topics."""

    async def ends() -> dict[tuple[str, int], int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, **security.kafka(settings))
        await consumer.start()
        try:
            found = await consumer.end_offsets([TopicPartition(topic, q) for topic in named for q in range(PARTITIONS)])
            return {(tp.topic, tp.partition): offset for tp, offset in found.items()}
        finally:
            await consumer.stop()

    return asyncio.run(ends())


def _peak_memory(pid: int) -> int:
    """Peak resident memory of a process, bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def store(settings: Settings, touchpoints: int, customers: int) -> None:
    """The `store` worker from Kafka's JSON into the full tables of a new embedded ClickHouse, whose merges run.

    First touchpoints alone, then the same and what a `track` worker has made of them.
    """
    prefix = f"bench-{uuid4().hex[:8]}-"
    fed = _loaded(settings, prefix, touchpoints, customers)
    alone, seconds, cpu = _stored(settings, prefix, [TOUCHPOINTS.name])
    out.print(
        f"store: {alone.total() / seconds:,.0f} touchpoints/s from Kafka's JSON into the full table, one worker\n"
        f"  {alone.total():,} rows, measured from the first stored batch to the last: {seconds:.1f} s; "
        f"{1e6 * cpu / alone.total():.1f} µs of CPU a row, the engine's included"
    )
    began, ended, _ = _tracked(settings, prefix, fed)
    tracked = (fed.records - began[1]) / (ended - began[0])
    rows, seconds, cpu = _stored(settings, prefix, [topic.name for topic in STORED])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out.print(
        f"store, all four topics: {rows.total() / seconds:,.0f} rows/s, of which {rows[TOUCHPOINTS.name] / seconds:,.0f} touchpoints/s; "
        f"one `track` worker made them at {tracked:,.0f} touchpoints/s\n"
        f"  {', '.join(f'{number:,} {name}' for name, number in sorted(rows.items()))} in {seconds:.1f} s; "
        f"{1e6 * cpu / rows.total():.1f} µs of CPU a row; peak memory {memory / 2**20:,.0f} MiB with the engine in it"
    )


def _stored(settings: Settings, prefix: str, names: list[str]) -> tuple[Counter[str], float, float]:
    """Rows by table, seconds and seconds of CPU of a new store for these topics, from its first stored batch to its last."""
    ends = _ends(settings, [prefix + name for name in names])
    with tempfile.TemporaryDirectory(prefix="volvere-bench-") as folder, err.status("storing"):
        client = clickhouse.connect(folder)
        clickhouse.migrate(client)
        worker = Store(
            client,
            settings.kafka,
            application=f"{prefix}{len(names)}",
            prefix=prefix,
            consumer_options=security.kafka(settings),
        )
        stored = asyncio.run(_drained(worker, ends))
        client.close()
    if not stored[0]:
        raise Impossible("all of it was one batch; give more --touchpoints")
    return stored


async def _drained(worker: Store, ends: dict[tuple[str, int], int]) -> tuple[Counter[str], float, float]:
    stop = asyncio.Event()
    running = asyncio.ensure_future(worker.run(stop))
    await worker.drain({next(tp for tp, end in ends.items() if end): 1})  # joining the group is not what is measured
    began, first = (time.monotonic(), time.process_time()), Counter(worker.counts.rows)
    await worker.drain(ends)
    seconds, cpu = time.monotonic() - began[0], time.process_time() - began[1]
    stop.set()
    await running
    return worker.counts.rows - first, seconds, cpu
