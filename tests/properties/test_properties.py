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
from streams.detectors import DETECTORS
from streams.facts import MAX_ENTRIES, MAX_PACKED, NEVER, Facts, all_entries, unpack
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
    {"reason": "channel_closed"},
    {"reason_code": "38"},
    {"outcome": "resolved"},
    {"cancelled": True},
    {"version": 1},
    {"journey_id": "J"},
    {"journey_id": "K"},
    {"ref": "r1"},
    {"queue": "sales"},
    {"queue": "vip"},
    {"agent_id": "a1"},
    {"agent_id": "a2"},
    {"later": {"topic": "delivery"}},
    {"later": {"queue": "vip"}},
    {"later": {"kind": "page.viewed"}},
    {"later": {"kind": "contact.resolved"}},
)
"""What a touchpoint may have besides. `later`: a newer version of it says this; `due`: falls due so long after it."""


Variants = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Scene:
    """What one traffic is made of: kinds and what they may have besides, steps and leaps of time, topics, channels."""

    told: tuple[tuple[str, Variants], ...]
    steps: tuple[int, ...] = STEPS
    leaps: tuple[int, ...] = LEAPS
    topics: tuple[str | None, ...] = (None, "billing", "delivery")
    channels: tuple[str, ...] = ("voice", "voice", "chat", "email")
    slots: int = 4

    @property
    def words(self) -> list[tuple[str, dict[str, Any]]]:
        """Every kind with everything."""
        return [(kind, more) for kinds, variants in self.told for kind in kinds.split() for more in variants]


