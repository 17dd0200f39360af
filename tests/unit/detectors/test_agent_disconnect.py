"""`agent_disconnect`: hung up on, at once or after a longer talk; suspected, never proved."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

CALL = """
    0m contact.started  voice billing contact=c1
    1m contact.answered voice billing contact=c1 agent=ann
"""
HUNG_UP = CALL + "1m5s contact.ended voice - contact=c1 by=agent\n"
TALKED = CALL + "6m contact.ended voice - contact=c1 by=agent\n"
OPEN = ("agent_disconnect warning 1m5s..",)
STORIES = (
    Told("hurts", HUNG_UP, OPEN),
    Told("just under ten seconds", CALL + "1m9s999999us contact.ended voice - contact=c1 by=agent",
         ("agent_disconnect warning 1m9s999999us..",)),
    Told("exactly ten seconds are a talk", CALL + "1m10s contact.ended voice - contact=c1 by=agent"),
    Told("the customer hung up", CALL + "1m5s contact.ended voice - contact=c1 by=customer"),
    Told("nobody knows who hung up", CALL + "1m5s contact.ended voice - contact=c1"),
    Told("never answered", "0m contact.started voice - contact=c1\n5s contact.ended voice - contact=c1 by=agent"),
    Told("a chat", HUNG_UP.replace("voice", "chat")),
    Told("handed on", HUNG_UP + "1m4s contact.transferred voice - contact=c1"),
    Told("done", HUNG_UP + "1m4s contact.resolved voice - contact=c1"),
    Told("done, as the record says", CALL + "1m5s contact.ended voice - contact=c1 by=agent outcome=resolved"),
    Told("came back just in time", HUNG_UP + "1h1m5s contact.started voice billing contact=c2",
         ("agent_disconnect error 1m5s..",)),
    Told("came back later", HUNG_UP + "1h1m5s1us contact.started voice billing contact=c2", OPEN),
    Told("came back about something else", HUNG_UP + "2m contact.started voice delivery contact=c2", OPEN),
    Told("the company called back", HUNG_UP + "2m contact.started voice billing contact=c2 direction=outbound", OPEN),
    Told("a longer talk without a return", TALKED),
    Told("a longer talk, back just in time", TALKED + "1h6m contact.started chat billing contact=c2",
         ("agent_disconnect error 1h6m.. shadow",)),
    Told("a longer talk, back later", TALKED + "1h6m1us contact.started chat billing contact=c2"),
    Told("a longer talk, back about something else", TALKED + "7m contact.started chat delivery contact=c2"),
    Told("resolved later, on the topic", HUNG_UP + """
         1h30m contact.started  chat billing contact=c2
         1h40m contact.resolved chat billing contact=c2""", ("agent_disconnect warning 1m5s..1h40m resolved",)),
    Told("resolved later, as the record says", HUNG_UP + """
         1h30m contact.started  chat billing contact=c2
         1h40m contact.ended    chat billing contact=c2 outcome=resolved""",
         ("agent_disconnect warning 1m5s..1h40m resolved",)),
    Told("clocks that differ prove nothing", """
         0m    contact.started  voice billing contact=c1
         1m5s  contact.answered voice billing contact=c1
         1m    contact.ended    voice - contact=c1 by=agent"""),
    Told("resolved later, another topic", HUNG_UP + """
         1h30m contact.started  chat delivery contact=c2
         1h40m contact.resolved chat delivery contact=c2""", OPEN),
    Told("a microsecond before it expires", HUNG_UP, OPEN, until="30d1m4s999999us"),
    Told("expired", HUNG_UP, ("agent_disconnect warning 1m5s..30d1m5s expired",), until="30d1m5s"),
    Told("handed on after all", HUNG_UP, OPEN, late="1m5s contact.transferred voice - contact=c1", then=()),
    Told("it was the customer", HUNG_UP, OPEN,
         late="1m5s contact.ended voice - contact=c1 id=e3 version=1 by=customer", then=()),
    Told("the return comes later", HUNG_UP, OPEN, late="5m contact.started voice billing contact=c2",
         then=("agent_disconnect error 1m5s..",)),
    Told("another short call", TALKED, ("agent_disconnect warning 6m..",),
         rules='agent_disconnect.short_call = "10m"'),
    Told("another return", TALKED + "7m contact.started voice billing contact=c2",
         rules='agent_disconnect.after_longer_talk.return_within = "59s"'),
    Told("another short call on the topic", TALKED, ("agent_disconnect warning 6m..",),
         rules='agent_disconnect.override = [{ topic = "billing", short_call = "10m" }]'),
    Told("another short call on another topic", TALKED,
         rules='agent_disconnect.override = [{ topic = "delivery", short_call = "10m" }]'),
    Told("longer talks are told", TALKED + "7m contact.started voice billing contact=c2",
         ("agent_disconnect error 7m..",), rules='agent_disconnect.after_longer_talk.mode = "live"'),
    Told("longer talks only", HUNG_UP + TALKED.replace("c1", "c3") + "7m contact.started voice billing contact=c2",
         ("agent_disconnect error 7m.. shadow",), rules='agent_disconnect.mode = "off"'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees calls that the company's side cut short, and no others."""
    assert play(told.text, told.until, told.rules).rows("agent_disconnect") == list(told.expect)


def test_no_person_is_named() -> None:
    """A suspicion about a person does not stand in a line that is passed around."""
    assert "ann" not in play(HUNG_UP).standing[0]["summary"]
