"""`agent_disconnect`: the company's side hung up on the customer. Suspected, never proved."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.end_reasons import who_ended
from schemas.times import format_duration
from streams.friction import Clock, Friction, View, ending
from streams.rules import AgentDisconnect


def agent_disconnect(view: View, table: AgentDisconnect, clock: Clock) -> Iterator[Friction]:
    """Opens at the end of a short talk; after a longer one at the return on the topic (its own rule).

    Resolved by a later contact on the topic that is resolved.
    """
    for call in view.recent(view.reach):
        ended, answered = call.ended, call.answered
        if ended is None or answered is None or call.start.channel != "voice":
            continue
        if (
            who_ended(call.ended_by, call.reason_code) != "agent"
            or call.transfers
            or call.resolution is not None
            or ended.at < answered.at
        ):
            continue
        talk = ended.at - answered.at
        rule = table.at(call)
        short = talk < rule.short_call
        used = rule if short else rule.after_longer_talk
        if used.mode == "off":
            continue
        later = [c for c in view.later(call) if c.topic == call.topic and c.settled]
        back = next((c for c in later if c.attempt and ended.at <= c.started_at <= ended.at + used.return_within), None)
        if not short and back is None:
            continue
        at = ended.at if short or back is None else back.started_at
        ends_at = at + used.expires_after
        ways = [(c.resolution.at, "resolved") for c in later if c.resolution]
        resolved_at, reason = ending(at, ends_at, ways, clock)
        returned = f"; the customer returned within {format_duration(used.return_within)}" if back else ""
        yield Friction(
            rule_id="agent_disconnect" if short else "agent_disconnect.after_longer_talk",
            rule=used,
            contact=call,
            entry=call.start,
            opened_at=at,
            severity="error" if back else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(talk / 1e6, "seconds", None),
            threshold=(rule.short_call / 1e6, "seconds", None),
            summary=f"The company's side ended the call after {talk / 1e6:.3g} s of talk{returned}",
            evidence=[("answered", answered), ("ended", ended)] + ([("returned", back.start)] if back else []),
            cause=back.start if back else ended,
            crossed=1 if back else 0,
        )
