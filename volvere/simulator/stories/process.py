"""Troubles with promises and rules: `broken_promise`, `rigid_process`."""

from __future__ import annotations

from typing import Any

from schemas.times import DAY, HOUR, MINUTE, SECOND, format_time
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import Tale


def _promise(t: Tale, at: int, due: int, **fields: Any) -> tuple[Contact, str, int]:
    """A promise made and due so long after the story's beginning; its id, and when it is due."""
    c = t.loose()
    promise = c.say(t.begin + at, "promise.made", due_at=format_time(t.begin + due), agent_id=t.agent_id, **fields)
    return c, promise, t.begin + due


def never_kept(t: Tale) -> None:
    """We will call you back."""
    c, promise, due = _promise(t, 0, DAY, ref=f"promise/{t.name}")
    t.truth("broken_promise", c, due, "Was promised a call the next day that never came.", event=promise)


def promised_on_the_phone(t: Tale) -> None:
    """A promise within a contact is still a touchpoint of its own."""
    c = t.answer(0)
    due, ref = t.begin + 5 * HOUR, f"promise/{t.name}"
    promise = c.say(c.at + MINUTE, "promise.made", ref=ref, due_at=format_time(due), agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")
    t.truth("broken_promise", c, due, "What was promised in a call was done two hours too late.", event=promise)
    t.loose().say(due + 2 * HOUR, "promise.kept", ref=ref)


def kept_too_late(t: Tale) -> None:
    """The smallest step beyond the limit."""
    ref = f"promise/{t.name}"
    c, promise, due = _promise(t, 0, DAY, ref=ref)
    t.truth("broken_promise", c, due, "A promise was kept one microsecond too late.", event=promise)
    c.say(due + 1, "promise.kept", ref=ref)


def another_one_was_kept(t: Tale) -> None:
    """Two promises are two promises."""
    c, promise, due = _promise(t, 0, DAY, ref=f"promise/{t.name}/one")
    other, kept, other_due = _promise(t, MINUTE, DAY, ref=f"promise/{t.name}/other")
    other.say(t.begin + 2 * HOUR, "promise.kept", ref=f"promise/{t.name}/other")
    t.truth("broken_promise", c, due, "Of two promises this one was not kept.", event=promise)
    t.near_miss("broken_promise", other, other_due, "Of two promises this one was kept.", event=kept)


def kept_for_another_matter(t: Tale) -> None:
    """Without a reference the topic says which promise was kept."""
    c, promise, due = _promise(t, 0, DAY)
    t.loose(topic=t.other_topic).say(t.begin + HOUR, "promise.kept")
    t.truth("broken_promise", c, due, "A promise about something else was kept.", event=promise)


def postponed(t: Tale) -> None:
    """A new date does not keep the first one."""
    ref = f"promise/{t.name}"
    c, first, due = _promise(t, 0, DAY, ref=ref)
    later, second, later_due = _promise(t, 20 * HOUR, 3 * DAY, ref=ref)
    t.truth("broken_promise", c, due, "A promise was postponed, not kept.", event=first)
    t.truth("broken_promise", later, later_due, "What was postponed was not kept either.", event=second)


def kept_at_the_last_moment(t: Tale) -> None:
    """On the limit is kept."""
    ref = f"promise/{t.name}"
    c, promise, due = _promise(t, 0, DAY, ref=ref)
    c.say(due, "promise.kept", ref=ref)
    t.near_miss("broken_promise", c, due, "A promise was kept exactly when it was due.", event=promise)


def kept_without_a_reference(t: Tale) -> None:
    """The same customer, the same matter."""
    c, promise, due = _promise(t, 0, DAY)
    t.loose().say(due - SECOND, "promise.kept")
    t.near_miss("broken_promise", c, due, "A promise was kept a second before it was due.", event=promise)


def the_date_was_a_mistake(t: Tale) -> None:
    """A version corrects an error: the first date was never promised."""
    ref = f"promise/{t.name}"
    c, promise, due = _promise(t, 0, DAY, ref=ref)
    _, wrong = t.said[-1]
    t.said.append((t.begin + HOUR, wrong | {"version": 1, "due_at": format_time(due + DAY)}))
    c.say(due + DAY, "promise.kept", ref=ref)
    t.near_miss("broken_promise", c, due, "The date was corrected, and the promise kept by it.", event=promise)


def never_promised(t: Tale) -> None:
    """What is withdrawn did not happen."""
    c, promise, due = _promise(t, 0, DAY, ref=f"promise/{t.name}")
    _, wrong = t.said[-1]
    t.said.append((t.begin + HOUR, wrong | {"version": 1, "cancelled": True}))
    t.near_miss("broken_promise", c, due, "A promise was noted by mistake, and withdrawn.", event=promise)


def not_possible(t: Tale) -> None:
    """The rules are the rules."""
    c, ref = t.loose(), f"request/{t.name}"
    c.say(t.begin, "request.made", ref=ref)
    denial = c.say(c.at + HOUR, "request.denied", ref=ref, reason="policy")
    t.truth("rigid_process", c, c.at, "A request was denied because of a policy.", event=denial)


def possible_after_all(t: Tale) -> None:
    """What could be granted could have been granted at once."""
    c, ref = t.answer(0), f"request/{t.name}"
    c.say(c.at + MINUTE, "request.made", ref=ref)
    denial = c.say(c.at + MINUTE, "request.denied", ref=ref, reason="policy", agent_id=t.agent_id)
    t.truth("rigid_process", c, c.at, "A policy stood in the way for a minute.", event=denial)
    c.say(c.at + MINUTE, "request.granted", ref=ref, agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def denied_without_a_reason(t: Tale) -> None:
    """Nobody says that it was a policy."""
    c, ref = t.loose(), f"request/{t.name}"
    c.say(t.begin, "request.made", ref=ref)
    denial = c.say(c.at + HOUR, "request.denied", ref=ref)
    t.near_miss("rigid_process", c, c.at, "A request was denied, and nothing says why.", event=denial)


def denied_for_a_good_reason(t: Tale) -> None:
    """Not every no is a rule's."""
    c, ref = t.loose(), f"request/{t.name}"
    c.say(t.begin, "request.made", ref=ref)
    denial = c.say(c.at + HOUR, "request.denied", ref=ref, reason="fraud")
    t.near_miss("rigid_process", c, c.at, "A request was denied because it was somebody else's.", event=denial)


def _asked(
    t: Tale, kind: str, *times: int, elements: tuple[str, ...] = ("account number",)
) -> tuple[Contact, list[str]]:
    """The customer is asked at each of these times; the ids of the askings."""
    c = t.loose()
    return c, [c.say(t.begin + at, kind, element=elements[n % len(elements)]) for n, at in enumerate(times)]


def who_are_you(t: Tale) -> None:
    """Three agents, one question."""
    c = t.answer(0)
    c.say(c.at + 10 * SECOND, "identity.verified", element="date of birth")
    c.say(c.at + MINUTE, "contact.transferred", queue="second line")
    c.say(c.at + MINUTE, "identity.verified", element="date of birth")
    c.say(c.at + MINUTE, "contact.transferred", queue="third line")
    third = c.say(c.at + MINUTE, "identity.verified", element="date of birth")
    t.truth("rigid_process", c, c.at, "Had to give the date of birth three times in one call.", event=third)
    fourth = c.say(c.at + MINUTE, "identity.verified", element="date of birth")
    t.near_miss("rigid_process", c, c.at, "A fourth time: the third was one too many already.", event=fourth)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def asked_for_a_week(t: Tale) -> None:
    """The window is closed: its end is inside."""
    c, asked = _asked(t, "information.requested", 0, 3 * DAY, 7 * DAY)
    t.truth("rigid_process", c, c.at, "Was asked a third time exactly seven days after the first.", event=asked[2])


def asked_too_slowly(t: Tale) -> None:
    """The smallest step beyond the window."""
    c, asked = _asked(t, "information.requested", 0, 3 * DAY, 7 * DAY + 1)
    t.near_miss("rigid_process", c, c.at, "Was asked a third time a microsecond after seven days.", event=asked[2])


def asked_twice_only(t: Tale) -> None:
    """One question short."""
    c, asked = _asked(t, "identity.verified", 0, HOUR)
    t.near_miss("rigid_process", c, c.at, "Was asked for the same thing twice.", event=asked[1])


def asked_for_other_things(t: Tale) -> None:
    """Two questions, each asked twice."""
    c, asked = _asked(t, "information.requested", 0, HOUR, DAY, 2 * DAY, elements=("account number", "address"))
    t.near_miss("rigid_process", c, t.begin + DAY, "The third question, but another one.", event=asked[2])
    t.near_miss("rigid_process", c, c.at, "Two questions, each asked twice.", event=asked[3])


def asked_in_another_journey(t: Tale) -> None:
    """Two journeys are two journeys, and their ids say so."""
    c, what = t.loose(), {"element": "address"}
    c.say(t.begin, "information.requested", **what, journey_id=f"{t.name}/one")
    c.say(c.at + HOUR, "information.requested", **what, journey_id=f"{t.name}/one")
    third = c.say(c.at + DAY, "information.requested", **what, journey_id=f"{t.name}/two")
    t.near_miss("rigid_process", c, c.at, "The third time belonged to another journey.", event=third)


STORIES = (
    never_kept, promised_on_the_phone, kept_too_late, another_one_was_kept, kept_for_another_matter, postponed,
    kept_at_the_last_moment, kept_without_a_reference, the_date_was_a_mistake, never_promised,
    not_possible, possible_after_all, denied_without_a_reason, denied_for_a_good_reason,
    who_are_you, asked_for_a_week, asked_too_slowly, asked_twice_only, asked_for_other_things,
    asked_in_another_journey,
)  # fmt: skip
