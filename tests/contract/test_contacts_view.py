"""The view `volvere.contacts`: stories of customers, and what an analyst reads of them.

A story is a list of lines: minutes (or days, as "31d") after the story's beginning, the kind, and
fields. The view folds in SQL what the kernel folds in Python; the last test holds the two together.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.decode import decode
from schemas.times import DAY, MINUTE, SECOND, format_time, parse_time
from schemas.touchpoint import digest, subject_of
from sinks import rows
from sinks.clickhouse import query
from streams.contacts import Contact, ContactKey, contact_key, fold
from streams.entries import Entry, entry_of
from tests.contract.conftest import ARRIVED, Table, tail, touchpoint_row
from volvere.files import Record, read

BEGIN = parse_time("2026-03-01T09:00:00Z")


def told(story: str) -> list[dict[str, Any]]:
    """The touchpoints of a story. Everything is ana's call c1 unless a field says otherwise; "-" is null."""
    out = []
    for number, line in enumerate(filter(None, map(str.strip, story.splitlines())), 1):
        when, kind, *given = line.split()
        size = DAY if when.endswith("d") else SECOND if when.endswith("s") else MINUTE
        fields: dict[str, Any] = {"contact_id": "c1"} | dict(f.split("=") for f in given)
        for name, value in fields.items():
            if value == "-":
                fields[name] = None
            elif name in ("wait_ms", "handle_ms", "version"):
                fields[name] = int(value)
            elif name == "cancelled":
                fields[name] = value == "yes"
        at = format_time(BEGIN + round(float(when.rstrip("mds")) * size))
        out.append({"event_id": f"e{number}", "kind": kind, "occurred_at": at} | fields)
    return out


def minutes(value: object) -> float | None:
    """A time of the view as minutes after the story's beginning."""
    return None if value is None else (parse_time(f"{value:%Y-%m-%dT%H:%M:%S.%fZ}") - BEGIN) / MINUTE


TIMES = ("started_at", "queued_at", "answered_at", "ended_at", "resolved_at", "previous_contact_at")

