"""The tracker: from facts and a time to what must be said about them.

    derive(facts, now)       -> frictions, due   a pure function; `due` = when to look again
    diff(published, derived) -> friction events  opened | updated | resolved | retracted
    forget(facts, floor)     -> facts            after diff, never before

`look` does the three in that order, for one subject.

Forgetting is exact. With D the disorder and L the lateness, no accepted touchpoint lies further
behind a subject's newest one than L + D + 5 min (what its clock may be ahead). A detector needs
its entries for as long as a friction can change: `Detector.horizon`. Entries older than both
together are below the family's floor. A friction that would need something below the floor is
frozen: it has ended by itself before, it stays as it was last published, and nothing about it
is derived, sent or retracted any more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.times import DAY, FUTURE_TOLERANCE, SECOND
from streams.contacts import CONTACT_SPAN, ContactKey, contact_key, fold
from streams.detectors import DETECTORS
from streams.entries import Entry, family_of
from streams.events import cause_of, friction_event, journey_snapshot
from streams.facts import MAX_ENTRIES, MAX_PACKED, NEVER, Context, Facts, Journey, Mark, Published, all_entries
from streams.friction import Clock, Detector, Friction, View
from streams.journeys import EXPLICIT_GAP, Fold, fold_journeys, seal
from streams.rules import Rules

_digest = msgspec.msgpack.Encoder().encode


CAME_BACK = (DAY, 90 * DAY)
"""Who comes of their own will so long after a friction has come back."""
SETTLE_EVERY = 7 * DAY
"""How far forgetting may lag, by a subject's own time, and sealing the journeys at the least: both fold anew all that is left."""
SEAL_AT = 32
"""So many entries are sealed at once, or when some are forgotten: with fewer, folding anew costs more than it saves."""
MANY = 16
"""From so many entries of a subject on, what was folded and derived is kept beside them."""
MAX_KNOWN = 4096
"""Sets of kinds for which it is known which detectors run."""
NOTHING: Mapping[str, int] = {}


Saying = tuple[str, str, Published, Friction | None, bool]
"""Its key, the event's type, what is published, the friction while it is derived, and whether it corrects."""


@dataclass
class Look:
    """What one look at a subject says.

    frictions: values for the topic, in the order in which they must be sent. journeys:
    (journey_id, value). packed: the facts to remember; None: the subject is retired.
    kinds: (kind, event type, severity) of each friction, for counters.
    """

    frictions: list[bytes]
    kinds: list[tuple[str, str, str]]
    journeys: list[tuple[str, bytes]]
    packed: bytes | None
    due: int


class Tally(msgspec.Struct, gc=False):
    """What frictions amount to: how many, their points, when the first and the last opened, and the last one's topic."""

    frictions: int
    weight: float
    first: int
    last: int
    topic: str | None


class Found:
    """What a detector found, by the time of opening, and when to ask it again though nothing has changed."""

    __slots__ = ("counted", "due", "fold", "frictions", "looked_at", "opened", "settled", "stable", "tallies")

    def __init__(self) -> None:
        self.due, self.looked_at = NEVER, -1
        self.frictions: list[Friction] = []
        self.opened: list[int] = []
        self.settled: list[int] = []
        """From when on nothing can change it, NEVER while it is open."""
        self.tallies: dict[int, Tally] = {}
        self.counted = self.stable = 0
        self.fold: Fold | None = None

    def unsettled(self, since: int) -> int:
        """The first that a change at that time or later can reach, or that has opened since."""
        for i, settled in enumerate(self.settled):
            if settled >= since:
                return bisect_left(self.opened, min(since, self.opened[i]))
        return bisect_left(self.opened, since)

    def renew(self, cut: int, fresh: list[Friction], tail: int) -> None:
        """What is found from there on. tail: as `Detector.tail`."""
        if cut < self.counted:
            self.fold = None
        self.stable = cut
        self.frictions[cut:] = fresh
        self.opened[cut:] = [f.opened_at for f in fresh]
        self.settled[cut:] = [NEVER if f.resolved_at is None else max(f.resolved_at, f.opened_at + tail) for f in fresh]

    def by_journey(self, fold: Fold) -> tuple[dict[int, Tally], dict[int, Tally]]:
        """What the live frictions amount to, by the number of the journey: those that stay as they are, counted once, and the rest."""
        if self.fold is not fold:
            self.tallies, self.counted, self.fold = {}, 0, fold
        frictions = self.frictions
        while self.counted < self.stable:
            _tally(self.tallies, frictions[self.counted])
            self.counted += 1
        rest: dict[int, Tally] = {}
        for i in range(self.counted, len(frictions)):
            _tally(rest, frictions[i])
        return self.tallies, rest


