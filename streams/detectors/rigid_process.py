"""`rigid_process`: the process came before the person."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from schemas.times import format_duration
from streams.entries import Entry
from streams.facts import NEVER
from streams.friction import Clock, Friction, View, ending, series
from streams.rules import RigidProcess

Count = tuple[float, str, int | None]
"""A value, its unit, its window in microseconds."""


def rigid_process(view: View, table: RigidProcess, clock: Clock) -> Iterator[Friction]:
    """Opens at a request denied by policy, and when the same thing is asked for `asked` times within `window`.

    Over when a request is granted, under the anchor's `ref` or, where that has none, on its topic; or with
    the journey.
    """
    grants: list[Entry] | None = None
    for evidence, observed, threshold, summary in (*_denials(view), *_askings(view, table)):
        anchor = evidence[-1][1]
        at = anchor.at
        if at < view.since:
            continue
        if grants is None:
            grants = view.of("request.granted")
        rule = table.at(anchor)
        ends_at = at + rule.expires_after
        journey = view.journey(anchor)
        # Not in `ends_at`: the end of a journey moves with every touchpoint, and would be news each time.
        over = view.journey_over(journey) if journey is not None else NEVER
        last = "journey_over" if over <= ends_at else "expired"
        same = attrgetter("topic" if anchor.ref is None else "ref")
        ways = [(e.at, "granted") for e in grants if same(e) == same(anchor)]
        resolved_at, reason = ending(at, min(over, ends_at), ways, clock, last)
        yield Friction(
            rule_id="rigid_process",
            rule=rule,
            contact=None,
            entry=anchor,
            opened_at=at,
            severity="warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=observed,
            threshold=threshold,
            summary=summary,
            evidence=evidence,
            cause=anchor,
        )


Found = tuple[list[tuple[str, Entry]], Count, Count, str]
"""Evidence (the anchor last), observed, threshold, summary."""


def _denials(view: View) -> Iterator[Found]:
    one = (1, "denials", None)
    for e in view.of("request.denied"):
        if e.reason == "policy":
            yield [("denied", e)], one, one, "Denied by policy"


def _askings(view: View, table: RigidProcess) -> Iterator[Found]:
    """Asking for information and for identity count together, by element (none is one, too) and journey."""
    groups: dict[tuple[int, str | None], list[Entry]] = {}
    for e in view.of("information.requested", "identity.verified"):
        journey = view.journey(e)
        if journey is not None:
            element = e.details.element if e.details is not None else None
            groups.setdefault((journey.number, element), []).append(e)
    for (_, element), asked in groups.items():
        if len(asked) == 1:
            continue
        rules = [table.at(e) for e in asked]
        for low, i in _too_often(asked, rules):
            count, window = i - low + 1, rules[i].window
            what = "the same thing" if element is None else element
            summary = f"Asked for {what} {count} times within {format_duration(window)}"
            evidence = [("asked", e) for e in asked[low : i + 1]]
            yield evidence, (count, "requests", window), (rules[i].asked, "requests", window), summary


def _too_often(asked: list[Entry], rules: list[RigidProcess]) -> Iterator[tuple[int, int]]:
    times = [e.at for e in asked]
    return series(times, lambda i: rules[i].window, lambda low, i: i - low + 1 >= rules[i].asked)
