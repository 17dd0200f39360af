"""`volvere dlq`: what could not be read or stored, shown, and sent again once it can be read.

A dead letter is the bytes as they came, personal data included, with the reason and the place in headers. What is sent
again goes through the same judge as everything else, as it is now; what that still refuses stays where it is. How
far letters were dealt with is kept as the offsets of a group without members: for all reasons, and beyond
that in the offset's metadata for single ones.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.kinds import is_operation
from schemas.times import format_time
from schemas.topics import DEAD_LETTERS, OPERATIONS, TOUCHPOINTS, Topic, partition_of
from schemas.touchpoint import subject_of
from volvere.reading import records
from volvere.settings import Settings
from volvere.topics import BrokerProblem, administer, not_started, of_group
from volvere.worker import Broker, wall

BEGINNING = 200
"""How much of a record is shown, characters."""
NAMED = 20
"""How many of those that cannot be sent are named."""
AT_ONCE = 1_000


@dataclass(frozen=True)
class Letter:
    """A dead letter. partition, offset: its own. time: when the record came, RFC 3339; place: where it lay then.

    headers: a CloudEvent's, in binary mode. truncated: how many bytes it had, where not all of them were kept; else 0.
    """

    partition: int
    offset: int
    time: str
    place: str
    reason: str
    field: str
    message: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    truncated: int

    @property
    def beginning(self) -> str:
        """The first of the record, as far as it can be printed."""
        text = self.value[: 4 * BEGINNING].decode("utf-8", "replace")[:BEGINNING]
        return "".join(c if c.isprintable() else "·" for c in text)


@dataclass
class Box:
    """What lies there. reasons: how many of each; letters: the newest, in order of time."""

    reasons: Counter[str] = field(default_factory=Counter)
    letters: list[Letter] = field(default_factory=list)


@dataclass
class Replayed:
    """What sending again did, by the reason of then. problems: of the first that were left, their place and why."""

    sent: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


async def show(settings: Settings, at: Broker, reason: str | None, limit: int, of: Topic = DEAD_LETTERS) -> Box:
    """All reasons, and the newest letters, of one reason where it is named. Raises BrokerProblem, Transient."""
    box, newest = Box(), dict[int, deque[Letter]]()
    async for letter in _letters(settings, at, of):
        box.reasons[letter.reason] += 1
        if reason in (None, letter.reason):
            newest.setdefault(letter.partition, deque(maxlen=limit)).append(letter)
    found = sorted((x for some in newest.values() for x in some), key=lambda x: (x.time, x.partition, x.offset))
    box.letters = found[-limit:]
    return box


async def replay(settings: Settings, at: Broker, reason: str | None, *, again: bool, dry_run: bool) -> Replayed:
    """Send what can be read now to its topic, to the partition of its owner, from where this ended last time.

    again: from the beginning. dry_run: send nothing, remember nothing. Raises BrokerProblem, Transient.
    """
    done = Replayed()
    group, topic = f"{settings.application}-dlq", settings.topic_prefix + DEAD_LETTERS.name
    known = {} if again else await asyncio.to_thread(_dealt_with, at, group)
    reached: dict[int, int] = {}
    producer = AIOKafkaProducer(bootstrap_servers=at.bootstrap, acks="all", linger_ms=5, **at.access)
    try:
        await producer.start()
    except KafkaError as e:
        await producer.stop()
        raise await not_started(at.bootstrap, at.access, e) from None
    try:
        partitions, waiting = dict[str, int](), list[asyncio.Future[object]]()
        async for letter in _letters(settings, at, DEAD_LETTERS, {n: mark.offset for n, mark in known.items()}):
            reached[letter.partition] = letter.offset + 1
            mark = known.get(letter.partition, _Mark())
            if reason not in (None, letter.reason) or letter.offset < mark.reasons.get(letter.reason, 0):
                continue
            try:
                name, subject = _address(letter)
            except Unacceptable as e:
                done.left[letter.reason] += 1
                if len(done.problems) < NAMED:
                    done.problems.append(f"{letter.place}: {e}")
                continue
            done.sent[letter.reason] += 1
            if not dry_run:
                where = settings.topic_prefix + name
                if where not in partitions:
                    partitions[where] = len(await producer.partitions_for(where))
                key, owner = subject.encode(), partition_of(subject, partitions[where])
                sent = await producer.send(where, letter.value, key=key, partition=owner, headers=list(letter.headers))
                waiting.append(sent)
            if len(waiting) >= AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    except KafkaError as e:
        raise BrokerProblem(f"the broker at {at.bootstrap} does not take records: {e}") from None
    finally:
        await producer.stop()
    if reached and not dry_run:
        marks = {n: _moved(known.get(n, _Mark()), reason, offset) for n, offset in reached.items()}
        await asyncio.to_thread(_remember, at, group, topic, marks)
    return done


async def _letters(
    settings: Settings, at: Broker, of: Topic, since: Mapping[int, int] | None = None
) -> AsyncIterator[Letter]:
    async for record in records(at, settings.topic_prefix + of.name, since):
        told = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
        place = "/".join(told[name] for name in ("topic", "partition", "offset") if name in told)
        yield Letter(
            record.partition,
            record.offset,
            told.get("time", format_time(record.timestamp * 1000)),
            place or f"line {told.get('line', '?')}",
            told.get("reason", ""),
            told.get("field", ""),
            told.get("message", ""),
            record.value or b"",
            tuple((name, value) for name, value in record.headers if name.startswith("ce_")),
            int(told["truncated"]) if told.get("truncated", "").isdecimal() else 0,
        )


def _address(letter: Letter) -> tuple[str, str]:
    """The record's topic, and whom it is about. Raises Unacceptable where it still cannot be read."""
    if letter.truncated:
        kept = f"only the first {len(letter.value):,} of {letter.truncated:,} bytes were kept; ask its sender for it"
        raise Unacceptable("too_large", kept)
    t = decode(letter.value, wall(), letter.headers)
    topic = OPERATIONS if is_operation(t) else TOUCHPOINTS
    return topic.name, subject_of(t.customer_id, t.contact_id, t.source, t.event_id)


@dataclass(frozen=True)
class _Mark:
    """How far a partition's letters were dealt with: those of all reasons, and beyond that those of single ones."""

    offset: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


def _moved(mark: _Mark, reason: str | None, offset: int) -> _Mark:
    return _Mark(offset) if reason is None else _Mark(mark.offset, {**mark.reasons, reason: offset})


def _dealt_with(at: Broker, group: str) -> dict[int, _Mark]:
    with administer(at.bootstrap, at.access) as admin:
        found: Mapping[Any, Any] = of_group(admin.list_group_offsets, {group: None})[group]
    return {
        tp.partition: _Mark(o.offset, msgspec.json.decode(o.metadata, type=dict[str, int]) if o.metadata else {})
        for tp, o in found.items()
    }


def _remember(at: Broker, group: str, topic: str, marks: Mapping[int, _Mark]) -> None:
    offsets = {
        TopicPartition(topic, n): OffsetAndMetadata(mark.offset, msgspec.json.encode(mark.reasons).decode(), -1)
        for n, mark in marks.items()
    }
    with administer(at.bootstrap, at.access) as admin:
        of_group(admin.alter_group_offsets, group, offsets)
