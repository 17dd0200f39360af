"""`volvere store verify`: what Kafka holds, counted against what ClickHouse holds.

    positions of `store` ─▶ its dead letters ─▶ a topic, winners by key ─▶ the table, key by key

A topic tells of a thing more than once, and ReplacingMergeTree keeps the greatest version: so the winner of each key is looked
for, in the same version or a newer. In that order, whatever is told or stored meanwhile makes nothing look missing: what lies
before a position is stored or has a letter. Keys are worked out by the contract, not by the code that makes rows.

What a topic has lost to its retention or compaction, and what came by `volvere store load`, is in the table alone: no mistake.
What ClickHouse may have removed, since it is older than rows are kept, is `expired`. What came too late for `track` is stored like everything else. Winners lie in a temporary file of SQLite, so that memory stays
small; a table is read once, from the earliest time that its topic tells of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from clickhouse_connect.driver.client import Client

from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.times import DAY
from schemas.topics import FRICTIONS, JOURNEYS, OPERATIONS, STORE_DEAD_LETTERS, TOUCHPOINTS, Topic
from schemas.touchpoint import digest, row_version, subject_of
from sinks import history
from sinks.retention import kept_days
from sinks.store import STORED
from volvere.reading import records
from volvere.settings import Settings
from volvere.topics import administer, of_group
from volvere.worker import Broker, wall

NAMED = 20
"""How many of what is missing are named."""
AT_ONCE = 5_000

Winner = tuple[list[Any], int]
"""Key and version."""


@dataclass
class Verified:
    """One topic beside its table. records: those that the store has dealt with; all other counts are of things, but for
    waiting (records that it has not come to), refused (records that cannot be stored), erased (records without a value) and
    expired (records older than the table keeps).

    only_stored: in the table from where the topic still reaches, but not in the topic. named: place and key of what is missing.
    """

    topic: str
    table: str
    records: int = 0
    things: int = 0
    stored: int = 0
    missing: int = 0
    only_stored: int = 0
    waiting: int = 0
    refused: int = 0
    erased: int = 0
    expired: int = 0
    named: list[str] = field(default_factory=list)


async def verify(settings: Settings, at: Broker, client: Client) -> list[Verified]:
    """Every stored topic beside its table. Raises BrokerProblem, StoreProblem, Transient."""
    reached = _positions(settings, at)
    letters = {place async for place in _letters(settings, at)}
    return [await _verify(topic, settings, at, client, reached, letters) for topic in STORED]


Places = set[tuple[str, int, int]]


async def _verify(
    topic: Topic, settings: Settings, at: Broker, client: Client, reached: dict[tuple[str, int], int], letters: Places
) -> Verified:
    name = settings.topic_prefix + topic.name
    out = Verified(name, topic.name)
    key_of, begins = _KEYS[topic.name], dict[int, int]()
    days = kept_days(client, topic.name)
    # A day more, since what is about to expire does so while this is read.
    floor = 0 if days is None else wall() - (days - 1) * DAY
    happened = topic.model is TOUCHPOINTS.model
    earliest: int | None = None
    with closing(_Winners()) as winners:
        async for record in records(at, name):
            if record.offset >= reached.get((name, record.partition), 0):
                out.waiting += 1
                continue
            out.records += 1
            begins.setdefault(record.partition, record.offset)
            if record.value is None and topic is JOURNEYS:
                out.erased += 1
                continue
            try:
                key, version = key_of(record)
            except (Unacceptable, msgspec.MsgspecError):
                out.refused += 1
                continue
            if (name, record.partition, record.offset) in letters:
                out.refused += 1
                continue
            at_us = key[1] if happened else record.timestamp * 1000
            if at_us < floor:
                out.expired += 1
                continue
            earliest = at_us if earliest is None else min(earliest, at_us)
            winners.told(key, version, f"{record.partition}/{record.offset}")
        winners.all_told()
        if earliest is not None:
            since = f"{'occurred_at' if happened else 'appended_at'} >= fromUnixTimestamp64Micro({earliest if happened else floor}, 'UTC')"
            spans = {n: (begin, reached[name, n]) for n, begin in begins.items()}
            for key, version, whence, partition, offset in _rows(client, topic.name, since):
                begin, end = spans.get(partition, (0, 0))
                winners.found(key, version, here=whence == name and begin <= offset < end)
        out.things, out.stored, out.only_stored = winners.counts()
        out.missing = out.things - out.stored
        out.named = [f"{name}/{place}: {' '.join(key[-2:])}" for place, key in winners.missing(NAMED)]
    return out


def _positions(settings: Settings, at: Broker) -> dict[tuple[str, int], int]:
    """Up to where the group of the store has acknowledged."""
    group = f"{settings.application}-store"
    with administer(at.bootstrap, at.access) as admin:
        found = of_group(admin.list_group_offsets, {group: None})[group]
    return {(tp.topic, tp.partition): o.offset for tp, o in found.items()}


async def _letters(settings: Settings, at: Broker) -> AsyncIterator[tuple[str, int, int]]:
    """The places of the records that the store's dead letters are about."""
    async for record in records(at, settings.topic_prefix + STORE_DEAD_LETTERS.name):
        told = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        yield told.get("topic", ""), int(told.get("partition", -1)), int(told.get("offset", -1))


