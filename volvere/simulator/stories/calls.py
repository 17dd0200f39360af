"""Troubles in calls: `dropped_call`, `agent_disconnect`, `transfer_loop`."""

from __future__ import annotations

from typing import Any

from schemas.times import DAY, MINUTE, SECOND
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import MILLISECOND, Tale


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


STORIES = (
    line_went_dead, cut_off_and_called_again, cleared_normally, dropped_before_the_answer, chat_timed_out,
    customer_hung_up,
    hung_up_on, hung_up_on_and_called_again, ten_seconds_of_talk, transferred, solved_quickly, wrong_number,
    chat_closed_by_the_agent,
    passed_around, sent_back, back_at_the_same_agent, transferred_twice, two_transfers_a_call,
    the_same_queue_said_often,
)  # fmt: skip
