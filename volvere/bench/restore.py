"""`volvere bench restore`: how long it takes from no worker at all to the first new friction, with much to read back.

The state is as it is before Kafka has compacted it: several versions of the facts of every customer. The facts are made by
the kernel from simulated customers, some thousand different ones that many customers share; their sizes are
spread as with real customers: half have no more than 12 entries, the mean is 25, one in a hundred has 200 or more. Then every
partition gets a touchpoint that proves a friction by itself, and the clock runs from the start of the workers.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.decode import decode
from schemas.errors import Impossible
from schemas.times import format_time, parse_time
from schemas.topics import FACTS, FRICTIONS, TOUCHPOINTS, partition_of
from schemas.touchpoint import digest
from streams.entries import entry_of
from streams.facts import CODEC, Facts
from streams.partition import CONTROL, Control
from streams.publish import MAX_BATCH_BYTES, Record, Sent, send, settle
from streams.rules import parse_rules
from streams.tracker import Tracker
from volvere.bench.stage import Stage, stage
from volvere.settings import Settings
from volvere.show import err, out
from volvere.simulator import Company
from volvere.worker import wall

POOL = 2_000
"""Different facts."""
MEDIAN, MEAN = 12, 25
SPREAD = 1.21
"""Of the logarithm of the number of entries: with the median it gives the mean."""
MODEL = b"c~~~~~~~"
"""Whose the facts of the pool are, until somebody gets them; as long as every customer's name."""
RULES = '[closed_door]\nmode = "live"\n'
WITHIN_S = 900.0
PROMISED_S = 60.0


@dataclass
class Heard:
    """What came, by partition: seconds since the workers were started."""

    restored: dict[int, float] = field(default_factory=dict)
    friction: dict[int, float] = field(default_factory=dict)


def restore(settings: Settings, customers: int, versions: int, workers: int, partitions: int) -> bool:
    """Measure and print; whether the first friction came within what is promised of a million customers."""
    with err.status("making customers"):
        facts = _pool(wall())
    quiet = {FACTS.name: {"min.compaction.lag.ms": "86400000"}}
    with stage(settings, partitions, RULES, quiet) as on:
        with err.status(f"writing {versions} versions of {customers:,} customers to {settings.kafka}"):
            written = asyncio.run(_write(on, facts, customers, versions))
        with err.status(f"{workers} workers read them back"):
            heard, memory = asyncio.run(_measure(on, workers))
    first, last = min(heard.friction.values()), max(heard.friction.values())
    sizes = sorted(map(len, facts))
    out.print(
        f"restore: {first:.1f} s from the start of the workers to the first friction, {last:.1f} s until there was one in "
        f"every partition; promised for a million customers: {PROMISED_S:g} s\n"
        f"  {customers:,} customers, {versions} versions of each: {written.records:,} records, "
        f"{written.size / 2**20:,.0f} MiB in {partitions} partitions\n"
        f"  a customer's facts: {sizes[len(sizes) // 2]:,} bytes in the median, {sum(sizes) // len(sizes):,} in the mean\n"
        f"  {workers} workers; the first partition was restored after {min(heard.restored.values()):.1f} s, "
        f"the last after {max(heard.restored.values()):.1f} s; "
        f"peak memory of a worker {max(memory) / 2**20:,.0f} MiB"
    )
    return first <= PROMISED_S


def _pool(now: int) -> list[bytes]:
    """Packed facts of different sizes; the newest of what they hold has happened just before now (microseconds)."""
    company = Company(seed=1, customers=3_000, days=14)
    lives: dict[str, list[dict[str, Any]]] = defaultdict(list)
    newest = 0
    for told in company.touchpoints():
        if told.get("customer_id"):
            lives[told["customer_id"]].append(told)
            newest = max(newest, parse_time(told["occurred_at"]))
    tracker, fate, shift = Tracker(parse_rules(RULES)), Random(1), now - newest
    names = list(lives)
    made: list[bytes] = []
    while len(made) < POOL:
        size = max(1, round(fate.lognormvariate(0.0, SPREAD) * MEDIAN))
        facts = Facts(MODEL.decode(), MODEL.decode())
        for each in _life(lives, names, size, fate):
            at = parse_time(each["occurred_at"]) + shift
            value = msgspec.json.encode({**each, "customer_id": MODEL.decode(), "occurred_at": format_time(at)})
            t = decode(value, now)
            facts.merge(entry_of(t, digest(t), False))
        packed = tracker.look(facts, now, now).packed
        if packed is not None:
            made.append(packed)
    return made


