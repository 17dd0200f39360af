"""What a worker counts and measures, as Prometheus reads it: every name, its help and its labels, in this one table.

Nothing is counted here. `streams` and `sinks` count as they go, and know of no metrics; what they have counted is read when
somebody asks (`volvere.vitals`), so that a record costs nothing more. Only durations are noted when they happen, once a flush.

Names follow Prometheus's conventions: `volvere_`, then the worker; base units (seconds, bytes); counters end in `_total`; moments
are Unix times, whose age is for whoever asks to compute. Labels are partitions, tables, topics and words from lists of our own:
never a customer, an agent or anything else that a sender writes. docs/metrics.md is printed from the table
(`python -m volvere.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"

FLUSH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0)
RESTORE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True)
class Metric:
    """One name. labels: their names; buckets: of a histogram, seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


Sample = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, its value."""


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", text, labels)


def _seconds(name: str, text: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name, "histogram", text, (), buckets)


# Every worker

BUILD = _gauge("volvere_build_info", "1; the labels say what runs here", "version", "python", "worker")
STARTED = _gauge("volvere_started", "1 once the worker has its part of the work, 0 before")
READY = _gauge("volvere_ready", "1 while the worker does its part of the work, 0 while something keeps it from that")
STANDSTILL = _gauge(
    "volvere_loop_standstill_seconds", "Time since the event loop last had a turn; well below 2 while it lives"
)

# track

RECORDS = _counter(
    "volvere_track_records_total",
    "Records that were read, by what became of them: merged, repeated (known already), too_late, forwarded (to their "
    "customer's partition) or refused (a dead letter); what is read again after a restart is counted again",
    "outcome",
)
REFUSED = _counter("volvere_track_refused_records_total", "Records that became dead letters, by reason", "reason")
REPLAYED = _counter(
    "volvere_track_replayed_records_total",
    "Records among the merged that are history, and page nobody: a day late, or older than the generation",
)
FRICTIONS = _counter(
    "volvere_track_frictions_total",
    "Friction events that were published, by kind, severity and what is said (opened, updated, resolved, retracted)",
    "kind",
    "severity",
    "event",
)
FLUSHES = _counter("volvere_track_flushes_total", "Flushes that were committed")
FLUSH = _seconds("volvere_track_flush_duration_seconds", "How long a flush took: deriving and writing", FLUSH_BUCKETS)
FLUSH_WRITE = _seconds(
    "volvere_track_flush_write_duration_seconds",
    "How long the writing of a flush took, which must stay below volvere_track_transaction_timeout_seconds",
    FLUSH_BUCKETS,
)
TRANSACTION_TIMEOUT = _gauge(
    "volvere_track_transaction_timeout_seconds",
    "How long the writing of a flush may take before the worker ends (VOLVERE_TRANSACTION_TIMEOUT_MS)",
)
CLAIM = _seconds(
    "volvere_track_claim_duration_seconds", "How long it took to fence the former owner of partitions", RESTORE_BUCKETS
)
RESTORE = _seconds(
    "volvere_track_restore_duration_seconds",
    "How long it took to read the state of claimed partitions",
    RESTORE_BUCKETS,
)
RESTORED = _counter("volvere_track_restored_records_total", "Records of the state that were read back")
PARTITIONS = _gauge(
    "volvere_track_partitions", "Partitions of this worker: held, or arriving (being claimed and restored)", "phase"
)
LAG_RECORDS = _gauge(
    "volvere_track_lag_records",
    "Records of touchpoints that are not merged yet; not on the embedded broker",
    "partition",
)
LAG_SECONDS = _gauge(
    "volvere_track_lag_seconds",
    "How long ago the last merged record came, while there are others behind it; 0 at the end",
    "partition",
)
WATERMARK = _gauge(
    "volvere_track_watermark_timestamp_seconds",
    "Up to when a partition is believed complete, by the times of its touchpoints; absent before the first",
    "partition",
)
QUEUED = _gauge("volvere_track_queued_records", "Records that were read, and wait to be merged", "partition")
PENDING = _gauge("volvere_track_pending_records", "Records that are merged, and wait for a flush", "partition")
SUBJECTS = _gauge(
    "volvere_track_state_subjects", "Customers, or unknown contacts, whose facts are remembered", "partition"
)
STATE_BYTES = _gauge("volvere_track_state_bytes", "Their facts, packed", "partition")
UNPACKED = _gauge(
    "volvere_track_unpacked_entries", "Touchpoints that are kept unpacked, about 600 bytes each", "partition"
)
TIMERS = _gauge("volvere_track_timers", "Looks at a subject that are due at a later time", "partition")
AGAIN = _gauge(
    "volvere_track_subjects_to_look_at_again", "Subjects left to look at because the rules have changed", "partition"
)
INPUT_SILENT = _gauge(
    "volvere_track_input_silent",
    "1 while no partition gets records (VOLVERE_INPUT_SILENT_AFTER_S), so that no time passes",
)
FUSE = _gauge(
    "volvere_track_fuse_ratio",
    "Of the last 1,000 records of every source, how many were unreadable, that of the best source; at 0.95 the worker stops",
)

# store

ROWS = _counter(
    "volvere_store_rows_total", "Rows that were inserted; what is read again after a restart is counted again", "table"
)
STORE_REFUSED = _counter(
    "volvere_store_refused_records_total",
    "Records that were not stored, by reason; unstorable: ClickHouse does not take the row",
    "table",
    "reason",
)
BATCHES = _counter("volvere_store_batches_total", "Batches that were stored and acknowledged")
RETRIES = _counter(
    "volvere_store_insert_retries_total", "Inserts that were sent again, because ClickHouse did not answer or was busy"
)
ERASURES = _counter("volvere_store_erasures_total", "Journeys that were told to be erased")
BATCH = _seconds(
    "volvere_store_batch_duration_seconds", "How long it took to insert and acknowledge a batch", FLUSH_BUCKETS
)
STORE_LAG_RECORDS = _gauge("volvere_store_lag_records", "Records that are not stored yet", "topic", "partition")
STORE_LAG_SECONDS = _gauge(
    "volvere_store_lag_seconds",
    "How long ago the oldest record came that was read and is not stored yet; 0 without any",
    "topic",
    "partition",
)
IN_HAND = _gauge("volvere_store_in_hand_records", "Records that were read, and are not stored yet")
AWAY = _gauge("volvere_store_clickhouse_away_seconds", "For how long ClickHouse has taken nothing; 0 while it does")

# alert

TOLD = _counter(
    "volvere_alert_told_total", "What receivers took: opened, updated or resolved incidents", "receiver", "what"
)
REPEATED = _counter(
    "volvere_alert_repeated_total", "Open incidents that were told again, to receivers that expect it", "receiver"
)
ALERT_REFUSED = _counter(
    "volvere_alert_refused_total",
    "What was given up, and is in alerts.dlq, by reason: refused, gave_up, or why an event could not be read",
    "receiver",
    "reason",
)
ALERT_RETRIES = _counter("volvere_alert_retries_total", "Requests that a receiver did not take at once", "receiver")
RECEIVER_AWAY = _gauge(
    "volvere_alert_receiver_away", "1 while a receiver takes nothing, and is tried again and again", "receiver"
)
UNDER_WAY = _gauge("volvere_alert_under_way", "What is to be told, and is not acknowledged yet", "receiver")

METRICS = (
    *(BUILD, STARTED, READY, STANDSTILL),
    *(
        RECORDS,
        REFUSED,
        REPLAYED,
        FRICTIONS,
        FLUSHES,
        FLUSH,
        FLUSH_WRITE,
        TRANSACTION_TIMEOUT,
        CLAIM,
        RESTORE,
        RESTORED,
    ),
    *(PARTITIONS, LAG_RECORDS, LAG_SECONDS, WATERMARK, QUEUED, PENDING, SUBJECTS, STATE_BYTES, UNPACKED, TIMERS, AGAIN),
    *(INPUT_SILENT, FUSE),
    *(ROWS, STORE_REFUSED, BATCHES, RETRIES, ERASURES, BATCH, STORE_LAG_RECORDS, STORE_LAG_SECONDS, IN_HAND, AWAY),
    *(TOLD, REPEATED, ALERT_REFUSED, ALERT_RETRIES, RECEIVER_AWAY, UNDER_WAY),
)
"""Every metric of Volveré's own, in the order of the page."""


