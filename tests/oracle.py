"""Every friction of one subject, found in the plainest way; what the tracker is held to.

Written from the definitions alone, sentence by sentence, without a look at the detectors: all touchpoints in one
list, nothing forgotten, nothing remembered, everything looked at again each time. Where a definition can be read in
more than one way, the docstring says the reading that was settled. Only the default rules, no calendars. All times and
lengths of time are microseconds UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TypeVar
from uuid import UUID

from schemas.end_reasons import who_ended
from schemas.friction import friction_id
from schemas.times import DAY, HOUR, MINUTE, SECOND
from schemas.touchpoint import Normal, digest

EXPIRES = 30 * DAY
LEMON_EXPIRES = 730 * DAY
CONTACT_LASTS = 30 * DAY
JOURNEY_GAP = 7 * DAY
NAMED_JOURNEY_GAP = 90 * DAY

REPEAT_WINDOW = 7 * DAY
CALL_BACK = 10 * MINUTE
SHORT_CALL = 10 * SECOND
RETURN = 1 * HOUR
SHORT_ABANDON = 5 * SECOND
ABANDONED_BEFORE = 7 * DAY
WAIT_LIMITS = {"voice": 120 * SECOND, "chat": 120 * SECOND}
WAIT_ERROR = 5
TRANSFERS = 3
HOP_CHANNELS = 3
HOP_WINDOW = 72 * HOUR
REPLY_LIMITS = {"chat": 2 * MINUTE, "sms": 5 * MINUTE, "social": 1 * HOUR, "email": 4 * HOUR}
REPLY_ERROR = 10
REOPENED_WINDOW = 14 * DAY
ASKED = 3
ASKED_WINDOW = 7 * DAY
RAGE_CLICKS = 3
RAGE_PAUSE = 1 * SECOND
RAGE_PIXELS = 30
RAGE_FAILURE = 60 * SECOND
STRUGGLES = 3
STRUGGLE_WINDOW = 30 * MINUTE
CHECKOUT_TIME = 60 * MINUTE
LEMON_OF_ONE_FAULT = 3
LEMON_OF_ANY = 5
LEMON_OUT = 30 * DAY
LEMON_OUT_OPENS = 25 * DAY
LEMON_MORE_THAN_USE = 15 * DAY
LEMON_WINDOW = 730 * DAY
DETRACTOR = {"nps": 6.0, "csat5": 2.0, "ces7": 3.0}
SCALES = {"nps": (0.0, 10.0), "csat5": (1.0, 5.0), "ces7": (1.0, 7.0)}
NPS_ERROR = 3.0
FOLLOW_UP = 48 * HOUR
AT_RISK = 2
SILENCE = 30 * DAY

OWN_KINDS = frozenset(
    "message.received request.made page.viewed element.clicked form.started "
    "form.failed form.submitted checkout.started search.failed order.placed order.returned repair.opened "
    "survey.answered complaint.filed review.posted purchase.made subscription.renewed subscription.cancelled "
    "account.closed referral.made".split()
)
"""What customers do themselves; the beginning of an attempt is besides."""

WENT_ON = frozenset("page.viewed element.clicked form.started form.submitted checkout.started order.placed".split())
"""What a customer does in a shop that works."""

Key = tuple[int, str, str]
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Found:
    """One friction: what it is, which one, when it opened, how bad it is, when it ended (None: it has not)."""

    kind: str
    friction_id: UUID
    opened_at: int
    severity: str
    resolved_at: int | None
    anchor: str


def key(touchpoint: Normal) -> Key:
    """A touchpoint's identity, which is also its place in the order."""
    assert isinstance(touchpoint.occurred_at, int)
    return touchpoint.occurred_at, touchpoint.source, touchpoint.event_id


def at(touchpoint: Normal) -> int:
    """When it happened."""
    return key(touchpoint)[0]


def winners(touchpoints: Iterable[Normal]) -> list[Normal]:
    """Of each identity the greatest (version, digest), unless that is cancelled; in order."""
    best: dict[Key, Normal] = {}
    for t in touchpoints:
        other = best.get(key(t))
        if other is None or (t.version, digest(t)) > (other.version, digest(other)):
            best[key(t)] = t
    return [best[k] for k in sorted(best) if not best[k].cancelled]


