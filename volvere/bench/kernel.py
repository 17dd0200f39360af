"""`volvere bench kernel`: the thinking alone, in this process, without Kafka."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from itertools import count, islice
from statistics import median
from typing import Any

import msgspec
from rich.table import Table

from schemas.errors import Impossible
from schemas.times import DAY, MINUTE
from schemas.touchpoint import Normal, digest, plain
from streams.entries import entry_of
from streams.facts import CODEC, Facts, unpack
from streams.friction import Clock
from streams.partition import Control, Names, Partition, Tally
from streams.publish import Hook, Outbox
from streams.rules import Rules, parse_rules
from streams.tracker import Tracker
from streams.transport import MAX_BATCH, Batch
from volvere.show import out
from volvere.simulator.company import MONDAY

SIZES = (10, 500)
ROUNDS = 60
STATES = ((10_000, 12), (100_000, 12), (1_000_000, 12), (10_000, 120), (10_000, 500))
"""How many customers a partition remembers, and how many entries of each."""
CALLERS = 1_000
TWO = ("repeat_contact", "dropped_call")
"""The rules of the benchmark beside the peers."""
LIVES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "contact": (
        ("contact.started", {}),
        ("contact.queued", {"queue": "q"}),
        ("contact.answered", {"agent_id": "a"}),
        ("contact.ended", {"ended_by": "customer"}),
    ),
    "message": (("message.received", {}), ("message.sent", {"agent_id": "a"})) * 3,
    "process": (("request.made", {}), ("information.requested", {"element": "id"}), ("request.granted", {})),
    "digital": (("page.viewed", {"element": "home"}), ("element.clicked", {"element": "buy", "x": 1.0, "y": 1.0})),
    "feedback": (("survey.sent", {}), ("survey.answered", {"score": 9.0, "scale": "nps"})),
}
"""What a customer does again and again, by the one family that it belongs to."""


def kernel() -> None:
    """The kernel alone, in this process: one more touchpoint for a customer with few entries and with many, then how many a second."""
    _costs()
    _rates()


def _costs() -> None:
    table = Table("family", *(f"{size} entries" for size in SIZES), "ratio", "derived anew", "packed", box=None)
    tracker = Tracker(parse_rules())
    for family in LIVES:
        costs = [_one_more(tracker, family, size) for size in SIZES]
        (few, _, _), (many, anew, packed) = costs
        table.add_row(
            family, f"{few:.0f} µs", f"{many:.0f} µs", f"{many / few:.1f}", f"{anew:.0f} µs", f"{packed:.0f} µs"
        )
    out.print(
        "kernel: merge, derive, diff and forget for one more touchpoint, medians of CPU time;\n"
        f"beside it, for {SIZES[1]} entries, deriving without what is kept in memory, and packing"
    )
    out.print(table)


def _rates() -> None:
    off = "\n".join(f'{name}.mode = "off"' for name in parse_rules().named if name not in TWO)
    jobs = {"all rules": parse_rules(), "two rules": parse_rules(off)}
    table = Table("customers", "entries of each", *jobs, box=None)
    for customers, entries in STATES:
        rates = [asyncio.run(_rate(rules, customers, entries)) for rules in jobs.values()]
        table.add_row(f"{customers:,}", f"{entries}", *(f"{rate:,.0f}" for rate in rates))
    out.print(
        f"\na partition without Kafka: decode, merge, derive, diff and pack; touchpoints a second of one core,\n"
        f"one call of {len(LIVES['contact'])} touchpoints for each of {CALLERS:,} customers in one flush; two rules: {', '.join(TWO)}"
    )
    out.print(table)


@dataclass
class _Sent:
    """A record as the consumer hands it out; `timestamp`: milliseconds."""

    offset: int
    timestamp: int
    value: bytes
    key: None = None
    headers: tuple[()] = ()


class _Nowhere:
    """A publisher that writes nothing."""

    async def start(self) -> None:
        """Nobody to fence."""

    async def write(self, outbox: Outbox, at: Hook) -> int:  # noqa: ARG002 - as publishers have it
        """Nothing is written."""
        return 0

    async def stop(self) -> None:
        """Nothing to close."""


async def _pass(point: str, partition: Partition) -> None:
    pass


async def _rate(rules: Rules, customers: int, entries: int) -> float:
    """Touchpoints a CPU second: each of some customers calls once more. All are remembered alike, packed."""
    tracker, calls = Tracker(rules), len(LIVES["contact"])
    life = list(islice(_life("contact"), entries + calls))
    facts = Facts("c0000000", "c0000000")
    for t in life[:entries]:
        facts.merge(entry_of(t, digest(t), False))
    now = facts.newest
    packed = tracker.look(facts, now, now, settle=True).packed
    assert packed is not None
    met = {kind: (digest, now) for kind, digest in rules.table_digests.items()}
    partition = Partition(
        0,
        tracker,
        _Nowhere(),
        Names("touchpoints", "frictions", "journeys", "touchpoints.dlq"),
        {b"c%07d" % n: packed for n in range(customers)},
        Control(0, now, now, 1, CODEC, 1, live_from=1, rules=met),
        Tally(),
        lambda: now,
        _pass,
    )
    told = [
        plain(t) | {"customer_id": f"c{n * (customers // CALLERS):07d}"} for t in life[entries:] for n in range(CALLERS)
    ]
    times = [t.occurred_at // 1000 for t in life[entries:] for _ in range(CALLERS)]
    records = [_Sent(n, at, msgspec.json.encode(t)) for n, (t, at) in enumerate(zip(told, times, strict=True))]
    gc.collect()
    began = time.process_time()
    for n in range(0, len(records), MAX_BATCH):
        part = records[n : n + MAX_BATCH]
        partition.take(Batch(0, part, n + len(part), left=1))
    await partition.flush()
    took = time.process_time() - began
    if partition.tally.merged != len(records):
        raise Impossible(f"{partition.tally.merged} of {len(records)} touchpoints were merged while measuring")
    return len(records) / took


def _life(family: str) -> Iterator[Normal]:
    """One customer's life in one family, at the pace of 500 touchpoints in 25 days: a minute from step to step of a
    matter, each about one of two topics.
    """
    steps = LIVES[family]
    every = 25 * DAY * len(steps) // 500
    for n in count():
        matter, step = divmod(n, len(steps))
        kind, fields = steps[step]
        at = MONDAY + matter * every + step * MINUTE
        contact = f"c{matter}" if family in ("contact", "message") else None
        yield Normal("s", f"e{n}", "maria", kind, "web", at, topic=f"t{matter % 2}", contact_id=contact, **fields)


def _one_more(tracker: Tracker, family: str, size: int) -> tuple[float, float, float]:
    """Medians, microseconds: one more touchpoint, looked at; deriving anew; packing."""
    life = [entry_of(t, digest(t), False) for t in islice(_life(family), size + 10)]
    facts = Facts("maria", "maria")
    before = size - min(size // 2, 10)
    for e in life[:before]:
        facts.merge(e)
    tracker.look(facts, facts.newest, 0)
    packed = facts.pack(0)
    clock, taken, anew, packing = time.process_time, [], [], []  # what others do on the machine does not count
    for _ in range(ROUNDS):  # it stays as large as it is said to be
        facts = unpack("maria", packed)
        tracker.look(facts, facts.newest, 0)
        for e in map(copy, life[before:]):
            began = clock()
            facts.merge(e)
            tracker.look(facts, e.at, 0)
            taken.append(clock() - began)
    if facts.size != len(life):
        raise Impossible(f"{len(life) - facts.size} of {len(life)} entries were forgotten while measuring")
    for _ in range(ROUNDS):
        began = clock()
        facts.pack(0)
        packing.append(clock() - began)
        fresh = unpack("maria", packed)
        began = clock()
        tracker.derive(fresh, Clock(facts.newest))
        anew.append(clock() - began)
    return tuple(median(times) * 1e6 for times in (taken, anew, packing))  # type: ignore[return-value]
