"""`dropped_call`: the line went dead in the middle of a call."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.end_reasons import end_reason, who_ended
from schemas.times import format_duration
from streams.contacts import Contact
from streams.friction import Clock, Friction, View, ending
from streams.rules import DroppedCall


def dropped(contact: Contact) -> bool:
    """Whether an answered call was ended by the network or the system."""
    if contact.answered is None or contact.ended is None or contact.start.channel != "voice":
        return False
    cut = who_ended(contact.ended_by, contact.reason_code) in ("network", "system")
    return cut and contact.answered.at <= contact.ended.at


def dropped_call(view: View, table: DroppedCall, clock: Clock) -> Iterator[Friction]:
    """Opens when the call ends; an error when the customer calls again within `call_back`.

    Resolved by a later contact that was answered and not dropped, at its end, or by
    `contact.resolved`.
    """
    for call in view.recent():
        if not dropped(call):
            continue
        assert call.ended is not None and call.answered is not None
        rule = table.at(call)
        at = call.ended.at
        later = view.later(call)
        back = [
            c
            for c in later
            if c.attempt and c.start.channel == "voice" and at <= c.started_at <= at + rule.call_back
        ]  # fmt: skip
        ways = [(c.ended.at, "answered") for c in later if c.answered and c.ended and not dropped(c)]
        ways += [(c.resolved.at, "resolved") for c in view.contacts if c.resolved]
        ends_at = at + rule.expires_after
        resolved_at, reason = ending(at, ends_at, ways, clock)
        evidence = [("started", call.start), ("answered", call.answered), ("ended", call.ended)]
        again = f", and the customer called again within {format_duration(rule.call_back)}" if back else ""
        by, why = who_ended(call.ended_by, call.reason_code), end_reason(call.reason_code)
        yield Friction(
            rule_id="dropped_call",
            rule=rule,
            contact=call,
            entry=call.start,
            opened_at=at,
            severity="error" if back else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(max(0, at - call.answered.at) / 1e6, "seconds", None),
            threshold=(0, "seconds", None),
            summary=f"A call was cut off by the {by}{f' ({why.says})' if why and why.ended_by == by else ''}{again}",
            evidence=evidence + [("called_again", c.start) for c in back[:1]],
            cause=back[0].start if back else call.ended,
            crossed=1 if back else 0,
        )
