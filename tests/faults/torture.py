"""Faults at random, alone and mixed, against a simulated week; in the end the truth.

A round feeds the week to Apache Kafka while three `track` and two `store` workers live through
what its seed has dealt. Whoever ends is started again, as an orchestrator would. At the end the
four views, without the columns of delivery, must equal those of an unbroken run, and a
`read_committed` consumer must have seen every friction once.

`make torture ROUNDS=100 SEED=1`; a round's seed deals the same faults at the same points again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError as AioKafkaError
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.times import HOUR, format_time
from schemas.topics import DEAD_LETTERS, FRICTIONS, JOURNEYS, TOPICS, TOUCHPOINTS, partition_of
from sinks.clickhouse import connect, migrate, query
from streams.publish import POINTS
from tests.contract.chdb_http import ChdbHttp, Cut, Fail, LoseAnswer
from tests.faults.crew import admin
from tests.faults.nursery import FLUSH_WITHIN_MS, QUIET, Nursery
from tests.faults.views import COLUMNS
from tests.faults.week import Found, Views, Week, expected, found, must_be_there_once, published, values, week
from tests.kafka import ApacheKafka, KafkaMissing, read
from volvere.topics import create
from volvere.worker import wall

PARTITIONS = 4
PARTS = 16
CUSTOMERS = 250
WEEKS = 4
"""Different weeks; each is played once without faults."""
ANSWER_WITHIN_S = 90
TABLES = ("touchpoints", "operations", "journeys", "frictions", "generations")
RECORD_LIMIT = 3 * 1024 * 1024
LAST_WORD = {
    0: "ended in order",
    -signal.SIGTERM: "ended before it had begun",
    -signal.SIGKILL: "was killed",
    4: "ended itself",
    2: "was refused",
}
"""How a worker may end. Anything else is a finding."""

Rows = list[tuple[str | None, bytes]]
"""Subjects and values."""


@dataclass
class Seat:
    """A place for a worker. pid: who sits there; sleeping: until when it is stopped (seconds); options: at the next start."""

    name: str
    role: str
    pid: int | None = None
    sleeping: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    vacant: bool = False


@dataclass
class Outcome:
    """How a round ended. happened: faults by name; ends: how workers ended; problems: empty when all is as it must be."""

    seed: int
    seconds: float = 0.0
    happened: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the round shows what is promised."""
        return not self.problems


class Scene:
    """What the rounds share: a broker, a ClickHouse, the nursery, and how the weeks end without faults."""

    def __init__(self, kafka: ApacheKafka, front: ChdbHttp, nursery: Nursery) -> None:
        self.kafka, self.front, self.nursery = kafka, front, nursery
        self._weeks: dict[int, tuple[Week, Found, Views]] = {}

    def week(self, number: int, folder: Path) -> tuple[Week, Found, Views]:
        """A week, what is true of it, and the views of an unbroken run."""
        if number not in self._weeks:
            told = week(seed=100 + number, customers=CUSTOMERS)
            truth = expected(told.items)
            calm = Round(self, -1 - number, [], told, truth, None, folder)
            calm.play()
            assert calm.outcome.equal, calm.outcome.problems
            assert len(calm.seen["frictions"]) == len(truth.frictions) > 100
            self._weeks[number] = told, truth, calm.seen
        return self._weeks[number]


