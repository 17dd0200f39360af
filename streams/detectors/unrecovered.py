"""`unrecovered`: the customer complained, and nobody came back to them."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.times import about, format_duration
from streams.detectors.feedback import follow_ups
from streams.friction import Clock, Friction, View, ending
from streams.rules import Unrecovered


def unrecovered(view: View, table: Unrecovered, clock: Clock) -> Iterator[Friction]:
    """Opens when a low score or a complaint was not followed up within `within` (exactly then is in time).

    Over when it is. What is low goes by limits of its own, whatever `low_score` says; and a better score later
    recovers nobody.
    """
    for hurt, followed in follow_ups(view, table):
        rule = table.at(hurt)
        late = hurt.at + rule.within
        if (followed is not None and followed.at <= late) or not clock.passed(late):
            continue
        ends_at = late + rule.expires_after
        ways = [(followed.at, "followed_up")] if followed is not None else []
        resolved_at, reason = ending(late, ends_at, ways, clock)
        waited = (late if followed is None else followed.at) - hurt.at
        complaint = hurt.kind == "complaint.filed"
        what = "complaint" if complaint else "low score"
        after = (
            f"Nobody followed up a {what}" if followed is None else f"A {what} was followed up after {about(waited)}"
        )
        yield Friction(
            rule_id="unrecovered",
            rule=rule,
            contact=None,
            entry=hurt,
            opened_at=late,
            severity="error",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(waited / 1e6, "seconds", None),
            threshold=(rule.within / 1e6, "seconds", None),
            summary=f"{after}; expected within {format_duration(rule.within)}",
            evidence=[("filed" if complaint else "answered", hurt)]
            + ([("followed_up", followed)] if followed is not None else []),
            cause=hurt,
        )
