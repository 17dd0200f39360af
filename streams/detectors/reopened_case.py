"""`reopened_case`: a case was resolved, and was not.

A case goes by its `ref`; where it has none, by its topic, so that all cases without one are a single case on each topic.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from schemas.times import about
from streams.contacts import Contact
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending
from streams.rules import ReopenedCase

Case = tuple[str, str | None]
"""A field, and what it says."""
Identity = tuple[int, str, str]


class Return(NamedTuple):
    """One way in which a case came back: at `entry`, the reopening or the start of `contact`; `told` names the case."""

    entry: Entry
    contact: Contact | None
    told: Entry

    @property
    def identity(self) -> Identity:
        """Where it stands in the order of entries."""
        return self.entry.identity


def _case(e: Entry) -> Case:
    return ("topic", e.topic) if e.ref is None else ("ref", e.ref)


_identity = attrgetter("identity")


def _returns(view: View, cases: set[Case]) -> dict[Case, list[Return]]:
    """What may be a return of each case, in order."""
    found: dict[Case, list[Return]] = {case: [] for case in cases}
    for e in view.of("case.reopened"):
        for case in (("ref", e.ref), ("topic", e.topic)):
            if case in cases:
                found[case].append(Return(e, None, e))
    for contact in view.recent(view.reach):
        if contact.attempt:
            named = {("ref", e.ref): e for e in reversed(contact.entries) if ("ref", e.ref) in cases}
            for case, e in named.items():
                found[case].append(Return(contact.start, contact, e))
    for field, topic in cases:
        if field == "topic":
            found[field, topic] += [Return(c.start, c, c.start) for c in view.by_topic.get(topic, ())]
    for listed in found.values():
        listed.sort(key=_identity)
    return found


def _holds(contact: Contact, e: Entry) -> bool:
    within = contact.first.identity <= e.identity <= contact.entries[-1].identity
    return within and e.contact_id is not None and e.contact_id == contact.contact_id


def _first(resolved: Entry, returns: list[Return], table: ReopenedCase) -> tuple[Return, ReopenedCase] | None:
    """The earliest return after a resolution, within the window of the rule as it is where the case came back."""
    longest = resolved.at + max(rule.window for rule in table.variants)
    for back in returns[bisect_right(returns, resolved.identity, key=_identity) :]:
        if back.entry.at > longest:
            break
        rule = table.at(back.contact or back.entry)
        if back.entry.at <= resolved.at + rule.window and not (back.contact and _holds(back.contact, resolved)):
            return back, rule
    return None


def reopened_case(view: View, table: ReopenedCase, clock: Clock) -> Iterator[Friction]:
    """Opens when a resolved case comes back within `window`: it is reopened, or the customer makes another attempt at it.

    An attempt counts from its start, although it may name the case later; the contact in which the case was resolved
    is none. What is the return of several resolutions is one friction, told of the latest. An error where the same
    case, one of several, came back before, at most `expires_after` ago: no longer, because what is older is not
    remembered. Over when it is resolved again: under the same `ref`, or as what has none on the same topic.
    """
    resolutions = view.of("case.resolved")
    if not resolutions:
        return
    closed: dict[Case, list[Entry]] = {}
    for e in resolutions:
        closed.setdefault(_case(e), []).append(e)
    returns = _returns(view, {_case(e) for e in resolutions})
    found: dict[Identity, dict[Case, tuple[Entry, Return, ReopenedCase]]] = {}
    came_back: dict[Case, set[Identity]] = {}
    for resolved in resolutions:
        case = _case(resolved)
        first = _first(resolved, returns[case], table)
        if first is not None:
            found.setdefault(first[0].identity, {})[case] = (resolved, *first)
            came_back.setdefault(case, set()).add(first[0].identity)
    for identity, cases in found.items():
        if identity[0] < view.since:
            continue
        resolved, back, rule = max(cases.values(), key=lambda told: told[0].identity)
        at = back.entry.at
        earlier = (other for case in cases for other in came_back[case] if other < identity)
        again = any(at - other[0] <= rule.expires_after for other in earlier)
        ways = [
            (e.at, "resolved")
            for case in cases
            for e in closed[case][bisect_right(closed[case], identity, key=_identity) :][:1]
        ]
        ends_at = at + rule.expires_after
        resolved_at, reason = ending(at, ends_at, ways, clock)
        what = "reopened" if back.contact is None else "returned"
        evidence = {
            e.identity: (role, e) for role, e in (("named", back.told), (what, back.entry), ("resolved", resolved))
        }
        yield Friction(
            rule_id="reopened_case",
            rule=rule,
            contact=back.contact,
            entry=back.entry,
            opened_at=at,
            severity="error" if again else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=((at - resolved.at) / 1e6, "seconds", None),
            threshold=(rule.window / 1e6, "seconds", None),
            summary=f"A resolved case came back after {about(at - resolved.at)}" + (", again" if again else ""),
            evidence=[evidence[key] for key in sorted(evidence)],
            cause=max(back.told, back.entry, key=_identity),
            crossed=1 if again else 0,
        )
