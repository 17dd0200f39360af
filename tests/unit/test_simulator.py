"""The simulated company: what it says is well made, in order, repeatable, and true."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import Any

import pytest

from schemas.decode import decode
from schemas.friction import anchored_id, friction_id
from schemas.times import DAY, HOUR, LATEST, MINUTE, parse_time
from schemas.touchpoint import Normal, digest, subject_of
from streams.entries import entry_of
from streams.facts import Facts
from streams.friction import Clock
from streams.rules import parse_rules
from streams.tracker import Tracker
from volvere.simulator import Company

KINDS = {"repeat_contact", "dropped_call", "agent_disconnect", "queue_abandoned", "long_wait", "slow_reply"}


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
    company, touchpoints = fortnight
    assert all(a.occurred_at <= b.occurred_at for a, b in pairwise(touchpoints))
    assert company.start <= touchpoints[0].occurred_at
    assert touchpoints[-1].occurred_at < company.end
    assert len({(t.source, t.event_id) for t in touchpoints}) == len(touchpoints)
    assert {t.channel for t in touchpoints} == {"voice", "chat", "sms", "social", "email", "web"}
    contacts = {t.contact_id for t in touchpoints}
    assert 4 <= len(touchpoints) / len(contacts) <= 5


def test_contacts_make_sense_in_time(fortnight: tuple[Company, list[Normal]]) -> None:
    """Within a contact every step has a time of its own, and the waits that are reported are those that passed."""
    contacts: dict[Any, list[Normal]] = defaultdict(list)
    for t in fortnight[1]:
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


def test_the_truth_is_about_contacts_that_happened(fortnight: tuple[Company, list[Normal]]) -> None:
    """Of each kind there are troubles and near misses; each names a contact of that customer, and its own friction."""
    company, touchpoints = fortnight
    happened = {(t.contact_id, t.customer_id) for t in touchpoints}
    assert {(p.contact_id, p.customer_id) for p in company.planted} <= happened
    assert {(p.kind, p.near_miss) for p in company.planted} == {(k, near) for k in KINDS for near in (True, False)}
    assert len({p.friction_id for p in company.planted}) == len(company.planted)
    for p in company.planted:
        assert p.story.endswith(".")
        if p.kind != "slow_reply":
            subject = subject_of(p.customer_id, p.contact_id, "", "")
            assert p.friction_id == friction_id(p.kind, subject, contact_id=p.contact_id)


def test_planted_customers_have_one_story_and_nothing_else(fortnight: tuple[Company, list[Normal]]) -> None:
    """No chance contact can make a planted truth false."""
    company, touchpoints = fortnight
    planted = {p.customer_id for p in company.planted} - {None}
    stories = {p.contact_id.rpartition("-")[0].partition("/")[2] for p in company.planted}
    for t in touchpoints:
        if t.customer_id in planted:
            assert (t.contact_id or "").rpartition("-")[0].partition("/")[2] in stories


def test_time_goes_on_after_the_last_truth(fortnight: tuple[Company, list[Normal]]) -> None:
    """Silence is only proved by time: touchpoints follow the last planted silence."""
    company, touchpoints = fortnight
    assert max(p.at for p in company.planted) + HOUR < touchpoints[-1].occurred_at


@pytest.mark.parametrize(("seed", "customers", "days"), [(1, 300, 14), (2, 84, 9), (3, 90, 1)])
def test_detectors_find_what_is_planted_and_no_near_miss(seed: int, customers: int, days: int) -> None:
    """The ground truth and the default rules agree to the microsecond; on planted customers nothing else is found."""
    company = Company(seed=seed, customers=customers, days=days)
    facts: dict[str, Facts] = {}
    last = 0
    for t in told(company):
        subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
        facts.setdefault(subject, Facts(subject, t.customer_id)).merge(entry_of(t, digest(t), False))
        last = t.occurred_at
    tracker = Tracker(parse_rules())
    quiet = {subject_of(p.customer_id, p.contact_id, "", "") for p in company.planted}
    found = {
        anchored_id(kind, subject, friction.anchor): friction.opened_at
        for subject in quiet
        for kind, friction in tracker.derive(facts[subject], Clock(last - MINUTE))
    }
    assert found == {p.friction_id: p.at for p in company.planted if not p.near_miss}


def test_what_does_not_fit_is_left_out() -> None:
    """Any company can be had: few customers or days mean fewer stories, never a story cut in two."""
    assert Company(customers=1, days=1).planted == []
    assert {p.customer_id for p in Company(customers=20, days=2).planted} <= {f"C{n:06d}" for n in range(10, 20)} | {
        None
    }
    short = Company(customers=500, days=3)
    assert {p.kind for p in short.planted} == KINDS
    assert max(p.at for p in short.planted) < short.end
    assert Company(customers=500, stories=0).planted == []


@pytest.mark.parametrize("wrong", [{"customers": 0}, {"days": 0}, {"contacts_per_day": -1.0}, {"untidy": 1.5}])
def test_impossible_companies_are_refused(wrong: dict[str, Any]) -> None:
    """Whoever mistypes an argument is told what was expected."""
    with pytest.raises(ValueError, match="expected at least one customer"):
        Company(**wrong)


def test_a_company_begins_when_it_is_told_to() -> None:
    """A demonstration that is to look like today starts at any minute, and its busy hours stay in the day."""
    start = parse_time("2025-03-01T17:23:00Z")
    touchpoints = told(Company(customers=500, days=1, start=start, contacts_per_day=1))
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


def test_a_large_company_begins_at_once() -> None:
    """Touchpoints are told day by day: the first of many comes without the others."""
    year = Company(customers=10_000, days=3650, contacts_per_day=0.1)
    assert len(list(islice(year.touchpoints(), 1000))) == 1000
