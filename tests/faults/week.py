"""A simulated week, what must be found in it, and what was.

The week's touchpoints reach us out of order by hours, some of them twice, some withdrawn a day
later, so that much of what a worker says on the way is wrong and must be taken back. None of them
is too late: a week lies within the lateness. So what is true in the end is known without any broker:
`expected` merges them all and looks once.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer

from schemas.decode import decode
from schemas.times import HOUR, format_time, parse_time
from schemas.topics import FRICTIONS, JOURNEYS
from schemas.touchpoint import digest, subject_of
from streams.app import TrackConfig
from streams.entries import entry_of
from streams.facts import Facts
from streams.rules import parse_rules
from streams.tracker import Tracker
from tests.kafka import ROOT, Record, read
from tests.stories import CLAIMED, CLAIMED_OF_JOURNEYS
from volvere import files
from volvere.embedded import die_with_parent
from volvere.feed import Fed, feed
from volvere.simulator import Company
from volvere.worker import tracking, wall

PARTITIONS = 4
FLUSH_RECORDS = 400
CHUNKS = 32
BROKEN = b"{this is no touchpoint"
"""The last record of every part; nobody knows whose it is."""
Items = list[files.Record]


@dataclass(frozen=True)
class Week:
    """Records in the order in which they reach us. `last`: one touchpoint an hour after all others."""

    chunks: list[Items]
    last: Items

    @property
    def items(self) -> Items:
        """All of them."""
        return [item for chunk in self.chunks for item in chunk] + self.last


def week(seed: int = 3, customers: int = 800) -> Week:
    """The same week every time, for the same seed."""
    company = Company(seed=seed, customers=customers, days=7, contacts_per_day=0.8, untidy=0.4)
    told = list(company.touchpoints())
    size = -(-len(told) // CHUNKS)
    chunks = [told[i : i + size] for i in range(0, len(told), size)]
    rng = Random(seed)
    for i in range(0, len(chunks), 4):  # a day's parts in any order
        part = chunks[i : i + 4]
        rng.shuffle(part)
        chunks[i : i + 4] = part
    newest = max(parse_time(t["occurred_at"]) for t in told)
    last = told[0] | {
        "event_id": "last",
        "contact_id": "last",
        "customer_id": "nobody else",
        "kind": "page.viewed",
        "channel": "web",
        "occurred_at": format_time(newest + HOUR),
    }
    lines = iter(range(1, 2 * len(told)))
    parts = [[*_records(chunk, lines), files.Record(next(lines), BROKEN, None)] for chunk in chunks]
    return Week(parts, list(_records([last], lines)))


def _records(told: Sequence[dict[str, Any]], lines: Iterator[int]) -> Iterator[files.Record]:
    for t in told:
        subject = subject_of(t["customer_id"], t["contact_id"], t["source"], t["event_id"])
        yield files.Record(next(lines), json.dumps(t).encode(), subject)


@dataclass
class Found:
    """What stands in the end, in the columns that DESIGN.md section 3 claims, and how it came to be.

    frictions: friction_id -> columns; journeys: (subject, journey_id) -> columns; said: events by type;
    ever: all friction ids, the retracted ones as well; newest: the greatest `occurred_at`, where it is known.
    """

    frictions: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    journeys: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    ever: set[str] = field(default_factory=set)
    newest: int = 0


def found(frictions: Sequence[bytes | None], journeys: Sequence[bytes | None]) -> Found:
    """The last word on each friction and journey; values in the order of their partitions."""
    out = Found()
    for event in (json.loads(value or b"") for value in frictions):
        data = event["data"]
        out.said[event["type"].rpartition(".")[2]] += 1
        out.ever.add(data["friction_id"])
        out.frictions[data["friction_id"]] = tuple((data | {"subject": event["subject"]})[name] for name in CLAIMED)
    for snapshot in (json.loads(value or b"") for value in journeys):
        key = snapshot["subject"], snapshot["journey_id"]
        out.journeys[key] = (snapshot["state"], *(snapshot[name] for name in CLAIMED_OF_JOURNEYS))
    retracted = CLAIMED.index("state")
    out.frictions = {name: row for name, row in out.frictions.items() if row[retracted] != "retracted"}
    out.journeys = {name: row for name, row in out.journeys.items() if row[0] != "merged"}
    return out


def expected(items: Items) -> Found:
    """What is true of the week at its last moment, computed without broker, batches or state."""
    tracker, newest = Tracker(parse_rules()), 0
    subjects: dict[str, Facts] = {}
    for item in items:
        if item.subject is None:
            continue
        t = decode(item.value, wall())
        subjects.setdefault(item.subject, Facts(item.subject, t.customer_id)).merge(entry_of(t, digest(t), replay=True))
        newest = max(newest, t.occurred_at)
    looks = [tracker.look(facts, newest, 0, settle=True) for facts in subjects.values()]
    out = found([v for look in looks for v in look.frictions], [v for look in looks for _, v in look.journeys])
    out.newest = newest
    return out


async def track(config: TrackConfig, items: Items, ends: dict[int, int] | None = None, newest: int = 0) -> Fed:
    """Feed items, and track to their end in this process, as `volvere run` does.

    `ends`, `newest`: what was fed before by others.
    """
    failed: list[BaseException] = []
    config.fatal = failed.append
    async with asyncio.timeout(120), tracking(parse_rules(), config) as app:
        fed = await feed(config.bootstrap, items, config.prefix)
        fed.ends, fed.newest = {**(ends or {}), **fed.ends}, max(newest, fed.newest)
        await app.host.finish(fed.ends, fed.newest)
        marks = {p.watermark for p in app.host.partitions.values()}
        assert marks == {fed.newest}, "the comparison needs the same watermark everywhere: did much idle time pass?"
    assert not failed
    return fed


def config(bootstrap: str, application: str, *, trusted: bool = True) -> TrackConfig:
    """A worker in this process, which goes on where others of the application were; its name is the topics' prefix."""
    return TrackConfig(
        bootstrap=bootstrap,
        application=application,
        prefix=application,
        transactions=trusted,
        trusted=trusted,
        session_timeout=4.0,
        heartbeat_interval=1.0,
        flush_records=FLUSH_RECORDS,
    )


