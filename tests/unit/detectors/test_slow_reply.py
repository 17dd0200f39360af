"""`slow_reply`: turns of a conversation, silence past the limit, and what is no turn."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

ASKED = "0m message.received chat billing contact=c1\n"
OPEN = ("slow_reply warning 2m..",)


def _reply(when: str, more: str = "") -> str:
    return ASKED + f"{when} message.sent chat - contact=c1 {more}\n"


STORIES = (
    Told("hurts", _reply("3m"), ("slow_reply warning 2m..3m replied",)),
    Told("just under", _reply("1m59s999999us")),
    Told("exactly on", _reply("2m")),
    Told("just over", _reply("2m1us"), ("slow_reply warning 2m..2m1us replied",)),
    Told("a machine replied", _reply("1s", "automatic=yes"), OPEN, until="10m"),
    Told("a machine replied first", _reply("1s", "automatic=yes") + "3m message.sent chat - contact=c1",
         ("slow_reply warning 2m..3m replied",)),
    Told("asked twice: the first message counts", ASKED + """
         1m    message.received chat - contact=c1
         2m30s message.sent     chat - contact=c1""", ("slow_reply warning 2m..2m30s replied",)),
    Told("two turns", _reply("3m") + """
         4m message.received chat - contact=c1
         7m message.sent     chat - contact=c1""",
         ("slow_reply warning 2m..3m replied", "slow_reply warning 6m..7m replied")),
    Told("a microsecond before the clock", ASKED, until="1m59s999999us"),
    Told("the clock", ASKED, OPEN, until="2m"),
    Told("a microsecond before the clock says ten times", ASKED, OPEN, until="19m59s999999us"),
    Told("the clock says ten times", ASKED, ("slow_reply error 2m..",), until="20m"),
    Told("a reply just before ten times", _reply("19m59s"), ("slow_reply warning 2m..19m59s replied",)),
    Told("a reply exactly at ten times", _reply("20m"), ("slow_reply error 2m..20m replied",)),
    Told("a reply after ten times", _reply("20m1us"), ("slow_reply error 2m..20m1us replied",)),
    Told("thanks, after it was resolved", _reply("1m") + """
         2m contact.resolved chat - contact=c1
         3m message.received chat - contact=c1"""),
    Told("thanks, after the case was resolved", _reply("1m") + """
         2m case.resolved    chat - contact=c1
         3m message.received chat - contact=c1"""),
    Told("thanks, after the customer ended it", _reply("1m") + """
         2m contact.ended    chat - contact=c1 by=customer
         3m message.received chat - contact=c1"""),
    Told("thanks, after it ended resolved", _reply("1m") + """
         2m contact.ended    chat - contact=c1 by=agent outcome=resolved
         3m message.received chat - contact=c1"""),
    Told("a question after the agent ended it", _reply("1m") + """
         2m contact.ended    chat - contact=c1 by=agent
         3m message.received chat - contact=c1""", ("slow_reply warning 5m..",), until="20m"),
    Told("opened again", _reply("1m") + """
         2m case.resolved    chat - contact=c1
         3m case.reopened    chat - contact=c1
         4m message.received chat - contact=c1""", ("slow_reply warning 6m..",), until="20m"),
    Told("resolving is no reply", ASKED + "1m contact.resolved chat - contact=c1", OPEN, until="10m"),
    Told("a reply in another conversation", ASKED + "1m message.sent chat - contact=c2", OPEN, until="10m"),
    Told("an email has longer", ASKED.replace("chat", "email"), ("slow_reply warning 4h..",), until="4h"),
    Told("a letter has no limit", ASKED.replace("chat", "letter"), until="29d"),
    Told("a microsecond before it expires", ASKED, ("slow_reply error 2m..",), until="30d1m59s999999us"),
    Told("expired", ASKED, ("slow_reply error 2m..30d2m expired",), until="30d2m"),
    Told("there was a reply after all", ASKED, OPEN, until="10m", late="1m message.sent chat - contact=c1", then=()),
    Told("there was a late reply after all", ASKED, ("slow_reply error 2m..",), until="30m",
         late="5m message.sent chat - contact=c1", then=("slow_reply warning 2m..5m replied",)),
    Told("there was an earlier message", _reply("3m"), ("slow_reply warning 2m..3m replied",),
         late="-1m message.received chat - contact=c1", then=("slow_reply warning 1m..3m replied",)),
    Told("another limit", _reply("1m"), ("slow_reply warning 30s..1m replied",),
         rules='slow_reply.limits.chat = "30s"'),
    Told("a limit for another channel", ASKED.replace("chat", "letter"), ("slow_reply warning 3d..",), until="4d",
         rules='slow_reply.limits.letter = "3d"'),
    Told("over before it was ten times too long", ASKED, ("slow_reply warning 2m..7m expired",),
         rules='slow_reply.expires_after = "5m"'),
    Told("over before it was ten times too long, and replied to after that", _reply("1h"),
         ("slow_reply warning 2m..7m expired",), rules='slow_reply.expires_after = "5m"'),
    Told("another limit on the topic", _reply("1m"), ("slow_reply warning 30s..1m replied",),
         rules='slow_reply.override = [{ topic = "billing", limits.chat = "30s" }]'),
    Told("another limit on another topic", _reply("1m"),
         rules='slow_reply.override = [{ topic = "delivery", limits.chat = "30s" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every silence past the limit, and no others."""
    assert play(told.text, told.until, told.rules).rows("slow_reply") == list(told.expect)


def test_the_anchor_is_the_first_message_of_the_turn() -> None:
    """Two silences in one conversation are two frictions, whose ids stay when messages are added."""
    once = {d["friction_id"] for d in play(STORIES[0].text).standing}
    twice = {d["friction_id"] for d in play(next(s for s in STORIES if s.name == "two turns").text).standing}
    assert len(once) == 1 and len(twice) == 2 and once < twice
