"""The oracle itself, held to examples that were worked out by hand.

A line of a story is a touchpoint: when, what, on which channel, then fields. An answer is "opened severity resolved
anchor"; "open" is what has not ended.
"""

from __future__ import annotations

import json
import os
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from schemas.friction import friction_id
from schemas.times import DAY, HOUR, MINUTE, SECOND, parse_time
from schemas.touchpoint import Normal
from tests.missing import missing
from tests.oracle import Found, Life, oracle

BEGIN = parse_time("2025-01-06T09:00:00Z")
UNITS = {"us": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
VECTORS = Path(__file__).resolve().parents[2] / "../shared/data/clickstream/rageclick_vectors_posthog.json"
NUMBERS = {"score", "x", "y"}


def at(offset: str) -> int:
    """An offset such as "1d2h" as a time."""
    return BEGIN + sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(us|s|m|h|d)", offset))


def spelt(time: int | None) -> str:
    """A time as `at` reads it."""
    if time is None:
        return "open"
    rest, text = time - BEGIN, ""
    for unit in ("d", "h", "m", "s", "us"):
        count, rest = divmod(rest, UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0m"


def story(text: str, customer: str | None = "maria") -> list[Normal]:
    """The touchpoints of a story; the event ids are e1, e2, ..."""
    told = []
    for n, line in enumerate(filter(str.strip, text.splitlines()), 1):
        when, kind, channel, *words = line.split()
        fields: dict[str, Any] = dict(word.split("=", 1) for word in words)
        fields |= {name: float(fields[name]) for name in NUMBERS & fields.keys()}
        fields |= {name: int(fields[name]) for name in {"wait_ms", "version"} & fields.keys()}
        fields |= dict.fromkeys({"automatic", "cancelled"} & fields.keys(), True)
        if "due_at" in fields:
            fields["due_at"] = at(fields["due_at"])
        fields = {"source": "s", "event_id": f"e{n}"} | fields
        told.append(Normal(customer_id=customer, kind=kind, channel=channel, occurred_at=at(when), **fields))
    return told


def look(kind: str, text: str, now: str, customer: str | None = "maria") -> list[str]:
    """What the oracle says about one kind."""
    subject = customer or "~contact/c1"
    found = [f for f in oracle(subject, story(text, customer), at(now)) if f.kind == kind]
    return [f"{spelt(f.opened_at)} {f.severity} {spelt(f.resolved_at)} {f.anchor}" for f in found]


CALL = "contact.started voice topic=bill contact_id"


def test_repeat_contact():
    """Exactly seven days apart is inside, a microsecond more is not; the third is an error and supersedes."""
    calls = f"0m {CALL}=c1\n7d {CALL}=c2\n"
    assert look("repeat_contact", calls, "8d") == ["7d warning open c2"]
    assert look("repeat_contact", calls, "14d") == ["7d warning 14d c2"]
    assert look("repeat_contact", f"0m {CALL}=c1\n7d1us {CALL}=c2", "8d") == []
    third = f"0m {CALL}=c1\n1d {CALL}=c2\n2d {CALL}=c3"
    assert sorted(look("repeat_contact", third, "3d")) == ["1d warning 2d c2", "2d error open c3"]
    assert look("repeat_contact", calls, "8d", customer=None) == []


def test_repeat_contact_waits_for_a_topic():
    """Without a topic an attempt counts when it has ended; no topic is a topic of its own; outbound ones never count."""
    silent = "0m contact.ended voice contact_id=c1\n1d contact.started voice contact_id=c2\n"
    assert look("repeat_contact", silent, "2d") == []
    assert look("repeat_contact", silent + "1d1m contact.ended voice contact_id=c2", "2d") == ["1d warning open c2"]
    assert look("repeat_contact", f"0m {CALL}=c1 direction=outbound\n1d {CALL}=c2", "2d") == []


DROPPED = """
0m contact.started voice contact_id=c1
1m contact.answered voice contact_id=c1
5m contact.ended voice contact_id=c1 ended_by=network
"""


def test_dropped_call():
    """An answered call that the network cut is one; a call back within ten minutes an error; the next answer heals."""
    assert look("dropped_call", DROPPED, "1d") == ["5m warning open c1"]
    assert look("dropped_call", DROPPED, "30d5m") == ["5m warning 30d5m c1"]
    assert look("dropped_call", DROPPED + "15m contact.started voice contact_id=c2", "1d") == ["5m error open c1"]
    assert look("dropped_call", DROPPED + "15m1us contact.started voice contact_id=c2", "1d") == ["5m warning open c1"]
    answered = DROPPED + "2h contact.started chat contact_id=c2\n3h contact.answered chat contact_id=c2\n"
    assert look("dropped_call", answered, "1d") == ["5m warning open c1"]
    assert look("dropped_call", answered + "4h contact.ended chat contact_id=c2", "1d") == ["5m warning 4h c1"]
    assert look("dropped_call", DROPPED + "3h contact.resolved voice contact_id=c1", "1d") == ["5m warning 3h c1"]


@pytest.mark.parametrize(("code", "dropped"), [("41", 1), ("16", 0), ("17", 0), ("31", 0), ("0", 0), ("127", 0)])
def test_dropped_call_by_cause(code, dropped):
    """Causes 16, 17 and 31 are normal, 0 and 127 prove nothing, others are a cut call."""
    assert len(look("dropped_call", DROPPED.replace("ended_by=network", f"reason_code={code}"), "1d")) == dropped


def hung_up(talk: str) -> str:
    """A call that its agent ended after so much talk."""
    return f"""
0m contact.started voice contact_id=c1 topic=bill
0m contact.answered voice contact_id=c1
{talk} contact.ended voice contact_id=c1 ended_by=agent
"""


def test_agent_disconnect():
    """Under ten seconds of talk opens at the end, ten opens at the return; a resolved contact on the topic heals."""
    back = "1h9s contact.started voice contact_id=c2 topic=bill\n"
    assert look("agent_disconnect", hung_up("9s"), "1d") == ["9s warning open c1"]
    assert look("agent_disconnect", hung_up("9s") + back, "1d") == ["9s error open c1"]
    assert look("agent_disconnect", hung_up("10s"), "1d") == []
    assert look("agent_disconnect", hung_up("10s") + back, "1d") == ["1h9s error open c1"]
    healed = hung_up("9s") + back + "2h contact.resolved voice contact_id=c2"
    assert look("agent_disconnect", healed, "1d") == ["9s error 2h c1"]
    assert look("agent_disconnect", hung_up("9s").replace("ended_by=agent", "ended_by=customer"), "1d") == []
    assert look("agent_disconnect", hung_up("9s") + "2s contact.transferred voice contact_id=c1", "1d") == []


def gave_up(waited: str, contact: str = "c1", begin: str = "") -> str:
    """A call abandoned after queueing."""
    return f"""
{begin or "0m"} contact.queued voice contact_id={contact}
{begin}{waited} contact.abandoned voice contact_id={contact}
"""


def test_queue_abandoned():
    """Five seconds are short; the second in a row is worse; an accepted call-back is none; an answer heals."""
    assert look("queue_abandoned", gave_up("5s"), "1d") == []
    assert look("queue_abandoned", gave_up("5s1us"), "1d") == ["5s1us info open c1"]
    assert look("queue_abandoned", gave_up("6s") + "1d contact.answered chat contact_id=c2", "2d") == ["6s info 1d c1"]
    assert look("queue_abandoned", gave_up("6s").rstrip() + " reason=callback_accepted", "1d") == []
    twice = gave_up("1s") + gave_up("6s", "c2", "7d")
    assert look("queue_abandoned", twice, "8d") == ["7d6s warning open c2"]
    assert look("queue_abandoned", gave_up("6s").rstrip() + " wait_ms=5000", "1d") == []


def test_long_wait():
    """Two minutes are not too long; still waiting counts when the watermark is there; ten minutes are an error."""
    queued = "0m contact.queued voice contact_id=c1\n"
    assert look("long_wait", queued, "1m") == []
    assert look("long_wait", queued, "2m") == ["2m warning open c1"]
    assert look("long_wait", queued, "10m") == ["2m error open c1"]
    assert look("long_wait", queued + "2m contact.answered voice contact_id=c1", "1h") == []
    assert look("long_wait", queued + "2m1us contact.answered voice contact_id=c1", "1h") == ["2m warning 2m1us c1"]
    assert look("long_wait", "0m contact.queued email contact_id=c1", "1d") == []
    assert look("long_wait", "0m contact.started voice contact_id=c1", "1d") == []


def test_transfer_loop():
    """The third transfer is a warning, a return an error, equal neighbours are none; a resolution heals."""
    moves = "".join(f"{n}m contact.transferred voice contact_id=c1 queue=q{n}\n" for n in (1, 2, 3))
    assert look("transfer_loop", moves, "1d") == ["3m warning open c1"]
    assert look("transfer_loop", moves + "5m contact.resolved voice contact_id=c1", "1d") == ["3m warning 5m c1"]
    assert look("transfer_loop", "".join(moves.splitlines(keepends=True)[:2]), "1d") == []
    same = moves.replace("q3", "q2").replace("3m contact.transferred", "3m contact.answered")
    assert look("transfer_loop", same, "1d") == []
    assert look("transfer_loop", same + "4m contact.queued voice contact_id=c1 queue=q1", "1d") == ["4m error open c1"]


def test_channel_hop():
    """Three channels in exactly three days; not again while they are three; three silent days end it."""
    hops = """
0m contact.started voice topic=bill contact_id=c1
1d contact.started chat topic=bill contact_id=c2
3d contact.started email topic=bill contact_id=c3
"""
    assert look("channel_hop", hops, "4d") == ["3d warning open c3"]
    assert look("channel_hop", hops, "6d") == ["3d warning 6d c3"]
    assert look("channel_hop", hops.replace("3d", "3d1us"), "4d") == []
    again = hops + "3d12h contact.started chat topic=bill contact_id=c4"
    assert look("channel_hop", again, "6d11h") == ["3d warning open c3"]
    solved = again + "\n4d contact.resolved chat contact_id=c4"
    assert look("channel_hop", solved, "7d") == ["3d warning 4d c3"]


def test_slow_reply():
    """A reply at the limit is in time; a robot's is none; ten times the limit is an error; "thanks" begins nothing."""
    asked = "0m message.received chat contact_id=c1\n1m message.received chat contact_id=c1\n"
    assert look("slow_reply", asked, "1m") == []
    assert look("slow_reply", asked, "2m") == ["2m warning open s/e1"]
    assert look("slow_reply", asked + "2m message.sent chat contact_id=c1", "1h") == []
    robot = asked + "1m message.sent chat contact_id=c1 automatic=1\n"
    assert look("slow_reply", robot + "20m message.sent chat contact_id=c1", "1h") == ["2m error 20m s/e1"]
    thanks = "0m contact.resolved chat contact_id=c1\n1m message.received chat contact_id=c1"
    assert look("slow_reply", thanks, "1h") == []
    assert look("slow_reply", "0m message.received chat", "1h") == []


def test_broken_promise():
    """Kept at the last moment is kept; a postponed one is still broken; one without a ref goes to the earliest."""
    made = "0m promise.made voice due_at=2d ref=p\n"
    assert look("broken_promise", made, "1d23h") == []
    assert look("broken_promise", made, "2d") == ["2d error open s/e1"]
    assert look("broken_promise", made + "2d promise.kept voice ref=p", "3d") == []
    assert look("broken_promise", made + "2d1us promise.kept voice ref=p", "3d") == ["2d error 2d1us s/e1"]
    postponed = made + "1d promise.made voice due_at=5d ref=p\n3d promise.kept voice ref=p"
    assert look("broken_promise", postponed, "9d") == ["2d error 3d s/e1"]
    two = "0m promise.made voice due_at=2d\n1m promise.made voice due_at=1d\n2m promise.kept voice"
    assert look("broken_promise", two, "3d") == ["1d error open s/e2"]


def test_reopened_case():
    """Fourteen days to the moment, by ref or by topic; the second time is an error; the next resolution heals."""
    case = "0m case.resolved web ref=k\n"
    assert look("reopened_case", case + "14d case.reopened web ref=k", "20d") == ["14d warning open s/e2"]
    assert look("reopened_case", case + "14d1us case.reopened web ref=k", "20d") == []
    assert look("reopened_case", case + "1d contact.started voice contact_id=c1 ref=k", "2d") == ["1d warning open c1"]
    topic = "0m case.resolved web topic=bill\n" + f"1d {CALL}=c1\n2d case.reopened web topic=bill"
    assert look("reopened_case", topic, "3d") == ["1d warning open c1"]
    twice = case + "1d case.reopened web ref=k\n2d case.resolved web ref=k\n3d case.reopened web ref=k"
    assert sorted(look("reopened_case", twice, "4d")) == ["1d warning 2d s/e2", "3d error open s/e4"]


def test_closed_door():
    """A refusal because the channel is closed, until somebody answers anywhere."""
    refused = "0m contact.refused chat contact_id=c1 reason=channel_closed\n"
    assert look("closed_door", refused, "1d") == ["0m warning open c1"]
    assert look("closed_door", refused + "1d contact.answered voice contact_id=c2", "2d") == ["0m warning 1d c1"]
    assert look("closed_door", refused.replace("channel_closed", "busy"), "1d") == []


def test_rigid_process():
    """A denial by policy, the third asking in seven days; a grant or the journey's end."""
    denied = "0m request.denied voice reason=policy\n"
    assert look("rigid_process", denied, "1d") == ["0m warning open s/e1"]
    assert look("rigid_process", denied, "7d") == ["0m warning 7d s/e1"]
    assert look("rigid_process", denied + "2d request.granted voice", "7d") == ["0m warning 2d s/e1"]
    asked = "".join(f"{when} information.requested voice element=iban\n" for when in ("0m", "3d", "7d"))
    assert look("rigid_process", asked, "8d") == ["7d warning open s/e3"]
    assert look("rigid_process", asked.replace("7d", "7d1us"), "8d") == []


def clicks(*when: str) -> str:
    """Clicks on one button."""
    return "".join(f"{time} element.clicked web element=pay x=5 y=5\n" for time in when)


def test_rage_click():
    """Three less than a second apart; a failure in the next minute is worse; it is over where the customer goes on."""
    run = clicks("0m", "999999us", "1s")
    assert look("rage_click", run, "1h") == ["1s info open s/e3"]
    assert look("rage_click", clicks("0m", "1s", "1s1us"), "1h") == []
    assert look("rage_click", run + "1m1s form.failed web element=pay", "1h") == ["1s warning open s/e3"]
    assert look("rage_click", run + "1m1s1us form.failed web element=pay", "1h") == ["1s info open s/e3"]
    assert look("rage_click", run + "5s page.viewed web", "1h") == ["1s info 5s s/e3"]


def test_rage_click_vectors():
    """The five published cases of clicks (x, y, milliseconds) fire where they should."""
    if not VECTORS.exists():
        assert os.environ.get("CI") != "true", f"{VECTORS} is needed"
        missing(f"the public click vectors are not at {VECTORS}")
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    assert len(cases) == 5
    for case in cases:
        lines = [f"{ms * 1000}us element.clicked web element=pay x={x} y={y}" for x, y, ms in case["clicks"]]
        fired = [f"s/e{n}" for n, expected in enumerate(case["expected"], 1) if expected]
        assert [line.split()[-1] for line in look("rage_click", "\n".join(lines), "1h")] == fired, case["name"]


def test_form_struggle():
    """Three failures in exactly half an hour; a submission begins a new series and heals."""
    failures = "".join(f"{when} form.failed web ref=f\n" for when in ("0m", "10m", "30m"))
    assert look("form_struggle", failures, "1h") == ["30m warning open s/e3"]
    assert look("form_struggle", failures.replace("30m", "30m1us"), "1h") == []
    assert look("form_struggle", failures + "40m form.submitted web ref=f", "1h") == ["30m warning 40m s/e3"]
    assert look("form_struggle", failures + "20m form.submitted web ref=f", "1h") == []


def test_checkout_abandoned():
    """An hour without an order; starts an hour apart are one; worse after another friction in the journey."""
    start = "0m checkout.started web\n"
    assert look("checkout_abandoned", start, "59m") == []
    assert look("checkout_abandoned", start, "1h") == ["1h info open s/e1"]
    assert look("checkout_abandoned", start + "1h order.placed web", "1d") == []
    assert look("checkout_abandoned", start + "1h1us order.placed web", "1d") == ["1h info 1h1us s/e1"]
    assert look("checkout_abandoned", start + "1h checkout.started web", "1d") == ["2h info open s/e2"]
    assert look("checkout_abandoned", start + clicks("1m", "1m", "1m"), "1d") == ["1h warning open s/e1"]


def repaired(*repairs: tuple[str, str, str]) -> str:
    """A car's repairs: in, out ("" for not yet), fault."""
    lines = []
    for n, (begin, end, fault) in enumerate(repairs):
        lines.append(f"{begin} repair.opened store asset_id=car ref=r{n} topic={fault} event_id=r{n}")
        lines += [f"{end} repair.closed store asset_id=car ref=r{n} event_id=x{n}"] if end else []
    return "\n".join(lines) + "\n"


def test_lemon_by_repairs():
    """The second repair of one fault opens, the third is critical; the fourth of any opens, the fifth is critical."""
    same = [(f"{n}00d", f"{n}00d1h", "brakes") for n in range(1, 5)]
    assert look("lemon", repaired(*same[:1]), "500d") == []
    assert look("lemon", repaired(*same[:2]), "500d") == ["200d warning open s/r1"]
    assert look("lemon", repaired(*same[:3]), "500d") == ["200d critical open s/r1"]
    other = [(f"{n}00d", f"{n}00d1h", f"fault{n}") for n in range(1, 6)]
    assert look("lemon", repaired(*other[:3]), "600d") == []
    assert look("lemon", repaired(*other[:4]), "600d") == ["400d warning open s/r3"]
    assert look("lemon", repaired(*other), "600d") == ["400d critical open s/r3"]
    assert look("lemon", repaired(("1d", "1d1h", "a"), ("731d", "731d1h", "a")), "800d") == ["731d warning open s/r1"]
    assert look("lemon", repaired(("1d", "1d1h", "a"), ("731d1us", "731d1h", "a")), "800d") == []


def test_lemon_by_days():
    """25 days out of service open, 30 are critical, and they go on counting until the car is back or replaced."""
    assert look("lemon", repaired(("0d", "", "a")), "24d") == []
    assert look("lemon", repaired(("0d", "", "a")), "25d") == ["25d warning open s/r0"]
    assert look("lemon", repaired(("0d", "", "a")), "30d") == ["25d critical open s/r0"]
    assert look("lemon", repaired(("0d", "24d", "a")), "50d") == []
    replaced = repaired(("0d", "", "a")) + "28d asset.replaced store asset_id=car"
    assert look("lemon", replaced, "50d") == ["25d warning 28d s/r0"]


def test_lemon_by_use():
    """From two repairs and 15 days on, more time in repair than in use."""
    told = "0m asset.sold store asset_id=car\n" + repaired(("10d", "20d", "a"), ("22d", "", "b"))
    assert look("lemon", told, "26d") == []
    assert look("lemon", told, "27d") == ["27d warning open s/r1"]
    longer = "0m asset.sold store asset_id=car\n" + repaired(("14d", "24d", "a"), ("25d", "", "b"))
    assert look("lemon", longer, "30d") == []
    assert look("lemon", longer, "31d") == ["30d1us warning open s/r1"]


@pytest.mark.parametrize(
    ("scale", "score", "severity"),
    [
        ("nps", 6, "warning"),
        ("nps", 7, None),
        ("nps", 3, "error"),
        ("nps", 4, "warning"),
        ("nps", -1, None),
        ("csat5", 2, "warning"),
        ("csat5", 3, None),
        ("csat5", 0, None),
        ("ces7", 3, "warning"),
        ("ces7", 4, None),
        ("stars", 1, None),
    ],
)
def test_low_score(scale, score, severity):
    """A detractor's score or below; a score outside its scale says nothing."""
    answer = f"0m survey.answered email scale={scale} score={score}\n"
    assert look("low_score", answer, "1d") == ([f"0m {severity} open s/e1"] if severity else [])


def test_low_score_is_over():
    """A follow-up heals, and so does a better score on the same scale."""
    low = "0m survey.answered email scale=nps score=5 ref=s\n"
    assert look("low_score", low + "1d feedback.followed_up voice ref=s", "2d") == ["0m warning 1d s/e1"]
    assert look("low_score", low + "1d survey.answered email scale=nps score=7", "2d") == ["0m warning 1d s/e1"]
    assert look("low_score", low + "1d survey.answered email scale=ces7 score=7", "2d") == ["0m warning open s/e1"]


def test_unrecovered():
    """Two days to the moment for a complaint or a low score."""
    for bad in ("0m complaint.filed web\n", "0m survey.answered email scale=csat5 score=1\n"):
        assert look("unrecovered", bad, "47h") == []
        assert look("unrecovered", bad, "48h") == ["2d error open s/e1"]
        assert look("unrecovered", bad + "48h feedback.followed_up voice", "9d") == []
        assert look("unrecovered", bad + "3d feedback.followed_up voice", "9d") == ["2d error 3d s/e1"]


def test_at_risk():
    """Two frictions that nobody resolved and thirty days of silence; a follow-up in time saves it; then a return."""
    sad = "0m complaint.filed web ref=k\n1d survey.answered email scale=nps score=2\n"
    assert look("at_risk", sad, "30d") == []
    assert look("at_risk", sad, "31d") == ["31d error open s/e2"]
    assert look("at_risk", sad + "31d page.viewed web", "40d") == []
    assert look("at_risk", sad + "9d message.sent email", "40d") == ["31d error open s/e2"]
    assert look("at_risk", sad + "40d page.viewed web", "50d") == ["31d error 40d s/e2"]
    saved = sad + "3d feedback.followed_up voice ref=k\n4d feedback.followed_up voice"
    assert look("at_risk", saved, "40d") == []


def test_versions():
    """The greatest version of an event wins, and a cancelled one is none."""
    made = "0m promise.made voice due_at=2d event_id=p\n"
    corrected = made + "0m promise.made voice due_at=3d event_id=p version=1\n"
    assert look("broken_promise", corrected, "4d") == ["3d error open s/p"]
    assert look("broken_promise", corrected + "0m promise.made voice event_id=p version=2 cancelled=1", "4d") == []


def test_any_order():
    """Order and repetition of delivery change nothing."""
    told = story(DROPPED + gave_up("9s", "c2", "1d") + hung_up("9s").replace("c1", "c3"))
    expected = oracle("maria", told, at("60d"))
    shuffled = told * 2
    random.Random(4).shuffle(shuffled)
    assert oracle("maria", shuffled, at("60d")) == expected
    assert all(a <= b for a, b in pairwise(expected))


def test_one_friction_in_full():
    """The id is that of the kind and the contact, or the touchpoint where a contact has no id."""
    without = "0m contact.refused chat reason=channel_closed"
    which = friction_id("closed_door", "maria", source="s", event_id="e1")
    assert oracle("maria", story(without), at("1d")) == [Found("closed_door", which, at("0m"), "warning", None, "s/e1")]


def test_a_contact_lasts_thirty_days():
    """An id that comes again after more than thirty days is another contact."""
    for gap, contacts in (("30d", 1), ("30d1us", 2)):
        told = story(f"0m contact.started voice contact_id=c\n{gap} contact.ended voice contact_id=c")
        assert len(Life("maria", told, at("99d")).contacts) == contacts


@pytest.mark.parametrize(
    ("lines", "together"),
    [
        ("0m a.a web\n7d a.a web\n14d1us a.a web", ["e1 e2", "e3"]),
        ("0m a.a web\n1d a.a web journey_id=x\n2d a.a web", ["e1 e2 e3"]),
        ("0m a.a web journey_id=x\n1d a.a web journey_id=y\n2d a.a web journey_id=x\n3d a.a web", ["e1 e3 e4", "e2"]),
        ("0m a.a web journey_id=x\n90d a.a web journey_id=x\n181d a.a web journey_id=x", ["e1 e2", "e3"]),
    ],
)
def test_journeys(lines, together):
    """Seven days are no gap; an id names the journey under way, takes its own back, and ends after ninety days."""
    life = Life("maria", story(lines), at("200d"))
    assert sorted({" ".join(p.event_id for p in life.journey(q).points) for q in life.points}) == together
