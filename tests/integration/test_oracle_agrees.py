"""The detectors find what the oracle finds: kind by kind, id by id, when it opened, how bad it is, and when it ended.

The oracle reads the definitions in the plainest way and knows nothing of the detectors. Both are asked about the same
lives, at several watermarks: those of a simulated company, of customers more tormented than any company has, and of
the callers of a real bank's week.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.adapters import anonymous_bank
from schemas.decode import decode
from schemas.friction import anchored_id
from schemas.times import DAY, HOUR, LATEST, MINUTE, SECOND, format_time, parse_time
from schemas.touchpoint import Normal, digest, subject_of
from streams.detectors import DETECTORS
from streams.entries import entry_of
from streams.facts import Facts
from streams.friction import Clock
from streams.rules import parse_rules
from streams.tracker import Tracker
from tests import bank
from tests.oracle import at, oracle
from volvere.simulator import Company

KINDS = {d.kind for d in DETECTORS}
RULES = parse_rules()
Said = tuple[int, str, int | None]
"""When it opened, microseconds; how bad it is; when it ended, None if it has not."""


def latest(found: Iterable[tuple[str, str, Said]]) -> dict[tuple[str, str], Said]:
    """Each friction by kind and id; of two with one id (a contact id that begins again) the later one stands."""
    return {(kind, which): said for kind, which, said in sorted(found, key=lambda f: f[2][0])}


def by_tracker(subject: str, life: Iterable[Normal], now: int) -> dict[tuple[str, str], Said]:
    """What a worker finds that has been told all of it and then looks for the first time."""
    life = list(life)
    facts = Facts(subject, life[0].customer_id)
    for t in life:
        facts.merge(entry_of(t, digest(t), False))
    return latest(
        (kind, str(anchored_id(kind, subject, f.anchor)), (f.opened_at, f.severity, f.resolved_at))
        for kind, f in Tracker(RULES).derive(facts, Clock(now))
    )


def by_oracle(subject: str, life: Iterable[Normal], now: int) -> dict[tuple[str, str], Said]:
    """What the definitions say."""
    found = oracle(subject, list(life), now)
    return latest((f.kind, str(f.friction_id), (f.opened_at, f.severity, f.resolved_at)) for f in found)


def agreed(lives: Mapping[str, list[Normal]], nows: Iterable[int], known: int = 0) -> Counter[str]:
    """Fails with every difference; else how many frictions of each kind both have found.

    known: how much of what lies behind the watermark has come already, microseconds.
    """
    count: Counter[str] = Counter()
    wrong: list[str] = []
    for now in nows:
        for subject, whole in lives.items():
            life = [t for t in whole if at(t) <= now + known]
            if not life:
                continue
            told, defined = by_tracker(subject, life, now), by_oracle(subject, life, now)
            count.update(kind for kind, _ in told)
            for kind, which in sorted(told.keys() | defined.keys()):
                one, other = told.get((kind, which)), defined.get((kind, which))
                if one != other:
                    wrong.append(
                        f"{kind} {which} of {subject} at {format_time(now)}: the detector says {in_words(one)}, "
                        f"the oracle {in_words(other)}"
                    )
    assert not wrong, "\n".join([f"{len(wrong)} differences, such as", *wrong[:20]])
    return count


def in_words(said: Said | None) -> str:
    """What was said, as a person reads it."""
    if said is None:
        return "nothing"
    opened, severity, ended = said
    return f"{severity} {format_time(opened)}..{format_time(ended) if ended is not None else 'open'}"


def by_subject(touchpoints: Iterable[Normal]) -> dict[str, list[Normal]]:
    """The lives that touchpoints tell of."""
    lives: dict[str, list[Normal]] = defaultdict(list)
    for t in touchpoints:
        lives[subject_of(t.customer_id, t.contact_id, t.source, t.event_id)].append(t)
    return lives


def test_a_simulated_company() -> None:
    """What two thousand customers meet in two months is what the definitions say, in the middle of it and long after."""
    company = Company(seed=11, customers=2000, days=60, contacts_per_day=0.15)
    lives = by_subject(decode(json.dumps(t).encode(), LATEST) for t in company.touchpoints())
    assert len([subject for subject in lives if not subject.startswith("~")]) > 1900
    middle, end = company.start + 20 * DAY, company.end
    found = agreed(lives, (middle, end - MINUTE, end + 45 * DAY), HOUR)
    assert found.keys() == KINDS


START = parse_time("2025-01-06T09:00:00Z")
STEPS = (
    0, 1, 400_000, SECOND, 5 * SECOND, 10 * SECOND, MINUTE, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR, DAY,
    2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY, 25 * DAY, 30 * DAY, 400 * DAY,
)  # fmt: skip
"""The thresholds of the rules, so that much lies exactly on one, or a microsecond beside it."""
TALK = "contact.started>contact.answered>contact.ended"
GIVEN_UP = "contact.started>contact.queued>contact.abandoned"
CALL = "contact.started contact.queued contact.answered contact.ended"
THEMES = (
    CALL,
    f"{TALK} {TALK} contact.started contact.resolved",
    f"{CALL} contact.ended contact.resolved message.sent",
    f"{GIVEN_UP} {GIVEN_UP} {CALL}",
    f"{CALL} contact.queued contact.abandoned contact.refused message.sent",
    f"{CALL} contact.transferred contact.held contact.resolved",
    "contact.started message.received message.received message.sent contact.ended contact.resolved case.resolved",
    "message.received message.received message.sent contact.ended",
    "contact.started case.opened case.resolved case.resolved case.reopened message.received",
    "contact.started",
    "contact.refused contact.answered message.sent message.sent",
    "promise.made promise.kept",
    "request.denied request.granted information.requested identity.verified page.viewed",
    "element.clicked element.clicked element.clicked page.viewed search.failed form.failed order.placed",
    "form.failed form.failed form.failed form.submitted form.started",
    "checkout.started order.placed form.failed page.viewed",
    "repair.opened repair.opened repair.closed asset.sold asset.replaced order.refunded",
    "survey.answered complaint.filed feedback.followed_up page.viewed",
    f"{CALL} message.received message.sent case.resolved promise.made element.clicked form.failed checkout.started",
    "message.received complaint.filed survey.answered repair.opened page.viewed purchase.made request.denied x.y",
)
"""What a life is made of; what is named twice happens more often. ">": one after the other in one contact."""
CHOICES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "channel": (("voice",), ("voice", "chat"), ("voice", "chat", "email", "sms")),
    "contact_id": ((None,), ("c1",), ("c1", "c2", "c3"), (None, "c1", "c2"), tuple(f"c{n}" for n in range(8))),
    "topic": ((None,), ("a",), (None, "a", "a", "b")),
    "ref": ((None,), ("r",), (None, "r", "q")),
    "element": ((None,), ("e",), ("e", "e", "e", "f", None)),
    "asset_id": (("car",), ("car", "bus", None)),
    "reason": ((None, "policy", "channel_closed"), (None, None, "callback_accepted")),
    "ended_by": (("network",), ("agent",), (None, "agent", "network", "customer")),
    "queue": ((None,), ("q", "q", "p", None)),
    "agent_id": ((None,), ("g", "g", "h", None)),
    "direction": ((None,), (None, None, None, "outbound")),
    "journey_id": ((None,), (None,) * 5 + ("i", "j")),
    "outcome": ((None,), (None, None, "resolved", "unresolved")),
    "wait_ms": ((None,), (None, None, 1000, 5000, 200_000)),
    "automatic": ((False,), (False, False, True)),
    "x": ((1.0,), (1.0, 30.0, 31.0, None)),
    "score": ((1.0, 2.0, 3.0, 6.0, 9.0), (6.0, 7.0)),
    "scale": (("nps",), ("nps", "csat5", "ces7", None)),
}
"""For each field what its values may be; a life chooses one of these."""


def tormented(seed: int) -> list[Normal]:
    """A life in which much goes wrong, with few names for things, at times that lie on thresholds or just beside."""
    dice = Random(seed)
    kinds = dice.choice(THEMES).split()
    among = STEPS[: dice.choice((6, 12, len(STEPS)))]  # where all is slow, nobody clicks in rage
    steps = dice.sample(among, dice.randint(1, 5))
    values = {name: dice.choice(choices) for name, choices in CHOICES.items()}
    customer = dice.choice(("maria", "maria", "maria", None))
    if customer is None:
        values["contact_id"] = ("c1",)
    life: list[Normal] = []
    time = START
    for _ in range(dice.randint(2, 20)):
        contact_id = f"n{len(life)}" if dice.random() < 0.5 and customer else dice.choice(values["contact_id"])
        for kind in dice.choice(kinds).split(">"):
            time = max(START, time + dice.choice(steps) + dice.choice((0, 0, 0, 1, -1)))
            fields = {name: dice.choice(choice) for name, choice in values.items()}
            fields["contact_id"] = contact_id if contact_id and dice.random() < 0.9 else fields["contact_id"]
            fields["due_at"] = time + dice.choice((-1, 0, HOUR, DAY, 7 * DAY)) if dice.random() < 0.8 else None
            fields |= {"source": "s", "event_id": f"e{len(life)}", "customer_id": customer, "y": 1.0}
            life.append(Normal(kind=kind, occurred_at=time, **fields))
            if dice.random() < 0.05:  # the source corrects itself
                life.append(replace(life[-1], version=1, cancelled=dice.random() < 0.5, topic="b"))
    dice.shuffle(life)
    return life


@pytest.mark.parametrize("part", range(4))
def test_tormented_customers(part: int) -> None:
    """However odd a life is, what is found is what the definitions say, at any watermark, with the future known or not."""
    found: Counter[str] = Counter()
    for seed in range(part * 500, part * 500 + 500):
        dice, life = Random(-seed), tormented(seed)
        lives, times = by_subject(life), [at(t) for t in life]
        found += agreed(lives, (dice.choice(times) + dice.choice(STEPS),), dice.choice((0, HOUR, 40 * DAY)))
        found += agreed(lives, (dice.choice(times) + dice.choice(STEPS) - 1, max(times) + 999 * DAY), 999 * DAY)
    assert found.keys() == KINDS


def test_a_week_of_a_bank(data: Path) -> None:
    """The bank's own calls, as the store counts them: the oracle has the same, and as many as a plain count of the file."""
    rows = bank.read(data / bank.WEEK)
    told = [decode(json.dumps(t).encode(), LATEST) for row in rows for t in anonymous_bank.touchpoints(row)]
    found = agreed(by_subject(told), (max(map(at, told)),))
    assert found == {kind: getattr(bank.REAL_WEEK, kind) for kind in ("repeat_contact", "queue_abandoned", "long_wait")}
