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

from bisect import bisect_left, insort
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
MANY = 64
"""From so many on, of a family's entries or of what was published, the packed form counts them in four bytes."""
FEW = 16
"""With fewer entries of a family it costs more to find them packed than to pack them."""
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
    hushed: until when a cool-down holds that back (0: it does not). Once packed it is replaced, never changed.
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
    table_digest: str
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
_HEAD, _FIELDS = bytes([CODEC]), bytes([0x90 + len(Packed.__struct_fields__)])


class Facts:
    """Facts of one subject, unpacked.

    entries: family -> entries in order of identity; floors: family -> time below which
    entries were forgotten; published: kind/anchor -> what was last said; sealed: journeys'
    forgotten parts by number; marks: journey_id -> what was last published of it.

    In memory only, for the tracker: derived: by detector, what it found last, and derived_by: which tracker that was;
    changed: family -> the earliest time at which it has changed since (contacts count from their start);
    unsaid: something was derived that has not been compared with what was published;
    fold: the journeys as they were folded last, and appended: what came behind them since.
    _packed: what was packed last, which the state holds anyway, and _bodies: family -> how many of its entries lie where in it.
    """

    __slots__ = (
        "_bodies",
        "_contacts",
        "_groups",
        "_kinds",
        "_met",
        "_packed",
        "_said",
        "_sorted",
        "_span",
        "_stale",
        "_topics",
        "appended",
        "capped",
        "changed",
        "current",
        "customer_id",
        "derived",
        "derived_by",
        "entries",
        "floors",
        "fold",
        "marks",
        "newest",
        "numbers",
        "published",
        "sealed",
        "sealed_to",
        "subject",
        "unsaid",
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
        self.changed: dict[str, int] = {}
        self.derived: dict[str, Any] = {}
        self.derived_by: object = None
        self.fold: Any = None
        self.appended: list[Entry] = []
        self.unsaid = False
        self._groups: dict[ContactKey, list[Entry]] | None = None
        self._contacts: dict[ContactKey, list[Contact]] = {}
        self._sorted: list[Contact] | None = None
        self._stale: set[ContactKey] = set()
        self._topics: dict[str | None, list[Contact]] | None = None
        self._span = 0
        self._kinds: dict[str, list[Entry]] = {}
        self._met: set[str] = set()
        self._packed = b""
        self._bodies: dict[str, tuple[int, int, int]] = {}
        self._said: dict[str, tuple[Published, bytes]] = {}

    def merge(self, entry: Entry) -> bool:
        """Add an entry; True when that changed anything."""
        family = family_of(entry.kind)
        if entry.at > self.newest:
            self._append(family, entry)
            return True
        if entry.at < self.floors.get(family, 0):
            return False  # only where the cap has raised the floor: no accepted touchpoint is that old
        elsewhere = self._elsewhere(family, entry)
        if elsewhere is not None and _version(elsewhere[1]) >= _version(entry):
            return False
        replaced = insert(self.entries.setdefault(family, []), entry)
        if replaced is entry:
            return False
        self._change(family, entry.at)
        if elsewhere is not None:
            other, replaced = elsewhere
            self._change(other, entry.at)
            self.entries[other].remove(replaced)
            if not self.entries[other]:
                del self.entries[other]
        if replaced is not None:
            entry.journey = replaced.journey
        self._met.clear()
        self._bodies.clear()
        self._behind(entry, replaced)
        self._index(family, entry, plain=replaced is None)
        if self._groups is not None:
            self._regroup(entry, replaced)
        return True

    def _append(self, family: str, entry: Entry) -> None:
        """Add what is newer than all else, as most is: it replaces nothing, and comes last everywhere."""
        at = self.newest = entry.at
        self.entries.setdefault(family, []).append(entry)
        if self._met:
            self._met.add(entry.kind)
        self._change(family, at)
        if entry.cancelled:
            self.fold = None
            self._kinds.clear()
        else:
            if self.fold is not None:
                self.appended.append(entry)
            if entry.kind in self._kinds:
                self._kinds[entry.kind].append(entry)
        if self._groups is not None and (key := contact_key(entry)) is not None:
            group = self._groups.setdefault(key, [])
            group.append(entry)
            self._change("contact", group[0].at)
            self._stale.add(key)

    def _change(self, family: str, at: int) -> None:
        if at < self.changed.get(family, NEVER):
            self.changed[family] = at

    def _behind(self, entry: Entry, replaced: Entry | None) -> None:
        """Whether the journeys need but be folded on."""
        if self.fold is None:
            return
        last = self.appended[-1] if self.appended else self.fold.last
        if replaced is None and not entry.cancelled and (last is None or last.identity < entry.identity):
            self.appended.append(entry)
        else:
            self.fold = None

    def _index(self, family: str, entry: Entry, *, plain: bool) -> None:
        if plain and not entry.cancelled and self.entries[family][-1] is entry:
            if entry.kind in self._kinds:
                self._kinds[entry.kind].append(entry)
        else:
            self._kinds.clear()

    def of(self, kind: str) -> list[Entry]:
        """The entries of a kind in order of identity, cancelled ones left out. Not to be changed."""
        found = self._kinds.get(kind)
        if found is None:
            among = self.entries.get(family_of(kind), ())
            found = self._kinds[kind] = [e for e in among if e.kind == kind and not e.cancelled]
        return found

    @property
    def kinds(self) -> set[str]:
        """The kinds of its entries; of cancelled ones, too. Not to be changed."""
        if not self._met:
            self._met = {e.kind for entries in self.entries.values() for e in entries}
        return self._met

    def _regroup(self, entry: Entry, replaced: Entry | None) -> None:
        key = contact_key(entry)
        if replaced is not None:
            if key is not None or contact_key(replaced) is not None:
                self._groups = self._sorted = None  # the newer version may stand in another contact: rare, so anew
                self._change("contact", 0)
        elif key is not None:
            assert self._groups is not None
            group = self._groups.setdefault(key, [])
            insert(group, entry)
            self._change("contact", group[0].at)  # a page viewed in a chat is part of that chat, too
            self._stale.add(key)

    def _elsewhere(self, family: str, entry: Entry) -> tuple[str, Entry] | None:
        """The same touchpoint where an older or newer version put it into another family."""
        for other, entries in self.entries.items():
            if other != family and entries and entries[-1].at >= entry.at:
                i = bisect_left(entries, entry.identity, key=_identity)
                if i < len(entries) and entries[i].identity == entry.identity:
                    return other, entries[i]
        return None

    def contacts(self) -> list[Contact]:
        """The subject's contacts by (start, key); forgotten ones are left out. The same list every time."""
        found = self._sorted
        if found is None:
            self._stale.clear()
            self._topics, self._span = None, 0
            self._contacts = {key: self._fold(group) for key, group in self.groups().items()}
            self._sorted = found = sorted((c for cs in self._contacts.values() for c in cs), key=_start)
        elif self._stale:
            groups = self.groups()
            for key in self._stale:
                for c in self._contacts.get(key, ()):
                    del found[bisect_left(found, _start(c), key=_start)]
                    if self._topics is not None and c.attempt and c.settled:
                        about = self._topics[c.topic]
                        del about[bisect_left(about, _start(c), key=_start)]
                        if not about:
                            del self._topics[c.topic]
                self._contacts[key] = self._fold(groups[key])
                for c in self._contacts[key]:
                    insort(found, c, key=_start)
                    if self._topics is not None and c.attempt and c.settled:
                        insort(self._topics.setdefault(c.topic, []), c, key=_start)
            self._stale.clear()
        return found

    def _fold(self, group: list[Entry]) -> list[Contact]:
        floor = self.floors.get("contact", 0)
        found = [c for c in fold(group) if c.newest >= floor]
        for c in found:
            self._span = max(self._span, c.newest - c.start.at)
        return found

    def by_topic(self) -> dict[str | None, list[Contact]]:
        """The attempts whose topic can be relied on by topic, in order; no topic is a topic of its own."""
        contacts = self.contacts()
        if self._topics is None:
            self._topics = {}
            for c in contacts:
                if c.attempt and c.settled:
                    self._topics.setdefault(c.topic, []).append(c)
        return self._topics

    def recent(self, since: int) -> list[Contact]:
        """The contacts, in order, whose newest entry is not older."""
        contacts = self.contacts()
        low = bisect_left(contacts, since - self._span, key=_started)
        return [c for c in contacts[low:] if c.entries[-1].at >= since]

    def contact_of(self, entry: Entry) -> Contact | None:
        """The contact that an entry is in."""
        key = contact_key(entry)
        if key is None:
            return None
        self.contacts()
        return next((c for c in self._contacts[key] if c.first.at <= entry.at <= c.newest), None)

    def begins(self, entry: Entry) -> bool:
        """Whether a contact begins with it."""
        key = contact_key(entry)
        if key is None:
            return False
        if self._sorted is None or self._stale:
            self.contacts()
        for contact in self._contacts[key]:  # noqa: SIM110 - asked of every entry, where a generator costs more than the loop
            if contact.entries[0] is entry:
                return True
        return False

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

    def between(self, since: int, until: int) -> int:
        """How many entries there are from `since` on that lie before `until`."""
        return sum(
            bisect_left(entries, until, key=_at) - bisect_left(entries, since, key=_at)
            for entries in self.entries.values()
        )

    @property
    def size(self) -> int:
        """How many entries it holds."""
        return sum(map(len, self.entries.values()))

    def refold(self) -> None:
        """Drop everything that was folded or derived, after entries were forgotten."""
        self._groups = self._sorted = self.fold = self.derived_by = None
        self._kinds.clear()
        self._met.clear()
        self._bodies.clear()
        self._said.clear()

    def lighten(self) -> None:
        """Keep no more than what a subject with few entries needs: its contacts and its journeys."""
        self.derived_by = self._topics = None
        self.derived = {}
        self._kinds.clear()

    def refolded(self) -> None:
        """The numbers of journeys in the entries may have changed."""
        self._bodies.clear()

    def _body(self, family: str, entries: list[Entry], start: int) -> bytes:
        """Entries, packed. start: where they will lie in all.

        Where they are many, what was packed last is copied: it stays so until its journey's number may change.
        """
        size = len(entries)
        if size < FEW:
            return _encode(entries)
        count, begin, end = self._bodies.get(family, (0, 0, 0))
        head = b"\xdc" + size.to_bytes(2, "big") if size < MANY else b"\xdd" + size.to_bytes(4, "big")
        body = b"".join([head, self._packed[begin:end], *map(_encode, entries[count:])])
        self._bodies[family] = size, start + len(head), start + len(body)
        return body

    def _told(self) -> list[Published] | msgspec.Raw:
        """What was published, packed already where it is much: what is said stays as it is until it is said anew."""
        if len(self.published) < MANY:
            return list(self.published.values())
        packed, parts = self._said, []
        for key, p in self.published.items():
            found = packed.get(key)
            if found is None or found[0] is not p:
                found = packed[key] = (p, _encode(p))
            parts.append(found[1])
        return msgspec.Raw(b"\xdd" + len(parts).to_bytes(4, "big") + b"".join(parts))

    def pack(self, due: int) -> bytes:
        """The packed form; `due` is the time of the next look, NEVER for none."""
        begins = (self.customer_id, self.newest, self.sealed_to, self.capped, self.numbers, self.current)
        ends = (self.floors, self._told(), list(self.sealed.values()), self.marks)
        if self.size < FEW:
            return b"%b%b%b" % (_HEAD, due.to_bytes(8, "big"), _encode((*begins, self.entries, *ends)))
        begun, ended = _encode(begins), _encode(ends)
        parts = [_HEAD, due.to_bytes(8, "big"), _FIELDS, begun[1:], _encode(dict.fromkeys(self.entries))[:1]]
        at = sum(map(len, parts))
        for family, entries in self.entries.items():
            name = _encode(family)
            body = self._body(family, entries, at + len(name))
            parts += (name, body)
            at += len(name) + len(body)
        packed = b"".join([*parts, ended[1:]])
        if packed != self._packed:
            self._packed = packed
        return self._packed


_at = attrgetter("at")


def _started(contact: Contact) -> int:
    return contact.start.at


def _start(contact: Contact) -> tuple[int, str, int]:
    return (contact.start.at, contact.key, contact.entries[0].at)


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
    facts._packed = packed
    return facts


def due_of(packed: bytes) -> int:
    """The time of the next look, without unpacking the rest."""
    return int.from_bytes(packed[1:9], "big")


def all_entries(facts: Facts) -> Iterator[Entry]:
    """Every entry, in no particular order."""
    for entries in facts.entries.values():
        yield from entries
