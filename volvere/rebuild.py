"""`volvere rebuild`: a new generation of the state, from the topic or from the store.

    claim every partition ─▶ mark all ─▶ forget ─▶ from the store: live it all again ─▶ clear the marks

From the topic it is the workers who live it again: each partition stands at its first record, at watermark 0.
From the store this command does it, one partition after the other: touchpoints in order of `occurred_at`, merged and
flushed as a worker does, up to where the store stood in the topic before it was read. What lies behind that the
workers read; some of it is then merged twice, which is once. Either way all that had arrived when the
rebuild began is `replay`, and pages nobody.

A worker does not take a partition with a mark. So a rebuild that was interrupted is seen, and running it again
makes it whole, in a further generation: it begins with forgetting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError as ClientError
from clickhouse_connect.driver.client import Client
from kafka.admin import OffsetSpec

from schemas.errors import Impossible, Transient
from schemas.friction import anchored_text
from schemas.topics import DEAD_LETTERS, FACTS, FRICTIONS, JOURNEYS, TOPICS, TOUCHPOINTS, partition_of
from sinks import history
from sinks.clickhouse import StoreProblem
from sinks.rows import Stored
from streams.entries import entry_of
from streams.facts import CODEC, READABLE, Facts, Published, unpack
from streams.partition import CONTROL, REPLAY_AFTER, Control, Names, Partition, Tally
from streams.publish import MAX_BATCH_BYTES, Hook, Outbox, Record, Topics, Transactional
from streams.rules import Rules
from streams.tracker import Tracker
from volvere.reading import records
from volvere.security import Access
from volvere.settings import Settings
from volvere.topics import BrokerProblem, administer, await_leaders, of_group
from volvere.worker import Broker, open_store, wall

FORGOTTEN_AT_ONCE = 20_000
"""Customers a transaction."""

Show = Callable[[int, int], None]
"""Called with how many touchpoints are done, and how many there are, about."""


class _Data(msgspec.Struct):
    friction_id: str


class _Event(msgspec.Struct):
    data: _Data


_event = msgspec.json.Decoder(_Event).decode
_control = msgspec.json.Decoder(Control).decode


@dataclass(frozen=True)
class Survey:
    """Where `touchpoints` stands, by partition: its first offset, the one after its last, and up to where it is stored."""

    begins: dict[int, int]
    ends: dict[int, int]
    stored: dict[int, int]

    @property
    def expired(self) -> bool:
        """Whether the topic has lost records to its retention: it does not tell the whole history any more."""
        return any(self.begins.values())


@dataclass
class Rebuilt:
    """What a rebuild did. forgotten: customers of the old state; touchpoints: merged from the store."""

    generation: int
    partitions: int
    forgotten: int = 0
    touchpoints: int = 0


@contextlib.contextmanager
def store(settings: Settings, *, needed: bool) -> Iterator[Client | None]:
    """The store, which is never made here; None where it cannot be used and is not needed. Raises StoreProblem, Transient."""
    client = None
    try:
        if settings.clickhouse_is_embedded and not (Path(settings.clickhouse).expanduser() / "metadata").is_dir():
            raise StoreProblem(f"there is no store in {settings.clickhouse}; name the one with --clickhouse")
        client = open_store(settings)
    except (StoreProblem, Transient):
        if needed:
            raise
    try:
        yield client
    finally:
        if client is not None:
            client.close()


def survey(settings: Settings, at: Broker) -> Survey:
    """Look at the topic and the groups. Raises BrokerProblem: workers are running, or the broker has no transactions."""
    if not at.trusted:
        raise BrokerProblem(
            f"the broker at {at.bootstrap} has no transactions, without which no state can be replaced as a whole; "
            "expected Apache Kafka. What was tracked on an embedded broker is tracked anew by `volvere run FILE`"
        )
    must_be_idle(settings, at.access)
    source, group = settings.topic_prefix + TOUCHPOINTS.name, f"{settings.application}-store"
    with administer(at.bootstrap, at.access) as admin:
        places = [
            TopicPartition(source, p["partition_index"]) for p in admin.describe_topics([source])[0]["partitions"]
        ]
        begins, ends = (
            admin.list_partition_offsets(dict.fromkeys(places, what))
            for what in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        stored = of_group(admin.list_group_offsets, {group: None})[group]
    return Survey(
        *({tp.partition: o.offset for tp, o in x.items() if tp.topic == source} for x in (begins, ends, stored))
    )


def must_be_idle(settings: Settings, access: Access) -> None:
    """Raises BrokerProblem where `track` workers run."""
    group = f"{settings.application}-track"
    with administer(settings.kafka, access) as admin:
        members = len(of_group(admin.describe_groups, [group])[group]["members"])
    if members:
        raise BrokerProblem(
            f"{members} members in the consumer group {group}: `volvere worker track` is running; stop all of them first "
            f"(one that was killed counts for {settings.session_timeout_s:g} s more)"
        )


def grow(settings: Settings, access: Access, partitions: int) -> None:
    """Give the topics more partitions, those that have fewer; what is there stays. Raises BrokerProblem."""
    names = [settings.topic_prefix + topic.name for topic in TOPICS if topic.owned]
    with administer(settings.kafka, access) as admin:
        there = {t["name"]: len(t["partitions"]) for t in admin.describe_topics(names) if t["error_code"] == 0}
        if missing := set(names) - there.keys():
            raise BrokerProblem(f"no topic {', '.join(sorted(missing))}; run `volvere topics create` first")
        if (most := max(there.values())) > partitions:
            raise BrokerProblem(
                f"the topics have {most} partitions; expected a greater number, since Kafka takes none away"
            )
        fewer = {name: partitions for name, count in there.items() if count < partitions}
        if fewer:
            admin.create_partitions(fewer)
            await_leaders(admin, set(fewer), partitions)


async def _pass(point: str) -> None:
    """What happens at a named point of a flush: nothing."""


async def rebuild(
    settings: Settings,
    at: Broker,
    where: Survey,
    rules: Rules,
    client: Client | None = None,
    older: int = 0,
    show: Show = lambda *_: None,
    hook: Hook = _pass,
) -> Rebuilt:
    """Replace the state by a new generation. `volvere worker track` must not run meanwhile; it is fenced off.

    client: the store to take touchpoints from; None: the workers take them from the topic. older: the greatest
    generation that is known besides those of the state. hook: awaited at each point of each flush.
    Raises BrokerProblem, StoreProblem, Transient; Impossible where the store is ahead of the topic.
    """
    work = _Rebuild(settings, at, where, rules, hook)
    try:
        done = await work.forget(older, client is not None)
        if client is not None:
            done.touchpoints = await work.relive(client, show)
            await asyncio.to_thread(history.close_older, client, done.generation)
        await work.open()
    except ClientError as e:
        raise BrokerProblem(
            f"the broker at {at.bootstrap} refused: {e!r}; run `volvere rebuild` again, workers refuse to start until then"
        ) from e
    finally:
        await work.stop()
    return done


class _Rebuild:
    def __init__(self, settings: Settings, at: Broker, where: Survey, rules: Rules, hook: Hook) -> None:
        self.settings, self.at, self.where, self.rules, self.hook = settings, at, where, rules, hook
        prefix = settings.topic_prefix
        self.names = Names(*(prefix + t.name for t in (TOUCHPOINTS, FRICTIONS, JOURNEYS, DEAD_LETTERS)))
        self.topics = Topics(self.names.source, prefix + FACTS.name)
        self.publishers = {n: self._publisher(n) for n in where.begins}
        self.controls: dict[int, Control] = {}
        self.incidents: dict[int, dict[str, list[Published]]] = {n: {} for n in where.begins}

    def _publisher(self, number: int) -> _Noting:
        settings = self.settings
        producer = AIOKafkaProducer(
            bootstrap_servers=self.at.bootstrap,
            acks="all",
            transactional_id=f"{settings.application}-{number}",
            transaction_timeout_ms=settings.transaction_timeout_ms,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=8 * MAX_BATCH_BYTES,
            **self.at.access,
        )
        group, within = f"{settings.application}-track", settings.transaction_timeout_ms / 1000
        return _Noting(producer, self.topics, group, within, self.names.frictions)

    async def stop(self) -> None:
        for publisher in self.publishers.values():
            with contextlib.suppress(Exception):
                await asyncio.wait_for(publisher.stop(), 5)

    async def _write(self, number: int, state: Sequence[Record] = ()) -> int:
        control = self.controls[number]
        outbox = Outbox(number, control.offset, (CONTROL, msgspec.json.encode(control), []), state=list(state))
        return await self.publishers[number].write(outbox, self.hook)

    async def forget(self, older: int, relive: bool) -> Rebuilt:
        """Claim and mark every partition, then drop what is known of everybody."""
        where = self.where
        await asyncio.gather(*(publisher.start() for publisher in self.publishers.values()))
        generation = 1 + max([control.generation async for control in self._controls()], default=0)
        generation = max(generation, 1 + older)
        for n, begin in where.begins.items():
            offset = max(begin, where.stored.get(n, begin)) if relive else begin
            if offset > where.ends[n]:
                raise Impossible(
                    f"partition {n}: the store has seen offset {offset}, the topic ends at {where.ends[n]}: was the topic "
                    "deleted? Delete the offsets of the store's group, or use another application name"
                )
            self.controls[n] = Control(offset, 0, 0, generation, CODEC, len(where.begins), rebuilding=True)
        for n, control in self.controls.items():
            control.live_from = await self._write(n) or wall()
        done = Rebuilt(generation, len(where.begins))
        for n in self.controls:
            customers, incidents = await self._state(n, relive)
            for subject, going_on in incidents.items():  # whose partition is another one now, if their number has grown
                self.incidents[partition_of(subject, done.partitions)][subject] = going_on
            done.forgotten += len(customers)
            for i in range(0, len(customers), FORGOTTEN_AT_ONCE):
                await self._write(n, [(key, None, []) for key in customers[i : i + FORGOTTEN_AT_ONCE]])
        return done

    async def _controls(self) -> AsyncIterator[Control]:
        async for record in records(self.at, self.topics.state):
            if record.key == CONTROL:
                yield _control(record.value)

    async def _state(self, number: int, incidents: bool) -> tuple[list[bytes], dict[str, list[Published]]]:
        """The keys of a partition's state; and the frictions of each customer that are open and were notified."""
        keys: dict[bytes, None] = {}
        going_on: dict[str, list[Published]] = {}
        async for record in records(self.at, self.topics.state, only=number):
            if record.key == CONTROL:
                continue
            subject = record.key.decode(errors="replace")
            going_on.pop(subject, None)
            if record.value is None:
                keys.pop(record.key, None)
                continue
            keys[record.key] = None
            if incidents and record.value[0] in READABLE:
                published = unpack(subject, record.value).published.values()
                if found := [p for p in published if p.state == "open" and p.mode == "live"]:
                    going_on[subject] = found
        return list(keys), going_on

    async def relive(self, client: Client, show: Show) -> int:
        """Merge and flush every touchpoint of the store, as the workers would have. Gives their number."""
        total, done = await asyncio.to_thread(history.count, client), 0
        for n, control in self.controls.items():
            incidents, publisher = self.incidents.pop(n), self.publishers[n]
            tracker = Tracker(self.rules, control.generation)
            partition = Partition(
                n, tracker, publisher, self.names, {}, control, Tally(), wall, lambda point, _: self.hook(point)
            )
            publisher.awaited = {_id(subject, p) for subject, going_on in incidents.items() for p in going_on}
            pages = history.touchpoints(client, n, len(self.controls))
            while page := await asyncio.to_thread(next, pages, None):
                for touchpoint in page:
                    _merge(partition, touchpoint)
                done += len(page)
                show(done, total)
                if partition.pending >= self.settings.flush_records:
                    await partition.flush()
            while partition.pending or partition.overdue:
                await partition.flush()
            _withdraw(partition, incidents, publisher.awaited)
            await partition.flush(touch=True)
            self.controls[n] = partition.control
        return done

    async def open(self) -> None:
        """Clear the marks: workers may go on from here."""
        for n, control in self.controls.items():
            control.rebuilding = False
            await self._write(n)


