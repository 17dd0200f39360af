"""Planted stories: troubles that must be found, and near misses that must not.

A story is a function that tells it, from its beginning at 0, to a `Tale`; the table is at the end of
the file. Limits are those of the default rules, read to the letter: on a limit is still fine, the
smallest step beyond is not. A customer lives through one story only, so nothing else can make it
true or false.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from schemas.friction import friction_id
from schemas.times import DAY, HOUR, MINUTE, SECOND
from schemas.touchpoint import subject_of
from volvere.simulator.contact import TOPICS, Contact, Said

MILLISECOND = 1000
MENU = 8 * SECOND
"""How long a caller listens to the menu before the queue."""
SHORT_ABANDON = 5 * SECOND
LONG_WAIT = 120 * SECOND
REPLY = {"chat": 2 * MINUTE, "sms": 5 * MINUTE, "social": HOUR, "email": 4 * HOUR}


@dataclass(frozen=True, slots=True)
class Planted:
    """One truth: this friction must be found; or, for a near miss, must not.

    `at`: when it opens, or would if it were one (microseconds).
    """

    kind: str
    friction_id: UUID
    customer_id: str | None
    contact_id: str
    at: int
    near_miss: bool
    story: str


@dataclass
class Tale:
    """One telling of a story: whose it is, when it begins, what was said, and what is true of it."""

    name: str
    customer_id: str | None
    begin: int
    topic: str
    other_topic: str
    agent_id: str
    said: list[Said] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)

    def contact(self, channel: str, topic: str | None = None) -> Contact:
        """A new contact, about the story's topic if none is given."""
        name = f"{self.name}-{len({t['contact_id'] for _, t in self.said})}"
        return Contact(self.said, channel, name, self.customer_id, topic or self.topic)

    def queue(self, at: int, channel: str = "voice", topic: str | None = None, **fields: Any) -> Contact:
        """A contact that begins at `at` after the story's beginning, and queues."""
        c = self.contact(channel, topic)
        c.say(self.begin + at, "contact.started", **fields)
        c.say(c.at + MENU, "contact.queued", queue=c.topic, **fields)
        return c

    def answer(
        self, at: int, wait: int = 20 * SECOND, channel: str = "voice", topic: str | None = None, **fields: Any
    ) -> Contact:
        """The same, answered after waiting in the queue."""
        c = self.queue(at, channel, topic, **fields)
        c.say(c.at + wait, "contact.answered", wait_ms=wait // MILLISECOND, agent_id=self.agent_id, **fields)
        return c

    def call(self, at: int, topic: str | None = None, **fields: Any) -> Contact:
        """A phone call without trouble; the customer hangs up after three minutes."""
        c = self.answer(at, topic=topic, **fields)
        c.say(c.at + 3 * MINUTE, "contact.ended", ended_by="customer", handle_ms=180_000, **fields)
        return c

    def give_up(self, at: int, wait: int, **fields: Any) -> Contact:
        """A phone call that the customer gives up in the queue."""
        c = self.queue(at)
        c.say(c.at + wait, "contact.abandoned", wait_ms=wait // MILLISECOND, **fields)
        return c

    def truth(
        self, kind: str, c: Contact, at: int, story: str, *, message: str | None = None, near_miss: bool = False
    ) -> None:
        """Write down what is true: of a contact, or of a message (its event id)."""
        subject = subject_of(c.customer_id, c.contact_id, "", "")
        anchored = {"contact_id": c.contact_id} if message is None else {"source": c.source, "event_id": message}
        anchor = friction_id(kind, subject, **anchored)
        self.planted.append(Planted(kind, anchor, c.customer_id, c.contact_id, at, near_miss, story))

    def near_miss(self, kind: str, c: Contact, at: int, story: str, *, message: str | None = None) -> None:
        """Write down what must not be found."""
        self.truth(kind, c, at, story, message=message, near_miss=True)

    def repeat(self, c: Contact, at: int, story: str, *, near_miss: bool = False) -> None:
        """Write down a repeated contact, that began at `at` after the story's beginning."""
        self.truth("repeat_contact", c, self.begin + at, story, near_miss=near_miss)


def again_after_an_hour(t: Tale) -> None:
    """Nothing was solved."""
    t.call(0)
    t.repeat(t.call(HOUR), HOUR, "Called, and called again about the same thing an hour later.")


def again_after_seven_days(t: Tale) -> None:
    """The window is closed: its end is inside."""
    t.call(0)
    t.repeat(t.call(7 * DAY), 7 * DAY, "Called again about the same thing exactly seven days later.")


def again_and_again(t: Tale) -> None:
    """A customer who changes the channel still comes back."""
    t.call(0)
    t.repeat(t.call(DAY), DAY, "Called again about the same thing the next day.")
    mail = t.contact("email")
    mail.say(t.begin + 3 * DAY, "message.received")
    t.repeat(mail, 3 * DAY, "Wrote about the same thing after calling twice.")
    mail.say(mail.at + 2 * HOUR, "message.sent", agent_id=t.agent_id)


def again_after_the_window(t: Tale) -> None:
    """The smallest step beyond the window."""
    t.call(0)
    at = 7 * DAY + 1
    t.repeat(t.call(at), at, "Called again one microsecond after seven days.", near_miss=True)


def another_matter(t: Tale) -> None:
    """Two matters are two matters."""
    t.call(0)
    t.repeat(t.call(HOUR, t.other_topic), HOUR, "Called an hour later about something else.", near_miss=True)


def called_by_the_company(t: Tale) -> None:
    """Who is called does not come back."""
    t.call(0)
    outbound = t.call(HOUR, direction="outbound")
    t.repeat(outbound, HOUR, "Was called by the company an hour after calling.", near_miss=True)


def a_case_about_it(t: Tale) -> None:
    """A case is work, not an attempt of the customer."""
    t.call(0)
    case = t.contact("web")
    case.say(t.begin + DAY, "case.opened", ref=case.contact_id)
    case.say(case.at + HOUR, "case.resolved", ref=case.contact_id)
    t.repeat(case, DAY, "A case was opened the day after the call.", near_miss=True)


def strangers(t: Tale) -> None:
    """Without a customer nobody knows whether it is the same one."""
    t.customer_id = None
    t.call(0)
    t.repeat(t.call(HOUR), HOUR, "Two calls about one thing, and nobody knows who called.", near_miss=True)


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


def _written(t: Tale, channel: str) -> tuple[Contact, str, int]:
    """A conversation, its first message, and when a reply is too late."""
    if channel == "chat":
        c = t.answer(0, channel="chat")
        c.say(c.at + 5 * SECOND, "message.sent", agent_id=t.agent_id)
        first = c.say(c.at + 10 * SECOND, "message.received")
    else:
        c = t.contact(channel)
        first = c.say(t.begin, "message.received")
    return c, first, c.at + REPLY[channel]


def no_reply_in_the_chat(t: Tale) -> None:
    """The smallest step beyond the limit."""
    c, first, late = _written(t, "chat")
    t.truth("slow_reply", c, late, "The reply came one microsecond after two minutes.", message=first)
    c.say(late + 1, "message.sent", agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")


def only_a_machine_replied(t: Tale) -> None:
    """We value your message."""
    c, first, late = _written(t, "email")
    c.say(c.at + 2 * SECOND, "message.sent", automatic=True)
    t.truth("slow_reply", c, late, "Wrote a mail, and only a machine ever replied.", message=first)


def ignored_in_public(t: Tale) -> None:
    """Half an hour too late."""
    c, first, late = _written(t, "social")
    t.truth("slow_reply", c, late, "A public post was answered after an hour and a half.", message=first)
    c.say(late + 30 * MINUTE, "message.sent", agent_id=t.agent_id)


def asked_twice(t: Tale) -> None:
    """A turn is counted from its first message, and is one friction."""
    c, first, late = _written(t, "sms")
    second = c.say(late - 2 * MINUTE, "message.received")
    t.truth("slow_reply", c, late, "A text was answered after six minutes.", message=first)
    c.say(late + MINUTE, "message.sent", agent_id=t.agent_id)
    second_late = late - 2 * MINUTE + REPLY["sms"]
    t.near_miss("slow_reply", c, second_late, "Asked again while waiting: the same turn.", message=second)


def replied_on_the_limit(t: Tale) -> None:
    """In time, and a machine before does not spoil it."""
    c, first, late = _written(t, "email")
    c.say(c.at + 2 * SECOND, "message.sent", automatic=True)
    c.say(late, "message.sent", agent_id=t.agent_id)
    t.near_miss("slow_reply", c, late, "A mail was answered after exactly four hours.", message=first)


def replied_in_time(t: Tale) -> None:
    """One reply answers all that was written before."""
    c, first, late = _written(t, "sms")
    second = c.say(c.at + 2 * MINUTE, "message.received")
    c.say(late, "message.sent", agent_id=t.agent_id)
    t.near_miss("slow_reply", c, late, "Two texts, answered exactly five minutes after the first.", message=first)
    t.near_miss("slow_reply", c, late + 2 * MINUTE, "The second text was answered with the first.", message=second)


def thanks(t: Tale) -> None:
    """Who says thank you waits for nothing."""
    c, first, late = _written(t, "chat")
    c.say(c.at + MINUTE, "message.sent", agent_id=t.agent_id)
    c.say(c.at + SECOND, "contact.resolved", outcome="resolved")
    last = c.say(c.at + 20 * SECOND, "message.received")
    t.near_miss("slow_reply", c, late, "A chat was answered within a minute.", message=first)
    t.near_miss("slow_reply", c, c.at + REPLY["chat"], "Said thank you when all was solved.", message=last)
    c.say(c.at + 10 * MINUTE, "contact.ended", ended_by="agent")


def left_the_chat(t: Tale) -> None:
    """The customer ended it."""
    c, _, _ = _written(t, "chat")
    c.say(c.at + MINUTE, "message.sent", agent_id=t.agent_id)
    c.say(c.at + MINUTE, "contact.ended", ended_by="customer")
    last = c.say(c.at + SECOND, "message.received")
    t.near_miss("slow_reply", c, c.at + REPLY["chat"], "Wrote a last word after leaving the chat.", message=last)


Story = Callable[[Tale], None]

STORIES: tuple[Story, ...] = (
    again_after_an_hour, again_after_seven_days, again_and_again, again_after_the_window, another_matter,
    called_by_the_company, a_case_about_it, strangers,
    line_went_dead, cut_off_and_called_again, cleared_normally, dropped_before_the_answer, chat_timed_out,
    customer_hung_up,
    hung_up_on, hung_up_on_and_called_again, ten_seconds_of_talk, transferred, solved_quickly, wrong_number,
    chat_closed_by_the_agent,
    gave_up, gave_up_twice, gave_up_just_after, short_abandon, callback_accepted, left_the_menu,
    waited_three_minutes, waited_for_a_chat, waited_and_gave_up, waited_two_minutes, gave_up_before_it_was_long,
    waited_for_a_text,
    no_reply_in_the_chat, only_a_machine_replied, ignored_in_public, asked_twice, replied_on_the_limit,
    replied_in_time, thanks, left_the_chat,
)  # fmt: skip
"""Every story that is planted."""


def tell(story: Story, name: str, customer_id: str, begin: int, agents: int, rng: Random) -> Tale:
    """A story as one customer lives through it. `name`: unique, for the ids; `begin`: microseconds."""
    topic, other = rng.sample(TOPICS, 2)
    tale = Tale(name, customer_id, begin, topic, other, f"A{rng.randrange(agents):03d}")
    story(tale)
    return tale


def span(story: Story) -> int:
    """How long a story takes until its last truth is certain, microseconds."""
    tale = tell(story, "story", "customer", 0, 1, Random(0))
    return max([at for at, _ in tale.said] + [p.at for p in tale.planted])
