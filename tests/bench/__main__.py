"""`make bench`: Volveré beside its peers, on an Apache Kafka of its own; the page, the chart and the figures go to docs/.

Contestants come in turns, so that what the machine does besides meets all of them. A contestant that finds other
frictions than the others ends the benchmark, with what differed.
"""

from __future__ import annotations

import argparse
import gc
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import cost, report, results
from tests.bench.contestants import CONTESTANTS, VOLVERE_1, VOLVERE_2, Contestant, PeerMissing, prepare
from tests.bench.measure import Broken, run
from tests.bench.records import Company, Workload
from tests.bench.results import Book
from tests.bench.storing import store
from tests.kafka import ApacheKafka, KafkaMissing
from volvere.show import err, out

UNMEASURED = 0.75
"""Of the touchpoints of what grows."""
WARMING = 0.25
"""Of the peers' touchpoints: while these are worked on, Java compiles and caches fill."""


@contextmanager
def _kafka() -> Iterator[tuple[ApacheKafka, Path]]:
    with tempfile.TemporaryDirectory(prefix="volvere-bench-") as name:
        kafka = ApacheKafka(Path(name), lasting=True)
        kafka.start()
        try:
            yield kafka, Path(name)
        finally:
            kafka.kill()


def _given(who: Contestant, events: int) -> int:
    return min(events, who.prefix or events)


def peers(asked: argparse.Namespace) -> None:
    """All contestants, `runs` times."""
    chosen = [who for who in CONTESTANTS if not asked.only or who.key in asked.only.split(",")]
    prepare(chosen)
    company = Company(asked.customers, asked.entries)
    with err.status("making the touchpoints"):
        work = {n: Workload(company, n) for n in {_given(who, asked.events) for who in chosen}}
    book = _book(asked, company, work[max(work)].bytes_an_event)
    with _kafka() as (kafka, folder):
        for number in range(1, asked.runs + 1):
            for who in chosen:
                with err.status(f"run {number} of {asked.runs}: {who.title}"):
                    found = run(who, kafka, work[_given(who, asked.events)], folder, asked.load, WARMING)
                book.runs.append(found)
                told = "" if found.p99 is None else f", p99 {found.p99:,.0f} ms at {found.load:,.0f}/s"
                out.print(f"{number}/{asked.runs} {who.title}: {found.rate:,.0f}/s{told}")
                _write(book, asked.into)
    if asked.store:
        _stored(book, asked, work[max(work)])
    out.print("\n" + report.table(book) + "\n" + report.reach(book))


def stores(asked: argparse.Namespace) -> None:
    """What storing costs, into the book that is there."""
    _stored(results.read(asked.into / "benchmark.json"), asked, Workload(Company(), asked.events))


def _stored(book: Book, asked: argparse.Namespace, work: Workload) -> None:
    book.stored = []
    with _kafka() as (kafka, folder):
        for number in range(1, asked.runs + 1):
            with err.status(f"run {number} of {asked.runs}: store"):
                book.stored.append(store(kafka, work, folder))
            out.print(f"{number}/{asked.runs} store: {book.stored[-1].cpu:.1f} CPU seconds a million")
            _write(book, asked.into)


def scale(asked: argparse.Namespace) -> None:
    """What grows with what, of Volveré with the two rules; into the book that is there."""
    book = results.read(asked.into / "benchmark.json")
    with _kafka() as (kafka, folder):
        for question in asked.only.split(",") if asked.only else report.SIZES:
            book.scale[question] = {}
            for size, company in report.SIZES[question].items():
                who = VOLVERE_2 if (question, size) == ("workers", "2") else VOLVERE_1
                with err.status(f"{size} {question}: making the touchpoints"):
                    work = Workload(company, round(company.customers * company.entries * asked.share))
                for number in range(1, asked.runs + 1):
                    with err.status(f"{size} {question}: run {number} of {asked.runs}"):
                        found = run(who, kafka, work, folder, 0, UNMEASURED)
                    book.scale[question].setdefault(size, []).append(found)
                    out.print(f"{size} {question}: {found.rate:,.0f}/s, {found.cpu:.1f} CPU seconds a million")
                    _write(book, asked.into)
                del work


def own(asked: argparse.Namespace) -> None:
    """`volvere bench track` and `volvere bench store`, over a simulated company."""
    with _kafka() as (kafka, _):
        for what in ("track", "store"):
            subprocess.run([sys.executable, "-m", "volvere.cli", "bench", what, "--kafka", kafka.bootstrap], check=True)


def costs(asked: argparse.Namespace) -> None:
    """What so many touchpoints a second need, from the figures that are there."""
    book = results.read(asked.into / "benchmark.json")
    out.print(cost.page(book, cost.Assumed(core=asked.core, gigabyte=asked.gigabyte)), markup=False)


def write_again(asked: argparse.Namespace) -> None:
    """The page and the chart anew, from the figures that are there."""
    _write(results.read(asked.into / "benchmark.json"), asked.into)


def _book(asked: argparse.Namespace, company: Company, event_bytes: float) -> Book:
    return Book(
        machine=results.machine(),
        day=results.today(),
        commit=results.commit(),
        customers=company.customers,
        entries=company.entries,
        partitions=company.partitions,
        event_bytes=event_bytes,
    )


def _write(book: Book, folder: Path) -> None:
    book.write(folder / "benchmark.json")
    (folder / "benchmark.md").write_text(report.page(book), encoding="utf-8")
    (folder / "benchmark.svg").write_text(report.chart(book), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, does: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=does.__doc__, description=does.__doc__)
        made.set_defaults(does=does)
        made.add_argument(
            "--into", type=Path, default=results.FILE.parent, help="folder of the figures, page and chart"
        )
        return made

    beside = command("peers", peers)
    beside.add_argument("--events", type=int, default=3_000_000, help="touchpoints for those that are quick enough")
    beside.add_argument("--customers", type=int, default=50_000)
    beside.add_argument("--entries", type=int, default=60, help="touchpoints of each customer in the end")
    beside.add_argument("--runs", type=int, default=3)
    beside.add_argument("--load", type=float, default=15.0, help="seconds of half load in each run; 0: none")
    beside.add_argument("--only", help="contestants: " + ",".join(who.key for who in CONTESTANTS))
    beside.add_argument("--store", action=argparse.BooleanOptionalAction, default=True, help="measure `store`, too")
    grows = command("scale", scale)
    grows.add_argument("--runs", type=int, default=3)
    grows.add_argument("--only", help="questions: " + ",".join(report.SIZES))
    grows.add_argument("--share", type=float, default=1.0, help="how much of each company's touchpoints")
    storing = command("store", stores)
    storing.add_argument("--events", type=int, default=1_000_000)
    storing.add_argument("--runs", type=int, default=3)
    command("own", own)
    euros = command("cost", costs)
    euros.add_argument("--core", type=float, default=20.0, help="euros a month for a core with 4 GiB of memory")
    euros.add_argument("--gigabyte", type=float, default=0.08, help="euros a month for a gigabyte of SSD")
    command("page", write_again)
    return parser


def main(*options: str) -> int:
    """Run a command; 1 where contestants disagree or stand still, 2 where something is missing."""
    asked = _parser().parse_args(options or ("peers",))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new broker has no coordinator for its first second
    gc.freeze()
    gc.disable()  # millions of records without cycles
    began = time.monotonic()
    try:
        asked.does(asked)
    except (KafkaMissing, PeerMissing) as e:
        err.print(f"no benchmark: {e}", markup=False)
        return 2
    except Broken as e:
        err.print(str(e), markup=False)
        return 1
    err.print(f"{time.monotonic() - began:,.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