class _Noting(Transactional):
    """Notes which of the awaited frictions, by id, have been spoken of. Nothing is ever forwarded."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, group: str, within: float, frictions: str) -> None:
        super().__init__(producer, producer, topics, group, within)
        self.frictions = frictions
        self.awaited: set[str] = set()

    async def write(self, outbox: Outbox, at: Hook) -> int:
        if self.awaited:
            self.awaited -= {
                _event(value or b"").data.friction_id for _, value, _ in outbox.published.get(self.frictions, ())
            }
        return await super().write(outbox, at)


def _merge(partition: Partition, t: Stored) -> None:
    """As `Partition.take` merges a record. In order of time, and to its owner, nothing is too late or misplaced."""
    facts = partition.live.get(t.subject)
    if facts is None:
        packed = partition.state.get(t.subject.encode())
        facts = unpack(t.subject, packed) if packed is not None else Facts(t.subject, t.customer_id)
    at, appended = t.occurred_at, t.appended_at
    replay = appended - at > REPLAY_AFTER or appended < partition.control.live_from
    if facts.merge(entry_of(t, t.content, replay)):
        partition.live[t.subject] = facts
        partition.dirty.add(t.subject)
    disorder = partition.tracker.rules.time.disorder
    partition.watermark = max(partition.watermark, min(at, appended) - disorder)
    partition.clock = max(partition.clock, appended)
    partition.pending += 1


def _withdraw(partition: Partition, incidents: dict[str, list[Published]], unspoken: set[str]) -> None:
    """What was open before, and this generation has not found: whoever opened an incident for it is told to close it."""
    digests = partition.tracker.rules.table_digests
    for subject, going_on in incidents.items():
        gone = [p for p in going_on if _id(subject, p) in unspoken and p.kind in digests]
        if not gone:
            continue
        packed = partition.state.get(subject.encode())
        facts = partition.live.get(subject) or (
            unpack(subject, packed) if packed is not None else Facts(subject, gone[0].context.customer_id)
        )
        for p in gone:  # as if it had been said under these rules: then it is retracted
            facts.published[f"{p.kind}/{p.anchor}"] = msgspec.structs.replace(p, table_digest=digests[p.kind])
        facts.derived_by = None  # all of it has to be compared
        partition.live[subject] = facts
        partition.dirty.add(subject)


def _id(subject: str, p: Published) -> str:
    return anchored_text(p.kind, subject, p.anchor)
