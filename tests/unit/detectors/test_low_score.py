"""`low_score`: scores of detractors, on scales that are known, until somebody follows up or the next is better."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

SIX = "0m survey.answered email billing score=6 scale=nps\n"
NAMED = "0m survey.answered email billing score=6 scale=nps ref=s1\n"
LOW = "low_score warning 0m.."
FOLLOWED = "low_score warning 0m..1h followed_up"


def _answer(score: float, scale: str) -> str:
    return f"0m survey.answered email billing score={score} scale={scale}"


STORIES = (
    Told("hurts", SIX, (LOW,)),
    Told("nps just above the limit", _answer(6.000001, "nps")),
    Told("nps of a passive", _answer(7, "nps")),
    Told("nps of a promoter", _answer(10, "nps")),
    Told("nps exactly at an error", _answer(3, "nps"), ("low_score error 0m..",)),
    Told("nps just above an error", _answer(3.000001, "nps"), (LOW,)),
    Told("nps of nothing", _answer(0, "nps"), ("low_score error 0m..",)),
    Told("nps below its scale", _answer(-1, "nps")),
    Told("csat exactly on", _answer(2, "csat5"), (LOW,)),
    Told("csat just above", _answer(2.000001, "csat5")),
    Told("csat at its worst", _answer(1, "csat5"), (LOW,)),
    Told("csat below its scale", _answer(0, "csat5")),
    Told("ces exactly on", _answer(3, "ces7"), (LOW,)),
    Told("ces just above", _answer(3.000001, "ces7")),
    Told("ces below its scale", _answer(0, "ces7")),
    Told("a scale that nobody knows", _answer(1, "stars")),
    Told("a score without a scale", "0m survey.answered email billing score=1"),
    Told("a scale without a score", "0m survey.answered email billing scale=nps"),
    Told("an answer without either", "0m survey.answered email billing"),
    Told("a review is no survey", "0m review.posted web billing score=1 scale=nps"),
    Told("a complaint is no score", "0m complaint.filed web billing"),
    Told("followed up on the topic", SIX + "1h feedback.followed_up voice billing", (FOLLOWED,)),
    Told("followed up at the same moment", SIX + "0m feedback.followed_up voice billing",
         ("low_score warning 0m..0m followed_up",)),
    Told("followed up before", SIX + "-1us feedback.followed_up voice billing", (LOW,)),
    Told("followed up on another topic", SIX + "1h feedback.followed_up voice delivery", (LOW,)),
    Told("followed up by its ref", NAMED + "1h feedback.followed_up voice - ref=s1", (FOLLOWED,)),
    Told("followed up under another ref", NAMED + "1h feedback.followed_up voice billing ref=s2", (LOW,)),
    Told("followed up without its ref", NAMED + "1h feedback.followed_up voice billing", (FOLLOWED,)),
    Told("two scores, one follow-up", SIX + """
         30m survey.answered      email billing score=5 scale=nps
         1h  feedback.followed_up voice billing""", (FOLLOWED, "low_score warning 30m..")),
    Told("two scores under one ref", NAMED + """
         30m survey.answered      email billing score=1 scale=csat5 ref=s1
         1h  feedback.followed_up voice billing ref=s1""",
         (FOLLOWED, "low_score warning 30m..1h followed_up")),
    Told("the follow-up was for the complaint before", """
         -1h complaint.filed web billing""" + "\n" + SIX + "1h feedback.followed_up voice billing", (LOW,)),
    Told("a good score before needs no follow-up", """
         -1h survey.answered email billing score=9 scale=nps""" + "\n" + SIX
         + "1h feedback.followed_up voice billing", (FOLLOWED,)),
    Told("scored better", SIX + "1h survey.answered email - score=7 scale=nps",
         ("low_score warning 0m..1h scored_better",)),
    Told("scored no better", SIX + "1h survey.answered email billing score=6 scale=nps",
         (LOW, "low_score warning 1h..")),
    Told("scored better at the same moment", SIX + "0m survey.answered email billing score=9 scale=nps", (LOW,)),
    Told("scored better before", SIX + "-1h survey.answered email billing score=9 scale=nps", (LOW,)),
    Told("scored better on another scale", SIX + "1h survey.answered email billing score=7 scale=ces7", (LOW,)),
    Told("scored beyond the scale", SIX + "1h survey.answered email billing score=11 scale=nps", (LOW,)),
    Told("followed up, then scored better", SIX + """
         1h  feedback.followed_up voice billing
         90m survey.answered      email billing score=9 scale=nps""", (FOLLOWED,)),
    Told("scored better, then followed up", SIX + """
         30m survey.answered      email billing score=9 scale=nps
         1h  feedback.followed_up voice billing""", ("low_score warning 0m..30m scored_better",)),
    Told("a microsecond before it expires", SIX, (LOW,), until="29d23h59m59s999999us"),
    Told("expired", SIX, ("low_score warning 0m..30d expired",), until="30d"),
    Told("followed up exactly when it expires", SIX + "30d feedback.followed_up voice billing",
         ("low_score warning 0m..30d followed_up",), until="31d"),
    Told("a follow-up is not spent on what has expired", SIX + """
         20d    survey.answered      email billing score=5 scale=nps
         30d1us feedback.followed_up voice billing""",
         ("low_score warning 0m..30d expired", "low_score warning 20d..30d1us followed_up"), until="31d"),
    Told("the answer is withdrawn", SIX, (LOW,),
         late="0m survey.answered email billing id=e1 version=1 score=6 scale=nps cancelled=yes", then=()),
    Told("the score was wrong", SIX, (LOW,),
         late="0m survey.answered email billing id=e1 version=1 score=9 scale=nps", then=()),
    Told("the score was even lower", SIX, (LOW,),
         late="0m survey.answered email billing id=e1 version=1 score=2 scale=nps", then=("low_score error 0m..",)),
    Told("the follow-up comes late", SIX, (LOW,), late="1h feedback.followed_up voice billing", then=(FOLLOWED,)),
    Told("an earlier complaint comes late", SIX + "1h feedback.followed_up voice billing", (FOLLOWED,),
         late="-1h complaint.filed web billing", then=(LOW,)),
    Told("another limit", _answer(7, "nps"), (LOW,), rules="low_score.limits.nps = 7"),
    Told("another error", SIX, ("low_score error 0m..",), rules="low_score.error.nps = 6"),
    Told("an error on another scale", _answer(1, "csat5"), ("low_score error 0m..",),
         rules="low_score.error.csat5 = 1"),
    Told("a scale of one's own", _answer(1, "stars"), (LOW,), rules="low_score.limits.stars = 2"),
    Told("another limit on this topic", _answer(7, "nps"), (LOW,),
         rules='low_score.override = [{ topic = "billing", limits.nps = 7 }]'),
    Told("another limit in another queue", _answer(7, "nps"),
         rules='low_score.override = [{ queue = "vip", limits.nps = 7 }]'),
    Told("better by the limit that was crossed", _answer(7, "nps") + "\n1h survey.answered email - score=8 scale=nps",
         (LOW,), rules='low_score.override = [{ topic = "billing", limits.nps = 8 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every score of a detractor, and no others."""
    assert play(told.text, told.until, told.rules).rows("low_score") == list(told.expect)


def test_the_score_is_told() -> None:
    """A user reads the score as it was given, its scale, and the limit that it crossed."""
    (friction,) = play("0m survey.answered email billing score=2 scale=nps").standing
    assert friction["summary"] == "Scored 2 on nps; 6 or less is low"
    assert (friction["observed"]["value"], friction["observed"]["unit"]) == (2, "nps")
    assert friction["threshold"]["value"] == 3


def test_a_better_score_on_no_topic() -> None:
    """Where limits differ by topic, the later score is judged by the limit of the low one."""
    told = "0m survey.answered email billing score=7 scale=nps\n 1h survey.answered email - score=9 scale=nps"
    desk = play(told, rules='low_score.override = [{ topic = "billing", limits.nps = 8 }]')
    assert desk.rows("low_score") == ["low_score warning 0m..1h scored_better"]