def _life(
    lives: dict[str, list[dict[str, Any]]], names: list[str], size: int, fate: Random
) -> Iterator[dict[str, Any]]:
    """So many touchpoints: the lives of some customers, put together."""
    left = size
    for n, name in enumerate(fate.choices(names, k=size)):
        part = lives[name][-left:]
        for told in part:
            more = {"contact_id": f"{told['contact_id']}-{n}"} if told.get("contact_id") else {}
            yield {**told, **more, "event_id": f"{told['event_id']}-{n}"}
        left -= len(part)
        if not left:
            return


@dataclass
class Written:
    """How much was written."""

    records: int = 0
    size: int = 0


async def _write(on: Stage, facts: list[bytes], customers: int, versions: int) -> Written:
    """Versions of everybody's facts, then the control records, then a touchpoint a partition."""
    homes: list[list[int]] = [[] for _ in range(on.partitions)]
    for n in range(customers):
        homes[partition_of(f"c{n:07d}", on.partitions)].append(n)
    producer = AIOKafkaProducer(
        acks="all", max_batch_size=MAX_BATCH_BYTES, max_request_size=8 * MAX_BATCH_BYTES, **on.client()
    )
    written, state, source = Written(), on.prefix + FACTS.name, on.prefix + TOUCHPOINTS.name
    rules, now = parse_rules(RULES), wall()
    met = {kind: (table, now) for kind, table in rules.table_digests.items()}
    control = msgspec.json.encode(Control(0, now, now, 1, CODEC, on.partitions, now, met))
    await producer.start()
    try:
        for version in range(versions):
            for q, home in enumerate(homes):
                records = [_record(n, facts[(n + 7 * version) % len(facts)]) for n in home]
                written.records += len(records)
                written.size += sum(len(value or b"") for _, value, _ in records)
                await _sent(producer, state, q, records)
        for q, home in enumerate(homes):
            await _sent(producer, state, q, [(CONTROL, control, [])])
            who = f"c{home[0]:07d}"
            await _sent(producer, source, q, [(who.encode(), _refused(who), [])])
    finally:
        await producer.stop()
    return written


def _record(number: int, packed: bytes) -> Record:
    name = b"c%07d" % number
    return name, packed.replace(MODEL, name), []


async def _sent(producer: AIOKafkaProducer, topic: str, partition: int, records: list[Record]) -> None:
    sent: Sent = await send(producer, topic, partition, records)
    await settle(sent, {})


def _refused(who: str) -> bytes:
    """A touchpoint that proves a `closed_door` by itself."""
    return msgspec.json.encode(
        {
            "source": "bench",
            "event_id": f"{who}-refused",
            "customer_id": who,
            "contact_id": f"{who}-refused",
            "kind": "contact.refused",
            "reason": "channel_closed",
            "channel": "voice",
            "occurred_at": format_time(wall()),
        }
    )


async def _measure(on: Stage, workers: int) -> tuple[Heard, list[int]]:
    """Start the workers; when what came, and their peak memory in bytes."""
    heard = Heard()
    state, frictions = on.prefix + FACTS.name, on.prefix + FRICTIONS.name
    consumer = AIOKafkaConsumer(isolation_level="read_committed", fetch_max_wait_ms=50, group_id=None, **on.client())
    await consumer.start()
    try:
        tps = [TopicPartition(topic, q) for topic in (state, frictions) for q in range(on.partitions)]
        consumer.assign(tps)
        await consumer.seek_to_end(*tps)
        for tp in tps:
            await consumer.position(tp)
        began = time.monotonic()
        for n in range(workers):
            on.start(f"worker-{n + 1}")
        async with asyncio.timeout(WITHIN_S):
            while len(heard.friction) < on.partitions:
                on.check()
                for tp in await consumer.getmany(timeout_ms=500):
                    came = heard.restored if tp.topic == state else heard.friction
                    came.setdefault(tp.partition, time.monotonic() - began)
    except TimeoutError:
        raise Impossible(
            f"after {WITHIN_S:g} s {len(heard.friction)} of {on.partitions} partitions have a friction; "
            "VOLVERE_LOG_LEVEL=info shows what the workers do"
        ) from None
    finally:
        await consumer.stop()
    return heard, [_peak(worker.pid) for worker in on.running.values()]


def _peak(pid: int) -> int:
    """Peak resident memory of a process, bytes; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
