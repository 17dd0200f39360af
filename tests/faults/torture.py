"""Faults at random, alone and mixed, against a simulated week; in the end the truth.

A round feeds the week to Apache Kafka while three `track` and two `store` workers live through
what its seed has dealt. Whoever ends is started again, as an orchestrator would. At the end the
four views, without the columns of delivery, must equal those of an unbroken run, and a
`read_committed` consumer must have seen every friction once. A fault that met nobody is not counted.

`make torture ROUNDS=100 SEED=1`; a round's seed deals the same faults at the same points again.
What falls together with what is the machine's: that no two runs share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
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
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

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
from tests.kafka import ApacheKafka, KafkaMissing, Record, read
from volvere.topics import create
from volvere.worker import wall

PARTITIONS = 4
PARTS = 16
CUSTOMERS = 250
WEEKS = 4
"""Different weeks; each is played once without faults."""
ANSWER_WITHIN_S = 90
BITE_WITHIN_S = 10
"""So long a fault waits for somebody whom it can meet."""
TABLES = ("touchpoints", "operations", "journeys", "frictions", "refused", "generations", "contacts")
RECORD_LIMIT = 3 * 1024 * 1024
LAST_WORD = {
    0: "ended in order, asked by SIGTERM",
    -signal.SIGTERM: "ended by SIGTERM before it had begun",
    -signal.SIGKILL: "was killed",
    4: "ended itself, so as to write nothing wrong",
    2: "found no broker, or no ClickHouse, when it started",
}
"""How a worker may end, where it had a reason to. Anything else is a finding."""

Rows = list[tuple[str | None, bytes]]
"""Subjects and values."""


@dataclass
class Seat:
    """A place for a worker.

    pid: who sits there; sleeping: until when it is stopped (seconds); options: at the next start; may_get: signals which
    it was sent, or will send itself.
    """

    name: str
    role: str
    pid: int | None = None
    sleeping: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    may_get: set[int] = field(default_factory=set)
    vacant: bool = False


@dataclass
class Outcome:
    """How a round ended.

    plan: what was dealt; happened: faults that met somebody, by name; points: where in a flush workers were killed; ends:
    how workers ended; problems: empty when all is as it must be; folder: what an unequal round left behind.
    """

    seed: int
    plan: str
    folder: Path
    seconds: float = 0.0
    happened: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
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
        self.tell: Callable[[str], None] = lambda _: None
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
        self.seed, self.dice = seed, Random(seed)
        self.prefix = f"torture{seed}-{os.getpid()}-{time.monotonic_ns() % 10**9}."
        self.folder = folder / self.prefix.rstrip(".")
        self.folder.mkdir(parents=True)
        self.plan = sorted((self.dice.randrange(1, PARTS - 2), name) for name in faults)
        self.outcome = Outcome(seed, ", ".join(f"{name} at part {n}" for n, name in self.plan), self.folder)
        self.seen: Views = {}
        self.said: list[Record] = []
        self.journeys: list[Record] = []
        self.seats = {
            name: Seat(name, name.rstrip("123")) for name in ("track1", "track2", "track3", "store1", "store2")
        }
        self.parts = [[(i.subject, i.value) for i in part if i.subject is not None] for part in _parts(told)]
        self.partitioner: Callable[[str], int] = lambda subject: partition_of(subject, PARTITIONS)
        self.fed = self.part = 0
        self.codes: dict[int, int] = {}
        self.injected: list[tuple[str, Cut | Fail | LoseAnswer]] = []
        self.away_until: int | None = None
        self.without_server = self.closing = False
        if "rebalances" in faults:
            self.seats["track2"].vacant = self.seats["track3"].vacant = True
        if "kill_at_a_point" in faults:
            first = self.dice.randrange(len(POINTS))
            for n, name in enumerate(("track1", "track2", "track3")):
                point = POINTS[(first + 3 * n) % len(POINTS)]
                self.seats[name].options = {"point": point, "nth": self.dice.randint(1, 6)}
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
            self._finish()
            self._judge()
        except Exception as e:  # noqa: BLE001 - a round that cannot be finished is a finding, and the next one goes on
            self.outcome.problems.append(f"{type(e).__name__}: {e}"[:2000])
            (self.folder / "problem.txt").write_text(f"{self.outcome.plan}\n\n{traceback.format_exc()}")
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
            self.part = n
            self.produce(part)
            if self.away_until is not None and n >= self.away_until:
                self._clickhouse_is_back()
            while plan and plan[0][0] == n:
                _, name = plan.pop(0)
                self.scene.tell(f"seed {self.seed}: {name} at part {n}")
                self.dice.seed(f"{self.seed} {name}")  # what came before, and how often, changes nothing of it
                FAULTS[name](self)
            pace = time.monotonic() + 0.6  # so that faults meet work under way, and the end is not far
            while self.commits() < self.fed - 2 * len(part) and time.monotonic() < pace:
                self.pause()
        self._clickhouse_is_back()

    def _finish(self) -> None:
        """Until all is tracked; then the end mark by a worker of its own; then until all is stored."""
        topic = self.prefix + TOUCHPOINTS.name
        self.scene.tell(f"seed {self.seed}: waiting for the end")
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
        for name, first in self.injected:
            if not any(left is first for left in self.front.faults):
                self.happened(name)
        for line in self._told("signals.jsonl"):
            self.outcome.points[line["point"]] += 1
            self.happened("kill -9 of a `track` at a point of a flush")

    def _judge(self) -> None:
        outcome = self.outcome
        ids = Counter(json.loads(r.value or b"")["id"] for r in self.said)
        outcome.doubled = sum(count - 1 for count in ids.values())
        ended = found(values(self.said), values(self.journeys))
        outcome.lost = len(self.truth.frictions.items() - ended.frictions.items())
        assert not outcome.doubled, f"{outcome.doubled} friction events are there twice"
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
            seen = self.seen[view]
            if rows != seen:
                missing, more = [r for r in rows if r not in seen], [r for r in seen if r not in rows]
                raise AssertionError(
                    f"view {view}: {len(missing)} rows lost, {len(more)} too many: {missing[:1]} {more[:1]}"
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
            self._send(seat, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(seat.pid for seat in self.seats.values()) and time.monotonic() < deadline:
            self.pause()
        with suppress(KafkaError), admin(self.kafka.bootstrap) as client:
            client.delete_topics([self.prefix + topic.name for topic in TOPICS])
        if self.outcome.equal:
            shutil.rmtree(self.folder)
            return
        for name, records in ((FRICTIONS.name, self.said), (JOURNEYS.name, self.journeys)):
            (self.folder / f"{name}.jsonl").write_bytes(b"".join((r.value or b"null") + b"\n" for r in records))
        (self.folder / "views.json").write_text(json.dumps({"expected": self.views, "found": self.seen}))

    # -- workers

    def _sit(self, seat: Seat) -> None:
        what = {"kafka": self.kafka.bootstrap, "prefix": self.prefix, **seat.options}
        what |= {"folder": str(self.folder)} if seat.role == "track" else {"clickhouse": self.front.url}
        seat.may_get = {signal.SIGKILL} if seat.options else set()
        seat.options = {}
        seat.pid = self.nursery.start(self.folder / f"{seat.name}.log", role=seat.role, **what)

    def _send(self, seat: Seat, number: int) -> None:
        """A signal to whoever sits there; an ended one stays known to the nursery until it is asked."""
        if seat.pid is not None:
            seat.may_get.add(number)
            os.kill(seat.pid, number)

    def pause(self) -> None:
        """Wait a moment for workers that end; they are replaced, and sleepers woken."""
        gone = []
        for pid, code in self.nursery.ended(0.05).items():
            seat = next((seat for seat in self.seats.values() if seat.pid == pid), None)
            if seat is None:
                self.codes[pid] = code
            else:
                seat.pid, seat.sleeping = None, 0.0
                gone.append((seat, code))
        for seat, code in gone:
            if not self.closing or code != -signal.SIGKILL:
                self.outcome.ends[LAST_WORD.get(code, f"exit code {code}")] += 1
            if not self.closing:
                self._must_have_had_a_reason(seat, code)
                if not seat.vacant:
                    self._sit(seat)
        for seat in self.seats.values():
            if seat.sleeping and time.monotonic() > seat.sleeping:
                self._send(seat, signal.SIGCONT)
                seat.sleeping = 0.0

    def _must_have_had_a_reason(self, seat: Seat, code: int) -> None:
        asked = code == 0 and signal.SIGTERM in seat.may_get
        if not (asked or code == 4 or -code in seat.may_get or (code == 2 and self.without_server)):
            log = (self.folder / f"{seat.name}.log").read_text()[-1500:]
            raise AssertionError(f"{seat.name} ended with {code}: {log}")

    def _await(self, pid: int) -> int:
        self.until(lambda: pid in self.codes, "finished")
        return self.codes.pop(pid)

    def _end(self, role: str) -> None:
        """SIGTERM for all, which must end in order, or by themselves."""
        seats = [seat for seat in self.seats.values() if seat.role == role]
        for seat in seats:
            self._send(seat, signal.SIGTERM)
        self.until(lambda: not any(seat.pid for seat in seats), f"stopped: {role}")

    def living(self, role: str) -> list[Seat]:
        """Who works in a role, and is awake."""
        return [s for s in self.seats.values() if s.role == role and s.pid is not None and not s.sleeping]

    def _somebody(self, role: str) -> list[Seat]:
        """One of them, once there is one; nobody when that takes too long."""
        self.within(lambda: self.living(role))
        seats = self.living(role)
        return [self.dice.choice(seats)] if seats else []

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
                    to = zlib.crc32(value) % PARTITIONS if subject is None else self.partitioner(subject)
                    sent.append(await producer.send(topic, value, key=(subject or "").encode(), partition=to))
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

    def commits(self) -> int:
        """Records in committed flushes so far."""
        return sum(line["records"] for line in self._told("commits.jsonl"))

    def _told(self, name: str) -> list[dict[str, Any]]:
        log = self.folder / name
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def within(self, condition: Callable[[], Any]) -> bool:
        """Whether a condition comes true in time; nobody is to blame when it does not."""
        deadline = time.monotonic() + BITE_WITHIN_S
        while not (met := bool(condition())) and time.monotonic() < deadline:
            self.pause()
        return met

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
        """Kill -9 at named points of a flush, of trackers that had it dealt at their start; here the first has met it."""
        deadline = time.monotonic() + BITE_WITHIN_S
        while not self._told("signals.jsonl") and time.monotonic() < deadline:
            self.produce(self.dice.choice(self.parts[: self.part]))
            self.pause()

    def kill_track(self) -> None:
        """Kill -9 of a tracker at random."""
        self._signal("track", signal.SIGKILL, "kill -9 of a `track`")

    def kill_store(self) -> None:
        """Kill -9 of a store at random."""
        self._signal("store", signal.SIGKILL, "kill -9 of a `store`")

    def kill_store_amid_insert(self) -> None:
        """Kill -9 of the stores while ClickHouse inserts: the rows are there, and are not acknowledged."""
        with self.front.lock:
            if self._insert_under_way():
                for seat in self.living("store"):
                    self._send(seat, signal.SIGKILL)
                self.happened("kill -9 of a `store` amid an insert")

    def stop_track(self) -> None:
        """SIGTERM of a tracker: it leaves nothing to do again."""
        self._signal("track", signal.SIGTERM, "SIGTERM of a `track`")

    def stop_store(self) -> None:
        """SIGTERM of a store."""
        self._signal("store", signal.SIGTERM, "SIGTERM of a `store`")

    def _signal(self, role: str, number: int, name: str) -> None:
        for seat in self._somebody(role):
            self._send(seat, number)
            self.happened(name)

    def _sleep(self, role: str, name: str) -> None:
        for seat in self._somebody(role):
            self._send(seat, signal.SIGSTOP)
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
        newcomers = [self.seats["track2"], self.seats["track3"]]
        for seat in newcomers:
            seat.vacant = False
            self._sit(seat)
        before = self.commits()
        self.within(lambda: self.commits() > before)
        leaver = self.dice.choice(newcomers)
        leaver.vacant = True
        self._send(leaver, signal.SIGTERM)
        self.happened("1, then 3, then 2 workers")

    def kill_broker(self) -> None:
        """Kill -9 of the broker, and a restart."""
        self.without_server = True
        self.kafka.restart()
        self.happened("kill -9 of the broker")

    def freeze_broker(self) -> None:
        """A broker that answers nothing for longer than every deadline of a flush and a session."""
        self.without_server = True
        self.kafka.signal(signal.SIGSTOP)
        try:
            until = time.monotonic() + max(QUIET, FLUSH_WITHIN_MS / 1000) + 2
            while time.monotonic() < until:
                self.pause()
        finally:
            self.kafka.signal(signal.SIGCONT)
        self.happened("a broker that answers nothing")

    def clickhouse_away(self) -> None:
        """More than half an hour of event time without ClickHouse: two parts of ten hours each."""
        self._clickhouse_is_back()
        self.turned_away, self.away_until = self.front.turned_away, self.part + 2
        self.front.away = self.without_server = True

    def _clickhouse_is_back(self) -> None:
        if self.away_until is not None:
            if self.within(lambda: self.front.turned_away > self.turned_away):
                self.happened("ClickHouse down for hours of event time")
            self.front.away, self.away_until = False, None

    def _insert_under_way(self) -> bool:
        """Whether one comes soon: it waits for the lock. What was fed before comes again, so that there is something to insert."""
        self._clickhouse_is_back()
        before = self.front.inserts
        self.produce(self.dice.choice(self.parts[: self.part]))
        return self.within(lambda: self.front.inserts > before)

    def _inject(self, name: str, faults: Sequence[Cut | Fail | LoseAnswer]) -> None:
        self.front.faults.extend(faults)
        self.injected.append((name, faults[0]))

    def clickhouse_refuses(self) -> None:
        """Too many parts, no memory, read-only: refusals that pass."""
        self._inject("ClickHouse refuses", [Fail(code) for code in self.dice.sample((252, 241, 202, 242, 159), 4)])

    def clickhouse_slow(self) -> None:
        """Nothing is answered for a while, then everything."""
        with self.front.lock:
            if self._insert_under_way():
                until = time.monotonic() + 2
                while time.monotonic() < until:
                    self.pause()
                self.happened("ClickHouse slow")

    def clickhouse_cut(self) -> None:
        """Connections break before the insert."""
        self._inject("ClickHouse: connections break", [Cut() for _ in range(3)])

    def clickhouse_forgets(self) -> None:
        """The insert is done, the answer lost."""
        self._inject("ClickHouse: answers lost after the write", [LoseAnswer() for _ in range(3)])

    def duplicates(self) -> None:
        """A producer that was not sure sends a part again, in another order, and then an old one."""
        for part in (self.parts[self.part], self.dice.choice(self.parts[: self.part])):
            self.produce(self.dice.sample(part, len(part)))
        self.happened("duplicates, reordered")

    def partitioners(self) -> None:
        """From here on three producers write the same customers: by murmur2, by crc32, by dice."""
        dice = Random(f"{self.seed} partitions")

        def choose(subject: str) -> int:
            places = (partition_of(subject, PARTITIONS), zlib.crc32(subject.encode()) % PARTITIONS)
            return dice.choice((*places, dice.randrange(PARTITIONS)))

        self.partitioner = choose
        self.happened("three partitioners (murmur2, crc32, random)")

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
            self._send(seat, signal.SIGTERM)
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
        Round.kill_at_a_point, Round.kill_track, Round.kill_store, Round.kill_store_amid_insert,
        Round.stop_track, Round.stop_store, Round.zombie_track, Round.zombie_store, Round.rebalances, Round.kill_broker, Round.freeze_broker,
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


def _table(counts: Counter[str], *titles: str) -> str:
    rows = [f"| {name} | {count} |" for name, count in sorted(counts.items())]
    return "\n".join([f"| {' | '.join(titles)} |", "|---|---|", *rows])


def report(outcomes: Sequence[Outcome], seed: int) -> str:
    """What was seen, as Markdown."""
    total, seconds = len(outcomes), sorted(o.seconds for o in outcomes)
    rows = []
    for name in sorted({name for o in outcomes for name in o.happened}):
        met = [o for o in outcomes if o.happened[name]]
        counts = sum(o.happened[name] for o in met), len(met), sum(o.equal for o in met)
        rows.append([name, *counts, sum(o.lost for o in met), sum(o.doubled for o in met)])
    faults = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    points: Counter[str] = sum((o.points for o in outcomes), Counter())
    ends: Counter[str] = sum((o.ends for o in outcomes), Counter())
    unequal = "".join(f"\n- seed {o.seed} ({o.plan}): {' '.join(o.problems)}" for o in outcomes if not o.equal)
    return f"""# Torture