def must_be_there_once(frictions: Sequence[Record]) -> None:
    """No event and no revision of a friction is there twice, and none is in two partitions."""
    events = [json.loads(record.value or b"") for record in frictions]
    ids = Counter(event["id"] for event in events)
    assert not [name for name, count in ids.items() if count > 1]
    revisions = Counter((event["data"]["friction_id"], event["data"]["revision"]) for event in events)
    assert not [name for name, count in revisions.items() if count > 1]
    places = {(e["data"]["friction_id"], r.partition) for e, r in zip(events, frictions, strict=True)}
    assert len(places) == len({name for name, _ in places})


def must_be_refused_once(letters: Sequence[Record], told: Week) -> None:
    """Every broken record is among the dead letters, once, with the place where it was found."""
    places = {(headers["partition"], headers["offset"]) for headers in (dict(r.headers) for r in letters)}
    assert len(letters) == len(places) == len(told.chunks)
    assert {r.value for r in letters} == {BROKEN}


def say(text: str) -> None:
    """So that a run that hangs says where."""
    print(text, flush=True)  # noqa: T201


async def published(bootstrap: str, prefix: str, quiet_ms: int = 0) -> tuple[list[Record], list[Record]]:
    """All friction events and journey snapshots that a `read_committed` consumer sees."""
    names = (prefix + FRICTIONS.name, prefix + JOURNEYS.name)
    async with asyncio.timeout(60):
        frictions, journeys = [await read(bootstrap, name, quiet_ms=quiet_ms) for name in names]
    return frictions, journeys


async def aborted(bootstrap: str, topic: str) -> int:
    """How many records of a topic lie in the log that no `read_committed` consumer sees."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        count = 0
        async with asyncio.timeout(60):
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                count += sum(map(len, (await consumer.getmany(timeout_ms=1000)).values()))
    finally:
        await consumer.stop()
    return count - len(await read(bootstrap, topic))


def values(records: Sequence[Record]) -> list[bytes | None]:
    """The records' values."""
    return [r.value for r in records]


Views = dict[str, list[list[Any]]]


def views(bootstrap: str, prefix: str, records: dict[str, int], folder: Path) -> Views:
    """The four views over what is in the topics, stored into a folder: name -> sorted rows.

    records: how many of each topic there are. In a process of its own: ClickHouse's engine takes one folder a process.
    """
    command = [sys.executable, "-m", "tests.faults.views", bootstrap, prefix, json.dumps(records), str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=die_with_parent(),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    shown: Views = json.loads(done.stdout)
    return shown