PLAIN: Variants = ({},)
REFS: Variants = ({}, {"ref": "r1"}, {"ref": "r2"})
JOURNEYS: Variants = ({"journey_id": "J"}, {"journey_id": "K"})
CHANGED: Variants = ({"cancelled": True}, {"version": 1}, {"later": {"topic": "delivery"}}, {"later": {"ref": "r2"}})
DUE = tuple({"due": due} for due in (-HOUR, 0, 1, HOUR, 3 * DAY, 7 * DAY, 40 * DAY, 300 * DAY))
PLACES = tuple({"element": "pay", "x": x, "y": 5.0} for x in (5.0, 20.0, 34.9, 35.0))
SCORES = tuple(
    {"score": float(score), "scale": scale} | more
    for score, scale in ((3, "nps"), (4, "nps"), (6, "nps"), (7, "nps"), (2, "csat5"), (3, "csat5"), (9, "csat5"))
    for more in ({}, {"ref": "r1"})
)
CAR: Variants = tuple({"asset_id": "car"} | more for more in (*REFS, {}))
SCENES = {
    "contacts": Scene(((" ".join(KINDS), VARIANTS),)),
    "calls": Scene(
        (
            ("contact.started contact.answered contact.answered contact.answered", PLAIN * 2),
            (
                "contact.ended",
                ({"ended_by": "agent"}, {"ended_by": "agent"}, {"ended_by": "network"}, {"ended_by": "customer"}),
            ),
            ("contact.ended contact.resolved", ({"outcome": "resolved"}, {"ended_by": "agent", "version": 1})),
        ),
        (0, SECOND, 5 * SECOND, 5 * SECOND, 10 * SECOND - 1, 10 * SECOND, 10 * MINUTE, HOUR, HOUR + 1),
        topics=("billing",),
        channels=("voice",),
        slots=9,
    ),
    "queues": Scene(
        (
            (
                "contact.queued contact.queued contact.abandoned contact.answered contact.transferred contact.transferred",
                ({"queue": "sales"}, {"queue": "vip"}, {"agent_id": "a1"}, {"agent_id": "a2"}, {}),
            ),
            ("contact.abandoned", ({"reason": "callback_accepted"}, {"wait_ms": 3_000}, {"wait_ms": 130_000})),
            (
                "contact.queued contact.transferred",
                ({"later": {"queue": "vip"}}, {"later": {"agent_id": "a1"}}, *CHANGED),
            ),
            ("contact.resolved", PLAIN * 4),
        ),
        channels=("voice",),
        slots=2,
    ),
    "channels": Scene(
        (
            ("contact.started message.received", PLAIN * 4),
            ("case.resolved contact.resolved message.sent contact.refused", PLAIN),
            ("contact.started", (*CHANGED, {"later": {"channel": "chat"}}, {"direction": "outbound"})),
        ),
        (0, 1, MINUTE, HOUR, DAY, 3 * DAY, 3 * DAY + 1),
        topics=("billing", "billing", "billing", None),
        channels=("voice", "chat", "email", "web"),
    ),
    "chats": Scene(
        (
            ("message.received message.received message.sent", PLAIN * 3),
            ("message.sent message.received contact.ended", ({"automatic": True}, {"ended_by": "customer"}, *CHANGED)),
            ("case.resolved case.reopened contact.started contact.resolved", PLAIN),
        ),
        (0, 1, MINUTE, 2 * MINUTE - 1, 2 * MINUTE, 2 * MINUTE + 1, 20 * MINUTE, 4 * HOUR, 4 * HOUR + 1),
        topics=("billing",),
        channels=("chat", "chat", "email"),
        slots=1,
    ),
    "cases": Scene(
        (
            ("case.resolved case.resolved case.reopened contact.started message.received", (*REFS, *REFS, *CHANGED)),
            ("case.opened contact.resolved message.sent", ({}, {"ref": "r1"}, {"automatic": True})),
        ),
        leaps=(*LEAPS, 14 * DAY, 14 * DAY + 1),
        topics=("billing", "billing", None),
        slots=2,
    ),
    "promises": Scene(
        (
            ("promise.made", tuple(due | ref for due in DUE for ref in REFS)),
            ("promise.kept", REFS * 3),
            ("promise.made promise.kept", CHANGED),
        )
    ),
    "process": Scene(
        (
            ("request.denied", tuple({"reason": "policy"} | ref for ref in REFS) * 2),
            ("request.granted", REFS * 2),
            ("information.requested identity.verified", ({"element": "passport"},) * 4 + ({},)),
            ("information.requested identity.verified page.viewed", (*JOURNEYS, *CHANGED)),
        )
    ),
    "clicks": Scene(
        (
            ("element.clicked", PLACES * 3),
            ("element.clicked", ({"element": "help"}, {}, *JOURNEYS, *CHANGED, {"direction": "outbound"})),
            ("form.failed search.failed page.viewed order.placed", PLAIN),
        ),
        (0, *(300_000,) * 4, SECOND - 1, SECOND, 30 * SECOND, MINUTE, HOUR),
        channels=("web",),
        slots=0,
    ),
    "forms": Scene(
        (
            ("form.failed", (*REFS, *REFS, {"element": "visa"}, *CHANGED)),
            ("form.submitted form.started", REFS),
        ),
        (0, MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, HOUR, HOUR + 1, DAY),
        channels=("web",),
        slots=0,
    ),
    "checkouts": Scene(
        (
            ("checkout.started checkout.started order.placed", (*PLAIN * 3, *JOURNEYS, {"cancelled": True})),
            ("form.failed page.viewed", PLAIN),
        ),
        (0, MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, HOUR + 1, DAY),
        channels=("web",),
        slots=0,
    ),
    "repairs": Scene(
        (
            ("repair.opened repair.opened repair.closed", CAR * 3),
            ("repair.opened repair.closed", ({}, {"asset_id": "bike"}, *({"asset_id": "car"} | m for m in CHANGED))),
            ("repair.opened", ({"asset_id": "car", "later": {"kind": "repair.closed"}},)),
            ("asset.sold asset.replaced order.refunded", ({"asset_id": "car"}, {"asset_id": "car", "cancelled": True})),
        ),
        (0, 1, HOUR, DAY, 5 * DAY, 10 * DAY, 13 * DAY, 25 * DAY - 1, 25 * DAY, 30 * DAY),
        (100 * DAY, 400 * DAY, 730 * DAY - 1, 730 * DAY, 730 * DAY + 1),
        channels=("store",),
        slots=0,
    ),
    "feedback": Scene(
        (
            ("survey.answered", SCORES * 2),
            ("complaint.filed feedback.followed_up feedback.followed_up", (*REFS, *REFS, *CHANGED)),
            ("survey.answered survey.sent page.viewed", ({"score": 3.0}, {"scale": "nps"})),
        ),
        (0, 1, MINUTE, HOUR, DAY, 2 * DAY, 2 * DAY + 1),
        (7 * DAY, 28 * DAY, 30 * DAY, 30 * DAY + 1, 60 * DAY),
        channels=("web", "email"),
        slots=1,
    ),
    "trouble": Scene(
        (
            ("contact.refused", ({"reason": "channel_closed"}, {"reason": "channel_closed"}, *CHANGED)),
            ("request.denied", ({"reason": "policy"},) * 2),
            ("promise.made", DUE),
            ("complaint.filed checkout.started contact.started contact.answered", PLAIN),
            ("message.sent feedback.followed_up page.viewed message.received", PLAIN),
        ),
        leaps=(*LEAPS, 29 * DAY, 30 * DAY - 1, 30 * DAY + 1, 31 * DAY, 60 * DAY),
    ),
}
SCENES["everything"] = Scene(
    tuple(told for scene in list(SCENES.values())[1:] for told in scene.told), steps=(*STEPS, *(300_000,) * 4)
)


