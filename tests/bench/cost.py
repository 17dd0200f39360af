"""What so many touchpoints a second need: a worked example from measured figures, with its arithmetic shown.

Cores are doubled, so that all work at half load and an hour's backlog is gone in an hour. What was not measured is
named as assumed: prices, replication, how long is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.contestants import VOLVERE_ALL
from tests.bench.results import Book, Measured

RATES = (1_000, 10_000, 100_000)
GB = 1e9
DAY_S, MONTH_S = 86_400, 30 * 86_400
HEADROOM = 2
LASTING = ("facts", "journeys")
"""Topics that are compacted: they grow with customers, not with time."""


@dataclass(frozen=True)
class Assumed:
    """What is assumed. Prices in euros a month: of a core with 4 GiB of memory, and of a gigabyte of SSD."""

    core: float = 20.0
    gigabyte: float = 0.08
    replicas: int = 3
    kafka_days: int = 30
    clickhouse_days: int = 365


@dataclass(frozen=True)
class Needs:
    """What one rate needs. kafka_disk, clickhouse_disk: bytes; network: bytes a second into the brokers; euros: a month."""

    rate: int
    track_cores: float
    store_cores: float
    broker_cores: float
    network: float
    kafka_disk: float
    clickhouse_disk: float
    euros: float


@dataclass(frozen=True)
class Figures:
    """What was measured, everything on: CPU seconds a million touchpoints, bytes a touchpoint."""

    track: float
    broker: float
    store: float
    came: float
    written: dict[str, float]
    row: float

    @property
    def kept(self) -> float:
        """Of what is written to Kafka, what is kept for its time."""
        return self.came + sum(size for topic, size in self.written.items() if topic not in LASTING)

    @property
    def all(self) -> float:
        """All that goes into the broker."""
        return self.came + sum(self.written.values())


def figures(book: Book) -> Figures | None:
    """From the runs; None where the book has not all of them."""
    runs = book.of(VOLVERE_ALL.key)
    if not runs or not book.stored:
        return None
    topics = sorted({topic for run in runs for topic in run.written if not topic.startswith("__")})
    return Figures(
        track=Measured.of([r.cpu for r in runs]).median,
        broker=Measured.of([r.broker_cpu for r in runs]).median,
        store=Measured.of([s.cpu for s in book.stored]).median,
        came=book.event_bytes,
        written={topic: Measured.of([r.written.get(topic, 0.0) for r in runs]).median for topic in topics},
        row=Measured.of([s.row_bytes for s in book.stored]).median,
    )


def needs(rate: int, f: Figures, a: Assumed) -> Needs:
    """The arithmetic."""
    track, store = (rate * cpu / 1e6 * HEADROOM for cpu in (f.track, f.store))
    broker = rate * f.broker / 1e6 * HEADROOM * a.replicas
    kafka_disk = rate * f.kept * DAY_S * a.kafka_days * a.replicas
    clickhouse_disk = rate * f.row * DAY_S * a.clickhouse_days
    euros = (track + store + broker) * a.core + (kafka_disk + clickhouse_disk) / GB * a.gigabyte
    return Needs(rate, track, store, broker, rate * f.all, kafka_disk, clickhouse_disk, euros)


def page(book: Book, assumed: Assumed | None = None) -> str:
    """The worked example, Markdown."""
    f, a = figures(book), assumed or Assumed()
    if f is None:
        return "Not measured: it needs runs of Volveré with everything on, and of `store`.\n"
    written = ", ".join(f"{topic} {size:,.0f}" for topic, size in f.written.items())
    lines = [
        (
            f"Measured, with everything on: `track` {f.track:.1f} CPU seconds a million touchpoints, the broker meanwhile {f.broker:.1f} "
            f"(producing the touchpoints not included), `store` {f.store:.1f} with the engine in it. A touchpoint comes as {f.came:,.0f} bytes; "
            f"of each the worker writes, in bytes: {written}. In ClickHouse a row takes {f.row:,.0f} bytes on disk.\n"
        ),
        (
            f"Assumed: {a.replicas} replicas, each with the same work; {a.kafka_days} days of touchpoints and frictions in Kafka; one year of touchpoints "
            f"in ClickHouse, once; {a.core:g} € a month for a core with 4 GiB of memory, {a.gigabyte:g} € for a gigabyte of SSD; "
            f"{HEADROOM} times the cores, so that all is at half load. Put in your own prices: `python -m tests.bench cost --core 20 --gigabyte 0.08`.\n"
        ),
        (
            "| touchpoints/s | `track`, cores | `store` and ClickHouse, cores | brokers, cores | into the brokers, MB/s | Kafka's disks, GB "
            "| ClickHouse's disk, GB | € a month |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for rate in RATES:
        n = needs(rate, f, a)
        lines.append(
            f"| {rate:,} | {n.track_cores:,.2f} | {n.store_cores:,.2f} | {n.broker_cores:,.2f} | {n.network / 1e6:,.1f} | "
            f"{n.kafka_disk / GB:,.0f} | {n.clickhouse_disk / GB:,.0f} | {n.euros:,.0f} |"
        )
    r = RATES[1]
    n = needs(r, f, a)
    lines += [
        f"\nThe arithmetic, at {r:,} touchpoints a second:\n",
        f"- `track`: {r:,} × {f.track:.1f} / 1,000,000 × {HEADROOM} = {n.track_cores:.2f} cores",
        (
            f"- `store` and ClickHouse while inserting: {r:,} × {f.store:.1f} / 1,000,000 × {HEADROOM} = {n.store_cores:.2f} cores; "
            "questions come on top, by how many are asked"
        ),
        f"- brokers: {r:,} × {f.broker:.1f} / 1,000,000 × {HEADROOM} × {a.replicas} = {n.broker_cores:.2f} cores",
        f"- into the brokers: {r:,} × {f.all:,.0f} bytes = {n.network / 1e6:.1f} MB/s, {a.replicas} times that between them and onto disks",
        (
            f"- Kafka's disks: {r:,} × {f.kept:,.0f} bytes × 86,400 × {a.kafka_days} × {a.replicas} = {n.kafka_disk / GB:,.0f} GB; "
            "facts and journeys are compacted and grow with customers instead"
        ),
        f"- ClickHouse's disk: {r:,} × {f.row:,.0f} bytes × 86,400 × {a.clickhouse_days} = {n.clickhouse_disk / GB:,.0f} GB; frictions and journeys come on top",
        (
            f"- euros: ({n.track_cores:.2f} + {n.store_cores:.2f} + {n.broker_cores:.2f}) × {a.core:g} + "
            f"({n.kafka_disk / GB:,.0f} + {n.clickhouse_disk / GB:,.0f}) × {a.gigabyte:g} = {n.euros:,.0f} a month"
        ),
        (
            "\nIt is proportional on purpose: what is shared, such as replicas that idle or a broker's base load, is left out, and the "
            "records were uncompressed. Kafka's share of the disks falls with `compression.type=zstd` on the producers' side."
        ),
    ]
    return "\n".join(lines) + "\n"
