"""Events: ids that stay, keys that group, and words that a person reads."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, NAMESPACE_URL, UUID, uuid5

import pytest

from schemas.friction import MAX_EVIDENCE, friction_id, uuid5_text
from tests.stories import Desk, offset, play

TWICE = """
    0m contact.started voice billing contact=c1 queue=invoices
    1d contact.started voice billing contact=c2 queue=invoices product=fibre release=7.1 asset_id=router9 agent=ann
"""


def event(text: str = TWICE, until: str = "2d", customer: str | None = "maria") -> dict[str, Any]:
    """The last event of a story."""
    return play(text, until, customer=customer).events[-1]


def test_the_envelope() -> None:
    """An alerting system finds time, severity and keys where CloudEvents and OpenTelemetry put them."""
    e = event()
    assert (e["type"], e["subject"], offset(e["time"]), offset(e["recordedtime"])) == (
        "volvere.friction.opened", "maria", "1d", "2d",
    )  # fmt: skip
    assert (e["severitytext"], e["severitynumber"], e["specversion"]) == ("warning", 13, "1.0")
    assert e["correlationid"] == e["data"]["journey_id"] is not None


def test_the_data_says_where() -> None:
    """Whoever receives it needs no second look to see whom, what and where it concerns."""
    d = event()["data"]
    place = {"customer_id": "maria", "contact_id": "c2", "channel": "voice", "queue": "invoices", "topic": "billing"}
    place |= {"product": "fibre", "release": "7.1", "asset_id": "router9", "agent_id": "ann"}
    assert {name: d[name] for name in place} == place
    assert [(x["event_id"], x["role"]) for x in d["evidence"]] == [("e1", "attempt"), ("e2", "attempt")]
    assert d["summary"] == "Contact number 2 about billing within 7d"


def test_the_time_of_an_end_is_when_it_ended() -> None:
    """`time` is when it happened, for an end as for a beginning."""
    assert offset(event(until="9d")["time"]) == "8d"


@pytest.mark.parametrize("name", ["", "long_wait/contact/c1", "ä\n", "x" * 500])
def test_ids_are_uuids_of_version_5(name: str) -> None:
    """They are written without `uuid`, and are what it would write."""
    for space in (NAMESPACE_URL, NAMESPACE_OID, uuid5(NAMESPACE_URL, name)):
        assert uuid5_text(space.bytes, name) == str(uuid5(space, name))


def test_friction_ids_come_from_kind_and_anchor() -> None:
    """Anybody can compute the id; neither journey nor rule nor customer is in it."""
    wanted = friction_id("repeat_contact", "maria", contact_id="c2")
    assert UUID(event()["data"]["friction_id"]) == wanted
    assert UUID(event(customer="jose")["data"]["friction_id"]) == wanted
    assert UUID(event("2m a.b web - journey=J\n" + TWICE)["data"]["friction_id"]) == wanted


def test_strangers_are_kept_apart() -> None:
    """The same contact id of two unknown subjects names two frictions."""
    silence = "0m message.received chat - contact=c1"
    ids = set()
    for subject in ("~contact/c1", "~contact/c2"):
        desk = Desk(customer=None, subject=subject)
        desk.tell(silence)
        ids.add(desk.look("5m")[0]["data"]["friction_id"])
    assert len(ids) == 2


def test_event_ids_drop_exact_repeats_only() -> None:
    """The same look twice gives the same id; another revision another one."""
    assert event()["id"] == event()["id"]
    assert event()["id"] != event(until="9d")["id"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (TWICE, TWICE.replace("1d", "2d").replace("c2", "c3"), True),
        (TWICE.replace("router9", "router8"), TWICE, False),
        (TWICE.replace("asset_id=router9", ""), TWICE.replace("asset_id=router9", "").replace("billing", "delivery"), False),
    ],
)  # fmt: skip
def test_the_dedupkey_is_the_incident(one: str, other: str, same: bool) -> None:
    """One customer's one cause is one incident, however many contacts it takes."""
    assert (event(one, "3d")["dedupkey"] == event(other, "3d")["dedupkey"]) is same


def test_the_groupkey_is_the_storm() -> None:
    """Frictions of many customers in one queue group together; where there is no queue, by release, then channel."""
    assert event()["groupkey"] == event(customer="jose")["groupkey"] == "repeat_contact:invoices"
    no_queue = TWICE.replace("queue=invoices", "")
    assert event(no_queue)["groupkey"] == "repeat_contact:7.1"
    assert event(no_queue.replace("release=7.1", ""))["groupkey"] == "repeat_contact:voice"
    assert event()["dedupkey"] != event(customer="jose")["dedupkey"]


def test_evidence_is_bounded_by_its_newest() -> None:
    """However often somebody came back, the event stays small and shows the latest."""
    text = "".join(f"{hour}h contact.started voice billing contact=c{hour}\n" for hour in range(30))
    d = event(text, "30h")["data"]
    assert d["observed"]["value"] == 29
    d = next(e for e in play(text, "30h").events if e["data"]["contact_id"] == "c29")["data"]
    assert d["observed"]["value"] == 30
    assert [e["event_id"] for e in d["evidence"]] == [f"e{n}" for n in range(31 - MAX_EVIDENCE, 31)]


@pytest.mark.parametrize(
    ("late", "summary"),
    [
        ("6m contact.ended voice delivery contact=c1", "Late touchpoints show that this did not happen"),
        ("2d contact.started voice billing contact=c3", "Contact number 3 about billing within 7d"),
    ],
)
def test_summaries_are_for_people(late: str, summary: str) -> None:
    """What happened, in one line, also when it is taken back."""
    desk = play(TWICE, "2d")
    desk.tell(late)
    assert desk.look("2d1h")[0]["data"]["summary"] == summary
