"""A check-up as a value: gauges with figures, trends, worst spots and the frictions behind, in no language and no form."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What a figure or a gauge says. unjudged: it has no limits here, or too few cases to tell; no_data: nothing to measure."""

    good = "good"
    watch = "watch"
    bad = "bad"
    unjudged = "unjudged"
    no_data = "no_data"


class Unit(StrEnum):
    """How a number is to be read."""

    share = "share"  # 0 to 1
    number = "number"
    per_100 = "per_100"
    per_1000 = "per_1000"
    seconds = "seconds"
    days = "days"
    points = "points"  # NPS, -100 to 100
    grade = "grade"  # CES, 1 to 7
    times = "times"  # a ratio
    correlation = "correlation"  # -1 to 1
    money = "money"


@dataclass(frozen=True)
class Amount:
    """A number in a sentence, with its unit."""

    value: float
    unit: Unit = Unit.number


@dataclass(frozen=True)
class Said:
    """A sentence, by its key in the texts, and what stands in it."""

    key: str
    parts: dict[str, Amount | str]


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, with 95 % confidence; high is None where it has no end."""

    low: float
    high: float | None


@dataclass(frozen=True)
class Figure:
    """A measured value. of: how many cases it is a share or mean of, None where it is a plain count; before: the period before."""

    key: str
    unit: Unit
    value: float | None
    of: int | None
    before: float | None
    verdict: Verdict
    interval: Interval | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Point:
    """A figure in one week, by its Monday. whole: the week lies within what was asked and has passed."""

    week: str
    value: float | None
    of: int | None
    whole: bool


@dataclass(frozen=True)
class Trend:
    """A figure by week."""

    figure: str
    unit: Unit
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Spot:
    """One queue, topic, channel, agent, asset or release. of: of how many cases; None where it is a plain count."""

    name: str
    value: float
    of: int | None
    interval: Interval | None = None


@dataclass(frozen=True)
class Spots:
    """Where a figure is worst, the worst first; `training` and `release` are in their own order. by: what the spots are."""

    by: str
    figure: str
    unit: Unit
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Pair:
    """A team's week: how content employees were (x) and what customers met (y)."""

    queue: str
    week: str
    x: float
    y: float


@dataclass(frozen=True)
class Behind:
    """Live frictions of one kind, now and in the period before, with some to look at (`volvere explain ID`)."""

    kind: str
    frictions: int
    before: int
    customers: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Gauge:
    """One question to the company. needed: what would have to be told, where the verdict is no_data."""

    key: str
    verdict: Verdict
    sentence: Said
    figures: tuple[Figure, ...] = ()
    trends: tuple[Trend, ...] = ()
    spots: tuple[Spots, ...] = ()
    pairs: tuple[Pair, ...] = ()
    frictions: tuple[Behind, ...] = ()


@dataclass(frozen=True)
class CameBack:
    """The sentence at the top: of customers who met friction in [since, until) how many came back, beside those who met none.

    since, until: the period asked for, or, where its 90 days have not passed, the latest of that length whose have.
    """

    since: datetime
    until: datetime
    customers: int
    came_back: int
    others: int
    others_came_back: int


@dataclass(frozen=True)
class Checkup:
    """The whole. zone: whose days are meant; known_until: what is known of the company ends here."""

    since: datetime
    until: datetime
    zone: str
    known_until: datetime
    touchpoints: int
    sentence: Said
    came_back: CameBack | None
    gauges: tuple[Gauge, ...]
