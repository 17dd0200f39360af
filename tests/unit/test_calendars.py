"""Business hours: counted by hand where the clocks change, and by the clock on the wall elsewhere."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.times import DAY, EARLIEST, HOUR, LATEST, MINUTE, SECOND, format_time, parse_time
from streams.calendars import DAYS, Calendar


def table(**fields: Any) -> Calendar:
    """A calendar as a rules file would say it."""
    return Calendar.model_validate(fields)


OFFICE = table(zone="Europe/Madrid", hours={"mon-fri": ["09:00-14:00", "15:00-18:00"]}, holidays="ES-MD")
ALWAYS = table(zone="Europe/Madrid", hours={"mon-sun": "00:00-24:00"})
POOL = [
    OFFICE,
    ALWAYS,
    table(zone="America/New_York", hours={"mon-sun": "00:00-24:00"}, holidays="US"),
    table(zone="America/New_York", hours={"sun": "01:30-02:30", "sat": "22:00-24:00"}),
    table(zone="Asia/Jerusalem", hours={"sun-thu": ["08:00-17:00"], "fri": "08:00-12:00"}, holidays="IL"),
    table(zone="Asia/Kathmandu", hours={"mon-sat": "10:00-17:45"}, closed=["2026-05-04", "2026-01-01"]),
    table(zone="Pacific/Kiritimati", hours={"mon-sun": ["00:00-06:00", "18:00-24:00"]}),
    table(zone="Australia/Lord_Howe", hours={"sun": "00:00-24:00"}),
    table(zone="UTC", hours={"wed": "12:00-14:00"}),
]
calendars = st.sampled_from(POOL)
moments = st.integers(parse_time("2024-11-01T00:00:00Z"), parse_time("2028-03-01T00:00:00Z"))
amounts = st.integers(0, 400 * HOUR) | st.integers(0, 200).map(lambda n: n * 15 * MINUTE)


def one_day(zone: str, day: str, *hours: str, **rest: Any) -> int:
    """Open microseconds of one calendar day, counted from three days before to three days after it."""
    at = date.fromisoformat(day)
    calendar = table(zone=zone, hours={DAYS[at.weekday()]: list(hours)}, **rest)
    noon = parse_time(f"{day}T12:00:00Z")
    return calendar.open_between(noon - 3 * DAY, noon + 3 * DAY)


@pytest.mark.parametrize(
    ("zone", "day", "hours", "expected"),
    [
        ("Europe/Madrid", "2026-03-28", "00:00-24:00", 24 * 60),
        # 02:00 to 03:00 is skipped on this Sunday.
        ("Europe/Madrid", "2026-03-29", "00:00-24:00", 23 * 60),
        ("Europe/Madrid", "2026-03-29", "01:00-04:00", 2 * 60),
        ("Europe/Madrid", "2026-03-29", "00:00-02:30", 2 * 60),
        ("Europe/Madrid", "2026-03-29", "02:30-04:00", 60),
        ("Europe/Madrid", "2026-03-29", "02:30-03:15", 15),
        ("Europe/Madrid", "2026-03-29", "02:15-02:45", 0),
        ("Europe/Madrid", "2026-03-29", "09:00-18:00", 9 * 60),
        # 02:00 to 03:00 comes twice: its times mean the first of the two.
        ("Europe/Madrid", "2026-10-25", "00:00-24:00", 25 * 60),
        ("Europe/Madrid", "2026-10-25", "02:00-03:00", 2 * 60),
        ("Europe/Madrid", "2026-10-25", "01:00-02:30", 90),
        ("Europe/Madrid", "2026-10-25", "02:30-04:00", 150),
        ("Europe/Madrid", "2026-10-25", "03:00-04:00", 60),
        ("America/New_York", "2026-03-08", "00:00-24:00", 23 * 60),
        ("America/New_York", "2026-03-08", "01:30-03:30", 60),
        ("America/New_York", "2026-11-01", "00:00-24:00", 25 * 60),
        ("America/New_York", "2026-11-01", "01:00-02:00", 2 * 60),
        ("America/New_York", "2026-11-01", "00:00-01:30", 90),
        # Half an hour; at midnight; the Sunday's last hour again; a Friday that never was.
        ("Australia/Lord_Howe", "2026-04-05", "00:00-24:00", 24 * 60 + 30),
        ("America/Havana", "2026-03-08", "00:00-24:00", 23 * 60),
        ("America/Havana", "2026-11-01", "00:00-01:00", 2 * 60),
        ("Pacific/Apia", "2011-12-30", "00:00-24:00", 0),
    ],
)
def test_a_day_is_as_long_as_it_really_was(zone: str, day: str, hours: str, expected: int) -> None:
    """An hour that did not exist is not counted, one that came twice is counted twice."""
    assert one_day(zone, day, hours) == expected * MINUTE


def test_hours_that_meet_in_a_change_share_no_minute() -> None:
    """Two shifts that follow each other open exactly as long as one shift over both, also where clocks change."""
    for day in ("2026-03-29", "2026-10-25"):
        for quarter in range(1, 4 * 4):
            edge = f"{quarter // 4:02}:{quarter % 4 * 15:02}"
            both = one_day("Europe/Madrid", day, f"00:00-{edge}", f"{edge}-04:00")
            assert both == one_day("Europe/Madrid", day, "00:00-04:00"), (day, edge)


@pytest.mark.parametrize(
    ("start", "amount", "expected"),
    [
        ("2026-02-03T10:00:00+01:00", 2 * HOUR, "2026-02-03T12:00:00+01:00"),
        ("2026-02-03T13:00:00+01:00", 2 * HOUR, "2026-02-03T16:00:00+01:00"),  # lunch
        ("2026-02-03T13:00:00+01:00", 1 * HOUR, "2026-02-03T14:00:00+01:00"),  # the last minute is one of them
        ("2026-02-03T14:30:00+01:00", 1, "2026-02-03T15:00:00.000001+01:00"),
        ("2026-02-03T14:30:00+01:00", 0, "2026-02-03T14:30:00+01:00"),
        ("2026-02-03T14:30:00+01:00", -5, "2026-02-03T14:30:00+01:00"),
        ("2026-02-03T20:00:00+01:00", 4 * HOUR, "2026-02-04T13:00:00+01:00"),  # overnight
        ("2026-02-06T17:00:00+01:00", 4 * HOUR, "2026-02-09T12:00:00+01:00"),  # a weekend
        ("2026-03-27T17:00:00+01:00", 4 * HOUR, "2026-03-30T12:00:00+02:00"),  # a weekend with a change of clocks
        ("2026-04-30T17:00:00+02:00", 4 * HOUR, "2026-05-04T12:00:00+02:00"),  # the first of May and Madrid's second
        ("2025-12-31T17:00:00+01:00", 4 * HOUR, "2026-01-02T12:00:00+01:00"),  # New Year, across two years' lists
        ("2026-02-03T09:00:00+01:00", 40 * HOUR, "2026-02-09T18:00:00+01:00"),  # a working week
    ],
)
def test_time_is_added_in_open_hours(start: str, amount: int, expected: str) -> None:
    """A reply that is due in four hours is due on Monday when the message came on Friday evening."""
    found = OFFICE.add(parse_time(start), amount)
    assert format_time(found) == format_time(parse_time(expected))
    assert OFFICE.open_between(parse_time(start), found) == max(0, amount)


def test_holidays_and_closed_days() -> None:
    """A public holiday is closed where it is one: in Madrid and not in Barcelona, in the USA on the day it is observed."""
    assert one_day("Europe/Madrid", "2026-12-25", "09:00-18:00", holidays="ES") == 0
    assert one_day("Europe/Madrid", "2025-05-02", "09:00-18:00", holidays="ES-MD") == 0
    assert one_day("Europe/Madrid", "2025-05-02", "09:00-18:00", holidays="ES-CT") == 9 * HOUR
    assert one_day("Europe/Madrid", "2026-12-25", "09:00-18:00") == 9 * HOUR
    assert one_day("America/New_York", "2021-12-31", "09:00-17:00", holidays="US") == 0
    assert one_day("Europe/Madrid", "2026-12-24", "09:00-18:00", closed=["2026-12-24"]) == 0
    assert one_day("Europe/Madrid", "2026-12-23", "09:00-18:00", closed=["2026-12-24"]) == 9 * HOUR


@given(calendars, st.lists(moments, min_size=3, max_size=3))
def test_open_time_adds_up(calendar: Calendar, times: list[int]) -> None:
    """A wait cut in two is as long as the whole; no stretch is negative or longer than the clock's."""
    a, b, c = sorted(times)
    assert calendar.open_between(a, b) + calendar.open_between(b, c) == calendar.open_between(a, c)
    assert 0 <= calendar.open_between(a, c) <= c - a
    assert calendar.open_between(c, a) == 0


