"""A partition that this worker holds: its state, what is merged, and the one flush.

State is a dictionary of packed facts, unpacked on touch; what was touched lately is kept
unpacked as well (`live`, bounded). Merging changes facts in place and needs no copies:
a flush that fails ends the process, and a partition that is lost is dropped whole, so nothing
half-done can survive. Merging may go on while a flush is under way; what it adds before the
flush has derived a subject is then in the state ahead of the position, which is harmless:
the records are read again, and merging twice is once.

The control record is the last record of every flush and the only position that is read.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from schemas.decode import decode
from schemas.errors import Impossible, Unacceptable
from schemas.letters import letter
from schemas.times import DAY, SECOND
from schemas.topics import MAX_MESSAGE, partition_of
from schemas.touchpoint import digest, subject_of
from schemas.traceparent import recorded
from streams.entries import entry_of
from streams.facts import CODEC, READABLE, Facts, due_of, unpack
from streams.fuse import Fuse
from streams.publish import Outbox, Publisher, Record
from streams.tracker import Tracker
from streams.transport import Batch

CONTROL = b"\xffcontrol"
"""The control record's key: not UTF-8, so that no subject can have it."""
FORWARDED = "volvere-forwarded"
"""Header of a forwarded record: how often it was. More than once only after the partition count has changed."""
MAX_FORWARDS = 3
ROOM = 1_000_000
"""Entries kept unpacked a worker, about 600 bytes each with all that belongs to them, besides those of subjects that are changed."""
YIELD_EVERY = 16
"""Subjects that are looked at before the event loop gets a turn: one with thousands of touchpoints may take milliseconds."""
YIELD_KEYS = 5_000
"""Keys of the state that are gone through at a time: some 10 ms."""
AGAIN = 2_000
"""Subjects a flush that are looked at again because the rules have changed."""
OVERDUE = 5_000
"""Subjects a flush that are looked at because their time has come: after a silence that may be nearly all, and a transaction has a deadline."""
REPLAY_AFTER = DAY
"""A touchpoint that comes later than this after it happened is history, and pages nobody."""

_json = msgspec.json.Encoder().encode


Timers = list[tuple[int, bytes]]
"""A heap of (time of the next look, key); a key may be there more than once, and in vain."""


class Control(msgspec.Struct, forbid_unknown_fields=False):
    """The control record: where a partition stands. Times: microseconds UTC.

    offset: next source offset to read. watermark: event time believed complete. clock: the
    processing time up to which idle time is in the watermark. live_from: when the generation began, 0 until it has. rules: by kind, the
    digest of its table and the watermark since which it has been so. again: not every subject has been looked at
    under them yet. rebuilding: a rebuild has begun here and has not ended.
    """

    offset: int
    watermark: int
    clock: int
    generation: int
    codec: int
    partitions: int
    live_from: int = 0
    rules: dict[str, tuple[str, int]] = {}
    again: bool = False
    rebuilding: bool = False


_decode_control = msgspec.json.Decoder(Control).decode


def read_control(value: bytes, partitions: int, generation: int | None = None) -> Control:
    """A control record; Impossible where a newer release, another partition count or half a rebuild wrote it."""
    control = _decode_control(value)
    if control.codec not in READABLE:
        raise Impossible(
            f"the state was written with codec {control.codec}; this release reads {sorted(READABLE)}: upgrade it"
        )
    if control.rebuilding:
        raise Impossible("a rebuild was interrupted, the state is not whole: run `volvere rebuild` again")
    if control.partitions != partitions:
        raise Impossible(
            f"the state was built for {control.partitions} partitions, the topics have {partitions}: "
            "a partition count is fixed within a generation; rebuild the state to change it"
        )
    if generation is not None and control.generation > generation:
        raise Impossible(f"the state is of generation {control.generation}, this worker of {generation}")
    return control


@dataclass
class Tally:
    """What a worker has counted. Records may be read again after a restart, and are counted again."""

    read: int = 0
    merged: int = 0
    repeated: int = 0
    too_late: int = 0
    forwarded: int = 0
    replayed: int = 0
    flushes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    frictions: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Flushed:
    """One flush that is committed. Times by the steady clock, seconds: from `composed` to `ended` it was being written.

    number: of this worker's flushes, by which log lines and spans belong together.
    """

    partition: int
    generation: int
    number: int
    offset: int
    records: int
    frictions: int
    began: float
    composed: float
    ended: float


def unheard(_: Flushed) -> None:
    """Nobody wants to know of a flush."""


