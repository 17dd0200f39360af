"""What the kernel promises for all traffic, not only for the stories: DESIGN.md section 3, property by property.

The traffic is drawn so that every threshold is met exactly, just under and just over: times are sums of steps that
are the limits of the rules. A `Delivery` is one way in which the same touchpoints may reach a worker.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import DAY, FUTURE_TOLERANCE, HOUR, MINUTE, SECOND, parse_time
from schemas.touchpoint import Normal
from streams.contacts import CONTACT_SPAN
from streams.facts import MANY, MAX_ENTRIES, MAX_PACKED, Facts, all_entries, unpack
from streams.friction import Clock, Friction
from streams.rules import Rules, parse_rules
from streams.tracker import Tracker
from tests.stories import DEFAULTS, MONDAY, Desk, entry

STEPS = (0, 1, 3 * SECOND, 5 * SECOND, 10 * SECOND, 2 * MINUTE, 2 * MINUTE + 1, 10 * MINUTE, HOUR, DAY, 3 * DAY)
LEAPS = (7 * DAY - 1, 7 * DAY, 7 * DAY + 1, 30 * DAY, 45 * DAY, 100 * DAY)
KINDS = (
    "contact.started contact.queued contact.answered contact.ended contact.abandoned contact.transferred "
    "contact.resolved contact.refused message.received message.sent case.opened case.resolved case.reopened "
    "page.viewed promise.made survey.answered"
).split()
VARIANTS: tuple[dict[str, Any], ...] = (
    *({},) * 6,
    {"ended_by": "agent"},
    {"ended_by": "network"},
    {"ended_by": "customer"},
    {"wait_ms": 3_000},
    {"wait_ms": 130_000},
    {"direction": "outbound"},
    {"automatic": True},
    {"reason": "callback_accepted"},
    {"reason_code": "38"},
    {"outcome": "resolved"},
    {"cancelled": True},
    {"version": 1},
    {"journey_id": "J"},
    {"journey_id": "K"},
    {"ref": "r1"},
)


@st.composite
def traffic(draw: st.DrawFn, size: int = 40, leaps: bool = True) -> list[Normal]:
    """One customer's touchpoints in order of time; contact ids are not used again after more than 30 days."""
    steps = STEPS * 3 + LEAPS if leaps else STEPS
    n = draw(st.integers(1, size))
    row = st.tuples(
        st.sampled_from(steps),
        st.sampled_from(KINDS),
        st.sampled_from(("voice", "voice", "chat", "email")),
        st.integers(0, 4),
        st.sampled_from((None, "billing", "delivery")),
        st.sampled_from(VARIANTS),
    )
    time, found = MONDAY, []
    for i, (step, kind, channel, slot, topic, more) in enumerate(draw(st.lists(row, min_size=n, max_size=n))):
        time += step
        contact = f"c{slot}-{(time - MONDAY) // (20 * DAY)}" if slot else None
        found.append(
            Normal("s", f"e{i}", "maria", kind, channel, time, contact_id=contact, topic=topic, **more)
        )  # fmt: skip
        if more.get("cancelled") and slot % 2:  # cancelled after it was there
            found.append(msgspec.structs.replace(found[-1], cancelled=False))
            found[-2].version = 1
    return found


