"""`repeat_contact`: the same customer, the same topic, again within the window."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

FIRST = """
    0m contact.started voice billing contact=c1
    5m contact.ended   voice billing contact=c1 by=customer
"""


def _second(start: str, more: str = "") -> str:
    return FIRST + f"{start} contact.started chat billing contact=c2 {more}\n"


STORIES = (
    Told("hurts", _second("1d"), ("repeat_contact warning 1d..",), until="2d"),
    Told("just outside", _second("7d1us"), until="8d"),
    Told("exactly on", _second("7d"), ("repeat_contact warning 7d..",), until="8d"),
    Told("just inside", _second("6d"), ("repeat_contact warning 6d..",), until="8d"),
    Told("another topic", FIRST + "1d contact.started voice delivery contact=c2", until="2d"),
    Told("outbound", _second("1d", "direction=outbound"), until="2d"),
    Told("a case is no attempt", FIRST + "1d case.opened email billing contact=c2", until="2d"),
    Told("a message is one", FIRST + "1d message.received email billing contact=c2",
         ("repeat_contact warning 1d..",), until="2d"),
    Told("the same contact goes on", FIRST + "1d message.received email billing contact=c1", until="2d"),
    Told("without contact ids", "0m contact.started voice billing\n1d contact.started voice billing",
         ("repeat_contact warning 1d..",), until="2d"),
    Told("messages without contact ids are no contacts",
         "0m message.received sms billing\n1d message.received sms billing", until="2d"),
    Told("at the same moment", """
         0m contact.started voice billing contact=c1
         0m contact.started chat  billing contact=c2""", ("repeat_contact warning 0m..",)),
    Told("no topic is a topic of its own", """
         0m contact.started voice - contact=c1
         1m contact.ended   voice - contact=c1
         1h contact.started voice - contact=c2
         2h contact.ended   voice - contact=c2""", ("repeat_contact warning 1h..",)),
    Told("no topic is known yet", """
         0m contact.started voice - contact=c1
         1m contact.ended   voice - contact=c1
         1h contact.started voice - contact=c2"""),
    Told("the latest topic counts", FIRST + """
         1d   contact.started voice delivery contact=c2
         1d1m contact.ended   voice billing  contact=c2""", ("repeat_contact warning 1d..",), until="2d"),
    Told("third time", _second("1d") + "2d contact.started voice billing contact=c3",
         ("repeat_contact warning 1d..2d superseded", "repeat_contact error 2d.."), until="3d"),
    Told("superseded at the last moment", _second("1d") + "8d contact.started voice billing contact=c3",
         ("repeat_contact warning 1d..8d superseded", "repeat_contact warning 8d.."), until="9d"),
    Told("a microsecond before the window has passed", _second("1d"), ("repeat_contact warning 1d..",),
         until="7d23h59m59s999999us"),
    Told("the window has passed", _second("1d"), ("repeat_contact warning 1d..8d window_passed",), until="8d"),
    Told("expired", _second("1d"), ("repeat_contact warning 1d..3d expired",), until="3d",
         rules='repeat_contact.expires_after = "2d"'),
    Told("it was about something else", _second("1d"), ("repeat_contact warning 1d..",), until="2d",
         late="6m contact.ended voice delivery contact=c1", then=()),
    Told("the first contact is withdrawn", FIRST.splitlines()[1] + _second("1d")[len(FIRST) - 1:],
         ("repeat_contact warning 1d..",), until="2d",
         late="0m contact.started voice billing contact=c1 id=e1 version=1 cancelled=yes", then=()),
    Told("a contact between comes later", _second("2d"), ("repeat_contact warning 2d..",), until="3d",
         late="1d contact.started voice billing contact=c0",
         then=("repeat_contact warning 1d..2d superseded", "repeat_contact error 2d..")),
    Told("another window", _second("1d1us"), until="2d", rules='repeat_contact.window = "1d"'),
    Told("another number", _second("1d"), ("repeat_contact error 1d..",), until="2d",
         rules="repeat_contact.error_from = 2"),
    Told("another window for the topic", _second("1d1us"), until="2d",
         rules='repeat_contact.override = [{ topic = "billing", window = "1d" }]'),
    Told("another window for another topic", _second("1d1us"), ("repeat_contact warning 1d1us..",), until="2d",
         rules='repeat_contact.override = [{ topic = "delivery", window = "1d" }]'),
    Told("another window for the channel of the first attempt", _second("1d1us"), ("repeat_contact warning 1d1us..",),
         until="2d", rules='repeat_contact.override = [{ channel = "voice", window = "1d" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees each return within the window, and no others."""
    assert play(told.text, told.until, told.rules).rows("repeat_contact") == list(told.expect)


def test_strangers_do_not_repeat() -> None:
    """Nothing is concluded where the customer is unknown."""
    assert play(_second("1d"), "2d", customer=None).rows("repeat_contact") == []


def test_other_windows_are_observed() -> None:
    """An analyst sees how many contacts there were in the usual windows, whatever the rule's own."""
    text = "".join(f"{day}d contact.started voice billing contact=c{day}\n" for day in (0, 18, 29, 30))
    data = play(text, "30d1h").standing[-1]
    assert data["observed"] == {
        "value": 2,
        "unit": "contacts",
        "window": "7d",
        "also": {"24h": 2, "14d": 3, "30d": 4},
    }


def test_the_new_one_is_said_before_the_old_one_ends() -> None:
    """A consumer that counts open frictions of an incident never sees none between the two."""
    desk = play(_second("1d"), "1d1h")
    desk.tell("2d contact.started voice billing contact=c3 id=e9")
    said = [(e["type"], e["data"]["contact_id"], e["data"]["group_open"]) for e in desk.look("2d1h")]
    assert said == [("volvere.friction.opened", "c3", 1), ("volvere.friction.resolved", "c2", 1)]