STORIES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "a bank call: menu, queue, agent, end": (
        """
        0 contact.started topic=PS
        1 contact.queued queue=main
        3 contact.answered agent_id=tova
        8 contact.ended
        """,
        [
            {
                "contact_id": "c1", "subject": "ana", "customer_id": "ana", "channel": "voice", "topic": "PS",
                "queue": "main", "agent_id": "tova", "direction": "inbound", "attempt": True, "started_at": 0,
                "queued_at": 1, "answered_at": 3, "ended_at": 8, "ended_by": None, "outcome": None, "abandoned": False,
                "abandoned_in": None, "transfers": 0, "wait_ms": 120_000, "handle_ms": 300_000, "touchpoints": 4,
                "previous_contact_at": None, "seconds_since_previous": None, "seconds_since_previous_same_topic": None,
            }
        ],
    ),
    "queued before the menu, as nine calls of the bank are": (
        "0 contact.queued\n1 contact.started channel=phone\n2 contact.abandoned",
        [{"started_at": 1, "channel": "phone", "queued_at": 0, "abandoned_in": "queue", "ended_at": 2, "wait_ms": 120_000}],
    ),
    "hung up in the menu": (
        "0 contact.started\n1 contact.abandoned ended_by=customer reason_code=HANG",
        [
            {
                "abandoned": True, "abandoned_in": "ivr", "ended_at": 1, "ended_by": "customer", "reason_code": "HANG",
                "wait_ms": None, "handle_ms": None, "answered_at": None,
            }
        ],
    ),
    "the first of a kind counts, the latest known word counts": (
        """
        0 contact.started topic=old queue=q1 agent_id=a1
        1 contact.queued queue=q2
        2 contact.queued
        3 contact.answered agent_id=a2 wait_ms=7
        4 contact.answered wait_ms=9 handle_ms=11
        5 contact.ended ended_by=agent reason_code=16 outcome=unresolved handle_ms=12
        6 contact.ended ended_by=network topic=new
        """,
        [
            {
                "topic": "new", "queue": "q2", "agent_id": "a2", "queued_at": 1, "answered_at": 3, "ended_at": 5,
                "ended_by": "network", "reason_code": "16", "outcome": "unresolved", "wait_ms": 7, "handle_ms": 12,
            }
        ],
    ),
    "ended_by and reason_code count on ends only": (
        "0 contact.started ended_by=system reason_code=x\n1 contact.ended",
        [{"ended_by": None, "reason_code": None}],
    ),
    "an abandonment's reported wait, and refused at the door": (
        """
        0 contact.started
        1 contact.queued
        2 contact.abandoned wait_ms=5
        0 contact.refused contact_id=c2 customer_id=ben reason=channel_closed
        """,
        [{"wait_ms": 5}, {"contact_id": "c2", "ended_at": 0, "abandoned": False, "outcome": None}],
    ),
    "a wait that begins after its end is not one": (
        "0 contact.answered\n1 contact.queued",
        [{"wait_ms": None, "queued_at": 1, "answered_at": 0}],
    ),
    "transferred twice, then resolved": (
        "0 contact.started\n1 contact.transferred\n2 contact.transferred\n3 contact.resolved\n4 contact.ended",
        [{"transfers": 2, "resolved_at": 3, "outcome": "resolved"}],
    ),
    "a reported outcome outranks contact.resolved": (
        "0 contact.resolved\n1 contact.ended outcome=escalated",
        [{"outcome": "escalated", "resolved_at": 0}],
    ),
    "attempts: a chat begun by a message, a case, and a call to the customer": (
        """
        0 message.received contact_id=chat channel=chat
        1 message.sent contact_id=chat direction=outbound channel=chat
        2 case.opened contact_id=case
        3 contact.started contact_id=out direction=outbound
        """,
        [
            {"contact_id": "chat", "attempt": True, "direction": "inbound", "touchpoints": 2},
            {"contact_id": "case", "attempt": False, "seconds_since_previous": 120.0},
            {"contact_id": "out", "attempt": False, "direction": "outbound", "seconds_since_previous": 60.0},
        ],
    ),
    "a touchpoint without contact_id is a contact only where it is a contact.*": (
        """
        0 contact.started contact_id=-
        1 contact.ended contact_id=-
        2 page.viewed contact_id=-
        """,
        [
            {"contact_id": None, "source": "pbx", "event_id": "e1", "touchpoints": 1, "started_at": 0, "ended_at": None},
            {"contact_id": None, "source": "pbx", "event_id": "e2", "started_at": 1, "ended_at": 1, "seconds_since_previous": 60.0},
        ],
    ),
    "strangers have no contact before, even under one contact_id twice": (
        "0 contact.started customer_id=-\n40d contact.started customer_id=-\n1 contact.started customer_id=- contact_id=-",
        [
            {"contact_id": "c1", "subject": "~contact/c1", "customer_id": None, "seconds_since_previous": None},
            {"contact_id": None, "subject": "~touchpoint/pbx/e3", "seconds_since_previous": None},
            {"contact_id": "c1", "started_at": 40 * 1440, "previous_contact_at": None, "seconds_since_previous": None},
        ],
    ),
    "two customers may share a contact_id": (
        "0 contact.started\n1 contact.started customer_id=ben",
        [{"customer_id": "ana", "touchpoints": 1}, {"customer_id": "ben", "touchpoints": 1, "seconds_since_previous": None}],
    ),
    "previous: any topic, and the same topic": (
        """
        0   contact.started contact_id=c1 topic=a
        60  contact.started contact_id=c2 topic=b
        7d  contact.started contact_id=c3 topic=a
        """,
        [
            {"seconds_since_previous": None, "seconds_since_previous_same_topic": None},
            {"previous_contact_at": 0, "seconds_since_previous": 3600.0, "seconds_since_previous_same_topic": None},
            {"previous_contact_at": 60, "seconds_since_previous": 601200.0, "seconds_since_previous_same_topic": 604800.0},
        ],
    ),
    "no topic is a topic of its own": (
        "0 contact.started contact_id=c1\n1 contact.started contact_id=c2 topic=a\n2 contact.started contact_id=c3",
        [
            {"seconds_since_previous_same_topic": None},
            {"seconds_since_previous_same_topic": None, "seconds_since_previous": 60.0},
            {"seconds_since_previous_same_topic": 120.0, "seconds_since_previous": 60.0},
        ],
    ),
    "equal starts count as before, in the order of contact_id": (
        "0 contact.started contact_id=c2\n0 contact.started contact_id=c1",
        [
            {"contact_id": "c1", "seconds_since_previous": None},
            {"contact_id": "c2", "seconds_since_previous": 0.0, "previous_contact_at": 0},
        ],
    ),
    "a contact takes what lies up to exactly 30 days after its first": (
        "0 case.opened\n30d case.updated",
        [{"touchpoints": 2}],
    ),
    "what comes later under the same id begins another contact, and another": (
        """
        0 case.opened topic=a
        29d contact.ended
        30.00001d contact.started topic=b
        60d contact.ended outcome=ok
        61d contact.started
        """,
        [
            {"started_at": 0, "touchpoints": 2, "topic": "a", "outcome": None},
            {"touchpoints": 2, "topic": "b", "outcome": "ok", "previous_contact_at": 0},
            {"started_at": 61 * 1440, "touchpoints": 1, "topic": None},
        ],
    ),
    "cancelled touchpoints do not count at all, and do not hold a contact together": (
        """
        0 contact.started event_id=gone
        0 contact.started event_id=gone version=1 cancelled=yes
        20d contact.queued
        40d contact.abandoned
        """,
        [{"started_at": 20 * 1440, "touchpoints": 2, "abandoned_in": "queue", "attempt": True}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_story(table: Table, name: str) -> None:
    """What a story says is what the view shows, told forwards, backwards and twice."""
    story, expected = STORIES[name]
    sent = told(story)
    table.touchpoints(*sent)
    for again in (False, True):
        names, found = query(
            table.client, "SELECT * FROM volvere.contacts ORDER BY started_at, contact_id, customer_id"
        )
        contacts = [dict(zip(names, row, strict=True)) for row in found]
        assert len(contacts) == len(expected)
        for contact, wanted in zip(contacts, expected, strict=True):
            shown = {k: minutes(contact[k]) if k in TIMES else contact[k] for k in wanted}
            assert shown == wanted
        if not again:
            table.touchpoints(*reversed(sent))


KINDS = (
    "contact.started contact.queued contact.answered contact.transferred contact.ended contact.abandoned "
    "contact.refused contact.resolved message.received message.sent case.opened page.viewed"
).split()


OPTIONAL: dict[str, list[Any]] = {
    "topic": ["a", "b"], "queue": ["q1", "q2"], "agent_id": ["x", "y"], "direction": ["inbound", "outbound"],
    "ended_by": ["agent", "customer"], "reason_code": ["16", "31"], "outcome": ["ok", "fail"],
    "wait_ms": [1, 2], "handle_ms": [3, 4],
}  # fmt: skip


def random_touchpoints(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Touchpoints of few customers and contacts, close together and months apart, often at equal times."""
    out = []
    for number in range(count):
        fields: dict[str, Any] = {
            "source": dice.choice(["pbx", "crm"]),
            "event_id": f"e{dice.randrange(count)}",
            "customer_id": dice.choice(["ana", "ben", None]),
            "kind": dice.choice(KINDS),
            "channel": dice.choice(["voice", "chat"]),
            "occurred_at": format_time(BEGIN + dice.choice([MINUTE, DAY, 10 * DAY]) * dice.randrange(20)),
            "version": number,
            "cancelled": dice.random() < 0.1,
            "contact_id": dice.choice(["c1", "c2", "c3", None]),
        }
        for name, values in OPTIONAL.items():
            if dice.random() < 0.4:
                fields[name] = dice.choice(values)
        out.append(fields)
    return out


def folded(sent: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """The kernel's fold of the same records, as rows of the view."""
    subjects: dict[str, dict[tuple[int, str, str], Entry]] = {}
    for fields in sent:
        t = decode(_json(fields), ARRIVED)
        entry = entry_of(t, digest(t), replay=False)
        subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
        known = subjects.setdefault(subject, {})
        held = known.get(entry.identity)
        if held is None or (held.version, held.digest) < (entry.version, entry.digest):
            known[entry.identity] = entry
    out = []
    for subject, entries in subjects.items():
        groups: dict[ContactKey, list[Entry]] = {}
        for identity in sorted(entries):
            key = contact_key(entries[identity])
            if key is not None:
                groups.setdefault(key, []).append(entries[identity])
        out += [row_of(subject, contact) for group in groups.values() for contact in fold(group)]
    return sorted(out, key=repr)


def row_of(subject: str, c: Contact) -> tuple[object, ...]:
    """The columns that the kernel knows."""
    times = [None if e is None else e.at for e in (c.start, c.queued, c.answered, c.ended, c.resolved)]
    outcome = c.outcome or ("resolved" if c.resolved else None)
    words = (c.topic, c.queue, c.agent_id, c.ended_by, c.reason_code, outcome, c.start.channel)
    return (subject, c.contact_id, *times, *words, c.abandoned is not None, c.attempt, c.transfers, len(c.entries))


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize("seed", range(3))
def test_view_folds_as_the_kernel_does(client: Client, seed: int) -> None:
    """Detectors and analysts must speak of the same contacts: random touchpoints, folded by both."""
    sent = random_touchpoints(random.Random(seed), 400)
    Table(client).put("touchpoints", [touchpoint_row(**fields) for fields in sent])
    shown = query(
        client,
        "SELECT subject, contact_id, toUnixTimestamp64Micro(started_at), toUnixTimestamp64Micro(queued_at), "
        "toUnixTimestamp64Micro(answered_at), toUnixTimestamp64Micro(ended_at), toUnixTimestamp64Micro(resolved_at), "
        "topic, queue, agent_id, ended_by, reason_code, outcome, channel, abandoned, attempt, transfers, touchpoints "
        "FROM volvere.contacts",
    )[1]
    assert len(shown) > 80
    assert sorted(shown, key=repr) == folded(sent)


def test_bank_week(table: Table, data: Path) -> None:
    """A real week of calls: its contacts, abandonments and returns are those counted on the raw file."""
    week = data / "anonymous_bank"
    truth = json.loads((week / "week_1999-06-06_ground_truth.json").read_text())
    records = [
        item for item in read(week / "week_1999-06-06_pseudonymised.csv", "anonymous-bank") if isinstance(item, Record)
    ]
    lines = [rows.touchpoint(record.value, ARRIVED, (), tail("touchpoints")) for record in records]
    random.Random(7).shuffle(lines)
    table.put("touchpoints", lines[: len(lines) // 2])
    table.put("touchpoints", lines[len(lines) // 3 :])
    shown = table.one(
        "SELECT count() AS contacts, countIf(abandoned) AS abandoned, countIf(abandoned_in = 'ivr') AS ivr, "
        "countIf(seconds_since_previous <= 3600) AS hour, countIf(seconds_since_previous <= 86400) AS day, "
        "countIf(seconds_since_previous <= 604800) AS week, "
        "countIf(seconds_since_previous_same_topic <= 604800) AS topic FROM volvere.contacts"
    )
    assert shown == {
        "contacts": truth["outcome"]["HANG"] + truth["outcome"]["AGENT"],
        "abandoned": truth["outcome"]["HANG"],
        "ivr": 471,
        "hour": truth["repeats"]["1h"],
        "day": truth["repeats"]["1d"],
        "week": truth["repeats"]["7d"],
        "topic": 2550,
    }
