"""`queue_abandoned`: giving up in the queue, again and again, until somebody answers."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

QUEUED = """
    0m  contact.started voice billing contact=c1
    10s contact.queued  voice billing contact=c1 queue=invoices
"""
GAVE_UP = QUEUED + "16s contact.abandoned voice - contact=c1"
ONCE = "queue_abandoned info 16s.."


def _again(start: str, given_up: str) -> str:
    return (
        GAVE_UP
        + f"""
        {start}    contact.queued    voice billing contact=c2
        {given_up} contact.abandoned voice billing contact=c2"""
    )


STORIES = (
    Told("hurts", GAVE_UP, (ONCE,)),
    Told("just under", QUEUED + "14s999999us contact.abandoned voice - contact=c1"),
    Told("exactly on", QUEUED + "15s contact.abandoned voice - contact=c1"),
    Told("just over", QUEUED + "15s1us contact.abandoned voice - contact=c1", ("queue_abandoned info 15s1us..",)),
    Told("through two queues", QUEUED + """
         1m10s contact.queued    voice billing contact=c1 queue=overflow
         1m13s contact.abandoned voice - contact=c1""", ("queue_abandoned info 1m13s..",)),
    Told("handed on, and given up at once", QUEUED + """
         20s   contact.answered  voice billing contact=c1
         5m    contact.queued    voice billing contact=c1 queue=experts
         5m5s  contact.abandoned voice - contact=c1"""),
    Told("handed on, and given up", QUEUED + """
         20s   contact.answered  voice billing contact=c1
         5m    contact.queued    voice billing contact=c1 queue=experts
         5m6s  contact.abandoned voice - contact=c1""", ("queue_abandoned info 5m6s..",)),
    Told("never queued", "0m contact.started voice\n 9m contact.abandoned voice"),
    Told("took the offer of a callback", QUEUED + "5m contact.abandoned voice - contact=c1 reason=callback_accepted"),
    Told("the report knows of a shorter wait", QUEUED + "16s contact.abandoned voice - contact=c1 wait=5s"),
    Told("the report knows of a longer wait", QUEUED + "12s contact.abandoned voice - contact=c1 wait=6s",
         ("queue_abandoned info 12s..",)),
    Told("again", _again("1h", "1h9s"), (ONCE, "queue_abandoned warning 1h9s..")),
    Told("again exactly a week later", _again("7d", "7d9s"), (ONCE, "queue_abandoned warning 7d9s.."), until="7d1h"),
    Told("again, but before a callback was accepted",
         _again("1h", "1h9s").replace("16s contact.abandoned voice -", "16s contact.abandoned voice - reason=callback_accepted"),
         ("queue_abandoned info 1h9s..",)),
    Told("again, a microsecond too late", _again("7d1us", "7d9s"), (ONCE, "queue_abandoned info 7d9s.."),
         until="7d1h"),
    Told("again, but the attempt between was not abandoned", _again("1h", "1h9s") + """
         30m contact.started chat billing contact=c3
         31m contact.ended   chat billing contact=c3 by=customer""", (ONCE, "queue_abandoned info 1h9s..")),
    Told("an outbound call between is no attempt", _again("1h", "1h9s") + """
         30m contact.started voice billing contact=c3 direction=outbound""",
         (ONCE, "queue_abandoned warning 1h9s..")),
    Told("resolved when somebody answers", GAVE_UP + """
         1h   contact.queued   chat - contact=c2
         1h1m contact.answered chat - contact=c2""", ("queue_abandoned info 16s..1h1m answered",)),
    Told("resolved when somebody answers in a contact that was answered before", """
         -1h contact.answered chat - contact=c2""" + GAVE_UP + """
         1h  contact.answered chat - contact=c2""", ("queue_abandoned info 16s..1h answered",)),
    Told("resolved by a call back", GAVE_UP + """
         1h   contact.started  voice - contact=c2 direction=outbound
         1h1m contact.answered voice - contact=c2""", ("queue_abandoned info 16s..1h1m answered",)),
    Told("an answer before does not help", """
         -1h  contact.started  voice - contact=c0
         -59m contact.answered voice - contact=c0
         -50m contact.ended    voice - contact=c0""" + GAVE_UP, (ONCE,)),
    Told("a microsecond before it expires", GAVE_UP, (ONCE,), until="30d15s999999us"),
    Told("expired", GAVE_UP, ("queue_abandoned info 16s..30d16s expired",), until="30d16s"),
    Told("an answer exactly then is an answer", GAVE_UP + "\n30d16s contact.answered voice - contact=c2",
         ("queue_abandoned info 16s..30d16s answered",), until="30d16s"),
    Told("the abandonment is withdrawn", GAVE_UP, (ONCE,),
         late="16s contact.abandoned voice - contact=c1 id=e3 version=1 cancelled=yes", then=()),
    Told("the reason comes later", GAVE_UP, (ONCE,),
         late="16s contact.abandoned voice - contact=c1 id=e3 version=1 reason=callback_accepted", then=()),
    Told("an earlier attempt comes later", GAVE_UP, (ONCE,), late="""
         -1h  contact.queued    voice - contact=c0
         -59m contact.abandoned voice - contact=c0""",
         then=("queue_abandoned info -59m..", "queue_abandoned warning 16s..")),
    Told("another limit", QUEUED + "12s contact.abandoned voice - contact=c1", ("queue_abandoned info 12s..",),
         rules='queue_abandoned.short_abandon = "1s"'),
    Told("another window", _again("1h", "1h9s"), (ONCE, "queue_abandoned info 1h9s.."),
         rules='queue_abandoned.window = "59m"'),
    Told("another limit for the queue", GAVE_UP,
         rules='queue_abandoned.override = [{ queue = "invoices", short_abandon = "6s" }]'),
    Told("another limit for another queue", GAVE_UP, (ONCE,),
         rules='queue_abandoned.override = [{ queue = "vip", short_abandon = "6s" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every customer who gave up in the queue, and no others."""
    assert play(told.text, told.until, told.rules).rows("queue_abandoned") == list(told.expect)


def test_a_stranger_did_not_give_up_before() -> None:
    """Calls whose customer is unknown are not taken for one customer's."""
    desk = play(_again("1h", "1h9s"), customer=None)
    assert desk.rows("queue_abandoned") == [ONCE, "queue_abandoned info 1h9s.."]
