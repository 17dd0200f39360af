"""PagerDuty, by its Events API v2: `trigger` and `resolve` under one `dedup_key`.

Fields and limits: https://developer.pagerduty.com/docs/send-alert-event. What is longer than it may be is cut, a
`dedup_key` hashed; nothing else can make an event too large.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.times import format_time
from sinks.alerts.incidents import Change, Incident
from sinks.alerts.request import JSON, Request

URL = "https://events.pagerduty.com/v2/enqueue"
LONGEST_KEY = 255
LONGEST_SUMMARY = 1024


@dataclass(frozen=True)
class PagerDuty:
    """One service. secret: its integration (routing) key."""

    secret: str = field(repr=False)
    url: str = URL

    def request(self, change: Change, now: int) -> Request:  # noqa: ARG002 - when it is told does not matter
        """How a change is told."""
        i = change.incident
        event: dict[str, Any] = {
            "routing_key": self.secret,
            "event_action": "resolve" if change.what == "resolved" else "trigger",
            "dedup_key": dedup_key(i.key),
        }
        if change.what != "resolved":
            event |= {"client": "Volveré", "payload": _payload(i)}
        return Request(self.url, {"Content-Type": JSON}, msgspec.json.encode(event))

    def again(self, open_still: Iterable[Incident], now: int) -> None:
        """Once is enough."""


def dedup_key(key: str) -> str:
    """The key as it is, or a hash where it is too long."""
    return key if len(key) <= LONGEST_KEY else blake2b(key.encode(), digest_size=32).hexdigest()


def _payload(i: Incident) -> dict[str, Any]:
    details = {"friction_id": i.friction_id, "channel": i.channel, "queue": i.queue, "topic": i.topic}
    details |= {"product": i.product, "release": i.release}
    return {
        "summary": i.summary[:LONGEST_SUMMARY],
        "source": i.queue or i.release or i.channel or "volvere",
        "severity": i.severity,
        "timestamp": format_time(i.opened_at),
        "component": "storm" if i.took else "friction",
        "group": i.groupkey,
        "class": i.kind,
        "custom_details": {name: value for name, value in details.items() if value},
    }
