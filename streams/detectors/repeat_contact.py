"""`repeat_contact`: the customer had to come back about the same thing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from schemas.friction import MAX_EVIDENCE
from schemas.times import DAY, HOUR, format_duration
from streams.contacts import Contact
from streams.friction import Clock, Friction, View, ending
from streams.rules import RepeatContact

ALSO = {"24h": 24 * HOUR, "14d": 14 * DAY, "30d": 30 * DAY}
"""Windows that are observed besides the rule's own."""


def _start(contact: Contact) -> int:
    return contact.start.at


def repeat_contact(view: View, table: RepeatContact, clock: Clock) -> Iterator[Friction]:
    """Opens at an attempt with another one on the topic at most `window` before, start to start.

    Superseded by the next such attempt, else over when the window has passed.
    """
    if not view.known:
        return
    for topic, known in view.by_topic.items():
        first = bisect_left(known, view.since, key=_start)
        if first == len(known):
            continue
        attempts = known[bisect_left(known, known[first].start.at - view.reach, 0, first, key=_start) :]
        starts = [c.start.at for c in attempts]
        for i in range(bisect_left(starts, view.since), len(attempts)):
            attempt, start = attempts[i], starts[i]
            rule = table.at(attempt)
            window = rule.window
            low = bisect_left(starts, start - window)
            if low == i:
                continue
            count = i - low + 1
            following = attempts[i + 1 : i + 2]
            ways = [(n.started_at, "superseded") for n in following if n.started_at <= start + window]
            life = min(window, rule.expires_after)
            last = "window_passed" if life == window else "expired"
            resolved_at, reason = ending(start, start + life, ways, clock, last)
            about = f"about {topic}" if topic else "without a topic"
            yield Friction(
                rule_id="repeat_contact",
                rule=rule,
                contact=attempt,
                entry=attempt.start,
                opened_at=start,
                severity="error" if count >= rule.error_from else "warning",
                ends_at=start + life,
                resolved_at=resolved_at,
                reason=reason,
                observed=(count, "contacts", window),
                threshold=(2, "contacts", window),
                summary=f"Contact number {count} {about} within {format_duration(window)}",
                evidence=[("attempt", c.start) for c in attempts[max(low, i + 1 - MAX_EVIDENCE) : i + 1]],
                cause=attempt.start,
                also={name: i + 1 - bisect_left(starts, start - size) for name, size in ALSO.items()},
                crossed=rule.error_from if count >= rule.error_from else 2,
            )
