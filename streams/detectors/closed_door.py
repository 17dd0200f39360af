"""`closed_door`: the customer came, and the channel was closed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from streams.friction import Clock, Friction, View, ending
from streams.rules import ClosedDoor


def closed_door(view: View, table: ClosedDoor, clock: Clock) -> Iterator[Friction]:
    """Opens when a contact is refused because its channel is closed, once a contact.

    Resolved when the customer is answered on any channel: somebody takes a contact, or writes (no machine). A call
    that the company makes is an answer, too.
    """
    if not any(e.reason == "channel_closed" for e in view.of("contact.refused")):
        return
    answers = [(e.at, "answered") for e in view.of("contact.answered")]
    answers += [(e.at, "replied") for e in view.of("message.sent") if not e.automatic]
    answers.sort()
    for contact in view.recent():
        refused = next(
            (e for e in contact.entries if e.kind == "contact.refused" and e.reason == "channel_closed"), None
        )
        if refused is None or refused.at < view.since:
            continue
        rule, at = table.at(contact), refused.at
        ends_at = at + rule.expires_after
        following = bisect_left(answers, (at, ""))
        resolved_at, reason = ending(at, ends_at, answers[following : following + 1], clock)
        yield Friction(
            rule_id="closed_door",
            rule=rule,
            contact=contact,
            entry=contact.start,
            opened_at=at,
            severity="warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(1, "refusals", None),
            threshold=(1, "refusals", None),
            summary=f"Refused: {refused.channel} was closed",
            evidence=[("refused", refused)],
            cause=refused,
        )