@dataclass(frozen=True)
class Contact:
    """Touchpoints that share a contact_id, at most 30 days; or one `contact.*` without one. `points` is in order."""

    contact_id: str | None
    points: list[Normal]

    def _first(self, kind: str) -> int | None:
        return next((at(p) for p in self.points if p.kind == kind), None)

    def _latest(self, name: str, *kinds: str) -> str | None:
        known = [getattr(p, name) for p in self.points if not kinds or p.kind in kinds]
        return next((value for value in reversed(known) if value is not None), None)

    @cached_property
    def begun_by(self) -> Normal:
        """The start: `contact.started`; else its earliest touchpoint."""
        return next((p for p in self.points if p.kind == "contact.started"), self.points[0])

    @property
    def start(self) -> int:
        """When it began."""
        return at(self.begun_by)

    @property
    def name(self) -> str:
        """Its contact_id; of a contact of its own, what its touchpoint is called."""
        return self.contact_id or f"{self.begun_by.source}/{self.begun_by.event_id}"

    @property
    def order(self) -> tuple[int, str]:
        """Attempts are ordered by (start, contact_id)."""
        return self.start, self.name

    @property
    def channel(self) -> str:
        """That of its start."""
        return self.begun_by.channel

    @property
    def inbound(self) -> bool:
        """A missing direction is inbound."""
        return self.begun_by.direction != "outbound"

    @property
    def is_attempt(self) -> bool:
        """An inbound contact begun by `contact.*` or by `message.received`."""
        kind = self.begun_by.kind
        return self.inbound and (kind.startswith("contact.") or kind == "message.received")

    @cached_property
    def topic(self) -> str | None:
        """The latest that is known."""
        return self._latest("topic")

    @cached_property
    def queued(self) -> int | None:
        """When it first came into a queue."""
        return self._first("contact.queued")

    @cached_property
    def answered(self) -> int | None:
        """The first answer."""
        return self._first("contact.answered")

    @cached_property
    def abandoned(self) -> Normal | None:
        """The customer gave up."""
        return next((p for p in self.points if p.kind == "contact.abandoned"), None)

    @cached_property
    def gave_up(self) -> bool:
        """It was abandoned, and not because a call-back was accepted."""
        return self.abandoned is not None and self.abandoned.reason != "callback_accepted"

    @cached_property
    def ended(self) -> int | None:
        """Its end; else its abandonment, else its refusal."""
        for kind in ("contact.ended", "contact.abandoned", "contact.refused"):
            time = self._first(kind)
            if time is not None:
                return time
        return None

    @cached_property
    def ended_by(self) -> str | None:
        """Who ended it, by the latest that is known."""
        ends = ("contact.ended", "contact.abandoned")
        return who_ended(self._latest("ended_by", *ends), self._latest("reason_code", *ends))

    @cached_property
    def transfers(self) -> list[int]:
        """When it was transferred."""
        return [at(p) for p in self.points if p.kind == "contact.transferred"]

    @cached_property
    def resolved(self) -> int | None:
        """The first `contact.resolved`."""
        return self._first("contact.resolved")

    @cached_property
    def resolutions(self) -> list[int]:
        """A contact is resolved once, if ever: at its first `contact.resolved`; without one at its end, if its outcome is `resolved`."""
        if self.resolved is not None:
            return [self.resolved]
        return [self.ended] if self.ended is not None and self._latest("outcome") == "resolved" else []

    def is_on(self, topic: str | None) -> bool:
        """Whether it is about this topic; before it has a topic or has ended, it is about none."""
        return self.topic == topic and (self.topic is not None or self.ended is not None)

    @property
    def talked(self) -> int | None:
        """From the first answer to the end; None where one is missing or they are the wrong way round."""
        if self.answered is None or self.ended is None or self.answered > self.ended:
            return None
        return self.ended - self.answered

    @property
    def dropped(self) -> bool:
        """An answered call ended by the network or the system."""
        return self.channel == "voice" and self.talked is not None and self.ended_by in ("network", "system")


@dataclass
class Journey:
    """Touchpoints unbroken by more than the gap, or of one explicit id. `points` is in order."""

    name: str | None = None
    points: list[Normal] = field(default_factory=list)

    @property
    def over_at(self) -> int:
        """When it has been silent for so long that nothing more can join it."""
        return at(self.points[-1]) + (JOURNEY_GAP if self.name is None else NAMED_JOURNEY_GAP)


@dataclass(frozen=True)
class Trouble:
    """A friction before anybody asked whether it is over.

    `resolving` are the times of touchpoints that would resolve it, `ends_at` when time alone does, if that is
    before it expires. `shadow`: its rule is in shadow, so that nothing live may depend on it.
    """

    kind: str
    anchor: Contact | Normal
    opened_at: int
    severity: str
    resolving: Sequence[int] = ()
    ends_at: int | None = None
    shadow: bool = False

    @property
    def begun_by(self) -> Normal:
        """The touchpoint itself, or the one that began the contact."""
        return self.anchor.begun_by if isinstance(self.anchor, Contact) else self.anchor

    @property
    def place(self) -> Normal:
        """That by which it belongs to a journey."""
        return self.anchor.points[0] if isinstance(self.anchor, Contact) else self.anchor

    @property
    def last(self) -> int:
        """When it is over even if nobody does anything."""
        expires = self.opened_at + (LEMON_EXPIRES if self.kind == "lemon" else EXPIRES)
        return expires if self.ends_at is None else min(expires, self.ends_at)

    @property
    def resolved_by_touchpoint(self) -> int | None:
        """When the first thing happened that resolves it, before it was over."""
        return min((time for time in self.resolving if self.opened_at <= time <= self.last), default=None)

    def found(self, subject: str, now: int) -> Found:
        """What is known of it at the watermark."""
        resolved = self.resolved_by_touchpoint
        if resolved is None and self.last <= now:
            resolved = self.last
        first = self.begun_by
        if isinstance(self.anchor, Contact) and self.anchor.contact_id is not None:
            name = self.anchor.contact_id
            which = friction_id(self.kind, subject, contact_id=name)
        else:
            name = f"{first.source}/{first.event_id}"
            which = friction_id(self.kind, subject, source=first.source, event_id=first.event_id)
        return Found(self.kind, which, self.opened_at, self.severity, resolved, name)