@dataclass
class Delivery:
    """One way to deliver: arrival times, repetitions, batches, restarts, timers fired or missed, idle time."""

    seed: int
    rules: Rules = DEFAULTS

    def play(self, touchpoints: Sequence[Normal], end: int) -> tuple[Desk, list[Normal]]:
        """The desk after the watermark `end`, and the touchpoints that were not too late."""
        dice = Random(self.seed)
        time = self.rules.time
        late = dice.choice((0, MINUTE, HOUR, 3 * DAY, time.lateness + DAY))
        arrivals = sorted(
            (
                (t.occurred_at + round(dice.random() * late), t)
                for t in touchpoints
                for _ in range(dice.choice((1, 1, 2)))
            ),
            key=lambda x: x[0],
        )
        looks, fires, restarts = (dice.choice((0.0, 0.3, 1.0)) for _ in range(3))
        desk = Desk(self.rules, now=touchpoints[0].occurred_at - time.disorder, many=dice.choice((0, MANY)))
        accepted = []
        due = None
        for arrived, t in arrivals:
            ahead = dice.choice((0, 0, FUTURE_TOLERANCE))
            if t.occurred_at < desk.now - time.lateness:
                continue
            accepted.append(t)
            desk.tell([t])
            desk.now = max(desk.now, t.occurred_at - ahead - time.disorder)
            if dice.random() < 0.1:  # the partition hears of others, or of nobody: the watermark goes on
                desk.now = max(
                    desk.now, min(end, arrived + round(dice.random() * dice.choice((MINUTE, DAY, 40 * DAY))))
                )
            if dice.random() < looks or (due is not None and due <= desk.now and dice.random() < fires):
                desk.look()
                due = _promised(desk)
                if dice.random() < restarts:
                    desk.restart()
        desk.look(end, settle=True)
        return desk, accepted


def _promised(desk: Desk) -> int | None:
    """The time of the next look, after holding the desk to it: until then there is nothing new to say."""
    assert desk.last is not None
    if desk.packed is None:
        return None
    due = desk.last.due
    assert due > desk.now
    for moment in (desk.now, due - 1):
        again = Tracker(desk.rules).look(unpack("maria", desk.packed), moment, moment)
        assert not again.frictions and not again.journeys, (moment, due, again)
        assert again.packed is not None and again.due == due
    return due


def _in_order(touchpoints: Sequence[Normal], end: int, rules: Rules = DEFAULTS) -> Desk:
    """One look over everything, told in order of time."""
    desk = Desk(rules)
    desk.tell(sorted(touchpoints, key=lambda t: (t.occurred_at, t.event_id)))
    desk.look(end, settle=True)
    return desk


def _end(touchpoints: Sequence[Normal], more: int) -> int:
    return max(t.occurred_at for t in touchpoints) + more


AFTER = st.sampled_from((0, MINUTE, HOUR, 8 * DAY, 29 * DAY, 40 * DAY, 200 * DAY))
SEEDS = st.integers(0, 2**32)


@settings(max_examples=200, deadline=None)
@given(traffic(), AFTER, SEEDS)
def test_delivery_does_not_matter(touchpoints: list[Normal], after: int, seed: int) -> None:
    """Two deliveries of the same accepted touchpoints end in the same frictions and journeys, whatever happened between.

    On the way the desk holds every event to its model, revisions to rising, and every look to the time it promised.
    """
    end = _end(touchpoints, after)
    desk, accepted = Delivery(seed).play(touchpoints, end)
    assert desk.claims() == _in_order(accepted, end).claims()


@settings(max_examples=120, deadline=None)
@given(traffic(size=30), SEEDS)
def test_cached_and_recomputed_are_equal(touchpoints: list[Normal], seed: int) -> None:
    """What is kept folded in memory never differs from what is folded anew: from the packed form, or from the entries."""
    dice = Random(seed)
    tracker = Tracker(DEFAULTS)
    facts = Facts("maria", "maria")
    for t in dice.sample(touchpoints, len(touchpoints)):
        facts.merge(entry(t))
        if dice.random() < 0.4:
            tracker.derive(facts, Clock(t.occurred_at))  # fills the caches
        if dice.random() < 0.2 and tracker.look(facts, facts.newest, 0).packed is None:
            return
    now = facts.newest + dice.choice((0, HOUR, DAY))
    anew = Facts("maria", "maria")
    for e in dice.sample(list(all_entries(facts)), sum(map(len, facts.entries.values()))):
        anew.merge(copy.copy(e))
    anew.floors, anew.sealed_to = dict(facts.floors), facts.sealed_to
    anew.sealed, anew.numbers, anew.current = facts.sealed, facts.numbers, facts.current
    kept, restored, rebuilt = (
        _derived(tracker, f, now) for f in (facts, unpack("maria", facts.pack(0)), anew)
    )  # fmt: skip
    assert kept == restored == rebuilt


