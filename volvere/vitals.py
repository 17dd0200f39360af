"""What is read off a running worker, for metrics and for health.

It is read by other threads, while the worker goes on. So what is read is a number, or a container that is copied in one go, and nothing here
waits for the event loop: that may be what is stuck.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from schemas.errors import REASONS
from schemas.times import SECOND
from sinks.store import STORED, Store
from volvere import metrics as m
from volvere.metrics import Sample

if TYPE_CHECKING:  # what takes a while is imported where it is used
    from faust.types import TP

    from sinks.alerts.bridge import Bridge
    from streams.app import TrackHost
    from streams.partition import Partition

ANSWERED_WITHIN = 60.0
"""Seconds: Kafka that has not answered for longer, or ClickHouse that took nothing, keeps a worker from being ready."""


@dataclass(frozen=True)
class Work:
    """How many records wait at one place, such as a partition, and what changes whenever something is done there."""

    waiting: int
    moves: Hashable


@dataclass(frozen=True)
class Vitals:
    """How a worker is. started: it has its part of the work; missing: what keeps it from doing it, in words, or nothing.

    places: the work by place; None while it cannot be known, because the broker does not answer.
    """

    started: bool
    missing: str = ""
    places: Mapping[str, Work] | None = field(default_factory=dict)


class Worker(Protocol):
    """A worker that can be looked at."""

    name: str

    def samples(self) -> Iterator[Sample]:
        """What its metrics are now."""

    def vitals(self) -> Vitals:
        """How it is now."""


class Track:
    """`track`. now: microseconds."""

    name = "track"

    def __init__(self, host: TrackHost, now: Callable[[], int]) -> None:
        self.host, self._now = host, now

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        host, tally = self.host, self.host.tally
        refused, frictions = dict(tally.refused), dict(tally.frictions)
        for outcome in ("merged", "repeated", "too_late", "forwarded"):
            yield m.RECORDS, (outcome,), getattr(tally, outcome)
        yield m.RECORDS, ("refused",), sum(refused.values())
        for reason in REASONS:
            yield m.REFUSED, (reason,), refused.get(reason, 0)
        yield m.REPLAYED, (), tally.replayed
        for (kind, event, severity), count in frictions.items():
            yield m.FRICTIONS, (kind, severity, event), count
        yield m.FLUSHES, (), tally.flushes
        yield m.TRANSACTION_TIMEOUT, (), host.config.transaction_timeout_ms / 1000
        yield m.RESTORED, (), host.arrivals.restorer.read
        held = dict(host.partitions)
        yield m.PARTITIONS, ("held",), len(held)
        yield m.PARTITIONS, ("arriving",), len(host.arrivals.numbers)
        yield m.INPUT_SILENT, (), host.listener.silent
        yield m.FUSE, (), 0.0 if host.fuse.calm else host.fuse.share
        for number, partition in sorted(held.items()):
            yield from self._of(partition, (str(number),))

    def _of(self, partition: Partition, label: tuple[str, ...]) -> Iterator[Sample]:
        read, merged = self._read(partition), partition.offset
        end = self.host.consumer.ends.get(self._place(partition))
        if self.host.config.trusted and end is not None:
            lag = max(0, end.highwater - self._reached(partition))
            yield m.LAG_RECORDS, label, lag
            if partition.clock:
                now = partition.broker_time(time.monotonic()) or self._now()
                yield m.LAG_SECONDS, label, max(0, now - partition.clock) / SECOND if lag else 0.0
        if partition.clock:
            yield m.WATERMARK, label, partition.watermark / SECOND
        yield m.QUEUED, label, max(0, read - merged)
        yield m.PENDING, label, partition.pending
        yield m.SUBJECTS, label, len(partition.state)
        yield m.STATE_BYTES, label, partition.state_bytes
        yield m.UNPACKED, label, partition.entries
        yield m.TIMERS, label, len(partition.timers)
        yield m.AGAIN, label, len(partition.again)

    def _place(self, partition: Partition) -> TP:
        from faust.types import TP

        return TP(self.host.names.source, partition.number)

    def _read(self, partition: Partition) -> int:
        """The offset after what was handed out, to be merged."""
        return self.host.consumer.handed.get(self._place(partition), partition.offset)

    def _reached(self, partition: Partition) -> int:
        """The offset after what is merged, and after markers of transactions, which are never handed out."""
        end = self.host.consumer.ends.get(self._place(partition))
        merged = partition.offset
        return max(merged, end.position) if end is not None and merged >= self._read(partition) else merged

    def vitals(self) -> Vitals:
        """How it is."""
        host = self.host
        if not host.joined:
            return Vitals(False, "it waits for Kafka to deal out partitions")
        arriving, held = sorted(host.arrivals.numbers), dict(host.partitions)
        if arriving:
            missing = f"partitions {arriving} are being claimed and restored"
            return Vitals(False, missing, {f"partition {n}": Work(1, host.arrivals.restorer.read) for n in arriving})
        now = time.monotonic()
        missing = ""
        answers = [end.at for end in dict(host.consumer.ends).values()] + list(dict(host.last_records).values())
        if held and now - max([*answers, host.listener.looked]) > ANSWERED_WITHIN:
            missing = f"Kafka has not answered for {ANSWERED_WITHIN:.0f} s or more"
        if not host.config.trusted:  # such a broker does not tell where reading ends
            return Vitals(True, missing)
        if now - host.listener.looked > ANSWERED_WITHIN:
            return Vitals(True, missing, None)
        places = {f"partition {n}": self._work(p) for n, p in held.items()}
        lost = host.assigned_numbers - held.keys()  # for a moment in a rebalance; for long only by a mistake of ours
        places |= {f"partition {n}, which is not held": Work(1, None) for n in lost}
        return Vitals(True, missing, places)

    def _work(self, partition: Partition) -> Work:
        """Records that are not read, or not committed. That something was committed is what counts as done."""
        unread = self.host.listener.ends.get(partition.number, 0) - self._reached(partition)
        committed = partition.control.offset
        return Work(max(0, unread) + max(0, partition.offset - committed), (committed, id(partition)))


class Storing:
    """`store`. now: microseconds."""

    name = "store"

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self.store, self._now = store, now

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        counts = self.store.counts
        rows, refused = dict(counts.rows), dict(counts.refused)
        for topic in STORED:
            yield m.ROWS, (topic.name,), rows.get(topic.name, 0)
            for reason in (*REASONS, "unstorable"):
                yield m.STORE_REFUSED, (topic.name, reason), refused.get((topic.name, reason), 0)
        yield m.BATCHES, (), counts.batches
        yield m.RETRIES, (), self.store.moves[1]
        yield m.ERASURES, (), counts.erased
        now = self._now()
        for (name, partition), behind in sorted(self.store.behind().items()):
            label = (name, str(partition))
            yield m.STORE_LAG_RECORDS, label, behind.records
            yield m.STORE_LAG_SECONDS, label, max(0, now - behind.oldest) / SECOND if behind.oldest else 0.0
        yield m.IN_HAND, (), self.store.in_hand
        yield m.AWAY, (), self._away()

    def _away(self) -> float:
        since = self.store.away_since
        return 0.0 if since is None else time.monotonic() - since

    def vitals(self) -> Vitals:
        """How it is. While ClickHouse is away inserts are tried again, which is a move: it is not ready, and not stuck."""
        if not self.store.joined:
            return Vitals(False, "it waits for Kafka to deal out partitions")
        away = self._away()
        missing = f"ClickHouse has taken nothing for {away:.0f} s" if away > ANSWERED_WITHIN else ""
        waiting = sum(behind.records for behind in self.store.behind().values())
        return Vitals(True, missing, {"what is read": Work(waiting, self.store.moves)})


class Telling:
    """`alert`: one bridge for each receiver."""

    name = "alert"

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        self.bridges = bridges

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for bridge in self.bridges:
            counts, name = bridge.counts, bridge.name
            told, refused = dict(counts.told), dict(counts.refused)
            for what in ("opened", "updated", "resolved"):
                yield m.TOLD, (name, what), told.get(what, 0)
            yield m.REPEATED, (name,), counts.told_again
            for reason in sorted({"refused", "gave_up", *refused}):
                yield m.ALERT_REFUSED, (name, reason), refused.get(reason, 0)
            yield m.ALERT_RETRIES, (name,), counts.retries
            yield m.RECEIVER_AWAY, (name,), bridge.away
            yield m.UNDER_WAY, (name,), bridge.under_way

    def vitals(self) -> Vitals:
        """How it is. A receiver that is away is tried again, which is a move; it is told as a metric, and keeps nobody from being ready."""
        places = {}
        for bridge in self.bridges:
            counts = bridge.counts
            done = sum(dict(counts.told).values()) + sum(dict(counts.refused).values())
            places[bridge.name] = Work(bridge.under_way, (done, counts.retries, counts.told_again))
        started = all(bridge.joined for bridge in self.bridges)
        return Vitals(started, "" if started else "it waits for Kafka to deal out partitions", places)