def life(dice: Random, scene: str = "contacts", size: int = 40, leaps: bool = True) -> list[list[Normal]]:
    """One customer's touchpoints in order of time, each in its versions; no contact id comes again after 30 days."""
    made = SCENES[scene]
    steps = made.steps * 3 + made.leaps if leaps else made.steps
    words, topics, slots = made.words, made.topics, made.slots
    if dice.random() < 0.5:  # few words said often
        words = dice.sample(words, min(len(words), dice.randint(2, 8)))
        steps = tuple(dice.choices(steps, k=dice.randint(2, 6)))
    if dice.random() < 0.5:  # one matter
        topics, slots = (dice.choice(topics),), min(1, slots)
    time, told = MONDAY, []
    for i in range(dice.randint(1, size)):
        time += dice.choice(steps)
        kind, more = dice.choice(words)
        told.append(_told(i, time, kind, dice.choice(made.channels), dice.randint(0, slots), dice.choice(topics), more))
    return told


@st.composite
def traffic(draw: st.DrawFn, scene: str = "contacts", size: int = 40, leaps: bool = True) -> list[Normal]:
    """A life by dice, since hypothesis draws stories too thin for a run or a series; it leaves out what fails without."""
    told = life(Random(draw(st.integers(0, 2**32))), scene, size, leaps)
    kept = draw(st.lists(st.integers(0, 9), min_size=len(told), max_size=len(told)))
    return [t for versions, keep in zip(told, kept, strict=True) for t in versions if keep] or told[0]


def _told(
    i: int, time: int, kind: str, channel: str, slot: int, topic: str | None, more: dict[str, Any]
) -> list[Normal]:
    more = dict(more)
    later, due = more.pop("later", None), more.pop("due", None)
    contact = f"c{slot}-{(time - MONDAY) // (20 * DAY)}" if slot else None
    due_at = None if due is None else time + due
    told = Normal("s", f"e{i}", "maria", kind, channel, time, contact_id=contact, topic=topic, due_at=due_at, **more)
    if more.get("cancelled") and slot % 2:  # cancelled after it was there
        return [msgspec.structs.replace(told, cancelled=False), msgspec.structs.replace(told, version=1)]
    return [told] if later is None else [told, msgspec.structs.replace(told, version=1, **later)]


every_scene = pytest.mark.parametrize("scene", SCENES)


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
        desk = Desk(self.rules, now=touchpoints[0].occurred_at - time.disorder)
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


OTHERS = (
    "\n".join(f'{d.kind}.expires_after = "1h"\n{d.kind}.cool_down = "2d"' for d in DETECTORS),
    "\n".join(f'[[{d.kind}.override]]\ntopic = "billing"\nexpires_after = "2d"' for d in DETECTORS),
    (
        'long_wait.calendar = "desk"\nslow_reply.calendar = "desk"\nbroken_promise.calendar = "desk"\n'
        'broken_promise.grace = "20h"\ncalendars.desk = { zone = "Europe/Madrid", hours = { mon-fri = "09:00-18:00" } }'
    ),
)
RULES = st.sampled_from((DEFAULTS, DEFAULTS, *map(parse_rules, OTHERS)))


@every_scene
@settings(max_examples=18)
@given(data=st.data(), after=AFTER, seed=SEEDS, rules=RULES)
def test_delivery_does_not_matter(scene: str, data: st.DataObject, after: int, seed: int, rules: Rules) -> None:
    """Two deliveries of the same accepted touchpoints end in the same frictions and journeys, whatever happened between.

    On the way the desk holds every event to its model, revisions to rising, and every look to the time it promised.
    """
    touchpoints = data.draw(traffic(scene))
    end = _end(touchpoints, after)
    desk, accepted = Delivery(seed, rules).play(touchpoints, end)
    assert desk.claims() == _in_order(accepted, end, rules).claims()


@every_scene
@settings(max_examples=15)
@given(data=st.data(), seed=SEEDS)
def test_cached_and_recomputed_are_equal(scene: str, data: st.DataObject, seed: int) -> None:
    """What is kept folded in memory never differs from what is folded anew: from the packed form, or from the entries."""
    touchpoints = data.draw(traffic(scene, size=30))
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


