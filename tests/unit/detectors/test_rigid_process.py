"""`rigid_process`: denied because of a policy, or asked for the same thing again and again."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

DENIED = "0m request.denied web billing reason=policy\n"
NAMED = "0m request.denied web billing reason=policy ref=r1\n"
OPEN = "rigid_process warning 0m.."
OVER = "rigid_process warning 0m..7d journey_over"
TWICE = """
    0m information.requested chat billing element=iban
    1m information.requested chat billing element=iban
"""
ASKED = TWICE + "2m information.requested chat billing element=iban\n"
THIRD = "rigid_process warning 2m.."
LONG = """
    0m information.requested chat billing element=iban journey=J
    1m information.requested chat billing element=iban journey=J
    2m information.requested chat billing element=iban journey=J
"""
SHORT_JOURNEYS = 'time.inactivity_gap = "1h"'

STORIES = (
    Told("hurts", DENIED, (OPEN,)),
    Told("denied for another reason", "0m request.denied web billing reason=stock"),
    Told("denied without a reason", "0m request.denied web billing"),
    Told("something else with that reason", "0m request.made web billing reason=policy"),
    Told("denied twice", DENIED + "1m request.denied web billing reason=policy",
         (OPEN, "rigid_process warning 1m..")),
    Told("granted on the topic", DENIED + "1h request.granted voice billing",
         ("rigid_process warning 0m..1h granted",)),
    Told("granted at the same moment", DENIED + "0m request.granted voice billing",
         ("rigid_process warning 0m..0m granted",)),
    Told("granted before", DENIED + "-1us request.granted voice billing", (OPEN,)),
    Told("granted on another topic", DENIED + "1h request.granted voice delivery", (OPEN,)),
    Told("granted under some ref, on the topic", DENIED + "1h request.granted voice billing ref=r1",
         ("rigid_process warning 0m..1h granted",)),
    Told("granted by its ref", NAMED + "1h request.granted voice delivery ref=r1",
         ("rigid_process warning 0m..1h granted",)),
    Told("granted under another ref", NAMED + "1h request.granted voice billing ref=r2", (OPEN,)),
    Told("granted without its ref", NAMED + "1h request.granted voice billing", (OPEN,)),
    Told("no topic is a topic", "0m request.denied web - reason=policy\n 1h request.granted web",
         ("rigid_process warning 0m..1h granted",)),
    Told("a microsecond before the journey is over", DENIED, (OPEN,), until="6d23h59m59s999999us"),
    Told("the journey is over", DENIED, (OVER,), until="7d"),
    Told("the journey goes on at the last moment", DENIED + "7d page.viewed web", (OPEN,), until="8d"),
    Told("the journey goes on too late", DENIED + "7d1us page.viewed web", (OVER,), until="8d"),
    Told("granted at the last moment of the journey", DENIED + "7d request.granted web billing",
         ("rigid_process warning 0m..7d granted",), until="8d"),
    Told("granted in the next journey", DENIED + "7d1us request.granted web billing", (OVER,), until="8d"),
    Told("a journey with a name is over later", "0m request.denied web billing reason=policy journey=J", (OPEN,),
         until="8d"),
    Told("a microsecond before it expires", "0m request.denied web billing reason=policy journey=J", (OPEN,),
         until="29d23h59m59s999999us"),
    Told("expired", "0m request.denied web billing reason=policy journey=J",
         ("rigid_process warning 0m..30d expired",), until="30d"),
    Told("granted exactly when it expires", """
         0m  request.denied  web billing reason=policy journey=J
         30d request.granted web billing""", ("rigid_process warning 0m..30d granted",), until="31d"),
    Told("expires before the journey is over", DENIED, ("rigid_process warning 0m..6d expired",), until="8d",
         rules='rigid_process.expires_after = "6d"'),
    Told("expires as the journey is over", DENIED, (OVER,), until="8d", rules='rigid_process.expires_after = "7d"'),
    Told("the reason was wrong", DENIED, (OPEN,),
         late="0m request.denied web billing id=e1 version=1 reason=stock", then=()),
    Told("the denial is withdrawn", DENIED, (OPEN,),
         late="0m request.denied web billing id=e1 version=1 reason=policy cancelled=yes", then=()),
    Told("the journey went on after all", DENIED, (OVER,), until="8d", late="3d page.viewed web", then=(OPEN,)),
    Told("asked too often", ASKED, (THIRD,)),
    Told("asked twice", TWICE),
    Told("asked and identified", TWICE + "2m identity.verified voice - element=iban", (THIRD,)),
    Told("identified too often", "\n".join(f"{n}m identity.verified voice billing element=pin" for n in range(3)),
         (THIRD,)),
    Told("asked for something else", TWICE + "2m information.requested chat billing element=name"),
    Told("asked for nothing in particular", TWICE + "2m information.requested chat billing"),
    Told("no element is an element", "\n".join(f"{n}m identity.verified voice billing" for n in range(3)), (THIRD,)),
    Told("something else about the element", TWICE + "2m request.made chat billing element=iban"),
    Told("asked four times is one difficulty", ASKED + "3m information.requested chat billing element=iban", (THIRD,)),
    Told("asked thrice at once", "\n".join(["0m identity.verified voice billing"] * 3), (OPEN,)),
    Told("the third exactly in the window", TWICE + "7d information.requested chat billing element=iban",
         ("rigid_process warning 7d..",), until="8d"),
    Told("the third a microsecond too late", TWICE + "7d1us information.requested chat billing element=iban",
         until="8d"),
    Told("a second series", ASKED + """
         2h   information.requested chat billing element=iban
         2h1m information.requested chat billing element=iban
         2h2m information.requested chat billing element=iban""", (THIRD, "rigid_process warning 2h2m.."),
         until="3h", rules='rigid_process.window = "1h"'),
    Told("asked at the last moment of the journey", TWICE + "1h1m information.requested chat billing element=iban",
         ("rigid_process warning 1h1m..",), rules=SHORT_JOURNEYS),
    Told("asked in the next journey", TWICE + "1h1m1us information.requested chat billing element=iban",
         rules=SHORT_JOURNEYS),
    Told("asked in another journey by name", TWICE.replace("iban", "iban journey=J") + """
         2m information.requested chat billing element=iban journey=K
         3m information.requested chat billing element=iban journey=J""", ("rigid_process warning 3m..",)),
    Told("what comes late joins the journeys", TWICE + "1h30m information.requested chat billing element=iban", (),
         rules=SHORT_JOURNEYS, late="40m page.viewed web", then=("rigid_process warning 1h30m..",)),
    Told("an asking is withdrawn", ASKED, (THIRD,),
         late="1m information.requested chat billing id=e2 version=1 element=iban cancelled=yes", then=()),
    Told("it was about something else", ASKED, (THIRD,),
         late="0m information.requested chat billing id=e1 version=1 element=name", then=()),
    Told("one asking more comes late", ASKED, (THIRD,),
         late="30s information.requested chat billing element=iban", then=("rigid_process warning 1m..",)),
    Told("asked too often, then granted", ASKED + "1h request.granted chat billing",
         ("rigid_process warning 2m..1h granted",)),
    Told("asked too often, granted between", ASKED + "90s request.granted chat billing", (THIRD,)),
    Told("asked too often, granted by the ref of the last", TWICE + """
         2m information.requested chat billing element=iban ref=r1
         1h request.granted       chat -       ref=r1""", ("rigid_process warning 2m..1h granted",)),
    Told("asked too often, granted under another ref", TWICE + """
         2m information.requested chat billing element=iban ref=r1
         1h request.granted       chat billing ref=r2""", (THIRD,)),
    Told("asked too often, and the journey is over", ASKED, ("rigid_process warning 2m..7d2m journey_over",),
         until="8d"),
    Told("asked too often, and expired", LONG, ("rigid_process warning 2m..30d2m expired",), until="31d"),
    Told("twice is too often", TWICE, ("rigid_process warning 1m..",), rules="rigid_process.asked = 2"),
    Told("another window", ASKED, rules='rigid_process.window = "119s"'),
    Told("twice is too often on this channel", TWICE, ("rigid_process warning 1m..",),
         rules='rigid_process.override = [{ channel = "chat", asked = 2 }]'),
    Told("twice is too often in another queue", TWICE,
         rules='rigid_process.override = [{ queue = "vip", asked = 2 }]'),
    Told("expires sooner on this topic", DENIED, ("rigid_process warning 0m..1h expired",),
         rules='rigid_process.override = [{ topic = "billing", expires_after = "1h" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees where the process came before the person, and nowhere else."""
    assert play(told.text, told.until, told.rules).rows("rigid_process") == list(told.expect)


def test_what_was_asked_is_told() -> None:
    """A user reads what was asked for and how often, and finds the touchpoints that prove it."""
    (friction,) = play(ASKED).standing
    assert friction["summary"] == "Asked for iban 3 times within 7d"
    assert friction["observed"] == {"value": 3, "unit": "requests", "window": "7d", "also": {}}
    assert [e["event_id"] for e in friction["evidence"]] == ["e1", "e2", "e3"]


def test_a_journey_that_goes_on_is_no_news() -> None:
    """Touchpoints that only put the end of the journey off send no event about the denial."""
    desk = play(DENIED)
    desk.tell("1h page.viewed web - id=page1\n 3d page.viewed web - id=page2")
    assert desk.look("4d") == []
