"""A million records that somebody broke: each is merged, or lies among the dead letters with a reason.

What is mutated is real: the published examples, a simulated company's touchpoints, CloudEvents of both
modes. Each record goes the way that a worker sends it: decoded, merged, flushed, and made into a row.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka import TopicPartition

import schemas
from schemas.decode import contract, decode
from schemas.errors import REASONS, Unacceptable
from schemas.times import DAY
from schemas.topics import MAX_MESSAGE
from sinks.store import prepare
from streams.facts import CODEC
from streams.partition import Control, Names, Partition, Tally
from streams.publish import Hook, Outbox
from streams.tracker import Tracker
from streams.transport import Batch
from tests.stories import DEFAULTS, MONDAY
from volvere.simulator import Company

RECORDS = 1_000_000
PARTS = 10
BATCH = 2_000
NAMES = Names("touchpoints", "frictions", "journeys", "touchpoints.dlq")
HERE = TopicPartition("touchpoints", 0)
NOW = MONDAY + 60 * DAY
"""When all of it arrives, in real life as well as for the partition."""

Headers = list[tuple[str, bytes | None]]


@dataclass(slots=True)
class Sent:
    """A record as a consumer hands it out; `timestamp`: milliseconds."""

    offset: int
    value: bytes | None
    headers: Headers
    key: bytes | None = None
    timestamp: int = NOW // 1000


def seeds() -> list[tuple[bytes, Headers]]:
    """What is mutated: values with their headers."""
    folder = Path(schemas.__path__[0]) / "examples"
    examples: list[tuple[bytes, Headers]] = [(path.read_bytes(), []) for path in sorted(folder.rglob("*.json"))]
    told = list(Company(seed=5, customers=60, days=20, untidy=0.5).touchpoints())[::4][:400]
    plain: list[tuple[bytes, Headers]] = [(json.dumps(t).encode(), []) for t in told]
    envelope = {"specversion": "1.0", "type": "volvere.touchpoint"}
    structured: list[tuple[bytes, Headers]] = [
        (json.dumps({**envelope, "id": t["event_id"], "source": t["source"], "data": t}).encode(), [])
        for t in told[:60]
    ]
    binary: list[tuple[bytes, Headers]] = [
        (
            json.dumps({k: v for k, v in t.items() if k not in ("source", "event_id", "occurred_at")}).encode(),
            [
                ("ce_specversion", b"1.0"),
                ("ce_id", t["event_id"].encode()),
                ("ce_source", t["source"].encode()),
                ("ce_time", t["occurred_at"].encode()),
                ("content-type", b"application/json"),
            ],
        )
        for t in told[60:120]
    ]
    return [*examples, *plain, *structured, *binary]


SEEDS = seeds()
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**64, -(2**70), 1e308, -0.0, 1e-320, "", " ", "\u0000", "\ud800", "é" * 200, "x" * 5_000,
    [], {}, [[[]]], {"a": {"b": [1]}}, "0000-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "2025-01-06T09:00:00",
    "2025-01-06T09:00:00+14:00", "2025-02-30T09:00:00Z", "2025-01-06T23:59:60Z", "1989-12-31T23:59:59Z", "NaN", "-1e999",
)  # fmt: skip
ODD_TEXT: tuple[bytes, ...] = (
    b"NaN", b"-Infinity", b"1e999", b"\xff\xfe", b"\x00", b'"\\ud800"', b"[" * 300, b'{"a":' * 200, b"}", b",,", b"\\u0000",
    b"9" * 400, b'"source":"s",', b'"amount":1.5,', b"\xef\xbb\xbf", b"null", b"\r\n", b"/*", b"'",
)  # fmt: skip
NAMES_OF_FIELDS = [*sorted({name for value, _ in SEEDS[-500:] for name in json.loads(value)}), "", "x" * 300, "\x00"]


def flip(value: bytes, dice: Random) -> bytes:
    """A few bytes become others."""
    out = bytearray(value)
    for _ in range(dice.randint(1, 4)):
        out[dice.randrange(len(out))] = dice.randrange(256)
    return bytes(out)


def cut(value: bytes, dice: Random) -> bytes:
    """A piece is missing, perhaps the end."""
    i, j = sorted(dice.randrange(len(value) + 1) for _ in range(2))
    return value[:i] if dice.random() < 0.3 else value[:i] + value[j:]


def insert(value: bytes, dice: Random) -> bytes:
    """Something that does not belong there."""
    i = dice.randrange(len(value) + 1)
    return value[:i] + dice.choice(ODD_TEXT) + value[i:]


def repeat(value: bytes, dice: Random) -> bytes:
    """A piece twice, or often."""
    i = dice.randrange(len(value))
    j = i + dice.randint(1, 40)
    return value[:j] + value[i:j] * dice.choice((1, 2, 300)) + value[j:]


def splice(value: bytes, dice: Random) -> bytes:
    """The beginning of one and the end of another."""
    other, _ = dice.choice(SEEDS)
    return value[: dice.randrange(len(value))] + other[dice.randrange(len(other)) :]


def retype(value: bytes, dice: Random) -> bytes:
    """Fields with values of other types and sizes; ones that nobody knows; some missing."""
    try:
        body = json.loads(value)
    except ValueError:
        return value
    if not isinstance(body, dict):
        return value
    for _ in range(dice.randint(1, 3)):
        name = dice.choice(NAMES_OF_FIELDS)
        if dice.random() < 0.2:
            body.pop(name, None)
        elif dice.random() < 0.3:
            body[name] = dice.choice(NAMES_OF_FIELDS)
        else:
            body[name] = dice.choice(ODD_VALUES)
    return json.dumps(body).encode()


def borrow(value: bytes, dice: Random) -> bytes:
    """Fields of somebody else's touchpoint: right one by one, and wrong together."""
    other, _ = dice.choice(SEEDS)
    try:
        body, lender = json.loads(value), json.loads(other)
    except ValueError:
        return value
    if not isinstance(body, dict) or not isinstance(lender, dict):
        return value
    inner, source = body.get("data", body), lender.get("data", lender)
    if isinstance(inner, dict) and isinstance(source, dict) and source:
        for name in dice.choices(list(source), k=dice.randint(1, 4)):
            inner[name] = source[name]
    return json.dumps(body).encode()


