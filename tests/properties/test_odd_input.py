"""Odd input: what a sender may get wrong, and what becomes of it.

There are two outcomes and no third. What breaks the contract is refused with a reason when it is decoded; what keeps it,
however odd it is, is a touchpoint: stored and counted, and read by a detector only where it makes sense.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.times import DAY, HOUR, MINUTE, SECOND, parse_time
from schemas.touchpoint import Normal
from streams.entries import FAMILIES
from tests.stories import MONDAY, Desk, play, story

KNOWN = (
    "contact.started contact.queued contact.answered contact.held contact.transferred contact.ended contact.abandoned "
    "contact.refused contact.resolved message.received message.sent case.opened case.updated case.reopened "
    "case.resolved request.made request.granted request.denied identity.verified information.requested promise.made "
    "promise.kept page.viewed element.clicked form.started form.failed form.submitted checkout.started search.failed "
    "order.placed order.delivered order.returned order.refunded asset.sold asset.replaced repair.opened repair.closed "
    "survey.sent survey.answered complaint.filed review.posted feedback.followed_up purchase.made "
    "subscription.renewed subscription.cancelled account.closed referral.made channel.closed channel.opened "
    "release.deployed agent.hired agent.left agent.trained agent.surveyed"
).split()
KINDS = [*KNOWN, "contact.teleported", "nobody.knows.this"]
FAR = parse_time("2199-12-31T23:59:59Z")
STEPS = (0, 0, 0, 1, 300_000, SECOND, 5 * SECOND, MINUTE, HOUR, DAY, -MINUTE, -DAY, 8 * DAY, 40 * DAY, 800 * DAY)
NUMBERS = (0.0, -0.0, -1.0, 1e-300, -1e308, 1e308, 3.0, 6.5, 11.0, 2.0**60)
ODD: dict[str, tuple[Any, ...]] = {
    "contact_id": ("c1", "c1", "c2", "x" * 128, " "),
    "topic": ("billing", "operations", "t" * 128, "\u0000", "¡volveré!"),
    "ref": ("r1", "r1", "r2", "r" * 128),
    "direction": ("inbound", "outbound"),
    "ended_by": ("customer", "agent", "network", "system"),
    "reason": ("policy", "callback_accepted", "channel_closed", "nonsense"),
    "reason_code": ("16", "38", "Q.850:", "Q.850:999999999999", "-1", "é"),
    "queue": ("vip", "q" * 128),
    "agent_id": ("ann", "bob"),
    "asset_id": ("car", "car", "bike"),
    "release": ("v2",),
    "product": ("phone",),
    "journey_id": ("J", "K"),
    "wait_ms": (0, 1, 10**12),
    "handle_ms": (0, 10**12),
    "outcome": ("ok", "fail", "resolved", "unresolved", "denied", "escalated"),
    "score": NUMBERS,
    "scale": ("nps", "csat5", "ces7", "stars"),
    "amount": ("0", "-0.0001", "99999999999999.9999", "-99999999999999"),
    "currency": ("EUR", "XXX"),
    "element": ("pay", "passport", "e" * 1024),
    "x": NUMBERS,
    "y": NUMBERS,
    "due_at": (0, -HOUR, HOUR, DAY, 100 * DAY, None),
    "automatic": (True,),
    "cancelled": (True,),
    "version": (1, 2**63 - 1),
}
"""What a field may hold and seldom does. due_at: from the touchpoint on; None: in 2199."""


def _life(dice: Random, size: int) -> list[Normal]:
    """Touchpoints of one customer that keep the contract and make little sense together, as they arrive."""
    kinds = dice.sample(KINDS, 6) if dice.random() < 0.7 else KINDS
    fields = dice.sample(list(ODD), dice.randint(0, 12))
    time, told = MONDAY, []
    for i in range(size):
        time += dice.choice(STEPS)
        more = {name: dice.choice(ODD[name]) for name in fields if dice.random() < 0.6}
        if "due_at" in more:
            more["due_at"] = FAR if more["due_at"] is None else time + more["due_at"]
        event_id = f"e{dice.randrange(i + 1) if dice.random() < 0.1 else i}"
        channel = dice.choice(("voice", "chat", "web"))
        told.append(Normal("s", event_id, "maria", dice.choice(kinds), channel, time, **more))
    return told


@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_odd_touchpoints(part: int) -> None:
    """No order of touchpoints, however mad, stops a worker, and all that is said keeps its model (the desk sees to it)."""
    count = 0
    for seed in range(part * 10_000, (part + 1) * 10_000):
        dice = Random(seed)
        told = _life(dice, dice.choice((1, 4, 10, 40, 80)))
        desk = Desk(now=MONDAY - DAY)
        for i, t in enumerate(told):
            desk.tell([t])
            if dice.random() < 0.1:
                desk.look(max(desk.now, t.occurred_at + dice.choice((0, MINUTE, 30 * DAY))))
                if i % 2:
                    desk.restart()
        desk.look(max(desk.now, *(t.occurred_at for t in told)) + dice.choice((0, HOUR, 50 * DAY)), settle=True)
        desk.look(FAR - DAY)
        assert desk.facts is None or any(t.due_at == FAR for t in told)
        assert all(d["state"] == "resolved" for d in desk.standing)
        count += len(told)
        if count >= 10_000:
            return


ARRIVAL = parse_time("2026-03-10T00:00:00Z")
RECORD = {
    "source": "web", "event_id": "e1", "customer_id": "maria", "kind": "survey.answered", "channel": "web",
    "occurred_at": "2026-03-09T10:00:00Z",
}  # fmt: skip
REFUSED: tuple[tuple[str, dict[str, Any] | bytes, str, str], ...] = (
    ("no JSON", b"score: 3", "not_json", ""),
    ("a list of touchpoints in one record", b"[{}]", "not_an_object", ""),
    ("NaN or infinity as a number", b'{"score": NaN}', "not_json", ""),
    ("a number too great for a float", {"score": "HUGE"}, "invalid_field", "score"),
    ("a score as text", {"score": "7"}, "invalid_field", "score"),
    ("a time without a zone", {"occurred_at": "2026-03-09T10:00:00"}, "invalid_field", "occurred_at"),
    ("a day that does not exist", {"occurred_at": "2026-02-30T10:00:00Z"}, "invalid_field", "occurred_at"),
    ("a touchpoint from the future", {"occurred_at": "2026-03-10T00:05:01Z"}, "future", "occurred_at"),
    ("a promise due in the year 2200 or later", {"due_at": "2200-01-01T00:00:00Z"}, "invalid_field", "due_at"),
    ("a negative wait", {"wait_ms": -1}, "invalid_field", "wait_ms"),
    ("a wait longer than 31 years", {"wait_ms": 10**12 + 1}, "invalid_field", "wait_ms"),
    ("an amount that is no decimal", {"amount": "12,50"}, "invalid_field", "amount"),
    ("an amount finer than 4 decimals", {"amount": "0.00001"}, "invalid_field", "amount"),
    ("a kind that is no word", {"kind": "Survey Answered"}, "invalid_field", "kind"),
    ("an outcome that is not ours", {"outcome": "great"}, "invalid_field", "outcome"),
    ("a negative version", {"version": -1}, "invalid_field", "version"),
    ("an identifier longer than 128 characters", {"event_id": "e" * 129}, "invalid_field", "event_id"),
    ("no customer_id at all (null says: unknown)", {"customer_id": ...}, "missing_field", "customer_id"),
)
"""What is refused: what comes, how the record differs (... leaves the field out), the reason, the field."""

PLAIN: tuple[tuple[str, str], ...] = (
    ("a kind that nobody knows", "0m contact.teleported voice billing contact=c1"),
    ("a score outside of its scale", "0m survey.answered web - score=-1 scale=nps\n1m survey.answered web - score=0 scale=csat5"),
    ("a score on a scale that no rule names", "0m survey.answered web - score=1 scale=stars"),
    ("a score without a scale, a scale without a score", "0m survey.answered web - score=1\n0m survey.answered web - scale=nps"),
    ("a promise without due_at", "0m promise.made voice"),
    ("a promise due before it was made", "0m promise.made voice - due=-1h"),
    ("due_at on what is no promise", "0m request.made voice - due=1h"),
    ("a keeping without a promise", "0m promise.kept voice - ref=p1"),
    ("an answer, a transfer, an end without a beginning", """
        0m contact.answered    voice - contact=c1
        1m contact.transferred voice - contact=c1
        2m contact.ended       voice - contact=c1"""),
    ("an end before the beginning", "0m contact.ended voice - contact=c1 by=customer\n5m contact.started voice - contact=c1"),
    ("an end by the network before the answer", "0m contact.ended voice - contact=c1 by=network\n5m contact.answered voice - contact=c1"),
    ("an end by the agent before the answer", "0m contact.ended voice - contact=c1 by=agent\n5m contact.answered voice - contact=c1"),
    ("an abandonment that never queued", "0m contact.started voice - contact=c1\n9m contact.abandoned voice - contact=c1"),
    ("a queue that is joined after it was left", "0m contact.abandoned voice - contact=c1\n9m contact.queued voice - contact=c1"),
    ("a reply before the question", "0m message.sent chat - contact=c1\n0m message.sent chat - contact=c1"),
    ("a message outside of any contact", "0m message.received chat"),
    ("a reopening of what was never resolved", "0m case.reopened email - ref=r1"),
    ("a repair of no asset, a closing without an opening", "0m repair.opened store brakes\n1m repair.closed store brakes asset=car"),
    ("a refund or a replacement of nothing", "0m order.refunded web\n1m asset.replaced store"),
    ("an order without an amount, an amount without a currency", "0m order.placed web\n1m order.placed web - amount=12.50"),
    ("a follow-up of nothing", "0m feedback.followed_up voice - ref=r1"),
    ("a submission of a form that nobody began", "0m form.submitted web - ref=f1"),
    ("clicks of nobody knows what, far apart in time", "0m element.clicked web\n2s element.clicked web\n4s element.clicked web"),
    ("a refusal without a reason", "0m contact.refused voice - contact=c1"),
    ("a denial for a reason of one's own", "0m request.denied web - reason=mood"),
    ("what only the company knows, under a customer", "0m release.deployed web operations\n1m channel.closed voice operations"),
    ("everything at the same moment", """
        0m contact.started  voice - contact=c1
        0m contact.queued   voice - contact=c1
        0m contact.answered voice - contact=c1
        0m contact.ended    voice - contact=c1 by=customer
        0m contact.resolved voice - contact=c1"""),
)  # fmt: skip
"""What is taken and read by no detector: what comes, and a story of it."""

STILL: tuple[tuple[str, str, str], ...] = (
    ("an answer before the queueing", """
        0m contact.answered voice - contact=c1
        9m contact.queued   voice - contact=c1""", ""),
    ("a wait on the report that the clocks do not show", """
        0m contact.started  voice - contact=c1
        1s contact.answered voice - contact=c1 wait=1h""", "long_wait error 1s..1s answered"),
    ("a promise due when it was made", "0m promise.made voice - due=0m", "broken_promise error 0m..30d expired"),
    ("a promise due in years", "0m promise.made voice - due=1500d", "broken_promise error 1500d..1530d expired"),
    ("an order before the checkout", "0m order.placed web\n1m checkout.started web",
     "checkout_abandoned info 1h1m..30d1h1m expired"),
    ("repairs that were closed before they were opened", """
        0d repair.closed store - asset=car ref=r1
        1d repair.opened store - asset=car ref=r1""", "lemon critical 26d..756d expired"),
    ("clicks without a place", "0m element.clicked web\n500ms element.clicked web\n900ms element.clicked web",
     "rage_click info 900000us..30d900000us expired"),
)  # fmt: skip
"""What is taken for what it says: what comes, a story of it, and the friction that follows ("" for none)."""


def _record(change: dict[str, Any] | bytes) -> bytes:
    if isinstance(change, bytes):
        return change
    body = {name: value for name, value in (RECORD | change).items() if value is not ...}
    return json.dumps(body).replace('"HUGE"', "1e999").encode()


@pytest.mark.parametrize(("what", "change", "reason", "field"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(what: str, change: dict[str, Any] | bytes, reason: str, field: str) -> None:
    """What breaks the contract goes to the dead letters, with a reason and the field, and stops nothing."""
    with pytest.raises(Unacceptable) as refused:
        decode(_record(change), ARRIVAL)
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert decode(_record({}), ARRIVAL).event_id == "e1"


@pytest.mark.parametrize(("what", "text"), PLAIN, ids=[row[0] for row in PLAIN])
def test_plain(what: str, text: str) -> None:
    """What is odd but keeps the contract is a touchpoint of its journey, and no friction, however long one waits."""
    desk = play(text, "100d")
    assert desk.rows() == []
    assert sum(j["touchpoints"] for j in desk.journeys) == len(story(text))


@pytest.mark.parametrize(("what", "text", "row"), STILL, ids=[row[0] for row in STILL])
def test_taken_at_its_word(what: str, text: str, row: str) -> None:
    """What is odd and has a meaning all the same has that one."""
    assert play(text, "3000d").rows() == ([row] if row else [])


def test_every_kind_that_is_known_is_met() -> None:
    """The odd traffic forgets no family."""
    assert {kind.partition(".")[0] for kind in KNOWN} >= {name for name in FAMILIES if "." not in name}
