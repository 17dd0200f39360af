"""One telling of a story, and what is true of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.friction import anchor, anchored_id
from schemas.times import DAY, HOUR, MINUTE, SECOND
from schemas.touchpoint import subject_of
from volvere.simulator.contact import Contact, Said

MILLISECOND = 1000
MENU = 8 * SECOND
"""How long a caller listens to the menu before the queue."""
REPLY = {"chat": 2 * MINUTE, "sms": 5 * MINUTE, "social": HOUR, "email": 4 * HOUR}
FOLLOW_UP = 48 * HOUR
SILENCE = 30 * DAY


@dataclass(frozen=True, slots=True)
class Planted:
    """One truth: this friction must be found; or, for a near miss, must not.

    `anchor`: the name of the contact or touchpoint that it hangs on, as in `schemas.friction`. `at`: when it
    opens, or would if it were one (microseconds).
    """

    kind: str
    friction_id: UUID
    subject: str
    customer_id: str | None
    anchor: str
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
    _contacts: int = 0

    def contact(self, channel: str, topic: str | None = None, *, loose: bool = False) -> Contact:
        """A new contact, about the story's topic if none is given."""
        name = f"{self.name}-{self._contacts}"
        self._contacts += 1
        return Contact(self.said, channel, name, self.customer_id, topic or self.topic, loose)

    def loose(self, channel: str = "web", topic: str | None = None) -> Contact:
        """Touchpoints that belong to no contact."""
        return self.contact(channel, topic, loose=True)

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

    def call(self, at: int, topic: str | None = None, channel: str = "voice", **fields: Any) -> Contact:
        """A phone call (or a chat) without trouble; the customer hangs up after three minutes."""
        c = self.answer(at, channel=channel, topic=topic, **fields)
        c.say(c.at + 3 * MINUTE, "contact.ended", ended_by="customer", handle_ms=180_000, **fields)
        return c

    def give_up(self, at: int, wait: int, **fields: Any) -> Contact:
        """A phone call that the customer gives up in the queue."""
        c = self.queue(at)
        c.say(c.at + wait, "contact.abandoned", wait_ms=wait // MILLISECOND, **fields)
        return c

    def write(
        self, at: int, reply: int | None = 2 * HOUR, topic: str | None = None, channel: str = "email"
    ) -> tuple[Contact, str]:
        """A mail, replied to after `reply`, or never; with it the id of the customer's message."""
        c = self.contact(channel, topic)
        first = c.say(self.begin + at, "message.received")
        if reply is not None:
            c.say(c.at + reply, "message.sent", agent_id=self.agent_id)
        return c, first

    def unanswered(self, at: int, topic: str | None = None) -> tuple[Contact, str]:
        """A mail that nobody replies to, which is a trouble of its own."""
        c, first = self.write(at, None, topic)
        self.truth("slow_reply", c, c.at + REPLY["email"], "Wrote a mail that nobody replied to.", event=first)
        return c, first

    def truth(
        self, kind: str, c: Contact, at: int, story: str, *, event: str | None = None, near_miss: bool = False
    ) -> None:
        """Write down what is true: of a contact, or of one of its touchpoints (the event id)."""
        subject = subject_of(c.customer_id, c.contact_id, c.source, event or "")
        name = anchor(c.contact_id if event is None else None, c.source, event or "")
        found = anchored_id(kind, subject, name)
        self.planted.append(Planted(kind, found, subject, c.customer_id, name, at, near_miss, story))

    def near_miss(self, kind: str, c: Contact, at: int, story: str, *, event: str | None = None) -> None:
        """Write down what must not be found."""
        self.truth(kind, c, at, story, event=event, near_miss=True)

    def repeat(self, c: Contact, at: int, story: str, *, near_miss: bool = False) -> None:
        """Write down a repeated contact, that began at `at` after the story's beginning."""
        self.truth("repeat_contact", c, self.begin + at, story, near_miss=near_miss)
