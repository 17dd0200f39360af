"""A held partition: merging, the flush and its order, timers, idle time, and what a successor finds.

The broker is a `Ledger` in memory, which keeps what a compacted topic would keep.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

import streams.partition
from schemas.errors import Impossible
from schemas.times import DAY, SECOND
from schemas.topics import MAX_MESSAGE, partition_of
from schemas.touchpoint import Normal, plain
from streams.facts import CODEC, MAX_ENTRIES, MAX_PACKED, due_of
from streams.partition import (
    AGAIN,
    CONTROL,
    FORWARDED,
    YIELD_EVERY,
    Control,
    Names,
    Partition,
    Tally,
    read_control,
)
from streams.publish import POINTS, Hook, Outbox, Record
from streams.rules import parse_rules
from streams.tracker import Tracker
from streams.transport import Batch
from tests.stories import DEFAULTS, MONDAY, at, story

NAMES = Names("touchpoints", "frictions", "journeys", "touchpoints.dlq")
PARTITIONS = 4
HOME = partition_of("maria", PARTITIONS)
DISORDER = DEFAULTS.time.disorder
SILENCE = "0m message.received chat billing contact=c1"


@dataclass
class Sent:
    """A record as the consumer hands it out; `timestamp`: milliseconds."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


@dataclass
class Ledger:
    """A publisher that keeps what the broker would; a test may have it do something `during` a write, or fail.

    clock: the broker's own, microseconds; 0: it tells none.
    """

    topics: dict[str, list[Record]] = field(default_factory=dict)
    state: dict[bytes, bytes] = field(default_factory=dict)
    control: Control | None = None
    forwarded: list[tuple[int, Record]] = field(default_factory=list)
    flushes: list[Outbox] = field(default_factory=list)
    during: Callable[[], Awaitable[Any]] | None = None
    clock: int = 0

    async def start(self) -> None:
        """Nobody to fence."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def write(self, outbox: Outbox, at: Hook) -> int:
        """All of it, or nothing."""
        await at(POINTS[0])
        if self.during is not None:
            await self.during()
        self.flushes.append(outbox)
        self.forwarded += outbox.forwarded
        for topic, records in outbox.published.items():
            for _, value, _ in records:
                assert len(value or b"") <= MAX_MESSAGE
            self.topics.setdefault(topic, []).extend(records)
        for key, value, _ in outbox.state:
            assert key is not None and len(key) + len(value or b"") <= MAX_MESSAGE
            if value is None:
                del self.state[key]
            else:
                self.state[key] = value
        key, value, _ = outbox.control
        assert key == CONTROL and value is not None
        self.control = read_control(value, PARTITIONS)
        return self.clock

    @property
    def said(self) -> list[str]:
        """The friction events so far: subject, kind, type."""
        events = [json.loads(value or b"") for _, value, _ in self.topics.get("frictions", [])]
        return [f"{e['subject']} {e['data']['kind']} {e['type'].rsplit('.')[-1]}" for e in events]

    @property
    def letters(self) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
        """The dead letters so far."""
        return [(key, value, dict(headers)) for key, value, headers in self.topics.get("touchpoints.dlq", [])]


class Desk:
    """A partition with a log of its own, which may be given to a successor at any time."""

    def __init__(self, number: int = HOME, live_from: int = 0) -> None:
        self.number, self.live_from = number, live_from
        self.log: list[Sent] = []
        self.ledger = Ledger()
        self.points: list[str] = []
        self.tally = Tally()
        self.rules = DEFAULTS
        self.partition = self.claim()

    def claim(self) -> Partition:
        """What a successor restores from the ledger."""
        control = self.ledger.control or Control(0, 0, 0, 1, CODEC, PARTITIONS, self.live_from)
        state, tracker = dict(self.ledger.state), Tracker(self.rules, control.generation)
        self.partition = Partition(
            self.number, tracker, self.ledger, NAMES, state, control, self.tally, lambda: MONDAY, self._point
        )
        return self.partition

    async def _point(self, name: str, partition: Partition) -> None:
        assert partition is self.partition
        self.points.append(name)

    def append(self, told: str | Iterable[Normal], appended: int | None = None, **record: Any) -> None:
        """Touchpoints to the log, appended when they happened, or at a time in microseconds."""
        for t in story(told, name=f"n{len(self.log)}-") if isinstance(told, str) else told:
            value = json.dumps(plain(t)).encode()
            when = t.occurred_at if appended is None else appended
            self.log.append(Sent(len(self.log), when // 1000, value, **record))

    def read(self, beyond: int | None = None) -> None:
        """Merge what the log holds from the partition's offset on."""
        records = self.log[self.partition.offset : beyond]
        if records:
            self.partition.take(Batch(0, records, records[-1].offset + 1, True))

    def due(self) -> bool:
        """Whether a timer has come due."""
        return self.partition.due

    def flush(self, settle: bool = False) -> list[str]:
        """One flush; what was said about frictions in it."""
        before = len(self.ledger.said)
        asyncio.run(self.partition.flush(settle))
        return self.ledger.said[before:]

    def tell(self, told: str | Iterable[Normal], appended: int | None = None, **record: Any) -> list[str]:
        """Append, read, flush."""
        self.append(told, appended, **record)
        self.read()
        return self.flush()