# Keys and versions


def _touchpoint(record: Any) -> Winner:
    t = decode(record.value, record.timestamp * 1000, record.headers)
    version = row_version(t.version, digest(t))
    return [subject_of(t.customer_id, t.contact_id, t.source, t.event_id), t.occurred_at, t.source, t.event_id], version


class _Said(msgspec.Struct):
    kind: str
    friction_id: UUID
    generation: int
    revision: int


class _Friction(msgspec.Struct):
    data: _Said


class _Journey(msgspec.Struct):
    subject: str
    journey_id: str
    generation: int
    revision: int


_friction_of = msgspec.json.Decoder(_Friction).decode
_journey_of = msgspec.json.Decoder(_Journey).decode


def _friction(record: Any) -> Winner:
    said = _friction_of(record.value or b"").data
    return [said.kind, str(said.friction_id)], row_version(said.generation, said.revision)


def _journey(record: Any) -> Winner:
    told = _journey_of(record.value)
    return [told.subject, told.journey_id], row_version(told.generation, told.revision)


_KEYS: dict[str, Callable[[Any], Winner]] = {
    TOUCHPOINTS.name: _touchpoint,
    OPERATIONS.name: _touchpoint,
    FRICTIONS.name: _friction,
    JOURNEYS.name: _journey,
}
_OF_TOUCHPOINTS = "subject, toUnixTimestamp64Micro(occurred_at), source, event_id"
_COLUMNS = {
    TOUCHPOINTS.name: _OF_TOUCHPOINTS,
    OPERATIONS.name: _OF_TOUCHPOINTS,
    FRICTIONS.name: "kind, toString(friction_id)",
    JOURNEYS.name: "subject, journey_id",
}


def _rows(client: Client, table: str, where: str) -> Iterator[tuple[list[Any], int, str, int, int]]:
    """Key, version, and whence it came of each row, unmerged ones as well."""
    sql = f"SELECT {_COLUMNS[table]}, toString(_version), _topic, _partition, _offset FROM volvere_store.{table} WHERE {where}"
    for row in history.lines(client, sql, msgspec.json.decode, "JSONCompactEachRow"):
        *key, version, topic, partition, offset = row
        yield key, int(version), topic, partition, offset


class _Winners:
    """The winner of each key of a topic, and what the table has of it, in a temporary file."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(
            "CREATE TABLE told (key BLOB PRIMARY KEY, version BLOB, place TEXT, stored BLOB) WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE others (key BLOB PRIMARY KEY) WITHOUT ROWID")
        self._new: list[tuple[bytes, bytes, str]] = []

    def told(self, key: list[Any], version: int, place: str) -> None:
        """The topic says this of the key."""
        self._new.append((msgspec.json.encode(key), version.to_bytes(16, "big"), place))
        if len(self._new) >= AT_ONCE:
            self.all_told()

    def all_told(self) -> None:
        """Write what is in hand."""
        self._db.executemany(
            "INSERT INTO told VALUES (?, ?, ?, x'') ON CONFLICT (key) DO UPDATE SET version = excluded.version, "
            "place = excluded.place WHERE excluded.version > told.version",
            self._new,
        )
        self._new.clear()

    def found(self, key: list[Any], version: int, *, here: bool) -> None:
        """The table has this. here: it says that it came from where the topic still reaches."""
        name, number = msgspec.json.encode(key), version.to_bytes(16, "big")
        known = self._db.execute("UPDATE told SET stored = max(stored, ?) WHERE key = ?", (number, name)).rowcount
        if here and not known:
            self._db.execute("INSERT OR IGNORE INTO others VALUES (?)", (name,))

    def counts(self) -> tuple[int, int, int]:
        """Keys told of, those stored in that version or a newer, those that only the table has."""
        (told, stored), *_ = self._db.execute("SELECT count(*), coalesce(sum(stored >= version), 0) FROM told")
        ((others,),) = self._db.execute("SELECT count(*) FROM others")
        return told, stored, others

    def missing(self, limit: int) -> list[tuple[str, list[str]]]:
        """Place and key of the first of them."""
        found = self._db.execute("SELECT place, key FROM told WHERE stored < version ORDER BY place LIMIT ?", (limit,))
        return [(place, [str(part) for part in msgspec.json.decode(key)]) for place, key in found]

    def close(self) -> None:
        """Remove the file."""
        self._db.close()