class Life:
    """All that is known of one subject, at the watermark `now`."""

    def __init__(self, subject: str, touchpoints: Iterable[Normal], now: int) -> None:
        self.now = now
        self.customer_is_known = not subject.startswith(("~contact/", "~touchpoint/"))
        self.points = winners(touchpoints)
        self.contacts = sorted(contacts_of(self.points), key=attrgetter("order"))
        self.attempts = [c for c in self.contacts if c.is_attempt]
        self._journeys = journeys_of(self.points)

    def of(self, *kinds: str) -> list[Normal]:
        """Touchpoints of these kinds, in order."""
        return [p for p in self.points if p.kind in kinds]

    def times(self, *kinds: str) -> list[int]:
        """When they happened."""
        return [at(p) for p in self.of(*kinds)]

    def journey(self, point: Normal) -> Journey:
        """The journey that a touchpoint is in."""
        return next(j for j in self._journeys if any(key(p) == key(point) for p in j.points))

    def contact(self, point: Normal) -> Contact | None:
        """The contact that a touchpoint is in, if any."""
        return next((c for c in self.contacts if any(key(p) == key(point) for p in c.points)), None)


def contacts_of(points: list[Normal]) -> list[Contact]:
    """Touchpoints with the same contact_id, for 30 days from the first; a `contact.*` without one stands alone."""
    found: list[Contact] = []
    current: dict[str, Contact] = {}
    for p in points:
        if p.contact_id is None:
            if p.kind.startswith("contact."):
                found.append(Contact(None, [p]))
            continue
        contact = current.get(p.contact_id)
        if contact is None or at(p) - at(contact.points[0]) > CONTACT_LASTS:
            contact = current[p.contact_id] = Contact(p.contact_id, [])
            found.append(contact)
        contact.points.append(p)
    return found


def journeys_of(points: list[Normal]) -> list[Journey]:
    """Equal explicit ids are one journey, different ones never join, touchpoints without one join by the gap.

    The first touchpoint of an id names the journey under way, if that has no name and the gap was not exceeded. A
    named journey that was silent for more than 90 days begins anew.
    """
    found: list[Journey] = []
    under_way: Journey | None = None
    for p in points:
        if under_way is not None and at(p) - at(under_way.points[-1]) > JOURNEY_GAP:
            under_way = None
        journey = under_way
        if p.journey_id is not None:
            same = [j for j in found if j.name == p.journey_id and at(p) <= j.over_at]
            if same:
                journey = same[-1]
            elif journey is not None and journey.name is not None:
                journey = None
        if journey is None:
            journey = Journey()
            found.append(journey)
        if p.journey_id is not None:
            journey.name = p.journey_id
        journey.points.append(p)
        under_way = journey
    return found


def paired(openings: list[Normal], closings: list[Normal], until: Callable[[Normal], int]) -> dict[Key, int]:
    """Pairs go by `ref`; without one, the earliest unpaired of the same customer and topic.

    When each opening was closed, by its identity. One closing with a `ref` closes all that is open under it. One without
    closes the earliest of its topic that is open, whether that has a `ref` or not, as long as it can be closed
    (`until`). What comes before its opening closes nothing; at equal times what opens is first.
    """
    closed: dict[Key, int] = {}
    for c in closings:
        still = [o for o in openings if key(o) not in closed and at(o) <= at(c)]
        if c.ref is not None:
            these = [o for o in still if o.ref == c.ref]
        else:
            these = [o for o in still if o.topic == c.topic and at(c) <= until(o)][:1]
        closed |= {key(o): at(c) for o in these}
    return closed


def followed(points: list[Normal]) -> list[tuple[Normal, Normal | None]]:
    """Each with the one after it; the last with None."""
    return [(p, points[i + 1] if i + 1 < len(points) else None) for i, p in enumerate(points)]


def series(
    members: list[T], time: Callable[[T], int], n: int, window: int, size: Callable[[list[T]], int] = len
) -> list[T]:
    """A member is an anchor when [t - W, t] holds at least n members and the window of the member before held fewer.

    `members` are in order; with equal times those before count as before. `size` counts what the window holds.
    """
    sizes = [size([x for x in members[: i + 1] if time(m) - time(x) <= window]) for i, m in enumerate(members)]
    return [m for i, m in enumerate(members) if sizes[i] >= n and (i == 0 or sizes[i - 1] < n)]


