"""What holds for every detector, on every story that its test file tells.

The stories come from `STORIES` in test_<kind>.py; a detector without such a file fails here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import permutations
from random import Random

import pytest

from schemas.times import DAY
from streams.detectors import DETECTORS
from streams.friction import BY_TIME, Clock, View
from streams.journeys import fold_journeys
from streams.rules import parse_rules
from tests.stories import Desk, Told, at, offset, play, story

STORIES = [(d.kind, told) for d in DETECTORS for told in import_module(f"tests.unit.detectors.test_{d.kind}").STORIES]
KINDS = {d.kind: [told for kind, told in STORIES if kind == d.kind] for d in DETECTORS}
RULES = {kind: [kind] for kind in KINDS} | {
    "agent_disconnect": ["agent_disconnect", "agent_disconnect.after_longer_talk"]
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `kind` and `told` is run on every story that it is about."""
    if "told" in metafunc.fixturenames:
        found = [x for x in STORIES if _fits(metafunc.function.__name__, x[1])]
        metafunc.parametrize(("kind", "told"), found, ids=[f"{kind}-{told}" for kind, told in found])


def _fits(test: str, told: Told) -> bool:
    if test.startswith("test_late"):
        return told.then is not None
    return (bool(told.expect) and '"off"' not in told.rules) or not test.startswith("test_hurting")


def _orders(told: Told) -> Iterator[Sequence[int]]:
    """All orders of a short story, some of a long one."""
    size = len(story(told.text))
    if size <= 4:
        yield from permutations(range(size))
        return
    dice = Random(told.name)
    for _ in range(6):
        yield dice.sample(range(size), size)


def test_every_order(kind: str, told: Told) -> None:
    """Whatever order the network delivers in, and however often one looks on the way, the user ends up with the same."""
    told_once = story(told.text)
    for order in _orders(told):
        arranged = [told_once[i] for i in order]
        desk = play(arranged, told.until, told.rules, every=lambda desk, _: desk.look(told.until))
        assert desk.rows(kind) == list(told.expect), order


def test_every_event_twice(kind: str, told: Told) -> None:
    """A repeated delivery changes nothing, neither at once nor after the whole story."""
    once = story(told.text)
    for twice in ([t for t in once for _ in range(2)], once + once):
        desk = play(twice, told.until, told.rules, every=lambda desk, _: desk.look())
        assert desk.rows(kind) == list(told.expect)


def test_a_second_telling_says_nothing(kind: str, told: Told) -> None:
    """A replay of what is known sends no event."""
    desk = play(told.text, told.until, told.rules)
    assert not desk.tell(told.text)
    assert desk.look() == []


def test_cut_by_a_restart(kind: str, told: Told) -> None:
    """A worker that takes over at any point of the story, or at all of them, says what one worker would have."""
    times = [t.occurred_at for t in story(told.text)]
    for cut in [*range(len(times)), None]:

        def after(desk: Desk, n: int, cut: int | None = cut) -> None:
            if cut in (n, None):
                desk.look(max(times[: n + 1]))
                desk.restart()

        desk = play(told.text, told.until, told.rules, every=after)
        assert desk.rows(kind) == list(told.expect), cut


def test_late_evidence(kind: str, told: Told) -> None:
    """What comes later corrects what was said, and ends where it would have ended had it come in time."""
    assert told.then is not None
    desk = play(told.text, told.until, told.rules)
    assert desk.rows(kind) == list(told.expect)
    late = story(told.late, name="late")
    assert desk.tell(late)
    before = {d["friction_id"] for d in desk.standing}
    said = [e["data"] for e in desk.look(told.until)]
    assert desk.rows(kind) == list(told.then)
    gone = before - {d["friction_id"] for d in desk.standing}
    assert gone == {d["friction_id"] for d in said if d["state"] == "retracted"}
    assert all(d["corrected"] for d in said if d["friction_id"] in gone)
    assert play([*story(told.text), *late], told.until, told.rules).rows(kind) == list(told.then)


def _switched(told: Told, kind: str, mode: str) -> str:
    """The story's rules, with every rule of the kind in another mode."""
    kept = [line for line in told.rules.splitlines() if ".mode" not in line]
    return "\n".join(kept + [f'{rule}.mode = "{mode}"' for rule in RULES[kind]])


def test_hurting_in_shadow(kind: str, told: Told) -> None:
    """A rule in shadow records the same and pages nobody: no friction of it counts in a group or a score."""
    desk = play(told.text, told.until, _switched(told, kind, "shadow"))
    assert desk.rows(kind) == [f"{row.removesuffix(' shadow')} shadow" for row in told.expect]
    assert all(e["data"]["group_open"] == 0 for e in desk.events if e["data"]["kind"] == kind)
    others = [d for d in desk.standing if d["kind"] != kind and d["rule"]["mode"] == "live"]
    assert sum(j["frictions"] for j in desk.journeys) == len(others)


def test_hurting_switched_off(kind: str, told: Told) -> None:
    """A rule that is off says nothing."""
    assert play(told.text, told.until, _switched(told, kind, "off")).rows(kind) == []


