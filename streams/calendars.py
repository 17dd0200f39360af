"""Business hours: how much of a stretch of time was open, and when so much of it will have passed.

Hours are said in local time, times are microseconds UTC, and between the two stands one rule:
a local time is the first moment at which the clock on the wall shows it, or a later one. So a
time that a spring change skips is the moment of the change, a time that comes twice in autumn
is the first of the two, and hours that cover a change are as long as they really were. The rule
never runs backwards: hours that do not overlap on the wall do not overlap in UTC.

A calendar keeps the openings of a year as sorted lists with a running total (some 50 KB), made
when the year is first asked for, so that a question is two look-ups. It knows the years from 1990
to 2199, as all times here do, and is closed before and after; that bounds what it keeps and how far
`add` looks. What it says depends on nothing but its fields, the zone database and `holidays`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from holidays import country_holidays, list_supported_countries
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from schemas.times import DAY, EARLIEST, LATEST, MINUTE, SECOND

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1).toordinal()
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)", re.ASCII)

Span = tuple[int, int]
"""From and to, in minutes after midnight; to is not open any more."""


def _zone(name: str) -> str:
    if name == "localtime" or name not in available_timezones():  # the former is whatever this machine is set to
        raise ValueError('expected the IANA name of a time zone, such as "Europe/Madrid" or "UTC"')
    return name


def _day_names(key: str) -> str:
    if not all(day in DAYS for day in key.split("-", 1)):
        raise ValueError('expected a day or a run of days, such as "mon" or "mon-fri" (mon tue wed thu fri sat sun)')
    return key


def _days(key: str) -> list[str]:
    first, _, last = key.partition("-")
    at = DAYS.index(first)
    return [DAYS[(at + i) % 7] for i in range((DAYS.index(last or first) - at) % 7 + 1)]


def _span(text: object) -> Span:
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('expected hours such as "09:00-18:00" or ["09:00-13:00", "14:00-24:00"]')
    opens, closes = int(match[1]) * 60 + int(match[2]), int(match[3] or 24) * 60 + int(match[4] or 0)
    if opens >= closes:
        raise ValueError(
            f'expected hours that end after they begin, not "{text}"; a night belongs to two days: until 24:00, from 00:00'
        )
    return opens, closes


def _opening_hours(value: object) -> list[str]:
    spans = sorted(_span(text) for text in (value if isinstance(value, list) else [value]))
    texts = [f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in spans]
    for i, (one, other) in enumerate(pairwise(spans)):
        if one[1] > other[0]:
            raise ValueError(f'expected hours that do not overlap, as "{texts[i]}" and "{texts[i + 1]}" do')
    return texts


def _week(hours: dict[str, list[str]]) -> dict[str, list[str]]:
    week: dict[str, list[str]] = {}
    for key, texts in hours.items():
        for day in _days(key):
            if day in week:
                raise ValueError(f'expected every day once, but "{key}" says {day} again')
            week[day] = texts
    if not any(week.values()):
        raise ValueError('expected at least one day with hours, such as mon-fri = "09:00-18:00"')
    return {day: week[day] for day in DAYS if week.get(day)}


def _region(name: str) -> str:
    country, dash, part = name.partition("-")
    parts = list_supported_countries(include_aliases=True).get(country)
    if parts is None:
        raise ValueError('expected a country, alone or with its part, such as "ES" or "ES-MD" (ISO 3166)')
    if dash and part not in parts:
        known = f" or one of its parts: {', '.join(parts)}" if parts else ": it has no parts with holidays of their own"
        raise ValueError(f'expected "{country}" alone{known}')
    return name


def _date(value: object) -> object:
    text = value.isoformat() if type(value) is date else value  # TOML has dates of its own
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            pass
    raise ValueError('expected a date such as "2026-12-24"')


class _Year(NamedTuple):
    """The openings that begin in one local year. Microseconds UTC, but for `open`."""

    begin: int
    end: int
    opens: list[int]
    closes: list[int]
    open: list[int]
    """Open microseconds of the year up to the end of each opening."""

    @property
    def total(self) -> int:
        return self.open[-1] if self.open else 0


class Calendar(BaseModel):
    """When it is open: by weekday, but not on public holidays and other closed days.

    Equal calendars dump to equal text, however their hours were written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ignored_types=(cached_property,))

    zone: Annotated[str, AfterValidator(_zone)]
    """IANA name of the time zone that the hours are in."""
    hours: Annotated[
        dict[Annotated[str, AfterValidator(_day_names)], Annotated[list[str], BeforeValidator(_opening_hours)]],
        AfterValidator(_week),
    ]
    """By day or run of days ("mon", "mon-fri", "sun-thu"): "09:00-18:00", or a list; kept by day, in order."""
    holidays: Annotated[str, AfterValidator(_region)] | None = None
    """Whose public holidays it keeps: country and, if need be, its part, as in ISO 3166-2."""
    closed: Annotated[list[Annotated[str, BeforeValidator(_date)]], AfterValidator(lambda days: sorted(set(days)))] = []
    """Further local dates on which it is closed all day."""

    @cached_property
    def _week_spans(self) -> list[list[Span]]:
        return [[_span(text) for text in self.hours.get(day, ())] for day in DAYS]

    @cached_property
    def _zone_info(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def _years(self) -> dict[int, _Year]:
        return {}

    def open_between(self, start: int, end: int) -> int:
        """Microseconds in [start, end) at which it is open; 0 if the end is not after the start."""
        start, end = max(start, EARLIEST), min(end, LATEST)
        if end <= start:
            return 0
        year = self._year_at(start)
        found = -_opened(year, start)
        while year.end <= end:
            found += year.total
            year = self._year_at(year.end)
        return found + _opened(year, end)

    def add(self, start: int, amount: int) -> int:
        """The earliest time from `start` on with `amount` open microseconds between; LATEST if there is none before.

        The start itself where the amount is not positive.
        """
        if amount <= 0:
            return start
        at = max(start, EARLIEST)
        if at >= LATEST:
            return at
        year = self._year_at(at)
        rest = amount + _opened(year, at)
        while year.total < rest:
            if year.end >= LATEST:
                return LATEST
            rest -= year.total
            year = self._year_at(year.end)
        i = bisect_left(year.open, rest)
        return min(year.closes[i] - (year.open[i] - rest), LATEST)

    def _year_at(self, at: int) -> _Year:
        number = date.fromordinal(at // DAY + _FIRST_DAY).year
        year = self._year(number)
        if at < year.begin:
            return self._year(number - 1)
        return year if at < year.end else self._year(number + 1)

    def _year(self, number: int) -> _Year:
        year = self._years.get(number)
        if year is None:
            year = self._make_year(number)
            self._years[number] = year
        return year

    def _make_year(self, number: int) -> _Year:
        zone, first, last = self._zone_info, date(number, 1, 1).toordinal(), date(number, 12, 31).toordinal()
        shut = {date.fromisoformat(day).toordinal() for day in self.closed}
        if self.holidays is not None:
            country, _, part = self.holidays.partition("-")
            days = country_holidays(country, subdiv=part or None, years=number, expand=False)
            shut.update(day.toordinal() for day in days)
        spans = [
            (_moment(zone, day, opens), _moment(zone, day, closes))
            for day in range(first, last + 1)
            if day not in shut
            for opens, closes in self._week_spans[(day - 1) % 7]
        ]
        spans = [span for span in spans if span[0] < span[1]]  # all of it may lie in an hour that was skipped
        return _Year(
            _moment(zone, first, 0),
            _moment(zone, last + 1, 0),
            [opens for opens, _ in spans],
            [closes for _, closes in spans],
            list(accumulate(closes - opens for opens, closes in spans)),
        )


def _opened(year: _Year, at: int) -> int:
    i = bisect_right(year.opens, at) - 1
    return 0 if i < 0 else year.open[i] - max(0, year.closes[i] - at)


def _moment(zone: ZoneInfo, day: int, minute: int) -> int:
    """The first moment at which the wall clock shows this minute of this day (an ordinal), or a later one."""
    wall = datetime.combine(date.fromordinal(day), time(), zone) + timedelta(minutes=minute)
    local = (day - _FIRST_DAY) * DAY + minute * MINUTE
    before, after = _offset(wall), _offset(wall.replace(fold=1))
    if before >= after:
        return local - before
    seconds = range(local - after, local - before + SECOND, SECOND)  # skipped: the change lies in between
    return seconds[bisect_left(seconds, local, key=lambda at: at + _offset(_local(zone, at)))]


def _offset(wall: datetime) -> int:
    offset = wall.utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


def _local(zone: ZoneInfo, at: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)
