"""`dropped_call`: the line went dead, the customer called back, somebody made it good."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

CALL = """
    0m contact.started  voice billing contact=c1
    1m contact.answered voice billing contact=c1
"""
DROPPED = CALL + "3m contact.ended voice - contact=c1 by=network\n"


def _cause(code: str, by: str = "none") -> str:
    return CALL + f"3m contact.ended voice - contact=c1 by={by} code={code}"


OPEN = ("dropped_call warning 3m..",)
STORIES = (
    Told("hurts", DROPPED, OPEN),
    Told("by the system", CALL + "3m contact.ended voice - contact=c1 by=system", OPEN),
    Told("by the customer", CALL + "3m contact.ended voice - contact=c1 by=customer"),
    Told("by the agent", CALL + "3m contact.ended voice - contact=c1 by=agent"),
    Told("nobody knows by whom", CALL + "3m contact.ended voice - contact=c1"),
    Told("never answered", "0m contact.started voice - contact=c1\n3m contact.ended voice - contact=c1 by=network"),
    Told("ended before it was answered", "0m contact.ended voice - contact=c1 by=network\n1m contact.answered voice - contact=c1"),
    Told("no call", CALL.replace("voice", "chat") + "3m contact.ended chat - contact=c1 by=network"),
    Told("cause 38", _cause("38"), OPEN),
    Told("cause 38 written out", _cause("Q.850:38"), OPEN),
    *(Told(f"cause {code} is normal", _cause(code, "network")) for code in ("16", "17", "Q.850:31")),
    *(Told(f"cause {code} proves nothing", _cause(code)) for code in ("0", "127", "hung_up", "999")),
    *(Told(f"cause {code} does not excuse", _cause(code, "network"), OPEN) for code in ("0", "127", "line_lost")),
    Told("called again exactly in time", DROPPED + "13m contact.started voice delivery contact=c2",
         ("dropped_call error 3m..",)),
    Told("called again just too late", DROPPED + "13m1us contact.started voice billing contact=c2", OPEN),
    Told("called again at the same moment", DROPPED + "3m contact.started voice billing contact=c2",
         ("dropped_call error 3m..",)),
    Told("the company called back", DROPPED + "4m contact.started voice - contact=c2 direction=outbound", OPEN),
    Told("wrote again", DROPPED + "4m contact.started chat billing contact=c2", OPEN),
    Told("made good by a later call, at its end", DROPPED + """
         20m contact.started  voice billing contact=c2 direction=outbound
         21m contact.answered voice billing contact=c2
         25m contact.ended    voice billing contact=c2 by=customer""", ("dropped_call warning 3m..25m answered",)),
    Told("a later call that is not over yet", DROPPED + """
         20m contact.started  voice billing contact=c2
         21m contact.answered voice billing contact=c2""", OPEN),
    Told("a later call that nobody answered", DROPPED + """
         20m contact.started   voice billing contact=c2
         25m contact.abandoned voice billing contact=c2""", OPEN),
    Told("a later call is dropped too", DROPPED + """
         20m contact.started  voice billing contact=c2
         21m contact.answered voice billing contact=c2
         25m contact.ended    voice billing contact=c2 by=network""", (*OPEN, "dropped_call warning 25m..")),
    Told("resolved", DROPPED + "1h contact.resolved voice - contact=c1", ("dropped_call warning 3m..1h resolved",)),
    Told("a microsecond before it expires", DROPPED, OPEN, until="30d2m59s999999us"),
    Told("expired", DROPPED, ("dropped_call warning 3m..30d3m expired",), until="30d3m"),
    Told("it was the customer", DROPPED, OPEN,
         late="3m contact.ended voice - contact=c1 id=e3 version=1 by=customer", then=()),
    Told("the vendor's cause comes later", DROPPED, OPEN,
         late="3m1s contact.ended voice - contact=c1 code=16", then=()),
    Told("the call back comes later", DROPPED, OPEN, late="5m contact.started voice billing contact=c2",
         then=("dropped_call error 3m..",)),
    Told("another patience", DROPPED + "13m contact.started voice billing contact=c2", OPEN,
         rules='dropped_call.call_back = "9m"'),
    Told("another patience on the topic", DROPPED + "13m contact.started voice delivery contact=c2", OPEN,
         rules='dropped_call.override = [{ topic = "billing", call_back = "9m" }]'),
    Told("another patience on the topic of the call back", DROPPED + "13m contact.started voice delivery contact=c2",
         ("dropped_call error 3m..",), rules='dropped_call.override = [{ topic = "delivery", call_back = "9m" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every answered call that was cut off, and no others."""
    assert play(told.text, told.until, told.rules).rows("dropped_call") == list(told.expect)
