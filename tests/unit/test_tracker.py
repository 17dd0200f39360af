"""The tracker: what is said, in which order, when again, and what is forgotten without a word."""

from __future__ import annotations

import pytest

from schemas.times import DAY, FUTURE_TOLERANCE, SECOND
from streams.facts import MAX_ENTRIES, all_entries
from streams.rules import parse_rules
from streams.tracker import Tracker
from tests.stories import DEFAULTS, Desk, at, offset, play, story

SILENCE = "0m message.received chat billing contact=c1\n"


def said(desk: Desk, now: str, more: str = "", replay: bool = False) -> list[str]:
    """What a look says after more touchpoints: "type state severity"."""
    desk.tell(story(more, name=f"at{now}-"), replay)
    return [f"{e['type'].rsplit('.')[-1]} {e['data']['state']} {e['data']['severity']}" for e in desk.look(now)]


def test_the_life_of_a_friction() -> None:
    """A consumer is told of opening, of worse, of the end, and never twice of the same."""
    desk = Desk()
    assert said(desk, "1m", SILENCE) == []
    assert said(desk, "2m") == ["opened open warning"]
    assert said(desk, "10m") == []
    assert said(desk, "20m") == ["updated open error"]
    assert said(desk, "30m", "30m message.sent chat - contact=c1") == ["resolved resolved error"]
    assert said(desk, "60d") == []
    assert [e["data"]["revision"] - at("2m") // SECOND for e in desk.events] == [0, 1, 2]


def test_what_opened_and_ended_unseen_is_told_as_over() -> None:
    """A batch that holds the whole story sends one event, already resolved: nobody is paged for the past."""
    assert said(Desk(), "1h", SILENCE + "3m message.sent chat - contact=c1") == ["resolved resolved warning"]


def test_taken_back_and_found_again() -> None:
    """Late evidence retracts; later evidence may prove it after all, under the same id, and says that it corrects."""
    desk = Desk()
    said(desk, "2m", SILENCE)
    assert said(desk, "3m", "1m message.sent chat - contact=c1 id=r") == ["retracted retracted warning"]
    assert said(desk, "4m", "1m message.sent chat - contact=c1 id=r version=1 cancelled=yes") == ["opened open warning"]
    assert [e["data"]["corrected"] for e in desk.events] == [False, True, True]
    assert len({e["data"]["friction_id"] for e in desk.events}) == 1


def test_a_group_counts_what_is_open_and_live() -> None:
    """Consumers trigger at one and resolve at none: the count belongs to the incident, not to the event."""
    two = SILENCE + "1m message.received chat billing contact=c2\n1m message.received chat delivery contact=c3\n"
    desk = Desk()
    desk.tell(two)
    groups = [(e["dedupkey"], e["data"]["group_open"]) for e in desk.look("5m") if e["data"]["kind"] == "slow_reply"]
    assert sorted(count for _, count in groups) == [1, 2, 2] and len(dict(groups)) == 2
    desk.tell("6m message.sent chat - contact=c1 id=r1")
    assert [e["data"]["group_open"] for e in desk.look("6m")] == [1]
    desk.tell("7m message.sent chat - contact=c2 id=r2")
    assert [e["data"]["group_open"] for e in desk.look("7m")] == [0]


def test_every_look_says_when_to_look_again() -> None:
    """The shell may sleep until then: the limit, the worse, the expiry, in that order."""
    desk = Desk()
    desk.tell(SILENCE)
    found = []
    for now in ("1m", "2m", "20m"):
        desk.look(now)
        assert desk.last is not None
        found.append(offset(desk.last.due))
    assert found == ["2m", "20m", "30d2m"]


def test_history_pages_nobody() -> None:
    """What follows from a touchpoint that came as history is marked; what follows from a fresh one is not."""
    desk = Desk()
    said(desk, "5m", SILENCE, replay=True)
    desk.tell(story("10m contact.started voice billing contact=c2", name="fresh"))
    desk.look("11m")
    assert {d["kind"]: d["replay"] for d in desk.standing} == {"slow_reply": True, "repeat_contact": False}


def test_finality() -> None:
    """Provisional until time alone can no longer change it; `final_at` says when that will be."""
    desk = play(SILENCE, "5m")
    (d,) = desk.standing
    assert d["provisional"] and offset(d["final_at"]) == "30d2m"
    desk.look("30d2m")
    (d,) = desk.standing
    assert not d["provisional"] and d["final_at"] == d["resolved_at"] and d["reason"] == "expired"


def test_a_quiet_subject_is_retired() -> None:
    """Whoever is silent long enough costs nothing any more; coming back is a new beginning."""
    desk = play("0m contact.started voice billing contact=c1\n1d contact.started voice billing contact=c2", "2d")
    assert desk.last is not None
    assert desk.facts is not None
    longest = Tracker(DEFAULTS).retires(desk.facts) - at("1d")
    desk.look(at("1d") + longest - 1)
    kept, said_before = desk.packed is not None, len(desk.events)
    assert kept and desk.last.due == at("1d") + longest
    desk.look(at("1d") + longest)
    assert desk.packed is None and len(desk.events) == said_before
    again = offset(at("2d") + longest)
    desk.tell(f"{again} contact.started voice billing contact=c9")
    desk.look(again)
    assert [d["contact_id"] for d in desk.standing] == ["c2"] and len(desk.journeys) == 2


def test_horizons_follow_from_the_rules() -> None:
    """A rule that looks further back keeps more, without a setting for it."""
    # at_risk reaches furthest: reopened_case (what came back before, its window) on both sides of a silence, its own life, a
    # contact that still goes on, lateness
    assert Tracker(DEFAULTS).horizons["contact"] == (30 + 14 + 60 + 30 + 30 + 7) * DAY + 60 * SECOND + FUTURE_TOLERANCE
    longer = Tracker(parse_rules('slow_reply.limits.letter = "100d"'))
    assert longer.horizons["message"] >= Tracker(DEFAULTS).horizons["message"] + 30 * DAY
    assert longer.horizons["contact"] == longer.horizons["message"]


NOBODY = parse_rules("\n".join(f'{name}.mode = "off"' for name in DEFAULTS.named))


def test_what_is_off_keeps_nothing() -> None:
    """A rule that is switched off costs no memory: what only it would read goes as soon as nothing can come before it."""
    desk = Desk(NOBODY)
    desk.tell("0m element.clicked web\n0m order.refunded web asset_id=car\n20d page.viewed web")
    desk.look("20d")
    assert desk.facts is not None and [e.at for e in all_entries(desk.facts)] == [at("20d")]


def test_a_contact_counts_once_whoever_reads_it() -> None:
    """A contact may go on for 30 days: its journey counts it once, although no rule reads contacts."""
    desk = Desk(NOBODY)
    for told in (
        "0d contact.started voice - contact=c1",
        "14d page.viewed web",
        "29d contact.ended voice - contact=c1",
    ):
        desk.tell(story(f"{told} journey_id=j", name=told[0]))
        desk.look(told.split()[0], settle=True)
        desk.restart()
    assert [(j["touchpoints"], j["contacts"]) for j in desk.journeys] == [(3, 1)]


def test_what_can_still_change_is_remembered() -> None:
    """A friction that may stay open for 200 days is resolved by what comes, late at that, on the last of them."""
    rules = parse_rules('queue_abandoned.expires_after = "200d"')
    desk = Desk(rules)
    desk.tell("0m contact.queued voice - contact=c1\n1m contact.abandoned voice - contact=c1")
    pages = [f"{day}d page.viewed web" for day in range(10, 206, 5)]
    for page in pages:
        desk.tell(story(page, name=page.split()[0]))
        desk.look(page.split()[0])
        desk.restart()
    desk.tell("199d contact.answered voice - contact=c2 id=answer")
    desk.look("206d")
    assert desk.rows("queue_abandoned") == ["queue_abandoned info 1m..199d answered"]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [('slow_reply.mode = "off"', "rule_changed"), ('slow_reply.limits.chat = "1h"', "rule_changed"),
     ("slow_reply.weight = 9", None), ('dropped_call.mode = "off"', None)],
)  # fmt: skip
def test_what_new_rules_do_not_find_ends(rules: str, reason: str | None) -> None:
    """An incident that a consumer opened is closed, quietly, when its rule goes; other rules leave it alone."""
    desk = play(SILENCE, "5m")
    desk.rules = parse_rules(rules)
    events = [e["data"] for e in desk.look("6m")]
    assert [(d["state"], d["reason"], d["suppressed"]) for d in events] == (
        [("resolved", reason, True)] if reason else []
    )
    assert desk.look("7m") == []


