"""Measures, reasons and remedies in words."""

from __future__ import annotations

import string

import pytest

from streams.detectors import DETECTORS
from streams.friction import BY_TIME
from volvere import words
from volvere.words import BY_UNIT, LIMITS, PREVENTED, REASONS, duration, ended, length, limit, measure, prevented


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.055, "55 ms"),
        (0.9999, "1 s"),
        (44, "44 s"),
        (363, "6 min 3 s"),
        (120.4, "2 min 0.4 s"),
        (3599.9999, "1 h"),
        (3600, "1 h"),
        (7384.4, "2 h 3 min 4 s"),
        (86_399.7, "1 day"),
        (2 * 86_400 + 4 * 3600 + 59, "2 days 4 h"),
        (730 * 86_400, "730 days"),
        (-90, "-1 min 30 s"),
    ],
)
def test_lengths(seconds: float, said: str) -> None:
    """A wait is read off at a glance, and one just beyond its limit differs from the limit."""
    assert length(seconds) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((363.0, "seconds", None), "6 min 3 s"),
        ((2.0, "contacts", "7d"), "2 contacts within 7 days"),
        ((1.0, "returns", None), "1 return"),
        ((25.0, "days", "730d"), "25 days within 730 days"),
        ((1.0, "days", None), "1 day"),
        ((6.0, "nps", None), "6 of 10 (NPS)"),
        ((1.5, "csat5", None), "1.5 of 5 (CSAT)"),
        ((3.0, "ces7", None), "3 of 7 (CES)"),
        ((4.0, "stars", None), "4 stars"),
        ((12_345.0, "contacts", "soon"), "12,345 contacts within soon"),
    ],
)
def test_measures(given: tuple[float, str, str | None], said: str) -> None:
    """Every unit is said properly; one that is not known here is shown as it is."""
    assert measure(*given) == said


def test_limits() -> None:
    """Whether a limit is itself too much can be told from how it is said."""
    assert limit("long_wait", 120, "seconds") == "more than 2 min"
    assert limit("low_score", 6, "nps") == "6 of 10 (NPS) or less"
    assert limit("transfer_loop", 3, "transfers") == "3 transfers"
    assert limit("dropped_call", 0, "seconds") == "none"
    assert duration("90s") == "1 min 30 s"


def test_every_detector_says_what_would_have_prevented_it() -> None:
    """A kind that is added brings its sentence; none stays behind when a kind goes."""
    kinds = {d.kind for d in DETECTORS}
    assert set(PREVENTED) == kinds
    assert {kind for kind, _ in BY_UNIT} | set(LIMITS) <= kinds
    for sentence in (*PREVENTED.values(), *BY_UNIT.values()):
        assert not sentence.endswith(".")
        places = {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
        assert places <= {"limit", "window", "observed", "grace"}


@pytest.mark.parametrize(
    ("kind", "threshold", "observed", "said"),
    [
        ("long_wait", (120, "seconds", None), "6 min 3 s", "An answer within 2 min"),
        ("queue_abandoned", (5, "seconds", None), "36 s", "An answer, or the offer of a call back, before 36 s had passed"),
        ("repeat_contact", (2, "contacts", "7d"), "", "so that nobody has to come back within 7 days"),
        ("transfer_loop", (1, "returns", None), "", "Somebody who sees it through, never back to where"),
        ("lemon", (25, "days", "730d"), "", "before 25 days out of service within 730 days"),
        ("broken_promise", (0, "seconds", None), "", "by the time it fell due"),
        ("broken_promise", (3600, "seconds", None), "", "it fell due, or at most 1 h later"),
        ("slow_reply", None, "", "A reply from a person within the limit"),
        ("queue_abandoned", None, "", "before so long had passed"),
    ],
)  # fmt: skip
def test_what_would_have_prevented_it(
    kind: str, threshold: tuple[float, str, str | None] | None, observed: str, said: str
) -> None:
    """The sentence holds the numbers of this very friction; without any it is still a sentence."""
    assert said in (prevented(kind, threshold, observed) or "")


def test_what_is_not_known_here() -> None:
    """A worker of a later release may find kinds and reasons of its own: they are shown as they are."""
    assert prevented("teleported", None) is None
    assert ended("teleported") == "teleported"
    assert words.ended(None) == "no reason was given"


def test_reasons() -> None:
    """Whatever ends by itself has its words, and so has what a change of rules or the cap ends."""
    assert set(REASONS) >= BY_TIME | {
        "rule_changed",
        "forgotten",
        "answered",
        "resolved",
        "superseded",
        "replied",
        "kept",
    }
