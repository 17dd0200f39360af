"""Troubles on the phone and in queues, and with doors that are closed."""

from __future__ import annotations

from typing import Any

from schemas.times import DAY, MINUTE, SECOND
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import MILLISECOND, Tale

SHORT_ABANDON = 5 * SECOND
LONG_WAIT = 120 * SECOND


def line_went_dead(t: Tale) -> None:
    """A temporary failure of the network (Q.850 cause 41)."""
    c = t.answer(0)
    c.say(c.at + 2 * MINUTE, "contact.ended", ended_by="network", reason_code="41")
    t.truth("dropped_call", c, c.at, "The network dropped the call after two minutes.")


def cut_off_and_called_again(t: Tale) -> None:
    """What dropped calls lead to."""
    c = t.answer(0)
    c.say(c.at + MINUTE, "contact.ended", ended_by="system")
    t.truth("dropped_call", c, c.at, "The telephone system cut the call off.")
    again = c.at + 5 * MINUTE - t.begin
    t.repeat(t.call(again), again, "Had to call again five minutes after being cut off.")


def cleared_normally(t: Tale) -> None:
    """Q.850 cause 16: normal call clearing."""
    c = t.answer(0)
    c.say(c.at + 2 * MINUTE, "contact.ended", ended_by="network", reason_code="16")
    t.near_miss("dropped_call", c, c.at, "The network reports the end of the call, as a normal clearing (cause 16).")


def dropped_before_the_answer(t: Tale) -> None:
    """Nobody had answered yet."""
    c = t.give_up(0, 3 * SECOND, ended_by="network", reason_code="41")
    t.near_miss("dropped_call", c, c.at, "The network dropped the call before anybody answered.")


def chat_timed_out(t: Tale) -> None:
    """A chat is no call."""
    c = t.answer(0, channel="chat")
    c.say(c.at + 10 * MINUTE, "contact.ended", ended_by="system")
    t.near_miss("dropped_call", c, c.at, "The system closed an idle chat.")


def customer_hung_up(t: Tale) -> None:
    """How most calls end."""
    c = t.call(0)
    t.near_miss("dropped_call", c, c.at, "The customer hung up at the end of the call.")


