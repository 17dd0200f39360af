"""Journeys: a subject's touchpoints, unbroken by more than the inactivity gap, or sharing an id.

A left fold over the entries in order of identity. An entry with an explicit `journey_id` goes
to the journey of that id; if there is none it names the journey under way, provided that
has no explicit id and the gap was not exceeded, else it begins one. An entry without an id joins
the journey under way (the one that took the entry before it) unless the gap was exceeded. So equal
explicit ids are one journey and different ones never join. An explicit journey that was silent for
more than 90 days begins anew under its id, which is the later one's from then on: what is forgotten
must not matter.

Because it is a left fold over sorted entries, its state at a time before which nothing can
come any more is final: that is the sealed prefix, and the entries behind it are not read again.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from decimal import Decimal
from hashlib import blake2b

from schemas.times import DAY
from streams.entries import Entry
from streams.facts import MAX_PATH, Facts, Journey

EXPLICIT_GAP = 90 * DAY
"""How long an explicit journey may be silent and still go on."""
RESOLVED = frozenset({"contact.resolved", "case.resolved"})
MONEY = {"order.placed": 1, "purchase.made": 1, "subscription.renewed": 1, "order.refunded": -1}
"""What an amount counts for: the customer's money comes, or goes back."""
ABOUT = frozenset({"contact.started", "message.received"})
OWN_WILL = ABOUT | {"page.viewed", "purchase.made", "subscription.renewed", "order.placed", "referral.made"}
"""What a customer does who has not turned away; of the first two only those that are about something else."""


class Fold:
    """The journeys of a subject by number, the number of the one under way, and the explicit ones by their id.

    untold: those that have changed since what is known of them was compared with what was told, by the tracker `untold_of`.
    """

    __slots__ = ("current", "explicit", "journeys", "last", "numbers", "subject", "untold", "untold_of")

    def __init__(self, facts: Facts) -> None:
        self.subject = facts.subject
        self.journeys = {n: _copy(j) for n, j in facts.sealed.items()}
        self.numbers, self.current = facts.numbers, facts.current
        self.explicit = {j.explicit: j.number for j in self.journeys.values() if j.explicit is not None}
        self.last: Entry | None = None
        self.untold: frozenset[int] = frozenset()
        self.untold_of: object = None

    def of(self, entry: Entry) -> Journey | None:
        """The journey that an entry is in; None where its journey is forgotten or the entry cancelled."""
        return self.journeys.get(entry.journey)

    def add(self, entries: list[Entry], begins: Callable[[Entry], bool], gap: int) -> None:
        """Fold entries in order of identity, and write into each the number of its journey.

        begins: whether a contact begins with an entry. The number of an entry that is
        not sealed holds until the next fold, which counts in the same order.
        """
        touched: set[int] = set()
        for e in entries:
            self.last = e
            if e.cancelled:
                e.journey = 0
                continue
            under_way = self.journeys.get(self.current)
            unbroken = under_way is not None and e.at - under_way.end <= gap
            if e.journey_id is not None:
                journey = self._explicit(e, under_way if unbroken else None)
            elif under_way is not None and unbroken:
                journey = under_way
            else:
                journey = self._begin(e, implicit_id(self.subject, e), None)
            self.current = journey.number
            e.journey = journey.number
            touched.add(journey.number)
            journey.end = e.at
            if e.channel != journey.last_channel:
                journey.last_channel = e.channel
                if len(journey.path) < MAX_PATH:
                    journey.path.append(e.channel)
            if e.outcome is not None:
                journey.outcome = e.outcome
            elif e.kind in RESOLVED:
                journey.outcome = "resolved"
            if e.details is not None and e.details.amount is not None and e.kind in MONEY:
                _add(journey.amounts, e.details.currency or "XXX", MONEY[e.kind] * Decimal(e.details.amount))
            if not journey.own_at and e.kind in OWN_WILL and e.direction != "outbound" and not e.automatic:
                journey.own_at, journey.own_topic = e.at, e.topic if e.kind in ABOUT else ""
            journey.touchpoints += 1
            journey.contacts += begins(e)
            journey.replay = e.replay
        self.untold = self.untold.union(touched)

    def _explicit(self, e: Entry, under_way: Journey | None) -> Journey:
        assert e.journey_id is not None
        name = e.journey_id
        known = self.journeys.get(self.explicit.get(name, 0))
        if known is not None and e.at - known.end <= EXPLICIT_GAP:
            return known
        if under_way is not None and under_way.explicit is None:
            under_way.id = under_way.explicit = name
            self.explicit[name] = under_way.number
            return under_way
        journey = self._begin(e, name, name)
        self.explicit[name] = journey.number
        return journey

    def _begin(self, e: Entry, name: str, explicit: str | None) -> Journey:
        self.numbers += 1
        journey = Journey(self.numbers, name, explicit, e.at, e.at, 0, 0, e.channel, e.channel, path=[e.channel])
        self.journeys[self.numbers] = journey
        return journey


def implicit_id(subject: str, earliest: Entry) -> str:
    """The id of a journey that was given none: 16 hexadecimal digits from its earliest touchpoint."""
    text = f"{subject}\n{earliest.at}\n{earliest.source}\n{earliest.event_id}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def fold_journeys(facts: Facts, gap: int) -> Fold:
    """The subject's journeys; what was folded before is folded on where it can be."""
    fold: Fold | None = facts.fold
    if fold is not None:
        fold.add(facts.appended, facts.begins, gap)
    else:
        fold = facts.fold = _fold(facts, gap, facts.ordered(facts.sealed_to))
        facts.refolded()
    facts.appended = []
    return fold


def seal(facts: Facts, gap: int, until: int) -> None:
    """Make what was folded from the entries before `until` final. Nothing older is accepted any more."""
    if until <= facts.sealed_to:
        return
    if facts.between(facts.sealed_to, until):
        fold = _fold(facts, gap, [e for e in facts.ordered(facts.sealed_to) if e.at < until])
        facts.sealed, facts.numbers, facts.current = fold.journeys, fold.numbers, fold.current
        facts.fold = None
    facts.sealed_to = until


def _fold(facts: Facts, gap: int, entries: list[Entry]) -> Fold:
    fold = Fold(facts)
    firsts = {id(c.first) for c in facts.contacts()} if entries else set()
    fold.add(entries, lambda e: id(e) in firsts, gap)
    return fold


def _copy(j: Journey) -> Journey:
    copied = copy(j)
    copied.path, copied.amounts = list(j.path), dict(j.amounts)
    return copied


def _add(amounts: dict[str, str], currency: str, amount: Decimal) -> None:
    amounts[currency] = str(Decimal(amounts.get(currency, "0")) + amount)
