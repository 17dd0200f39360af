"""The benchmark's input, and the frictions that it holds.

Customers come in turns, each turn in another order, so that all of them are remembered with equally many touchpoints.
A contact has three touchpoints, or two where nobody answered. In the topic each customer's touchpoints are in order of
time and none comes twice: so a job that keeps no order of its own can find exactly what Volveré finds.

    repeat_contact   `contact.started`, and another contact of the customer on the topic started at most 7 days before
    dropped_call     `contact.ended` by the network, of a voice contact that was answered

One touchpoint proves at most one friction, which the contact names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heappop, heappush
from itertools import islice
from random import Random
from typing import NamedTuple

from schemas.times import DAY, MINUTE, SECOND, format_time, parse_time
from schemas.topics import partition_of

FIRST = parse_time("2026-01-01T00:00:00Z")
WINDOW = 7 * DAY
TOUCHPOINTS_A_CONTACT = 2.9

Found = tuple[str, str]
"""A friction: its kind, and the contact that names it."""


class Touchpoint(NamedTuple):
    """What a touchpoint says; `at` in microseconds."""

    at: int
    customer: int
    contact: int
    step: str
    channel: str
    topic: int
    ended_by: str


@dataclass(frozen=True)
class Company:
    """Customers of whom so many touchpoints are remembered in the end, in so many partitions.

    The more there are of each customer the more topics they are about, so that about as many of them are repeats.
    """

    customers: int = 50_000
    entries: int = 60
    partitions: int = 4
    seed: int = 1

    @cached_property
    def contacts(self) -> float:
        """Contacts of a customer."""
        return self.entries / TOUCHPOINTS_A_CONTACT

    @cached_property
    def days(self) -> float:
        """How long all of it takes: less than any rule forgets."""
        return min(70.0, 7.5 * self.contacts)

    def touchpoints(self) -> Iterator[Touchpoint]:
        """All that happens, in order of time, without end."""
        dice = Random(self.seed)
        step = self.days * DAY / (self.contacts * self.customers)
        topics = max(1, round(self.contacts / 5))
        pending: list[Touchpoint] = []
        for contact, customer in enumerate(self._turns(dice)):
            start = FIRST + round(contact * step)
            while pending and pending[0].at <= start:
                yield heappop(pending)
            die = dice.random
            channel, topic = "voice" if die() < 0.8 else "chat", int(die() * topics)
            yield Touchpoint(start, customer, contact, "started", channel, topic, "")
            answered = start + round((5 + 85 * die()) * SECOND)
            if die() < 0.9:
                heappush(pending, Touchpoint(answered, customer, contact, "answered", channel, topic, ""))
            ended = answered + round(10 * SECOND + 10 * MINUTE * die())
            who = die()
            by = "network" if who < 0.06 else "agent" if who < 0.12 else "customer"
            heappush(pending, Touchpoint(ended, customer, contact, "ended", channel, topic, by))

    def _turns(self, dice: Random) -> Iterator[int]:
        customers = list(range(self.customers))
        while True:
            dice.shuffle(customers)
            yield from customers


class Reference:
    """The frictions by a plain function of the touchpoints, in order of time."""

    def __init__(self) -> None:
        self._starts: dict[tuple[int, int], int] = {}
        self._answered: set[int] = set()

    def proves(self, t: Touchpoint) -> Found | None:
        """The friction that this touchpoint proves."""
        if t.step == "started":
            before = self._starts.get((t.customer, t.topic))
            self._starts[t.customer, t.topic] = t.at
            return ("repeat_contact", name(t.contact)) if before is not None and before >= t.at - WINDOW else None
        if t.step == "answered":
            self._answered.add(t.contact)
            return None
        answered = t.contact in self._answered
        self._answered.discard(t.contact)
        dropped = answered and t.channel == "voice" and t.ended_by == "network"
        return ("dropped_call", name(t.contact)) if dropped else None


def name(contact: int) -> str:
    """The `contact_id` of a contact."""
    return f"bench/{contact:08d}"


_MORE = {
    "started": '"direction":"inbound","queue":"service"',
    "answered": '"agent_id":"a-{agent:03d}","wait_ms":30000',
    "ended": '"agent_id":"a-{agent:03d}","ended_by":"{by}"',
}


def encode(t: Touchpoint) -> bytes:
    """A touchpoint as JSON, as a system would send it."""
    contact = name(t.contact)
    more = _MORE[t.step].format(agent=t.contact % 499, by=t.ended_by)
    return (
        f'{{"source":"bench","event_id":"{t.contact:08d}-{t.step}","customer_id":"c-{t.customer:07d}",'
        f'"kind":"contact.{t.step}","channel":"{t.channel}","occurred_at":"{format_time(t.at)}",'
        f'"contact_id":"{contact}","topic":"topic-{t.topic:02d}",{more}}}'
    ).encode()


class Sent(NamedTuple):
    """A touchpoint as it goes to Kafka, and the friction that it proves."""

    partition: int
    key: bytes
    value: bytes
    proves: Found | None


@dataclass
class Workload:
    """The first so many touchpoints of a company, and as many of the following as were asked for.

    history: partition -> key and value. reference: friction -> partition and offset of the touchpoint that proves it.
    """

    company: Company
    events: int
    history: list[list[tuple[bytes, bytes]]] = field(init=False)
    reference: dict[Found, tuple[int, int]] = field(init=False, default_factory=dict)
    following: list[Sent] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.history = [[] for _ in range(self.company.partitions)]
        self._rest = self._sent()
        for partition, key, value, proves in islice(self._rest, self.events):
            if proves is not None:
                self.reference[proves] = partition, len(self.history[partition])
            self.history[partition].append((key, value))

    def _sent(self) -> Iterator[Sent]:
        reference = Reference()
        keys = [f"c-{n:07d}" for n in range(self.company.customers)]
        owners = [partition_of(key, self.company.partitions) for key in keys]
        encoded = [key.encode() for key in keys]
        for t in self.company.touchpoints():
            yield Sent(owners[t.customer], encoded[t.customer], encode(t), reference.proves(t))

    def next(self, number: int) -> list[Sent]:
        """So many touchpoints that follow on the history, the same every time."""
        self.following += islice(self._rest, max(0, number - len(self.following)))
        return self.following[:number]

    @property
    def bytes_an_event(self) -> float:
        """Key and value of a record."""
        some = [len(key) + len(value) for records in self.history for key, value in records[:1000]]
        return sum(some) / len(some)


def differences(found: set[Found], expected: set[Found]) -> str | None:
    """What is missing and what is too much, by kind with examples; None where they are the same."""
    lines = []
    for word, those in (("missing", expected - found), ("too much", found - expected)):
        kinds: dict[str, list[str]] = defaultdict(list)
        for kind, contact in sorted(those):
            kinds[kind].append(contact)
        lines += [f"{len(them):,} {kind} {word}, such as {', '.join(them[:3])}" for kind, them in kinds.items()]
    return "; ".join(lines) or None
