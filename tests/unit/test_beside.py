"""The benchmark beside the peers, without Kafka: its input, its reference, what it compares and what it reports."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from schemas.decode import decode
from schemas.times import SECOND
from tests.bench import cost, report, results
from tests.bench.contestants import CONTESTANTS, LOCK, PEERS, STREAMS_2, VOLVERE_2, VOLVERE_ALL
from tests.bench.measure import Broken, Result, Run, Seen, _between, _same
from tests.bench.records import FIRST, WINDOW, Company, Reference, Touchpoint, Workload, differences, encode
from tests.bench.results import Book, Measured
from tests.bench.storing import Stored

ROOT = Path(__file__).parents[2]


def _call(at: int, contact: int, *, topic: int = 0, customer: int = 1) -> Touchpoint:
    return Touchpoint(FIRST + at, customer, contact, "started", "voice", topic, "")


def test_the_reference_counts_repeats_as_the_rule_does() -> None:
    """Exactly seven days is inside, a microsecond more is not; another topic or customer is nobody's repeat."""
    reference = Reference()
    calls = [
        _call(0, 0),
        _call(WINDOW, 1),
        _call(2 * WINDOW + 1, 2),
        _call(2 * WINDOW + 2, 3, topic=1),
        _call(2 * WINDOW + 3, 4, customer=2),
    ]
    assert [reference.proves(c) for c in calls] == [None, ("repeat_contact", "bench/00000001"), None, None, None]


@pytest.mark.parametrize(
    ("answered", "channel", "by", "dropped"),
    [(True, "voice", "network", True), (False, "voice", "network", False), (True, "chat", "network", False), (True, "voice", "agent", False)],
)  # fmt: skip
def test_the_reference_knows_a_dropped_call(answered: bool, channel: str, by: str, dropped: bool) -> None:
    """Only an answered call that the network ended is one."""
    reference = Reference()
    steps = ["started", *(["answered"] if answered else []), "ended"]
    told = [reference.proves(Touchpoint(FIRST + n, 1, 7, s, channel, 0, by)) for n, s in enumerate(steps)]
    assert told == [*([None] * (len(steps) - 1)), ("dropped_call", "bench/00000007") if dropped else None]


def test_the_records_are_touchpoints() -> None:
    """Volveré reads in a record what the reference was told, and one has the size that the page says."""
    some = list(islice(Company(customers=100).touchpoints(), 1000))
    for t in some:
        read = decode(encode(t), FIRST + 365 * 86_400 * SECOND)
        assert (read.kind, read.occurred_at, read.channel) == (f"contact.{t.step}", t.at, t.channel)
        assert (read.contact_id, read.topic) == (f"bench/{t.contact:08d}", f"topic-{t.topic:02d}")
        assert read.ended_by == (t.ended_by or None)
    assert 220 < sum(len(encode(t)) for t in some) / len(some) < 260
    assert {t.step for t in some} == {"started", "answered", "ended"}


def test_a_workload_is_what_it_says() -> None:
    """So many touchpoints, equally many of each customer, in order in each partition; what follows is the same every time."""
    company = Company(customers=50, entries=60)
    work = Workload(company, 3000)
    assert sum(map(len, work.history)) == 3000
    each = Counter(key for records in work.history for key, _ in records)
    assert len(each) == 50
    assert max(each.values()) - min(each.values()) <= 12
    for records in work.history:
        times = [re.search(rb'"occurred_at":"([^"]+)"', value)[1] for _, value in records]  # type: ignore[index]
        assert times == sorted(times)
    assert {kind for kind, _ in work.reference} == {"repeat_contact", "dropped_call"}
    assert all(work.history[p][offset] for p, offset in work.reference.values())
    assert work.next(20) == work.next(40)[:20]
    whole = Workload(company, 3040)
    after = defaultdict(list)
    for sent in work.next(40):
        after[sent.partition].append((sent.key, sent.value))
    assert whole.history == [before + after[n] for n, before in enumerate(work.history)]


def test_differences_name_the_frictions() -> None:
    """Who found something else is told what it is, and who found the same is told nothing."""
    same = {("repeat_contact", "a"), ("dropped_call", "b")}
    assert differences(same, set(same)) is None
    told = differences({("repeat_contact", "a"), ("repeat_contact", "x")}, same)
    assert told == "1 dropped_call missing, such as b; 1 repeat_contact too much, such as x"


def test_who_finds_other_frictions_ends_the_benchmark(tmp_path: Path) -> None:
    """No table is made of contestants that did not do the same."""
    at = Run(STREAMS_2, None, Workload(Company(customers=10), 1), "run", tmp_path)  # type: ignore[arg-type]  # no broker is asked
    _same(at, [(("dropped_call", "a"), 1)], {("dropped_call", "a")})
    with pytest.raises(
        Broken, match=r"Kafka Streams 4\.1, 2 threads found other frictions .* 1 dropped_call missing, such as b"
    ):
        _same(at, [(("dropped_call", "a"), 1)], {("dropped_call", "a"), ("dropped_call", "b")})