@dataclass
class Derived:
    """All that was found, by kind; what was derived in this look, and what that replaces.

    whole: nothing is known about what was said before, so that all of it has to be compared.
    """

    whole: bool
    found: dict[str, Found]
    fresh: list[tuple[str, Friction]]
    gone: list[tuple[str, Friction]]

    def __iter__(self) -> Iterator[tuple[str, Friction]]:
        return ((kind, f) for kind, found in self.found.items() for f in found.frictions)


class Tracker:
    """The thinking, for one set of rules and one generation. Pure: holds no facts.

    many: from so many entries of a subject on, what was folded and derived is kept beside them from look to look; for
    fewer it would take more room than it saves time.
    """

    def __init__(self, rules: Rules, generation: int = 1, many: int = MANY) -> None:
        self.rules, self.generation, self.many = rules, generation, many
        self._spans = [(d, d.span(rules)) for d in DETECTORS]
        self._detectors: list[tuple[Detector, Any, int, int]] = [
            (d, getattr(rules, d.kind), span, d.worse(rules)) for d, span in self._spans if d.on(rules)
        ]
        self._needed = frozenset[str]().union(*(d.needs for d, *_ in self._detectors))
        self._by_kinds: dict[tuple[frozenset[str], frozenset[str]], list[tuple[Detector, Any, int, int]]] = {}
        self._cools = any(cool_down > 0 for cool_down in rules.each("cool_down"))
        time = rules.time
        self.slack = time.lateness + time.disorder + FUTURE_TOLERANCE
        self.horizons = {"contact": CONTACT_SPAN + self.slack}  # journeys count contacts, whoever reads them
        first = [(d, span) for d, _, span, _ in self._detectors if not d.second]
        for d, _, span, _ in self._detectors:
            needs = [(d, span, 0)]
            if d.second:
                needs = [(d, span, max(f.ahead for f, _ in first))]
                needs += [(f, f_span + span, f.ahead) for f, f_span in first]
            for read, reach, ahead in needs:
                for family in read.reads:
                    horizon = reach + d.after(rules) + ahead + self.slack
                    self.horizons[family] = max(self.horizons.get(family, 0), horizon)
        self.journey_horizon = max(EXPLICIT_GAP, time.inactivity_gap) + self.slack

    # -- derive

    def derive(self, facts: Facts, clock: Clock, fold: Fold | None = None) -> Derived:
        """All frictions that the facts prove and that are not frozen.

        A detector runs when what it reads has changed since it ran last, or when its time has come. What opened before the
        earliest change, and was over before it, stays as it was found: a change cannot reach it any more.
        """
        gap = self.rules.time.inactivity_gap
        view = View(facts, fold or fold_journeys(facts, gap), gap)
        lines = self._lines(facts.floors) if facts.floors else NOTHING
        if facts.derived_by is not self and facts.size < self.many:
            return self._derive_all(facts, view, clock, lines)
        return self._derive_changed(facts, view, clock, lines)

    def _derive_all(self, facts: Facts, view: View, clock: Clock, lines: Mapping[str, int]) -> Derived:
        derived = Derived(True, {}, [], [])
        for d, rule, span, tail in self._reading(facts):
            view.reach, line = span, lines.get(d.kind, 0)
            fresh = [f for f in d.detect(view, rule, clock) if f.opened_at >= line and f.rule.mode != "off"]
            if fresh:
                found = derived.found[d.kind] = Found()
                found.renew(0, sorted(fresh, key=_opened_at), tail)
                derived.fresh += [(d.kind, f) for f in fresh]
                if not d.second:
                    view.first.append(found.frictions)
        return derived

    def _derive_changed(self, facts: Facts, view: View, clock: Clock, lines: Mapping[str, int]) -> Derived:
        whole = facts.derived_by is not self or facts.unsaid
        if facts.derived_by is not self:
            facts.derived_by, facts.derived = self, {}
        facts.unsaid = True
        changed, known = facts.changed, facts.derived
        facts.changed = {}
        anywhere = min(changed.values(), default=NEVER)
        reading = self._reading(facts)
        for kind in known.keys() - {d.kind for d, *_ in reading}:  # the last entry that it needs has become another
            del known[kind]
            whole = True
        derived = Derived(whole, {}, [], [])
        now, anew = clock.now, False
        for d, rule, span, tail in reading:
            kept = known.get(d.kind)
            if kept is None:
                kept = known[d.kind] = Found()
                since = 0
            else:
                since = anywhere if d.journeys else min([changed.get(f, NEVER) for f in d.reads])
                if since == NEVER and now < kept.due and not (anew and d.journeys):
                    since = -1
            if since >= 0:
                anew = True
                since = min(since, kept.looked_at + 1)
                cut = kept.unsettled(since) if kept.opened else 0
                view.since = min(since, kept.opened[cut]) if cut < len(kept.opened) else since
                opened = max(lines.get(d.kind, 0), view.since)
                view.reach, own = span, Clock(now)
                view.floor = max(0, view.since - span) if d.pairs is None else 0  # pairs may go back further
                view.own_before = kept.frictions[:cut] if d.journeys else []
                fresh = [f for f in d.detect(view, rule, own) if f.opened_at >= opened and f.rule.mode != "off"]
                if fresh or cut < len(kept.frictions):
                    derived.gone += [(d.kind, f) for f in kept.frictions[cut:]]
                    derived.fresh += [(d.kind, f) for f in fresh]
                    kept.renew(cut, sorted(fresh, key=_opened_at), tail)
                kept.due, kept.looked_at = own.due, now
            if kept.due < clock.due:
                clock.due = kept.due
            derived.found[d.kind] = kept
            if not d.second:
                view.first.append(kept.frictions)
        return derived

    def _reading(self, facts: Facts) -> list[tuple[Detector, Any, int, int]]:
        """The detectors that may find anything, since what they need is there: rule, reach and tail with them."""
        families, kinds = frozenset(facts.entries), self._needed & facts.kinds
        found = self._by_kinds.get((families, kinds))
        if found is None:
            if len(self._by_kinds) >= MAX_KNOWN:
                self._by_kinds.clear()
            found = self._by_kinds[families, kinds] = [
                x
                for x in self._detectors
                if not families.isdisjoint(x[0].reads) and not (x[0].needs and kinds.isdisjoint(x[0].needs))
            ]
        return found

    def _lines(self, floors: Mapping[str, int]) -> dict[str, int]:
        """By detector: the time below which its frictions are frozen."""
        lines: dict[str, int] = {}
        for d, span in self._spans:
            line = 0
            for family in d.reads:
                if (floor := floors.get(family, 0)) > line:
                    line = floor
            if d.second:
                line = max(line, *lines.values())
            lines[d.kind] = line + span if floors else 0
        return lines

    # -- look

    def look(
        self,
        facts: Facts,
        now: int,
        recorded_at: int,
        settle: bool = False,
        since: Mapping[str, int] = NOTHING,
    ) -> Look:
        """Derive, diff and forget for one subject at the watermark `now`.

        recorded_at: the processing time, only shown in envelopes. settle: publish journeys
        whatever was published when (the end of a file). since: by kind, from when on its rules have been as they
        are; what they find before is history. Changes `facts`.
        """
        clock = Clock(now)
        retires = self.retires(facts)
        retired = now >= retires
        gap = self.rules.time.inactivity_gap
        final = facts.newest - self.slack
        if final > facts.sealed_to + SETTLE_EVERY and facts.between(facts.sealed_to, final) >= SEAL_AT:
            seal(facts, gap, final)
        fold = fold_journeys(facts, gap)
        derived = self.derive(facts, clock, fold)
        look = Look([], [], [], None, NEVER)
        self._diff_frictions(facts, derived, fold, clock, recorded_at, since, look)
        self._diff_journeys(facts, derived, fold, clock, settle or retired, recorded_at, look)
        if retired:
            return look
        floors = facts.floors
        self.forget(facts, derived)
        if facts.floors is not floors:
            retires = self.retires(facts)
        clock.due = min(clock.due, max(retires, now + 1))
        look.packed = self._pack(facts, derived, clock.due)
        if facts.capped and facts.floors != floors:  # what was cut off is over, and need not be remembered
            self._diff_frictions(facts, self.derive(facts, clock), fold, clock, recorded_at, since, look)
            facts.published = self._above(facts)
            look.packed = facts.pack(clock.due)
        if facts.size < self.many:
            facts.lighten()
        look.due = clock.due
        return look

    def retires(self, facts: Facts) -> int:
        """When nothing that is remembered of the subject can matter any more."""
        horizons = self.horizons
        last = facts.newest + max([self.journey_horizon, *[horizons.get(f, 0) for f in facts.entries]])
        for e in facts.entries.get("process", ()):
            if e.due_at is not None:
                last = max(last, e.due_at + horizons.get("process", 0))
        return last

    # -- diff

    def _diff_frictions(
        self,
        facts: Facts,
        derived: Derived,
        fold: Fold,
        clock: Clock,
        recorded_at: int,
        since: Mapping[str, int],
        look: Look,
    ) -> None:
        said: list[Saying] = []
        published = facts.published
        # Where a contact's id comes again after 30 days, the friction's id is the later contact's.
        whole = derived.whole or self._cools
        keyed = {_key(kind, f): (kind, f) for kind, f in sorted(derived if whole else derived.fresh, key=_opened)}
        if not whole and any(_key(kind, f) not in keyed for kind, f in derived.gone):
            whole = True
            keyed = {_key(kind, f): (kind, f) for kind, f in sorted(derived, key=_opened)}
        for key, (kind, friction) in keyed.items():
            earlier = published.get(key)
            if earlier is not None and self._unchanged(earlier, friction):
                continue
            after = self._publish(facts, kind, friction, earlier, fold, since)
            published[key] = after
            said.append((key, _type(earlier, after), after, friction, _corrected(earlier, after)))
        if whole and len(published) > len(keyed):
            for key in published.keys() - keyed.keys():
                before = published[key]
                gone = self._withdraw(facts, before)
                if gone is not None:
                    published[key] = gone
                    what = "retracted" if gone.state == "retracted" else "resolved"
                    said.append((key, what, gone, None, gone.state == "retracted"))
        # What opens is said before what ends, so that a group never looks closed in between.
        said.sort(key=lambda x: (x[2].state != "open", x[2].opened_at, x[0]))
        if self._cools:
            said += self._cool_down(published, keyed, {key for key, *_ in said}, clock)
        self._say(facts, said, recorded_at, look)
        facts.unsaid = False

    def _say(self, facts: Facts, said: list[Saying], recorded_at: int, look: Look) -> None:
        if not said:
            return
        going_on = Counter(_incident(p) for p in facts.published.values() if p.state == "open" and p.mode == "live")
        for _, what, p, f, corrected in said:
            group = going_on[_incident(p)]
            look.frictions.append(
                friction_event(facts.subject, what, p, f, group, corrected, recorded_at, self.generation)
            )
            look.kinds.append((p.kind, what, p.severity))

    def _unchanged(self, p: Published, f: Friction) -> bool:
        return (
            p.opened_at == f.opened_at
            and p.resolved_at == f.resolved_at
            and p.severity == f.severity
            and p.reason == f.reason
            and p.crossed == f.crossed
            and p.state == ("open" if f.resolved_at is None else "resolved")
            and p.final_at == (f.ends_at if f.resolved_at is None else f.resolved_at)
            and p.mode == f.rule.mode
        )

    def _publish(
        self,
        facts: Facts,
        kind: str,
        f: Friction,
        before: Published | None,
        fold: Fold,
        since: Mapping[str, int],
    ) -> Published:
        rule = f.rule
        known_since = rule.effective_from if rule.effective_from is not None else since.get(kind, 0)
        journey = fold.of(f.place)
        contact, e = f.contact, f.entry
        return Published(
            kind=kind,
            anchor=f.anchor,
            revision=before.revision + 1 if before else f.opened_at // SECOND,
            state="open" if f.resolved_at is None else "resolved",
            severity=f.severity,
            opened_at=f.opened_at,
            resolved_at=f.resolved_at,
            reason=f.reason,
            final_at=f.ends_at if f.resolved_at is None else f.resolved_at,
            provisional=f.resolved_at is None,
            rule_id=f.rule_id,
            rule_digest=rule.digest,
            table_digest=self.rules.table_digests[kind],
            mode=rule.mode,
            crossed=f.crossed,
            replay=f.cause.replay or max(f.opened_at, f.cause.at) < known_since,
            journey_id=journey.id if journey else None,
            context=Context(
                customer_id=facts.customer_id,
                contact_id=e.contact_id,
                channel=e.channel,
                queue=contact.queue if contact else e.queue,
                agent_id=contact.agent_id if contact else e.agent_id,
                topic=contact.topic if contact else e.topic,
                product=e.details.product if e.details else None,
                asset_id=e.details.asset_id if e.details else None,
                release=e.details.release if e.details else None,
            ),
            notified=before.notified if before else 0,
            hushed=before.hushed if before else 0,
        )

    def _cool_down(
        self, published: dict[str, Published], keyed: dict[str, tuple[str, Friction]], said: set[str], clock: Clock
    ) -> list[Saying]:
        """Hold back what opened too soon after the last notification of its incident; tell it when that time is over."""
        told: dict[tuple[str, str], int] = {}
        for p in published.values():
            told[_incident(p)] = max(told.get(_incident(p), 0), p.notified)
        late: list[Saying] = []
        for key, p in sorted(published.items(), key=lambda x: x[1].opened_at):
            if p.state != "open" or p.mode != "live" or p.replay or key not in keyed:
                continue
            friction = keyed[key][1]
            incident = _incident(p)
            if not p.notified and not p.hushed:
                quiet_until = told[incident] and told[incident] + friction.rule.cool_down
                if quiet_until > max(p.opened_at, clock.now if key not in said else 0):
                    p.hushed = quiet_until
                else:
                    p.notified = told[incident] = max(told[incident], p.opened_at)
            if p.hushed and clock.passed(p.hushed):
                over = msgspec.structs.replace(p, notified=max(p.notified, p.hushed), hushed=0)
                told[incident] = max(told[incident], over.notified)
                if key in said:
                    p.notified, p.hushed = over.notified, 0  # its event is still to be written
                else:
                    over.revision += 1
                    published[key] = over
                    late.append((key, "updated", over, friction, False))
        return late

    def _withdraw(self, facts: Facts, before: Published) -> Published | None:
        """What becomes of a published friction that is not derived any more; None: it stands as it is."""
        if before.state == "retracted" or before.reason in ("rule_changed", "forgotten"):
            return None
        frozen = before.opened_at < self._lines(facts.floors)[before.kind]
        if frozen or facts.capped:  # what the cap cut off may have been what it needs
            return self._ended(facts, before, "forgotten") if before.state == "open" else None
        if before.table_digest == self.rules.table_digests[before.kind]:
            return msgspec.structs.replace(
                before,
                revision=before.revision + 1,
                state="retracted",
                reason=None,
                resolved_at=None,
                provisional=False,
            )
        if before.state == "resolved":
            return None
        return self._ended(facts, before, "rule_changed")

    def _ended(self, facts: Facts, before: Published, reason: str) -> Published:
        """What ends without being proved to: as of the newest touchpoint."""
        ended = min(max(before.opened_at, facts.newest), before.final_at)
        return msgspec.structs.replace(
            before,
            revision=before.revision + 1,
            state="resolved",
            reason=reason,
            resolved_at=ended,
            final_at=ended,
            provisional=False,
        )

    def _diff_journeys(
        self,
        facts: Facts,
        derived: Derived,
        fold: Fold,
        clock: Clock,
        settle: bool,
        recorded_at: int,
        look: Look,
    ) -> None:
        journeys, marks = fold.journeys, facts.marks
        current = {j.id for j in journeys.values()}
        shared = len(current) < len(journeys)  # an id that two journeys have had is told of each of them
        untold = self._untold(derived, fold, whole=shared)
        tallies = [t for found in derived.found.values() if found.frictions for t in found.by_journey(fold)]
        troubled: list[Journey] | None = None
        waiting = []
        for number in sorted(untold):
            journey = journeys[number]
            if journey.explicit is not None and fold.explicit[journey.explicit] != number:
                continue  # its id begins anew with a later one
            came_back = journey.came_back
            if journey.own_at and not came_back and len(journeys) > 1:
                if troubled is None:
                    troubled = _troubled(journeys, tallies)
                came_back = any(_came_back(journey, before) for before in troubled)
            journey = _summed(journey, tallies)
            mark = marks.get(journey.id)
            content = blake2b(_digest(_content(journey, came_back)), digest_size=8).digest()
            if mark is not None and not mark.merged and mark.digest == content:
                continue
            if mark is not None and not settle and not clock.passed(mark.at + self.rules.time.journey_every):
                waiting.append(number)
                continue
            revision = mark.revision + 1 if mark else journey.start // SECOND
            marks[journey.id] = Mark(revision, clock.now, content, journey.start, journey.end, journey.first_channel)
            look.journeys.append((journey.id, journey_snapshot(facts, journey, self.generation, revision, came_back)))
        fold.untold = frozenset(waiting)
        if len(marks) > len(current):
            for name in sorted(marks.keys() - current):
                mark = marks[name]
                if mark.merged:
                    continue
                mark.merged = True
                mark.revision += 1
                into = next((j.id for j in fold.journeys.values() if j.start <= mark.start <= j.end), None)
                gone = Journey(0, name, None, mark.start, mark.end, 0, 0, mark.channel, mark.channel)
                value = journey_snapshot(facts, gone, self.generation, mark.revision, False, "merged", into)
                look.journeys.append((name, value))
                self._say(facts, list(_moved(facts, derived, name, into)), recorded_at, look)

    def _untold(self, derived: Derived, fold: Fold, whole: bool) -> set[int]:
        """The journeys of which something else may have to be told than was."""
        untold = set(fold.untold)
        if whole or derived.whole or fold.untold_of is not self:
            fold.untold_of = self
            return set(fold.journeys)
        moved = {f.place.journey for _, f in (*derived.fresh, *derived.gone)}
        if moved:  # what a later journey comes back from may be another
            first = min([fold.journeys[n].start for n in moved if n in fold.journeys], default=NEVER)
            untold |= {n for n, j in fold.journeys.items() if n in moved or j.start > first}
        return untold

    # -- forget

    def forget(self, facts: Facts, derived: Derived) -> None:
        """Drop what no accepted touchpoint can change any more."""
        newest = facts.newest
        horizons, slack = self.horizons, self.slack
        if any(
            entries[0].at < (floor := newest - horizons.get(f, slack)) and facts.floors.get(f, 0) < floor - SETTLE_EVERY
            for f, entries in facts.entries.items()
        ):
            seal(facts, self.rules.time.inactivity_gap, newest - slack)
            families = facts.entries.keys() | horizons.keys()
            self._drop_below(facts, {f: newest - horizons.get(f, slack) for f in families}, derived)
        if max(len(facts.sealed), *map(len, facts.entries.values()), 0) > MAX_ENTRIES:
            self._cap(facts, MAX_ENTRIES, derived)

    def _cap(self, facts: Facts, keep: int, derived: Derived) -> None:
        """Forget all but the newest of each family and of the journeys, although late touchpoints might belong there."""
        facts.capped = True
        floors = {f: _cut(entries, keep) for f, entries in facts.entries.items() if len(entries) > keep}
        if floors:
            seal(facts, self.rules.time.inactivity_gap, max(floors.values()))
            self._drop_below(facts, floors, derived, together=False)
        for journey in sorted(facts.sealed.values(), key=lambda j: j.end)[:-keep]:
            if journey.number != facts.current:
                del facts.sealed[journey.number]
                facts.fold = None
                if all(j.id != journey.id for j in facts.sealed.values()):
                    facts.marks.pop(journey.id, None)

    def _drop_below(self, facts: Facts, floors: dict[str, int], derived: Derived, together: bool = True) -> None:
        """Raise the floors and drop what lies below; `together`: contacts and pairs go by their newest entry."""
        floors = {**facts.floors, **{f: max(floor, facts.floors.get(f, 0)) for f, floor in floors.items()}}
        lives_to = _lives_to if together else _at
        kept: set[tuple[int, str, str]] = set()
        paired: dict[str, int] = {}
        if together:
            contacts = [contact for group in facts.groups().values() for contact in fold(group)]
            for contact in contacts:
                if contact.newest >= floors["contact"]:
                    kept.update(e.identity for e in contact.entries)
            for e in all_entries(facts):
                if e.ref is not None:
                    paired[e.ref] = max(paired.get(e.ref, 0), _lives_to(e))
            pairs = list(self._pairs(facts))
            for opener, closer in pairs:
                named = max(paired.get(opener.ref or "", 0), paired.get(closer.ref or "", 0))
                if max(_lives_to(opener), closer.at, named) >= floors.get(family_of(opener.kind), 0):
                    kept.update((opener.identity, closer.identity))

            def lasts(e: Entry) -> int:
                return max(_lives_to(e), paired.get(e.ref or "", 0))

            size = -1
            while size != len(kept):  # what one half is kept for keeps the other
                size = len(kept)
                kept.update(e.identity for pair in pairs if any(e.identity in kept for e in pair) for e in pair)
                for contact in contacts:  # without its beginning it would be parted at other places
                    if any(e.identity in kept or lasts(e) >= floors.get(family_of(e.kind), 0) for e in contact.entries):
                        kept.update(e.identity for e in contact.entries)
        cut: set[ContactKey | None] = set()
        if not together:  # the rest of a contact would tell another story than the whole
            cut = {contact_key(e) for f, entries in facts.entries.items() for e in entries if e.at < floors.get(f, 0)}
            cut.discard(None)
        for family, entries in list(facts.entries.items()):
            floor = floors.get(family, 0)
            facts.entries[family] = [
                e
                for e in entries
                if (lives_to(e) >= floor or paired.get(e.ref or "", 0) >= floor or e.identity in kept)
                and (not cut or contact_key(e) not in cut)
            ]
        facts.entries = {f: entries for f, entries in facts.entries.items() if entries}
        before, facts.floors = facts.floors, floors
        facts.refold()
        self._freeze(facts, derived, before)
        self._drop_journeys(facts)

    def _pairs(self, facts: Facts) -> Iterator[tuple[Entry, Entry]]:
        pairing = [(d.pairs, rule) for d, rule, *_ in self._reading(facts) if d.pairs is not None]
        if not pairing:
            return
        view = View(facts, Fold(facts), self.rules.time.inactivity_gap)
        for pairs, rule in pairing:
            yield from ((opener, closer) for opener, closer in pairs(view, rule) if closer is not None)

    def _freeze(self, facts: Facts, derived: Derived, before: dict[str, int]) -> None:
        """What fell below the floors is said for good: its weight goes to its journey's prefix."""
        lines, old = self._lines(facts.floors), self._lines(before)
        frozen: dict[int, Tally] = {}
        for kind, friction in derived:
            if old[kind] <= friction.opened_at < lines[kind]:
                _tally(frozen, friction)
        for number, tally in frozen.items():
            if number in facts.sealed:
                _add(facts.sealed[number], tally)
        for key, p in list(facts.published.items()):
            if p.opened_at < lines[p.kind] and p.state != "open":
                del facts.published[key]

    def _drop_journeys(self, facts: Facts) -> None:
        line = facts.newest - self.journey_horizon
        held = {e.journey for e in all_entries(facts)}
        over = {n for n, j in facts.sealed.items() if max(j.end, j.trouble) < line and n not in held}
        # Where an id began anew, the later journey stands for it, for as long as an earlier one is remembered.
        staying = {j.id for n, j in facts.sealed.items() if n not in over}
        over -= {max(n for n, j in facts.sealed.items() if j.id == name) for name in staying}
        for number, journey in list(facts.sealed.items()):
            if number in over:
                del facts.sealed[number]
                if journey.trouble:
                    for other in facts.sealed.values():
                        other.came_back = other.came_back or _came_back(other, journey)
        names = {j.id for j in facts.sealed.values()}
        for name, mark in list(facts.marks.items()):
            if mark.end < line and name not in names:
                del facts.marks[name]

    def _pack(self, facts: Facts, derived: Derived, due: int) -> bytes:
        packed = facts.pack(due)
        keep = MAX_ENTRIES
        while len(packed) > MAX_PACKED and keep > 1:
            keep //= 2
            self._cap(facts, keep, derived)
            said, facts.published = facts.published, self._above(facts)  # what the cap ends makes room as well
            packed = facts.pack(due)
            facts.published = said
        return packed

    def _above(self, facts: Facts) -> dict[str, Published]:
        """What was said and still can change."""
        lines = self._lines(facts.floors)
        return {key: p for key, p in facts.published.items() if p.opened_at >= lines[p.kind]}