@given(calendars, moments, amounts, amounts)
def test_adding_and_counting_are_each_others_inverse(calendar: Calendar, start: int, amount: int, more: int) -> None:
    """A deadline lies exactly so much open time ahead and no microsecond later than needed, and never runs backwards."""
    due = calendar.add(start, amount)
    assert due >= start
    assert calendar.open_between(start, due) == amount
    assert due == start or calendar.open_between(start, due - 1) == amount - 1
    assert calendar.add(due, more) == calendar.add(start, amount + more) or more == 0
    assert due <= calendar.add(start, amount + more)
    assert due <= calendar.add(start + 1, amount)


@given(st.sampled_from(["Europe/Madrid", "America/New_York", "Pacific/Apia", "Africa/Casablanca"]), moments, amounts)
@example("Europe/Madrid", parse_time("2026-03-29T00:30:00Z"), HOUR)
@example("Europe/Madrid", parse_time("2026-10-25T00:30:00Z"), HOUR)
@example("Pacific/Apia", parse_time("2011-12-30T09:00:00Z"), 3 * HOUR)
def test_always_open_is_plain_arithmetic(zone: str, start: int, amount: int) -> None:
    """Whoever never closes is measured by the clock, whatever the clocks on the wall do."""
    calendar = table(zone=zone, hours={"mon-sun": "00:00-24:00"})
    assert calendar.add(start, amount) == start + amount
    assert calendar.open_between(start, start + amount) == amount