class Round:
    """One week under faults. `faults`: their names; without any it is the unbroken run."""

    def __init__(
        self,
        scene: Scene,
        seed: int,
        faults: Sequence[str],
        told: Week,
        truth: Found,
        views: Views | None,
        folder: Path,
    ) -> None:
        self.scene, self.told, self.truth, self.views = scene, told, truth, views
        self.kafka, self.front, self.nursery = scene.kafka, scene.front, scene.nursery
        self.dice = Random(seed)
        self.prefix = f"torture{seed}-{os.getpid()}-{time.monotonic_ns() % 10**9}."
        self.folder = folder / self.prefix.rstrip(".")
        self.folder.mkdir(parents=True)
        self.outcome = Outcome(seed)
        self.plan = sorted((self.dice.randrange(1, PARTS - 2), name) for name in faults)
        self.seen: Views = {}
        self.seats = {
            name: Seat(name, name.rstrip("123")) for name in ("track1", "track2", "track3", "store1", "store2")
        }
        self.parts = [[(i.subject, i.value) for i in part if i.subject is not None] for part in _parts(told)]
        self.partitioner: Callable[[str], int] = lambda subject: partition_of(subject, PARTITIONS)
        self.fed = self.told_commits = 0
        self.broken: Rows = []
        self.closing = False
        if "rebalances" in faults:
            self.seats["track2"].vacant = self.seats["track3"].vacant = True
        if not faults:
            for name in ("track2", "track3", "store2"):
                self.seats[name].vacant = True

    # -- the course of a round

    def play(self) -> Outcome:
        """From the first record to the verdict."""
        began = time.monotonic()
        try:
            self._prepare()
            self._feed()
            self._heal()
            self._finish()
            self._judge()
        except AssertionError as e:
            self.outcome.problems.append(str(e)[:2000])
        finally:
            self._leave()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _prepare(self) -> None:
        made = create(self.kafka.bootstrap, PARTITIONS, prefix=self.prefix)
        assert all(f.good for f in made), made
        with admin(self.kafka.bootstrap) as client:
            large = {"max.message.bytes": str(RECORD_LIMIT)}
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.prefix + TOUCHPOINTS.name, large)])
        for table in TABLES:
            self.front.run(f"TRUNCATE TABLE volvere_store.{table}", {})
        for seat in self.seats.values():
            if not seat.vacant:
                self._sit(seat)

    def _feed(self) -> None:
        plan = list(self.plan)
        for n, part in enumerate(self.parts):
            self.produce(part)
            while plan and plan[0][0] == n:
                _, name = plan.pop(0)
                FAULTS[name](self)
            pace = time.monotonic() + 0.6  # so that faults meet work under way, and the end is not far
            while self.commits() < self.fed - 2 * len(part) and time.monotonic() < pace:
                self.pause()

    def _heal(self) -> None:
        self.front.away = False
        self.front.faults.clear()
        while any(seat.sleeping for seat in self.seats.values()):
            self.pause()
        for name, seat in self.seats.items():
            if self.plan and seat.vacant and name != "track3":
                seat.vacant = False
                self._sit(seat)

    def _finish(self) -> None:
        """Until all is tracked; then the end mark by a worker of its own; then until all is stored."""
        topic = self.prefix + TOUCHPOINTS.name
        self.until(lambda: self._done("track", ends := self._ends(topic)) and ends == self._ends(topic), "tracked")
        self.closing = True
        self._end("track")
        ends = {str(tp.partition): end for tp, end in self._ends(topic).items()}
        last = [[i.line, i.value.decode(), i.subject] for i in self.told.last]
        what = {
            "kafka": self.kafka.bootstrap,
            "prefix": self.prefix,
            "last": last,
            "ends": ends,
            "newest": self.truth.newest,
        }
        pid = self.nursery.start(self.folder / "finish.log", role="finish", **what)
        code = self._await(pid)
        assert code == 0, f"the finisher ended with {code}: {(self.folder / 'finish.log').read_text()[-1500:]}"
        said, journeys = asyncio.run(published(self.kafka.bootstrap, self.prefix))
        wanted = self._ends(topic)
        for name, records in ((FRICTIONS.name, said), (JOURNEYS.name, journeys)):
            for r in records:
                wanted[TopicPartition(self.prefix + name, r.partition)] = r.offset + 1
        self.until(lambda: self._done("store", wanted), "stored")
        self._end("store")
        self.said, self.journeys = said, journeys

    def _judge(self) -> None:
        outcome = self.outcome
        ids = Counter(json.loads(r.value or b"")["id"] for r in self.said)
        outcome.doubled = sum(count - 1 for count in ids.values())
        ended = found(values(self.said), values(self.journeys))
        outcome.lost = len(self.truth.frictions.items() - ended.frictions.items())
        must_be_there_once(self.said)
        assert ended.frictions == self.truth.frictions, f"{outcome.lost} frictions lost or wrong"
        assert ended.journeys == self.truth.journeys, "journeys differ from the truth"
        self._judge_letters()
        client = connect(self.front.url)
        for view, columns in COLUMNS.items():
            _, found_rows = query(client, f"SELECT {', '.join(columns)} FROM volvere.{view} ORDER BY ALL")
            self.seen[view] = [[str(value) for value in row] for row in found_rows]
        client.close()
        for view, rows in (self.views or {}).items():
            missing = [row for row in rows if row not in self.seen[view]] if rows != self.seen[view] else []
            assert rows == self.seen[view], (
                f"view {view}: {len(self.seen[view])} rows, expected {len(rows)}; {missing[:2]}"
            )

    def _judge_letters(self) -> None:
        """Every record that cannot be read is among the dead letters, once, under its place."""
        letters = asyncio.run(read(self.kafka.bootstrap, self.prefix + DEAD_LETTERS.name))
        places = Counter((int(h["partition"]), int(h["offset"])) for h in (dict(r.headers) for r in letters))
        unread = set()
        for r in asyncio.run(read(self.kafka.bootstrap, self.prefix + TOUCHPOINTS.name)):
            try:
                decode(r.value, r.timestamp * 1000, r.headers)
            except Unacceptable:
                unread.add((r.partition, r.offset))
        assert places == Counter(unread), f"dead letters: {len(places)} places, {len(unread)} records cannot be read"

    def _leave(self) -> None:
        self.closing = True
        self.front.away = False
        self.front.faults.clear()
        for seat in self.seats.values():
            if seat.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(seat.pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(seat.pid for seat in self.seats.values()) and time.monotonic() < deadline:
            self.pause()
        with suppress(KafkaError), admin(self.kafka.bootstrap) as client:
            client.delete_topics([self.prefix + topic.name for topic in TOPICS])
        if self.outcome.equal:
            shutil.rmtree(self.folder)

    # -- workers

    def _sit(self, seat: Seat) -> None:
        what = {"kafka": self.kafka.bootstrap, "prefix": self.prefix, **seat.options}
        what |= {"folder": str(self.folder)} if seat.role == "track" else {"clickhouse": self.front.url}
        seat.options = {}
        seat.pid = self.nursery.start(self.folder / f"{seat.name}.log", role=seat.role, **what)

    def pause(self) -> None:
        """A moment in which ended workers are replaced, and sleepers woken."""
        wait(0.05)
        by_pid = {seat.pid: seat for seat in self.seats.values()}
        for pid, code in self.nursery.ended().items():
            seat = by_pid.get(pid)
            if seat is None:
                self._codes[pid] = code
                continue
            seat.pid, seat.sleeping = None, 0.0
            if not self.closing or code != -signal.SIGKILL:
                self.outcome.ends[LAST_WORD.get(code, f"exit code {code}")] += 1
            if code not in LAST_WORD:
                log = (self.folder / f"{seat.name}.log").read_text()[-1500:]
                raise AssertionError(f"{seat.name} ended with {code}: {log}")
            if not self.closing and not seat.vacant:
                self._sit(seat)
        for seat in self.seats.values():
            if seat.pid is not None and seat.sleeping and time.monotonic() > seat.sleeping:
                os.kill(seat.pid, signal.SIGCONT)
                seat.sleeping = 0.0

    _codes: dict[int, int] = {}  # noqa: RUF012 - of the finishers, whose ids are their own

    def _await(self, pid: int) -> int:
        self.until(lambda: pid in self._codes, "the finisher ended")
        return self._codes.pop(pid)

    def _end(self, role: str) -> None:
        for seat in self.seats.values():
            if seat.role == role and seat.pid is not None:
                os.kill(seat.pid, signal.SIGTERM)
        self.closing = True
        self.until(lambda: not any(s.pid for s in self.seats.values() if s.role == role), f"{role} stopped")

    def living(self, role: str) -> list[Seat]:
        """Who works in a role, and is awake."""
        return [s for s in self.seats.values() if s.role == role and s.pid is not None and not s.sleeping]

    def happened(self, name: str) -> None:
        """Note that a fault has met somebody."""
        self.outcome.happened[name] += 1

    # -- records

    def produce(self, rows: Rows) -> None:
        """Append records; again from the first one when the broker does not answer, as producers do."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                asyncio.run(self._produce(rows))
            except (AioKafkaError, TimeoutError):
                assert time.monotonic() < deadline, "the broker takes no records"
                self.pause()
            else:
                self.fed += len(rows)
                return

    async def _produce(self, rows: Rows) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka.bootstrap, acks="all", linger_ms=5, max_request_size=RECORD_LIMIT,
            request_timeout_ms=4_000,
        )  # fmt: skip
        async with asyncio.timeout(10):
            await producer.start()
            try:
                topic = self.prefix + TOUCHPOINTS.name
                sent = []
                for subject, value in rows:
                    to = self.dice.randrange(PARTITIONS) if subject is None else self.partitioner(subject)
                    sent.append(await producer.send(topic, value, key=(subject or "").encode(), partition=to))
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

    def commits(self) -> int:
        """Records in committed flushes so far."""
        log = self.folder / "commits.jsonl"
        return sum(json.loads(line)["records"] for line in log.read_text().splitlines()) if log.exists() else 0

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition; asks again when the broker does not answer."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            with suppress(KafkaError, AioKafkaError, TimeoutError):
                if condition():
                    return
            assert time.monotonic() < deadline, f"not {what} after {ANSWER_WITHIN_S} s"
            self.pause()

    def _ends(self, topic: str) -> dict[TopicPartition, int]:
        async def ask() -> dict[TopicPartition, int]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, isolation_level="read_committed")
            async with asyncio.timeout(10):
                await consumer.start()
                try:
                    places = [TopicPartition(topic, n) for n in range(PARTITIONS)]
                    consumer.assign(places)
                    return dict(await consumer.end_offsets(places))
                finally:
                    await consumer.stop()

        return asyncio.run(ask())

    def _done(self, worker: str, ends: dict[TopicPartition, int]) -> bool:
        group = f"{self.prefix.rstrip('.')}-{worker}"
        with admin(self.kafka.bootstrap) as client:
            committed = {
                (tp.topic, tp.partition): at.offset
                for tp, at in client.list_group_offsets({group: None})[group].items()
            }
        return all(committed.get((tp.topic, tp.partition), 0) >= end for tp, end in ends.items())

    # -- faults

    def kill_at_a_point(self) -> None:
        """Kill -9 at a named point of a flush."""
        seat = self.dice.choice(self.living("track") or [self.seats["track1"]])
        point, nth = self.dice.choice(POINTS), self.dice.randint(1, 3)
        seat.options = {"point": point, "nth": nth}
        if seat.pid is not None:
            os.kill(seat.pid, signal.SIGTERM)  # its successor is the one with the bomb
        self.happened("kill -9 at a point of a flush")

    def _signal(self, role: str, number: int, name: str) -> None:
        for seat in self.dice.sample(self.living(role), min(1, len(self.living(role)))):
            assert seat.pid is not None
            os.kill(seat.pid, number)
            self.happened(name)

    def kill_track(self) -> None:
        """Kill -9 of a tracker at random."""
        self._signal("track", signal.SIGKILL, "kill -9 of a `track`")

    def kill_store(self) -> None:
        """Kill -9 of a store at random."""
        self._signal("store", signal.SIGKILL, "kill -9 of a `store`")

    def stop_track(self) -> None:
        """SIGTERM of a tracker: it leaves nothing to do again."""
        self._signal("track", signal.SIGTERM, "SIGTERM of a `track`")

    def stop_store(self) -> None:
        """SIGTERM of a store."""
        self._signal("store", signal.SIGTERM, "SIGTERM of a `store`")

    def _sleep(self, role: str, name: str) -> None:
        for seat in self.dice.sample(self.living(role), min(1, len(self.living(role)))):
            assert seat.pid is not None
            os.kill(seat.pid, signal.SIGSTOP)
            seat.sleeping = time.monotonic() + QUIET + 2
            self.happened(name)

    def zombie_track(self) -> None:
        """SIGSTOP past the session timeout, then SIGCONT: fenced, it writes nothing."""
        self._sleep("track", "a `track` that sleeps past its session")

    def zombie_store(self) -> None:
        """The same for a store: what it writes again is the same rows."""
        self._sleep("store", "a `store` that sleeps past its session")

    def rebalances(self) -> None:
        """One worker, then three, then two."""
        for name in ("track2", "track3"):
            self.seats[name].vacant = False
            self._sit(self.seats[name])
        before = self.commits()
        with suppress(AssertionError):
            self.until(lambda: self.commits() > before, "committed")
        leaver = self.seats[self.dice.choice(("track2", "track3"))]
        leaver.vacant = True
        if leaver.pid is not None:
            os.kill(leaver.pid, signal.SIGTERM)
        self.happened("1 -> 3 -> 2 workers")

    def kill_broker(self) -> None:
        """Kill -9 of the broker, and a restart."""
        self.kafka.restart()
        self.happened("kill -9 of the broker")

    def freeze_broker(self) -> None:
        """A broker that answers nothing for longer than every deadline of a flush and a session."""
        self.kafka.signal(signal.SIGSTOP)
        try:
            until = time.monotonic() + max(QUIET, FLUSH_WITHIN_MS / 1000) + 2
            while time.monotonic() < until:
                self.pause()
        finally:
            self.kafka.signal(signal.SIGCONT)
        self.happened("a broker that answers nothing")

    def clickhouse_away(self) -> None:
        """More than half an hour of event time without ClickHouse (a part is ten hours)."""
        self.front.away = True
        for part in self._borrow(2):
            self.produce(part)
            self.pause()
        self.front.away = False
        self.happened("ClickHouse down")

    def _borrow(self, count: int) -> Iterator[Rows]:
        """Parts that were fed before: duplicates change nothing."""
        for _ in range(count):
            yield self.dice.choice(self.parts[: PARTS // 3])

    def clickhouse_refuses(self) -> None:
        """Too many parts, no memory, read-only: refusals that pass."""
        self.front.faults.extend(Fail(code) for code in self.dice.choices((252, 241, 202, 242, 159), k=4))
        self.happened("ClickHouse refuses")

    def clickhouse_slow(self) -> None:
        """Nothing is answered for a while, then everything."""
        with self.front.lock:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                self.pause()
        self.happened("ClickHouse slow")

    def clickhouse_cut(self) -> None:
        """Connections break before the insert."""
        self.front.faults.extend(Cut() for _ in range(3))
        self.happened("ClickHouse: connections break")

    def clickhouse_forgets(self) -> None:
        """The insert is done, the answer lost."""
        self.front.faults.extend(LoseAnswer() for _ in range(3))
        self.happened("ClickHouse: answers lost after the write")

    def duplicates(self) -> None:
        """A producer that was not sure sends a part again, in another order."""
        for part in self._borrow(2):
            self.produce(self.dice.sample(part, len(part)))
        self.happened("duplicates, reordered")

    def partitioners(self) -> None:
        """From here on others choose the partition: crc32, or dice."""
        by_crc = self.dice.random() < 0.5

        def choose(subject: str) -> int:
            return zlib.crc32(subject.encode()) % PARTITIONS if by_crc else self.dice.randrange(PARTITIONS)

        self.partitioner = choose
        self.happened("another partitioner (crc32, random)")

    def poison(self) -> None:
        """Records that nobody can read, among them one of 2 MiB and a million random bytes."""
        maria = '{"source":"s","event_id":"%s","customer_id":"maria","kind":"page.viewed","channel":"web","occurred_at":"%s"}'
        ahead = maria % ("ahead", format_time(wall() + HOUR))
        large = (maria % ("large", "2025-01-06T09:00:00Z"))[:-1] + ',"attributes":{"a":"' + "x" * 2 * 2**20 + '"}}'
        for value in (b"{", self.dice.randbytes(1_000_000), ahead.encode(), large.encode()):
            self.produce([(None, value)])
        self.happened("poison, 2 MiB, random bytes, a future clock")

    def offsets(self) -> None:
        """Between two shifts somebody deletes the group's offsets, or moves them."""
        group, source = f"{self.prefix.rstrip('.')}-track", self.prefix + TOUCHPOINTS.name
        seats = [s for s in self.seats.values() if s.role == "track" and not s.vacant]
        for seat in seats:
            seat.vacant = True
            if seat.pid is not None:
                if seat.sleeping:
                    os.kill(seat.pid, signal.SIGCONT)
                    seat.sleeping = 0.0
                os.kill(seat.pid, signal.SIGTERM)
        self.until(lambda: not any(s.pid for s in seats), "stopped")

        def tamper() -> bool:
            far = {
                TopicPartition(source, n): OffsetAndMetadata(10**6 * self.dice.randint(0, 1), "", -1) for n in (0, 1)
            }
            with admin(self.kafka.bootstrap) as client:
                client.alter_group_offsets(group, far)
                client.delete_group_offsets(group, [TopicPartition(source, 2)])
            return True

        self.until(tamper, "able to move the group's offsets")
        for seat in seats:
            seat.vacant = False
            self._sit(seat)
        self.happened("the group's offsets deleted and advanced")


FAULTS: dict[str, Callable[[Round], None]] = {
    f.__name__: f
    for f in (
        Round.kill_at_a_point, Round.kill_track, Round.kill_store, Round.stop_track, Round.stop_store,
        Round.zombie_track, Round.zombie_store, Round.rebalances, Round.kill_broker, Round.freeze_broker,
        Round.clickhouse_away, Round.clickhouse_refuses, Round.clickhouse_slow, Round.clickhouse_cut,
        Round.clickhouse_forgets, Round.duplicates, Round.partitioners, Round.poison, Round.offsets,
    )
}  # fmt: skip


def dealt(seed: int) -> list[str]:
    """The faults of a seed: every fifth has one alone, the others three to six."""
    dice, names = Random(f"faults {seed}"), list(FAULTS)
    if seed % 5 == 0:
        return [names[seed // 5 % len(names)]]
    return dice.sample(names, dice.randint(3, 6))


def _parts(told: Week) -> list[list[Any]]:
    items = [item for chunk in told.chunks for item in chunk]
    size = -(-len(items) // PARTS)
    return [items[i : i + size] for i in range(0, len(items), size)]


def wait(seconds: float) -> None:
    """A moment for the others."""
    signal.sigtimedwait([], seconds)


@contextmanager
def scene(kafka: ApacheKafka, folder: Path) -> Iterator[Scene]:
    """Everything that rounds need, around a broker that runs."""
    with ChdbHttp(folder / "clickhouse") as front:
        client = connect(front.url)
        migrate(client)
        client.close()
        nursery = Nursery()
        try:
            yield Scene(kafka, front, nursery)
        finally:
            nursery.close()


def play(at: Scene, seed: int, folder: Path, faults: Sequence[str] | None = None) -> Outcome:
    """One round."""
    told, truth, views = at.week(seed % WEEKS, folder)
    return Round(at, seed, dealt(seed) if faults is None else faults, told, truth, views, folder).play()


def report(outcomes: Sequence[Outcome], seed: int) -> str:
    """What was seen, as Markdown."""
    happened: Counter[str] = sum((o.happened for o in outcomes), Counter())
    ends: Counter[str] = sum((o.ends for o in outcomes), Counter())
    seconds = sorted(o.seconds for o in outcomes)
    rows = "\n".join(f"| {name} | {count} |" for name, count in sorted(happened.items()))
    ended = "\n".join(f"| {name} | {count} |" for name, count in sorted(ends.items()))
    return f"""# Torture

`make torture ROUNDS={len(outcomes)} SEED={seed}`, {time.strftime("%Y-%m-%d", time.gmtime())}, {os.cpu_count()} cores
({platform.machine()}, Python {platform.python_version()}), Apache Kafka, its clients and ClickHouse's engine on the same machine.

**{sum(o.equal for o in outcomes)} of {len(outcomes)} rounds equal to an unbroken run; {sum(o.lost for o in outcomes)} frictions lost,
{sum(o.doubled for o in outcomes)} seen twice.** A round took {seconds[len(seconds) // 2]:.0f} s (median), {seconds[-1]:.0f} s at most.

| fault | times |
|---|---|
{rows}

| a worker | times |
|---|---|
{ended}
"""


def main() -> int:
    """The exit code: 1 when a round was not equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the others follow")
    parser.add_argument("--report", type=Path, help="write what was seen to this file, as Markdown")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="volvere-torture-"))
    (folder / "kafka").mkdir()
    try:
        kafka = ApacheKafka(folder / "kafka", heap="768m")
    except KafkaMissing as e:
        sys.exit(f"no torture: {e}")
    outcomes: list[Outcome] = []
    try:
        kafka.start()
        with scene(kafka, folder) as at:
            for seed in range(args.seed, args.seed + args.rounds):
                outcome = play(at, seed, folder)
                outcomes.append(outcome)
                print(_line(outcome, len(outcomes), args.rounds), flush=True)  # noqa: T201
    finally:
        kafka.kill()
    text = report(outcomes, args.seed)
    if args.report:
        args.report.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201
    if all(o.equal for o in outcomes):
        shutil.rmtree(folder)
        return 0
    print(f"what the rounds left behind is in {folder}")  # noqa: T201
    return 1


def _line(o: Outcome, number: int, rounds: int) -> str:
    verdict = "equal" if o.equal else "NOT EQUAL: " + " | ".join(o.problems)
    return f"{number:>4} of {rounds}  seed {o.seed}  {o.seconds:4.0f} s  {verdict}  ({', '.join(o.happened)})"


if __name__ == "__main__":
    sys.exit(main())
