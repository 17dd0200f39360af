"""`volvere explain` and `volvere customer`, on a store that `volvere run` has filled with a few stories."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid5

import msgspec
import pytest

from schemas.friction import friction_id
from schemas.touchpoint import plain
from tests.command import Done, volvere
from tests.stories import story

MARIA = """
    0m      contact.started   voice  billing   contact=pbx/1 id=m1
    1m      contact.queued    voice  billing   contact=pbx/1 id=m2 queue=bills
    7m3s    contact.answered  voice  billing   contact=pbx/1 id=m3 queue=bills agent=a7 wait=6m3s
    9m      contact.ended     voice  billing   contact=pbx/1 id=m4 by=customer handle=117s
    1d      contact.started   chat   billing   contact=chat/1 id=m5
    1d1m    contact.answered  chat   billing   contact=chat/1 id=m6 agent=a8
    1d2m    contact.resolved  chat   billing   contact=chat/1 id=m7
    1d3m    order.placed      web    -         id=m8 amount=129.9 currency=EUR
"""
ZOE = """
    0m      message.received  email  delivery  contact=mail/1 id=z1
    1d      message.received  email  refund    contact=mail/2 id=z2
"""
STRANGER = """
    0m      contact.started   voice  -         contact=pbx/9 id=s1
    0m      contact.queued    voice  -         contact=pbx/9 id=s2
    1m      contact.abandoned voice  -         contact=pbx/9 id=s3
"""
REFUSED = "0m contact.refused sms - contact=sms/1 id=r1 reason=channel_closed"
NASTY = "'); DROP TABLE [bold] {id:String} \x1b[31m -- \\"
LAST = "45d page.viewed web - id=clock"
"""What is dated last tells the time: the silences before it are over."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a few lives in it."""
    folder = tmp_path_factory.mktemp("told")
    weekly = "\n".join(f"{8 * n}d purchase.made store - id=w{n} amount=5 currency=EUR" for n in range(6))
    busy = "\n".join(f"{n}h contact.started voice t{n} contact=pbx/b{n} id=b{n}" for n in range(100))
    told = [*story(MARIA), *story(ZOE, "zoe"), *story(STRANGER, None), *story(REFUSED, "ben"), *story(weekly, "weekly")]
    told += [*story(busy, "busy"), *story(REFUSED.replace("sms/1", "sms/2"), NASTY, "n"), *story(LAST, "clock")]
    told = [msgspec.structs.replace(t, event_id=f"{n}/{t.event_id}") for n, t in enumerate(told)]
    told.sort(key=lambda t: t.occurred_at)
    (folder / "told.jsonl").write_bytes(b"".join(msgspec.json.encode(plain(t)) + b"\n" for t in told))
    (folder / "rules.toml").write_text('[closed_door]\nmode = "shadow"\n')
    volvere(folder, "run", "told.jsonl", "--rules", "rules.toml", "--clickhouse", folder / "clickhouse")
    return folder / "clickhouse"


def asked(store: Path, *args: object, code: int = 0) -> Done:
    """What a command answers about this store."""
    return volvere(store.parent, *args, code=code, clickhouse=store)


def squeezed(store: Path, *args: object) -> str:
    """The same with spaces taken together."""
    return "\n".join(" ".join(line.split()) for line in asked(store, *args).out.splitlines())


WAIT = str(friction_id("long_wait", "maria", contact_id="pbx/1"))
GIVEN_UP = str(friction_id("queue_abandoned", "~contact/pbx/9", contact_id="pbx/9"))


def test_a_friction_is_told(store: Path) -> None:
    """Support reads in one page what happened to whom, why it counts, how it ended, and what would have prevented it."""
    text = squeezed(store, "explain", WAIT)
    for said in (
        "Waited 6 min on voice long_wait warning",
        "who maria, on voice, queue bills, agent a7, about billing",
        "opened Mon 6 Jan 2025 09:03:00",
        "ended Mon 6 Jan 2025 09:07:03, after 4 min 3 s: answered, the customer was answered",
        "observed 6 min 3 s",
        "limit more than 2 min",
        "note found in history (replay): nobody is paged",
        "contact pbx/1",
        "Mon 6 Jan 2025 09:01:00 queued contact.queued voice, about billing, queue bills",
        "09:07:03 6 min 3 s answered contact.answered voice, about billing, queue bills, agent a7, waited 6 min 3 s",
        "What would have prevented it\nAn answer within 2 min.",
        "Times are UTC.",
    ):
        assert said in text
    assert re.search(r"rule long_wait, live, digest [0-9a-f]{16}", text)
    assert re.search(
        r"journey [0-9a-f]{16}: Mon 6 Jan 2025 09:00:00 to Tue 7 Jan 2025 09:03:00 \(1 day\); voice → chat → web", text
    )


def test_the_beginning_of_an_id_is_enough(store: Path) -> None:
    """An id is copied from a narrow column as well as whole; where several begin so, they are named."""
    whole = asked(store, "explain", WAIT).out
    assert asked(store, "explain", WAIT[:6]).out == whole
    assert asked(store, "explain", WAIT[:20].upper()).out == whole
    here = asked(store, "explain", WAIT[:8], "--zone", "Asia/Kolkata").out
    assert "14:37:03" in here
    assert "Times are Asia/Kolkata." in here


