"""Times and durations, in and out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import times
from schemas.times import (
    DAY,
    EARLIEST,
    HOUR,
    LATEST,
    MINUTE,
    SECOND,
    about,
    format_duration,
    format_time,
    parse_duration,
    parse_time,
)


@given(st.integers(EARLIEST, LATEST - 1))
def test_times_go_out_as_they_came(micros: int) -> None:
    """No microsecond is lost between a record and a view; the standard library reads the same time."""
    text = format_time(micros)
    assert parse_time(text) == micros
    read = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    assert (read.days * 86_400 + read.seconds) * SECOND + read.microseconds == micros


@given(st.integers(EARLIEST - HOUR, LATEST + HOUR), st.integers(0, 26), st.characters(), st.integers(0, 8))
@example(EARLIEST, 18, "\N{ARABIC-INDIC DIGIT ONE}", 1)
@example(EARLIEST, 17, "6", 1)
@example(EARLIEST, 25, "_", 1)
@example(EARLIEST, 16, ".", 1)
@example(EARLIEST, 26, "z", 1)
@example(EARLIEST, 19, "Z", 8)
@example(EARLIEST, 22, "Z", 5)
@example(EARLIEST, 20, "Z", 7)
@example(EARLIEST, 25, "1234567", 1)
def test_the_short_way_says_what_the_long_way_says(when: int, at: int, other: str, gone: int) -> None:
    """Times are mostly read by their minute and the digits behind it: no time is one there that is none by the rule."""
    text = format_time(when)
    assert _verdict(parse_time, text) == _verdict(times._parse, text)
    text = text[:at] + other + text[at + gone :]
    assert _verdict(parse_time, text) == _verdict(times._parse, text)


def _verdict(parse: Callable[[object], int], text: str) -> int | str:
    try:
        return parse(text)
    except ValueError as e:
        return str(e)


@given(st.integers(1, 400 * DAY // 1000).map(lambda n: n * 1000))
def test_durations_go_out_as_they_came(micros: int) -> None:
    """A window in an event reads back as the window of the rule."""
    assert parse_duration(format_duration(micros)) == micros


@pytest.mark.parametrize("wrong", ["", "7", "d", "-1d", "7 days", "1w", 7, None, "1d2h"])
def test_wrong_durations_say_what_was_expected(wrong: object) -> None:
    """Whoever writes a rules file is told how a duration looks."""
    with pytest.raises(ValueError, match='"90s"'):
        parse_duration(wrong)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0 s"),
        (500_000, "0.5 s"),
        (44 * SECOND, "44 s"),
        (119 * SECOND, "119 s"),
        (377_304_000, "6.3 min"),
        (2 * HOUR, "2 h"),
        (15_834_900_000, "4.4 h"),
        (30 * DAY, "30 d"),
        (90 * MINUTE, "90 min"),
    ],
)
def test_lengths_as_people_say_them(micros: int, text: str) -> None:
    """A summary is read aloud in a meeting."""
    assert about(micros) == text