def test_hurting_without_what_it_needs(kind: str, told: Told) -> None:
    """A detector is not asked where none of the kinds is that it says it needs; it would have found nothing."""
    detector = next(d for d in DETECTORS if d.kind == kind)
    desk = Desk(parse_rules(told.rules))
    if detector.needs and desk.tell([t for t in story(told.text) if t.kind not in detector.needs]):
        gap = desk.rules.time.inactivity_gap
        assert desk.facts is not None
        view = View(desk.facts, fold_journeys(desk.facts, gap), gap)
        assert list(detector.detect(view, getattr(desk.rules, kind), Clock(at(told.until)))) == []


def test_hurting_forgotten(kind: str, told: Told) -> None:
    """Years of other touchpoints later what was said still stands: ended, never retracted, and out of memory."""
    desk = play(told.text, told.until, told.rules)
    before = {d["friction_id"]: d for d in desk.standing if d["kind"] == kind}
    start = max(at(told.until), *(t.occurred_at for t in story(told.text)))
    dice = Random(told.name)
    years = 6 if kind == "lemon" else 1  # it lives for two, and looks back for two
    for day in range(1, years * 366, years * 7):
        now = start + day * DAY
        desk.tell(story(f"{offset(now)} page.viewed web - id=page{day}"))
        desk.look(now)
        if dice.random() < 0.5:
            desk.restart()
    after = {d["friction_id"]: d for d in desk.standing if d["kind"] == kind}
    assert not any(type_.endswith("retracted") for type_ in desk.types)
    assert before.keys() == after.keys()
    for friction_id, d in after.items():
        was = before[friction_id]
        assert d["state"] == "resolved" and not d["provisional"]
        assert was["state"] == "open" or was["resolved_at"] == d["resolved_at"]
        assert (d["opened_at"], d["rule"]) == (was["opened_at"], was["rule"])
    assert desk.packed is not None and len(desk.packed) < 12_000
    assert desk.facts is not None and not desk.facts.published


NO_THRESHOLD = {"closed_door": "a door is closed or it is not"}
NO_CLOCK = {
    "repeat_contact": "opens at a contact",
    "dropped_call": "opens at the end of a call",
    "agent_disconnect": "opens at the end of a call, or at the return",
    "queue_abandoned": "opens when somebody hangs up",
    "transfer_loop": "opens at a transfer or a return",
    "channel_hop": "opens at a contact",
    "reopened_case": "opens at the reopening",
    "closed_door": "opens at the refusal",
    "rigid_process": "opens at the denial or the asking",
    "rage_click": "opens at a click",
    "form_struggle": "opens at a failure",
    "low_score": "opens at the answer",
}
"""What opens at a touchpoint: time alone opens none, and makes none worse."""


def _ends(told: Told) -> set[str]:
    """The last words of its rows: why what is over ended."""
    rows = [row.removesuffix(" shadow") for row in told.expect]
    return {row.split()[-1] for row in rows if not row.endswith("..")}


def _a_moment_later(stories: list[Told]) -> Iterator[tuple[Told, Told]]:
    """The pairs of a story and the same one at a watermark that is one microsecond later, where that is told otherwise."""
    for one in stories:
        for other in stories:
            same = (one.text, one.rules) == (other.text, other.rules)
            if same and at(other.until) - at(one.until) == 1 and one.expect != other.expect:
                yield one, other


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_tells_what_is_asked(kind: str) -> None:
    """Who adds a detector, or takes a story away, hears what is not told of it any more."""
    stories = KINDS[kind]
    plain = [told for told in stories if not told.rules]
    names = [told.name for told in plain]
    opened: set[str] = set()
    ended: set[str] = set()
    for before, after in _a_moment_later(stories):
        (ended if _ends(after) - _ends(before) else opened).add(after.name)
    asked = {
        "one that hurts": any(told.expect for told in plain),
        "one that does not": any(not told.expect for told in plain),
        "just under or over": kind in NO_THRESHOLD or any(re.search(r"\bjust\b|microsecond", name) for name in names),
        "exactly on": kind in NO_THRESHOLD or any(re.search(r"\bexactly\b|the clock", name) for name in names),
        "the clock, a microsecond before and on time": kind in NO_CLOCK or bool(opened),
        "put right by somebody": any(_ends(told) - BY_TIME for told in stories),
        "taken back by late evidence": any(told.then == () for told in stories),
        "expired": any("expired" in _ends(told) for told in stories),
        "expired, and not a microsecond before": bool(ended),
        "another threshold": kind in NO_THRESHOLD or any(_differs(told) for told in stories),
        "an override": any(f"{kind}.override" in told.rules for told in stories),
    }
    assert [what for what, is_told in asked.items() if not is_told] == []
    assert not (kind in NO_CLOCK and opened), "it has a clock after all"


def _differs(told: Told) -> bool:
    """Whether its rules have another threshold, not only another mode, life or place."""
    return any(not re.search(r"\.(override|mode|expires_after)\b", line) for line in told.rules.splitlines() if line)
