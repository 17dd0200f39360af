"""One run of one contestant: a topic that is filled before, then the work until its end, then further touchpoints at half the pace.

All figures of the work are taken between two moments: when every partition has told a friction of the first touchpoints
after the warm-up, and when the last is told. Both are the broker's times of append; what had been done until the first moment is known from the
frictions told until then, each of which a known touchpoint proves. So no start of an interpreter is measured, and no
worker is that waits for another to join. Under half load latency is the time from the append of the touchpoint that
proves a friction until a `read_committed` consumer holds the friction.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from schemas.topics import FRICTIONS, TOUCHPOINTS
from tests.bench import contestants
from tests.bench.contestants import Contestant
from tests.bench.records import Found, Sent, Workload, differences
from tests.kafka import ApacheKafka
from volvere import topics

SAMPLED_EVERY_S = 0.25
WARM_UP_S = 3.0
TICK_S = 0.01
STUCK_AFTER_S = 120.0


class Broken(Exception):
    """The run cannot be used: a contestant has ended, stands still, or found other frictions. The text says which and what."""


class _Data(msgspec.Struct):
    kind: str
    contact_id: str | None = None


class _Told(msgspec.Struct):
    type: str
    data: _Data


_told = msgspec.json.Decoder(_Told).decode


@dataclass
class Result:
    """What one run of one contestant has shown. events: how many of `given` lie between the two moments of measuring.

    cpu, broker_cpu: seconds of CPU a million events. memory: of all its processes together, bytes. written: to Kafka, by topic, bytes
    an event. load: touchpoints a second under which p50 and p99 (milliseconds) were seen, and of how many frictions.
    """

    contestant: str
    given: int
    events: int
    seconds: float
    cpu: float
    broker_cpu: float
    memory: int
    written: dict[str, float]
    frictions: int
    load: float = 0.0
    p50: float | None = None
    p99: float | None = None
    seen: int = 0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Watch:
    """Samples of what processes use, for as long as the block lasts."""

    def __init__(self, pids: Iterable[int], broker: int, log: Path, name: str) -> None:
        self._pids, self._broker, self._log, self._run = list(pids), broker, log, name
        self._at: list[tuple[float, float, float]] = []
        self._peaks: dict[int, int] = {}
        self._written: dict[Path, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self._at.append((time.time(), sum(map(_cpu, self._pids)), _cpu(self._broker)))
            for pid in self._pids:
                self._peaks[pid] = max(self._peaks.get(pid, 0), _peak(pid))
            if self._stop.wait(SAMPLED_EVERY_S):
                return

    def used(self, since: float, until: float) -> tuple[float, float]:
        """Seconds of CPU between two times, of the contestant and of the broker."""
        return tuple(self._cpu_at(until, n) - self._cpu_at(since, n) for n in (1, 2))  # type: ignore[return-value]

    def _cpu_at(self, at: float, column: int) -> float:
        before = self._at[0]
        for sample in self._at:
            if sample[0] >= at:
                share = (at - before[0]) / (sample[0] - before[0]) if sample[0] > before[0] else 0.0
                return before[column] + share * (sample[column] - before[column])
            before = sample
        return before[column]

    @property
    def memory(self) -> int:
        """The peaks of resident memory of all processes together, bytes."""
        return sum(self._peaks.values())

    def written(self) -> dict[str, int]:
        """Bytes in the broker's segments by topic, the input's left out. Call it now and then: what was compacted since still counts."""
        for path in self._log.glob("*/*.log"):
            topic = path.parent.name.rpartition("-")[0]
            if topic.startswith("__") or (self._run in topic and topic != f"{self._run}-{TOUCHPOINTS.name}"):
                with suppress(FileNotFoundError):
                    self._written[path] = max(self._written.get(path, 0), path.stat().st_size)
        out: dict[str, int] = {}
        for path, size in self._written.items():
            topic = path.parent.name.rpartition("-")[0].removeprefix(f"{self._run}-")
            out[topic] = out.get(topic, 0) + size
        return out


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


@dataclass
class Run:
    """One contestant at work on its topics."""

    who: Contestant
    kafka: ApacheKafka
    work: Workload
    name: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def partitions(self) -> range:
        """Numbers of the partitions."""
        return range(self.work.company.partitions)

    def of(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic of this run."""
        return [TopicPartition(f"{self.name}-{topic}", n) for n in self.partitions]

    def start(self) -> None:
        """Start its processes."""
        self.processes = contestants.start(
            self.who, self.kafka.bootstrap, self.name, self.work.company.partitions, self.folder
        )

    def ends(self) -> dict[int, int]:
        """Partition -> offset after the history."""
        return {n: len(records) for n, records in enumerate(self.work.history)}

    def check(self) -> None:
        """Raises Broken where a process has ended by itself; the floor's may."""
        for number, process in enumerate(self.processes):
            if process.poll() is not None and (self.who.works or process.returncode):
                raise Broken(f"{self.who.title} ended with exit code {process.returncode}:\n{self.said(number)}")

    def said(self, number: int = 0) -> str:
        """The end of what a process has said."""
        return (self.folder / f"{number}.out").read_text(encoding="utf-8", errors="replace")[-3000:]

    def end(self) -> None:
        """SIGTERM, then SIGKILL."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run(who: Contestant, kafka: ApacheKafka, work: Workload, folder: Path, load_s: float, since: float = 0.0) -> Result:
    """One run. load_s: how long half load lasts; 0: not at all. since: the share of the work that is not measured.

    Raises Broken.
    """
    with stage(kafka, work.company.partitions) as name:
        at = Run(who, kafka, work, name, folder / name)
        return asyncio.run(_run(at, load_s, since))


@contextmanager
def stage(kafka: ApacheKafka, partitions: int) -> Iterator[str]:
    """Topics of Volveré's for one run, with a name that is in all of them; at the end all topics with it are gone."""
    name = f"bench-{uuid4().hex[:8]}"
    topics.create(kafka.bootstrap, partitions, prefix=f"{name}-")
    with topics.administer(kafka.bootstrap, {}) as admin:
        told = {"message.timestamp.type": "LogAppendTime"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{name}-{FRICTIONS.name}", told)])
    try:
        yield name
    finally:
        with topics.administer(kafka.bootstrap, {}) as admin:
            admin.delete_topics([topic for topic in admin.list_topics() if name in topic], raise_errors=False)


async def _run(at: Run, load_s: float, since: float) -> Result:
    await fill(at)
    at.start()
    try:
        with Watch([p.pid for p in at.processes], at.kafka.pid, at.kafka.log, at.name) as watch:
            before, ends = watch.written(), at.ends()
            await _until(at, ends, watch)
            written = {topic: size - before.get(topic, 0) for topic, size in watch.written().items()}
            told = await _read(at)
            if at.who.works:
                _same(at, told, set(at.work.reference))
            began, ended, events = _between(at.work, told, since) if at.who.works else _marks(told, at.work.events)
            latencies: list[float] = []
            load = events / (ended - began) / 2
            expected = set(at.work.reference)
            if load_s and at.who.works:
                following = at.work.next(round(load * load_s))
                latencies = await _under_load(at, following, load, ends, watch)
                expected |= {sent.proves for sent in following if sent.proves is not None}
    finally:
        at.end()
    if latencies:
        _same(at, await _read(at), expected)
    cpu, broker_cpu = watch.used(began, ended)
    return Result(
        contestant=at.who.key,
        given=at.work.events,
        events=events,
        seconds=ended - began,
        cpu=cpu / events * 1e6,
        broker_cpu=broker_cpu / events * 1e6,
        memory=watch.memory,
        written={topic: size / at.work.events for topic, size in written.items() if size},
        frictions=len(at.work.reference),
        load=load if latencies else 0.0,
        p50=_quantile(latencies, 0.5),
        p99=_quantile(latencies, 0.99),
        seen=len(latencies),
    )


def _same(at: Run, told: list[Seen], expected: set[Found]) -> None:
    wrong = differences({found for found, _ in told}, expected)
    if wrong:
        raise Broken(f"{at.who.title} found other frictions than there are: {wrong}")


async def fill(at: Run) -> None:
    """All of the history into the topic, before anything is measured."""
    producer = AIOKafkaProducer(bootstrap_servers=at.kafka.bootstrap, max_batch_size=256 * 1024)
    await producer.start()
    try:
        for tp, records in zip(at.of(TOUCHPOINTS.name), at.work.history, strict=True):
            batch = producer.create_batch()
            for n, (key, value) in enumerate(records):
                if batch.append(key=key, value=value, timestamp=None) is None:
                    await producer.send_batch(batch, tp.topic, partition=tp.partition)
                    batch = producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None)
                if n % 5000 == 0:
                    await asyncio.sleep(0)
            if batch.record_count():
                await producer.send_batch(batch, tp.topic, partition=tp.partition)
        await producer.flush()
    finally:
        await producer.stop()