def noise(_: bytes, dice: Random) -> bytes:
    """Nothing that was ever a touchpoint."""
    return dice.randbytes(dice.randint(0, 300))


MUTATORS: Sequence[Callable[[bytes, Random], bytes]] = (
    flip,
    cut,
    insert,
    repeat,
    splice,
    retype,
    retype,
    borrow,
    borrow,
    borrow,
    noise,
)


def mutated(number: int, count: int) -> list[Sent]:
    """A batch of broken records; the same for the same number."""
    dice = Random(number)
    out = []
    for offset in range(number * count, (number + 1) * count):
        value, headers = dice.choice(SEEDS)
        value = dice.choice(MUTATORS)(value, dice) if value else value
        if dice.random() < 0.1:
            value = dice.choice(MUTATORS)(value or b" ", dice)
        if headers and dice.random() < 0.3:
            headers = [
                (dice.choice((name, "ce_", "x" * 200)), dice.choice((v, None, b"\xff", b""))) for name, v in headers
            ]
        key = dice.choice((None, b"maria", b"\xff\xfe"))
        out.append(Sent(offset, None if dice.random() < 0.001 else value, headers, key))
    return out


class Outcome:
    """A publisher that counts what is published, and keeps nothing."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.events = 0

    async def start(self) -> None:
        """Nobody to fence."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def write(self, outbox: Outbox, at: Hook) -> int:
        """Everything fits into a message, and every letter has a reason."""
        for topic, records in outbox.published.items():
            for key, value, headers in records:
                assert (
                    len(key or b"") + len(value or b"") + sum(len(k) + len(v) for k, v in headers) < MAX_MESSAGE + 4096
                )
                if topic == NAMES.dead_letters:
                    told = dict(headers)
                    self.reasons[told["reason"].decode()] += 1
                    assert told["message"] and told["offset"].isdigit()
                else:
                    json.loads(value or b"")
                    self.events += 1
        return 0


async def _at(point: str, partition: Partition) -> None:
    """Nobody dies here."""


def work(numbers: range) -> tuple[Tally, Outcome]:
    """What becomes of the batches of these numbers."""
    tally, outcome = Tally(), Outcome()

    def fresh() -> Partition:
        control = Control(0, 0, 0, 1, CODEC, partitions=2, live_from=1)
        return Partition(0, Tracker(DEFAULTS), outcome, NAMES, {}, control, tally, lambda: NOW, _at)

    for number in numbers:
        partition, records = fresh(), mutated(number, BATCH)
        before = tally.refused.total()
        try:
            partition.take(Batch(0, records, records[-1].offset + 1, True))
            asyncio.run(partition.flush())
        except Exception as e:
            raise AssertionError(f"batch {number}: {culprit(fresh, records)}") from e
        refused = tally.refused.total() - before
        assert outcome.reasons == tally.refused
        made = prepare("touchpoints", {HERE: records})
        assert len(made.rows) + len(made.refused) == len(records)
        assert {r.error.reason for r in made.refused} <= REASONS.keys()
        assert len(made.refused) == refused, "both workers judge alike"
        for record in records[::100]:
            assert verdict(record) == verdict_of_the_contract(record), (number, record)
    return tally, outcome


def culprit(fresh: Callable[[], Partition], records: list[Sent]) -> str:
    """The record that ends a worker by itself, if one does."""
    for record in records:
        partition = fresh()
        try:
            partition.take(Batch(0, [record], record.offset + 1, True))
            asyncio.run(partition.flush())
        except Exception:  # noqa: BLE001 - whatever it is
            return f"{record.value!r} with headers {record.headers!r}"
    return "no record alone"


def verdict(record: Sent) -> object:
    """The touchpoint, or why there is none."""
    try:
        return decode(record.value, 2 * NOW, record.headers)
    except Unacceptable as e:
        return str(e)


def verdict_of_the_contract(record: Sent) -> object:
    """The same by pydantic alone."""
    try:
        return contract(record.value, record.headers)
    except Unacceptable as e:
        return str(e)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_million_broken_records(part: int) -> None:
    """Nothing that anybody sends ends a worker, and nothing is dropped without a reason."""
    batches = RECORDS // BATCH // PARTS
    tally, outcome = work(range(part * batches, (part + 1) * batches))
    assert tally.read == RECORDS // PARTS
    merged = tally.merged + tally.repeated + tally.too_late + tally.forwarded
    assert merged + tally.refused.total() == tally.read
    assert merged > tally.read / 20 and tally.refused.total() > tally.read / 4, "broken, but not beyond recognition"
    assert outcome.reasons.keys() <= REASONS.keys() and len(outcome.reasons) >= 4
    assert outcome.events > 1_000
