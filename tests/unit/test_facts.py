"""Facts: a set union of entries, versions within an identity, and the packed form."""

from __future__ import annotations

from itertools import permutations

import pytest

from schemas.errors import Impossible
from schemas.times import DAY
from streams.entries import Entry, family_of
from streams.facts import NEVER, Facts, all_entries, due_of, unpack
from tests.stories import Desk, at, entries, story


def told(*given: Entry) -> Facts:
    """Facts of these entries."""
    facts = Facts("maria", "maria")
    for e in given:
        facts.merge(e)
    return facts


@pytest.mark.parametrize(
    "text",
    [
        "0m contact.started voice a\n0m contact.started voice b id=e1\n0m contact.started voice c id=e1",
        "0m contact.started voice a\n0m contact.started voice b id=e1 version=2\n0m contact.started voice c id=e1 version=1",
        "0m contact.started voice a\n0m contact.started voice a id=e1 version=1 cancelled=yes",
        "0m contact.started voice a\n0m message.received voice b id=e1 version=1\n0m case.opened voice c id=e1 version=2",
        "0m contact.started voice a\n1m contact.started voice a id=e1\n0m contact.started voice a id=e2",
    ],
)
def test_versions_in_any_order(text: str) -> None:
    """The greatest version wins, and of equal ones the same content on every worker, whatever came first."""
    seen = {
        tuple(sorted((e.identity, e.version, e.topic, e.kind, e.cancelled) for e in all_entries(told(*order))))
        for order in permutations(entries(text))
    }
    assert len(seen) == 1
    assert len(seen.pop()) == len({e.identity for e in entries(text)})


def test_merge_says_whether_anything_changed() -> None:
    """A repeated record costs no look; a newer version does; an older one does not."""
    old, new = entries("0m contact.started voice a id=x\n0m contact.started voice b id=x version=1")
    facts = told()
    assert [facts.merge(e) for e in (old, old, new, old, new)] == [True, False, True, False, False]


def test_a_late_touchpoint_does_not_turn_back_the_subjects_time() -> None:
    """What is forgotten goes by the newest touchpoint, whenever the older ones come."""
    assert told(*entries("2d a.b web\n0m a.b web\n1d a.b web")).newest == at("2d")


def test_a_newer_version_may_be_of_another_kind() -> None:
    """A correction that makes a contact of a message leaves no message behind."""
    desk = Desk()
    desk.tell("0m message.received chat - contact=c1 id=x")
    assert desk.look("5m")
    desk.tell("0m contact.started chat - contact=c1 id=x version=1")
    assert [e["data"]["state"] for e in desk.look("5m")] == ["retracted"]
    assert [(j["touchpoints"], j["contacts"]) for j in desk.journeys] == [(1, 1)]


def test_a_cancellation_can_be_taken_back() -> None:
    """Cancelled is a version like any other: a newer one brings the touchpoint back."""
    versions = "".join(f"0m contact.started voice a id=x version={v} cancelled={c}\n" for v, c in
                       ((0, "no"), (1, "yes"), (2, "no")))  # fmt: skip
    for order in permutations(entries(versions)):
        assert len(told(*order).contacts()) == 1
    assert told(*entries(versions)[:2]).contacts() == []


def test_a_newer_version_may_move_to_another_contact() -> None:
    """What was folded before is folded again on both sides."""
    facts = told(*entries("0m contact.started voice a contact=c1 id=x\n1m contact.ended voice - contact=c1 id=y"))
    assert [len(c.entries) for c in facts.contacts()] == [2]
    facts.merge(entries("1m contact.ended voice - contact=c2 id=y version=1")[0])
    assert [(c.contact_id, len(c.entries)) for c in facts.contacts()] == [("c1", 1), ("c2", 1)]


def test_packed_facts_go_on_where_they_were() -> None:
    """A restart loses nothing of what is remembered, and its timers can be set without unpacking."""
    desk = Desk()
    desk.tell("0m message.received chat billing contact=c1 journey=J\n1m page.viewed web")
    desk.look("3m")
    assert desk.facts is not None and desk.packed is not None and desk.last is not None
    again = unpack("maria", desk.packed)
    for name in ("customer_id", "newest", "capped", "entries", "floors", "published", "sealed", "marks", "current"):
        assert getattr(again, name) == getattr(desk.facts, name), name
    assert due_of(desk.packed) == desk.last.due == at("20m")
    assert due_of(Facts("maria", None).pack(NEVER)) == NEVER


def test_what_is_packed_already_is_copied_and_the_same() -> None:
    """What was packed in earlier looks says the same as what is packed anew: also behind late touchpoints and newer versions."""
    desk = Desk()
    for i in range(80):
        desk.tell(f"{10 * i}m contact.started voice billing contact=c{i}\n{10 * i + 1}m page.viewed web id=p{i}")
        if i % 7 == 6:
            desk.tell(f"{10 * i - 25}m page.viewed web id=late{i}\n{10 * i - 9}m page.viewed web id=p{i - 1} version=1")
        if i % 11 == 10:
            desk.tell(f"{10 * i + 2}m page.viewed web id=gone{i} cancelled=yes")
        desk.look(f"{10 * i + 3}m")
        assert desk.packed is not None and desk.facts is not None
        again = unpack("maria", desk.packed)
        assert (again.entries, again.published) == (desk.facts.entries, desk.facts.published)
        assert unpack("maria", again.pack(NEVER)).entries == again.entries
    assert desk.facts is not None and desk.facts.size > 150


def test_a_newer_codec_stops_the_worker() -> None:
    """State of a newer release is not misread: the message names both sides."""
    with pytest.raises(Impossible, match=r"codec 9; this release reads \[1\]"):
        unpack("maria", b"\x09" + Facts("maria", None).pack(NEVER)[1:])


def test_forgotten_contacts_stay_forgotten() -> None:
    """Below the floor nothing is derived, although a newer part of the same id is kept."""
    desk = Desk()
    for month in range(0, 400, 20):
        desk.tell(f"{month}d contact.started voice billing contact=c{month}")
        desk.look(f"{month}d")
    assert desk.facts is not None
    kept = desk.facts.contacts()
    assert 1 < len(kept) < 12 and kept[0].started_at > at("380d") - 200 * DAY


@pytest.mark.parametrize(
    ("kind", "family"),
    [("contact.held", "contact"), ("repair.opened", "asset"), ("promise.kept", "process"), ("moon.landed", "other"),
     ("contactless.paid", "other")],
)  # fmt: skip
def test_families(kind: str, family: str) -> None:
    """An unknown kind is kept beside the others, never among them."""
    assert family_of(kind) == family


def test_ordered_reads_all_families_in_time() -> None:
    """Journeys see one row of touchpoints, whatever they are about."""
    facts = told(*entries("2m page.viewed web\n0m contact.started\n3m contact.ended\n1m message.sent chat"))
    assert [e.event_id for e in facts.ordered()] == ["e2", "e4", "e1", "e3"]
    assert [e.event_id for e in facts.ordered(at("2m"))] == ["e1", "e3"]
    assert [t.event_id for t in story("0m a.b\n1m a.b", name="x")] == ["x1", "x2"]
