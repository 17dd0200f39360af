"""The "Anonymous Bank" call-centre file (Technion; Guedj, Mandelbaum 2000): one row, one call.

    contact.started                    at vru_entry, always
    contact.queued                     at q_start, if the call queued
    contact.answered | .abandoned      AGENT | HANG; PHANTOM is a system's call and left out
    contact.ended                      who hung up is not known

Times are wall-clock readings in Israel without a date of their own; `0:00:00` means "it did not
happen" where the other columns of the same step say so too, else midnight. Each reading is taken
as the moment nearest to the call's start: that puts what follows midnight on the next day, and an
hour that the clock shows twice where it belongs. A reading in an hour that the clock skipped
counts on from before the skip. What is reported in seconds (waiting, serving) is trusted over
differences of readings.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from schemas.errors import Unacceptable
from schemas.times import EARLIEST, LATEST, SECOND, format_time
from schemas.touchpoint import MAX_ID

COLUMNS = (
    "vru_line", "call_id", "customer_id", "priority", "type", "date", "vru_entry", "vru_exit", "vru_time",
    "q_start", "q_exit", "q_time", "outcome", "ser_start", "ser_exit", "ser_time", "server",
)  # fmt: skip
LEFT_OUT = "PHANTOM: a call of the system, by no customer"
SOURCE = "anonymous-bank"

_ZONE = ZoneInfo("Asia/Jerusalem")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = time()
_MAX_SECONDS = 10**9
_HALF_DAY = timedelta(hours=12)


def touchpoints(row: dict[str, Any]) -> list[dict[str, Any]]:
    """One row, as csv.DictReader gives it, to the touchpoints of one call; [] for PHANTOM.

    Raises Unacceptable, which names the column and what was expected.
    """
    outcome = _text(row, "outcome")
    if outcome == "PHANTOM":
        return []
    if outcome not in ("AGENT", "HANG"):
        raise _wrong("outcome", "AGENT, HANG or PHANTOM", outcome)
    answered = outcome == "AGENT"

    day = _date(row)
    start = _moment(day, _time(row, "vru_entry"))
    if not EARLIEST <= start < LATEST:
        raise _wrong("date", "a date between 1990 and 2200", row["date"])
    vru_exit = _near(day, row, "vru_exit")
    queued = left = None
    if _time(row, "q_start") != _NEVER or _time(row, "q_exit") != _NEVER:
        queued = _near(day, row, "q_start")
        left = max(queued, _near(day, row, "q_exit"))
    served = _time(row, "ser_start") != _NEVER or _time(row, "ser_exit") != _NEVER
    waited, handled = _whole(row, "q_time"), _whole(row, "ser_time")

    # Clocks of the line and of the queue differ by minutes in a few rows; no call is left before it began.
    over = max(start, vru_exit if left is None else left)
    if answered and served:
        over = max(start, _near(day, row, "ser_start"))
        end = max(over, _near(day, row, "ser_exit"))
    else:
        end = over

    call = f"{_name(row, 'vru_line')}/{_name(row, 'call_id')}/{day.isoformat()}"
    shared: dict[str, Any] = {
        "source": SOURCE,
        "customer_id": _text(row, "customer_id") or None,
        "channel": "voice",
        "contact_id": f"{SOURCE}/{call}",
        "topic": _text(row, "type") or None,
        "attributes": {"priority": _whole(row, "priority")},
    }
    server = _text(row, "server")
    agent = {"agent_id": server} if answered and server not in ("", "NO_SERVER") else {}

    def say(step: str, at: int, **more: object) -> dict[str, Any]:
        return {
            "event_id": f"{call}/{step}",
            "kind": f"contact.{step}",
            "occurred_at": format_time(at),
            **shared,
            **more,
        }

    said = [say("started", start)]
    if queued is not None:
        said.append(say("queued", queued))
    if answered:
        said.append(say("answered", over, wait_ms=waited * 1000, **agent))
        said.append(say("ended", end, handle_ms=handled * 1000, **agent))
    else:
        said.append(say("abandoned", over, wait_ms=waited * 1000))
        said.append(say("ended", end))
    return said


def _near(day: date, row: dict[str, Any], field: str) -> int:
    """The moment of a reading, microseconds: of all that the clock could mean the nearest to the start's."""
    first, reading = _time(row, "vru_entry"), _time(row, field)
    begin = _moment(day, first)
    ahead = datetime.combine(day, reading) - datetime.combine(day, first)
    if ahead < -_HALF_DAY:
        day += timedelta(days=1)
    elif ahead > _HALF_DAY:
        day -= timedelta(days=1)
    early, late = _moment(day, reading), _moment(day, reading.replace(fold=1))
    if early == late:
        return early
    return min(early, late, key=lambda at: (abs(at - begin), at))


def _moment(day: date, reading: time) -> int:
    """A wall-clock reading in Israel to microseconds UTC."""
    local = datetime.combine(day, reading, _ZONE)
    return (local - _EPOCH) // timedelta(seconds=1) * SECOND


def _text(row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise Unacceptable("missing_field", f"the row ends before this column; expected {len(COLUMNS)} columns", field)
    value = value.strip()
    if len(value) > MAX_ID:
        raise Unacceptable("invalid_field", f"expected at most {MAX_ID} characters; got {len(value)}", field)
    return value


def _name(row: dict[str, Any], field: str) -> str:
    """A part of the call's name; short, so that the whole stays within the limit of an identifier."""
    value = _text(row, field)
    if not 1 <= len(value) <= 40:
        raise _wrong(field, "1 to 40 characters", value)
    return value


def _whole(row: dict[str, Any], field: str) -> int:
    value = _text(row, field)
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= _MAX_SECONDS):
        raise _wrong(field, "a whole number, 0 or more", value)
    return int(value)


def _date(row: dict[str, Any]) -> date:
    value = _text(row, "date")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = date.min
    if len(value) != 10 or not 1 < day.year < 9999:
        raise _wrong("date", "a date such as 1999-06-06", value)
    return day


def _time(row: dict[str, Any], field: str) -> time:
    value = _text(row, field)
    reading = _clock(value)
    if reading is None:
        raise _wrong(field, "a time of day such as 9:05:00", value)
    return reading


@lru_cache(maxsize=16_384)
def _clock(value: str) -> time | None:
    parts = value.split(":")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) <= 2 for p in parts):
        return None
    hour, minute, second = map(int, parts)
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def _wrong(field: str, expected: str, value: str) -> Unacceptable:
    shown = value if len(value) <= 80 else value[:77] + "..."
    return Unacceptable("invalid_field", f'expected {expected}; got "{shown}"', field)