def repeat_contact(life: Life) -> list[Trouble]:
    """An attempt of the same customer about the same topic within the window before.

    Observed = attempts on the topic in [start - W, start], itself included; 2: warning, 3 or more: error. It ends
    at the next such attempt (superseded), or at start + W.
    """
    found = []
    for i, a in enumerate(life.attempts if life.customer_is_known else []):
        if not a.is_on(a.topic):
            continue
        before = [b for b in life.attempts[:i] if b.is_on(a.topic) and a.start - b.start <= REPEAT_WINDOW]
        after = [b.start for b in life.attempts[i + 1 :] if b.is_on(a.topic)]
        if before:
            severity = "warning" if len(before) == 1 else "error"
            found.append(Trouble("repeat_contact", a, a.start, severity, after, a.start + REPEAT_WINDOW))
    return found


def dropped_call(life: Life) -> list[Trouble]:
    """An answered call ended by the network or the system.

    Warning; error at an inbound voice attempt at most 10 min later. Resolves at the end of a later answered, undropped
    contact of the customer (before that nobody knows that it is undropped), or when any contact is resolved by
    `contact.resolved`. Later is what began later.
    """
    found = []
    for c in life.contacts:
        if not c.dropped or c.ended is None:
            continue
        others = [o for o in life.contacts if o.order > c.order]
        calls = [o.start for o in others if o.is_attempt and o.channel == "voice"]
        back = any(c.ended <= start <= c.ended + CALL_BACK for start in calls)
        answers = [o.ended for o in others if o.answered is not None and o.ended is not None and not o.dropped]
        resolved = [o.resolved for o in life.contacts if o.resolved is not None]
        found.append(Trouble("dropped_call", c, c.ended, "error" if back else "warning", answers + resolved))
    return found


def agent_disconnect(life: Life) -> list[Trouble]:
    """The agent ended an answered voice contact that was neither transferred nor resolved.

    Talk under the short-call time opens at its end; longer talk opens at the return on the topic within 1 h (a rule
    of its own, in shadow). Warning; error when the customer returned. Resolves at a later contact on the topic that
    is resolved. Later is what began later.
    """
    found = []
    for c in life.contacts:
        if c.channel != "voice" or c.talked is None or c.ended is None or c.ended_by != "agent":
            continue
        if c.transfers or c.resolutions:
            continue
        later = [o for o in life.contacts if o.order > c.order and o.is_on(c.topic)]
        returns = [o.start for o in later if o.is_attempt and c.ended <= o.start <= c.ended + RETURN]
        resolved = [time for o in later for time in o.resolutions]
        if c.talked < SHORT_CALL:
            found.append(Trouble("agent_disconnect", c, c.ended, "error" if returns else "warning", resolved))
        elif returns:
            found.append(Trouble("agent_disconnect", c, min(returns), "error", resolved, shadow=True))
    return found


def waited(since: int, end: Normal) -> int:
    """How long the wait was that ended so: as it was reported, else by the clock."""
    return at(end) - since if end.wait_ms is None else end.wait_ms * 1000


def queue_abandoned(life: Life) -> list[Trouble]:
    """`contact.abandoned` after queueing longer than the short-abandon time; callback_accepted does not count.

    Info; warning when the customer's attempt before (at most 7 d) was abandoned too, to which a call-back that was
    accepted does not count either. Resolves when the customer is answered, in whatever contact. The wait runs from the
    first queueing since the last answer.
    """
    found = []
    for c in life.contacts:
        end = c.abandoned
        if end is None or not c.gave_up:
            continue
        before_end = [p for p in c.points if at(p) <= at(end)]
        answers = [i for i, p in enumerate(before_end) if p.kind == "contact.answered"]
        queued = [at(p) for p in before_end[max(answers, default=-1) + 1 :] if p.kind == "contact.queued"]
        if not queued or waited(queued[0], end) <= SHORT_ABANDON:
            continue
        before = [a for a in life.attempts if a.order < c.order] if life.customer_is_known else []
        again = bool(before) and before[-1].gave_up and c.start - before[-1].start <= ABANDONED_BEFORE
        severity = "warning" if again else "info"
        found.append(Trouble("queue_abandoned", c, at(end), severity, life.times("contact.answered")))
    return found


def long_wait(life: Life) -> list[Trouble]:
    """From `contact.queued` (else the start) to the first answer took longer than the channel's limit.

    The limit itself is not too long. Warning; error at 5 times the limit. Resolves at the answer, abandonment or
    end (a refusal, where it has no other), whichever is first. Where nobody answered it needs a `contact.queued`. An answer or abandonment may report the
    wait itself.
    """
    found = []
    for c in life.contacts:
        limit = WAIT_LIMITS.get(c.channel)
        if limit is None or (c.queued is None and c.answered is None):
            continue
        since = c.start if c.queued is None else c.queued
        reported = ("contact.answered", "contact.abandoned")
        kinds = {*reported, "contact.ended"}
        if not any(p.kind in ("contact.abandoned", "contact.ended") for p in c.points):
            kinds.add("contact.refused")
        end = next((p for p in c.points if p.kind in kinds), None)
        wait = life.now - since if end is None else at(end) - since
        if end is not None and end.kind in reported:
            wait = waited(since, end)
        if wait > limit or (end is None and wait == limit):
            severity = "error" if wait >= WAIT_ERROR * limit else "warning"
            opened = since + limit if end is None else min(since + limit, at(end))
            found.append(Trouble("long_wait", c, opened, severity, [] if end is None else [at(end)]))
    return found