async def _until(at: Run, ends: Mapping[int, int], watch: Watch) -> None:
    """Until the group has committed these offsets."""
    async for _ in committed(at, ends):
        watch.written()


async def committed(at: Run, ends: Mapping[int, int]) -> AsyncIterator[int]:
    """How far the group is by its offsets, until it has committed these. Raises Broken where it stands still."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=at.kafka.bootstrap, group_id=at.who.group(at.name), enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = at.of(TOUCHPOINTS.name)
        consumer.assign(partitions)
        last, moved = -1, time.monotonic()
        while True:
            at.check()
            done = {tp.partition: await consumer.committed(tp) or 0 for tp in partitions}
            yield sum(done.values())
            if all(done[n] >= end for n, end in ends.items()):
                return
            if sum(done.values()) != last:
                last, moved = sum(done.values()), time.monotonic()
            if time.monotonic() - moved > STUCK_AFTER_S:
                raise Broken(f"{at.who.title} stands still at {last:,} of {sum(ends.values()):,}:\n{at.said()}")
            await asyncio.sleep(0.2)
    finally:
        await consumer.stop()


Seen = tuple[Found, int]
"""A friction, and when the broker took it first (milliseconds)."""


async def _read(at: Run) -> list[Seen]:
    """All frictions that a `read_committed` consumer finds, in order of their first appearance; retracted ones left out."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=at.kafka.bootstrap,
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    await consumer.start()
    first: dict[Found, int] = {}
    try:
        partitions = at.of(FRICTIONS.name)
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    key, gone = _key(record.value)
                    if gone:
                        first.pop(key, None)
                    else:
                        first.setdefault(key, record.timestamp)
    finally:
        await consumer.stop()
    found = [(key, when) for key, when in first.items() if key[0] in KINDS]
    return sorted(found, key=lambda seen: seen[1])


