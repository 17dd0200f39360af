"""`volvere bench soak`: whether the workers stay as they are, however long they run: memory, threads, open files, state, lag.

The touchpoints of a simulated company come at half of the highest rate of one `track` worker, with a state such as it will have. The state forgets by event
time: a subject is retired 97 to 171 days after its last touchpoint. For a state of steady size that time must pass, again
and again, so a company's time runs fast here: in any soak, however short, DAYS days pass, and the warm-up, whose samples count
for nothing, lasts for two such lives. The days lie in the past, as those of any backfill, since what is dated later than
now is refused. A customer gets in touch every VISIT_EVERY days: some come for the first time, some are remembered, some have
been retired and come again. The rules are the default ones but for the `lemon`, which would remember an asset for six years.

What grows by nature gets a retention that holds, so that it does not: Kafka's topics, and the tables of the embedded
ClickHouse, whose parts take memory and open files of the `store` worker.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from statistics import fmean, median

import msgspec
import stamina
from aiokafka import AIOKafkaConsumer, TopicPartition
from kafka import TopicPartition as Place
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from rich.table import Table

from schemas.errors import Impossible
from schemas.times import DAY
from schemas.topics import DEAD_LETTERS, FACTS, FRICTIONS, JOURNEYS, TOUCHPOINTS
from schemas.touchpoint import subject_of
from sinks.clickhouse import connect, migrate
from streams.partition import CONTROL
from volvere.bench.stage import Stage, stage
from volvere.feed import Fed, feed
from volvere.files import Record
from volvere.settings import Settings
from volvere.show import err, out
from volvere.simulator import Company
from volvere.topics import of_group
from volvere.worker import wall

PARTITIONS = 4
DAYS = 2400
VISIT_EVERY = 100
"""Days of the company: that pass in a soak; between two contacts of one customer."""
MARGIN = 1.25
"""So much longer the company goes on than it should take, as its days are not all alike."""
PER_CONTACT = 4.6
"""Touchpoints of one contact, on average."""
WARM_UP = 1 / 6
FLAT = 1.0
"""Per cent in 10 minutes."""
STATE_OF = 5_000.0
"""Touchpoints a second: a soak at this rate has the state that the highest rate is measured on."""
FILLED = 240
"""Days of the company that wait for the worker whose highest rate is measured. It is that of the last quarter, where some are retired."""
MEASURED_WITHIN = 600.0
KEPT_S = 60
RULES = """\
[lemon]
window = "60d"
expires_after = "60d"
"""
_PASSES = {"retention.bytes": str(256 * 2**20), "segment.bytes": str(32 * 2**20)}
_COMPACTS = {
    "segment.bytes": str(32 * 2**20),
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": "120000",
    "delete.retention.ms": "60000",
}
WAITS = {FACTS.name: _COMPACTS, JOURNEYS.name: _COMPACTS}
CONFIG = WAITS | {TOUCHPOINTS.name: _PASSES, FRICTIONS.name: _PASSES, DEAD_LETTERS.name: _PASSES}


def company(rate: float, seconds: float) -> Company:
    """A company of which DAYS days, or fewer where it would have less than a contact a day, take so long at this rate."""
    contacts = rate * seconds / PER_CONTACT
    a_day = max(1, round(contacts / DAYS))
    days = max(10, round(MARGIN * contacts / a_day))
    return Company(
        customers=a_day * VISIT_EVERY,
        days=days,
        start=wall() - (days + 1) * DAY,
        contacts_per_day=1 / VISIT_EVERY,
    )


def _records(of: Company) -> Iterator[Record]:
    for n, t in enumerate(of.touchpoints(), 1):
        subject = subject_of(t["customer_id"], t.get("contact_id"), t["source"], t["event_id"])
        yield Record(n, msgspec.json.encode(t), subject)


@dataclass
class State:
    """What the worker remembers, as the topic of its state says: key -> bytes. retired: subjects that were forgotten as a whole."""

    sizes: dict[bytes, int] = field(default_factory=dict)
    total: int = 0
    retired: int = 0

    async def follow(self, on: Stage) -> None:
        """Read on, until cancelled."""
        consumer = AIOKafkaConsumer(isolation_level="read_committed", group_id=None, **on.client())
        await consumer.start()
        try:
            places = [TopicPartition(on.prefix + FACTS.name, q) for q in range(PARTITIONS)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while True:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        self.note(record.key, record.value)
        finally:
            await consumer.stop()

    def note(self, key: bytes, value: bytes | None) -> None:
        """A record of the topic."""
        if key == CONTROL:
            return
        self.total -= self.sizes.pop(key, 0)
        if value is None:
            self.retired += 1
        else:
            self.sizes[key] = len(key) + len(value)
            self.total += self.sizes[key]


@dataclass
class Series:
    """One thing that is measured: its values beside the times (seconds), and what growth is told of: None, its own mean."""

    name: str
    unit: str
    whole: float | None = None
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def growth(self) -> float:
        """Per cent in 10 minutes: the median of the slopes between any two values (Theil and Sen).

        A burst, such as the files of a merge that are open for a second, does not move it; in a straight line through all values
        a few of them would pass for growth, or hide it.
        """
        if len(self.values) < 2:
            raise Impossible("too few samples for a slope; let the soak take longer")
        samples = zip(self.times, self.values, strict=True)
        slope = median((v - u) / (t - s) for (s, u), (t, v) in combinations(samples, 2))
        whole = self.whole or fmean(self.values)
        return 100 * 600 * slope / whole if whole else 0.0

    def row(self) -> list[str]:
        """For the table: the mean of the first and of the last tenth, the most, the growth."""
        tenth = max(1, len(self.values) // 10)
        numbers = (fmean(self.values[:tenth]), fmean(self.values[-tenth:]), max(self.values))
        return [self.name, *(f"{n:,.1f} {self.unit}".strip() for n in numbers), f"{self.growth():+.2f} %"]


@dataclass
class Soak:
    """One run. rate: touchpoints a second."""

    stage: Stage
    rate: float
    seconds: float
    company: Company
    began: float = 0.0
    fed: Fed = field(default_factory=Fed)
    state: State = field(default_factory=State)
    series: dict[str, Series] = field(default_factory=dict)

    async def run(self) -> None:
        """Feed and sample until the time is over, from when the workers have begun."""
        for name in self.stage.running:
            group = f"{self.stage.application}-{name}"
            await self.stage.settled(group, [name if name == "track" else group])  # the store tells its group's name
        self.began = time.monotonic()
        over = self.began + self.seconds
        feeding = asyncio.ensure_future(self._feed(over))
        following = asyncio.ensure_future(self.state.follow(self.stage))
        sampling = asyncio.ensure_future(self._sample(over))
        tasks = (feeding, following, sampling)
        try:
            while not (feeding.done() and sampling.done()):
                done, _ = await asyncio.wait([t for t in tasks if not t.done()], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, over: float) -> None:
        at = self.stage

        async def pace(fed: Fed) -> None:
            self.fed = fed
            await asyncio.sleep(max(0.0, self.began + fed.records / self.rate - time.monotonic()))

        def items() -> Iterator[Record]:
            for record in _records(self.company):
                if time.monotonic() >= over:
                    return
                yield record
            raise Impossible("the company has ended before the soak; this is a mistake in the benchmark")

        self.fed = await feed(
            at.settings.kafka, items(), at.prefix, pace, max(1, round(self.rate / 20)), access=at.access
        )

    async def _sample(self, over: float) -> None:
        every = min(10.0, max(0.25, self.seconds / 240))
        warm = self.began + self.seconds * WARM_UP
        with err.status("") as status:
            while (now := time.monotonic()) < over:
                self.stage.check()
                found = await self._look()
                left = f"{over - now:,.0f} s left" + ("; warming up" if now < warm else "")
                status.update(f"{left}: " + ", ".join(f"{s.name} {value:,.1f} {s.unit}" for s, value in found))
                if now >= warm:
                    for series, value in found:
                        series.times.append(now - self.began)
                        series.values.append(value)
                await asyncio.sleep(max(0.0, now + every - time.monotonic()))

    async def _look(self) -> list[tuple[Series, float]]:
        found: list[tuple[Series, float]] = []

        def note(name: str, unit: str, value: float, whole: float | None = None) -> None:
            found.append((self.series.setdefault(name, Series(name, unit, whole)), value))

        lags = await self.stage.ask(_lags, self.stage)
        for name, worker in self.stage.running.items():
            note(f"{name}: memory", "MiB", resident(worker.pid) / 2**20)
            note(f"{name}: threads", "", threads(worker.pid))
            note(f"{name}: open files", "", open_files(worker.pid))
            note(f"{name}: lag", "s", lags[name] / self.rate, whole=600.0)
        note("state: subjects", "", len(self.state.sizes))
        note("state: size", "MiB", self.state.total / 2**20)
        return found


def resident(pid: int) -> int:
    """Memory of a process that is in RAM, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads(pid: int) -> int:
    """Threads of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def open_files(pid: int) -> int:
    """How many files, sockets and pipes a process holds open.

    Without those in /proc: the embedded ClickHouse opens three for each of its threads when that thread first has work, which is
    no growth where the threads do not grow.
    """
    return sum(1 for file in Path(f"/proc/{pid}/fd").iterdir() if not _target(file).is_relative_to("/proc"))


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except FileNotFoundError:
        return Path()  # closed since it was listed, but it was open


@stamina.retry(on=KafkaError, timeout=60.0, attempts=None)
def _lags(on: Stage) -> dict[str, int]:
    """Touchpoints that each worker's group has still to read, by the name of the worker: `track` or `store`.

    A busy Kafka may have no leader for a partition for a moment; an hour's soak outlasts that.
    """
    topic = on.prefix + TOUCHPOINTS.name
    places = [Place(topic, q) for q in range(PARTITIONS)]
    ends = on.admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    lags = {}
    for name in on.running:
        group = f"{on.application}-{name}"
        committed = of_group(on.admin.list_group_offsets, {group: places})[group]
        lags[name] = sum(ends[p].offset - max(0, committed[p].offset if p in committed else 0) for p in places)
    return lags


def _forget_soon(folder: Path) -> None:
    """Make a store whose tables keep what arrived in the last KEPT_S seconds."""
    client = connect(folder)
    migrate(client)
    for table in (TOUCHPOINTS.name, JOURNEYS.name, FRICTIONS.name):
        client.command(
            f"ALTER TABLE volvere_store.{table} MODIFY TTL toDateTime(appended_at) + toIntervalSecond({KEPT_S})"
        )
        client.command(f"ALTER TABLE volvere_store.{table} MODIFY SETTING merge_with_ttl_timeout = {KEPT_S}")
    client.close()


def highest(settings: Settings, seconds: float) -> float:
    """Touchpoints a second of one `track` worker, over touchpoints that wait for it, with the state of a soak as long."""
    with stage(settings, PARTITIONS, RULES, WAITS) as on, err.status("measuring the highest rate"):
        waiting = round(STATE_OF * seconds * FILLED / DAYS)
        asyncio.run(
            feed(settings.kafka, islice(_records(company(STATE_OF, seconds)), waiting), on.prefix, access=on.access)
        )
        on.start("track")
        return asyncio.run(_measure(on, waiting / 4))


async def _measure(on: Stage, last: float) -> float:
    first: tuple[float, int] | None = None
    try:
        async with asyncio.timeout(MEASURED_WITHIN):
            while True:
                on.check()
                left, now = (await on.ask(_lags, on))["track"], time.monotonic()
                if first is None and left <= last:
                    first = now, left
                if first is not None and left == 0:
                    return first[1] / (now - first[0])
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Impossible(f"the worker did not read what waited for it within {MEASURED_WITHIN:g} s") from None


def soak(settings: Settings, minutes: float, rate: float | None, *, store: bool) -> bool:
    """Measure and print; whether all that is judged stayed flat. rate: touchpoints a second; None: half of the highest."""
    most = highest(settings, minutes * 60) if rate is None else None
    rate = rate or (most or 0.0) / 2
    with stage(settings, PARTITIONS, RULES, CONFIG) as on:
        run = Soak(on, rate, minutes * 60, company(rate, minutes * 60))
        on.start("track")
        if store:
            _forget_soon(on.folder / "store")
            on.start("store", "store", clickhouse=on.folder / "store")
        asyncio.run(run.run())
        flat = _told(run, most)
        for name in list(on.running):
            asyncio.run(on.stop(name))
    return flat


def _told(run: Soak, most: float | None) -> bool:
    """Print what was measured; whether all that is judged stayed flat."""
    grown = [s.name for s in run.series.values() if s.growth() >= FLAT]
    table = Table("", "after the warm-up", "at the end", "most", "growth in 10 minutes", box=None)
    for series in run.series.values():
        table.add_row(*series.row())
    of = f", half of the highest ({most:,.0f})" if most is not None else ""
    days = (run.fed.newest - run.company.start) // DAY
    out.print(
        f"soak: {run.seconds / 60:g} minutes, {run.fed.records:,} touchpoints, {run.fed.records / run.seconds:,.0f} a second; "
        f"wanted: {run.rate:,.0f}{of}\n"
        f"  {days:,} days of the company, {run.state.retired:,} subjects retired; "
        f"judged after the first {run.seconds * WARM_UP:,.0f} s; lag in seconds of what is fed"
    )
    out.print(table)
    out.print(f"not flat: {', '.join(grown)}" if grown else f"flat: nothing grows by {FLAT:g} % in 10 minutes")
    return not grown