quarters = st.lists(st.integers(4 * 4, 24 * 4), min_size=2, max_size=6, unique=True).map(sorted)


@given(
    st.sampled_from(["Europe/Madrid", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.dictionaries(st.sampled_from(DAYS), quarters, min_size=1),
    st.integers(0, 700),
    st.integers(0, 9 * 96),
)
def test_it_agrees_with_the_clock_on_the_wall(zone: str, week: dict[str, list[int]], first: int, length: int) -> None:
    """Counted the plainest way, quarter by quarter of an hour, by what a clock in the office shows."""
    spans = {day: list(zip(edges[::2], edges[1::2], strict=False)) for day, edges in week.items()}
    hours = {day: [f"{_time(a)}-{_time(b)}" for a, b in found] for day, found in spans.items()}
    calendar = table(zone=zone, hours=hours)
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=first)
    expected = 0
    for i in range(length):
        wall = (begin + timedelta(minutes=15 * i)).astimezone(ZoneInfo(zone))
        quarter = wall.hour * 4 + wall.minute // 15
        expected += any(a <= quarter < b for a, b in spans.get(DAYS[wall.weekday()], ()))
    start = int(begin.timestamp()) * SECOND
    assert calendar.open_between(start, start + length * 15 * MINUTE) == expected * 15 * MINUTE


def _time(quarter: int) -> str:
    return f"{quarter // 4:02}:{quarter % 4 * 15:02}"


def test_the_ends_of_time() -> None:
    """What no open hour is left for ends in the year 2200 instead of never; nothing fails far away."""
    rare = table(zone="UTC", hours={"mon": "00:00-00:01"})
    assert rare.add(LATEST - 40 * DAY, 1000 * HOUR) == LATEST
    assert rare.add(LATEST + 5, HOUR) == LATEST + 5
    assert ALWAYS.open_between(EARLIEST - DAY, EARLIEST + DAY) == DAY
    assert ALWAYS.open_between(LATEST - DAY, LATEST + DAY) == DAY
    assert ALWAYS.add(0, HOUR) == EARLIEST + HOUR
    assert POOL[6].open_between(EARLIEST, EARLIEST + DAY) == POOL[6].open_between(LATEST - DAY, LATEST) == 12 * HOUR


def test_equal_calendars_are_equal_text() -> None:
    """A rule's digest changes with what the calendar says, not with how it is written or whether it was used."""
    short = tomllib.loads('zone = "UTC"\nhours = {mon-tue = ["14:00-18:00", "09:00-13:00"]}\nclosed = [2026-12-24]')
    long = tomllib.loads(
        'zone = "UTC"\nclosed = ["2026-12-24", "2026-12-24"]\n'
        'hours = {tue = ["09:00-13:00", "14:00-18:00"], mon = ["09:00-13:00", "14:00-18:00"], sun = []}'
    )
    one, other = table(**short), table(**long)
    one.add(EARLIEST, HOUR)
    assert one == other
    assert one.model_dump_json() == other.model_dump_json() == table(**short).model_dump_json()
    assert Calendar.model_validate_json(one.model_dump_json()) == one
    assert OFFICE.model_dump_json() != OFFICE.model_copy(update={"holidays": "ES"}).model_dump_json()


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('hours = {mon = "09:00-18:00"}', "zone", ["required"]),
        ('zone = "UTC"', "hours", ["required"]),
        ('zone = "Madrid"\nhours = {mon = "09:00-18:00"}', "zone", ["expected", "Europe/Madrid"]),
        ('zone = "../UTC"\nhours = {mon = "09:00-18:00"}', "zone", ["expected", "Europe/Madrid"]),
        ('zone = "localtime"\nhours = {mon = "09:00-18:00"}', "zone", ["expected", "Europe/Madrid"]),
        ('zone = "UTC"\nhours = {}', "hours", ["expected", "at least one day"]),
        ('zone = "UTC"\nhours = {mon = []}', "hours", ["expected", "at least one day"]),
        ('zone = "UTC"\nhours = {Monday = "09:00-18:00"}', "hours.Monday", ["expected", '"mon"', '"mon-fri"']),
        ('zone = "UTC"\nhours = {mon-fri-sat = "09:00-18:00"}', "hours.mon-fri-sat", ["expected", '"mon-fri"']),
        ('zone = "UTC"\nhours = {mon-fri = "09:00-18:00", wed = "10:00-11:00"}', "hours", ["expected", "wed again"]),
        ('zone = "UTC"\nhours = {mon = "9-18"}', "hours.mon", ["expected", '"09:00-18:00"']),
        ('zone = "UTC"\nhours = {mon = "09:00-24:30"}', "hours.mon", ["expected", '"09:00-18:00"']),
        ('zone = "UTC"\nhours = {mon = ["09:00-12:00", 13]}', "hours.mon", ["expected", '"09:00-18:00"']),
        ('zone = "UTC"\nhours = {mon = 9}', "hours.mon", ["expected", '"09:00-18:00"']),
        ('zone = "UTC"\nhours = {mon = "22:00-06:00"}', "hours.mon", ["expected", '"22:00-06:00"', "two days"]),
        ('zone = "UTC"\nhours = {mon = "09:00-09:00"}', "hours.mon", ["expected", "after they begin"]),
        ('zone = "UTC"\nhours = {mon = ["09:00-14:00", "13:59-18:00"]}', "hours.mon", ["not overlap", "13:59-18:00"]),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nholidays = "Spain"', "holidays", ["expected", '"ES-MD"']),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nholidays = "ES-XX"', "holidays", ["expected", " MD, "]),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nholidays = "LU-LU"', "holidays", ["expected", '"LU" alone']),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nclosed = ["24.12."]', "closed.0", ["expected", '"2026-12-24"']),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nclosed = ["2026-02-30"]', "closed.0", ["expected a date"]),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nclosed = [2026-12-24T00:00:00]', "closed.0", ["expected a date"]),
        ('zone = "UTC"\nhours = {mon = "09:00-18:00"}\nopen = true', "open", ["not permitted"]),
    ],
)  # fmt: skip
def test_a_wrong_table_says_where_and_what_was_expected(text: str, where: str, words: list[str]) -> None:
    """Whoever writes hours is told the key and what would have been right, not a pattern."""
    with pytest.raises(ValidationError) as caught:
        table(**tomllib.loads(text))
    (error,) = caught.value.errors()
    assert ".".join(str(part) for part in error["loc"] if part != "[key]") == where
    for word in words:
        assert word in error["msg"]
