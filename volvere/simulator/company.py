"""The company: background traffic, drawn day by day, with the planted stories woven in.

At most a day of touchpoints is held, and what that day leaves for the next ones (a mail is answered
the day after). Each day has dice of its own, seeded by the company's seed and the day's number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import itemgetter
from random import Random
from typing import Any

from schemas.times import DAY, HOUR, MINUTE, parse_time
from volvere.simulator.affairs import affair, visit
from volvere.simulator.contact import TOPICS, Contact, Said
from volvere.simulator.office import office
from volvere.simulator.stories import MILLISECOND, STORIES, Planted, Story, span, tell
from volvere.simulator.traffic import Dice, call, chat, letter

MONDAY = parse_time("2025-01-06T00:00:00Z")
"""Where a simulation begins unless told otherwise."""
_WHEN = itemgetter(0)
_TRAFFIC: tuple[tuple[str, Callable[[Contact, int, Dice, int], None], float], ...] = (
    ("voice", call, 0.52), ("chat", chat, 0.64), ("email", letter, 0.74), ("sms", letter, 0.8),
    ("social", letter, 0.84), ("web", visit, 0.94), ("web", affair, 1.0),
)  # fmt: skip
"""Channel, what happens there, and the share of all that happens up to and including it."""


class Company:
    """A simulated company; everything about it follows from the arguments.

    `customers` who get in touch `contacts_per_day` times a day each, over `days` days from `start`
    (microseconds UTC). `stories`: how many stories are planted, each with a customer of its own (at
    most half of them all); by default each story once, and once more for every 2,000 customers. A
    story that does not fit into the days is left out. `untidy`: the share of the background's
    contacts that arrive up to an hour late, or twice, or are withdrawn within a day; without it
    touchpoints come in order of time (the corrections that two stories tell of aside).

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

    def operations(self) -> Iterator[dict[str, Any]]:
        """What the company does on its own side, ready for JSON, in order of time; begins long before `start`."""
        return office(self.seed, self.agents, self.start, self.days)

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
            channel, live, _ = next(one for one in _TRAFFIC if which < one[2])
            customer = None if dice() < 0.03 else self._customer(_who(int(dice() * crowd), day))
            topic = TOPICS[int(len(TOPICS) * dice() ** 1.5)]
            before, odd = len(said), dice()
            contact = Contact(said, channel, f"{day}-{number}", customer, topic, channel == "web" and odd < 0.4)
            live(contact, at, dice, self.agents)
            if odd > 0.93:
                _distort(said, before, odd, f"{customer}/{day // 10}")
            if self.untidy and fate.random() < self.untidy:
                _disturb(said, before, fate)
        return said


def _who(number: int, day: int) -> int:
    """Every fourth customer is silent for 40 of 90 days; then it is the one before who gets in touch."""
    return number - 1 if number % 4 == 3 and (day - number // 4) % 90 < 40 else number


def _distort(said: list[Said], since: int, odd: float, journey: str) -> None:
    """What is told of few contacts only, or is not told of them."""
    for _, touchpoint in said[since:]:
        if odd > 0.98:
            touchpoint["journey_id"] = journey
        elif odd > 0.955:
            if touchpoint["kind"].startswith("contact."):
                touchpoint["direction"] = "outbound"
        elif odd > 0.935:
            touchpoint["topic"] = None
        else:
            touchpoint["contact_id"] = None


def _disturb(said: list[Said], since: int, fate: Random) -> None:
    """One contact late, twice, or withdrawn within a day."""
    contact, what = said[since:], fate.random()
    if what < 1 / 3:
        said[since:] = [(at + int(fate.random() * HOUR), t) for at, t in contact]
    elif what < 2 / 3:
        said += [(at + int(fate.random() * MINUTE), t) for at, t in contact]
    else:
        later = MINUTE + int(fate.random() * DAY)  # late enough to have been acted on
        said += [(at + later, t | {"version": 1, "cancelled": True}) for at, t in contact]
