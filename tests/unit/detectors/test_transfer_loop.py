"""`transfer_loop`: from desk to desk, and back to the first one."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

CALL = """
    0m contact.started  voice billing contact=c1
    1m contact.queued   voice billing contact=c1 queue=invoices
    2m contact.answered voice billing contact=c1 queue=invoices agent=a1
"""
TWICE = (
    CALL
    + """
    3m contact.transferred voice - contact=c1 queue=experts
    4m contact.answered    voice - contact=c1 queue=experts agent=a2
    5m contact.transferred voice - contact=c1 queue=claims
    6m contact.answered    voice - contact=c1 queue=claims agent=a3
"""
)
THRICE = TWICE + "7m contact.transferred voice - contact=c1 queue=managers\n"
ONCE = "transfer_loop warning 7m.."
AND_BACK = (
    CALL
    + """
    3m contact.queued voice - contact=c1 queue=experts
    4m contact.queued voice - contact=c1 queue=invoices
"""
)
BACK = "transfer_loop error 4m.."


def _bare(*times: str) -> str:
    return CALL + "".join(f"{time} contact.transferred voice - contact=c1\n" for time in times)


STORIES = (
    Told("hurts", THRICE, (ONCE,)),
    Told("just under", TWICE),
    Told("exactly on, with nothing known but the transfers", _bare("3m", "4m", "7m"), (ONCE,)),
    Told("just over", _bare("3m", "4m", "7m", "8m"), (ONCE,)),
    Told("a day between", _bare("3m", "1d", "20d"), ("transfer_loop warning 20d..",), until="21d"),
    Told("all at one moment", _bare("3m", "3m", "3m"), ("transfer_loop warning 3m..",)),
    Told("in three contacts", _bare("3m", "4m") + "5m contact.transferred voice billing contact=c2"),
    Told("without contact ids", "\n".join(f"{n}m contact.transferred voice billing" for n in range(4))),
    Told("in a call that the company made", _bare("3m", "4m", "7m").replace("billing", "billing direction=outbound"),
         (ONCE,)),
    Told("back to a queue", AND_BACK, (BACK,)),
    Told("back to a queue, by a transfer", CALL + """
         3m contact.transferred voice - contact=c1 queue=experts
         4m contact.transferred voice - contact=c1 queue=invoices""", (BACK,)),
    Told("back to an agent", CALL + """
         3m contact.answered voice - contact=c1 agent=a2
         4m contact.answered voice - contact=c1 agent=a1""", (BACK,)),
    Told("back to an agent, in one queue after another", CALL + """
         3m contact.answered voice - contact=c1 agent=a2 queue=experts
         4m contact.answered voice - contact=c1 agent=a1 queue=claims""", (BACK,)),
    Told("back after what names neither", CALL + """
         3m contact.queued voice - contact=c1 queue=experts
         200s contact.held voice - contact=c1
         4m contact.queued voice - contact=c1 queue=invoices""", (BACK,)),
    Told("there and there, and not back", CALL + """
         3m contact.queued voice - contact=c1 queue=experts
         4m contact.queued voice - contact=c1 queue=claims"""),
    Told("equal neighbours are one visit", CALL + """
         3m contact.held   voice - contact=c1 queue=invoices agent=a1
         4m contact.queued voice - contact=c1 queue=invoices agent=a1
         5m contact.held   voice - contact=c1 queue=invoices agent=a1"""),
    Told("equal neighbours with something else between", CALL + """
         3m contact.held   voice - contact=c1
         4m contact.queued voice - contact=c1 queue=invoices"""),
    Told("an agent called as a queue is", CALL + """
         3m contact.answered voice - contact=c1 queue=a1 agent=a2
         4m contact.answered voice - contact=c1 queue=a2"""),
    Told("messages are no visits", """
         0m contact.answered chat billing contact=c1 agent=a1
         1m message.sent     chat billing contact=c1 agent=a2
         2m message.sent     chat billing contact=c1 agent=a1"""),
    Told("messages between do not make a return", """
         0m contact.answered chat billing contact=c1 agent=a1
         1m message.sent     chat billing contact=c1 agent=a2
         2m contact.held     chat billing contact=c1 agent=a1"""),
    Told("back in another contact", CALL + """
         3m contact.queued voice - contact=c1 queue=experts
         4m contact.queued voice - contact=c2 queue=invoices"""),
    Told("the return is the third transfer", CALL + """
         2m10s contact.transferred voice - contact=c1 queue=experts
         3m    contact.transferred voice - contact=c1 queue=claims
         4m    contact.transferred voice - contact=c1 queue=invoices""", (BACK,)),
    Told("a return before the third transfer", AND_BACK + """
         5m contact.transferred voice - contact=c1
         6m contact.transferred voice - contact=c1
         7m contact.transferred voice - contact=c1""", (BACK,)),
    Told("a return after the third transfer", THRICE + "9m contact.queued voice - contact=c1 queue=invoices",
         ("transfer_loop error 7m..",)),
    Told("resolved", THRICE + "10m contact.resolved voice - contact=c1", ("transfer_loop warning 7m..10m resolved",)),
    Told("resolved, as its end says", AND_BACK + "10m contact.ended voice - contact=c1 outcome=resolved",
         ("transfer_loop error 4m..10m resolved",)),
    Told("resolved at the same moment", THRICE + "7m contact.resolved voice - contact=c1",
         ("transfer_loop warning 7m..7m resolved",)),
    Told("ended is not resolved", THRICE + "10m contact.ended voice - contact=c1 by=customer", (ONCE,)),
    Told("another contact is resolved", THRICE + "10m contact.resolved voice billing contact=c2", (ONCE,)),
    Told("a microsecond before it expires", THRICE, (ONCE,), until="30d6m59s999999us"),
    Told("expired", THRICE, ("transfer_loop warning 7m..30d7m expired",), until="30d7m"),
    Told("a transfer is withdrawn", THRICE, (ONCE,),
         late="5m contact.transferred voice - contact=c1 id=e6 version=1 cancelled=yes", then=()),
    Told("the queue was another one", AND_BACK, (BACK,),
         late="4m contact.queued voice - contact=c1 id=e5 version=1 queue=claims", then=()),
    Told("the visit between is withdrawn", AND_BACK, (BACK,),
         late="3m contact.queued voice - contact=c1 id=e4 version=1 cancelled=yes", then=()),
    Told("a transfer between is told later", _bare("3m", "7m"),
         late="4m contact.transferred voice - contact=c1", then=(ONCE,)),
    Told("an earlier transfer is told later", THRICE, (ONCE,), late="2m30s contact.transferred voice - contact=c1",
         then=("transfer_loop warning 5m..",)),
    Told("the return is told later", THRICE, (ONCE,), late="8m contact.queued voice - contact=c1 queue=invoices",
         then=("transfer_loop error 7m..",)),
    Told("an earlier return is told later", THRICE, (ONCE,), late="3m30s contact.queued voice - contact=c1 queue=invoices",
         then=("transfer_loop error 3m30s..",)),
    Told("another limit", TWICE, ("transfer_loop warning 5m..",), rules="transfer_loop.transfers = 2"),
    Told("another limit for the topic", TWICE, ("transfer_loop warning 5m..",),
         rules='transfer_loop.override = [{ topic = "billing", transfers = 2 }]'),
    Told("another limit for another channel", THRICE, (ONCE,),
         rules='transfer_loop.override = [{ channel = "chat", transfers = 4 }]'),
    Told("another limit for the latest queue", THRICE,
         rules='transfer_loop.override = [{ queue = "managers", transfers = 4 }]'),
    Told("a limit does not excuse a return", AND_BACK, (BACK,), rules="transfer_loop.transfers = 9"),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every customer who was sent from desk to desk, and no others."""
    assert play(told.text, told.until, told.rules).rows("transfer_loop") == list(told.expect)