def transfer_loop(life: Life) -> list[Trouble]:
    """The third transfer, or the first return to a queue or agent already visited; equal neighbours collapse.

    Warning; error for a return. Resolves when the contact is resolved. Its `contact.*` touchpoints alone say where
    it was.
    """
    found = []
    for c in life.contacts:
        thirds = c.transfers[TRANSFERS - 1 : TRANSFERS]
        returns = first_return(c, "queue") + first_return(c, "agent_id")
        if thirds or returns:
            severity = "error" if returns else "warning"
            found.append(Trouble("transfer_loop", c, min(thirds + returns), severity, c.resolutions))
    return found


def first_return(contact: Contact, name: str) -> list[int]:
    """When the contact first came back to a queue, or an agent, that it had left; empty if never."""
    visited: list[str] = []
    for p in contact.points:
        place: str | None = getattr(p, name)
        if place is None or visited[-1:] == [place] or not p.kind.startswith("contact."):
            continue
        if place in visited:
            return [at(p)]
        visited.append(place)
    return []


def channel_hop(life: Life) -> list[Trouble]:
    """A series of distinct channels: attempts on the same topic, 3 channels in 72 h.

    Resolves when the topic is resolved, or after 72 h without an attempt on it.
    """
    found = []
    for topic in {a.topic for a in life.attempts}:
        members = [a for a in life.attempts if a.is_on(topic)]
        resolved = [time for c in life.contacts if c.is_on(topic) for time in c.resolutions]
        resolved += [at(p) for p in life.of("case.resolved") if p.topic == topic]
        for a in series(members, attrgetter("start"), HOP_CHANNELS, HOP_WINDOW, distinct_channels):
            quiet = a.start + HOP_WINDOW
            for b in members:
                if a.start <= b.start <= quiet:
                    quiet = b.start + HOP_WINDOW
            found.append(Trouble("channel_hop", a, a.start, "warning", resolved, quiet))
    return found


def distinct_channels(contacts: list[Contact]) -> int:
    """On how many channels they are."""
    return len({c.channel for c in contacts})


def slow_reply(life: Life) -> list[Trouble]:
    """A turn unanswered at its first message + limit.

    A turn is a run of `message.received` with no `message.sent` that is not `automatic`. After the contact (or a case
    in it) is resolved or the customer ended it, no turn begins, until it is started again or the case reopened.
    Warning; error at 10 times the limit. Resolves when the company replies. A reply after the limit has happened: it
    counts at once.
    """
    found = []
    for c in life.contacts:
        for first, reply in turns(c):
            limit = REPLY_LIMITS.get(first.channel)
            if limit is None or at(first) + limit >= (life.now + 1 if reply is None else reply):
                continue
            waited = (life.now if reply is None else reply) - at(first)
            severity = "error" if waited >= REPLY_ERROR * limit else "warning"
            found.append(Trouble("slow_reply", first, at(first) + limit, severity, [] if reply is None else [reply]))
    return found


def turns(contact: Contact) -> list[tuple[Normal, int | None]]:
    """The first message of each turn, and when the company replied."""
    found: list[tuple[Normal, int | None]] = []
    open_turn: Normal | None = None
    over = False
    for p in contact.points:
        if p.kind == "message.sent" and not p.automatic and open_turn is not None:
            found.append((open_turn, at(p)))
            open_turn = None
        elif p.kind == "message.received" and open_turn is None and not over:
            open_turn = p
        elif p.kind in ("contact.started", "case.reopened"):
            over = False
        elif p.kind in ("contact.resolved", "case.resolved"):
            over = True
        elif p.kind == "contact.ended":
            by_outcome = contact.resolved is None and at(p) in contact.resolutions
            over |= by_outcome or who_ended(p.ended_by, p.reason_code) == "customer"
    return found if open_turn is None else [*found, (open_turn, None)]


def broken_promise(life: Life) -> list[Trouble]:
    """`due_at` has passed and the promise was not kept; kept exactly at `due_at` is kept.

    Postponing is a new promise with the same `ref`: it does not heal the one before. A promise due before it was
    made is none. Error; resolves when it is kept.
    """
    made = [p for p in life.of("promise.made") if not isinstance(p.due_at, int) or p.due_at >= at(p)]
    kept = paired(made, life.of("promise.kept"), lambda p: int(p.due_at or 0) + EXPIRES)
    found = []
    for p in made:
        due, done = p.due_at, kept.get(key(p))
        if isinstance(due, int) and due <= life.now and (done is None or done > due):
            found.append(Trouble("broken_promise", p, due, "error", [] if done is None else [done]))
    return found


