"""Facts: all that is remembered about one subject, and the one way to add to them.

    merge(entry) -> changed     a set union; order does not matter, twice is once

What is folded from the entries (contacts) is cached beside them and folded again only where
an entry changed; the packed form holds no fold, so that nothing can drift.

Bounds: in time, `streams.tracker.forget` by the horizons that the rules imply; in number,
the newest MAX_ENTRIES entries a family and MAX_PACKED bytes in all, for switchboard numbers
(such a subject is marked `capped`).

Packed form: one codec byte, the time of the next look (8 bytes, big-endian, so that a
restore can fill its timers without unpacking), then msgpack.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec

from schemas.errors import Impossible
from streams.contacts import Contact, ContactKey, contact_key, fold
from streams.entries import Entry, family_of

CODEC = 1
READABLE = frozenset({1})
"""Codec versions that this release understands; a new one is read a release before it is written."""

MAX_ENTRIES = 512
MAX_PACKED = 256 * 1024
MAX_PATH = 20
NEVER = 2**62
"""A time that does not come."""

_identity = attrgetter("at", "source", "event_id")
_version = attrgetter("version", "digest")


class Context(msgspec.Struct, array_like=True, gc=False):
    """Where a friction happened: what its event repeats about the anchor."""

    customer_id: str | None = None
    contact_id: str | None = None
    channel: str | None = None
    queue: str | None = None
    agent_id: str | None = None
    topic: str | None = None
    product: str | None = None
    asset_id: str | None = None
    release: str | None = None


class Published(msgspec.Struct, array_like=True, gc=False):
    """What was last said about one friction, in the words of its event; `anchor` as `schemas.friction.anchor` names it.

    crossed: the highest threshold that it had reached. notified: when it was opened with a notification (0: never);
    hushed: until when a cool-down holds that back (0: it does not).
    """

    kind: str
    anchor: str
    revision: int
    state: str
    severity: str
    opened_at: int
    resolved_at: int | None
    reason: str | None
    final_at: int
    provisional: bool
    rule_id: str
    rule_digest: str
    mode: str
    crossed: float
    replay: bool
    journey_id: str | None
    context: Context
    notified: int = 0
    hushed: int = 0


class Journey(msgspec.Struct, array_like=True, gc=False):
    """A journey so far. `number` is its name among the facts, which stays when its id changes.

    explicit: the `journey_id` that its touchpoints carry; None: it has none. frictions, weight, first_trouble, trouble,
    trouble_topic: of its live frictions; how many, their points, when the earliest and the latest opened, and the topic
    of the latest. path: its channels in order, equal neighbours once, MAX_PATH at most. amounts: by currency.
    own_at, own_topic: the first thing that the customer did in it of their own will (0: nothing), and about what.
    came_back: settled, because what they came back from is forgotten.
    """

    number: int
    id: str
    explicit: str | None
    start: int
    end: int
    touchpoints: int
    contacts: int
    first_channel: str
    last_channel: str
    frictions: int = 0
    weight: float = 0.0
    replay: bool = False
    first_trouble: int = 0
    trouble: int = 0
    trouble_topic: str | None = None
    path: list[str] = []
    outcome: str | None = None
    amounts: dict[str, str] = {}
    own_at: int = 0
    own_topic: str | None = None
    came_back: bool = False


class Mark(msgspec.Struct, array_like=True, gc=False):
    """What was last published of a journey: which revision, when by the watermark, and a digest."""

    revision: int
    at: int
    digest: bytes
    start: int
    end: int
    channel: str
    merged: bool = False


class Packed(msgspec.Struct, array_like=True, gc=False):
    """The packed form, in order; new fields go to the end, with a default."""

    customer_id: str | None
    newest: int
    sealed_to: int
    capped: bool
    numbers: int
    current: int
    entries: dict[str, list[Entry]]
    floors: dict[str, int]
    published: list[Published]
    sealed: list[Journey]
    marks: dict[str, Mark]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Packed).decode


class Facts:
    """Facts of one subject, unpacked.

    entries: family -> entries in order of identity; floors: family -> time below which
    entries were forgotten; published: kind/anchor -> what was last said; sealed: journeys'
    forgotten parts by number; marks: journey_id -> what was last published of it. Kept by the tracker,
    in memory only: changed: families that changed since `derived` (by detector) was found, by which tracker.
    """

    __slots__ = (
        "_contacts",
        "_groups",
        "_sorted",
        "capped",
        "changed",
        "current",
        "customer_id",
        "derived",
        "derived_by",
        "entries",
        "floors",
        "marks",
        "newest",
        "numbers",
        "published",
        "sealed",
        "sealed_to",
        "subject",
    )

    def __init__(self, subject: str, customer_id: str | None) -> None:
        self.subject, self.customer_id = subject, customer_id
        self.newest = self.sealed_to = self.numbers = self.current = 0
        self.capped = False
        self.entries: dict[str, list[Entry]] = {}
        self.floors: dict[str, int] = {}
        self.published: dict[str, Published] = {}
        self.sealed: dict[int, Journey] = {}
        self.marks: dict[str, Mark] = {}
        self.changed: set[str] = set()
        self.derived: dict[str, Any] = {}
        self.derived_by: object = None
        self._groups: dict[ContactKey, list[Entry]] | None = None
        self._contacts: dict[ContactKey, list[Contact]] = {}
        self._sorted: list[Contact] | None = None

    def merge(self, entry: Entry) -> bool:
        """Add an entry; True when that changed anything."""
        family = family_of(entry.kind)
        if entry.at < self.floors.get(family, 0):
            return False  # only where the cap has raised the floor: no accepted touchpoint is that old
        elsewhere = self._elsewhere(family, entry)
        if elsewhere is not None and _version(elsewhere[1]) >= _version(entry):
            return False
        replaced = insert(self.entries.setdefault(family, []), entry)
        if replaced is entry:
            return False
        self.changed.add(family)
        if elsewhere is not None:
            other, replaced = elsewhere
            self.changed.add(other)
            self.entries[other].remove(replaced)
            if not self.entries[other]:
                del self.entries[other]
        if replaced is not None:
            entry.journey = replaced.journey
        if entry.at > self.newest:
            self.newest = entry.at
        for touched in (entry, replaced):
            if touched is not None and (key := contact_key(touched)) is not None:
                self.changed.add("contact")  # a page viewed in a chat is part of that chat
                self._sorted = None
                self._contacts.pop(key, None)
        if self._groups is not None:
            if replaced is not None:
                self._groups = None  # the newer version may stand in another contact: rare, so group anew
                self._contacts.clear()
            elif (key := contact_key(entry)) is not None:
                insert(self._groups.setdefault(key, []), entry)
        return True

    def _elsewhere(self, family: str, entry: Entry) -> tuple[str, Entry] | None:
        """The same touchpoint where an older or newer version put it into another family."""
        for other, entries in self.entries.items():
            if other != family and entries and entries[-1].at >= entry.at:
                i = bisect_left(entries, entry.identity, key=_identity)
                if i < len(entries) and entries[i].identity == entry.identity:
                    return other, entries[i]
        return None

    def contacts(self) -> list[Contact]:
        """The subject's contacts by (start, key); forgotten ones are left out."""
        if self._sorted is None:
            groups = self.groups()
            folded = self._contacts
            floor = self.floors.get("contact", 0)
            for key, entries in groups.items():
                if key not in folded:
                    folded[key] = [c for c in fold(entries) if c.newest >= floor]
            self._sorted = sorted((c for cs in folded.values() for c in cs), key=lambda c: (c.start.at, c.key))
        return self._sorted

    def groups(self) -> dict[ContactKey, list[Entry]]:
        """The entries of each contact key, in order of identity, cancelled ones included."""
        if self._groups is None:
            self._groups = {}
            for entry in self.ordered():
                if (key := contact_key(entry)) is not None:
                    self._groups.setdefault(key, []).append(entry)
        return self._groups

    def ordered(self, since: int = 0) -> list[Entry]:
        """All entries of all families from `since` on, in order of identity."""
        found: list[Entry] = []
        for entries in self.entries.values():
            if entries and entries[-1].at >= since:
                found += entries if entries[0].at >= since else entries[bisect_left(entries, since, key=_at) :]
        if len(self.entries) > 1:
            found.sort(key=_identity)
        return found

    def any_between(self, since: int, until: int) -> bool:
        """Whether there is an entry from `since` on that lies before `until`."""
        for entries in self.entries.values():
            i = bisect_left(entries, since, key=_at)
            if i < len(entries) and entries[i].at < until:
                return True
        return False

    @property
    def size(self) -> int:
        """How many entries it holds."""
        return sum(map(len, self.entries.values()))

    def refold(self) -> None:
        """Drop every cached fold, after entries were forgotten."""
        self._groups = self._sorted = None
        self._contacts.clear()
        self.derived_by = None

    def pack(self, due: int) -> bytes:
        """The packed form; `due` is the time of the next look, NEVER for none."""
        body = _encode(
            Packed(
                self.customer_id,
                self.newest,
                self.sealed_to,
                self.capped,
                self.numbers,
                self.current,
                self.entries,
                self.floors,
                list(self.published.values()),
                list(self.sealed.values()),
                self.marks,
            )
        )
        return b"%c%b%b" % (CODEC, due.to_bytes(8, "big"), body)


