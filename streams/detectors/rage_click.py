"""`rage_click`: the customer hammered on something that did not react."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.times import about
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending
from streams.rules import RageClick


def _element(e: Entry) -> str | None:
    return e.details.element if e.details else None


def _runs(clicks: list[Entry], table: RageClick) -> Iterator[list[Entry]]:
    """Consecutive clicks on one element, each near the one before in time and, where both places are known, in space.

    A click elsewhere breaks the run. Where no element is named, they all are on one.
    """
    run: list[Entry] = []
    for click in clicks:
        if run and not _near(run[-1], click, table.at(click)):
            yield run
            run = []
        run.append(click)
    if run:
        yield run


def _near(before: Entry, click: Entry, rule: RageClick) -> bool:
    if click.at - before.at >= rule.apart or _element(click) != _element(before):
        return False
    a, b = before.details, click.details
    if a is None or b is None or a.x is None or a.y is None or b.x is None or b.y is None:
        return True
    return abs(b.x - a.x) + abs(b.y - a.y) < rule.pixels


_ON = ("page.viewed", "element.clicked", "form.started", "form.submitted", "checkout.started")


def _past(view: View, third: Entry) -> Iterator[Entry]:
    """What the customer did later in the journey, on another element or on none, and did not fail at."""
    element, here = _element(third), view.journey(third)
    for e in view.of(*_ON) + view.of("order.placed"):
        elsewhere = _element(e) != element or (element is None and e.kind != "element.clicked")
        if e.identity > third.identity and elsewhere and e.own and view.journey(e) is here:
            yield e


def rage_click(view: View, table: RageClick, clock: Clock) -> Iterator[Friction]:
    """Opens at the click that makes a run of `clicks`, once a run; a warning when a form or search fails soon after.

    Resolved when the journey goes on past the element: at the customer's first later touchpoint in it, digital or an
    order, that is on another element or on none, and no failure.
    """
    clicks = [e for e in view.of("element.clicked") if e.own]
    for run in _runs(clicks, table):
        count = next((n for n, e in enumerate(run, 1) if n >= table.at(e).clicks), 0)
        if not count or run[count - 1].at < view.since:
            continue
        clicked, third = run[:count], run[count - 1]
        rule, at = table.at(third), third.at
        ends_at = at + rule.expires_after
        until = min(at + rule.failure_within, ends_at)
        failed = next((e for e in view.of("form.failed", "search.failed") if at <= e.at <= until and e.own), None)
        resolved_at, reason = ending(at, ends_at, ((e.at, "went_on") for e in _past(view, third)), clock)
        evidence = [("clicked", e) for e in clicked]
        summary = f"{count} clicks on {_element(third) or 'one place'} within {about(at - run[0].at)}"
        yield Friction(
            rule_id="rage_click",
            rule=rule,
            contact=None,
            entry=third,
            opened_at=at,
            severity="warning" if failed else "info",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(count, "clicks", None),
            threshold=(rule.clicks, "clicks", None),
            summary=summary + (f", then {failed.kind.partition('.')[0]} failed" if failed else ""),
            evidence=evidence + ([("failed", failed)] if failed else []),
            cause=failed or third,
            crossed=1 if failed else 0,
        )
