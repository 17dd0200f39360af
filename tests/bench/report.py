"""The results as a page: a table, ratios, a chart, what grows with what, and what it costs. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from tests.bench import cost
from tests.bench.contestants import CONTESTANTS, FAUST, QUIX, STREAMS_2, VOLVERE_1, VOLVERE_2, VOLVERE_ALL, Contestant
from tests.bench.measure import Result
from tests.bench.records import Company
from tests.bench.results import Book, Measured

MIB = 2**20


def page(book: Book) -> str:
    """The whole page, Markdown."""
    ours = [who for who in CONTESTANTS if book.of(who.key)]
    runs = sorted({len(book.of(who.key)) for who in ours})
    parts = [
        "# Beside its peers\n",
        (
            "Made by `make bench`, which says the same of your machine: the same records through the same Apache Kafka, one after the "
            "other, on the same cores, which the broker shares. [How it is measured](../tests/bench/measure.py), "
            "[the records and the frictions in them](../tests/bench/records.py), [the peers](../tests/bench/peers).\n"
        ),
        (
            f"{book.day}, commit {book.commit}. {book.machine}. {_number(max(r.given for r in book.runs))} touchpoints of "
            f"{_number(book.customers)} customers, {max(r.given for r in book.runs) / book.customers:.0f} each in the end, {book.event_bytes:.0f} bytes with the key, "
            f"{book.partitions} partitions. Medians of {' to '.join(map(str, runs))} runs, in brackets the least and the greatest.\n"
        ),
        *(f"{note}\n" for note in book.notes),
        "![Touchpoints a second](benchmark.svg)\n",
        table(book),
        _notes(book),
        "## What is aimed at\n\n" + reach(book),
    ]
    if book.stored:
        parts.append("## `store`\n\n" + stored(book))
    parts += [
        f"## {title}\n\n{scale(book, question)}" for question, title in SCALES.items() if book.scale.get(question)
    ]
    parts.append("## What it costs\n\n" + cost.page(book))
    return "\n".join(parts)


def table(book: Book) -> str:
    """One row for each contestant."""
    lines = [
        (
            "| | touchpoints/s | CPU seconds a million | memory, MiB | p50 / p99 at half load, ms | half load, touchpoints/s "
            "| written to Kafka, bytes an event | tells a friction |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for who in CONTESTANTS:
        runs = book.of(who.key)
        if not runs:
            continue
        loaded = [r for r in runs if r.p99 is not None]
        latency = f"{_of(loaded, lambda r: r.p50 or 0)} / {_of(loaded, lambda r: r.p99 or 0)}" if loaded else "–"
        lines.append(
            f"| {who.title}{'' if who.prefix is None else ' ¹'} | {_of(runs, lambda r: r.rate)} | "
            f"{_of(runs, lambda r: r.cpu, 1)} | {_of(runs, lambda r: r.memory / MIB)} | {latency} | "
            f"{_of(loaded, lambda r: r.load) if loaded else '–'} | "
            f"{_number(Measured.of([sum(r.written.values()) for r in runs]).median) if who.works else '–'} | {who.exact} |"
        )
    return "\n".join(lines) + "\n"


def _notes(book: Book) -> str:
    slow = [who for who in CONTESTANTS if who.prefix is not None and book.of(who.key)]
    notes = [
        f"¹ {who.title}: the first {_number(max(r.given for r in book.of(who.key)))} of the touchpoints, and so with less to "
        "remember than the others."
        for who in slow
    ]
    frictions = max(r.frictions for r in book.runs)
    notes.append(
        f"All found the same frictions, {_number(frictions)} in all the touchpoints, by kind and contact; otherwise there "
        "would be no table. Volveré does more than that: it also tells when each friction is over, by time "
        "or by what happened, publishes journeys, takes touchpoints late, twice and in any order, and keeps the touchpoints that "
        "prove a friction. The peers keep what the two rules need, and find the same because each customer's touchpoints come "
        "once and in order."
    )
    notes.append(
        "Memory is that of all processes of a contestant, each at its peak. Latency: from the broker's append of the touchpoint "
        "that proves a friction until a `read_committed` consumer holds the friction, at half of the rate that this "
        "run has just reached, with the state that it has left behind; only what happened, not silence."
    )
    return "\n\n".join(notes) + "\n"


GOALS: tuple[tuple[str, Contestant, Contestant, float], ...] = (
    ("two workers, two rules, beside Kafka Streams with two threads", VOLVERE_2, STREAMS_2, 1.0),
    ("one worker, two rules, beside Quix Streams", VOLVERE_1, QUIX, 2.0),
    ("one worker, two rules, beside Faust as its documentation shows it", VOLVERE_1, FAUST, 25.0),
    ("one worker, everything on, beside two rules", VOLVERE_ALL, VOLVERE_1, 0.5),
)
"""What, who, beside whom, and how many times as fast it is to be."""


def stored(book: Book) -> str:
    """What the other worker does with the same touchpoints."""
    cpu, rows = [s.cpu for s in book.stored], [s.row_bytes for s in book.stored]
    return (
        "`volvere worker store`, the same touchpoints from Kafka into the full table of an embedded ClickHouse: "
        f"{_spread(cpu, 1)} CPU seconds a million and {_spread([s.memory / MIB for s in book.stored])} MiB, with the engine in it; "
        f"{_spread(rows)} bytes a row on disk, merged. How fast it is alone, `volvere bench store` says.\n"
    )


def reach(book: Book) -> str:
    """What is aimed at and what was measured, Markdown: the table that the README shows."""
    lines = ["| | goal | measured |", "|---|---|---|"]
    for what, who, beside, goal in GOALS:
        lines.append(f"| {what} | at least {goal:g} × | {_ratio(book, who, beside)} |")
    for what, question, goal in (
        ("CPU an event with 1 million customers, beside 10 thousand", "customers", 1.3),
        ("CPU an event with 500 entries a customer, beside 12", "entries", 2.0),
    ):
        costs = [Measured.of([r.cpu for r in runs]).median for runs in book.scale.get(question, {}).values()]
        measured = f"{costs[-1] / costs[0]:.2f} ×" if len(costs) == len(SIZES[question]) else NOT_YET
        lines.append(f"| {what} | at most {goal:g} × | {measured} |")
    late = [f"{_of(loaded, lambda r: r.p99 or 0)} ms, {who.title.rpartition(', ')[2]}" for who, loaded in _loaded(book)]
    lines.append(
        f"| p99 from append to friction at half load, two rules | at most 250 ms | {'; '.join(late) or NOT_YET} |"
    )
    million = book.scale.get("customers", {}).get("1,000,000")
    memory = f"{_of(million, lambda r: r.memory / MIB)} MiB" if million else NOT_YET
    lines.append(f"| memory for a million customers with 12 entries each | at most 2,560 MiB | {memory} |")
    return "\n".join(lines) + "\n"


NOT_YET = "not yet, on this machine"


def _loaded(book: Book) -> list[tuple[Contestant, list[Result]]]:
    found = [(who, [r for r in book.of(who.key) if r.p99 is not None]) for who in (VOLVERE_1, VOLVERE_2)]
    return [(who, runs) for who, runs in found if runs]


def _ratio(book: Book, who: Contestant, beside: Contestant) -> str:
    mine, theirs = book.of(who.key), book.of(beside.key)
    if not mine or not theirs:
        return NOT_YET
    return f"{Measured.of([r.rate for r in mine]).median / Measured.of([r.rate for r in theirs]).median:.2f} ×"


SIZES = {
    "workers": {"1": Company(), "2": Company()},
    "customers": {f"{n:,}": Company(customers=n, entries=12) for n in (10_000, 100_000, 1_000_000)},
    "entries": {str(n): Company(customers=10_000, entries=n) for n in (12, 120, 500)},
    "partitions": {str(n): Company(entries=20, partitions=n) for n in (4, 16, 64)},
}
"""Question -> sizes. All touchpoints of each company are worked on, and the last quarter of them is measured."""

SCALES = {
    "workers": "More workers",
    "customers": "More customers, 12 entries each",
    "entries": "More entries a customer",
    "partitions": "More partitions",
}


def scale(book: Book, question: str) -> str:
    """One table: what grows, and what becomes of the figures; the first row is what the ratios refer to."""
    sizes = book.scale[question]
    first = Measured.of([r.cpu for r in next(iter(sizes.values()))]).median
    lines = [
        f"| {question} | touchpoints | touchpoints/s | CPU seconds a million | of the first row | memory, MiB | frictions an event |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, runs in sizes.items():
        cpu = Measured.of([r.cpu for r in runs]).median
        lines.append(
            f"| {size} | {_number(runs[0].given)} | {_of(runs, lambda r: r.rate)} | {_of(runs, lambda r: r.cpu, 1)} | {cpu / first:.2f} × | "
            f"{_of(runs, lambda r: r.memory / MIB)} | {runs[0].frictions / runs[0].given:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _of(runs: list[Result], value: Callable[[Result], float], digits: int = 0) -> str:
    return _spread([value(run) for run in runs], digits)


def _spread(values: list[float], digits: int = 0) -> str:
    m = Measured.of(values)
    if len(values) == 1:
        return f"{m.median:,.{digits}f}"
    return f"{m.median:,.{digits}f} ({m.least:,.{digits}f}–{m.greatest:,.{digits}f})"


def _number(value: float) -> str:
    return f"{value:,.0f}"


_WIDTH, _LEFT, _BAR, _ROW = 860, 270, 420, 34
_COLOURS = {"volvere": "#0b7285", "floor": "#adb5bd"}
_STYLE = "text{font:14px system-ui,sans-serif;fill:#212529}.axis{fill:#495057;font-size:12px}"


def chart(book: Book) -> str:
    """Median rates as bars with the least and the greatest, SVG. The floor is cut off where it leaves the others no room."""
    rows = [(who, Measured.of([r.rate for r in book.of(who.key)])) for who in CONTESTANTS if book.of(who.key)]
    most = max((m.greatest for who, m in rows if who.works), default=1.0) * 1.1
    height = 70 + _ROW * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="t d">',
        '<title id="t">Touchpoints a second, median, least and greatest of the runs</title>',
        f'<desc id="d">{escape("; ".join(f"{who.title}: {m.median:,.0f}" for who, m in rows))}</desc>',
        f'<style>{_STYLE}</style><rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24">touchpoints a second; more is better</text>',
    ]
    for n, (who, m) in enumerate(rows):
        y = 40 + n * _ROW
        colour = next((c for key, c in _COLOURS.items() if who.key.startswith(key)), "#868e96")
        cut = m.median > most
        width = _BAR * min(m.median / most, 1.0)
        out.append(f'<text x="{_LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(who.title)}</text>')
        out.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="24" fill="{colour}"/>')
        if not cut:
            low, high = (_LEFT + _BAR * min(v / most, 1.0) for v in (m.least, m.greatest))
            out.append(f'<path d="M{low:.1f} {y + 12}H{high:.1f}" stroke="#212529" stroke-width="2"/>')
        end = _LEFT + max(width, _BAR * min(m.greatest / most, 1.0)) + 8
        out.append(f'<text x="{end:.1f}" y="{y + 17}">{m.median:,.0f}{" (cut off)" if cut else ""}</text>')
    out.append(
        f'<text class="axis" x="{_LEFT}" y="{height - 10}">{escape(book.day)}, commit {escape(book.commit)}</text>'
    )
    return "\n".join([*out, "</svg>"]) + "\n"
