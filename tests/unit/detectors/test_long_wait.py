"""`long_wait`: the queue, the limit of the channel, and what ends a wait."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

WAITING = """
    0m  contact.started  voice billing contact=c1
    5s  contact.queued   voice billing contact=c1 queue=invoices
"""
STORIES = (
    Told("hurts", WAITING + "3m contact.answered voice - contact=c1", ("long_wait warning 2m5s..3m answered",)),
    Told("just under", WAITING + "2m4s999999us contact.answered voice - contact=c1"),
    Told("exactly on", WAITING + "2m5s contact.answered voice - contact=c1"),
    Told("just over", WAITING + "2m5s1us contact.answered voice - contact=c1",
         ("long_wait warning 2m5s..2m5s1us answered",)),
    Told("just under five times", WAITING + "10m4s999999us contact.answered voice - contact=c1",
         ("long_wait warning 2m5s..10m4s999999us answered",)),
    Told("five times", WAITING + "10m5s contact.answered voice - contact=c1",
         ("long_wait error 2m5s..10m5s answered",)),
    Told("a microsecond before the clock", WAITING, until="2m4s999999us"),
    Told("the clock", WAITING, ("long_wait warning 2m5s..",), until="2m5s"),
    Told("a microsecond before the clock says five times", WAITING, ("long_wait warning 2m5s..",),
         until="10m4s999999us"),
    Told("the clock says five times", WAITING, ("long_wait error 2m5s..",), until="10m5s"),
    Told("given up", WAITING + "3m contact.abandoned voice - contact=c1", ("long_wait warning 2m5s..3m abandoned",)),
    Told("ended by the system", WAITING + "3m contact.ended voice - contact=c1 by=system",
         ("long_wait warning 2m5s..3m ended",)),
    Told("given up in time, closed later", WAITING + """
         90s contact.abandoned voice - contact=c1
         3m  contact.ended     voice - contact=c1"""),
    Told("given up in time, answered later", WAITING + """
         90s contact.abandoned voice - contact=c1
         9m  contact.answered  voice - contact=c1"""),
    Told("given up late, answered later", WAITING + """
         3m contact.abandoned voice - contact=c1
         9m contact.answered  voice - contact=c1""", ("long_wait warning 2m5s..3m abandoned",)),
    Told("a microsecond before it expires", WAITING, ("long_wait error 2m5s..",), until="30d2m4s999999us"),
    Told("expired", WAITING, ("long_wait error 2m5s..30d2m5s expired",), until="30d2m5s"),
    Told("answered in time after all", WAITING, ("long_wait warning 2m5s..",), until="5m",
         late="1m contact.answered voice - contact=c1", then=()),
    Told("the queueing is withdrawn", WAITING, ("long_wait warning 2m5s..",), until="5m",
         late="5s contact.queued voice billing contact=c1 id=e2 version=1 cancelled=yes", then=()),
    Told("the report knows of a longer wait", WAITING + "1m contact.answered voice - contact=c1 wait=130s",
         ("long_wait warning 1m..1m answered",)),
    Told("the report knows of a shorter wait", WAITING + "3m contact.answered voice - contact=c1 wait=119s"),
    Told("never queued but answered late", """
         0m contact.started  voice billing contact=c1
         3m contact.answered voice -       contact=c1""", ("long_wait warning 2m..3m answered",)),
    Told("never queued: served by a machine", """
         0m contact.started voice billing contact=c1
         9m contact.ended   voice -       contact=c1 by=customer"""),
    Told("two queues are one wait", WAITING + """
         100s contact.queued   voice - contact=c1 queue=second
         3m   contact.answered voice - contact=c1""", ("long_wait warning 2m5s..3m answered",)),
    Told("a later queue after the answer is no first wait", WAITING + """
         10s contact.answered    voice - contact=c1
         20s contact.transferred voice - contact=c1
         20s contact.queued      voice - contact=c1 queue=second
         9m  contact.answered    voice - contact=c1"""),
    Told("a channel without a limit", "0m contact.queued email - contact=c1", until="9d"),
    Told("another limit", WAITING + "31s contact.answered voice - contact=c1",
         ("long_wait warning 20s..31s answered",), rules='long_wait.limits.voice = "15s"'),
    Told("over before it was five times too long", WAITING, ("long_wait warning 2m5s..7m5s expired",),
         rules='long_wait.expires_after = "5m"'),
    Told("another limit for the queue", WAITING + "31s contact.answered voice - contact=c1",
         ("long_wait warning 20s..31s answered",),
         rules='long_wait.override = [{ queue = "invoices", limits.voice = "15s" }]'),
    Told("another limit for another queue", WAITING + "31s contact.answered voice - contact=c1",
         rules='long_wait.override = [{ queue = "vip", limits.voice = "15s" }]'),
    Told("two contacts", """
         0m contact.queued   voice - contact=c1
         1m contact.queued   chat  - contact=c2
         4m contact.answered voice - contact=c1
         5m contact.answered chat  - contact=c2""",
         ("long_wait warning 2m..4m answered", "long_wait warning 3m..5m answered")),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees the waits that were too long, and no others."""
    assert play(told.text, told.until, told.rules).rows("long_wait") == list(told.expect)


def test_what_the_event_says() -> None:
    """An operator reads from the event how long it took, where, and in whose hands."""
    data = play(STORIES[0].text).standing[0]
    assert (data["contact_id"], data["channel"], data["queue"], data["topic"]) == ("c1", "voice", "invoices", "billing")
    assert (data["observed"]["value"], data["threshold"]["value"], data["observed"]["unit"]) == (175, 120, "seconds")
    assert [e["role"] for e in data["evidence"]] == ["queued", "answered"]
    assert data["summary"] == "Waited 2.9 min on voice"
