"""`volvere bench failover`: how long a `read_committed` consumer of frictions waits when a worker goes or comes.

In every partition there is a beat, ten times a second: a touchpoint of a customer of its own, which proves one friction at
once. What is measured is the longest silence of a partition, from the last beat seen before something was done to the workers
until all of them had settled and every partition had caught up. The partitions of the worker that it was done to are told
from those of the others, who should hardly notice. At the end every beat must have been seen, and none twice.

One worker has a name of its own (VOLVERE_INSTANCE_ID): it is killed and comes again. Where another starts beside a dead worker
that had none, Kafka waits for the dead one, until its session is over, before it deals out anything to anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from statistics import median

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.table import Table

from schemas.errors import Impossible
from schemas.times import format_time
from schemas.topics import FRICTIONS, TOUCHPOINTS, partition_of
from volvere.bench.stage import Stage, stage
from volvere.settings import Settings
from volvere.show import err, out
from volvere.worker import wall

BEAT = 0.1
"""Seconds between two beats of a partition."""
CALM = 2.0
"""Seconds of beats in every partition, after the workers have settled, before the next thing is done."""
SURVIVORS_WITHIN = 2.0
TAKEN_OVER_WITHIN = 5.0
"""What is promised, seconds: of the others' partitions; of the dead worker's, after the session timeout."""
CAUGHT_UP_WITHIN = 60.0

NAMED = "worker-0"
CALM_DEED = "nothing"
TAKEN_OVER = "kill -9, the others take over"
RETURNED = "kill -9, it starts again by its name"
NAMELESS = "kill -9, another starts at once"
STOPPED = "SIGTERM"
JOINED = "one more joins"
RULES = '[closed_door]\nmode = "live"\n'


class _Data(msgspec.Struct):
    kind: str
    contact_id: str | None


class _Event(msgspec.Struct):
    data: _Data


_read = msgspec.json.Decoder(_Event).decode


@dataclass
class Pulse:
    """The beats of every partition. number: of the last that was sent.

    seen: (partition, number) -> how often its friction was seen. last: partition -> the greatest number seen; came: when (steady clock,
    seconds) a friction came.
    """

    stage: Stage
    number: int = 0
    seen: Counter[tuple[int, int]] = field(default_factory=Counter)
    last: dict[int, int] = field(default_factory=dict)
    came: dict[int, list[float]] = field(default_factory=dict)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def beat(self, stop: asyncio.Event) -> None:
        """Send beats until stopped."""
        producer = AIOKafkaProducer(acks="all", linger_ms=0, **self.stage.client())
        topic, partitions = self.stage.prefix + TOUCHPOINTS.name, self.stage.partitions
        await producer.start()
        try:
            began = time.monotonic()
            while not stop.is_set():
                n = self.number = self.number + 1
                for q in range(partitions):
                    who = next(c for k in count() if partition_of(c := f"{n}-{k}", partitions) == q)
                    await producer.send(topic, _refused(who, n), key=who.encode(), partition=q)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, began + n * BEAT - time.monotonic()))
            await producer.flush()
        finally:
            await producer.stop()

    async def listen(self) -> None:
        """Note what comes, until cancelled."""
        consumer = AIOKafkaConsumer(
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            group_id=None,
            **self.stage.client(),
        )
        await consumer.start()
        try:
            consumer.assign(
                [TopicPartition(self.stage.prefix + FRICTIONS.name, q) for q in range(self.stage.partitions)]
            )
            while True:
                found = await consumer.getmany(timeout_ms=1000)
                now = time.monotonic()
                for tp, records in found.items():
                    self._note(tp.partition, [_read(r.value).data for r in records], now)
                async with self.progress:
                    self.progress.notify_all()
        finally:
            await consumer.stop()

    def _note(self, partition: int, frictions: list[_Data], now: float) -> None:
        for friction in frictions:
            if friction.kind == "closed_door" and friction.contact_id is not None:
                n = int(friction.contact_id)
                self.seen[partition, n] += 1
                self.last[partition] = max(self.last.get(partition, 0), n)
        self.came.setdefault(partition, []).append(now)

    async def everywhere(self, number: int) -> None:
        """Wait until this beat, or a later one, has been seen in every partition."""
        async with self.progress:
            await self.progress.wait_for(
                lambda: all(self.last.get(q, 0) >= number for q in range(self.stage.partitions))
            )

    def silence(self, partition: int, since: float) -> float:
        """The longest time without a friction, seconds: from the last before `since` to the last of all."""
        came = self.came[partition]
        first = next((i for i, at in enumerate(came) if at >= since), len(came))
        times = came[max(0, first - 1) :]
        return max((b - a for a, b in pairwise(times)), default=0.0)


def _refused(who: str, number: int) -> bytes:
    """A touchpoint that proves a `closed_door` by itself."""
    return msgspec.json.encode(
        {
            "source": "bench",
            "event_id": who,
            "customer_id": who,
            "contact_id": str(number),
            "kind": "contact.refused",
            "reason": "channel_closed",
            "channel": "voice",
            "occurred_at": format_time(wall()),
        }
    )


@dataclass
class Crew:
    """The workers, and how long the partitions were silent: deed -> a pair a round, seconds.

    Of a pair the first is of the partitions whose worker went on, the second of those whose worker went, or where
    none went, of those that the new one got. owners: whose partition was whose when all had settled last.
    """

    stage: Stage
    pulse: Pulse
    silences: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    started: int = 0

    def start(self) -> None:
        """One more worker."""
        self.started += 1
        self.stage.start(f"worker-{self.started}")

    def start_named(self) -> None:
        """The one whom Kafka knows by its name."""
        self.stage.start(NAMED, instance_id=NAMED)

    @property
    def oldest(self) -> str:
        """Who has been there for the longest time among those without a name, and so leads the group."""
        return next(name for name in self.stage.running if name != NAMED)

    async def settle(self) -> None:
        """Wait until all that run, and nobody else, have partitions, and the beats are seen in all of them."""
        self.owners = await self.stage.settled(f"{self.stage.application}-track", self.stage.running)
        try:
            async with asyncio.timeout(CAUGHT_UP_WITHIN):
                await self.pulse.everywhere(self.pulse.number + round(CALM / BEAT))
        except TimeoutError:
            raise Impossible(
                f"every partition has a worker, but after {CAUGHT_UP_WITHIN:g} s not all of them have caught up; "
                "VOLVERE_LOG_LEVEL=info shows what the workers do"
            ) from None

    @contextlib.asynccontextmanager
    async def measured(self, deed: str) -> AsyncIterator[None]:
        """What the block does to the workers is measured."""
        before, workers, since = self.owners, dict(self.stage.running), time.monotonic()
        yield
        await self.settle()
        hit = {q for q, name in before.items() if self.stage.running.get(name) is not workers[name]}
        hit = hit or {q for q, name in self.owners.items() if name not in before.values()}
        silent = {q: self.pulse.silence(q, since) for q in before}
        others, own = (max((silent[q] for q in some), default=0.0) for some in (silent.keys() - hit, hit))
        self.silences.setdefault(deed, []).append((others, own))

    async def live_through(self, rounds: int) -> None:
        """All that happens to workers, again and again."""
        await self.settle()
        for _ in range(rounds):
            async with self.measured(CALM_DEED):
                pass
            async with self.measured(RETURNED):
                self.stage.kill(NAMED)
                self.start_named()
            async with self.measured(TAKEN_OVER):
                self.stage.kill(self.oldest)
            async with self.measured(JOINED):
                self.start()
            async with self.measured(NAMELESS):
                self.stage.kill(self.oldest)
                self.start()
            async with self.measured(STOPPED):
                await self.stage.stop(self.oldest)
            async with self.measured(JOINED):
                self.start()


def failover(settings: Settings, workers: int, partitions: int, rounds: int) -> bool:
    """Measure and print; whether what is promised was kept. At least two workers, and a partition for each."""
    with stage(settings, partitions, RULES) as on:
        pulse = Pulse(on)
        crew = Crew(on, pulse)
        for _ in range(workers - 1):
            crew.start()
        crew.start_named()
        with err.status(f"{workers} workers on {settings.kafka} live through {rounds} rounds"):
            asyncio.run(_run(crew, rounds))
    lost, twice = _count(pulse, partitions)
    taken_over_within = settings.session_timeout_s + TAKEN_OVER_WITHIN
    table = Table("what happens to a worker", "times", "of others", "its own", "promised", box=None)
    kept = not lost and not twice
    for deed, pairs in crew.silences.items():
        others, own = zip(*pairs, strict=True)
        promised = ""
        if deed in (TAKEN_OVER, RETURNED):
            good = max(others) <= SURVIVORS_WITHIN and max(own) <= taken_over_within
            kept = kept and good
            promised = f"{SURVIVORS_WITHIN:g} s, {taken_over_within:g} s: {'kept' if good else 'broken'}"
        table.add_row(deed, str(len(pairs)), _told(others), _told(own), promised)
    out.print(
        f"failover: how long a read_committed consumer of frictions waits: the longest silence of a partition, "
        f"median and maximum\n  {workers} workers, {partitions} partitions, a beat every {BEAT:g} s in each; "
        f"session timeout {settings.session_timeout_s:g} s, heartbeat every {settings.heartbeat_interval_s:g} s"
    )
    out.print(table)
    out.print(f"  {pulse.number * partitions:,} beats, each proves a friction: {lost} never seen, {twice} seen twice")
    return kept


def _told(silences: Sequence[float]) -> str:
    return f"{median(silences):.1f} s, {max(silences):.1f} s" if any(silences) else ""


def _count(pulse: Pulse, partitions: int) -> tuple[int, int]:
    """Beats never seen, and beats seen more than once."""
    return pulse.number * partitions - len(pulse.seen), sum(times > 1 for times in pulse.seen.values())


async def _run(crew: Crew, rounds: int) -> None:
    stop, pulse = asyncio.Event(), crew.pulse
    beats, ears = asyncio.ensure_future(pulse.beat(stop)), asyncio.ensure_future(pulse.listen())
    life = asyncio.ensure_future(crew.live_through(rounds))
    tasks = (life, beats, ears)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        stop.set()
        await beats
        with contextlib.suppress(TimeoutError):  # what is missing then is told
            await asyncio.wait_for(pulse.everywhere(pulse.number), CAUGHT_UP_WITHIN)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