def test_what_is_said_remembered_and_acknowledged_is_one() -> None:
    """A flush holds everything up to its position, with the control record; nothing comes before it or without need."""
    desk = Desk()
    desk.append(SILENCE + "\n10m page.viewed web")
    desk.read()
    assert desk.ledger.flushes == [] and desk.partition.pending == 2
    assert desk.flush() == ["maria slow_reply opened"]
    (outbox,) = desk.ledger.flushes
    assert (outbox.position, [key for key, _, _ in outbox.state]) == (2, [b"maria"])
    assert [key.split(b"\n")[0] for key, _, _ in outbox.published["journeys"] if key is not None] == [b"maria"]
    met = {kind: (digest, 0) for kind, digest in DEFAULTS.table_digests.items()}
    assert desk.ledger.control == Control(2, at("10m") - DISORDER, at("10m"), 1, CODEC, PARTITIONS, 0, met), (
        "position, watermark and clock are of one moment"
    )
    assert desk.points == ["before publish", "before install", "after install"]
    assert desk.flush() == [] and len(desk.ledger.flushes) == 1, "nothing new, nothing written"


def test_records_that_come_twice_are_counted_and_change_nothing() -> None:
    """Producers repeat themselves, and so does Kafka after a crash."""
    desk = Desk()
    desk.tell(SILENCE)
    before = dict(desk.ledger.state)
    desk.log.append(Sent(1, desk.log[0].timestamp, desk.log[0].value))
    desk.read()
    assert desk.flush() == [] and desk.ledger.state == before
    assert (desk.tally.merged, desk.tally.repeated) == (1, 1)
    assert desk.ledger.control is not None and desk.ledger.control.offset == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, b"not_json"), (b"{", b"not_json"), (b"[]", b"not_an_object"), (b"{}", b"missing_field"),
     (b" " * 70_000, b"too_large")],
)  # fmt: skip
def test_what_cannot_be_understood_is_a_dead_letter(value: bytes | None, reason: bytes) -> None:
    """It goes out with its raw bytes, its reason and where it was; the stream goes on."""
    desk = Desk()
    desk.log.append(Sent(0, MONDAY // 1000, value, b"key"))
    assert desk.tell(SILENCE) == []
    ((key, raw, headers),) = desk.ledger.letters
    assert (key, raw, headers["reason"]) == (b"key", value, reason)
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"touchpoints", b"%d" % HOME, b"0")
    assert headers["time"] == b"2025-01-06T09:00:00.000000Z"
    assert desk.tally.refused.total() == 1 and b"maria" in desk.ledger.state


@pytest.mark.parametrize(("size", "kept"), [(10, True), (MAX_MESSAGE, False)])
def test_a_dead_letter_keeps_the_envelope_of_a_cloudevent(size: int, kept: bool) -> None:
    """In binary mode half of the event is in headers: without them nobody could send it again."""
    desk = Desk()
    envelope = [("ce_specversion", b"1.0"), ("ce_source", b"s" * size), ("trace", b"not ours"), ("ce_none", None)]
    desk.log.append(Sent(0, MONDAY // 1000, b"{}", b"key", envelope))
    desk.read()
    desk.flush()
    ((_, _, headers),) = desk.ledger.letters
    assert ("ce_source" in headers, "truncated_headers" in headers) == (kept, not kept)
    assert "trace" not in headers
    assert sum(len(n) + len(v) for n, v in headers.items()) < MAX_MESSAGE


@pytest.mark.parametrize("key", [10, MAX_MESSAGE - 100, MAX_MESSAGE + 3_000])
@pytest.mark.parametrize("value", [100, 2 * MAX_MESSAGE])
def test_a_dead_letter_fits_into_a_message(key: int, value: int) -> None:
    """A record as large as the broker takes, or packed larger, must not stop its partition for ever."""
    desk = Desk()
    desk.log.append(Sent(0, MONDAY // 1000, b"x" * value, b"k" * key))
    desk.read()
    desk.flush()
    ((kept, raw, headers),) = desk.ledger.letters
    size = len(kept or b"") + len(raw or b"") + sum(len(n) + len(v) for n, v in headers.items())
    assert size < MAX_MESSAGE
    assert ("truncated" in headers, "truncated_key" in headers) == (value > 100, key > 10)
    assert (kept or b"").startswith(b"kkk") and (raw or b"").startswith(b"xxx")


def test_what_is_in_the_wrong_partition_is_forwarded() -> None:
    """Its owner merges it; here nothing is remembered of it, and its time does not count."""
    desk = Desk((HOME + 1) % PARTITIONS)
    desk.tell(SILENCE, key=b"other", headers=[("ce_specversion", b"1.0")])
    ((to, (key, value, headers)),) = desk.ledger.forwarded
    assert (to, key, value) == (HOME, b"maria", desk.log[0].value)
    assert headers == [("ce_specversion", b"1.0"), (FORWARDED, b"1")]
    assert desk.ledger.state == {} and desk.partition.watermark == 0 and desk.tally.forwarded == 1
    home = Desk()
    home.tell(SILENCE, key=key, headers=headers)
    assert b"maria" in home.ledger.state and not home.ledger.forwarded


@pytest.mark.parametrize("header", [b"1", b"2", b"forged", b"\xff", None])
def test_what_was_forwarded_under_another_count_is_forwarded_again(header: bytes | None) -> None:
    """After the partition count has grown, old forwarded records lie in the wrong partition; none may stop a rebuild."""
    desk = Desk((HOME + 1) % PARTITIONS)
    desk.tell(SILENCE, headers=[(FORWARDED, header)])
    ((_, (_, _, headers)),) = desk.ledger.forwarded
    assert headers == [(FORWARDED, b"%d" % (1 + (int(header) if header in (b"1", b"2") else 0)))]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [([(FORWARDED, b"3")], b"misplaced"), ([("big", b"x" * MAX_MESSAGE)], b"unpublishable")],
)
def test_what_cannot_be_forwarded_is_a_dead_letter(headers: list[tuple[str, bytes]], reason: bytes) -> None:
    """A record that goes in circles, or that does not fit any more, is told of and does not stop anything."""
    desk = Desk((HOME + 1) % PARTITIONS)
    desk.tell(SILENCE, headers=headers)
    ((_, raw, told),) = desk.ledger.letters
    assert (raw, told["reason"], desk.ledger.forwarded) == (desk.log[0].value, reason, [])


def test_too_late_is_counted_and_the_edge_is_not() -> None:
    """What is older than the lateness is not merged; what is exactly as old is."""
    desk = Desk()
    edge = at("30d") - DISORDER - DEFAULTS.time.lateness
    (newest,) = story("30d page.viewed web", name="new")
    old = story("0m page.viewed web\n0m page.viewed web", name="old")
    old[0].occurred_at, old[1].occurred_at = edge, edge - 1
    desk.tell([newest, *old], at("30d"))
    assert (desk.tally.too_late, desk.tally.merged) == (1, 2)
    assert desk.ledger.control is not None and desk.ledger.control.offset == 3


def test_too_late_does_not_depend_on_a_crash() -> None:
    """What is read again after a crash is judged by the watermark that went with the position, also mid-flush."""
    told = [("0m page.viewed web", None), ("20d page.viewed web", None), ("14d page.viewed web", at("20d"))]
    told += [("30d page.viewed web", None), ("22d page.viewed web", at("30d")), ("24d page.viewed web", at("30d"))]

    def play(crash: bool) -> tuple[dict[bytes, bytes], Control | None]:
        desk = Desk()
        for line, appended in told:
            desk.append(line, appended)
        desk.read(2)

        async def go_on() -> None:
            desk.ledger.during = None
            desk.read()

        desk.ledger.during = go_on
        desk.flush()
        if crash:
            assert desk.partition.offset == 6 and desk.claim().offset == 2
            desk.read()
        desk.flush()
        return desk.ledger.state, desk.ledger.control

    assert play(crash=True) == play(crash=False)


def test_timers_fire_when_time_passes_and_after_a_restart() -> None:
    """Silence is noticed by whoever holds the partition then, once."""
    desk = Desk()
    assert desk.tell(SILENCE) == [] and not desk.due()
    desk.claim()
    assert not desk.due()
    desk.partition.idle(at("1m"))
    assert not desk.due()
    desk.partition.idle(at("3m"))
    assert desk.due() and desk.flush() == ["maria slow_reply opened"]
    desk.partition.idle(at("22m"))
    assert desk.flush() == ["maria slow_reply updated"]
    assert desk.claim().watermark == at("21m") and desk.flush() == []


@pytest.mark.parametrize(("broker", "begins"), [(at("3h"), at("3h")), (0, MONDAY)])
def test_a_state_begins_when_the_broker_says_so(broker: int, begins: int) -> None:
    """What is live is judged by the broker's clock, where it tells its own; and a successor finds it written down."""
    desk = Desk()
    desk.ledger.clock = broker
    asyncio.run(desk.partition.begin())
    assert desk.ledger.control is not None and desk.ledger.control.live_from == begins
    desk.ledger.clock = at("5h")
    asyncio.run(desk.claim().begin())
    assert desk.ledger.control.live_from == begins
    assert desk.tally.flushes == 0, "a claim is no work"


def test_time_goes_on_by_the_steady_clock_from_what_the_broker_said() -> None:
    """A machine's own idea of the hour is not asked."""
    desk = Desk()
    assert desk.partition.broker_time(0.0) is None
    desk.ledger.clock = at("3h")
    asyncio.run(desk.partition.begin())
    assert desk.partition.appended is not None
    read = desk.partition.appended[1]
    assert desk.partition.broker_time(read + 60) == at("3h") + 60 * SECOND
    assert desk.partition.broker_time(read - 1) == at("3h") - SECOND


def test_idle_time_that_was_not_flushed_passes_again_once() -> None:
    """A successor goes on from the clock that is remembered: the same time is neither lost nor counted twice."""
    desk = Desk()
    desk.tell(SILENCE)
    desk.partition.idle(at("90s"))
    desk.partition.idle(at("80s"))
    assert desk.partition.watermark == at("30s")
    assert desk.claim().watermark == at("-60s")
    desk.partition.idle(at("90s"))
    assert desk.partition.watermark == at("30s")


def test_history_played_in_stays_where_it_is() -> None:
    """Idle time is added to the watermark, which does not jump to the wall clock."""
    desk = Desk()
    desk.tell(SILENCE, MONDAY + 400 * DAY)
    desk.partition.idle(MONDAY + 400 * DAY + 30 * SECOND)
    assert desk.partition.watermark == at("-30s")


def test_no_time_passes_before_the_first_record() -> None:
    """A worker that waits at empty topics takes a history like one that starts after it was sent."""
    desk = Desk()
    desk.partition.idle(MONDAY + 400 * DAY)
    assert desk.partition.watermark == 0
    desk.tell(SILENCE, MONDAY + 400 * DAY)
    assert desk.tally.too_late == 0 and b"maria" in desk.ledger.state


def test_a_subject_that_is_over_is_retired() -> None:
    """Nothing stays in the state for ever: a tombstone, and a fresh beginning for who comes back."""
    desk = Desk()
    desk.tell("0m page.viewed web")
    desk.partition.idle(MONDAY + 400 * DAY)
    assert desk.due()
    desk.flush()
    assert (b"maria", None, []) in desk.ledger.flushes[-1].state
    assert desk.ledger.state == desk.partition.state == {} and not desk.partition.live
    assert not desk.due()
    desk.tell("500d page.viewed web")
    assert list(desk.ledger.state) == [b"maria"]


@pytest.mark.parametrize(
    ("live_from", "appended", "replay"),
    [(0, "0m", False), (0, "1d", False), (0, "1d1us", True), (at("1h"), "59m", True), (at("1h"), "1h", False)],
)
def test_history_pages_nobody(live_from: int, appended: str, replay: bool) -> None:
    """What comes a day late, or came before the generation began, is marked."""
    desk = Desk(live_from=live_from)
    desk.append(SILENCE, at(appended))
    desk.log[0].timestamp += at(appended) % 1000 > 0  # Kafka's times are milliseconds: the next one
    desk.read()
    desk.partition.watermark = at("5m")
    assert desk.flush() == ["maria slow_reply opened"]
    event = json.loads(desk.ledger.topics["frictions"][0][1] or b"")
    assert event["data"]["replay"] is replay


def test_new_rules_find_the_past_without_a_page() -> None:
    """Under new rules every subject is looked at again: what they find before is history, what comes after is news."""
    desk = Desk()
    assert desk.tell("0m message.received social - contact=c1\n30m page.viewed web - id=p1") == []
    desk.rules = parse_rules('slow_reply.limits.social = "10m"')
    desk.claim()
    assert desk.due() and desk.flush() == ["maria slow_reply opened"]
    assert not desk.due()
    desk.claim()
    assert not desk.due(), "they have been met"
    desk.tell("40m message.received social - contact=c2\n55m page.viewed web - id=p2")
    events = [json.loads(value or b"")["data"] for _, value, _ in desk.ledger.topics["frictions"]]
    assert [(e["contact_id"], e["replay"]) for e in events] == [("c1", True), ("c2", False)]


def test_many_subjects_are_looked_at_again_in_slices() -> None:
    """A change of rules over a large state makes no flush that outlasts its transaction."""
    desk = Desk()
    desk.append(Normal("s", f"e{i}", f"c{i}", "page.viewed", "web", MONDAY) for i in range(2_400 * PARTITIONS))
    desk.read()
    desk.flush()
    assert AGAIN < len(desk.partition.state) < 2 * AGAIN
    desk.rules = parse_rules('closed_door.mode = "shadow"')
    desk.claim()
    before = len(desk.ledger.flushes)
    desk.flush()
    since = dict(desk.partition.since)
    desk.append("3h page.viewed web")
    desk.read()
    desk.claim()
    assert desk.due() and desk.partition.since == since, "whoever goes on knows since when the rules hold"
    desk.read()
    while desk.due():
        desk.flush()
    assert len(desk.ledger.flushes) == before + 3
    assert not desk.ledger.flushes[before].state, "nothing has changed by it"


def test_a_silence_of_many_subjects_is_noticed_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night without records makes no flush that outlasts its transaction; whoever goes on in the middle misses nobody."""
    monkeypatch.setattr(streams.partition, "OVERDUE", 100)
    desk = Desk()
    waiting = [f"c{i}" for i in range(150 * PARTITIONS)]
    desk.append(Normal("s", f"e{c}", c, "message.received", "chat", MONDAY, contact_id=c) for c in waiting)
    desk.read()
    desk.flush()
    everybody = set(desk.partition.state)
    assert 100 < len(everybody) < 200
    desk.partition.idle(at("3m"))
    first = desk.flush()
    assert len(first) == 100 and desk.due()
    desk.claim()
    assert desk.due(), "the successor knows who has not been looked at"
    second = desk.flush()
    assert not desk.due()
    noticed = [line.split()[0].encode() for line in first + second]
    assert len(noticed) == len(everybody) and set(noticed) == everybody


def test_merging_goes_on_during_a_flush() -> None:
    """What comes while the broker is waited for is in the next flush; the position says so."""
    desk = Desk()

    async def go_on() -> None:
        desk.ledger.during = None
        desk.append("10m page.viewed web")
        desk.read()

    desk.ledger.during = go_on
    assert desk.tell(SILENCE) == []
    assert desk.ledger.control is not None and desk.ledger.control.offset == 1
    assert (desk.partition.offset, desk.partition.pending) == (2, 1)
    assert desk.flush() == ["maria slow_reply opened"]
    assert desk.ledger.control.offset == 2


def test_flushes_of_a_partition_wait_for_each_other() -> None:
    """Two flushes at once would say things twice."""
    desk = Desk()
    under_way: list[int] = []

    async def watch() -> None:
        under_way.append(1)
        assert len(under_way) == 1
        await asyncio.sleep(0)
        under_way.pop()
        if len(desk.log) == 1:
            desk.append("10m page.viewed web")
        desk.read()

    desk.ledger.during = watch
    desk.append(SILENCE)
    desk.read()

    async def both() -> None:
        await asyncio.gather(desk.partition.flush(), desk.partition.flush(), desk.partition.flush())

    asyncio.run(both())
    assert desk.ledger.said == ["maria slow_reply opened"] and len(desk.ledger.flushes) == 2


@pytest.mark.parametrize("error", [OSError("no broker"), asyncio.CancelledError()])
def test_a_flush_cut_short_is_the_last(error: BaseException) -> None:
    """Later flushes would acknowledge what it had taken and not said; a successor does it all again instead."""
    desk = Desk()

    async def fail() -> None:
        raise error

    desk.ledger.during = fail
    with pytest.raises(type(error)):
        desk.tell(SILENCE + "\n10m page.viewed web")
    desk.ledger.during = None
    desk.append("11m page.viewed web")
    desk.read()
    assert desk.flush() == [] and desk.ledger.flushes == []
    desk.claim()
    desk.read()
    assert desk.flush() == ["maria slow_reply opened"]


def test_a_dropped_partition_writes_nothing() -> None:
    """It may be somebody else's by now."""
    desk = Desk()
    desk.append(SILENCE)
    desk.read()
    desk.partition.dead = True
    assert desk.flush(settle=True) == [] and desk.ledger.flushes == []


def test_the_end_of_a_file_says_all_journeys() -> None:
    """What is published at most every few seconds is published at the end, whatever was said when."""
    desk = Desk()
    desk.tell("0m page.viewed web")
    desk.tell("1s page.viewed web")
    assert [json.loads(v or b"")["touchpoints"] for _, v, _ in desk.ledger.topics["journeys"]] == [1]
    desk.flush(settle=True)
    assert [json.loads(v or b"")["touchpoints"] for _, v, _ in desk.ledger.topics["journeys"]] == [1, 2]


def many(count: int) -> list[Normal]:
    """Touchpoints of so many customers of this partition, one each, a second apart."""
    names = (f"customer-{n}" for n in range(10 * PARTITIONS * count))
    mine = [name for name in names if partition_of(name, PARTITIONS) == HOME][:count]
    assert len(mine) == count
    return [t for n, name in enumerate(mine) for t in story(f"{n}s message.received chat - contact=c id=m{n}", name)]


def test_a_successor_holds_what_its_predecessor_held() -> None:
    """State, timers and position are restored to the byte; what follows is the same."""
    desk = Desk()
    desk.tell(many(300))
    held = desk.partition
    claimed = desk.claim()
    assert claimed.state == held.state == desk.ledger.state and len(claimed.state) == 300
    assert (claimed.offset, claimed.watermark, claimed.clock) == (held.offset, held.watermark, held.clock)
    assert {due_of(packed) for packed in held.state.values()} == {due for due, _ in claimed.timers}
    twin = Desk()
    twin.ledger.state, twin.ledger.control, twin.log = dict(desk.ledger.state), desk.ledger.control, list(desk.log)
    desk.partition = held
    twin.claim()
    for d in (desk, twin):
        d.partition.idle(at("30m"))
        d.flush()
        d.tell("40m contact.started voice - contact=c2")
    assert desk.ledger.state == twin.ledger.state
    assert desk.ledger.topics["frictions"][-300:] == twin.ledger.topics["frictions"][-300:]


def test_a_flush_lets_others_have_their_turn() -> None:
    """Heartbeats and other partitions go on while thousands of subjects are looked at."""
    desk = Desk()
    desk.append(many(5 * YIELD_EVERY))
    desk.read()
    turns: list[int] = []

    async def both() -> None:
        flushing = asyncio.ensure_future(desk.partition.flush())
        while not flushing.done():
            turns.append(1)
            await asyncio.sleep(0)

    asyncio.run(both())
    assert len(turns) >= 5


def test_what_is_kept_unpacked_is_bounded() -> None:
    """Memory grows with what is remembered, not with who ever called."""
    desk = Desk()
    desk.partition.room = 50
    desk.tell(many(200))
    assert len(desk.partition.live) == 50
    for n, t in enumerate(many(40)):
        desk.tell([t, *story(f"{n + 1}h page.viewed web", name=f"p{n}")])
    assert len(desk.partition.live) <= 52
    assert desk.partition.kept == {subject: facts.size for subject, facts in desk.partition.live.items()}
    assert desk.partition.entries == sum(desk.partition.kept.values()) <= 50
    assert len(desk.partition.timers) <= 2 * len(desk.partition.state) + 1_000 + 60


def test_a_switchboard_fits_into_its_message() -> None:
    """Thousands of open frictions of one number in one flush end with the cap; its state stays publishable."""
    desk = Desk()
    count = 4 * MAX_ENTRIES
    told = [
        t
        for n in range(count)
        for t in story(f"{5 * n}s message.received chat billing contact=6f1c2b3a-4000-8000-{n:012d} id=m{n}")
    ]
    events = desk.tell(told)
    opened, ended = (sum(e.endswith(what) for e in events) for what in ("opened", "resolved"))
    assert opened > 3 * MAX_ENTRIES and opened - ended <= MAX_ENTRIES
    assert len(desk.ledger.state[b"maria"]) <= MAX_PACKED, "a larger one would be refused, again and again"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"codec": CODEC + 1}, "upgrade"),
        ({"partitions": PARTITIONS + 1}, "rebuild"),
        ({"generation": 3}, "generation 3"),
    ],
)
def test_a_state_of_others_is_refused(change: dict[str, int], says: str) -> None:
    """An older release must not misread what a newer one wrote, nor another partition count split customers."""
    control = msgspec.structs.replace(Control(1, 2, 3, 1, CODEC, PARTITIONS, 0), **change)
    with pytest.raises(Impossible, match=says):
        read_control(msgspec.json.encode(control), PARTITIONS, 2)


def test_a_state_that_a_newer_release_wrote_stays_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a downgrade customers are still there in the newer form: a release that cannot read it goes on refusing."""
    monkeypatch.setattr("streams.partition.READABLE", frozenset({CODEC, CODEC + 1}))
    desk = Desk()
    desk.ledger.control = Control(0, 0, 0, 1, CODEC + 1, PARTITIONS, 0)
    desk.claim()
    desk.tell("0m page.viewed web")
    assert desk.ledger.control.offset == 1
    assert desk.ledger.control.codec == CODEC + 1
