"""The company: background traffic, drawn day by day, with the planted stories woven in.

At most a day of touchpoints is held, and what that day leaves for the next ones (a mail is answered
the day after). Each day has dice of its own, seeded by the company's seed and the day's number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import log
from operator import itemgetter
from random import Random
from typing import Any

from schemas.times import DAY, HOUR, MINUTE, SECOND, parse_time
from volvere.simulator.contact import TOPICS, Contact, Said
from volvere.simulator.stories import MENU, MILLISECOND, STORIES, Planted, Story, span, tell

MONDAY = parse_time("2025-01-06T00:00:00Z")
"""Where a simulation begins unless told otherwise."""
_WHEN = itemgetter(0)
_CHANNELS = (("voice", 0.55), ("chat", 0.68), ("email", 0.8), ("sms", 0.87), ("social", 0.92), ("web", 1.0))
_REPLY_MEAN = {"email": 2 * HOUR, "sms": 2 * MINUTE, "social": 25 * MINUTE}


class Company:
    """A simulated company; everything about it follows from the arguments.

    `customers` who get in touch `contacts_per_day` times a day each, over `days` days from `start`
    (microseconds UTC). `stories`: how many stories are planted, each with a customer of its own (at
    most half of them all); by default each story once, and once more for every 2,000 customers. A
    story that does not fit into the days is left out. `untidy`: the share of the background's
    contacts that arrive up to an hour late, or twice, or are withdrawn within a day; without it
    touchpoints come in order of time.

    `planted` is the ground truth. Raises ValueError for arguments that make no company.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        customers: int = 1000,
        days: int = 14,
        start: int = MONDAY,
        contacts_per_day: float = 0.3,
        stories: int | None = None,
        untidy: float = 0.0,
    ) -> None:
        if customers < 1 or days < 1 or contacts_per_day < 0 or not 0 <= untidy <= 1 or (stories or 0) < 0:
            raise ValueError(
                "expected at least one customer and one day, contacts a day and stories of 0 or more, untidy from 0 to 1"
            )
        self.seed, self.customers, self.days, self.start = seed, customers, days, start
        self.contacts_per_day, self.untidy = contacts_per_day, untidy
        self.agents = max(5, customers // 200)
        self.planted: list[Planted] = []
        self._told: list[Said] = []
        wanted = len(STORIES) * (1 + customers // 2000) if stories is None else stories
        self._quiet = self._plant(min(wanted, customers // 2))

    @property
    def end(self) -> int:
        """When the simulation ends, microseconds; no touchpoint lies at or after it."""
        return self.start + self.days * DAY

    def touchpoints(self) -> Iterator[dict[str, Any]]:
        """Every touchpoint, ready for JSON, in order of time (of arrival, where the company is untidy)."""
        waiting: list[Said] = []
        planted = 0
        for day in range(self.days):
            midnight = self.start + (day + 1) * DAY
            told = bisect_left(self._told, midnight, key=_WHEN)
            waiting += self._told[planted:told]
            planted = told
            waiting += self._background(day)
            waiting.sort(key=_WHEN)
            over = bisect_left(waiting, midnight, key=_WHEN)
            for _, touchpoint in waiting[:over]:
                yield touchpoint
            del waiting[:over]

    def _plant(self, count: int) -> int:
        """Tell the stories; returns how many customers have one. The last customers get them."""
        rng = Random(f"{self.seed}/stories")
        # Clear of the end, so that time itself goes on until the last truth is certain.
        room = self.days * DAY - min(DAY, self.days * DAY // 4)
        fitting: list[tuple[Story, int]] = [(s, left) for s in STORIES if (left := room - span(s)) > 0]
        if count < len(fitting):
            rng.shuffle(fitting)
        for number in range(count):
            story, left = fitting[number % len(fitting)]
            customer = self._customer(self.customers - 1 - number)
            begin = self.start + rng.randrange(left // MILLISECOND) * MILLISECOND
            tale = tell(story, f"{story.__name__}-{number}", customer, begin, self.agents, rng)
            self._told += tale.said
            self.planted += tale.planted
        self._told.sort(key=_WHEN)
        return count

    def _customer(self, number: int) -> str:
        return f"C{number:06d}"

    def _background(self, day: int) -> list[Said]:
        """A day's contacts of the customers without a story; what they say may reach into later days."""
        rng, fate = Random(f"{self.seed}/{day}"), Random(f"{self.seed}/{day}/untidy")
        dice = rng.random
        midnight = self.start + day * DAY
        clock = midnight % DAY
        said: list[Said] = []
        crowd = self.customers - self._quiet
        for number in range(max(1, round(self.customers * self.contacts_per_day)) if self.contacts_per_day else 0):
            hour = 8 * HOUR + 6 * HOUR * (dice() + dice()) if dice() < 0.85 else DAY * dice()
            at = midnight + (int(hour) - clock) % DAY // MILLISECOND * MILLISECOND
            which = dice()
            channel = next(name for name, upto in _CHANNELS if which < upto)
            customer = None if dice() < 0.03 else self._customer(int(dice() * crowd))
            topic = TOPICS[int(len(TOPICS) * dice() ** 1.5)]
            contact = Contact(said, channel, f"{day}-{number}", customer, topic)
            before = len(said)
            if channel == "voice":
                self._call(contact, at, rng)
            elif channel == "chat":
                self._chat(contact, at, rng)
            elif channel == "web":
                self._visit(contact, at, rng)
            else:
                self._letter(contact, at, rng)
            if self.untidy and fate.random() < self.untidy:
                _disturb(said, before, fate)
        return said

    def _reach(self, c: Contact, at: int, rng: Random) -> str | None:
        """From the start to the answer: the agent, or None if nobody came in time."""
        c.say(at, "contact.started")
        if rng.random() < 0.03:
            c.say(at + _lasting(rng, 20 * SECOND), "contact.abandoned")
            return None
        c.say(at + MENU, "contact.queued", queue=c.topic)
        wait, patience = _lasting(rng, 40 * SECOND), _lasting(rng, 400 * SECOND)
        if patience < wait:
            c.say(c.at + patience, "contact.abandoned", wait_ms=patience // MILLISECOND, ended_by="customer")
            return None
        agent = f"A{int(rng.random() * self.agents):03d}"
        c.say(c.at + wait, "contact.answered", wait_ms=wait // MILLISECOND, agent_id=agent, queue=c.topic)
        return agent

    def _call(self, c: Contact, at: int, rng: Random) -> None:
        agent = self._reach(c, at, rng)
        if agent is None:
            return
        dice, answered = rng.random, c.at
        how = dice()
        if how < 0.01:  # the line, or an agent in a hurry
            c.say(answered + _lasting(rng, MINUTE), "contact.ended", ended_by="network", reason_code="38")
            return
        if how < 0.025:
            c.say(answered + SECOND + _lasting(rng, 5 * SECOND), "contact.ended", ended_by="agent", agent_id=agent)
            return
        if how < 0.08:
            agent = f"A{int(dice() * self.agents):03d}"
            c.say(c.at + _lasting(rng, MINUTE), "contact.transferred", agent_id=agent)
        over = c.at + 15 * SECOND + _lasting(rng, 180 * SECOND)
        if dice() < 0.6:
            c.say(over - 5 * SECOND, "contact.resolved", outcome="resolved", agent_id=agent)
        by = "customer" if dice() < 0.9 else "agent"
        c.say(over, "contact.ended", ended_by=by, handle_ms=(over - answered) // MILLISECOND, agent_id=agent)

    def _chat(self, c: Contact, at: int, rng: Random) -> None:
        agent = self._reach(c, at, rng)
        if agent is None:
            return
        dice, answered = rng.random, c.at
        for _ in range(1 + int(dice() * 2)):
            c.say(c.at + SECOND + _lasting(rng, 15 * SECOND), "message.received")
            c.say(c.at + SECOND + _lasting(rng, 25 * SECOND), "message.sent", agent_id=agent)
        if dice() < 0.5:
            c.say(c.at + 10 * SECOND, "contact.resolved", outcome="resolved", agent_id=agent)
        over = c.at + 5 * SECOND + _lasting(rng, 20 * SECOND)
        c.say(over, "contact.ended", ended_by="customer", handle_ms=(over - answered) // MILLISECOND, agent_id=agent)

    def _letter(self, c: Contact, at: int, rng: Random) -> None:
        """Mail, text and public posts: written at once, read when somebody has time."""
        dice = rng.random
        c.say(at, "message.received")
        if c.channel == "email":
            c.say(at + 2 * SECOND, "message.sent", automatic=True)
        if dice() < 0.97:
            agent = f"A{int(dice() * self.agents):03d}"
            c.say(c.at + 20 * SECOND + _lasting(rng, _REPLY_MEAN[c.channel]), "message.sent", agent_id=agent)
            if dice() < 0.5:
                c.say(c.at + MINUTE, "contact.resolved", outcome="resolved", agent_id=agent)

    def _visit(self, c: Contact, at: int, rng: Random) -> None:
        """A visit to the shop: nobody was asked for anything, so it is no attempt."""
        c.say(at, "page.viewed", element=c.topic)
        c.say(c.at + SECOND + _lasting(rng, 30 * SECOND), "element.clicked", element="search")
        c.say(c.at + SECOND + _lasting(rng, 30 * SECOND), "page.viewed", element="cart")
        if rng.random() < 0.4:
            order = f"order/{c.contact_id}"
            c.say(c.at + SECOND + _lasting(rng, MINUTE), "order.placed", ref=order, amount="49.90", currency="EUR")


def _lasting(rng: Random, mean: int) -> int:
    """A random length with a mean (exponential), in whole milliseconds but given in microseconds."""
    return int(-log(1.0 - rng.random()) * mean) // MILLISECOND * MILLISECOND


def _disturb(said: list[Said], since: int, fate: Random) -> None:
    """One contact late, twice, or withdrawn within a day."""
    contact, what = said[since:], fate.random()
    if what < 1 / 3:
        said[since:] = [(at + int(fate.random() * HOUR), t) for at, t in contact]
    elif what < 2 / 3:
        said += [(at + int(fate.random() * MINUTE), t) for at, t in contact]
    else:
        withdrawn = contact[-1][0] + MINUTE + int(fate.random() * DAY)  # late enough to have been acted on
        said += [(withdrawn, t | {"version": 1, "cancelled": True}) for _, t in contact]
