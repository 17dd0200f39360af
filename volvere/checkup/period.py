"""Which time a check-up is about: [since, until) in somebody's days, the period before it, and the weeks that its trends show. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from schemas.times import parse_time

USUAL = timedelta(days=28)
WEEK = timedelta(days=7)
FEWEST_WEEKS, MOST_WEEKS = 8, 26
"""Weeks of a trend: those of the period and the one before it, within these bounds."""
FIRST_YEAR = 1990
"""Nothing happened before (schemas/times)."""


class PeriodProblem(ValueError):
    """A period that is none; the text says what was expected."""


@dataclass(frozen=True)
class Period:
    """[since, until), both UTC; `zone`: whose days and weeks are meant."""

    since: datetime
    until: datetime
    zone: tzinfo

    @property
    def before(self) -> Period:
        """The period before, of as many days; that the clocks are put forward or back in between changes nothing."""
        since, until = self.since.astimezone(self.zone), self.until.astimezone(self.zone)
        return Period((since - (until - since)).astimezone(UTC), self.since, self.zone)

    @property
    def weeks(self) -> Period:
        """What a trend shows: whole weeks from a Monday on, up to the end."""
        end = self.until.astimezone(self.zone).date()
        day = max(
            min(self.before.since.astimezone(self.zone).date(), end - FEWEST_WEEKS * WEEK), end - MOST_WEEKS * WEEK
        )
        monday = datetime.combine(day - timedelta(days=day.weekday()), time.min, self.zone)
        return Period(monday.astimezone(UTC), self.until, self.zone)

    def ending(self, until: datetime) -> Period:
        """One as long that ends then."""
        return Period(until - (self.until - self.since), until, self.zone)


def period(since: str | None, until: str | None, zone: tzinfo, known_until: datetime) -> Period:
    """The period that is asked for: days (2026-01-31, from their midnight) or times (RFC 3339). Raises PeriodProblem.

    Without an end it ends with the last day of which something is known, without a beginning it is the 28 days before its end.
    """
    tomorrow = known_until.astimezone(zone).date() + timedelta(days=1)
    end = _moment("--to", until, zone) if until else datetime.combine(tomorrow, time.min, zone).astimezone(UTC)
    begin = _moment("--from", since, zone) if since else (end.astimezone(zone) - USUAL).astimezone(UTC)
    if begin >= end:
        raise PeriodProblem(
            f"--from {since or _shown(begin, zone)} is not before --to {until or _shown(end, zone)}; "
            "expected a beginning before the end (--to is exclusive: the first day that no longer counts)"
        )
    return Period(begin, end, zone)


def _moment(option: str, text: str, zone: tzinfo) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()):
            found = datetime.combine(datetime.fromisoformat(text.strip()).date(), time.min, zone).astimezone(UTC)
        else:
            found = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=parse_time(text.strip()))
    except (ValueError, OverflowError):
        found = None
    if found is None or found.year < FIRST_YEAR:
        raise PeriodProblem(
            f"{option} {text!r} is no date; expected a day such as 2026-01-31, or a time with its zone such as "
            f"2026-01-31T09:00:00Z, from {FIRST_YEAR} on"
        )
    return found


def _shown(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d}"
