"""What the long benchmarks conclude from what they see, without Kafka."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from random import Random

import pytest

from schemas.errors import Impossible
from schemas.times import DAY, parse_time
from streams.partition import CONTROL
from streams.rules import parse_rules
from volvere.bench.failover import Pulse
from volvere.bench.questions import written
from volvere.bench.soak import DAYS, Series, State, company
from volvere.bench.stage import Stage
from volvere.settings import Settings
from volvere.worker import wall


def _series(values: list[float], every: float = 10.0, whole: float | None = None) -> Series:
    return Series("memory", "MiB", whole, [n * every for n in range(len(values))], values)


def test_a_leak_is_seen_through_the_noise() -> None:
    """A leak of 2 % in 10 minutes is told as one, though the memory goes up and down by 5 % all the time; the same without a leak is flat."""
    noise = Random(1)
    steady = [1000 + 50 * noise.uniform(-1, 1) for _ in range(300)]
    leaking = [value + 1000 * 0.02 * n / 60 for n, value in enumerate(steady)]
    assert _series(steady).growth() == pytest.approx(0, abs=0.5)
    assert _series(leaking).growth() == pytest.approx(1.9, abs=0.6)


def test_a_burst_is_no_growth() -> None:
    """Files that a merge has open for a moment, late in the soak, do not pass for files that are never closed; those are seen all the same."""
    bursts = [28.0 + 270 * (n in (180, 240, 285, 290)) for n in range(300)]
    assert _series(bursts).growth() == 0
    assert _series([value + n / 60 for n, value in enumerate(bursts)]).growth() > 1


def test_lag_grows_by_the_share_that_is_not_managed() -> None:
    """A worker that is 3 % too slow falls behind by 3 % of the time; one that is now and then a second late does not."""
    assert _series([0.03 * 10 * n for n in range(60)], whole=600.0).growth() == pytest.approx(3)
    assert _series([float(n % 10 == 0) for n in range(60)], whole=600.0).growth() == pytest.approx(0, abs=0.1)


def test_too_few_samples_are_no_verdict() -> None:
    """A single sample is flat and steep at once."""
    with pytest.raises(Impossible, match="too few samples"):
        _series([1.0]).growth()


def test_the_state_is_what_its_topic_says() -> None:
    """The newest value of a key counts, a forgotten subject does not, and where the worker stands is no subject."""
    state = State()
    for key, value in ((b"ann", b"1234"), (b"bob", b"12"), (b"ann", b"12345678"), (CONTROL, b"{}"), (b"bob", None)):
        state.note(key, value)
    assert (len(state.sizes), state.total, state.retired) == (1, len(b"ann12345678"), 1)


def test_the_company_lives_in_the_past_at_its_pace() -> None:
    """All days of a soak fit into its time at its rate, and none of them is in the future, where touchpoints are refused."""
    rate, seconds = 1000.0, 60.0
    made = company(rate, seconds)
    assert made.end < wall()
    last = next(t for n, t in zip(count(1), made.touchpoints(), strict=False) if n == round(rate * seconds))
    passed = (parse_time(last["occurred_at"]) - made.start) / DAY
    assert passed == pytest.approx(DAYS, rel=0.2)


def test_silence_counts_from_the_last_friction_before() -> None:
    """Who waits for frictions waits from the last one that came, not from the moment of the kill."""
    pulse = Pulse(Stage(Settings(), "p-", 1, Path(), {}, None))
    pulse.came[0] = [1.0, 2.0, 6.5, 7.0]
    assert pulse.silence(0, since=3.0) == 4.5
    assert pulse.silence(0, since=6.6) == 0.5
    assert pulse.silence(0, since=8.0) == 0.0


def test_questions_cannot_be_asked_without_their_document(tmp_path: Path) -> None:
    """An installed package has no docs; the error says where they are."""
    with pytest.raises(Impossible, match="run this from a checkout"):
        written(tmp_path / "questions.md")


def test_the_job_that_peers_do_as_well_has_two_rules() -> None:
    """A kind that is new must not make the job of the comparison longer for one side."""
    rules = parse_rules((Path(__file__).parents[1] / "bench" / "two_rules.toml").read_text(encoding="utf-8"))
    live = {name for name, rule in rules.named.items() if rule.mode != "off"}
    assert live == {"repeat_contact", "dropped_call"}
