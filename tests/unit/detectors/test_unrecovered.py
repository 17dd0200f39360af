"""`unrecovered`: low scores and complaints after which nobody called."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

SIX = "0m survey.answered email billing score=6 scale=nps\n"
FILED = "0m complaint.filed web billing\n"
NAMED = "0m complaint.filed web billing ref=k1\n"
LATE = "unrecovered error 2d.."
HELPED = "unrecovered error 2d..2d12h followed_up"

STORIES = (
    Told("hurts", FILED, (LATE,), until="3d"),
    Told("a low score", SIX, (LATE,), until="3d"),
    Told("a score just above the limit", "0m survey.answered email billing score=6.000001 scale=nps", until="3d"),
    Told("a low csat", "0m survey.answered email billing score=2 scale=csat5", (LATE,), until="3d"),
    Told("a low ces", "0m survey.answered email billing score=3 scale=ces7", (LATE,), until="3d"),
    Told("an easy ces", "0m survey.answered email billing score=4 scale=ces7", until="3d"),
    Told("a score below its scale", "0m survey.answered email billing score=0 scale=csat5", until="3d"),
    Told("a scale that nobody knows", "0m survey.answered email billing score=1 scale=stars", until="3d"),
    Told("a score without a scale", "0m survey.answered email billing score=1", until="3d"),
    Told("a review", "0m review.posted web billing score=1 scale=nps", until="3d"),
    Told("the watermark a microsecond before", FILED, until="1d23h59m59s999999us"),
    Told("the watermark exactly there", FILED, (LATE,), until="2d"),
    Told("followed up just before", FILED + "1d23h59m59s999999us feedback.followed_up voice billing", until="3d"),
    Told("followed up exactly then", FILED + "2d feedback.followed_up voice billing", until="3d"),
    Told("followed up just after", FILED + "2d1us feedback.followed_up voice billing",
         ("unrecovered error 2d..2d1us followed_up",), until="3d"),
    Told("followed up at the same moment", FILED + "0m feedback.followed_up voice billing", until="3d"),
    Told("followed up before", FILED + "-1us feedback.followed_up voice billing", (LATE,), until="3d"),
    Told("followed up late", SIX + "2d12h feedback.followed_up voice billing", (HELPED,), until="3d"),
    Told("followed up on another topic", FILED + "1d feedback.followed_up voice delivery", (LATE,), until="3d"),
    Told("no topic is a topic", "0m complaint.filed web\n 1d feedback.followed_up voice", until="3d"),
    Told("followed up by its ref", NAMED + "1d feedback.followed_up voice - ref=k1", until="3d"),
    Told("followed up under another ref", NAMED + "1d feedback.followed_up voice billing ref=k2", (LATE,), until="3d"),
    Told("followed up without its ref", NAMED + "1d feedback.followed_up voice billing", until="3d"),
    Told("a complaint and a score, one follow-up", FILED + """
         1h survey.answered      email billing score=1 scale=nps
         1d feedback.followed_up voice billing""", ("unrecovered error 2d1h..",), until="3d"),
    Told("a complaint and a score under one ref", NAMED + """
         1h survey.answered      email billing score=1 scale=nps ref=k1
         1d feedback.followed_up voice -       ref=k1""", until="3d"),
    Told("a better score recovers nobody", SIX + "1d survey.answered email billing score=9 scale=nps", (LATE,),
         until="3d"),
    Told("a microsecond before it expires", FILED, (LATE,), until="31d23h59m59s999999us"),
    Told("expired", FILED, ("unrecovered error 2d..32d expired",), until="32d"),
    Told("followed up exactly when it expires", FILED + "32d feedback.followed_up voice billing",
         ("unrecovered error 2d..32d followed_up",), until="33d"),
    Told("a follow-up is not spent on what has expired", FILED + """
         20d    complaint.filed      web   billing
         32d1us feedback.followed_up voice billing""",
         ("unrecovered error 2d..32d expired", "unrecovered error 22d..32d1us followed_up"), until="33d"),
    Told("the follow-up comes late", FILED, (LATE,), until="3d", late="1d feedback.followed_up voice billing", then=()),
    Told("the complaint is withdrawn", FILED, (LATE,), until="3d",
         late="0m complaint.filed web billing id=e1 version=1 cancelled=yes", then=()),
    Told("the score was wrong", SIX, (LATE,), until="3d",
         late="0m survey.answered email billing id=e1 version=1 score=9 scale=nps", then=()),
    Told("another time", FILED, ("unrecovered error 1h..",), rules='unrecovered.within = "1h"'),
    Told("another limit", "0m survey.answered email billing score=7 scale=nps", (LATE,), until="3d",
         rules="unrecovered.limits.nps = 7"),
    Told("the limit of low_score is another's", SIX, (LATE,), until="3d", rules="low_score.limits.nps = 2"),
    Told("whatever the mode of low_score", SIX, (LATE,), until="3d", rules='low_score.mode = "off"'),
    Told("another time on this topic", FILED, ("unrecovered error 1h..",),
         rules='unrecovered.override = [{ topic = "billing", within = "1h" }]'),
    Told("another time on another channel", FILED,
         rules='unrecovered.override = [{ channel = "email", within = "1h" }]'),
    Told("another limit in this queue", "0m survey.answered email billing score=7 scale=nps queue=vip", (LATE,),
         until="3d", rules='unrecovered.override = [{ queue = "vip", limits.nps = 7 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees everybody who was hurt and not called in time, and nobody else."""
    assert play(told.text, told.until, told.rules).rows("unrecovered") == list(told.expect)


def test_how_long_is_told() -> None:
    """A user reads what happened to the customer, and how long they waited for a word."""
    desk = play(FILED + "2d12h feedback.followed_up voice billing", "3d")
    (friction,) = desk.standing
    assert friction["summary"] == "A complaint was followed up after 2.5 d; expected within 2d"
    assert friction["observed"]["value"] == 216_000 and friction["threshold"]["value"] == 172_800
    assert [e["role"] for e in friction["evidence"]] == ["filed", "followed_up"]
    (silent,) = play(FILED, "3d").standing
    assert silent["summary"] == "Nobody followed up a complaint; expected within 2d"