def test_an_id_that_is_none(store: Path) -> None:
    """Who mistypes an id hears what one looks like, and where to find one; nothing is pasted into a question."""
    unknown = str(uuid5(friction_id("long_wait", "x"), "y"))
    for given, said in (
        (WAIT[:5], "first 6 characters or more"),
        ("nonsense", "expected a UUID"),
        ("' OR 1 = 1 --", "expected a UUID"),
        (unknown, f"no friction's id begins with {unknown}; it may have been retracted"),
    ):
        done = asked(store, "explain", given, code=2)
        assert said in done.err
        assert done.err.count("\n") == 1
    assert "no time zone" in asked(store, "explain", WAIT, "--zone", "Mars/Olympus", code=2).err


def test_a_stranger_s_friction(store: Path) -> None:
    """A caller whom nobody knows is told as such, by the contact."""
    text = squeezed(store, "explain", GIVEN_UP)
    assert "who an unknown customer (~contact/pbx/9), on voice" in text
    assert "An answer, or the offer of a call back, before 1 min had passed." in text


def test_the_raw_friction(store: Path) -> None:
    """A script gets the row, the touchpoints of the evidence in order, the journey and the sentence."""
    found: dict[str, Any] = json.loads(asked(store, "explain", WAIT, "--json").out)
    assert set(found) == {"friction", "evidence", "journey", "prevented"}
    assert (found["friction"]["friction_id"], found["friction"]["reason"]) == (WAIT, "answered")
    assert [(e["role"], e["kind"], e["wait_ms"]) for e in found["evidence"]] == [
        ("queued", "contact.queued", None),
        ("answered", "contact.answered", 363_000),
    ]
    assert found["journey"]["path"] == ["voice", "chat", "web"]
    assert found["prevented"] == "An answer within 2 min"


def test_a_customer_s_story(store: Path) -> None:
    """The journey reads in order: contact, friction where it opened and where it ended, money, and how it stands."""
    lines = asked(store, "customer", "maria").out.splitlines()
    assert lines[0] == "maria"
    story_at = next(n for n, line in enumerate(lines) if line.startswith("Journey 1 of 1"))
    assert "voice → chat → web, 8 touchpoints, 2 contacts, 2 frictions" in lines[story_at + 1]
    assert "outcome resolved, EUR 129.90" in lines[story_at + 1]
    told = [" ".join(line.split()) for line in lines[story_at + 2 :] if line.startswith("  ")]
    assert [re.sub(r" [0-9a-f]{8}$", "", line.partition(" 2025 ")[2]) for line in told] == [
        "09:00 voice about billing: answered after 6 min 3 s, agent a7, handled in 1 min 57 s, ended by customer, 4 touchpoints",
        "09:03 long_wait opened: Waited 6 min on voice",
        "09:07 long_wait ended after 4 min 3 s: answered",
        "09:00 chat about billing: answered, agent a8, outcome resolved, 3 touchpoints",
        "09:00 repeat_contact opened: Contact number 2 about billing within 7d",
        "09:03 order.placed: web, EUR 129.90",
        "09:00 repeat_contact ended after 7 days: window_passed",
    ]


def test_a_customer_at_risk(store: Path) -> None:
    """Who went silent after two troubles that nobody put right stands out in the first line."""
    out = asked(store, "customer", "zoe").out
    assert out.splitlines()[0] == "zoe  at risk"
    assert "open       at_risk since Thu 6 Feb 2025 09:00:00" in out
    assert out.count("slow_reply opened") == 2
    found = json.loads(asked(store, "customer", "zoe", "--json").out)
    assert found["at_risk"] is True
    assert [f["kind"] for f in found["open"]] == ["at_risk"]
    assert [f["kind"] for f in found["chapters"][0]["frictions"]] == ["slow_reply", "slow_reply", "at_risk"]


def test_only_the_last_journeys(store: Path) -> None:
    """Five journeys unless more are asked for, the newest last, and the sum of all in the head."""
    out = asked(store, "customer", "weekly").out
    assert re.findall(r"Journey (\d) of 6: \w+ (\d+ \w+)", out) == [
        ("2", "14 Jan"), ("3", "22 Jan"), ("4", "30 Jan"), ("5", "7 Feb"), ("6", "15 Feb"),
    ]  # fmt: skip
    assert "1 earlier journey left out; --last 6 shows all" in out
    assert "EUR 30.00" in out
    assert asked(store, "customer", "weekly", "--last", 6).out.count("purchase.made: store, EUR 5.00") == 6


def test_a_long_life(store: Path) -> None:
    """A hundred calls do not scroll by: a page is shown, and how much was left out is said."""
    out = asked(store, "customer", "busy").out
    assert "... 60 lines left out ..." in out
    assert len(out.splitlines()) < 60


def test_subjects_and_strange_names(store: Path) -> None:
    """A contact of nobody's is found by its subject; an id that looks like a command is only an id."""
    stranger = asked(store, "customer", "~contact/pbx/9").out
    assert stranger.startswith("An unknown customer (~contact/pbx/9)")
    assert "given up after 1 min in the queue" in stranger
    nasty = asked(store, "customer", NASTY).out
    assert "\x1b" not in nasty
    assert nasty.startswith("'); DROP TABLE [bold] {id:String}")
    assert "on trial (shadow): 1" in nasty
    assert "closed_door opened: Refused: sms was closed (shadow)" in nasty


def test_a_customer_who_is_unknown(store: Path, tmp_path: Path) -> None:
    """Exit code 2 and one line that says what to do; so where there is no store, which is not made by asking."""
    for who in ("nobody", "", "~contact/none"):
        done = asked(store, "customer", who, code=2)
        assert f"nothing is known of a customer {who!r}; expected a customer_id or a subject" in done.err
        assert done.err.count("\n") == 1
    for command in ("explain", "customer"):
        assert "there is no store in" in volvere(tmp_path, command, WAIT, code=2).err
    assert list(tmp_path.iterdir()) == []
