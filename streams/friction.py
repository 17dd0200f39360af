"""What detectors work with: the view of a subject that they read, the clock that they ask, the
frictions that they return.

The law of detectors: a pure function from the view, its rule and the clock to all frictions
of its kind that the facts prove, those that opened and ended before anyone looked included.
What happened counts at once; what did not happen counts only when the clock has passed it,
and asking the clock is also what makes the tracker look again then.

Second-order detectors read what the others found as well (`View.frictions`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.friction import anchor
from streams.contacts import Contact
from streams.entries import Entry, family_of
from streams.facts import NEVER, Facts, Journey
from streams.journeys import EXPLICIT_GAP, Fold
from streams.rules import Rule, Rules


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
    """One subject as detectors read it.

    known: its customer is known. frictions: what first-order detectors have found so far, those that are
    notified only (what is recorded in shadow must not page anybody by a detour).
    """

    def __init__(self, facts: Facts, fold: Fold, gap: int) -> None:
        self.known = facts.customer_id is not None
        self.frictions: list[Friction] = []
        self._facts, self._fold, self._gap = facts, fold, gap
        self._by_topic: dict[str | None, list[Contact]] | None = None

    @property
    def contacts(self) -> list[Contact]:
        """The contacts by (start, key)."""
        return self._facts.contacts()

    @property
    def by_topic(self) -> dict[str | None, list[Contact]]:
        """The attempts whose topic can be relied on, by topic; no topic is a topic of its own."""
        if self._by_topic is None:
            self._by_topic = {}
            for c in self.contacts:
                if c.attempt and c.settled:
                    self._by_topic.setdefault(c.topic, []).append(c)
        return self._by_topic

    def of(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds (of one family), in order of identity, cancelled ones left out."""
        return [e for e in self._facts.entries.get(family_of(kinds[0]), ()) if e.kind in kinds and not e.cancelled]

    def own(self) -> list[Entry]:
        """What the customer did, in order of identity."""
        outbound = {id(e) for c in self.contacts if c.start.direction == "outbound" for e in c.entries}
        return [e for e in self._facts.ordered() if e.own and not e.cancelled and id(e) not in outbound]

    def journey(self, entry: Entry) -> Journey | None:
        """The journey that an entry is in; None where that is forgotten."""
        return self._fold.of(entry)

    def journey_over(self, journey: Journey) -> int:
        """When a journey is over, if nothing comes any more; microseconds."""
        return journey.end + (self._gap if journey.explicit is None else EXPLICIT_GAP)


class Friction(msgspec.Struct, gc=False):
    """One difficulty that the facts prove. Times: microseconds UTC.

    rule: as it is where this happened. ends_at: when time alone ends it, while it is open. observed, threshold: value,
    unit, window (microseconds or None). cause: the touchpoint that completed it. crossed: the threshold that it
    has reached, so that reaching the next one is told.
    """

    rule_id: str
    rule: Rule
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
    def topic(self) -> str | None:
        """What it was about."""
        return self.entry.topic if self.contact is None else self.contact.topic

    @property
    def anchor(self) -> str:
        """The name of the contact or touchpoint without which it would not exist."""
        if self.contact is not None:
            return self.contact.key
        return anchor(None, self.entry.source, self.entry.event_id)

    @property
    def helped_at(self) -> int:
        """When a touchpoint resolved it, NEVER if none did."""
        return NEVER if self.resolved_at is None or self.reason in BY_TIME else self.resolved_at


BY_TIME = frozenset({"expired", "window_passed", "journey_over", "went_quiet"})
"""The reasons of what ended by itself."""

Detect = Callable[[View, Any, Clock], Iterator[Friction]]
Pairs = Callable[[View, Any], Iterable[tuple[Entry, Entry | None]]]


@dataclass(frozen=True)
class Detector:
    """A detector and what the kernel must know about it.

    kind: its name, and that of its table in the rules. reads: families whose entries it reads. reach: how far back of a
    friction's `opened_at` the newest entry of anything that it needs may lie, microseconds, from its table.
    ahead: how much later than the end of a friction's life an entry may still change what was found.
    journeys: it asks which journey an entry is in, so that any touchpoint may change what it finds. second: it reads what
    the detectors before it found, opened at most `reach` before. pairs: what it pairs is forgotten together.
    """

    kind: str
    detect: Detect
    reads: tuple[str, ...]
    reach: Callable[[Any], int]
    ahead: int = 0
    journeys: bool = False
    second: bool = False
    pairs: Pairs | None = None

    def span(self, rules: Rules) -> int:
        """`reach`, the longest of the rule's variants."""
        return max(int(self.reach(rule)) for rule in getattr(rules, self.kind).variants)

    def after(self, rules: Rules) -> int:
        """How long after a friction's `opened_at` an entry may still change it, lateness aside; microseconds."""
        found = rules.named.items()
        inner = [name.split(".")[1] for name, _ in found if name.startswith(f"{self.kind}.")]
        variants = getattr(rules, self.kind).variants
        return self.ahead + max(
            rule.expires_after for v in variants for rule in (v, *(getattr(v, name) for name in inner))
        )


def ending(
    opened_at: int, ends_at: int, ways: Iterable[tuple[int, str]], clock: Clock, last: str = "expired"
) -> tuple[int | None, str | None]:
    """When and why a friction ended: the earliest way in time, else by itself once that time has passed."""
    at, reason = min((way for way in ways if opened_at <= way[0] <= ends_at), default=(NEVER, ""))
    if at != NEVER:
        return at, reason
    return (ends_at, last) if clock.passed(ends_at) else (None, None)


def series(
    times: Sequence[int], window: Callable[[int], int], enough: Callable[[int, int], bool]
) -> Iterator[tuple[int, int]]:
    """Where series are complete, as (first of the window, anchor), indices both.

    times: of the members, ascending; those of one moment count in their order. window: of a member, microseconds.
    enough: whether the members from the first to the last index, both included, are enough. A member is an
    anchor when its window [t - W, t] holds enough and that of the member before did not.
    """
    held = False
    for i, time in enumerate(times):
        low = bisect_left(times, time - window(i), 0, i)
        before, held = held, enough(low, i)
        if held and not before:
            yield low, i


def pair(
    openers: Iterable[Entry],
    closers: Iterable[Entry],
    until: Callable[[Entry], int],
    same: Callable[[Entry, Entry], bool] = lambda opener, closer: opener.topic == closer.topic,
) -> list[tuple[Entry, Entry | None]]:
    """Each opener with what closed it, in order of time.

    A closer with a `ref` closes all that is open under it; one without closes the earliest that is still open and
    the `same` (topic), for as long as that can be closed: `until`, microseconds. At equal times what opens is first.
    """
    found: list[list[Entry | None]] = []
    waiting: list[list[Entry | None]] = []
    told = [(e.at, False, e) for e in openers] + [(e.at, True, e) for e in closers]
    for _, closes, e in sorted(told, key=lambda x: (x[0], x[1], x[2].identity)):
        if not closes:
            found.append([e, None])
            waiting.append(found[-1])
            continue
        for one in list(waiting):
            opener = one[0]
            assert opener is not None
            if e.ref == opener.ref if e.ref is not None else same(opener, e) and e.at <= until(opener):
                one[1] = e
                waiting.remove(one)
                if e.ref is None:
                    break
    return [(opener, closer) for opener, closer in found if opener is not None]