class Spans(Protocol):
    """What traces tell of one flush. A trace is told by its `traceparent`."""

    def looked_at(self, traces: Iterable[bytes]) -> None:
        """At a subject, whose touchpoints since the last look came with these."""

    def friction(self, value: bytes, touchpoints: Mapping[tuple[str, str], bytes]) -> list[tuple[str, bytes]]:
        """A friction event; the headers for it. touchpoints: their traces by source and event id."""

    def committed(self, done: Flushed) -> None:
        """The flush is over."""


@dataclass(frozen=True)
class Names:
    """The topics that a partition writes to and reads from."""

    source: str
    frictions: str
    journeys: str
    dead_letters: str


class Partition:
    """One held partition. Everything on it runs in one event loop."""

    def __init__(
        self,
        number: int,
        tracker: Tracker,
        publisher: Publisher,
        names: Names,
        state: dict[bytes, bytes],
        control: Control,
        tally: Tally,
        now: Callable[[], int],
        at: Callable[[str, Partition], Any],
        fuse: Fuse | None = None,
        timers: Timers | None = None,
    ) -> None:
        """timers: of the state, where there is much of it; otherwise they are made at once."""
        self.number, self.tracker, self.publisher, self.names = number, tracker, publisher, names
        self.state, self.control, self.tally, self._now, self._at = state, control, tally, now, at
        self.offset, self.watermark, self.clock = control.offset, control.watermark, control.clock
        self.live: dict[str, Facts] = {}
        # How many entries each of `live` had when it was looked at, the latest at the end, and their sum.
        self.kept: OrderedDict[str, int] = OrderedDict()
        self.entries = 0
        self.room = ROOM
        self.dirty: set[str] = set()
        self.letters: list[Record] = []
        self.forwarded: list[tuple[int, Record]] = []
        self.pending = 0
        self.pending_bytes = 0
        self.flushing = 0
        self.state_bytes = sum(map(len, state.values()))
        self.flushed: Callable[[Flushed], None] = unheard
        self.spans: Callable[[], Spans] | None = None  # of a flush, where traces are wanted
        self.span: Spans | None = None
        self.traces: dict[str, dict[tuple[str, str], bytes]] = {}  # of touchpoints whose subjects are dirty
        self.dead = False
        self.fuse = fuse or Fuse()
        self.appended: tuple[int, float] | None = None
        self.lock = asyncio.Lock()
        self.turn = asyncio.Lock()
        self.timers = [(due_of(packed), key) for key, packed in state.items()] if timers is None else timers
        if timers is None:
            heapq.heapify(self.timers)
        self.met = {
            kind: (digest, control.rules[kind][1])
            if control.rules.get(kind, ("",))[0] == digest
            else (digest, control.watermark)
            for kind, digest in tracker.rules.table_digests.items()
        }
        self.since = {kind: since for kind, (_, since) in self.met.items()}
        self.again = list(state) if self.met != control.rules or control.again else []

    async def forget(self) -> None:
        """Give the memory back, once it is dead and no flush is under way."""
        async with self.lock:
            await dissolve(self.state)
            await dissolve(self.live)
            await dissolve(self.kept)
            while self.timers:
                del self.timers[-YIELD_KEYS:]
                await asyncio.sleep(0)

    # -- merging

    def take(self, batch: Batch) -> None:
        """Decode, judge and merge the records of a batch; nothing is said before the flush."""
        disorder, lateness = self.tracker.rules.time.disorder, self.tracker.rules.time.lateness
        partitions, live_from = self.control.partitions, self.control.live_from
        watermark, clock, size, unreadable = self.watermark, self.clock, 0, []
        live, state, dirty, tally, heard = self.live, self.state, self.dirty, self.tally, self.fuse.heard
        for n, record in enumerate(batch.records):
            value, appended = record.value, record.timestamp * 1000
            size += len(value) if value is not None else 0
            clock = max(clock, appended)
            try:
                t = decode(value, appended, record.headers)
            except Unacceptable as e:
                self._refuse(record, e)
                unreadable.append(n)
                continue
            heard[t.source] = appended
            subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
            facts = live.get(subject)
            if facts is None:
                key = subject.encode()
                packed = state.get(key)
                if packed is not None:
                    facts = unpack(subject, packed)
                elif (owner := partition_of(subject, partitions)) != self.number:
                    self._forward(owner, key, record)
                    continue
            at = t.occurred_at
            believed = min(at, appended) - disorder
            if believed > watermark:
                watermark = believed
            if at < watermark - lateness:
                tally.too_late += 1
                continue
            if facts is None:
                facts = Facts(subject, t.customer_id)
            replay = appended - at > REPLAY_AFTER or appended < live_from
            if facts.merge(entry_of(t, digest(t), replay)):
                live[subject] = facts
                dirty.add(subject)
                tally.merged += 1
                tally.replayed += replay
                if self.spans is not None and (trace := recorded(record.headers)) is not None:
                    self.traces.setdefault(subject, {})[t.source, t.event_id] = trace
            else:
                tally.repeated += 1
        if unreadable or not self.fuse.calm:
            self.fuse.note(batch.records, set(unreadable))
        self.watermark, self.clock, self.offset = watermark, clock, batch.position
        self.pending += len(batch.records)
        self.pending_bytes += size
        tally.read += len(batch.records)

    def _refuse(self, record: Any, error: Unacceptable) -> None:
        self.tally.refused[error.reason] += 1
        place = (self.names.source, self.number, record.offset)
        self.letters.append(letter(record.key, record.value, record.headers, place, record.timestamp * 1000, error))

    def _forward(self, owner: int, key: bytes, record: Any) -> None:
        hops = 1 + max((_count(value) for name, value in record.headers if name == FORWARDED), default=0)
        if hops > MAX_FORWARDS:
            why = f"forwarded {hops - 1} times, and still not with its owner, {owner}"
            self._refuse(record, Unacceptable("misplaced", why))
            return
        headers = [(name, value) for name, value in record.headers if name != FORWARDED]
        headers.append((FORWARDED, str(hops).encode()))
        size = len(key) + len(record.value) + sum(len(name.encode()) + len(value or b"") for name, value in headers)
        if size > MAX_MESSAGE:
            why = f"{size:,} bytes with key and headers; expected {MAX_MESSAGE:,} at most"
            self._refuse(record, Unacceptable("unpublishable", why))
            return
        self.forwarded.append((owner, (key, record.value, headers)))
        self.tally.forwarded += 1

    def broker_time(self, steady: float) -> int | None:
        """The broker's time (microseconds) at a reading of this machine's steady clock; None where it tells none.

        This machine's own idea of the time is not asked: a clock that is hours ahead would let hours pass.
        """
        if self.appended is None:
            return None
        at, read = self.appended
        return at + round((steady - read) * SECOND)

    def idle(self, until: int) -> None:
        """Everything appended up to `until` (processing time) is merged: that much time has passed."""
        if 0 < self.clock < until:  # before the first record no time passes: it may come from 1999
            self.watermark += until - self.clock
            self.clock = until

    @property
    def due(self) -> bool:
        """Whether some subject must be looked at now."""
        return bool(self.again) or self.overdue

    @property
    def overdue(self) -> bool:
        """Whether some subject's time has come."""
        return bool(self.timers) and self.timers[0][0] <= self.watermark

    # -- flushing

    async def begin(self) -> None:
        """Before the first record: hear the broker's time, and write down when a state begins that begins now."""
        await self.flush(touch=True)
        if not self.control.live_from:
            self.control.live_from = self.appended[0] if self.appended else self._now()
            await self.flush(touch=True)

    async def flush(self, settle: bool = False, touch: bool = False) -> None:
        """Say, remember and acknowledge all that is merged or due.

        settle: journeys whatever was said when. touch: the control record, even if nothing has changed.
        """
        async with self.lock:
            if self.dead or not (self.pending or self.due or settle or touch):
                return
            try:
                # One of a worker's partitions at a time: the others are writing, which needs the loop.
                async with self.turn:
                    began = time.monotonic()
                    self.span = self.spans() if self.spans is not None and not touch else None
                    outbox = await self._compose(settle)
                composed = time.monotonic()
                appended = await self.publisher.write(outbox, self._point)
                if appended:
                    self.appended = appended, time.monotonic()
                await self._point("before install")
            except BaseException:  # cancelled, too: what was composed would be missing from the next flush
                self.dead = True
                raise
            self.control = _decode_control(outbox.control[1] or b"")
            self._evict()
            if not touch:  # what a claim writes is no work
                self._tell(outbox, began, composed)
            await self._point("after install")

    def _tell(self, outbox: Outbox, began: float, composed: float) -> None:
        self.tally.flushes += 1
        done = Flushed(
            self.number,
            self.control.generation,
            self.tally.flushes,
            self.control.offset,
            self.flushing,
            len(outbox.published[self.names.frictions]),
            began,
            composed,
            time.monotonic(),
        )
        self.flushed(done)
        if self.span is not None:
            self.span.committed(done)

    async def _point(self, name: str) -> None:
        await self._at(name, self)

    async def _compose(self, settle: bool) -> Outbox:
        """Derive and diff every changed or due subject; from here on they are as good as said."""
        again = {key for key in self.again[-AGAIN:] if key in self.state}
        del self.again[-AGAIN:]
        control = msgspec.structs.replace(
            self.control,
            offset=self.offset,
            watermark=self.watermark,
            clock=self.clock,
            codec=max(CODEC, self.control.codec),  # what a newer release wrote stays where nobody has touched it
            rules=self.met,
            again=bool(self.again),
        )
        outbox = Outbox(self.number, self.offset, (CONTROL, _json(control), []))
        work, self.dirty = self.dirty | {key.decode() for key in again}, set()
        letters, self.letters = self.letters, []
        outbox.forwarded, self.forwarded = self.forwarded, []
        self.flushing, self.pending, self.pending_bytes = self.pending, 0, 0
        now, recorded_at = control.watermark, self._now()
        for _ in range(OVERDUE):
            if not self.timers or self.timers[0][0] > now:
                break
            _, key = heapq.heappop(self.timers)
            packed = self.state.get(key)
            if packed is not None and due_of(packed) <= now:
                work.add(key.decode())
        if settle:
            work.update(key.decode() for key in self.state)
        frictions: list[Record] = []
        journeys: list[Record] = []
        for i, subject in enumerate(sorted(work)):
            if i % YIELD_EVERY == YIELD_EVERY - 1:
                await asyncio.sleep(0)
            self._look(subject, now, recorded_at, settle, frictions, journeys, outbox)
        outbox.published = {
            self.names.frictions: frictions,
            self.names.journeys: journeys,
            self.names.dead_letters: letters,
        }
        if len(self.timers) > 2 * len(self.state) + 1_000:
            self.timers = await timers_of(self.state)
        return outbox

    def _look(
        self,
        subject: str,
        now: int,
        recorded_at: int,
        settle: bool,
        frictions: list[Record],
        journeys: list[Record],
        outbox: Outbox,
    ) -> None:
        key = subject.encode()
        facts = self.live.get(subject) or unpack(subject, self.state[key])
        look = self.tracker.look(facts, now, recorded_at, settle, self.since)
        if self.span is None:
            frictions.extend((key, value, []) for value in look.frictions)
        else:
            traces = self.traces.pop(subject, {})
            self.span.looked_at(traces.values())
            frictions.extend((key, value, self.span.friction(value, traces)) for value in look.frictions)
        journeys.extend((f"{subject}\n{name}".encode(), value, []) for name, value in look.journeys)
        if look.kinds:
            self.tally.frictions.update(look.kinds)
        self.entries -= self.kept.pop(subject, 0)
        if look.packed is None:
            self.live.pop(subject, None)
            if (old := self.state.pop(key, None)) is not None:
                self.state_bytes -= len(old)
                outbox.state.append((key, None, []))
            return
        self.live[subject] = facts
        self.kept[subject] = size = facts.size
        self.entries += size
        if (old := self.state.get(key)) != look.packed:
            self.state_bytes += len(look.packed) - len(old or b"")
            self.state[key] = look.packed
            outbox.state.append((key, look.packed, []))
            heapq.heappush(self.timers, (look.due, key))

    def _evict(self) -> None:
        """Keep the latest subjects unpacked, as many as there is room for their entries."""
        while self.entries > self.room:
            subject, entries = self.kept.popitem(last=False)
            self.entries -= entries
            if subject not in self.dirty:
                del self.live[subject]


async def timers_of(state: dict[bytes, bytes]) -> Timers:
    """The timers of a state that does not change meanwhile, yielding to the event loop."""
    timers: Timers = []
    for i, (key, packed) in enumerate(state.items()):
        heapq.heappush(timers, (due_of(packed), key))
        if i % YIELD_KEYS == YIELD_KEYS - 1:
            await asyncio.sleep(0)
    return timers


async def dissolve(state: dict[Any, Any]) -> None:
    """Empty a large dictionary, yielding to the event loop: at once, a quarter of a million keys would stop it."""
    while state:
        for _ in range(min(YIELD_KEYS, len(state))):
            state.popitem()
        await asyncio.sleep(0)


def _count(value: bytes | None) -> int:
    """The number in a header that anybody may have written."""
    return int(value) if value is not None and value.isdigit() and len(value) < 4 else 0
