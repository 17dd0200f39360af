"""`reopened_case`: "that is done", and it was not."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

BY_REF = """
    -1d case.opened   email billing ref=k1
    0m  case.resolved email billing ref=k1
"""
BY_TOPIC = "0m case.resolved email billing\n"
REOPENED = BY_REF + "1d case.reopened email - ref=k1\n"
OPEN = ("reopened_case warning 1d..",)
AGAIN = (
    REOPENED
    + """
    2d case.resolved email billing ref=k1
    3d case.reopened email billing ref=k1
"""
)
BOTH = ("reopened_case warning 1d..2d resolved", "reopened_case error 3d..")


def _called(start: str, kind: str = "contact.started", topic: str = "billing", more: str = "") -> str:
    return f"{start} {kind} voice {topic} contact=c9 {more}\n"


def _twice(second: str) -> str:
    """Reopened at 1d, resolved at once, and a second time."""
    return (
        REOPENED
        + f"""
        1d1h case.resolved email billing ref=k1
        {second} case.resolved email billing ref=k1 id=again
        {second} case.reopened email billing ref=k1 id=reopened"""
    )


STORIES = (
    Told("hurts", REOPENED, OPEN, until="2d"),
    Told("just under", BY_REF + "13d23h59m59s999999us case.reopened email - ref=k1",
         ("reopened_case warning 13d23h59m59s999999us..",), until="15d"),
    Told("exactly on", BY_REF + "14d case.reopened email - ref=k1", ("reopened_case warning 14d..",), until="15d"),
    Told("just over", BY_REF + "14d1us case.reopened email - ref=k1", until="15d"),
    Told("never resolved", "0m case.opened email billing ref=k1\n1d case.reopened email billing ref=k1", until="2d"),
    Told("reopened before", BY_REF + "-1h case.reopened email - ref=k1", until="2d"),
    Told("reopened at the same moment, later by its id", BY_REF + "0m case.reopened email - ref=k1",
         ("reopened_case warning 0m..",)),
    Told("reopened at the same moment, earlier by its id", BY_REF + "0m case.reopened email - ref=k1 id=d"),
    Told("another case", BY_REF + "1d case.reopened email billing ref=k2", until="2d"),
    Told("the reopening names no case", BY_REF + "1d case.reopened email billing", until="2d"),
    Told("an update is no reopening", BY_REF + "1d case.updated email billing ref=k1", until="2d"),
    Told("without a ref, on its topic", BY_TOPIC + "1d case.reopened email billing", OPEN, until="2d"),
    Told("without a ref, and the reopening has one", BY_TOPIC + "1d case.reopened email billing ref=k1", OPEN,
         until="2d"),
    Told("without a ref, on another topic", BY_TOPIC + "1d case.reopened email delivery", until="2d"),
    Told("without a ref or a topic", "0m case.resolved email\n1d case.reopened email", OPEN, until="2d"),
    Told("the customer calls about it, with its ref", BY_REF + _called("1d", topic="-", more="ref=k1"), OPEN, until="2d"),
    Told("the case is named later in the call", BY_REF + _called("1d") + "25h contact.held voice - contact=c9 ref=k1",
         OPEN, until="2d"),
    Told("the call began before it was resolved", BY_REF + _called("-1h") + "1d contact.held voice - contact=c9 ref=k1",
         until="2d"),
    Told("the customer writes about it", BY_REF + _called("1d", "message.received", more="ref=k1"), OPEN, until="2d"),
    Told("a message outside of any contact is no attempt", BY_REF + "1d message.received email billing ref=k1",
         until="2d"),
    Told("the company calls about it", BY_REF + _called("1d", more="ref=k1 direction=outbound"), until="2d"),
    Told("a call on its topic that does not name it", BY_REF + _called("1d"), until="2d"),
    Told("a call exactly in time", BY_REF + _called("14d", more="ref=k1"), ("reopened_case warning 14d..",), until="15d"),
    Told("a call too late", BY_REF + _called("14d1us", more="ref=k1"), until="15d"),
    Told("without a ref, a call on its topic", BY_TOPIC + _called("1d"), OPEN, until="2d"),
    Told("without a ref, a call on another topic", BY_TOPIC + _called("1d", topic="delivery"), until="2d"),
    Told("without a ref, a call whose topic is not known yet", BY_TOPIC + _called("1d", topic="-"), until="2d",
         late="26h contact.held voice billing contact=c9", then=OPEN),
    Told("without a ref, the company calls", BY_TOPIC + _called("1d", more="direction=outbound"), until="2d"),
    Told("resolved in a call that goes on", "0m case.resolved voice billing contact=c9\n" + _called("1h"), until="2d"),
    Told("resolved in a call that names it and goes on",
         "0m case.resolved voice billing contact=c9 ref=k1\n" + _called("1h", more="ref=k1"), until="2d"),
    Told("reopened within the same conversation", """
         -1h message.received email billing contact=c1
         0m  case.resolved    email billing contact=c1
         1d  case.reopened    email billing contact=c1""", OPEN, until="2d"),
    Told("the earliest of several", BY_REF + _called("1d", more="ref=k1") + """
         25h case.reopened    email billing ref=k1
         26h message.received email billing ref=k1 contact=c8""", OPEN, until="2d"),
    Told("two resolutions, one return", BY_REF + "1h case.resolved email billing ref=k1\n1d case.reopened email - ref=k1",
         OPEN, until="2d"),
    Told("two cases, one call", BY_REF + "1h case.resolved email delivery ref=k2\n" + _called("1d", more="ref=k1")
         + "25h contact.held voice - contact=c9 ref=k2", OPEN, until="2d"),
    Told("two cases, one call, and the earlier of them for the second time", AGAIN.replace(
         "3d case.reopened email billing ref=k1", "50h case.resolved email delivery ref=k2\n" + _called("3d", more="ref=k1")
         + "73h contact.held voice - contact=c9 ref=k2"), BOTH, until="4d"),
    Told("two cases, one call, one of them resolved", BY_REF + "1h case.resolved email delivery ref=k2\n"
         + _called("1d", more="ref=k1") + "25h contact.held voice - contact=c9 ref=k2\n2d case.resolved email - ref=k1",
         ("reopened_case warning 1d..2d resolved",), until="3d"),
    Told("a second time", AGAIN, BOTH, until="4d"),
    Told("a second time, by a call", AGAIN.replace("3d case.reopened email billing", _called("3d")[:-1]), BOTH, until="4d"),
    Told("a second time, without a ref", AGAIN.replace("ref=k1", "").replace("email -", "email billing"), BOTH, until="4d"),
    Told("a third time", AGAIN + "4d case.resolved email - ref=k1\n5d case.reopened email - ref=k1",
         (BOTH[0], "reopened_case error 3d..4d resolved", "reopened_case error 5d.."), until="6d"),
    Told("another case comes back as well", REOPENED + """
         2d case.resolved email billing ref=k2
         3d case.reopened email billing ref=k2""", (*OPEN, "reopened_case warning 3d.."), until="4d"),
    Told("a second time, exactly as long after the first as that is remembered", _twice("31d"),
         ("reopened_case warning 1d..1d1h resolved", "reopened_case error 31d.."), until="32d"),
    Told("a second time, a microsecond later than that", _twice("31d1us"),
         ("reopened_case warning 1d..1d1h resolved", "reopened_case warning 31d1us.."), until="32d"),
    Told("resolved", REOPENED + "2d case.resolved email - ref=k1", ("reopened_case warning 1d..2d resolved",), until="3d"),
    Told("resolved at the same moment, later by its id", REOPENED + "1d case.resolved email - ref=k1",
         ("reopened_case warning 1d..1d resolved",), until="3d"),
    Told("resolved in the call in which it came back", BY_REF + _called("1d", more="ref=k1")
         + "25h case.resolved voice - contact=c9 ref=k1", ("reopened_case warning 1d..1d1h resolved",), until="3d"),
    Told("without a ref, resolved", BY_TOPIC + "1d case.reopened email billing\n2d case.resolved email billing",
         ("reopened_case warning 1d..2d resolved",), until="3d"),
    Told("without a ref, another is resolved", BY_TOPIC + "1d case.reopened email billing\n"
         "2d case.resolved email billing ref=k7", OPEN, until="3d"),
    Told("another case is resolved", REOPENED + "2d case.resolved email billing ref=k2", OPEN, until="3d"),
    Told("the contact is resolved, the case is not", BY_REF + _called("1d", more="ref=k1")
         + "25h contact.resolved voice - contact=c9", OPEN, until="3d"),
    Told("a microsecond before it expires", REOPENED, OPEN, until="30d23h59m59s999999us"),
    Told("expired", REOPENED, ("reopened_case warning 1d..31d expired",), until="31d"),
    Told("resolved exactly then", REOPENED + "31d case.resolved email - ref=k1",
         ("reopened_case warning 1d..31d resolved",), until="31d"),
    Told("the reopening is withdrawn", REOPENED, OPEN, until="2d",
         late="1d case.reopened email - ref=k1 id=e3 version=1 cancelled=yes", then=()),
    Told("the resolution is withdrawn", REOPENED, OPEN, until="2d",
         late="0m case.resolved email billing ref=k1 id=e2 version=1 cancelled=yes", then=()),
    Told("the call was about something else", BY_TOPIC + _called("1d"), OPEN, until="2d",
         late="26h contact.held voice delivery contact=c9", then=()),
    Told("an earlier return is told later", REOPENED, OPEN, until="2d", late=_called("12h", more="ref=k1"),
         then=("reopened_case warning 12h..",)),
    Told("the first return is told later", """
         0m case.resolved email billing ref=k1
         2d case.resolved email billing ref=k1
         3d case.reopened email billing ref=k1""", ("reopened_case warning 3d..",), until="4d",
         late="1d case.reopened email - ref=k1", then=BOTH),
    Told("another window", REOPENED, until="2d", rules='reopened_case.window = "23h"'),
    Told("another window, exactly on", REOPENED, OPEN, until="2d", rules='reopened_case.window = "24h"'),
    Told("another window where it comes back", BY_TOPIC + _called("1d") + "2d case.reopened email billing",
         ("reopened_case warning 2d..",), until="3d",
         rules='reopened_case.override = [{ channel = "voice", window = "23h" }]'),
    Told("a longer window for a topic", BY_REF + "20d case.reopened email billing ref=k1",
         ("reopened_case warning 20d..",), until="21d",
         rules='reopened_case.override = [{ topic = "billing", window = "20d" }]'),
    Told("a longer window for another topic", BY_REF + "20d case.reopened email - ref=k1", until="21d",
         rules='reopened_case.override = [{ topic = "billing", window = "20d" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every case that came back after it had been resolved, and no others."""
    assert play(told.text, told.until, told.rules).rows("reopened_case") == list(told.expect)


def test_a_call_that_names_the_case_later_is_proved_by_both() -> None:
    """The friction stands at the call, and says which touchpoint named the case and how long it had been closed."""
    desk = play(BY_REF + _called("1d") + "25h contact.held voice - contact=c9 ref=k1", "2d")
    (told,) = [d for d in desk.standing if d["kind"] == "reopened_case"]
    assert told["contact_id"] == "c9" and told["summary"] == "A resolved case came back after 24 h"
    assert [(e["event_id"], e["role"]) for e in told["evidence"]] == [
        ("e2", "resolved"),
        ("e3", "returned"),
        ("e4", "named"),
    ]


def test_a_case_of_nobody() -> None:
    """A case whose customer is unknown comes back within its own conversation."""
    text = "0m case.resolved email billing contact=c1\n1d case.reopened email billing contact=c1"
    assert play(text, "2d", customer=None).rows("reopened_case") == list(OPEN)