@every_scene
@settings(max_examples=5)
@given(data=st.data(), seed=SEEDS)
def test_forgetting_never_retracts(scene: str, data: st.DataObject, seed: int) -> None:
    """Without late touchpoints nothing is ever taken back, however many years pass and however much is forgotten."""
    touchpoints = data.draw(traffic(scene, size=60))
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
    now = touchpoints[-1].occurred_at
    for n in range(80):  # weeks, then quarters: lemons live for years, and promises may fall due next year
        now += 7 * DAY if n < 40 else 90 * DAY
        desk.tell([Normal("s", f"page{n}", "maria", "page.viewed", "web", now)])
        desk.look(now)
    assert [e["data"] for e in desk.events[before:] if e["data"]["friction_id"] in final] == []
    assert not any(e["type"].endswith("retracted") for e in desk.events[before:])
    assert all(d["state"] == "resolved" for d in desk.standing)
    assert desk.facts is not None and not desk.facts.published and len(desk.packed or b"") < 8_000


def _young(friction: dict[str, Any], news: Normal) -> bool:
    """Even in order a touchpoint may take back what hangs on a contact that is still going on."""
    return parse_time(friction["opened_at"]) >= news.occurred_at - CONTACT_SPAN - 7 * DAY


@every_scene
@settings(max_examples=15)
@given(data=st.data(), one=st.integers(0, 60 * DAY), other=st.integers(0, 60 * DAY), far=st.sampled_from((1, 1, 20)))
def test_history_is_returned(scene: str, data: st.DataObject, one: int, other: int, far: int) -> None:
    """A friction seen at one time is there at every later time, with the same id and the same `opened_at`."""
    touchpoints = data.draw(traffic(scene))
    facts = Facts("maria", "maria")
    for t in touchpoints:
        facts.merge(entry(t))
    tracker = Tracker(DEFAULTS)
    start = touchpoints[0].occurred_at
    early, late = (
        Counter((kind, f.anchor, f.opened_at) for kind, f in tracker.derive(facts, Clock(start + after * far)))
        for after in sorted((one, other))
    )
    assert early <= late


@settings(max_examples=150)
@given(traffic("everything", size=20, leaps=False), SEEDS)
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
    (
        'transfer_loop.transfers = 2\nchannel_hop.channels = 2\nreopened_case.window = "1h"\nclosed_door.mode = "off"\n'
        'broken_promise.grace = "1h"\nrigid_process.asked = 2\nrage_click.clicks = 2\nform_struggle.failures = 2'
    ),
    (
        'lemon.same_fault = 2\nlemon.out_of_service = "10d"\nlow_score.limits.nps = 3\nunrecovered.within = "1d"\n'
        'checkout_abandoned.order_within = "5m"\nat_risk.mode = "shadow"\nrage_click.mode = "off"\n'
        '[[lemon.override]]\ntopic = "billing"\nmode = "off"\n[[reopened_case.override]]\ntopic = "billing"\nwindow = "1h"'
    ),
)


@every_scene
@settings(max_examples=15)
@given(data=st.data(), first=st.sampled_from(CHANGES), second=st.sampled_from(CHANGES))
def test_new_rules_rewrite_nothing(scene: str, data: st.DataObject, first: str, second: str) -> None:
    """Under other rules nothing is retracted: what they do not find ends, with that reason and without a notification."""
    touchpoints = data.draw(traffic(scene, size=25, leaps=False))
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
            assert others.table_digests[d["kind"]] != rules.table_digests[d["kind"]]
    assert before.keys() <= {d["friction_id"] for d in desk.standing}
    open_now = {d["friction_id"] for d in desk.standing if d["state"] == "open"}
    fresh = _in_order(touchpoints, desk.now, others)
    assert open_now == {d["friction_id"] for d in fresh.standing if d["state"] == "open"}
    if first == second:
        assert not said
    assert desk.look() == []


def test_the_scenes_show_every_friction() -> None:
    """No promise here is about nothing: in a few hundred lives every friction is found, and is put right."""
    helped: Counter[str] = Counter()
    tracker = Tracker(DEFAULTS)
    for scene in SCENES:
        for seed in range(40):
            told = [t for versions in life(Random(seed), scene) for t in versions]
            facts = Facts("maria", "maria")
            for t in told:
                facts.merge(entry(t))
            helped.update(kind for kind, f in tracker.derive(facts, Clock(_end(told, DAY))) if f.helped_at != NEVER)
    assert helped.keys() == {d.kind for d in DETECTORS}


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
