"""Folding contacts: what is first, what is latest, what belongs together and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from streams.contacts import Contact
from streams.facts import Facts
from tests.stories import at, entries, offset

CALL = """
    0m  contact.started  voice billing  contact=c1 queue=first
    5s  contact.queued   voice -        contact=c1 queue=invoices
    9s  contact.queued   voice -        contact=c1
    1m  contact.answered voice delivery contact=c1 agent=ann
    2m  contact.answered voice -        contact=c1 agent=ben
    3m  contact.ended    voice -        contact=c1 by=agent
    4m  contact.ended    voice -        contact=c1 by=network code=38
"""


def contacts(text: str) -> list[Contact]:
    """The contacts of a story, told backwards."""
    facts = Facts("maria", "maria")
    for e in reversed(entries(text)):
        facts.merge(e)
    return facts.contacts()


def _seen(c: Contact, name: str) -> Any:
    value = getattr(c, name)
    return offset(value.at) if hasattr(value, "identity") else value


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        (CALL, {"start": "0m", "queued": "5s", "answered": "1m", "ended": "3m", "abandoned": None}),
        (CALL, {"topic": "delivery", "queue": "invoices", "agent_id": "ben", "ended_by": "network"}),
        (CALL, {"reason_code": "38", "transfers": 0, "attempt": True, "settled": True, "outcome": None}),
        ("0m page.viewed web - contact=c1\n1m contact.started chat - contact=c1", {"start": "1m", "attempt": True}),
        ("0m page.viewed web - contact=c1\n1m contact.queued chat - contact=c1", {"start": "0m", "attempt": False}),
        ("0m message.received sms - contact=c1", {"attempt": True, "settled": False}),
        ("0m message.sent sms - contact=c1\n1m message.received sms - contact=c1", {"attempt": False}),
        ("0m case.opened email billing contact=c1", {"attempt": False, "settled": True}),
        ("0m contact.started voice - contact=c1 direction=outbound", {"attempt": False}),
        ("0m contact.started voice - contact=c1 direction=inbound", {"attempt": True}),
        (
            "0m contact.queued voice - contact=c1\n1m contact.abandoned voice - contact=c1 by=customer code=X",
            {"abandoned": "1m", "ended": "1m", "ended_by": "customer", "reason_code": "X", "settled": True},
        ),
        (
            """
            0m contact.queued    voice - contact=c1
            1m contact.abandoned voice - contact=c1
            2m contact.ended     voice - contact=c1 by=system
            """,
            {"abandoned": "1m", "ended": "2m", "ended_by": "system"},
        ),
        ("0m contact.refused chat - contact=c1 reason=channel_closed", {"ended": "0m", "settled": True}),
        (CALL + "90s contact.transferred voice - contact=c1\n95s contact.transferred voice - contact=c1",
         {"transfers": 2}),
        (CALL + "9m contact.resolved voice - contact=c1\n8m contact.resolved voice - contact=c1", {"resolved": "8m"}),
        (CALL + "5m case.updated email - contact=c1 outcome=escalated\n6m survey.sent email - contact=c1 outcome=ok",
         {"outcome": "ok"}),
        (CALL + "1m contact.answered voice delivery contact=c1 id=e4 version=1 cancelled=yes", {"answered": "2m"}),
        (CALL + "1m contact.answered voice parcels contact=c1 id=e4 version=1", {"topic": "parcels"}),
    ],
)  # fmt: skip
def test_fold(text: str, expect: dict[str, Any]) -> None:
    """A contact says of itself what its touchpoints say together, in whatever order they came."""
    (contact,) = contacts(text)
    assert {name: _seen(contact, name) for name in expect} == expect


def test_equal_times_go_by_source_and_id() -> None:
    """Where two touchpoints have one time, everybody agrees which is the later."""
    (contact,) = contacts("0m contact.started voice a contact=c1 id=z\n0m contact.started voice b contact=c1 id=y")
    assert (contact.start.event_id, contact.topic) == ("y", "a")


def test_without_contact_id() -> None:
    """Each `contact.*` without an id is a contact of its own; other touchpoints without one belong to none."""
    found = contacts("0m contact.started\n1m contact.ended\n2m message.received chat\n3m page.viewed web")
    assert [(c.key, c.contact_id) for c in found] == [("touchpoint/pbx/e1", None), ("touchpoint/pbx/e2", None)]


@pytest.mark.parametrize(("later", "starts"), [("30d", ["0m"]), ("30d1us", ["0m", "30d1us"])])
def test_a_contact_lasts_thirty_days(later: str, starts: list[str]) -> None:
    """An id that comes back after more than 30 days is another contact: nothing reaches back without end."""
    found = contacts(f"0m contact.started voice - contact=c1\n{later} contact.resolved voice - contact=c1")
    assert [offset(c.started_at) for c in found] == starts


def test_thirty_days_run_from_the_first_touchpoint_that_counts() -> None:
    """A cancelled touchpoint does not hold a place: the next one begins the contact, and its 30 days."""
    text = """
        0m  contact.started  voice - contact=c1 cancelled=yes
        1d  contact.queued   voice - contact=c1
        31d contact.answered voice - contact=c1
    """
    (contact,) = contacts(text)
    assert (contact.started_at, contact.newest) == (at("1d"), at("31d"))


def test_contacts_are_ordered_by_start_and_id() -> None:
    """Which contact is "the one before" is the same to everybody."""
    found = contacts("".join(f"{when} contact.started voice - contact={c}\n" for when, c in
                             (("5m", "a"), ("0m", "c"), ("0m", "b"))))  # fmt: skip
    assert [c.contact_id for c in found] == ["b", "c", "a"]
