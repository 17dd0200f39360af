"""Troubles in writing: `slow_reply`."""

from __future__ import annotations

from schemas.times import MINUTE, SECOND
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import REPLY, Tale


def _written(t: Tale, channel: str) -> tuple[Contact, str, int]:
    """A conversation, its first message, and when a reply is too late."""
    if channel == "chat":
        c = t.answer(0, channel="chat")
        c.say(c.at + 5 * SECOND, "message.sent", agent_id=t.agent_id)
        first = c.say(c.at + 10 * SECOND, "message.received")
    else:
        c, first = t.write(0, None, channel=channel)
    return c, first, c.at + REPLY[channel]


def no_reply_in_the_chat(t: Tale) -> None:
    """The smallest step beyond the limit."""
    c, first, late = _written(t, "chat")
    t.truth("slow_reply", c, late, "The reply came one microsecond after two minutes.", event=first)
    c.say(late + 1, "message.sent", agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def only_a_machine_replied(t: Tale) -> None:
    """We value your message."""
    c, first, late = _written(t, "email")
    c.say(c.at + 2 * SECOND, "message.sent", automatic=True)
    t.truth("slow_reply", c, late, "Wrote a mail, and only a machine ever replied.", event=first)


def ignored_in_public(t: Tale) -> None:
    """Half an hour too late."""
    c, first, late = _written(t, "social")
    t.truth("slow_reply", c, late, "A public post was answered after an hour and a half.", event=first)
    c.say(late + 30 * MINUTE, "message.sent", agent_id=t.agent_id)


def asked_twice(t: Tale) -> None:
    """A turn is counted from its first message, and is one friction."""
    c, first, late = _written(t, "sms")
    second = c.say(late - 2 * MINUTE, "message.received")
    t.truth("slow_reply", c, late, "A text was answered after six minutes.", event=first)
    c.say(late + MINUTE, "message.sent", agent_id=t.agent_id)
    second_late = late - 2 * MINUTE + REPLY["sms"]
    t.near_miss("slow_reply", c, second_late, "Asked again while waiting: the same turn.", event=second)


def replied_on_the_limit(t: Tale) -> None:
    """In time, and a machine before does not spoil it."""
    c, first, late = _written(t, "email")
    c.say(c.at + 2 * SECOND, "message.sent", automatic=True)
    c.say(late, "message.sent", agent_id=t.agent_id)
    t.near_miss("slow_reply", c, late, "A mail was answered after exactly four hours.", event=first)


def replied_in_time(t: Tale) -> None:
    """One reply answers all that was written before."""
    c, first, late = _written(t, "sms")
    second = c.say(c.at + 2 * MINUTE, "message.received")
    c.say(late, "message.sent", agent_id=t.agent_id)
    t.near_miss("slow_reply", c, late, "Two texts, answered exactly five minutes after the first.", event=first)
    t.near_miss("slow_reply", c, late + 2 * MINUTE, "The second text was answered with the first.", event=second)


def thanks(t: Tale) -> None:
    """Who says thank you waits for nothing."""
    c, first, late = _written(t, "chat")
    c.say(c.at + MINUTE, "message.sent", agent_id=t.agent_id)
    c.say(c.at + SECOND, "contact.resolved", outcome="resolved")
    last = c.say(c.at + 20 * SECOND, "message.received")
    t.near_miss("slow_reply", c, late, "A chat was answered within a minute.", event=first)
    t.near_miss("slow_reply", c, c.at + REPLY["chat"], "Said thank you when all was solved.", event=last)
    c.say(c.at + 10 * MINUTE, "contact.ended", ended_by="agent")


def left_the_chat(t: Tale) -> None:
    """The customer ended it."""
    c, _, _ = _written(t, "chat")
    c.say(c.at + MINUTE, "message.sent", agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")
    last = c.say(c.at + SECOND, "message.received")
    t.near_miss("slow_reply", c, c.at + REPLY["chat"], "Wrote a last word after leaving the chat.", event=last)


STORIES = (
    no_reply_in_the_chat, only_a_machine_replied, ignored_in_public, asked_twice, replied_on_the_limit,
    replied_in_time, thanks, left_the_chat,
)  # fmt: skip
