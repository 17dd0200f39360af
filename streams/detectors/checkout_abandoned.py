"""`checkout_abandoned`: a checkout was begun, and no order came."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from schemas.times import format_duration
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending
from streams.rules import CheckoutAbandoned


def checkout_abandoned(view: View, table: CheckoutAbandoned, clock: Clock) -> Iterator[Friction]:
    """Opens when `order_within` has passed since a start without an order or another start: that one is the last.

    A warning when there was trouble in the journey before: another first-order friction, an earlier checkout that
    was abandoned, or what the forgotten part of the journey counts. What is recorded in shadow worsens only what is
    in shadow itself, and for no longer than `expires_after`: beyond that it is not remembered. Over when the
    order is placed.
    """
    starts = view.of("checkout.started")
    if not starts:
        return
    orders = [e.at for e in view.of("order.placed")]
    found: list[tuple[Entry, CheckoutAbandoned]] = []
    for i, start in enumerate(starts):
        rule = table.at(start)
        at = start.at + rule.order_within
        if i + 1 < len(starts) and starts[i + 1].at <= at:
            continue
        placed = bisect_left(orders, start.at)
        if (placed < len(orders) and orders[placed] <= at) or not clock.passed(at):
            continue
        found.append((start, rule))
        if at < view.since:
            continue
        trouble = _trouble(view, start, rule, found[:-1])
        ends_at = at + rule.expires_after
        ways = [(when, "ordered") for when in orders[bisect_right(orders, at) :][:1]]
        resolved_at, reason = ending(at, ends_at, ways, clock)
        yield Friction(
            rule_id="checkout_abandoned",
            rule=rule,
            contact=None,
            entry=start,
            opened_at=at,
            severity="warning" if trouble else "info",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(rule.order_within / 1e6, "seconds", None),
            threshold=(rule.order_within / 1e6, "seconds", None),
            summary=f"No order within {format_duration(rule.order_within)} of the checkout"
            + (", after other trouble" if trouble else ""),
            evidence=[("started", start)],
            cause=start,
            crossed=1 if trouble else 0,
        )


def _trouble(
    view: View, start: Entry, rule: CheckoutAbandoned, abandoned: list[tuple[Entry, CheckoutAbandoned]]
) -> bool:
    """Whether something else had opened in the journey by then."""
    journey, at = view.journey(start), start.at + rule.order_within
    if journey is None:
        return False
    if 0 < journey.first_trouble <= at:
        return True
    if any(f.opened_at <= at and view.journey(f.place) is journey for f in view.frictions):
        return True
    return any(
        e.at + r.order_within <= at
        and (r.mode == "live" or (r.mode == rule.mode and start.at - e.at <= rule.expires_after))
        and view.journey(e) is journey
        for e, r in abandoned
    )