def _derived(tracker: Tracker, facts: Facts, now: int) -> tuple[int, list[tuple[str, Friction]]]:
    clock = Clock(now)
    found = tracker.derive(facts, clock)
    return clock.due, sorted(found, key=lambda x: (x[0], x[1].opened_at, x[1].anchor))


@settings(max_examples=40, deadline=None)
@given(traffic(size=80), SEEDS)
def test_forgetting_never_retracts(touchpoints: list[Normal], seed: int) -> None:
    """Without late touchpoints nothing is ever taken back, however many years pass and however much is forgotten."""
    dice = Random(seed)
    desk = Desk()
    seen: set[tuple[int, str, str]] = set()
    for t in touchpoints:
        if (key := (t.occurred_at, t.source, t.event_id)) in seen:
            continue  # a cancellation is late evidence
        seen.add(key)
        desk.tell([t])
        for d in [e["data"] for e in desk.look(t.occurred_at - DEFAULTS.time.disorder)]:
            assert d["state"] != "retracted" or _young(d, t), d
        if dice.random() < 0.5:
            desk.restart()
    final = {d["friction_id"]: d for d in desk.standing if not d["provisional"]}
    before = len(desk.events)
    for weeks in range(1, 60):
        now = touchpoints[-1].occurred_at + weeks * 7 * DAY
        desk.tell([Normal("s", f"page{weeks}", "maria", "page.viewed", "web", now)])
        desk.look(now)
    assert [e["data"] for e in desk.events[before:] if e["data"]["friction_id"] in final] == []
    assert not any(e["type"].endswith("retracted") for e in desk.events[before:])
    assert all(d["state"] == "resolved" for d in desk.standing)
    assert desk.facts is not None and not desk.facts.published and len(desk.packed or b"") < 8_000


def _young(friction: dict[str, Any], news: Normal) -> bool:
    """Even in order a touchpoint may take back what hangs on a contact that is still going on."""
    return parse_time(friction["opened_at"]) >= news.occurred_at - CONTACT_SPAN - 7 * DAY


@settings(max_examples=150, deadline=None)
@given(traffic(), st.integers(0, 60 * DAY), st.integers(0, 60 * DAY))
def test_history_is_returned(touchpoints: list[Normal], one: int, other: int) -> None:
    """A friction seen at one time is there at every later time, with the same id and the same `opened_at`."""
    facts = Facts("maria", "maria")
    for t in touchpoints:
        facts.merge(entry(t))
    tracker = Tracker(DEFAULTS)
    start = touchpoints[0].occurred_at
    early, late = (
        Counter((kind, f.anchor, f.opened_at) for kind, f in tracker.derive(facts, Clock(start + after)))
        for after in sorted((one, other))
    )
    assert early <= late


@settings(max_examples=150, deadline=None)
@given(traffic(size=20, leaps=False), SEEDS)
def test_merging_is_a_set_union(touchpoints: list[Normal], seed: int) -> None:
    """Versions, cancellations and repetitions in any order leave the same entries."""
    dice = Random(seed)
    versions = [
        msgspec.structs.replace(
            t, version=t.version + v, cancelled=dice.random() < 0.3, kind=dice.choice((t.kind, *KINDS))
        )
        for t in touchpoints
        for v in range(dice.choice((1, 2, 3)))
    ]
    packed = set()
    for _ in range(3):
        facts = Facts("maria", "maria")
        told = [entry(t) for t in dice.sample(versions * 2, 2 * len(versions))]
        for e in told:
            facts.merge(e)
        assert not any(facts.merge(entry(t)) for t in versions)
        assert len(list(all_entries(facts))) == len({e.identity for e in told})
        packed.add(msgspec.msgpack.encode(sorted(all_entries(facts), key=lambda e: e.identity)))
    assert len(packed) == 1


