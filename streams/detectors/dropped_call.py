"""`dropped_call`: the line went dead in the middle of a call."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.times import format_duration
from streams.contacts import Contact
from streams.friction import Clock, Friction, View, ending
from streams.rules import DroppedCall

NORMAL = frozenset({16, 17, 31})
"""Q.850 causes of a call that ended as calls do: cleared, busy, normal unspecified."""
SILENT = frozenset({0, 127})
"""Q.850 causes that prove nothing."""


def q850(code: str | None) -> int | None:
    """The Q.850 cause in a reason code ("38" or "Q.850:38"), if it is one."""
    digits = (code or "").upper().removeprefix("Q.850").lstrip(":;= ")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 127 else None


def dropped(contact: Contact) -> bool:
    """Whether an answered call was ended by the network or the system."""
    if contact.answered is None or contact.ended is None or contact.start.channel != "voice":
        return False
    cause = q850(contact.reason_code)
    if cause in NORMAL:
        return False
    if contact.ended_by is None:
        return cause is not None and cause not in SILENT
    return contact.ended_by in ("network", "system")


def dropped_call(view: View, rule: DroppedCall, clock: Clock) -> Iterator[Friction]:
    """Opens when the call ends; an error when the customer calls again within `call_back`.

    Resolved by a later contact that was answered and not dropped, at its end, or by
    `contact.resolved`.
    """
    for i, call in enumerate(view.contacts):
        if not dropped(call):
            continue
        assert call.ended is not None and call.answered is not None
        at = call.ended.at
        later = view.contacts[i + 1 :]
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
        cause = q850(call.reason_code)
        yield Friction(
            rule_id="dropped_call",
            contact=call,
            entry=call.start,
            opened_at=at,
            severity="error" if back else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(max(0, at - call.answered.at) / 1e6, "seconds", None),
            threshold=(0, "seconds", None),
            summary=f"A call was cut off by the {call.ended_by or f'network (Q.850 cause {cause})'}{again}",
            evidence=evidence + [("called_again", c.start) for c in back[:1]],
            cause=back[0].start if back else call.ended,
            crossed=1 if back else 0,
        )
