"""Touchpoints into Kafka: each to the partition that owns its subject, what only the company does to a topic of its own.

What cannot be read goes to `touchpoints`, whatever it was meant to be: `track` puts it into the dead letters.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.kinds import is_operation
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE, OPERATIONS, TOUCHPOINTS, partition_of
from schemas.touchpoint import MAX_RECORD
from volvere.files import Item, LeftOut, Record, Refused
from volvere.security import OPEN, Access
from volvere.topics import BrokerProblem, not_started
from volvere.worker import wall

SHOWN = 5
MAX_LETTER = 900_000
"""How much of a refused line is kept, bytes."""

Sent = tuple[dict[int, int], int, asyncio.Future[object]]
"""The ends that its acknowledgement moves, its partition, and the acknowledgement."""


@dataclass
class Fed:
    """What was sent. ends: partition -> offset after the last record; newest: greatest `occurred_at` (microseconds).

    operations, operations_ends: how many of the records went to the topic `operations`, and its ends. `track` never reads
    them, so that `ends` and `newest` leave them out. refused: lines that were not sent, by reason. unfit: records that `track` will refuse.
    problems: the first of both, for people.
    """

    records: int = 0
    operations: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unfit: int = 0
    problems: list[str] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    operations_ends: dict[int, int] = field(default_factory=dict)
    newest: int = 0


async def feed(
    bootstrap: str,
    items: Iterable[Item],
    prefix: str = "",
    pause: Callable[[Fed], Awaitable[None]] | None = None,
    every: int = 5_000,
    *,
    access: Access = OPEN,
) -> Fed:
    """Send the items of a file; ends when the broker has acknowledged all. Raises BrokerProblem.

    pause: awaited whenever `every` records were acknowledged, for progress and for a slower pace.
    """
    fed = Fed()
    letters = prefix + DEAD_LETTERS.name
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        linger_ms=5,
        max_batch_size=262_144,
        max_request_size=8 * 1024 * 1024,
        **access,
    )
    try:
        await producer.start()
    except KafkaError as e:
        await producer.stop()
        raise await not_started(bootstrap, access, e) from None
    waiting: list[Sent] = []
    try:
        partitions = {TOUCHPOINTS.name: len(await producer.partitions_for(prefix + TOUCHPOINTS.name))}
        for item in items:
            match _sendable(item):
                case Record(line=line, value=value, subject=subject):
                    name, ends = _told(line, value, fed)
                    if name not in partitions:
                        partitions[name] = len(await producer.partitions_for(prefix + name))
                    key = subject.encode() if subject is not None else None
                    count = partitions[name]
                    partition = partition_of(subject, count) if subject is not None else line % count
                    sent = await producer.send(prefix + name, value, key=key, partition=partition)
                    waiting.append((ends, partition, sent))
                    fed.records += 1
                case LeftOut(why=why):
                    fed.left_out[why] += 1
                case Refused(line=line, field=where, message=message, reason=reason, raw=raw):
                    fed.refused[reason] += 1
                    _note(fed, line, f"{where}: {message}" if where else message)
                    headers = [("reason", reason.encode()), ("field", where.encode()), ("message", message.encode())]
                    headers.append(("line", str(line).encode()))
                    if len(raw) > MAX_LETTER:
                        headers.append(("truncated", str(len(raw)).encode()))
                    await producer.send(letters, raw[:MAX_LETTER], headers=headers)
            if len(waiting) >= every:
                await _acknowledged(waiting)
                if pause is not None:
                    await pause(fed)
        await _acknowledged(waiting)
        await producer.flush()
    except KafkaError as e:
        raise BrokerProblem(f"the broker at {bootstrap} does not take records: {e}") from None
    finally:
        await producer.stop()
    return fed


def _told(line: int, value: bytes, fed: Fed) -> tuple[str, dict[int, int]]:
    """The topic of a record, and that topic's ends; what it says of itself is counted."""
    try:
        t = decode(value, wall())
    except Unacceptable as e:  # `track` is the judge of it; only here its line is known
        fed.unfit += 1
        _note(fed, line, str(e))
        return TOUCHPOINTS.name, fed.ends
    if is_operation(t):
        fed.operations += 1
        return OPERATIONS.name, fed.operations_ends
    fed.newest = max(fed.newest, t.occurred_at)
    return TOUCHPOINTS.name, fed.ends


def _sendable(item: Item) -> Item:
    """The item; a record that the broker would not take is refused here, so that the others are sent."""
    if not isinstance(item, Record) or len(item.value) + len((item.subject or "").encode()) <= MAX_MESSAGE:
        return item
    message = f"{len(item.value):,} bytes; expected at most {MAX_RECORD:,}"
    return Refused(item.line, "", message, "too_large", item.value)


def _note(fed: Fed, line: int, problem: str) -> None:
    if len(fed.problems) < SHOWN:
        fed.problems.append(f"line {line}: {problem}")


async def _acknowledged(waiting: list[Sent]) -> None:
    for ends, partition, sent in waiting:
        offset: int = (await sent).offset  # type: ignore[attr-defined]  # aiokafka's RecordMetadata
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    waiting.clear()
