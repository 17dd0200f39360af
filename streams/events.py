"""The words in which results leave: friction events and journey snapshots as JSON.

The pydantic models in `schemas` are the contract; here the same JSON is written directly, since
this is the hot path, and tests hold every event that the tracker makes to the models.

Revisions count up from the second in which a friction opened or a journey started: so they keep rising
even where a source uses an id again after everything about its first use was forgotten.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.friction import MAX_EVIDENCE, SEVERITY_NUMBER, anchored_text, uuid5_text
from schemas.times import format_duration, format_time
from streams.facts import Context, Facts, Journey, Published

if TYPE_CHECKING:
    from streams.friction import Friction

_json = msgspec.json.Encoder().encode
SOURCE = "volvere/track"
SCHEMA = "urn:volvere:friction:1"


def cause_of(context: Context) -> str:
    """The stable cause within a subject and kind: never an event, a count or a time."""
    return context.asset_id or context.topic or ""


def friction_event(
    subject: str,
    what: str,
    p: Published,
    f: Friction | None,
    group_open: int,
    corrected: bool,
    recorded_at: int,
    generation: int,
) -> bytes:
    """One CloudEvent. `f` is None when the friction is not derived any more."""
    context = p.context
    friction_id = anchored_text(p.kind, subject, p.anchor)
    data: dict[str, Any] = {
        "friction_id": friction_id,
        "kind": p.kind,
        "state": p.state,
        "reason": p.reason,
        "severity": p.severity,
        "opened_at": format_time(p.opened_at),
        "resolved_at": None if p.resolved_at is None else format_time(p.resolved_at),
        "provisional": p.provisional,
        "final_at": format_time(p.final_at),
        "observed": None,
        "threshold": None,
        "rule": {"id": p.rule_id, "digest": p.rule_digest, "mode": p.mode},
        "generation": generation,
        "revision": p.revision,
        "journey_id": p.journey_id,
        **msgspec.structs.asdict(context),
        "evidence": [],
        "group_open": group_open,
        "corrected": corrected,
        "suppressed": p.reason == "rule_changed" or p.hushed > 0,
        "replay": p.replay,
    }
    if f is not None:
        data["observed"] = _measure(f.observed, f.also)
        data["threshold"] = _measure(f.threshold, {})
        data["evidence"] = [
            {"source": e.source, "event_id": e.event_id, "occurred_at": format_time(e.at), "role": role}
            for role, e in f.evidence[-MAX_EVIDENCE:]
        ]
        data["summary"] = f.summary
    elif p.state == "retracted":
        data["summary"] = "Late touchpoints show that this did not happen"
    elif p.reason == "rule_changed":
        data["summary"] = "Ended: the rules that found it have changed"
    else:
        data["summary"] = "Ended: there is more about this subject than is kept"
    body = _json(data)
    happened = p.resolved_at if p.state == "resolved" and p.resolved_at is not None else p.opened_at
    where = context.queue or context.release or context.channel or ""
    content = blake2b(body, digest_size=16).hexdigest()
    return _json(
        {
            "specversion": "1.0",
            "id": uuid5_text(bytes.fromhex(friction_id.replace("-", "")), f"{p.revision}/{content}"),
            "source": SOURCE,
            "type": f"volvere.friction.{what}",
            "subject": subject,
            "time": format_time(happened),
            "recordedtime": format_time(recorded_at),
            "datacontenttype": "application/json",
            "dataschema": SCHEMA,
            "severitytext": p.severity,
            "severitynumber": SEVERITY_NUMBER[p.severity],
            "dedupkey": f"{p.kind}:{_short(subject, cause_of(context))}",
            "groupkey": f"{p.kind}:{where}",
            "correlationid": p.journey_id,
            "data": msgspec.Raw(body),
        }
    )


def journey_snapshot(
    facts: Facts,
    j: Journey,
    generation: int,
    revision: int,
    came_back: bool,
    state: str = "active",
    merged_into: str | None = None,
) -> bytes:
    """One JourneySnapshot as JSON."""
    return _json(
        {
            "journey_id": j.id,
            "subject": facts.subject,
            "customer_id": facts.customer_id,
            "state": state,
            "merged_into": merged_into,
            "started_at": format_time(j.start),
            "ended_at": format_time(j.end),
            "touchpoints": j.touchpoints,
            "contacts": j.contacts,
            "first_channel": j.first_channel,
            "last_channel": j.last_channel,
            "path": j.path,
            "outcome": j.outcome,
            "amounts": j.amounts,
            "came_back": came_back,
            "frictions": j.frictions,
            "score": friction_score(j.weight),
            "generation": generation,
            "revision": revision,
            "replay": j.replay,
        }
    )


def friction_score(weight: float) -> float:
    """The friction score of a journey, 0 to 100, from the sum of its frictions' weights; two decimals.

    100 x (1 - exp(-weight / 10)): ours; not the CES that customers answer.
    """
    return round(100 * (1 - exp(-weight / 10)), 2)


def _measure(m: tuple[float, str, int | None], also: dict[str, float]) -> dict[str, Any]:
    value, unit, window = m
    return {"value": value, "unit": unit, "window": window and format_duration(window), "also": also}


def _short(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
