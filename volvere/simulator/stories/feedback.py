"""Troubles that customers told the company about: `low_score`, `unrecovered`."""

from __future__ import annotations

from schemas.times import DAY, HOUR
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import FOLLOW_UP, Tale

SCALES = {"nps": "NPS", "csat5": "CSAT", "ces7": "CES"}


def _answer(t: Tale, scale: str, score: int, at: int = 0, topic: str | None = None) -> tuple[Contact, str, str]:
    """A survey that is answered a little later; the answer, and the survey's reference."""
    c = t.loose("email", topic)
    ref = f"survey/{t.name}/{at}"
    c.say(t.begin + at, "survey.sent", ref=ref)
    answer = c.say(c.at + HOUR, "survey.answered", ref=ref, scale=scale, score=score)
    return c, answer, ref


def _low(t: Tale, scale: str, score: int, follow_up: int | None) -> None:
    """A low score, followed up so long afterwards, or never."""
    c, answer, ref = _answer(t, scale, score)
    at = c.at
    t.truth("low_score", c, at, f"Answered {score} on the scale of {SCALES[scale]}.", event=answer)
    if follow_up is not None:
        c.say(at + follow_up, "feedback.followed_up", ref=ref)
    if follow_up is None or follow_up > FOLLOW_UP:
        t.truth("unrecovered", c, at + FOLLOW_UP, "Nobody called about a low score in time.", event=answer)
    else:
        t.near_miss("unrecovered", c, at + FOLLOW_UP, "A low score was followed up in time.", event=answer)


def detractor(t: Tale) -> None:
    """The best of the detractors, and the last moment."""
    _low(t, "nps", 6, FOLLOW_UP)


def furious(t: Tale) -> None:
    """Zero, and silence."""
    _low(t, "nps", 0, None)


def dissatisfied(t: Tale) -> None:
    """Two of five, and somebody called."""
    _low(t, "csat5", 2, 3 * HOUR)


def hard_work(t: Tale) -> None:
    """Three of seven, where seven is easy; the call came a microsecond too late."""
    _low(t, "ces7", 3, FOLLOW_UP + 1)


def anonymous(t: Tale) -> None:
    """Nobody knows who answered, so nobody can call."""
    t.customer_id = None
    c = t.loose("email")
    answer = c.say(t.begin, "survey.answered", scale="nps", score=3)
    t.truth("low_score", c, c.at, "Somebody unknown answered 3 on the scale of NPS.", event=answer)
    t.truth("unrecovered", c, c.at + FOLLOW_UP, "Nobody could call somebody unknown.", event=answer)


def better_the_next_time(t: Tale) -> None:
    """A later score above the limit ends what the first one told."""
    _low(t, "csat5", 1, HOUR)
    c, answer, _ = _answer(t, "csat5", 5, 2 * DAY)
    t.near_miss("low_score", c, c.at, "Was satisfied the next time.", event=answer)


def _enough(t: Tale, scale: str, score: int) -> None:
    """A score just above the limit is neither low nor to be followed up."""
    c, answer, _ = _answer(t, scale, score)
    told = f"Answered {score} on the scale of {SCALES[scale]}, just above the limit."
    t.near_miss("low_score", c, c.at, told, event=answer)
    t.near_miss("unrecovered", c, c.at + FOLLOW_UP, told, event=answer)


def passive(t: Tale) -> None:
    """Seven is no detractor."""
    _enough(t, "nps", 7)


def neither_good_nor_bad(t: Tale) -> None:
    """Three of five."""
    _enough(t, "csat5", 3)


def neither_easy_nor_hard(t: Tale) -> None:
    """Four of seven."""
    _enough(t, "ces7", 4)


def _complaint(t: Tale, at: int = 0, ref: str | None = None) -> tuple[Contact, str]:
    c = t.loose("email")
    return c, c.say(t.begin + at, "complaint.filed", ref=ref)


def unheard(t: Tale) -> None:
    """Your opinion matters to us."""
    c, complaint = _complaint(t, ref=f"complaint/{t.name}")
    t.truth("unrecovered", c, c.at + FOLLOW_UP, "Complained, and heard nothing.", event=complaint)


def heard_too_late(t: Tale) -> None:
    """The smallest step beyond the limit."""
    ref = f"complaint/{t.name}"
    c, complaint = _complaint(t, ref=ref)
    t.truth("unrecovered", c, c.at + FOLLOW_UP, "Was called a microsecond after 48 hours.", event=complaint)
    c.say(c.at + FOLLOW_UP + 1, "feedback.followed_up", ref=ref)


def the_other_complaint_was_heard(t: Tale) -> None:
    """Two complaints are two complaints."""
    c, complaint = _complaint(t, 0, f"complaint/{t.name}/one")
    t.truth("unrecovered", c, c.at + FOLLOW_UP, "Of two complaints this one was not heard.", event=complaint)
    c, complaint = _complaint(t, HOUR, f"complaint/{t.name}/other")
    t.near_miss("unrecovered", c, c.at + FOLLOW_UP, "Of two complaints this one was heard.", event=complaint)
    c.say(c.at + HOUR, "feedback.followed_up", ref=f"complaint/{t.name}/other")


def one_answer_to_two_complaints(t: Tale) -> None:
    """Without references the earliest is the one that was heard."""
    c, complaint = _complaint(t)
    t.near_miss("unrecovered", c, c.at + FOLLOW_UP, "The earlier of two complaints was heard.", event=complaint)
    c, complaint = _complaint(t, HOUR)
    t.truth("unrecovered", c, c.at + FOLLOW_UP, "The later of two complaints was not heard.", event=complaint)
    t.loose("email").say(c.at + HOUR, "feedback.followed_up")


def heard_in_time(t: Tale) -> None:
    """On the limit is in time."""
    ref = f"complaint/{t.name}"
    c, complaint = _complaint(t, ref=ref)
    t.near_miss("unrecovered", c, c.at + FOLLOW_UP, "Was called exactly 48 hours later.", event=complaint)
    c.say(c.at + FOLLOW_UP, "feedback.followed_up", ref=ref)


STORIES = (
    detractor, furious, dissatisfied, hard_work, anonymous, better_the_next_time, passive,
    neither_good_nor_bad, neither_easy_nor_hard,
    unheard, heard_too_late, the_other_complaint_was_heard, one_answer_to_two_complaints, heard_in_time,
)  # fmt: skip
