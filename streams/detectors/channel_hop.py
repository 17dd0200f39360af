"""`channel_hop`: the same matter on one channel after another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from operator import attrgetter

from schemas.times import format_duration
from streams.contacts import Contact
from streams.friction import Clock, Friction, View, ending, series
from streams.rules import ChannelHop

_start = attrgetter("started_at")


def channel_hop(view: View, table: ChannelHop, clock: Clock) -> Iterator[Friction]:
    """Opens at the attempt that makes `channels` distinct channels on the topic within `window`.

    Resolved when a contact on the topic, or a case that names it, is; else over when the customer has made no
    attempt on it for a whole window. Exactly a window apart is inside, so the silence is not broken only by what comes
    later than that.
    """
    if not view.known:
        return
    for topic, listed in view.by_topic.items():
        if listed[-1].started_at < view.since:
            continue
        attempts = listed[bisect_left(listed, view.since - view.reach, key=_start) :]
        if len({c.channel for c in attempts}) < 2:
            continue  # the least that `channels` may be
        rules = [table.at(c) for c in attempts]
        for low, i in _hops(attempts, rules):
            attempt, rule = attempts[i], rules[i]
            at = attempt.started_at
            if at < view.since:
                continue
            ends_at = at + rule.expires_after
            quiet = _quiet(attempts[i:], rule.window)
            # Not in `ends_at`: the silence moves with every attempt, and would be news each time.
            last = "went_quiet" if quiet <= ends_at else "expired"
            ways = [
                (c.resolution.at, "resolved") for c in view.contacts if c.topic == topic and c.settled and c.resolution
            ]
            ways += [(e.at, "resolved") for e in view.of("case.resolved") if e.topic == topic]
            resolved_at, reason = ending(at, min(quiet, ends_at), ways, clock, last)
            tried = list(dict.fromkeys(c.channel for c in attempts[low : i + 1]))
            about = f"about {topic}" if topic else "without a topic"
            yield Friction(
                rule_id="channel_hop",
                rule=rule,
                contact=attempt,
                entry=attempt.start,
                opened_at=at,
                severity="warning",
                ends_at=ends_at,
                resolved_at=resolved_at,
                reason=reason,
                observed=(len(tried), "channels", rule.window),
                threshold=(rule.channels, "channels", rule.window),
                summary=f"{len(tried)} channels {about} within {format_duration(rule.window)}: {', '.join(tried)}",
                evidence=[("attempt", c.start) for c in attempts[low : i + 1]],
                cause=attempt.start,
            )


def _hops(attempts: list[Contact], rules: list[ChannelHop]) -> Iterator[tuple[int, int]]:
    latest: dict[str, int] = {}

    def enough(low: int, i: int) -> bool:  # asked for each attempt in order
        latest[attempts[i].channel] = i
        return sum(last >= low for last in latest.values()) >= rules[i].channels

    return series([c.started_at for c in attempts], lambda i: rules[i].window, enough)


def _quiet(attempts: list[Contact], window: int) -> int:
    """The end of the first silence of a whole window; microseconds."""
    for c, following in pairwise(attempts):
        if following.started_at > c.started_at + window:
            return c.started_at + window
    return attempts[-1].started_at + window
