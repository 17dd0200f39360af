"""Troubles that end in silence: `at_risk`."""

from __future__ import annotations

from schemas.times import DAY, HOUR, SECOND, format_time
from volvere.simulator.stories.tale import FOLLOW_UP, REPLY, SILENCE, Tale


def two_letters_unanswered(t: Tale) -> None:
    """And not a word since."""
    t.unanswered(0)
    c, last = t.unanswered(DAY, t.other_topic)
    t.truth("at_risk", c, t.begin + DAY + SILENCE, "Fell silent after two mails that nobody answered.", event=last)


def promised_and_unheard(t: Tale) -> None:
    """Complained about a broken promise, and left."""
    promise, due = t.loose(), t.begin + DAY
    made = promise.say(t.begin, "promise.made", ref=f"promise/{t.name}", due_at=format_time(due))
    t.truth("broken_promise", promise, due, "Was promised something that never came.", event=made)
    c = t.loose("email")
    last = c.say(due + HOUR, "complaint.filed", ref=f"complaint/{t.name}")
    t.truth("unrecovered", c, c.at + FOLLOW_UP, "Complained about it, and heard nothing.", event=last)
    t.truth("at_risk", c, c.at + SILENCE, "Fell silent after a promise and a complaint in vain.", event=last)


def newsletter_into_the_silence(t: Tale) -> None:
    """The company's own words break no silence."""
    t.unanswered(0)
    c, last = t.unanswered(DAY, t.other_topic)
    news = t.contact("email", "delivery")
    news.say(t.begin + 12 * DAY, "message.sent", direction="outbound", automatic=True)
    t.truth("at_risk", c, t.begin + DAY + SILENCE, "Two mails unanswered, and then a newsletter.", event=last)


def came_back_too_late(t: Tale) -> None:
    """Came back all the same: at risk for a day."""
    t.unanswered(0)
    c, last = t.unanswered(HOUR, t.other_topic)
    at = t.begin + HOUR + SILENCE
    t.truth("at_risk", c, at, "Two mails unanswered, and a month of silence.", event=last)
    shop = t.loose()
    shop.say(at + DAY, "purchase.made", amount="12.00", currency="EUR")


def a_month_apart(t: Tale) -> None:
    """The window is closed: its end is inside."""
    t.unanswered(0)
    c, last = t.unanswered(SILENCE + REPLY["email"], t.other_topic)
    at = t.begin + 2 * SILENCE + REPLY["email"]
    t.truth("at_risk", c, at, "Wrote exactly 30 days after an unanswered mail became one.", event=last)


def came_back_in_time(t: Tale) -> None:
    """One second before the month is over."""
    t.unanswered(0)
    c, last = t.unanswered(HOUR, t.other_topic)
    at = t.begin + HOUR + SILENCE
    t.near_miss("at_risk", c, at, "Two mails unanswered, but bought something within 30 days.", event=last)
    t.loose().say(at - SECOND, "purchase.made", amount="12.00", currency="EUR")


def one_letter_unanswered(t: Tale) -> None:
    """One trouble short."""
    c, last = t.unanswered(0)
    t.near_miss("at_risk", c, t.begin + SILENCE, "Fell silent after one mail that nobody answered.", event=last)


def answered_in_the_end(t: Tale) -> None:
    """One of the two was resolved."""
    t.unanswered(0)
    c, last = t.write(DAY, DAY, t.other_topic)
    late = t.begin + DAY + REPLY["email"]
    t.truth("slow_reply", c, late, "A mail was answered after a day.", event=last)
    t.near_miss("at_risk", c, t.begin + DAY + SILENCE, "One of two mails was answered in the end.", event=last)


def too_long_ago(t: Tale) -> None:
    """The smallest step beyond the window."""
    t.unanswered(0)
    c, last = t.unanswered(SILENCE + REPLY["email"] + 1, t.other_topic)
    at = t.begin + 2 * SILENCE + REPLY["email"] + 1
    t.near_miss("at_risk", c, at, "Wrote again a microsecond after 30 days.", event=last)


STORIES = (
    two_letters_unanswered, promised_and_unheard, newsletter_into_the_silence, came_back_too_late, a_month_apart,
    came_back_in_time, one_letter_unanswered, answered_in_the_end, too_long_ago,
)  # fmt: skip