KINDS = frozenset({"repeat_contact", "dropped_call", "first", "last"})
"""What is compared; where everything is on, more is found."""


def _key(value: bytes) -> tuple[Found, bool]:
    """The friction that a record tells of, and whether it was retracted. The floor's marks are their own kind."""
    if value in (b"first", b"last"):
        return (value.decode(), ""), False
    told = _told(value)
    return (told.data.kind, told.data.contact_id or ""), told.type.endswith("retracted")


def _between(work: Workload, told: list[Seen], since: float) -> tuple[float, float, int]:
    """(first moment, last moment, events between them). Times in seconds."""
    counts = [len(records) for records in work.history]
    reached = [-1] * len(counts)
    waiting = {n: round(count * since) for n, count in enumerate(counts) if count}
    began = 0
    for found, when in told:
        if not waiting and when > began:
            break
        if found not in work.reference:
            raise Broken(f"a friction that no touchpoint proves: {found[0]} of {found[1]}")
        partition, offset = work.reference[found]
        reached[partition] = max(reached[partition], offset)
        if partition in waiting and reached[partition] >= waiting[partition]:
            del waiting[partition]
        began = when
    left = sum(count - at - 1 for count, at in zip(counts, reached, strict=True))
    ended = told[-1][1] if told else 0
    if waiting or ended <= began:
        raise Broken("too little was found to measure anything; more touchpoints are needed")
    return began / 1000, ended / 1000, left


