"""`volvere demo --check`: a store that is wrong in any one way is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.friction import friction_id
from schemas.times import DAY, HOUR
from volvere.check import Count, Friction, Verdict, compare, examples, oracle
from volvere.files import FileProblem
from volvere.simulator import Planted

KIND = "long_wait"


def named(n: int) -> UUID:
    """The id of the wait in the n-th contact."""
    return friction_id(KIND, f"C{n}", contact_id=f"c{n}")


def wait(n: int, severity: str = "warning", resolved_at: int | None = None) -> Friction:
    """A long wait of the n-th customer."""
    return Friction(KIND, f"C{n}", n * HOUR, severity, resolved_at)


def plan(n: int, *, near_miss: bool = False) -> Planted:
    """What was planted in the n-th contact."""
    return Planted(KIND, named(n), f"C{n}", f"C{n}", f"contact/c{n}", n * HOUR, near_miss, "a story")


PLAN = [plan(1), plan(2), plan(3, near_miss=True)]
TRUE = {named(n): wait(n) for n in (1, 2, 4, 5)}
"""Two that were planted, two that happened by chance; the near miss is none."""


def judged(stored: dict[UUID, Friction], known: dict[UUID, Friction] | None = None) -> tuple[Count, Verdict]:
    """What is said about the one kind, and all that is said."""
    verdict = compare(PLAN, stored, TRUE if known is None else known)
    return verdict.kinds[KIND], verdict


def test_a_right_store_is_confirmed_one_by_one() -> None:
    """Nothing to complain about: planted ones found, the near miss silent, and the others confirmed."""
    count, verdict = judged(dict(TRUE))
    assert count == Count(planted=2, found=2, near_misses=1, silent=1, besides=2, confirmed=2)
    assert verdict.disagreements == []
    assert verdict.agreed == 4


def test_a_friction_too_many_is_caught() -> None:
    """What the oracle does not know is not confirmed, also of a kind that nobody planted and the oracle never saw."""
    odd = friction_id("lemon", "C9", source="s", event_id="e9")
    count, verdict = judged(TRUE | {named(6): wait(6), odd: Friction("lemon", "C9", DAY, "warning", None)})
    assert (count.besides, count.confirmed, count.not_confirmed, count.missed) == (3, 2, 1, 0)
    assert verdict.kinds["lemon"] == Count(besides=1, not_confirmed=1)
    assert [(d.subject, d.known) for d in sorted(verdict.disagreements, key=lambda d: d.subject)] == [
        ("C6", None),
        ("C9", None),
    ]


def test_a_friction_too_few_is_caught() -> None:
    """One that only the oracle knows was missed; a planted one is not found, besides."""
    count, verdict = judged({name: f for name, f in TRUE.items() if name not in {named(2), named(5)}})
    assert (count.planted, count.found, count.besides, count.confirmed, count.missed) == (2, 1, 1, 1, 2)
    assert {(d.subject, d.stored, d.plan) for d in verdict.disagreements} == {("C2", None, "planted"), ("C5", None, "")}


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize(
    "change",
    [{"severity": "error"}, {"opened_at": 1}, {"resolved_at": DAY}, {"subject": "somebody else"}, {"kind": "lemon"}],
    ids=lambda change: next(iter(change)),
)
def test_a_friction_that_is_otherwise_is_caught(n: int, change: dict[str, Any]) -> None:
    """Found is not enough, also of a planted one: kind, whose it is, when it opened, how bad, when it ended."""
    _, verdict = judged(TRUE | {named(n): wait(n)._replace(**change)})
    assert sum(c.not_confirmed for c in verdict.kinds.values()) == 1
    [d] = verdict.disagreements
    assert (d.friction_id, d.known) == (named(n), wait(n))
    assert verdict.agreed == 3


def test_the_plan_is_a_judge_of_its_own() -> None:
    """Where the store and the oracle err alike, the plan still tells: a trouble not found, a near miss that was."""
    both = {name: f for name, f in TRUE.items() if name != named(1)} | {named(3): wait(3)}
    count, verdict = judged(both, both)
    assert (count.found, count.silent, count.not_confirmed, count.missed) == (1, 0, 0, 0)
    assert {(d.subject, d.plan) for d in verdict.disagreements} == {("C1", "planted"), ("C3", "near miss")}


def test_examples_are_few_and_of_every_kind() -> None:
    """A thousand disagreements of one kind do not hide the one of another."""
    one = friction_id("lemon", "C9", source="s", event_id="e9")
    verdict = compare(
        [], {named(n): wait(n) for n in range(1000)} | {one: Friction("lemon", "C9", DAY, "warning", None)}, {}
    )
    shown = examples(verdict.disagreements)
    assert len(shown) == 10
    assert {d.kind for d in shown} == {KIND, "lemon"}


def test_without_a_checkout_one_line_says_what_to_do(tmp_path: Path) -> None:
    """An installed package has no oracle: said before anything is started."""
    with pytest.raises(FileProblem, match="run `volvere demo --check` from a checkout"):
        oracle(tmp_path / "tests/oracle.py")