A round feeds a simulated week, untidy and out of order, to Apache Kafka while three `track` and two `store` workers live
through what its seed has dealt: every fifth round one fault alone, the others three to six. Who ends is started again, as an
orchestrator would. In the end the four views, without the columns of delivery, must equal those of an unbroken run, frictions
and journeys must equal what is computed from the week without any broker, a `read_committed` consumer must have seen every
event once, and every record that nobody can read must be among the dead letters, once. A worker may end only where it was
asked to, was killed, found no broker at its start, or ends itself with 4; anything else makes the round unequal.

`make torture ROUNDS={total} SEED={seed}`, {time.strftime("%Y-%m-%d", time.gmtime())}, {os.cpu_count()} cores ({platform.machine()}, Python
{platform.python_version()}) for everything: broker, workers, ClickHouse's engine behind an HTTP front, producer. Sessions of {QUIET:g} s,
{FLUSH_WITHIN_MS / 1000:g} s for a flush. `make torture ROUNDS=1 SEED=n` deals a round again.

**{sum(o.equal for o in outcomes)} of {total} rounds equal, {sum(o.lost for o in outcomes)} frictions lost, {sum(o.doubled for o in outcomes)} doubled.**
A round took {seconds[total // 2]:.0f} s (median), {seconds[-1]:.0f} s at most; all of them {sum(seconds) / 60:.0f} minutes.
{unequal}
## Faults

A fault is counted when it has met somebody. Lost and doubled: frictions, in the rounds that met it.

| fault | times | rounds | equal | lost | doubled |
|---|---|---|---|---|---|
{faults}

{_table(points, "`kill -9` of a `track`", "times")}

{_table(ends, "a worker", "times")}
"""


def main() -> int:
    """The exit code: 1 when a round was not equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the others follow")
    parser.add_argument("--report", type=Path, help="write what was seen to this file, as Markdown")
    args = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is not there is what we are about
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="volvere-torture-"))
    (folder / "kafka").mkdir()
    try:
        kafka = ApacheKafka(folder / "kafka", lasting=True)
    except KafkaMissing as e:
        folder.rmdir()
        sys.exit(f"no torture: {e}")
    try:
        kafka.start()
        with scene(kafka, folder) as at:
            outcomes = _rounds(at, range(args.seed, args.seed + args.rounds), folder)
    finally:
        kafka.kill()
    text = report(outcomes, args.seed)
    if args.report:
        args.report.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201
    if all(o.equal for o in outcomes):
        shutil.rmtree(folder)
        return 0
    return 1


def _rounds(at: Scene, seeds: range, folder: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("the weeks, unbroken", total=len(seeds))
        at.tell = lambda text: progress.update(bar, description=text)
        for seed in seeds:
            outcome = play(at, seed, folder)
            outcomes.append(outcome)
            progress.advance(bar)
            print(_line(outcome, len(outcomes), len(seeds)), flush=True)  # noqa: T201
    return outcomes


def _line(o: Outcome, number: int, rounds: int) -> str:
    line = f"{number:>4} of {rounds}  seed {o.seed}  {o.seconds:4.0f} s  "
    if o.equal:
        return line + f"equal  ({', '.join(o.happened)})"
    problems = " | ".join(o.problems)
    return line + f"NOT EQUAL: {problems}\n  plan: {o.plan}\n  what it left behind: {o.folder}"


if __name__ == "__main__":
    sys.exit(main())
