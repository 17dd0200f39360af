"""`volvere bench kernel`: the thinking alone, in this process, without Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import copy
from itertools import count, islice
from statistics import median
from typing import Any

from rich.table import Table

from schemas.errors import Impossible
from schemas.times import DAY, MINUTE
from schemas.touchpoint import Normal, digest
from streams.entries import entry_of
from streams.facts import Facts, unpack
from streams.friction import Clock
from streams.rules import parse_rules
from streams.tracker import Tracker
from volvere.show import out
from volvere.simulator.company import MONDAY

SIZES = (10, 500)
ROUNDS = 60
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
    """The kernel alone, in this process: one more touchpoint for a customer with few entries and with many."""
    table = Table("family", *(f"{size} entries" for size in SIZES), "ratio", "derived anew", "packed", box=None)
    tracker = Tracker(parse_rules())
    for family in LIVES:
        costs = [_one_more(tracker, family, size) for size in SIZES]
        (few, _, _), (many, anew, packed) = costs
        table.add_row(
            family, f"{few:.0f} µs", f"{many:.0f} µs", f"{many / few:.1f}", f"{anew:.0f} µs", f"{packed:.0f} µs"
        )
    out.print(
        "kernel: merge, derive, diff and forget for one more touchpoint, medians;\n"
        f"beside it, for {SIZES[1]} entries, deriving without what is kept in memory, and packing"
    )
    out.print(table)


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
    clock, taken, anew, packing = time.perf_counter, [], [], []
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