def _tally(tallies: dict[int, Tally], f: Friction) -> None:
    if f.rule.mode != "live":
        return
    at, number = f.opened_at, f.place.journey
    found = tallies.get(number)
    if found is None:
        tallies[number] = Tally(1, f.rule.weight, at, at, f.topic)
        return
    found.frictions += 1
    found.weight += f.rule.weight
    found.first = min(found.first, at)
    if at >= found.last:
        found.last, found.topic = at, f.topic


def _add(journey: Journey, tally: Tally) -> None:
    journey.frictions += tally.frictions
    journey.weight += tally.weight
    journey.first_trouble = min(journey.first_trouble or NEVER, tally.first)
    if tally.last >= journey.trouble:
        journey.trouble, journey.trouble_topic = tally.last, tally.topic


def _summed(journey: Journey, tallies: list[dict[int, Tally]]) -> Journey:
    """The journey with its frictions."""
    found = [t[journey.number] for t in tallies if journey.number in t]
    if found:
        journey = copy(journey)
        for tally in found:
            _add(journey, tally)
    return journey


def _troubled(journeys: Mapping[int, Journey], tallies: list[dict[int, Tally]]) -> list[Journey]:
    """Those with frictions."""
    numbers = {number for t in tallies for number in t}
    return [_summed(j, tallies) for n, j in journeys.items() if n in numbers or j.trouble]