def test_a_rule_that_goes_live_says_so() -> None:
    """What was recorded in shadow is told again when its rule is notified, since consumers act on the mode."""
    desk = play(SILENCE, "5m", 'slow_reply.mode = "shadow"')
    desk.rules = DEFAULTS
    assert [(e["data"]["rule"]["mode"], e["data"]["group_open"]) for e in desk.look("6m")] == [("live", 1)]


def test_a_switchboard_is_marked_and_what_it_opened_ends() -> None:
    """Past the cap what is cut off is over, with the reason, instead of staying open with a consumer for ever."""
    desk = Desk()
    desk.tell(SILENCE + "1m page.viewed web")
    desk.look("5m")
    for n in range(MAX_ENTRIES + 1):
        desk.tell(f"{10 + n}m message.sent chat - contact=x{n} id=m{n}")
    desk.look("600m")
    assert desk.facts is not None and desk.facts.capped
    assert [(d["kind"], d["state"], d["reason"]) for d in desk.standing] == [("slow_reply", "resolved", "forgotten")]
    (journey,) = desk.journeys
    assert journey["touchpoints"] == MAX_ENTRIES + 3 and journey["frictions"] == 1
    desk.tell("700m page.viewed web - id=later")
    desk.look("700m")
    desk.look("701m", settle=True)
    assert [j["touchpoints"] for j in desk.journeys] == [MAX_ENTRIES + 4]


