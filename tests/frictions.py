"""Friction events for tests of alerting: the committed example, with some values changed, held to the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import schemas
from schemas.friction import SEVERITY_NUMBER, FrictionEvent
from schemas.times import format_time, parse_time

EXAMPLE = Path(schemas.__file__).parent / "examples/valid/frictions/dropped-call.json"
START = parse_time("2026-03-02T09:00:00Z")


def friction(
    name: str = "f1",
    state: str = "open",
    group: int = 1,
    *,
    key: str = "k1",
    at: int = START,
    severity: str = "warning",
    mode: str = "live",
    what: str | None = None,
    **data: Any,
) -> bytes:
    """One event. name: of the friction; group: `group_open`; key: what makes the dedupkey; at: when it happened and was detected."""
    event = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    kind, queue = data.get("kind", event["data"]["kind"]), data.get("queue", event["data"]["queue"])
    event["data"] |= {
        "friction_id": str(uuid5(NAMESPACE_OID, name)),
        "state": state,
        "severity": severity,
        "group_open": group,
        "resolved_at": format_time(at) if state == "resolved" else None,
        **data,
    }
    event["data"]["rule"]["mode"] = mode
    event |= {
        "id": str(uuid5(NAMESPACE_OID, f"{name}/{state}/{group}/{at}/{severity}")),
        "type": f"volvere.friction.{what or ('opened' if state == 'open' else state)}",
        "time": format_time(at),
        "recordedtime": format_time(at),
        "severitytext": severity,
        "severitynumber": SEVERITY_NUMBER[severity],
        "dedupkey": f"{kind}:{key}",
        "groupkey": f"{kind}:{queue}",
    }
    FrictionEvent.model_validate(event)
    return json.dumps(event).encode()
