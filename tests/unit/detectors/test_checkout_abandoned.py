"""`checkout_abandoned`: no order after a checkout, and what there was before it."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

START = "0m checkout.started web\n"
ONCE = ("checkout_abandoned info 1h..",)
WORSE = ("checkout_abandoned warning 1h..",)
GAVE_UP = """
    -10m contact.queued    letter - contact=c1
    -9m  contact.abandoned letter - contact=c1
"""


STORIES = (
    Told("hurts", START, ONCE),
    Told("a microsecond before the hour", START, until="59m59s999999us"),
    Told("the hour", START, ONCE, until="1h"),
    Told("ordered just in time", START + "59m59s999999us order.placed web"),
    Told("ordered exactly in time", START + "1h order.placed web"),
    Told("ordered at once", START + "0m order.placed web"),
    Told("ordered too late", START + "1h1us order.placed web", ("checkout_abandoned info 1h..1h1us ordered",)),
    Told("ordered before", START + "-1us order.placed web", ONCE),
    Told("delivered is not ordered", START + "5m order.delivered web", ONCE),
    Told("refunded is not ordered", START + "5m order.refunded web", ONCE),
    Told("begun again", START + "30m checkout.started web", ("checkout_abandoned info 1h30m..",)),
    Told("begun again and again", START + "1h checkout.started web\n2h checkout.started web",
         ("checkout_abandoned info 3h..",), until="3h"),
    Told("begun again exactly an hour later", START + "1h checkout.started web", ("checkout_abandoned info 2h..",)),
    Told("begun again just later", START + "1h1us checkout.started web",
         ("checkout_abandoned info 1h..", "checkout_abandoned warning 2h1us.."), until="3h"),
    Told("begun again and ordered", START + "30m checkout.started web\n70m order.placed web"),
    Told("ordered, and begun again", START + "10m order.placed web\n30m checkout.started web",
         ("checkout_abandoned info 1h30m..",)),
    Told("begun twice at the same moment", START + "0m checkout.started web", ONCE),
    Told("after other trouble", GAVE_UP + START, WORSE),
    Told("trouble that was over", GAVE_UP + "-5m contact.answered voice - contact=c2\n" + START, WORSE),
    Told("trouble in the meantime", START + """
         30m contact.queued    voice - contact=c1
         31m contact.abandoned voice - contact=c1""", WORSE),
    Told("trouble at the very end", START + """
         59m contact.queued    voice - contact=c1
         1h  contact.abandoned voice - contact=c1""", WORSE),
    Told("trouble afterwards", START + """
         59m   contact.queued    voice - contact=c1
         1h1us contact.abandoned voice - contact=c1""", ONCE),
    Told("trouble in another journey", """
         -8d   contact.queued    voice - contact=c1
         -8d1m contact.abandoned voice - contact=c1""" + "\n" + START, ONCE),
    Told("trouble in a journey of another name", """
         -10m contact.queued    voice - contact=c1 journey=j1
         -9m  contact.abandoned voice - contact=c1 journey=j1
         0m   checkout.started  web   - journey=j2""", ONCE),
    Told("ordered later", START + "3d order.placed web", ("checkout_abandoned info 1h..3d ordered",), until="4d"),
    Told("a microsecond before it expires", START, ONCE, until="30d59m59s999999us"),
    Told("expired", START, ("checkout_abandoned info 1h..30d1h expired",), until="30d1h"),
    Told("ordered at the last moment", START + "30d1h order.placed web",
         ("checkout_abandoned info 1h..30d1h ordered",), until="30d1h"),
    Told("the order comes later", START, ONCE, late="40m order.placed web", then=()),
    Told("the start is withdrawn", START, ONCE, late="0m checkout.started web - id=e1 version=1 cancelled=yes",
         then=()),
    Told("another start comes later", START, ONCE, until="3h", late="1h checkout.started web",
         then=("checkout_abandoned info 2h..",)),
    Told("trouble becomes known later", START, ONCE, late=GAVE_UP, then=WORSE),
    Told("trouble turns out to be none", GAVE_UP + START, WORSE,
         late="-9m contact.abandoned letter - contact=c1 id=e2 version=1 cancelled=yes", then=ONCE),
    Told("another time", START, ("checkout_abandoned info 30m..",), until="30m",
         rules='checkout_abandoned.order_within = "30m"'),
    Told("otherwise on a channel", START, ("checkout_abandoned info 30m..",), until="40m", rules='checkout_abandoned.override = [{ channel = "web", order_within = "30m" }]'),
    Told("otherwise on another channel", START, until="40m", rules='checkout_abandoned.override = [{ channel = "app", order_within = "30m" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every checkout without an order, and no others."""
    assert play(told.text, told.until, told.rules).rows("checkout_abandoned") == list(told.expect)


def test_a_recorded_checkout_pages_nobody() -> None:
    """Where checkouts of one channel are only recorded, they do not make those of another worse."""
    rules = '[[checkout_abandoned.override]]\nchannel = "app"\nmode = "shadow"'
    text = "0m checkout.started app\n2h checkout.started web\n4h checkout.started app"
    assert play(text, "6h", rules).rows("checkout_abandoned") == [
        "checkout_abandoned info 1h.. shadow",
        "checkout_abandoned info 3h..",
        "checkout_abandoned warning 5h.. shadow",
    ]


def test_recorded_trouble_pages_nobody() -> None:
    """Where the trouble before is only recorded, the checkout is no worse for it."""
    rules = 'queue_abandoned.mode = "shadow"'
    assert play(GAVE_UP + START, "2h", rules).rows("checkout_abandoned") == list(ONCE)


def test_trouble_counts_when_it_is_forgotten() -> None:
    """In a journey of months, what is out of memory still makes a checkout worse, and changes nothing that was said."""
    desk = play(GAVE_UP, "1h")
    for day in range(1, 400, 3):
        desk.tell(f"{day}d message.sent email - id=m{day}")
        desk.look(f"{day}d")
    assert desk.facts is not None and "contact" not in desk.facts.entries
    desk.tell("400d checkout.started web - id=late")
    desk.look("401d")
    assert desk.rows("checkout_abandoned") == ["checkout_abandoned warning 400d1h.."]
    for day in range(402, 700, 3):
        desk.tell(f"{day}d message.sent email - id=m{day}")
        desk.look(f"{day}d")
    assert desk.rows("checkout_abandoned") == ["checkout_abandoned warning 400d1h..430d1h expired"]


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_forgetting_one_of_two_changes_nothing(mode: str) -> None:
    """Two abandoned checkouts in one journey keep their severities while the first falls out of memory."""
    desk = play("0m checkout.started web - id=a", "0m", f'checkout_abandoned.mode = "{mode}"')
    for day in range(1, 400):
        desk.tell(f"{day}d {'checkout.started' if day == 20 else 'message.sent'} web - id=m{day}")
        desk.look(f"{day}d")
    said = [
        (e["data"]["severity"], e["data"]["state"]) for e in desk.events if e["data"]["kind"] == "checkout_abandoned"
    ]
    assert said == [("info", "open"), ("warning", "open"), ("info", "resolved"), ("warning", "resolved")]