def _hung_up_on(t: Tale, talk: int, **fields: Any) -> Contact:
    c = t.answer(0, **fields)
    c.say(c.at + talk, "contact.ended", ended_by="agent", handle_ms=talk // MILLISECOND)
    return c


def hung_up_on(t: Tale) -> None:
    """Protects the average handle time."""
    c = _hung_up_on(t, 6 * SECOND)
    t.truth("agent_disconnect", c, c.at, "The agent hung up after six seconds.")


def hung_up_on_and_called_again(t: Tale) -> None:
    """The smallest step below the limit."""
    c = _hung_up_on(t, 10 * SECOND - 1)
    t.truth("agent_disconnect", c, c.at, "The agent hung up one microsecond before ten seconds.")
    again = c.at + 20 * MINUTE - t.begin
    t.repeat(t.call(again), again, "Had to call again twenty minutes after the agent hung up.")


def ten_seconds_of_talk(t: Tale) -> None:
    """On the limit is long enough."""
    c = _hung_up_on(t, 10 * SECOND)
    t.near_miss("agent_disconnect", c, c.at, "The agent ended the call after exactly ten seconds.")


def transferred(t: Tale) -> None:
    """The call went on elsewhere."""
    c = t.answer(0)
    c.say(c.at + 4 * SECOND, "contact.transferred", queue=t.other_topic)
    c.say(c.at + 3 * SECOND, "contact.ended", ended_by="agent", handle_ms=7000)
    t.near_miss("agent_disconnect", c, c.at, "The agent transferred the call and left it after seven seconds.")


def solved_quickly(t: Tale) -> None:
    """Short can be good."""
    c = t.answer(0)
    c.say(c.at + 7 * SECOND, "contact.resolved", outcome="resolved")
    c.say(c.at + SECOND, "contact.ended", ended_by="agent", handle_ms=8000)
    t.near_miss("agent_disconnect", c, c.at, "The agent solved it in eight seconds.")


def wrong_number(t: Tale) -> None:
    """Not the agent's doing."""
    c = t.answer(0)
    c.say(c.at + 3 * SECOND, "contact.ended", ended_by="customer", handle_ms=3000)
    t.near_miss("agent_disconnect", c, c.at, "The customer hung up after three seconds.")


def chat_closed_by_the_agent(t: Tale) -> None:
    """A chat is no call."""
    c = _hung_up_on(t, 5 * SECOND, channel="chat")
    t.near_miss("agent_disconnect", c, c.at, "The agent closed a chat after five seconds.")


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


def _pass_on(t: Tale, c: Contact, queue: str, agent: str) -> int:
    """Transfer a call to a queue, where somebody answers; when it was transferred."""
    moved = c.at + MINUTE
    c.say(moved, "contact.transferred", queue=queue)
    c.say(moved + 30 * SECOND, "contact.answered", queue=queue, agent_id=f"{t.agent_id}/{agent}")
    return moved


def passed_around(t: Tale) -> None:
    """Everybody is responsible for something else."""
    c = t.answer(0)
    _pass_on(t, c, "second line", "two")
    _pass_on(t, c, "third line", "three")
    third = _pass_on(t, c, "fourth line", "four")
    t.truth("transfer_loop", c, third, "Was transferred three times in one call.")
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def sent_back(t: Tale) -> None:
    """In a circle."""
    c = t.answer(0)
    _pass_on(t, c, "second line", "two")
    back = _pass_on(t, c, t.topic, "three")
    t.truth("transfer_loop", c, back, "Was sent back to the queue that the call came from.")
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def back_at_the_same_agent(t: Tale) -> None:
    """Have we not spoken before?"""
    c = t.answer(0)
    _pass_on(t, c, "second line", "two")
    c.say(c.at + MINUTE, "contact.transferred", queue="third line")
    c.say(c.at + 30 * SECOND, "contact.answered", queue="third line", agent_id=t.agent_id)
    t.truth("transfer_loop", c, c.at, "After two transfers the first agent answered again.")
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def transferred_twice(t: Tale) -> None:
    """One transfer short."""
    c = t.answer(0)
    _pass_on(t, c, "second line", "two")
    second = _pass_on(t, c, "third line", "three")
    t.near_miss("transfer_loop", c, second, "Was transferred twice, each time to somebody new.")
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def two_transfers_a_call(t: Tale) -> None:
    """Every call is counted for itself."""
    for at, topic in ((0, t.topic), (DAY, t.other_topic)):
        c = t.answer(at, topic=topic)
        _pass_on(t, c, "second line", "two")
        second = _pass_on(t, c, "third line", "three")
        t.near_miss("transfer_loop", c, second, "Two calls about two matters, with two transfers each.")
        c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def the_same_queue_said_often(t: Tale) -> None:
    """Who stays has not come back: equal neighbours collapse."""
    c = t.answer(0)
    c.say(c.at + MINUTE, "contact.held", queue=t.topic, agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.transferred", queue="second line")
    c.say(c.at + SECOND, "contact.queued", queue="second line")
    c.say(c.at + 30 * SECOND, "contact.answered", queue="second line", agent_id=f"{t.agent_id}/two")
    t.near_miss("transfer_loop", c, c.at, "One transfer, and every touchpoint names its queue and agent.")
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer", queue="second line", agent_id=f"{t.agent_id}/two")


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
    line_went_dead, cut_off_and_called_again, cleared_normally, dropped_before_the_answer, chat_timed_out,
    customer_hung_up,
    hung_up_on, hung_up_on_and_called_again, ten_seconds_of_talk, transferred, solved_quickly, wrong_number,
    chat_closed_by_the_agent,
    gave_up, gave_up_twice, gave_up_just_after, short_abandon, callback_accepted, left_the_menu,
    waited_three_minutes, waited_for_a_chat, waited_and_gave_up, waited_two_minutes, gave_up_before_it_was_long,
    waited_for_a_text,
    passed_around, sent_back, back_at_the_same_agent, transferred_twice, two_transfers_a_call,
    the_same_queue_said_often,
    the_door_is_closed, refused_in_public, refused_for_another_reason, refused_without_a_reason,
)  # fmt: skip
