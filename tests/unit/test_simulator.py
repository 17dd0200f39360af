"""The simulated company: what it says is well made, in order, repeatable, and true."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import islice, pairwise
from random import Random
from typing import Any

import pytest

from schemas.decode import decode
from schemas.friction import anchor, anchored_id
from schemas.kinds import KINDS as KINDS_OF_FAMILIES
from schemas.times import DAY, HOUR, LATEST, MINUTE, parse_time
from schemas.touchpoint import Normal, digest, subject_of
from streams.entries import entry_of
from streams.facts import Facts
from streams.friction import Clock
from streams.rules import parse_rules
from streams.tracker import Tracker
from volvere.simulator import Company, Planted
from volvere.simulator.company import MONDAY
from volvere.simulator.stories import STORIES, span, tell

KINDS = {
    "repeat_contact", "dropped_call", "agent_disconnect", "queue_abandoned", "long_wait", "transfer_loop",
    "channel_hop", "slow_reply", "broken_promise", "reopened_case", "closed_door", "rigid_process", "rage_click",
    "form_struggle", "checkout_abandoned", "lemon", "low_score", "unrecovered", "at_risk",
}  # fmt: skip
"""Every kind that the table of detectors names."""


def told(company: Company) -> list[Normal]:
    """Every touchpoint, judged by the contract."""
    return [decode(json.dumps(t).encode(), LATEST) for t in company.touchpoints()]


@pytest.fixture(scope="module")
def fortnight() -> tuple[Company, list[Normal]]:
    """A small company, with every story twice."""
    company = Company(seed=7, customers=2000, days=14, contacts_per_day=0.1)
    return company, told(company)


def test_a_seed_tells_one_company() -> None:
    """A benchmark or a failed test can be repeated to the byte; another seed is another company."""
    one, same, other = (Company(seed=seed, customers=120, days=9) for seed in (3, 3, 4))
    assert one.planted == same.planted
    assert list(one.touchpoints()) == list(same.touchpoints()) == list(one.touchpoints())
    assert list(one.touchpoints()) != list(other.touchpoints())


def test_touchpoints_are_well_made_and_in_order(fortnight: tuple[Company, list[Normal]]) -> None:
    """Everything passes the contract, comes in order of time within the simulated days, and has an id of its own."""
    company, everything = fortnight
    touchpoints = [t for t in everything if not t.version]  # the rest corrects what came before
    assert {(t.source, t.event_id) for t in everything} == {(t.source, t.event_id) for t in touchpoints}
    assert all(a.occurred_at <= b.occurred_at for a, b in pairwise(touchpoints))
    assert company.start <= touchpoints[0].occurred_at
    assert touchpoints[-1].occurred_at < company.end
    assert len({(t.source, t.event_id) for t in touchpoints}) == len(touchpoints)
    channels = Counter(t.channel for t in touchpoints)
    assert channels.keys() == {"voice", "chat", "sms", "social", "email", "web", "store"}
    assert 0.45 < channels["voice"] / len(touchpoints) < 0.55


def test_every_family_of_touchpoints_occurs_by_chance() -> None:
    """Detectors meet what nobody planted: all families, and what is odd about few contacts."""
    touchpoints = told(Company(seed=2, customers=2000, days=12, stories=0))
    kinds = {t.kind for t in touchpoints}
    assert kinds >= set(
        "contact.held contact.transferred contact.refused case.reopened request.denied request.granted "
        "identity.verified information.requested promise.made promise.kept form.failed form.submitted search.failed "
        "checkout.started order.placed order.returned order.refunded asset.sold asset.replaced repair.opened "
        "repair.closed survey.answered complaint.filed review.posted feedback.followed_up purchase.made "
        "subscription.renewed subscription.cancelled account.closed referral.made".split()
    )
    assert {t.scale for t in touchpoints} == {None, "nps", "csat5", "ces7"}
    assert any(t.journey_id for t in touchpoints)
    assert any(t.direction == "outbound" for t in touchpoints)
    assert any(t.topic is None and t.kind == "contact.started" for t in touchpoints)
    topics: dict[Any, set[Any]] = defaultdict(set)
    for t in touchpoints:
        topics[t.contact_id].add(t.topic)
    assert any(len(known) > 1 for contact, known in topics.items() if contact)


def test_contacts_make_sense_in_time(fortnight: tuple[Company, list[Normal]]) -> None:
    """Within a contact every step has a time of its own, and the waits that are reported are those that passed."""
    contacts: dict[Any, list[Normal]] = defaultdict(list)
    for t in fortnight[1]:
        if t.contact_id is not None:
            contacts[t.contact_id].append(t)
    for steps in contacts.values():
        queued = next((t for t in steps if t.kind == "contact.queued"), None)
        over = next((t for t in steps if t.wait_ms is not None), None)
        if over is not None:
            assert queued is not None
            assert over.wait_ms == (over.occurred_at - queued.occurred_at) // 1000
        for end in steps:
            if end.kind in ("contact.ended", "contact.abandoned") and end.ended_by != "customer":
                assert not [t for t in steps if t.occurred_at > end.occurred_at]


def test_the_truth_is_about_what_happened(fortnight: tuple[Company, list[Normal]]) -> None:
    """Each truth hangs on a contact or touchpoint of its customer, and is a friction of its own."""
    company, touchpoints = fortnight
    happened = {(anchor(t.contact_id, "", ""), t.customer_id) for t in touchpoints}
    happened |= {(anchor(None, t.source, t.event_id), t.customer_id) for t in touchpoints}
    assert {(p.anchor, p.customer_id) for p in company.planted} <= happened
    assert len({p.friction_id for p in company.planted}) == len(company.planted)
    for p in company.planted:
        assert p.story.endswith(".")
        assert p.subject == (p.customer_id or f"~{p.anchor}")
        assert p.friction_id == anchored_id(p.kind, p.subject, p.anchor)


@pytest.mark.parametrize(("days", "late"), [(3, {"at_risk"}), (60, set())])
def test_every_kind_is_planted_as_trouble_and_as_near_miss(days: int, late: set[str]) -> None:
    """No detector goes unproved, in the days that a check takes and, all but silence for a month, in a short look."""
    company = Company(customers=500, days=days, contacts_per_day=0)
    assert {(p.kind, p.near_miss) for p in company.planted} == {
        (kind, near) for kind in KINDS - late for near in (True, False)
    }
    assert max(p.at for p in company.planted) < company.end


def test_planted_customers_have_one_story_and_nothing_else(fortnight: tuple[Company, list[Normal]]) -> None:
    """No chance contact can make a planted truth false."""
    company, touchpoints = fortnight
    planted = {p.customer_id for p in company.planted} - {None}
    told_of: dict[Any, set[str]] = defaultdict(set)
    for t in touchpoints:
        if t.customer_id in planted:
            told_of[t.customer_id].add(t.event_id.rsplit("-", 2)[0])
    assert all(len(stories) == 1 for stories in told_of.values())
    assert {one for stories in told_of.values() for one in stories} <= {
        f"{story.__name__}-{n}" for story in STORIES for n in range(len(company.planted))
    }


def test_time_goes_on_after_the_last_truth(fortnight: tuple[Company, list[Normal]]) -> None:
    """Silence is only proved by time: touchpoints follow the last planted silence."""
    company, touchpoints = fortnight
    assert max(p.at for p in company.planted) + HOUR < touchpoints[-1].occurred_at


def found_in(touchpoints: list[Normal], subjects: set[str], now: int) -> dict[Any, tuple[str, int]]:
    """What the default rules find about some subjects: kind and opening time by friction id."""
    facts: dict[str, Facts] = {}
    for t in touchpoints:
        subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
        if subject in subjects:
            facts.setdefault(subject, Facts(subject, t.customer_id)).merge(entry_of(t, digest(t), False))
    tracker = Tracker(parse_rules())
    return {
        anchored_id(kind, subject, friction.anchor): (kind, friction.opened_at)
        for subject, known in facts.items()
        for kind, friction in tracker.derive(known, Clock(now))
        if friction.rule.mode == "live"
    }


@pytest.mark.parametrize(("seed", "customers", "days"), [(1, 300, 60), (2, 84, 9), (3, 90, 1)])
def test_detectors_find_what_is_planted_and_no_near_miss(seed: int, customers: int, days: int) -> None:
    """The ground truth and the default rules agree to the microsecond; besides there is only silence that follows."""
    company = Company(seed=seed, customers=customers, days=days)
    touchpoints = told(company)
    found = found_in(touchpoints, {p.subject for p in company.planted}, touchpoints[-1].occurred_at - MINUTE)
    _agree(company.planted, found)


def test_stories_of_years_are_true_as_well() -> None:
    """What no simulated month can hold is told alone: repairs over two years, silences of two months."""
    for number, story in enumerate(STORIES):
        tale = tell(story, story.__name__, "C", MONDAY, 5, Random(number))
        touchpoints = [decode(json.dumps(t).encode(), LATEST) for _, t in tale.said]
        found = found_in(touchpoints, {p.subject for p in tale.planted}, MONDAY + span(story) + MINUTE)
        _agree(tale.planted, found)


def _agree(planted: list[Planted], found: dict[Any, tuple[str, int]]) -> None:
    troubles = {p.friction_id: (p.kind, p.at) for p in planted if not p.near_miss}
    assert {name: found.get(name) for name in troubles} == troubles
    assert [p.story for p in planted if p.near_miss and p.friction_id in found] == []
    assert {kind for name, (kind, _) in found.items() if name not in troubles} <= {"at_risk"}


def test_what_does_not_fit_is_left_out() -> None:
    """Any company can be had: few customers or days mean fewer stories, never a story cut in two."""
    assert Company(customers=1, days=1).planted == []
    assert {p.customer_id for p in Company(customers=20, days=2).planted} <= {f"C{n:06d}" for n in range(10, 20)} | {
        None
    }
    assert Company(customers=500, stories=0).planted == []


@pytest.mark.parametrize("wrong", [{"customers": 0}, {"days": 0}, {"contacts_per_day": -1.0}, {"untidy": 1.5}])
def test_impossible_companies_are_refused(wrong: dict[str, Any]) -> None:
    """Whoever mistypes an argument is told what was expected."""
    with pytest.raises(ValueError, match="expected at least one customer"):
        Company(**wrong)


def test_a_company_begins_when_it_is_told_to() -> None:
    """A demonstration that is to look like today starts at any minute, and its busy hours stay in the day."""
    start = parse_time("2025-03-01T17:23:00Z")
    touchpoints = told(Company(customers=500, days=1, start=start, contacts_per_day=1, stories=0))
    assert start <= touchpoints[0].occurred_at < start + HOUR
    assert touchpoints[-1].occurred_at < start + DAY
    by_day = Counter(8 <= t.occurred_at % DAY // HOUR < 21 for t in touchpoints)
    assert by_day[True] > 5 * by_day[False]


def test_an_untidy_company_says_the_same_less_tidily(fortnight: tuple[Company, list[Normal]]) -> None:
    """Late, doubled and withdrawn touchpoints are there to be sorted out; planted stories stay as they are."""
    tidy = Company(seed=7, customers=2000, days=14, contacts_per_day=0.1)
    untidy = Company(seed=7, customers=2000, days=14, contacts_per_day=0.1, untidy=0.3)
    assert untidy.planted == tidy.planted
    arrived = told(untidy)
    known = {(t.source, t.event_id) for t in fortnight[1]}
    assert {(t.source, t.event_id) for t in arrived} <= known
    assert any(a.occurred_at > b.occurred_at for a, b in pairwise(arrived))
    assert len({digest(t) for t in arrived}) < len(arrived)
    assert any(t.cancelled and t.version == 1 for t in arrived)
    quiet = {p.customer_id for p in untidy.planted} - {None}
    assert [t for t in arrived if t.customer_id in quiet] == [t for t in fortnight[1] if t.customer_id in quiet]


def test_what_the_company_does_itself() -> None:
    """Every kind of operation, well made and in order; no agent does anything before being hired, or after leaving."""
    company = Company(seed=3, customers=3000, days=60)
    done = [decode(json.dumps(o).encode(), LATEST) for o in company.operations()]
    assert list(company.operations()) == list(Company(seed=3, customers=3000, days=60).operations())
    assert {o.kind for o in done} == set(KINDS_OF_FAMILIES["operations"])
    assert all(a.occurred_at <= b.occurred_at for a, b in pairwise(done))
    assert done[-1].occurred_at < company.end
    assert len({o.event_id for o in done}) == len(done)
    for agent in {o.agent_id for o in done} - {None}:
        mine = [o.kind for o in done if o.agent_id == agent]
        assert mine[0] == "agent.hired" and mine.count("agent.hired") == 1
        assert mine[-1] == "agent.left" or "agent.left" not in mine


def test_a_large_company_begins_at_once() -> None:
    """Touchpoints are told day by day: the first of many comes without the others."""
    year = Company(customers=10_000, days=3650, contacts_per_day=0.1)
    assert len(list(islice(year.touchpoints(), 1000))) == 1000
