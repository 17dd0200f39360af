"""Alertmanager, by its API v2: `POST /api/v2/alerts`, a list of alerts.

An alert is its labels: the same labels are the same alert. It fires until `endsAt`, and is told again before that, as
Prometheus does, for as long as it goes on: so an Alertmanager that has forgotten everything knows it again. `endsAt` lies
far enough ahead that this bridge may be started again, or replaced, meanwhile. One that gets worse has
another label `severity`: the old one ends as the new one begins, in one request.

Fields: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml (postableAlert).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.times import MINUTE, format_time
from sinks.alerts.incidents import Change, Incident
from sinks.alerts.request import JSON, Request

FIRES_FOR = 15 * MINUTE
"""How long an alert that nobody tells again goes on firing."""


@dataclass(frozen=True)
class Alertmanager:
    """One Alertmanager. secret: a bearer token, or ""."""

    url: str
    secret: str = field(default="", repr=False)

    def request(self, change: Change, now: int) -> Request:
        """How a change is told."""
        before = [alert(change.before, now, ended=now)] if change.before is not None else []
        return self._post([*before, alert(change.incident, now)])

    def again(self, open_still: Iterable[Incident], now: int) -> Request:
        """How what goes on is told once more."""
        return self._post([alert(i, now) for i in open_still])

    def _post(self, alerts: list[dict[str, Any]]) -> Request:
        headers = {"Content-Type": JSON} | ({"Authorization": f"Bearer {self.secret}"} if self.secret else {})
        return Request(f"{self.url.rstrip('/')}/api/v2/alerts", headers, msgspec.json.encode(alerts))


def alert(i: Incident, now: int, ended: int | None = None) -> dict[str, Any]:
    """An incident as an alert. ended: when these labels ceased to be its own."""
    ends = min(now, max(i.closed_at, i.opened_at)) if i.closed_at is not None else ended
    labels = {
        "alertname": "VolvereStorm" if i.took else "VolvereFriction",
        "kind": i.kind,
        "severity": i.severity,
        "dedupkey": i.key,
        "groupkey": i.groupkey,
        "channel": i.channel,
        "queue": i.queue,
        "topic": i.topic,
        "product": i.product,
        "release": i.release,
    }
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": i.summary, "friction_id": i.friction_id},
        "startsAt": format_time(min(i.opened_at, now)),
        "endsAt": format_time(now + FIRES_FOR if ends is None else ends),
    }