def reopened_case(life: Life) -> list[Trouble]:
    """For each `case.resolved`: the earliest, within the window, of `case.reopened` or an attempt with its `ref`.

    Without one: on its topic. The anchor is that reopening or attempt. Warning; error the 2nd time within 30 d. Resolves
    at the next `case.resolved` of the case: cases without `ref` are one on each topic, and what has a `ref` is none of
    them. The attempt in which the case was resolved does not reopen it.
    """
    cases: dict[tuple[str, str | None], list[Normal]] = {}
    for r in life.of("case.resolved"):
        cases.setdefault(("ref", r.ref) if r.ref is not None else ("topic", r.topic), []).append(r)
    found: dict[Key, Trouble] = {}
    for (by, value), resolved in cases.items():
        again: dict[Key, Contact | Normal] = {}
        reopenings: list[Contact | Normal] = [p for p in life.of("case.reopened") if getattr(p, by) == value]
        if by == "ref":
            reopenings += [a for a in life.attempts if any(p.ref == value for p in a.points)]
        else:
            reopenings += [a for a in life.attempts if a.is_on(value)]
        for r in resolved:
            inside = [
                (key(start), anchor)
                for anchor in reopenings
                if key(r) < key(start := begin(anchor)) and at(start) <= at(r) + REOPENED_WINDOW
                if not (isinstance(anchor, Contact) and any(key(p) == key(r) for p in anchor.points))
            ]
            if inside:
                first, anchor = min(inside, key=lambda pair: pair[0])
                again[first] = anchor
        for first, anchor in again.items():
            following = [at(r) for r in resolved if key(r) > first]
            severity = "error" if any(o < first and first[0] - o[0] <= EXPIRES for o in again) else "warning"
            if first in found:  # one attempt may reopen several cases
                following += found[first].resolving
                severity = "error" if "error" in (severity, found[first].severity) else "warning"
            found[first] = Trouble("reopened_case", anchor, first[0], severity, following)
    return list(found.values())


def begin(anchor: Contact | Normal) -> Normal:
    """The touchpoint itself, or the one that began the contact."""
    return anchor.begun_by if isinstance(anchor, Contact) else anchor


def closed_door(life: Life) -> list[Trouble]:
    """`contact.refused` with reason channel_closed; resolves when the customer is answered on any channel.

    What a person writes is an answer, too.
    """
    answered = life.times("contact.answered") + [at(p) for p in life.of("message.sent") if not p.automatic]
    found = []
    for c in life.contacts:
        refused = [at(p) for p in c.points if p.kind == "contact.refused" and p.reason == "channel_closed"]
        if refused:
            found.append(Trouble("closed_door", c, min(refused), "warning", answered))
    return found


def rigid_process(life: Life) -> list[Trouble]:
    """`request.denied` with reason policy, or the third asking of the same `element` in one journey and 7 d.

    An asking is `information.requested` or `identity.verified`; those that name no element name the same. Resolves at
    `request.granted` under its `ref`, or without one on its topic; or at the journey's end.
    """
    anchors = [p for p in life.of("request.denied") if p.reason == "policy"]
    asked: dict[tuple[int, str | None], list[Normal]] = {}
    for p in life.of("information.requested", "identity.verified"):
        asked.setdefault((id(life.journey(p)), p.element), []).append(p)
    for members in asked.values():
        anchors += series(members, at, ASKED, ASKED_WINDOW)
    found = []
    for p in anchors:
        journey = life.journey(p)
        granted = [
            at(g) for g in life.of("request.granted") if (g.ref == p.ref if p.ref is not None else g.topic == p.topic)
        ]
        found.append(Trouble("rigid_process", p, at(p), "warning", granted, journey.over_at))
    return found


def rage_click(life: Life) -> list[Trouble]:
    """A run of clicks on one element, each less than 1,000 ms and 30 px from the one before; the third of the run.

    Not again until the run is broken. Info; warning at `form.failed` or `search.failed` at most 60 s later.
    Resolves when the journey goes on past the element: at the customer's own next step in it, digital or an order,
    elsewhere or without an element, that is no failure.
    """
    found = []
    run: list[Normal] = []
    for p in filter(is_by_customer, life.of("element.clicked")):
        run = [*run, p] if run and goes_on(run[-1], p) else [p]
        if len(run) != RAGE_CLICKS:
            continue
        failures = [at(q) for q in life.of("form.failed", "search.failed") if is_by_customer(q)]
        failed = any(at(p) <= time <= at(p) + RAGE_FAILURE for time in failures)
        past = [
            at(q)
            for q in life.journey(p).points
            if key(q) > key(p) and q.kind in WENT_ON and is_by_customer(q)
            if q.element != p.element or (q.element is None and q.kind != "element.clicked")
        ]
        found.append(Trouble("rage_click", p, at(p), "warning" if failed else "info", past))
    return found


def goes_on(before: Normal, click: Normal) -> bool:
    """Whether a click goes on with the run of the one before.

    Clicks that name no element are on the same; those of which no place is known are near each other.
    """
    if click.element != before.element or at(click) - at(before) >= RAGE_PAUSE:
        return False
    if click.x is None or click.y is None or before.x is None or before.y is None:
        return True
    return abs(click.x - before.x) + abs(click.y - before.y) < RAGE_PIXELS


