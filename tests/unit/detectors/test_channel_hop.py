"""`channel_hop`: voice, chat, mail, and still the same matter."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

TWO = """
    0m contact.started voice billing contact=c1
    1h contact.started chat  billing contact=c2
"""


def _third(start: str, channel: str = "email", topic: str = "billing", more: str = "") -> str:
    return TWO + f"{start} contact.started {channel} {topic} contact=c3 {more}\n"


HOPPED = _third("2h")
OPEN = ("channel_hop warning 2h..",)
OPEN_3D = ("channel_hop warning 3d..",)
STORIES = (
    Told("hurts", HOPPED, OPEN, until="1d"),
    Told("just under, two channels", TWO + "2h contact.started voice billing contact=c3", until="1d"),
    Told("just inside", _third("2d23h59m59s999999us"), ("channel_hop warning 2d23h59m59s999999us..",), until="4d"),
    Told("exactly on", _third("3d"), OPEN_3D, until="4d"),
    Told("just outside", _third("3d1us"), until="4d"),
    Told("a fourth channel is no news", HOPPED + "3h contact.started sms billing contact=c4", OPEN, until="1d"),
    Told("an attempt more on a channel that was tried", HOPPED + "3h contact.started voice billing contact=c4", OPEN,
         until="1d"),
    Told("again, when the window had held fewer between", HOPPED + """
         3d30m contact.started email billing contact=c4
         4d    contact.started voice billing contact=c5
         4d1h  contact.started chat  billing contact=c6""", (*OPEN, "channel_hop warning 4d1h.."), until="5d"),
    Told("many attempts on two channels before", """
         -3h contact.started voice billing contact=c8
         -2h contact.started chat  billing contact=c9""" + HOPPED, OPEN, until="1d"),
    Told("at one moment", """
         0m contact.started voice billing contact=c1
         0m contact.started chat  billing contact=c2
         0m contact.started email billing contact=c3""", ("channel_hop warning 0m..",)),
    Told("another topic", _third("2h", topic="delivery"), until="1d"),
    Told("outbound", _third("2h", more="direction=outbound"), until="1d"),
    Told("a case is no attempt", TWO + "2h case.opened email billing contact=c3", until="1d"),
    Told("a message is one", TWO + "2h message.received email billing contact=c3", OPEN, until="1d"),
    Told("a message outside of any contact is none", TWO + "2h message.received email billing", until="1d"),
    Told("another channel within the same contact", TWO + "2h message.received email billing contact=c2", until="1d"),
    Told("no topic is a topic of its own", """
         0m contact.refused voice - contact=c1
         1h contact.refused chat  - contact=c2
         2h contact.refused email - contact=c3""", OPEN, until="1d"),
    Told("no topic and a topic", HOPPED.replace("billing contact=c3", "- contact=c3"), until="1d"),
    Told("a topic that is not known yet", HOPPED.replace("billing contact=c3", "- contact=c3"), until="1d",
         late="5h contact.held email billing contact=c3", then=OPEN),
    Told("a contact on the topic is resolved", HOPPED + "5h contact.resolved email - contact=c3",
         ("channel_hop warning 2h..5h resolved",), until="1d"),
    Told("an earlier contact on the topic is resolved", HOPPED + "5h contact.resolved voice - contact=c1",
         ("channel_hop warning 2h..5h resolved",), until="1d"),
    Told("resolved, as an end says", HOPPED + "5h contact.ended chat - contact=c2 outcome=resolved",
         ("channel_hop warning 2h..5h resolved",), until="1d"),
    Told("resolved by a call of the company", HOPPED + """
         4h contact.started  voice billing contact=c4 direction=outbound
         5h contact.resolved voice billing contact=c4""", ("channel_hop warning 2h..5h resolved",), until="1d"),
    Told("a case on the topic is resolved", HOPPED + "5h case.resolved email billing",
         ("channel_hop warning 2h..5h resolved",), until="1d"),
    Told("resolved at the same moment", HOPPED + "2h case.resolved email billing",
         ("channel_hop warning 2h..2h resolved",), until="1d"),
    Told("resolved before", HOPPED + "1h59m59s999999us case.resolved email billing", OPEN, until="1d"),
    Told("ended is not resolved", HOPPED + "5h contact.ended email - contact=c3 by=customer", OPEN, until="1d"),
    Told("a case on another topic is resolved", HOPPED + "5h case.resolved email delivery", OPEN, until="1d"),
    Told("a contact on another topic is resolved", HOPPED + "5h contact.resolved email delivery contact=c4", OPEN,
         until="1d"),
    Told("a microsecond before it went quiet", HOPPED, OPEN, until="3d1h59m59s999999us"),
    Told("went quiet", HOPPED, ("channel_hop warning 2h..3d2h went_quiet",), until="3d2h"),
    Told("resolved at the end of the silence", HOPPED + "3d2h case.resolved email billing",
         ("channel_hop warning 2h..3d2h resolved",), until="4d"),
    Told("an attempt exactly then breaks the silence", HOPPED + "3d2h contact.started voice billing contact=c4",
         ("channel_hop warning 2h..6d2h went_quiet",), until="7d"),
    Told("an attempt after the silence", HOPPED + "3d2h1us contact.started voice billing contact=c4",
         ("channel_hop warning 2h..3d2h went_quiet",), until="7d"),
    Told("an attempt on another topic does not break the silence", HOPPED + """
         2d contact.started voice delivery contact=c4""", ("channel_hop warning 2h..3d2h went_quiet",), until="7d"),
    Told("a microsecond before it expires", HOPPED, OPEN, until="1d1h59m59s999999us",
         rules='channel_hop.expires_after = "1d"'),
    Told("expired", HOPPED, ("channel_hop warning 2h..1d2h expired",), until="1d2h",
         rules='channel_hop.expires_after = "1d"'),
    Told("expired while attempts go on", HOPPED + "".join(
         f"{day}d contact.started email billing contact=d{day}\n" for day in range(2, 36, 3)),
         ("channel_hop warning 2h..30d2h expired",), until="36d"),
    Told("an attempt is withdrawn", HOPPED, OPEN, until="1d",
         late="1h contact.started chat billing contact=c2 id=e2 version=1 cancelled=yes", then=()),
    Told("it was about something else", HOPPED, OPEN, until="1d", late="3h contact.held chat delivery contact=c2",
         then=()),
    Told("an earlier channel is told later", HOPPED, OPEN, until="1d",
         late="30m contact.started sms billing contact=c4", then=("channel_hop warning 1h..",)),
    Told("an attempt in the silence is told later", HOPPED, ("channel_hop warning 2h..3d2h went_quiet",), until="4d",
         late="3d contact.started voice billing contact=c4", then=OPEN),
    Told("another number of channels", TWO, ("channel_hop warning 1h..",), rules="channel_hop.channels = 2"),
    Told("another window", _third("2h1us"), rules='channel_hop.window = "2h"', until="1d"),
    Told("another window, exactly on", HOPPED, ("channel_hop warning 2h..4h went_quiet",),
         rules='channel_hop.window = "2h"', until="1d"),
    Told("another number for the topic", TWO, ("channel_hop warning 1h..",),
         rules='channel_hop.override = [{ topic = "billing", channels = 2 }]'),
    Told("another number for the channel that was one too many", TWO, ("channel_hop warning 1h..",),
         rules='channel_hop.override = [{ channel = "chat", channels = 2 }]'),
    Told("another number for another channel", TWO, rules='channel_hop.override = [{ channel = "voice", channels = 2 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every customer who had to try one channel after another, and no others."""
    assert play(told.text, told.until, told.rules).rows("channel_hop") == list(told.expect)


def test_strangers_are_not_taken_for_one_customer() -> None:
    """Attempts whose customer is unknown are nobody's way through the channels."""
    assert play(HOPPED, customer=None).rows("channel_hop") == []


def test_the_attempts_are_told() -> None:
    """A person reads which channels were tried; the proof is every attempt in the window, and the last is the anchor."""
    desk = play(TWO + "90m contact.started voice billing contact=c4\n2h contact.started email billing contact=c3")
    (told,) = [d for d in desk.standing if d["kind"] == "channel_hop"]
    assert told["summary"] == "3 channels about billing within 3d: voice, chat, email"
    assert (told["observed"]["value"], told["threshold"]["value"], told["observed"]["window"]) == (3, 3, "3d")
    assert [e["event_id"] for e in told["evidence"]] == ["e1", "e2", "e3", "e4"]
    assert told["contact_id"] == "c3"