class Metrics(Collector):
    """The metrics of one process. Asked in a thread of its own; `read` gives what is true at that moment."""

    def __init__(self, read: Callable[[], Iterable[Sample]], histograms: Iterable[Metric]) -> None:
        # Of the library, for the whole process: one series more for each, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._read = read
        self._histograms = {m: Histogram(m.name, m.help, buckets=m.buckets, registry=self.registry) for m in histograms}
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def note(self, metric: Metric, seconds: float) -> None:
        """A duration, of a metric that was named at the start."""
        self._histograms[metric].observe(seconds)

    def collect(self) -> Iterator[Family]:
        """The families of what was read, in the order of the table."""
        found: dict[Metric, CounterMetricFamily | GaugeMetricFamily] = {}
        for metric, labels, value in self._read():
            family = found.get(metric)
            if family is None:
                make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                family = found[metric] = make(metric.name, metric.help, labels=metric.labels)
            family.add_metric(labels, value)
        return (found[metric] for metric in METRICS if metric in found)

    def describe(self) -> Iterable[Family]:
        """Nothing: to be registered it is not asked."""
        return ()


HEAD = """\
# Metrics

What a worker serves at `/metrics` where `VOLVERE_METRICS_LISTEN` is set, in Prometheus's text format. Beside these there are
`process_*` (memory, processor time, open files, start time) and `python_info` of the library prometheus-client.
Histograms have `_bucket`, `_sum` and `_count`. Partitions are those that a worker holds: of all workers together every partition is there once.

The number of series is bounded by the partitions, the kinds of friction and the reasons; no label holds anything that a sender wrote.

| name | type | labels | meaning |
|---|---|---|---|
"""


def reference() -> str:
    """The page."""
    rows = (
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.help} |\n" for m in METRICS
    )
    return HEAD + "".join(rows)


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