def test_measuring_begins_when_all_partitions_are_under_way() -> None:
    """What was done before is not counted: the rate is that of the events between the two moments."""
    work = Workload(Company(customers=200), 4000)
    last = dict(work.reference.items())
    # Every partition tells its frictions at the rate of a hundred touchpoints a second, the last one begins ten seconds later.
    told: list[Seen] = sorted(
        ((found, offset * 10 + 10_000 * (partition == 3)) for found, (partition, offset) in last.items()),
        key=lambda seen: seen[1],
    )
    began, ended, events = _between(work, told, 0.0)
    assert began >= 10
    assert events / (ended - began) == pytest.approx(100, rel=0.15)
    later, _, fewer = _between(work, told, 0.5)
    assert later > began
    assert fewer < events
    with pytest.raises(Broken, match="no touchpoint proves"):
        _between(work, [(("repeat_contact", "nobody"), 1), *told], 0.0)


def _result(key: str, seconds: float, cpu: float = 20.0) -> Result:
    written = {"facts": 300.0, "frictions": 200.0, "__consumer_offsets": 1.0}
    return Result(key, 3_000_000, 2_900_000, seconds, cpu, 5.0, 2**30, written, 1000, 20_000.0, 40.0, 90.0, 999)


@pytest.fixture
def book() -> Book:
    """Made-up figures, as a run would leave them."""
    runs = [_result(VOLVERE_2.key, 29.0), _result(VOLVERE_2.key, 58.0), _result(VOLVERE_2.key, 29.0)]
    runs += [_result(STREAMS_2.key, 58.0), _result(VOLVERE_ALL.key, 100.0, cpu=50.0)]
    stored = [Stored(1000, 1.0, 10.0, 2**20, 100.0)]
    return Book("two cores", "2026-01-02", "abc", 50_000, 60, 4, 250.0, runs, {"customers": {"10": runs[:1]}}, stored)


def test_the_table_shows_medians_and_their_spread(book: Book) -> None:
    """A lucky run is not the figure, and what the runs were between is shown."""
    assert "| Volveré, two rules, 2 workers | 100,000 (50,000–100,000) | 20.0 (20.0–20.0) | 1,024" in report.table(book)
    assert "beside Kafka Streams with two threads | at least 1 × | 2.00 × |" in report.reach(book)
    assert (
        "| p99 from append to friction at half load, two rules | at most 250 ms | 90 (90–90) ms, 2 workers |"
        in report.reach(book)
    )
    assert report.NOT_YET in report.reach(book)
    assert Measured.of([3.0, 1.0, 2.0]) == Measured(2.0, 1.0, 3.0)


def test_the_chart_is_a_picture_with_words(book: Book) -> None:
    """It can be read by an XML parser, has a bar for everybody and says the same to who cannot see it."""
    svg = "{http://www.w3.org/2000/svg}"
    tree = ET.fromstring(report.chart(book))
    assert len(tree.findall(f"{svg}rect")) == 1 + 3
    assert "Volveré, two rules, 2 workers: 100,000" in (tree.findtext(f"{svg}desc") or "")


def test_the_cost_is_arithmetic(book: Book) -> None:
    """Ten times the touchpoints, ten times of everything; and the figures are those of the book."""
    f = cost.figures(book)
    assert f is not None
    one, ten = (cost.needs(rate, f, cost.Assumed()) for rate in (1_000, 10_000))
    assert one.track_cores == pytest.approx(1_000 * 50 / 1e6 * 2)
    assert one.kafka_disk == pytest.approx(1_000 * 450 * 86_400 * 30 * 3)
    assert ten.euros == pytest.approx(10 * one.euros)
    assert "10,000 × 50.0 / 1,000,000 × 2 = 1.00 cores" in cost.page(book)


def test_figures_outlive_the_run(book: Book, tmp_path: Path) -> None:
    """What was measured can be read again, so that the page can be made anew without measuring."""
    book.write(tmp_path / "b.json")
    assert results.read(tmp_path / "b.json") == book


def test_the_page_is_what_was_measured() -> None:
    """Nobody writes a figure by hand into the page, the chart or what the README claims."""
    book = results.read()
    assert (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8") == report.page(book)
    assert (ROOT / "docs" / "benchmark.svg").read_text(encoding="utf-8") == report.chart(book)
    assert report.reach(book) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_versions_are_those_of_the_locks() -> None:
    """A table that names a version ran with it."""
    lock, pom = LOCK.read_text(encoding="utf-8"), (PEERS / "pom.xml").read_text(encoding="utf-8")
    titles = " ".join(who.title for who in CONTESTANTS)
    (faust,), (quix,) = (
        re.findall(r"^faust-streaming==(\S+)", lock, re.MULTILINE),
        re.findall(r"^quixstreams==(\d+\.\d+)", lock, re.MULTILINE),
    )
    (streams,) = re.findall(r"kafka-streams</artifactId>\s*<version>(\d+\.\d+)", pom)
    assert f"Faust {faust}," in titles
    assert f"Quix Streams {quix}," in titles
    assert f"Kafka Streams {streams}," in titles
    assert "--hash=sha256" in lock
    assert "index-url" not in lock
