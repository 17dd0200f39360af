"""`at_risk`: friction that nobody put right, and then a customer who is not heard of again."""

from __future__ import annotations

import pytest

from tests.stories import Told, play


def _gave_up(start: str, name: str, topic: str = "-") -> str:
    """A contact that was queued, and given up a minute later: a friction of its own."""
    return f"""
        {start}   contact.queued    letter {topic} contact={name}
        {start}1m contact.abandoned letter {topic} contact={name}
    """


TWICE = _gave_up("0d", "c1", "billing") + _gave_up("10d", "c2", "delivery")
"""The customer's own last touchpoint is the beginning of the second contact: T is 10d, and the silence over at 40d."""
ONCE = ("at_risk error 40d..",)


def _and(line: str) -> str:
    return TWICE + line + "\n"


STORIES = (
    Told("hurts", TWICE, ONCE, until="41d"),
    Told("a microsecond before the silence is long enough", TWICE, until="39d23h59m59s999999us"),
    Told("the silence is long enough", TWICE, ONCE, until="40d"),
    Told("one friction", _gave_up("0d", "c1"), until="41d"),
    Told("no friction", "0d page.viewed web", until="41d"),
    Told("the customer came in the middle of it", _and("25d page.viewed web"), ("at_risk error 55d..",), until="69d"),
    Told("the customer came just before", _and("39d23h59m59s999999us page.viewed web"), until="60d"),
    Told("the customer came exactly then", _and("40d page.viewed web"), until="60d"),
    Told("the customer came just after", _and("40d1us page.viewed web"),
         ("at_risk error 40d..40d1us came_back",), until="41d"),
    Told("the company does not break a silence", _and("""
         12d message.sent     email
         20d message.sent     email
         30d survey.sent      email
         35d contact.started  voice - contact=c9 direction=outbound"""), ONCE, until="41d"),
    Told("an answer to an outbound contact is the company's doing", _and("""
         29d contact.started  email - contact=c9 direction=outbound
         30d message.received email - contact=c9"""), ONCE, until="41d"),
    Told("the first friction exactly on", """
         -20d1m contact.queued    voice billing contact=c0
         -20d   contact.abandoned voice billing contact=c0""" + _gave_up("10d", "c2"), ONCE, until="41d"),
    Told("the first friction too long before", """
         -20d1m   contact.queued    voice billing contact=c0
         -20d1us  contact.abandoned voice billing contact=c0""" + _gave_up("10d", "c2"), until="41d"),
    Told("friction in the silence counts", _gave_up("0d", "c1") + """
         10d promise.made voice - due=20d""", ("at_risk error 30d..",), until="31d"),
    Told("friction at the end of the silence counts", _gave_up("0d", "c1") + """
         10d promise.made voice - due=30d""", ("at_risk error 30d..",), until="31d"),
    Told("friction after the silence does not", _gave_up("0d", "c1") + """
         10d promise.made voice - due=30d1us""", until="31d"),
    Told("what is waited and given up is no sign of the customer", _gave_up("0d", "c1") + """
         10d  contact.queued    letter delivery contact=c2
         15d  contact.abandoned letter delivery contact=c2""", ONCE, until="41d"),
    Told("a machine's answer is no sign of the customer", _and("30d message.received email - contact=c9 automatic=yes"),
         ONCE, until="41d"),
    Told("friction that was put right", _and("30d contact.started voice - contact=c9 direction=outbound\n"
         "39d23h contact.answered voice - contact=c9"), until="41d"),
    Told("friction that was put right exactly then", _and("39d contact.started voice - contact=c9 direction=outbound\n"
         "40d contact.answered voice - contact=c9"), ONCE, until="41d"),
    Told("friction that ended by itself was not put right", TWICE, ONCE, until="41d",
         rules='queue_abandoned.expires_after = "5d"'),
    Told("two at one moment", _and("10d1m page.viewed web - id=z\n10d1m page.viewed web - id=a"),
         ("at_risk error 40d1m..",), until="41d"),
    Told("a purchase is the last that was heard", _and("""
         20d purchase.made shop
         30d message.sent  email
         45d message.sent  email"""), ("at_risk error 50d..",), until="50d"),
    Told("came back, and went again", _and("45d page.viewed web") + _gave_up("50d", "c3", "billing")
         + _gave_up("51d", "c4", "delivery"),
         ("at_risk error 40d..45d came_back", "at_risk error 81d.."), until="82d"),
    Told("a microsecond before it expires", TWICE, ONCE, until="69d23h59m59s999999us"),
    Told("expired", TWICE, ("at_risk error 40d..70d expired",), until="70d"),
    Told("came back at the last moment", _and("70d page.viewed web"), ("at_risk error 40d..70d came_back",),
         until="70d"),
    Told("the customer had come", TWICE, ONCE, until="41d", late="38d page.viewed web", then=()),
    Told("one friction was none", TWICE, ONCE, until="41d",
         late="10d1m contact.abandoned letter - contact=c2 id=e4 version=1 cancelled=yes", then=()),
    Told("it was put right", TWICE, ONCE, until="41d", late="""
         38d contact.started  voice - contact=c9 direction=outbound
         39d contact.answered voice - contact=c9""", then=()),
    Told("a friction becomes known later", _gave_up("0d", "c1") + "10d page.viewed web", until="41d",
         late="10d complaint.filed email", then=("at_risk error 40d..",)),
    Told("another silence", TWICE, ("at_risk error 22d..",), until="23d", rules='at_risk.silence = "12d"'),
    Told("another silence, and friction too long before", TWICE, until="23d", rules='at_risk.silence = "9d"'),
    Told("another number", TWICE, until="41d", rules="at_risk.frictions = 3"),
    Told("otherwise for a topic", TWICE, until="41d", rules='at_risk.override = [{ topic = "delivery", frictions = 3 }]'),
    Told("otherwise for another topic", TWICE, ONCE, until="41d", rules='at_risk.override = [{ topic = "billing", frictions = 3 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every customer who was hurt and then fell silent, and no others."""
    assert play(told.text, told.until, told.rules).rows("at_risk") == list(told.expect)


def test_recorded_frictions_do_not_count() -> None:
    """What is recorded in shadow pages nobody by a detour."""
    assert play(TWICE, "41d", 'queue_abandoned.mode = "shadow"').rows("at_risk") == []


def test_strangers_are_not_at_risk() -> None:
    """Nothing is concluded where the customer is unknown: nobody would know them again."""
    text = _gave_up("0d", "c1") + "2m promise.made voice - contact=c1 due=1d"
    assert play(text, "41d").rows("at_risk") == ["at_risk error 30d.."]
    assert play(text, "41d", customer=None).rows("at_risk") == []


def test_the_frictions_are_shown() -> None:
    """An analyst sees what the customer met with, in order, and when they were last heard of."""
    data = play(TWICE, "41d").standing[-1]
    assert data["summary"] == "2 frictions that nobody put right, and then silence for 30 d"
    assert [e["role"] for e in data["evidence"]] == ["queue_abandoned", "queue_abandoned", "last"]
    assert (data["contact_id"], data["channel"]) == ("c2", "letter")


@pytest.mark.parametrize("kind", ["page.viewed", "purchase.made", "request.made", "order.placed", "survey.answered"])
def test_the_last_word_is_not_forgotten(kind: str) -> None:
    """Whatever the customer did last is remembered for as long as the silence after it counts, while the company goes on."""
    desk = play(TWICE, "10d1m")
    desk.tell(f"20d {kind} web - id=last")
    for day in range(21, 100):
        desk.tell(f"{day}d message.sent email - id=m{day}")
        desk.look(f"{day}d")
        desk.restart()
    assert desk.rows("at_risk") == ["at_risk error 50d..80d expired"]
