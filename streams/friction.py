"""What detectors work with: the view of a subject that they read, the clock that they ask, the
frictions that they return.

The law of detectors: a pure function from the view, its rule and the clock to all frictions
of its kind that the facts prove, those that opened and ended before anyone looked included.
What happened counts at once; what did not happen counts only when the clock has passed it,
and asking the clock is also what makes the tracker look again then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.friction import anchor
from streams.contacts import Contact
from streams.entries import Entry
from streams.facts import NEVER, Facts
from streams.rules import Rules


class Clock:
    """The watermark, as detectors may see it."""

    __slots__ = ("due", "now")

    def __init__(self, now: int) -> None:
        self.now, self.due = now, NEVER

    def passed(self, time: int) -> bool:
        """Whether all that happened up to and including `time` is known; if not, look again then."""
        if time <= self.now:
            return True
        if time < self.due:
            self.due = time
        return False


class View:
    """One subject as detectors read it: contacts by (start, key), and the attempts among them by topic.

    Only attempts whose topic can be relied on have one; no topic is a topic of its own.
    """

    def __init__(self, facts: Facts) -> None:
        self.known = facts.customer_id is not None
        self.contacts: list[Contact] = facts.contacts()
        self.by_topic: dict[str | None, list[Contact]] = {}
        for c in self.contacts:
            if c.attempt and c.settled:
                self.by_topic.setdefault(c.topic, []).append(c)


class Friction(msgspec.Struct, gc=False):
    """One difficulty that the facts prove. Times: microseconds UTC.

    ends_at: when time alone ends it, while it is open. cause: the touchpoint that completed it.
    observed, threshold: value, unit, window (microseconds or None). crossed: the threshold
    that it has reached, so that reaching the next one is told.
    """

    rule_id: str
    contact: Contact | None
    entry: Entry
    opened_at: int
    severity: str
    ends_at: int
    resolved_at: int | None
    reason: str | None
    observed: tuple[float, str, int | None]
    threshold: tuple[float, str, int | None]
    summary: str
    evidence: list[tuple[str, Entry]]
    cause: Entry
    also: dict[str, float] = {}
    crossed: float = 0.0

    @property
    def place(self) -> Entry:
        """The entry by which the friction belongs to a journey."""
        return self.entry if self.contact is None else self.contact.first

    @property
    def anchor(self) -> str:
        """The name of the contact or touchpoint without which it would not exist."""
        if self.contact is not None:
            return self.contact.key
        return anchor(None, self.entry.source, self.entry.event_id)


Detect = Callable[[View, Any, Clock], Iterator[Friction]]


@dataclass(frozen=True)
class Detector:
    """A detector and what the kernel must know about it.

    kind: its name, and that of its table in the rules. reads: families whose entries it reads. reach: how far back of a
    friction's `opened_at` the newest entry of anything that it needs may lie, microseconds, from its table.
    ahead: how much later than the end of a friction's life an entry may still change what was found.
    """

    kind: str
    detect: Detect
    reads: tuple[str, ...]
    reach: Callable[[Any], int]
    ahead: int

    def horizon(self, rules: Rules) -> int:
        """How long behind a subject's newest touchpoint its entries are needed, lateness aside; microseconds."""
        life = max(rule.expires_after for name, rule in rules.named.items() if name.split(".")[0] == self.kind)
        return self.reach(getattr(rules, self.kind)) + life + self.ahead


def ending(
    opened_at: int, ends_at: int, ways: Iterable[tuple[int, str]], clock: Clock, last: str = "expired"
) -> tuple[int | None, str | None]:
    """When and why a friction ended: the earliest way in time, else by itself once that time has passed."""
    at, reason = min((way for way in ways if opened_at <= way[0] <= ends_at), default=(NEVER, ""))
    if at != NEVER:
        return at, reason
    return (ends_at, last) if clock.passed(ends_at) else (None, None)
