"""`long_wait`: nobody answered in time."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from schemas.times import about
from streams.friction import Clock, Friction, View, ending
from streams.rules import LongWait


def long_wait(view: View, table: LongWait, clock: Clock) -> Iterator[Friction]:
    """Opens when a contact has waited longer than its channel's limit; over when the wait is.

    The wait runs from `contact.queued` to the answer, the abandonment or the end, whichever is first. A contact that
    never queued has waited from its start, but only once it was answered: until then it may well be a machine's, and
    served by it. Where a calendar is named only open hours count, whatever the report says.
    """
    for contact in view.recent(view.reach):
        rule = table.at(contact)
        limit = rule.limits.get(contact.channel)
        begin = contact.queued or (contact.start if contact.answered else None)
        if limit is None or begin is None:
            continue
        ends = [e for e in (contact.answered, contact.abandoned, contact.ended) if e is not None]
        over = min(ends, key=attrgetter("identity"), default=None)
        reason = "answered" if over is contact.answered else "abandoned" if over is contact.abandoned else "ended"
        late = rule.after(begin.at, limit)
        if over is None:
            if not clock.passed(late):
                continue
            worse = rule.after(begin.at, round(limit * rule.error_factor))
            bad = worse <= late + rule.expires_after and clock.passed(worse)
            waited = round(limit * rule.error_factor) if bad else limit
            ways = []
        else:
            waited = rule.between(begin.at, over.at)
            if over.wait_ms is not None and reason != "ended" and rule.calendar is None:
                waited = over.wait_ms * 1000
            if waited <= limit:
                continue
            bad = waited >= limit * rule.error_factor
            late = min(late, over.at)  # the report may know of a longer wait than the clocks show
            ways = [(over.at, reason)]
        ends_at = late + rule.expires_after
        resolved_at, ended_because = ending(late, ends_at, ways, clock)
        yield Friction(
            rule_id="long_wait",
            rule=rule,
            contact=contact,
            entry=contact.start,
            opened_at=late,
            severity="error" if bad else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=ended_because,
            observed=(waited / 1e6, "seconds", None),
            threshold=(limit / 1e6, "seconds", None),
            summary=f"Waited {'more than ' if over is None else ''}{about(waited)} on {contact.start.channel}",
            evidence=[("queued" if contact.queued else "started", begin)] + ([(reason, over)] if over else []),
            cause=over or begin,
            crossed=rule.error_factor if bad else 1,
        )