def test_kinds_are_told_for_counters() -> None:
    """The operator's counters see each friction event once, by kind, type and severity."""
    desk = play(SILENCE, "5m")
    assert desk.last is not None
    assert desk.last.kinds == [("slow_reply", "opened", "warning")] and len(desk.last.frictions) == 1


COOL = 'long_wait.cool_down = "1h"\nlong_wait.expires_after = "2h"\n'


def waits(desk: Desk, now: str, *queued: str) -> list[str]:
    """What a look says about waits, after more contacts that queue ("20m billing c1") or are answered ("23m - c1")."""
    for line in queued:
        when, topic, contact = line.split()
        kind = "contact.answered" if topic == "-" else "contact.queued"
        desk.tell(story(f"{when} {kind} voice {topic} contact={contact}", name=f"{kind}-{contact}"))
    return [
        f"{e['data']['contact_id']} {e['type'].rsplit('.')[-1]} {'quietly' if e['data']['suppressed'] else 'aloud'}"
        for e in desk.look(now)
        if e["data"]["kind"] == "long_wait"
    ]


def test_a_cool_down_holds_back_the_second_page() -> None:
    """Within it the same incident notifies once; what is still open at its end is told then, and only once."""
    desk = Desk(parse_rules(COOL))
    assert waits(desk, "2m", "0m billing c0") == ["c0 opened aloud"]
    assert waits(desk, "22m", "20m billing c1", "20m delivery c2") == [
        "c0 updated aloud", "c1 opened quietly", "c2 opened aloud",
    ], "another topic is another incident"  # fmt: skip
    assert waits(desk, "1h1m") == ["c1 updated quietly", "c2 updated aloud"], "both are errors by now"
    desk.restart()
    assert waits(desk, "1h2m") == ["c1 updated aloud"]
    assert waits(desk, "1h59m") == []


def test_what_ends_in_the_cool_down_was_never_told() -> None:
    """It stays recorded, and its end says that nobody was notified; the next one after the cool-down is told."""
    desk = Desk(parse_rules(COOL))
    waits(desk, "2m", "0m billing c0")
    assert waits(desk, "22m", "20m billing c1")[1:] == ["c1 opened quietly"]
    assert waits(desk, "23m", "23m - c1") == ["c1 resolved quietly"]
    assert waits(desk, "72m", "70m billing c2") == ["c2 opened aloud"]


def test_found_open_again_is_opened_again() -> None:
    """Late evidence that takes an end back triggers anew: consumers act on the type."""
    desk = Desk()
    said(desk, "2m", SILENCE)
    assert said(desk, "4m", "3m message.sent chat - contact=c1 id=r") == ["resolved resolved warning"]
    late = "3m message.sent chat - contact=c1 id=r version=1 cancelled=yes"
    assert said(desk, "5m", late) == ["opened open warning"]
    assert desk.events[-1]["data"]["corrected"]


@pytest.mark.parametrize(("effective", "replay"), [("2025-01-06T09:02:00Z", False), ("2025-01-06T09:02:01Z", True)])
def test_a_rule_that_holds_from_a_day_on(effective: str, replay: bool) -> None:
    """What opened before a rule's `effective_from` is recorded, and pages nobody."""
    desk = Desk(parse_rules(f'slow_reply.effective_from = "{effective}"'))
    said(desk, "5m", SILENCE)
    assert [d["replay"] for d in desk.standing] == [replay]
