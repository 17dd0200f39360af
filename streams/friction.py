"""What detectors work with: the view of a subject that they read, the clock that they ask, the
frictions that they return.

The law of detectors: a pure function from the view, its rule and the clock to all frictions
of its kind that the facts prove, those that opened and ended before anyone looked included.
What happened counts at once; what did not happen counts only when the clock has passed it,
and asking the clock is also what makes the tracker look again then.

Second-order detectors read what the others found as well (`View.frictions`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from schemas.friction import anchor
from streams.contacts import Contact
from streams.entries import Entry
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

    known: its customer is known. since: what opened before, microseconds, is known already and need not be returned.
    reach: the detector's own, the longest of its rule's variants. floor: entries before it cannot matter to what is asked.
    first: what the detectors before it have found. own_before: what it has itself found before `since`.
    """

    def __init__(self, facts: Facts, fold: Fold, gap: int) -> None:
        self.known = facts.customer_id is not None
        self.since = self.reach = self.floor = 0
        self.first: list[list[Friction]] = []
        self.own_before: list[Friction] = []
        self._facts, self._fold, self._gap = facts, fold, gap

    @property
    def frictions(self) -> list[Friction]:
        """What the detectors before have found: what is notified (what is recorded in shadow pages nobody by a detour)."""
        return [f for found in (*self.first, self.own_before) for f in found if f.rule.mode == "live"]

    @property
    def contacts(self) -> list[Contact]:
        """The contacts by (start, key)."""
        return self._facts.contacts()

    def recent(self, lag: int = 0) -> list[Contact]:
        """The contacts in which something may have opened that is not known already.

        lag: how much later than the newest entry of its contact a friction may open, microseconds.
        """
        return self._facts.recent(self.since - lag) if self.since else self.contacts

    def later(self, contact: Contact) -> list[Contact]:
        """The contacts behind one."""
        order = _start(contact)
        return self.contacts[bisect_right(self.contacts, order, key=_start) :]

    def before(self, contact: Contact) -> Iterator[Contact]:
        """The contacts before one, the nearest first."""
        order = _start(contact)
        return reversed(self.contacts[: bisect_left(self.contacts, order, key=_start)])

    @property
    def by_topic(self) -> dict[str | None, list[Contact]]:
        """The attempts whose topic can be relied on, by topic; no topic is a topic of its own."""
        return self._facts.by_topic()

    def of(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds, in order of identity, cancelled ones left out; as far back as can matter now."""
        found = [self._facts.of(kind) for kind in kinds]
        if self.floor:
            found = [entries[bisect_left(entries, self.floor, key=_at) :] for entries in found]
        return found[0] if len(found) == 1 else sorted((e for entries in found for e in entries), key=_identity)

    def own(self) -> list[Entry]:
        """What the customer did, in order of identity, from the last of it before `since` on.

        It is what only customers do, or the beginning of an attempt.
        """
        found: list[Entry] = []
        if self.since:
            for entries in self._facts.entries.values():
                for e in reversed(entries):
                    if not e.cancelled and self._did(e):
                        found.append(e)
                        if e.at < self.since:
                            break
        else:
            begun = {id(c.start) for c in self.contacts if c.attempt and not c.start.automatic}
            called = {id(e) for c in self.contacts if c.start.direction == "outbound" for e in c.entries}
            for entries in self._facts.entries.values():
                found += [e for e in entries if id(e) in begun or (e.own and not e.cancelled and id(e) not in called)]
        found.sort(key=_identity)
        return found[max(bisect_left(found, self.since, key=_at) - 1, 0) :]

    def _did(self, entry: Entry) -> bool:
        contact = self._facts.contact_of(entry)
        if contact is None:
            return entry.own
        if contact.start is entry and contact.attempt:
            return not entry.automatic
        return entry.own and contact.start.direction != "outbound"

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

_at = attrgetter("at")
_identity = attrgetter("at", "source", "event_id")


def _start(contact: Contact) -> tuple[int, str]:
    return (contact.start.at, contact.key)


Detect = Callable[[View, Any, Clock], Iterator[Friction]]
Pairs = Callable[[View, Any], Iterable[tuple[Entry, Entry | None]]]


@dataclass(frozen=True)
class Detector:
    """A detector and what the kernel must know about it.

    kind: its name, and that of its table in the rules. reads: families whose entries it reads. reach: how far back of a
    friction's `opened_at` the newest entry of anything that it needs may lie, microseconds, from its table.
    ahead: how much later than the end of a friction's life an entry may still change what was found.
    tail: how much later than its opening something may make a friction worse although it is over; microseconds.
    journeys: it asks which journey an entry is in, so that any touchpoint may change what it finds. second: it reads what
    the detectors before it found, opened at most `reach` before. pairs: what it pairs is forgotten together.
    needs: kinds of which one must be there, or it finds nothing; none named: any touchpoint may do.
    """

    kind: str
    detect: Detect
    reads: tuple[str, ...]
    reach: Callable[[Any], int]
    ahead: int = 0
    tail: Callable[[Any], int] = lambda rule: 0  # noqa: ARG005
    journeys: bool = False
    second: bool = False
    pairs: Pairs | None = None
    needs: frozenset[str] = frozenset()

    def on(self, rules: Rules) -> bool:
        """Whether any part of its rule, in any variant, is more than "off"; otherwise it need not run, and nothing is kept for it."""
        return any(rule.mode != "off" for rule in self._all(rules))

    def span(self, rules: Rules) -> int:
        """`reach`, the longest of the rule's variants."""
        return max(int(self.reach(rule)) for rule in getattr(rules, self.kind).variants)

    def worse(self, rules: Rules) -> int:
        """`tail`, the longest of the rule's variants."""
        return max(int(self.tail(rule)) for rule in getattr(rules, self.kind).variants)

    def after(self, rules: Rules) -> int:
        """How long after a friction's `opened_at` an entry may still change it, lateness aside; microseconds."""
        return self.ahead + int(max(rule.expires_after for rule in self._all(rules)))

    def _all(self, rules: Rules) -> Iterator[Rule]:
        """Its rule and the rules inside, in each of the variants."""
        inner = [name.split(".")[1] for name in rules.named if name.startswith(f"{self.kind}.")]
        for variant in getattr(rules, self.kind).variants:
            yield from (variant, *(getattr(variant, name) for name in inner))


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
