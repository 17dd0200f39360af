"""`closed_door`: nobody is there, and the customer has to find another way."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

CALL = "0m contact.started voice billing contact=c1\n"
REFUSED = CALL + "1m contact.refused voice - contact=c1 reason=channel_closed\n"
OPEN = ("closed_door warning 1m..",)
STORIES = (
    Told("hurts", REFUSED, OPEN),
    Told("without a start or a contact id", "1m contact.refused voice billing reason=channel_closed", OPEN),
    Told("refused for another reason", REFUSED.replace("channel_closed", "policy")),
    Told("refused for no reason that is known", CALL + "1m contact.refused voice - contact=c1"),
    Told("ended, with that reason", CALL + "1m contact.ended voice - contact=c1 reason=channel_closed"),
    Told("the vendor's own word proves nothing", CALL + "1m contact.refused voice - contact=c1 code=channel_closed"),
    Told("refused twice in one contact", REFUSED + "2m contact.refused voice - contact=c1 reason=channel_closed", OPEN),
    Told("refused for another reason first", CALL + """
         30s contact.refused voice - contact=c1 reason=policy
         1m  contact.refused voice - contact=c1 reason=channel_closed""", OPEN),
    Told("refused in two contacts", REFUSED + "1h contact.refused chat billing contact=c2 reason=channel_closed",
         (*OPEN, "closed_door warning 1h..")),
    Told("answered on another channel", REFUSED + """
         1h    contact.started  chat - contact=c2
         1h10m contact.answered chat - contact=c2""", ("closed_door warning 1m..1h10m answered",)),
    Told("one answer for two", REFUSED + """
         1h    contact.refused  chat billing contact=c2 reason=channel_closed
         1h10m contact.answered voice - contact=c3""",
         ("closed_door warning 1m..1h10m answered", "closed_door warning 1h..1h10m answered")),
    Told("answered in the same contact", REFUSED + "5m contact.answered voice - contact=c1",
         ("closed_door warning 1m..5m answered",)),
    Told("the company called back", REFUSED + "5m contact.answered voice - contact=c2 direction=outbound",
         ("closed_door warning 1m..5m answered",)),
    Told("somebody wrote", REFUSED + "5m message.sent email", ("closed_door warning 1m..5m replied",)),
    Told("a machine wrote", REFUSED + "5m message.sent email - automatic=yes", OPEN),
    Told("a machine wrote, then a person", REFUSED + """
         5m message.sent email - automatic=yes
         9m message.sent email""", ("closed_door warning 1m..9m replied",)),
    Told("the first answer counts", REFUSED + """
         9m message.sent     email
         8m contact.answered chat - contact=c2""", ("closed_door warning 1m..8m answered",)),
    Told("answered at the same moment", REFUSED + "1m contact.answered chat - contact=c2",
         ("closed_door warning 1m..1m answered",)),
    Told("answered a microsecond before", REFUSED + "59s999999us contact.answered chat - contact=c2", OPEN),
    Told("another attempt is no answer", REFUSED + """
         1h contact.started chat - contact=c2
         2h contact.ended   chat - contact=c2 by=customer""", OPEN),
    Told("what the customer writes is no answer", REFUSED + "5m message.received email - contact=c2", OPEN),
    Told("a microsecond before it expires", REFUSED, OPEN, until="30d59s999999us"),
    Told("expired", REFUSED, ("closed_door warning 1m..30d1m expired",), until="30d1m"),
    Told("an answer exactly then is an answer", REFUSED + "30d1m message.sent email",
         ("closed_door warning 1m..30d1m replied",), until="30d1m"),
    Told("the refusal is withdrawn", REFUSED, OPEN,
         late="1m contact.refused voice - contact=c1 id=e2 version=1 cancelled=yes", then=()),
    Told("the reason was another", REFUSED, OPEN,
         late="1m contact.refused voice - contact=c1 id=e2 version=1 reason=policy", then=()),
    Told("the reason comes later", CALL + "1m contact.refused voice - contact=c1",
         late="1m contact.refused voice - contact=c1 id=e2 version=1 reason=channel_closed", then=OPEN),
    Told("the answer was a machine's", REFUSED + "5m message.sent email", ("closed_door warning 1m..5m replied",),
         late="5m message.sent email - id=e3 version=1 automatic=yes", then=OPEN),
    Told("a shorter life", REFUSED, ("closed_door warning 1m..1h1m expired",),
         rules='closed_door.expires_after = "1h"'),
    Told("a shorter life on the channel", REFUSED, ("closed_door warning 1m..1h1m expired",),
         rules='closed_door.override = [{ channel = "voice", expires_after = "1h" }]'),
    Told("a shorter life on another topic", REFUSED, OPEN,
         rules='closed_door.override = [{ topic = "delivery", expires_after = "1h" }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every customer who stood before a closed door, and no others."""
    assert play(told.text, told.until, told.rules).rows("closed_door") == list(told.expect)


def test_a_stranger_is_refused_as_well() -> None:
    """A caller whom nobody knows is told of, too, and what was closed."""
    desk = play(REFUSED, customer=None)
    assert desk.rows("closed_door") == list(OPEN)
    assert [d["summary"] for d in desk.standing] == ["Refused: voice was closed"]
