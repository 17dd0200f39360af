"""What a receiver is sent, and what its answer means: one table for all three.

| answer | means |
|---|---|
| 2xx | taken |
| 400, 413, 422 | refused for good: this one request is wrong, and will be tomorrow |
| anything else, or none | not now: busy, away, or wrongly set up; the request is as good as before |

A login that is refused, or an address where nobody lives (401, 403, 404), says nothing about the request: whoever mends the
set-up wants to hear what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, Protocol

from schemas.times import SECOND
from sinks.alerts.incidents import Change, Incident

REFUSED = frozenset({400, 413, 422})
LONGEST_WAIT_S = 3600.0
"""However long a receiver asks to be left alone."""
JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """One POST."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Receiver(Protocol):
    """Who is told. Each of the three is a module beside this one."""

    @property
    def secret(self) -> str: ...  # noqa: D102

    def request(self, change: Change, now: int) -> Request:
        """How a change is told. now: microseconds."""
        ...

    def again(self, open_still: Iterable[Incident], now: int) -> Request | None:
        """How what goes on is told once more; None where once is enough."""
        ...


def verdict(status: int) -> Literal["taken", "refused", "later"]:
    """What an HTTP status says about the request."""
    if 200 <= status < 300:
        return "taken"
    return "refused" if status in REFUSED else "later"


def retry_after(header: str | None, now: int) -> float | None:
    """Seconds that a receiver asks to wait, from its header: a number of seconds, or a date; None: it does not say."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdecimal():
        return min(float(header), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(at - now / SECOND, 0.0), LONGEST_WAIT_S)