def form_struggle(life: Life) -> list[Trouble]:
    """A series of failures of the same form, 3 in 30 min; a submission begins a new one.

    The form is the `ref`, else the `element`; those that have neither are one. Resolves when it is submitted.
    """
    found = []
    points = life.of("form.failed", "form.submitted")
    for form in {p.ref or p.element for p in points}:
        of_form = [p for p in points if (p.ref or p.element) == form]
        submitted = [p for p in of_form if p.kind == "form.submitted"]
        runs: list[list[Normal]] = [[]]
        for p in of_form:
            if p.kind == "form.submitted":
                runs.append([])
            else:
                runs[-1].append(p)
        for failures in runs:
            anchors = series(failures, at, STRUGGLES, STRUGGLE_WINDOW)
            for p in anchors:
                after = [at(q) for q in submitted if key(q) > key(p)]
                found.append(Trouble("form_struggle", p, at(p), "warning", after))
    return found


def checkout_abandoned(life: Life, others: list[Trouble]) -> list[Trouble]:
    """No order within the time; starts at most 60 min apart are one, and the last start is the anchor.

    Info; warning after another friction in the journey. Resolves when the order is placed.
    """
    starts, orders = life.of("checkout.started"), life.times("order.placed")
    last = [p for p, after in followed(starts) if after is None or at(after) - at(p) > CHECKOUT_TIME]
    quiet: list[Trouble] = []
    for p in last:
        until = at(p) + CHECKOUT_TIME
        if until > life.now or any(at(p) <= time <= until for time in orders):
            continue
        journey = life.journey(p)
        after = any(
            not o.shadow and o.opened_at <= until and life.journey(o.place) is journey for o in [*others, *quiet]
        )
        quiet.append(Trouble("checkout_abandoned", p, until, "warning" if after else "info", orders))
    return quiet


@dataclass(frozen=True)
class Repair:
    """One repair of an asset; `until`: when it ended, None if that is not known; `since`: when this life of the asset began."""

    opened: Normal
    until: int | None
    since: int


def lemon(life: Life) -> list[Trouble]:
    """One friction an asset, anchored at the repair that crosses first; within 24 months.

    It opens at the repair that reaches the limit less one (3 of one fault = `topic`, 5 of any), at 25 days out of
    service (days go on counting while it is in repair), or at more time in repair than in use, from 2 repairs and
    15 days on. Warning; critical when a limit is reached while it lasts. Resolves when it is replaced or refunded: with
    that the asset begins anew, and what is in repair ends. At equal times the repair was first. A repair without topic
    is of no fault that others could have, but one of any. After 24 months without such a repair there may be another
    friction. Where no sale is known, it was in use all the 24 months.
    """
    found = []
    for asset in {p.asset_id for p in life.points} - {None}:
        of_asset = [p for p in life.points if p.asset_id == asset]
        opened = [p for p in of_asset if p.kind == "repair.opened"]
        closed = paired(opened, [p for p in of_asset if p.kind == "repair.closed"], lambda p: at(p) + LEMON_WINDOW)
        anew = [at(p) for p in of_asset if p.kind in ("asset.replaced", "order.refunded")]
        sold = [at(p) for p in of_asset if p.kind == "asset.sold"]
        repairs = []
        for p in opened:
            ends = [closed[key(p)]] if key(p) in closed else []
            ends += [time for time in anew if time >= at(p)]
            repairs.append(Repair(p, min(ends, default=None), max((t for t in anew if t < at(p)), default=0)))
        crossed: list[Repair] = []
        for time, r in crossings(repairs, sold, least=True):
            if not is_certain(r, time, life.now):
                break  # another repair may still cross earlier
            first = not any(x.since == r.since and at(x.opened) >= at(r.opened) - LEMON_WINDOW for x in crossed)
            crossed.append(r)
            if first:
                warning = Trouble("lemon", r.opened, time, "warning", anew)
                over = warning.last if warning.resolved_by_touchpoint is None else warning.resolved_by_touchpoint
                worst = [
                    limit
                    for limit, x in crossings(repairs, sold, least=False)
                    if x.since == r.since and time <= limit <= over and is_certain(x, limit, life.now)
                ]
                found.append(replace(warning, severity="critical") if worst else warning)
    return found


def is_certain(repair: Repair, time: int, now: int) -> bool:
    """Whether the repair is known to have lasted until then."""
    return repair.until is not None or time <= max(at(repair.opened), now)


def crossings(repairs: list[Repair], sold: list[int], *, least: bool) -> list[tuple[int, Repair]]:
    """When each repair crosses a limit, or (`least`) what comes before a limit, if it lasts so long; in order."""
    found = []
    for i, r in enumerate(repairs):
        start, less = at(r.opened), 1 if least else 0
        within = [x for x in repairs[: i + 1] if x.since == r.since and start - at(x.opened) <= LEMON_WINDOW]
        of_fault = sum(x.opened.topic is not None and x.opened.topic == r.opened.topic for x in within)
        out = out_of_service(within, start)
        times = [start + max(0, (LEMON_OUT_OPENS if least else LEMON_OUT) - out)]
        if of_fault >= LEMON_OF_ONE_FAULT - less or len(within) >= LEMON_OF_ANY - less:
            times.append(start)
        if least and len(within) >= 2:
            used = start - max([start - LEMON_WINDOW, r.since, *(t for t in sold if t <= start)]) - out
            times.append(start + max(0, LEMON_MORE_THAN_USE - out, used - out + 1))
        if r.until is None or min(times) <= r.until:
            found.append((min(times), i))
    return [(time, repairs[i]) for time, i in sorted(found)]


