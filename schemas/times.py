"""Times are int64 microseconds since 1970 in UTC everywhere inside; RFC 3339 on the wire.

Digits beyond the sixth are cut, not rounded, and before anything else looks at the time:
identity and digest are made of what is left.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EARLIEST = 631_152_000 * SECOND  # 1990-01-01: older times are bugs of clocks, not history
LATEST = 7_258_118_400 * SECOND  # 2200-01-01: ClickHouse's DateTime64(6) ends at 2299
FUTURE_TOLERANCE = 5 * MINUTE
"""How far `occurred_at` may lie after the time of arrival (clocks differ a little)."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6})\d*)?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_EXPECTED = "expected an RFC 3339 time with zone, such as 2026-03-01T09:30:00Z"
_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=4096)
def _day(text: str) -> int:
    return (date.fromisoformat(text).toordinal() - _EPOCH) * DAY


def parse_time(text: object) -> int:
    """RFC 3339 text with a zone to microseconds. Raises ValueError that says what was expected."""
    if isinstance(text, str) and text.endswith("Z"):  # as most are written; the digits behind the minute are the number
        digits = text[17:19] + text[20:-1]
        plain = digits.isdigit() and digits.isascii() and digits < "6"
        if plain and (len(text) == 20 or (text[19] == "." and len(text) > 21)):
            minute = _minute(text[:17])
            if minute is not None:
                return minute + int(digits[:8].ljust(8, "0"))
    return _parse(text)


@lru_cache(maxsize=4096)
def _minute(text: str) -> int | None:
    """Where a minute begins, from the text before its seconds; None where that is no minute. What is told together was told in the same ones."""
    try:
        return _parse(f"{text}00Z")
    except ValueError:
        return None


def _parse(text: object) -> int:
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(_EXPECTED)
    day, hour, minute, second, fraction, zulu, sign, zone_hour, zone_minute = match.groups()
    h, m, s = int(hour), int(minute), int(second)
    if h > 23 or m > 59 or s > 59:
        raise ValueError(_EXPECTED)
    try:
        micros = _day(day) + (h * 3600 + m * 60 + s) * SECOND
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if fraction:
        micros += int(fraction.ljust(6, "0"))
    if not zulu:
        zh, zm = int(zone_hour), int(zone_minute)
        if zh > 23 or zm > 59:
            raise ValueError(_EXPECTED)
        offset = (zh * 60 + zm) * MINUTE
        micros += offset if sign == "-" else -offset
    if not EARLIEST <= micros < LATEST:
        raise ValueError("expected a time between 1990 and 2200")
    return micros


@lru_cache(maxsize=8192)  # evidence is told again and again
def format_time(micros: int) -> str:
    """Microseconds to RFC 3339 in UTC; always six digits, so that text sorts as time does."""
    days, rest = divmod(micros, DAY)
    minutes, rest = divmod(rest, MINUTE)
    seconds, fraction = divmod(rest, SECOND)
    return f"{_date(days)}{_MINUTES[minutes]}{_SECONDS[seconds]}{fraction:06d}Z"


_MINUTES = [f"T{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60)]
_SECONDS = [f"{second:02d}." for second in range(60)]


@lru_cache(maxsize=4096)
def _date(days: int) -> str:
    return date.fromordinal(days + _EPOCH).isoformat()


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)", re.ASCII)
_UNITS = {"ms": 1000, "s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY}


def parse_duration(text: object) -> int:
    """A duration such as "90s", "5 min", "2h", "7d" to microseconds; ValueError otherwise."""
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    unit = _UNITS.get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError('expected a duration such as "500ms", "90s", "5m", "2h" or "7d"')
    return round(float(match[1]) * unit)


def about(micros: int) -> str:
    """A length of time as a person would say it: "44 s", "6.3 min", "4.4 h", "12 d"."""
    for unit, size in (("d", 2 * DAY), ("h", 2 * HOUR), ("min", 2 * MINUTE), ("s", 0)):
        if micros >= size:
            one = _UNITS[unit]
            return f"{micros / one:.{0 if micros >= 10 * one else 1}f} {unit}".replace(".0 ", " ")
    return "0 s"


def format_duration(micros: int) -> str:
    """Microseconds as the shortest whole text that `parse_duration` reads back."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)):
        if micros % size == 0 and (micros or unit == "s"):
            return f"{micros // size}{unit}"
    return f"{micros // 1000}ms" if micros % 1000 == 0 else f"{micros / 1000}ms"