def _marks(told: list[Seen], events: int) -> tuple[float, float, int]:
    """Of the floor: from its first batch to its last."""
    when = {found[0]: at / 1000 for found, at in told}
    return when["first"], max(when["last"], when["first"] + 0.001), events


async def _under_load(at: Run, following: list[Sent], rate: float, ends: dict[int, int], watch: Watch) -> list[float]:
    """Send what follows at this rate; how long each friction took, milliseconds. `ends` moves on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=at.kafka.bootstrap, isolation_level="read_committed")
    producer = AIOKafkaProducer(bootstrap_servers=at.kafka.bootstrap)
    await consumer.start()
    await producer.start()
    came: list[tuple[float, list[bytes]]] = []

    async def listen() -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=1000)
            if batches:
                came.append((time.time() * 1000, [r.value for records in batches.values() for r in records]))

    try:
        partitions = at.of(FRICTIONS.name)
        consumer.assign(partitions)
        await consumer.seek_to_end()
        for tp in partitions:
            await consumer.position(tp)
        listening = asyncio.create_task(listen())
        appended = await _paced(at, producer, following, rate)
        for sent in following:
            ends[sent.partition] += 1
        await _until(at, ends, watch)
        last = await consumer.end_offsets(partitions)
        async with asyncio.timeout(STUCK_AFTER_S):
            while any([await consumer.position(tp) < last[tp] for tp in partitions]):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    finally:
        await consumer.stop()
        await producer.stop()
    return _latencies(came, appended)


async def _paced(at: Run, producer: AIOKafkaProducer, following: list[Sent], rate: float) -> dict[Found, float]:
    """Friction -> when the touchpoint that proves it was appended, milliseconds; of the warm-up none."""
    topic = f"{at.name}-{TOUCHPOINTS.name}"
    waiting: list[tuple[Any, list[Found], bool]] = []
    began, done = time.monotonic(), 0
    while done < len(following):
        at.check()
        passed = time.monotonic() - began
        due = min(len(following), int(passed * rate))
        parts: dict[int, list[Sent]] = {}
        for sent in following[done:due]:
            parts.setdefault(sent.partition, []).append(sent)
        for partition, those in parts.items():
            batch = producer.create_batch()
            proved: list[Found] = []
            for sent in those:
                if batch.append(key=sent.key, value=sent.value, timestamp=None) is None:
                    future = await producer.send_batch(batch, topic, partition=partition)
                    waiting.append((future, proved, passed >= WARM_UP_S))
                    batch, proved = producer.create_batch(), []
                    batch.append(key=sent.key, value=sent.value, timestamp=None)
                if sent.proves is not None:
                    proved.append(sent.proves)
            future = await producer.send_batch(batch, topic, partition=partition)
            waiting.append((future, proved, passed >= WARM_UP_S))
        done = due
        await asyncio.sleep(TICK_S)
    out: dict[Found, float] = {}
    for future, proved, warm in waiting:
        when = (await future).timestamp
        if warm:
            out.update(dict.fromkeys(proved, float(when)))
    return out


def _latencies(came: list[tuple[float, list[bytes]]], appended: dict[Found, float]) -> list[float]:
    out = []
    left = dict(appended)
    for when, values in came:
        for value in values:
            key, _ = _key(value)
            since = left.pop(key, None)
            if since is not None:
                out.append(max(0.0, when - since))
    return out


def _quantile(values: list[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None