_at = attrgetter("at")


def insert(entries: list[Entry], entry: Entry) -> Entry | None:
    """Put an entry in its place. Returns the one that it replaced, itself if it loses, None if it is new."""
    if not entries or entries[-1].at < entry.at:
        entries.append(entry)
        return None
    identity = _identity(entry)
    i = bisect_left(entries, identity, key=_identity)
    if i == len(entries) or _identity(entries[i]) != identity:
        entries.insert(i, entry)
        return None
    found = entries[i]
    if _version(found) >= _version(entry):
        return entry
    entries[i] = entry
    return found


def unpack(subject: str, packed: bytes) -> Facts:
    """Facts from their packed form. Raises Impossible for a codec that this release does not know."""
    if packed[0] not in READABLE:
        raise Impossible(f"facts of codec {packed[0]}; this release reads {sorted(READABLE)}")
    p = _decode(memoryview(packed)[9:])
    facts = Facts(subject, p.customer_id)
    facts.newest, facts.sealed_to, facts.capped = p.newest, p.sealed_to, p.capped
    facts.numbers, facts.current = p.numbers, p.current
    facts.entries, facts.floors = p.entries, p.floors
    facts.published = {f"{x.kind}/{x.anchor}": x for x in p.published}
    facts.sealed = {j.number: j for j in p.sealed}
    facts.marks = p.marks
    return facts


def due_of(packed: bytes) -> int:
    """The time of the next look, without unpacking the rest."""
    return int.from_bytes(packed[1:9], "big")


def all_entries(facts: Facts) -> Iterator[Entry]:
    """Every entry, in no particular order."""
    for entries in facts.entries.values():
        yield from entries
