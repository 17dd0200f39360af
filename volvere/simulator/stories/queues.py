"""Troubles at the door: `queue_abandoned`, `long_wait`, `closed_door`."""

from __future__ import annotations

from schemas.times import MINUTE, SECOND
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import MILLISECOND, Tale

SHORT_ABANDON = 5 * SECOND
LONG_WAIT = 120 * SECOND


def gave_up(t: Tale) -> None:
    """Nobody came."""
    c = t.give_up(0, 95 * SECOND)
    t.truth("queue_abandoned", c, c.at, "Gave up after a minute and a half in the queue.")


def gave_up_twice(t: Tale) -> None:
    """Tried again, in vain."""
    c = t.give_up(0, 40 * SECOND)
    t.truth("queue_abandoned", c, c.at, "Gave up after 40 seconds in the queue.")
    again = t.give_up(30 * MINUTE, 70 * SECOND)
    t.truth("queue_abandoned", again, again.at, "Gave up a second time half an hour later.")
    t.repeat(again, 30 * MINUTE, "Called again half an hour after giving up.")


def gave_up_just_after(t: Tale) -> None:
    """The smallest step that is reported beyond a short abandon."""
    c = t.give_up(0, SHORT_ABANDON + MILLISECOND)
    t.truth("queue_abandoned", c, c.at, "Gave up one millisecond after five seconds in the queue.")


def short_abandon(t: Tale) -> None:
    """On the limit still counts as a mistake of the caller."""
    c = t.give_up(0, SHORT_ABANDON)
    t.near_miss("queue_abandoned", c, c.at, "Hung up after exactly five seconds in the queue.")


def callback_accepted(t: Tale) -> None:
    """Left the queue, not the company."""
    c = t.give_up(0, 90 * SECOND, reason="callback_accepted")
    t.near_miss("queue_abandoned", c, c.at, "Left the queue because a call-back was offered.")


def left_the_menu(t: Tale) -> None:
    """Never queued."""
    c = t.contact("voice")
    c.say(t.begin, "contact.started")
    c.say(c.at + 30 * SECOND, "contact.abandoned")
    t.near_miss("queue_abandoned", c, c.at, "Hung up in the menu, without having queued.")


def _waited(t: Tale, wait: int, channel: str = "voice") -> tuple[Contact, int]:
    """An answered contact, and when the wait became too long."""
    c = t.answer(0, wait, channel)
    late = c.at - wait + LONG_WAIT
    c.say(c.at + 5 * MINUTE, "contact.ended", ended_by="customer", handle_ms=300_000)
    return c, late


def waited_three_minutes(t: Tale) -> None:
    """Music."""
    t.truth("long_wait", *_waited(t, 180 * SECOND), "Waited three minutes for an answer.")


def waited_for_a_chat(t: Tale) -> None:
    """The smallest step that is reported beyond the limit."""
    c, late = _waited(t, LONG_WAIT + MILLISECOND, "chat")
    t.truth("long_wait", c, late, "Waited one millisecond more than two minutes for a chat.")


def waited_and_gave_up(t: Tale) -> None:
    """Two frictions of one contact."""
    c = t.give_up(0, 240 * SECOND)
    t.truth("long_wait", c, c.at - 240 * SECOND + LONG_WAIT, "Waited four minutes for nobody.")
    t.truth("queue_abandoned", c, c.at, "Gave up after four minutes in the queue.")


def waited_two_minutes(t: Tale) -> None:
    """The limit itself is not too long."""
    t.near_miss("long_wait", *_waited(t, LONG_WAIT), "Was answered after exactly two minutes.")


def gave_up_before_it_was_long(t: Tale) -> None:
    """No wait was too long, and yet nobody came."""
    c = t.give_up(0, 119 * SECOND)
    t.near_miss("long_wait", c, c.at, "Gave up one second before the wait became too long.")
    t.truth("queue_abandoned", c, c.at, "Gave up after 119 seconds in the queue.")


def waited_for_a_text(t: Tale) -> None:
    """No limit is set for waiting there."""
    t.near_miss("long_wait", *_waited(t, 10 * MINUTE, "sms"), "Waited ten minutes on a channel without a limit.")


def the_door_is_closed(t: Tale) -> None:
    """The channel was switched off, and the customer is on the phone instead."""
    c = t.contact("chat")
    c.say(t.begin, "contact.started")
    c.say(c.at + SECOND, "contact.refused", reason="channel_closed")
    t.truth("closed_door", c, c.at, "Wanted to chat, but the chat had been switched off.")
    t.repeat(t.call(10 * MINUTE), 10 * MINUTE, "Had to call, because the chat was closed.")


def refused_in_public(t: Tale) -> None:
    """A refusal is all that is known of it."""
    c = t.loose("social")
    refused = c.say(t.begin, "contact.refused", reason="channel_closed")
    t.truth("closed_door", c, c.at, "Wrote to an account that the company has given up.", event=refused)


def refused_for_another_reason(t: Tale) -> None:
    """Full is not closed."""
    c = t.contact("chat")
    c.say(t.begin, "contact.started")
    c.say(c.at + SECOND, "contact.refused", reason="capacity")
    t.near_miss("closed_door", c, c.at, "All the chat's agents were busy.")


def refused_without_a_reason(t: Tale) -> None:
    """Nobody says why."""
    c = t.contact("voice")
    c.say(t.begin, "contact.refused")
    t.near_miss("closed_door", c, c.at, "The call was refused, and nothing says why.")


STORIES = (
    gave_up, gave_up_twice, gave_up_just_after, short_abandon, callback_accepted, left_the_menu,
    waited_three_minutes, waited_for_a_chat, waited_and_gave_up, waited_two_minutes, gave_up_before_it_was_long,
    waited_for_a_text,
    the_door_is_closed, refused_in_public, refused_for_another_reason, refused_without_a_reason,
)  # fmt: skip