def _moved(facts: Facts, derived: Derived, journey_id: str, into: str | None) -> Iterator[Saying]:
    """The frictions of a journey that another took in, each told again with where it is now."""
    if into is None or all(p.journey_id != journey_id for p in facts.published.values()):
        return
    for kind, f in derived:
        key = _key(kind, f)
        p = facts.published.get(key)
        if p is not None and p.journey_id == journey_id:
            p = facts.published[key] = msgspec.structs.replace(p, journey_id=into, revision=p.revision + 1)
            yield key, "updated", p, f, False


def _came_back(journey: Journey, before: Journey) -> bool:
    """Whether it begins with something else of the customer's own will after trouble in an earlier one."""
    least, most = CAME_BACK
    if before.start >= journey.start or journey.own_topic == before.trouble_topic:
        return False
    return any(least <= journey.own_at - at <= most for at in (before.first_trouble, before.trouble))


def _key(kind: str, f: Friction) -> str:
    return f"{kind}/{f.anchor}"


def _opened_at(f: Friction) -> int:
    return f.opened_at


def _opened(found: tuple[str, Friction]) -> int:
    return found[1].opened_at


def _lives_to(e: Entry) -> int:
    return e.at if e.due_at is None else max(e.at, e.due_at)


def _at(e: Entry) -> int:
    return e.at


def _cut(entries: list[Entry], keep: int) -> int:
    """The floor above which at most `keep` entries lie; those of one moment go together."""
    floor = entries[-keep].at
    return floor + (entries[-keep - 1].at == floor)


def _content(j: Journey, came_back: bool) -> tuple[object, ...]:
    counts = (j.touchpoints, j.contacts, j.frictions, round(j.weight, 6))
    return (j.id, j.start, j.end, counts, j.first_channel, j.last_channel, j.path, j.outcome, j.amounts, came_back)


def _incident(p: Published) -> tuple[str, str]:
    """What makes two frictions of a subject one incident."""
    return (p.kind, cause_of(p.context))


def _type(before: Published | None, after: Published) -> str:
    if before is None or before.state == "retracted":
        return "opened" if after.state == "open" else "resolved"
    if before.state == "resolved" and after.state == "open":
        return "opened"
    if after.state == "resolved" and before.state == "open":
        return "resolved"
    return "updated"


def _corrected(before: Published | None, after: Published) -> bool:
    return before is not None and (
        before.opened_at != after.opened_at
        or before.state == "retracted"
        or (before.state == "resolved" and (before.resolved_at, before.reason) != (after.resolved_at, after.reason))
    )
