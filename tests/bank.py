"""The public bank file, counted plainly by the standard library, and files like it that never were.

Nothing here knows the adapter or the kernel: it is what they are held to.
"""

from __future__ import annotations

import csv
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

WEEK = "anonymous_bank/week_1999-06-06_pseudonymised.csv"
"""Within the folder of public data sets."""

Row = dict[str, str]
HOUR, DAY = 3600, 86_400
NEVER = "0:00:00"
_READINGS = ("vru_exit", "q_start", "q_exit", "ser_start", "ser_exit")


@dataclass(frozen=True)
class Counts:
    """What the README promises of a bank file. `hour`, `day`, `week`: contacts with another so soon before."""

    contacts: int
    left_out: int
    abandoned: int
    never_queued: int
    hour: int
    day: int
    week: int
    repeat_contact: int
    queue_abandoned: int
    long_wait: int


REAL_WEEK = Counts(
    contacts=9_343,
    left_out=83,
    abandoned=1_749,
    never_queued=471,
    hour=978,
    day=2_259,
    week=2_712,
    repeat_contact=2_550,
    queue_abandoned=1_205,
    long_wait=1_289,
)


def read(path: Path) -> list[Row]:
    """The rows of a file, by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[Row]) -> Path:
    """A file of these rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def start_of(row: Row) -> int:
    """Local seconds of a call's start; differences are true where the clock is not changed in between."""
    return round(datetime.strptime(f"{row['date']} {row['vru_entry']} Z", "%Y-%m-%d %H:%M:%S %z").timestamp())


def count(rows: Iterable[Row], *, short_abandon: int = 5, window: int = 7 * DAY, limit: int = 120) -> Counts:
    """The plain count. short_abandon, window and limit: of the rules, seconds."""
    calls = [r for r in rows if r["outcome"] != "PHANTOM"]
    gone = [r for r in calls if r["outcome"] == "HANG"]
    any_topic: dict[Any, list[int]] = defaultdict(list)
    same_topic: dict[Any, list[int]] = defaultdict(list)
    for r in calls:
        if r["customer_id"]:
            any_topic[r["customer_id"]].append(start_of(r))
            same_topic[r["customer_id"], r["type"]].append(start_of(r))
    return Counts(
        contacts=len(calls),
        left_out=len(list(rows)) - len(calls),
        abandoned=len(gone),
        never_queued=sum(not queued(r) for r in gone),
        hour=within(any_topic, HOUR),
        day=within(any_topic, DAY),
        week=within(any_topic, 7 * DAY),
        repeat_contact=within(same_topic, window),
        queue_abandoned=sum(queued(r) and int(r["q_time"]) > short_abandon for r in gone),
        long_wait=sum(queued(r) and int(r["q_time"]) > limit for r in calls),
    )


def queued(row: Row) -> bool:
    """Whether the call was ever in the queue."""
    return row["q_start"] != NEVER or row["q_exit"] != NEVER


def within(starts: dict[Any, list[int]], window: int) -> int:
    """How many starts have an earlier (or equal, but for one) start of the same key at most `window` before."""
    found = 0
    for times in starts.values():
        times.sort()
        found += sum(bisect_left(times, t - window) < i for i, t in enumerate(times))
    return found


def perturbed(rows: list[Row], seed: int, size: int, days: int = 18) -> list[Row]:
    """`size` calls that never were: rows of the file at other times, of other types and customers.

    Every row stays consistent: its readings move with its start, the queue's with the wait. The days are in the
    summer of 1999, without a change of the clock. The order is that of the starts, but for some that come days late.
    """
    dice = random.Random(seed)
    types = sorted({r["type"] for r in rows})
    customers = [f"P{n}" for n in range(size // 6)]
    made: dict[tuple[str, str, str], tuple[float, Row]] = {}
    while len(made) < size:
        row = dict(dice.choice(rows))
        begin = datetime(1999, 6, 6) + timedelta(seconds=dice.randrange(days * DAY))  # noqa: DTZ001 - a wall clock
        before = datetime.strptime(row["vru_entry"], "%H:%M:%S")
        readings = {f: datetime.strptime(row[f], "%H:%M:%S") for f in _READINGS}
        moved = {f: begin + _nearest(readings[f] - before) for f in _READINGS}
        if queued(row):
            longer = timedelta(seconds=dice.choice((0, 0, -1, 1, dice.randrange(400))))
            longer = max(longer, -timedelta(seconds=int(row["q_time"])))
            row["q_time"] = str(int(row["q_time"]) + round(longer.total_seconds()))
            for f in ("q_exit", "ser_start", "ser_exit"):
                moved[f] += longer
        for steps in (("q_start", "q_exit"), ("ser_start", "ser_exit")):
            if all(row[f] == NEVER for f in steps):
                moved |= dict.fromkeys(steps, datetime.min)  # noqa: DTZ901 - "0:00:00"
            elif all(_clock(moved[f]) == NEVER for f in steps):
                break  # both on midnight would read as "it did not happen"
        else:
            row |= {f: _clock(at) for f, at in moved.items()}
            row |= {"date": f"{begin:%Y-%m-%d}", "vru_entry": _clock(begin), "type": dice.choice(types)}
            row["customer_id"] = dice.choice(customers) if dice.random() < 0.7 else ""
            late = dice.randrange(5 * DAY) if dice.random() < 0.1 else 0
            made[row["vru_line"], row["call_id"], row["date"]] = (begin.timestamp() + late, row)
    return [row for _, row in sorted(made.values(), key=lambda m: m[0])]


def _nearest(ahead: timedelta) -> timedelta:
    half = timedelta(hours=12)
    return ahead + timedelta(days=1) if ahead < -half else ahead - timedelta(days=1) if ahead > half else ahead


def _clock(at: datetime) -> str:
    return f"{at.hour}:{at:%M:%S}"