def out_of_service(repairs: list[Repair], until: int) -> int:
    """How long any of these repairs (in order) was going on until then; days in two repairs count once."""
    total, reached = 0, 0
    for r in repairs:
        begin, end = max(at(r.opened), reached), until if r.until is None else min(r.until, until)
        if end > begin:
            total += end - begin
            reached = end
    return total


def is_valid_score(point: Normal) -> bool:
    """An answer on a known scale; a score outside its scale says nothing."""
    if point.kind != "survey.answered" or point.score is None or point.scale not in SCALES:
        return False
    low, high = SCALES[point.scale]
    return low <= point.score <= high


def is_low_score(point: Normal) -> bool:
    """NPS at most 6, CSAT at most 2 of 5, CES at most 3 of 7."""
    return is_valid_score(point) and (point.score or 0.0) <= DETRACTOR[point.scale or ""]


def followed_up(life: Life, expires: int) -> list[tuple[Normal, int | None]]:
    """Low scores and complaints, and when each was followed up; `expires`: how long after it can be."""
    bad = [p for p in life.points if is_low_score(p) or p.kind == "complaint.filed"]
    done = paired(bad, life.of("feedback.followed_up"), lambda p: at(p) + expires)
    return [(p, done.get(key(p))) for p in bad]


def low_score(life: Life) -> list[Trouble]:
    """A score of a detractor or below. Warning; error for NPS at most 3.

    Resolves at `feedback.followed_up`, or a later score on the same scale above the limit.
    """
    found = []
    for p, followed in followed_up(life, EXPIRES):
        if p.kind == "complaint.filed":
            continue
        later = [q for q in life.points if is_valid_score(q) and q.scale == p.scale and at(q) > at(p)]
        better = [at(q) for q in later if not is_low_score(q)]
        severity = "error" if p.scale == "nps" and (p.score or 0.0) <= NPS_ERROR else "warning"
        found.append(Trouble("low_score", p, at(p), severity, better if followed is None else [*better, followed]))
    return found


def unrecovered(life: Life) -> list[Trouble]:
    """No `feedback.followed_up` for a low score or a complaint in 48 h. Error; resolves when it is followed up."""
    found = []
    for p, followed in followed_up(life, FOLLOW_UP + EXPIRES):
        until = at(p) + FOLLOW_UP
        if until <= life.now and (followed is None or followed > until):
            found.append(Trouble("unrecovered", p, until, "error", [] if followed is None else [followed]))
    return found


def at_risk(life: Life, others: list[Trouble]) -> list[Trouble]:
    """T is the customer's own last touchpoint (the company's do not break a silence).

    Two first-order frictions opened in [T - 30 d, T + 30 d], none of them resolved by a touchpoint before T + 30 d;
    opens at T + 30 d. Error; resolves when the customer comes back.
    """
    own = [p for p in life.points if is_own(life, p)] if life.customer_is_known else []
    found = []
    for p, following in followed(own):
        until = at(p) + SILENCE
        if until > life.now or (following is not None and at(following) <= until):
            continue
        left = [
            o
            for o in others
            if not o.shadow and at(p) - SILENCE <= o.opened_at <= until
            if o.resolved_by_touchpoint is None or o.resolved_by_touchpoint >= until
        ]
        if len(left) >= AT_RISK:
            found.append(Trouble("at_risk", p, until, "error", [] if following is None else [at(following)]))
    return found


def is_by_customer(point: Normal) -> bool:
    """Whether it came from the customer's side, and from no machine."""
    return not point.automatic and point.direction != "outbound"


def is_own(life: Life, point: Normal) -> bool:
    """Whether the customer did it: the beginning of an attempt, or what only customers do.

    What is in a contact that the company began is the company's doing, also the answers.
    """
    contact = life.contact(point)
    if contact is not None and not contact.inbound:
        return False
    begins = contact is not None and contact.is_attempt and key(contact.begun_by) == key(point)
    return is_by_customer(point) and (begins or point.kind in OWN_KINDS)


FIRST_ORDER: tuple[Callable[[Life], list[Trouble]], ...] = (
    repeat_contact,
    dropped_call,
    agent_disconnect,
    queue_abandoned,
    long_wait,
    transfer_loop,
    channel_hop,
    slow_reply,
    broken_promise,
    reopened_case,
    closed_door,
    rigid_process,
    rage_click,
    form_struggle,
    lemon,
    low_score,
    unrecovered,
)
"""Those that read touchpoints alone; `checkout_abandoned` and `at_risk` read frictions too."""


def oracle(subject: str, touchpoints: list[Normal], now: int) -> list[Found]:
    """Everything that is true of one subject at the watermark `now`, sorted."""
    life = Life(subject, touchpoints, now)
    found = [trouble for detector in FIRST_ORDER for trouble in detector(life)]
    found += checkout_abandoned(life, found)
    found += at_risk(life, found)
    return sorted(trouble.found(subject, now) for trouble in found)