CHANGES = (
    'repeat_contact.window = "1d"\ndropped_call.mode = "off"\nlong_wait.limits.voice = "1h"\nslow_reply.mode = "shadow"',
    'agent_disconnect.short_call = "2s"\nqueue_abandoned.short_abandon = "10m"\nslow_reply.limits.chat = "1h"',
    'agent_disconnect.mode = "off"\nagent_disconnect.short_call = "10m"\nrepeat_contact.mode = "off"',
    "repeat_contact.weight = 1\ndropped_call.weight = 0",
)


@settings(max_examples=120, deadline=None)
@given(traffic(size=25, leaps=False), st.sampled_from(CHANGES), st.sampled_from(CHANGES))
def test_new_rules_rewrite_nothing(touchpoints: list[Normal], first: str, second: str) -> None:
    """Under other rules nothing is retracted: what they do not find ends, with that reason and without a notification."""
    rules, others = parse_rules(first), parse_rules(second)
    desk = Desk(rules)
    desk.tell(touchpoints)
    desk.look(_end(touchpoints, HOUR))
    before = {d["friction_id"]: d for d in desk.standing}
    desk.rules = others
    said = [e["data"] for e in desk.look()]
    for d in said:
        assert d["state"] != "retracted"
        if d["reason"] == "rule_changed":
            was = before[d["friction_id"]]
            assert d["suppressed"] and d["state"] == "resolved" and was["state"] == "open"
            assert others.named[d["rule"]["id"]].digest != d["rule"]["digest"]
    assert before.keys() <= {d["friction_id"] for d in desk.standing}
    open_now = {d["friction_id"] for d in desk.standing if d["state"] == "open"}
    fresh = _in_order(touchpoints, desk.now, others)
    assert open_now == {d["friction_id"] for d in fresh.standing if d["state"] == "open"}
    if first == second:
        assert not said
    assert desk.look() == []


SWITCHBOARDS: dict[str, Callable[[int, Random], dict[str, Any]]] = {
    "calls": lambda i, dice: {"kind": dice.choice(KINDS[:8]), "contact_id": f"c{i // 4}"},
    "everything": lambda i, dice: {"kind": dice.choice(KINDS), "contact_id": f"c{dice.randrange(i + 1) // 2}"},
    "explicit journeys": lambda i, _: {"kind": "page.viewed", "journey_id": f"journey-{i}"},
    "promises": lambda i, _: {"kind": "promise.made", "ref": f"r{i % 3}", "due_at": MONDAY + 300 * DAY},
    "long words": lambda i, _: {
        "kind": "contact.ended", "contact_id": f"{i}".ljust(128, "x"), "topic": f"{i}".ljust(128, "t"),
        "queue": "q" * 128, "agent_id": "a" * 128, "ended_by": "network", "ref": f"{i}".ljust(128, "r"),
    },
    "the same moment": lambda i, _: {"kind": "contact.started", "occurred_at": MONDAY},
}  # fmt: skip


@pytest.mark.parametrize("traffic_of", SWITCHBOARDS)
def test_a_switchboard_stays_small(traffic_of: str) -> None:
    """A number that a whole town calls from costs one worker 256 KiB, and says of itself that it was cut.

    What it cannot follow any more it ends: nothing that it opened stays open for ever, and nothing is taken back.
    """
    dice = Random(7)
    desk = Desk()
    for i in range(3_000):
        fields: dict[str, Any] = {"channel": "voice", "occurred_at": MONDAY + i * MINUTE} | SWITCHBOARDS[traffic_of](
            i, dice
        )
        desk.tell([Normal("s", f"e{i}", "maria", **fields)])
        if i % 150 == 149:
            capped = desk.facts is not None and desk.facts.capped
            said = desk.look(MONDAY + i * MINUTE)
            assert desk.packed is not None and len(desk.packed) <= MAX_PACKED
            assert desk.facts is not None
            assert max(map(len, desk.facts.entries.values()), default=0) <= MAX_ENTRIES
            assert not capped or not any(e["type"].endswith("retracted") for e in said)
            remembered = sum(p.state == "open" for p in desk.facts.published.values())
            assert remembered == sum(d["state"] == "open" for d in desk.standing)
            assert desk.look() == []
    assert desk.facts is not None and desk.facts.capped