def test_a_stranger_is_sent_round_as_well() -> None:
    """A caller whom nobody knows is told of, too."""
    assert play(AND_BACK, customer=None).rows("transfer_loop") == [BACK]


@pytest.mark.parametrize(
    ("text", "summary", "roles", "observed"),
    [
        (THRICE, "Handed on 3 times", ["transferred"] * 3, (3, "transfers")),
        (AND_BACK, "Back at a queue already visited", ["visited", "returned"], (1, "returns")),
        (
            CALL + "3m contact.held voice - contact=c1 agent=a2\n4m contact.held voice - contact=c1 agent=a1",
            "Back at an agent already visited",
            ["visited", "returned"],
            (1, "returns"),
        ),
        (
            THRICE + "9m contact.queued voice - contact=c1 queue=experts",
            "Handed on 3 times, and back at a queue already visited",
            ["visited", "transferred", "transferred", "returned"],
            (3, "transfers"),
        ),
    ],
)
def test_what_is_told(text: str, summary: str, roles: list[str], observed: tuple[int, str]) -> None:
    """A person reads what went wrong, without anybody's name, and the touchpoints prove it in order of time."""
    (told,) = [d for d in play(text).standing if d["kind"] == "transfer_loop"]
    assert told["summary"] == summary
    assert [e["role"] for e in told["evidence"]] == roles
    assert (told["observed"]["value"], told["observed"]["unit"]) == observed
