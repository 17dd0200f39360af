"""One list of known kinds: what else knows kinds agrees with it."""

from __future__ import annotations

import pytest

from schemas.kinds import KINDS, OPERATIONS, is_operation
from schemas.touchpoint import Normal
from streams.entries import FAMILIES, OWN, family_of
from volvere.simulator import Company

KNOWN = {kind: family for family, kinds in KINDS.items() for kind in kinds}
ELSEWHERE = {"order.refunded": "asset"}
"""What is kept with another family than the one that it is listed under: only `lemon` reads it."""


def test_no_kind_is_listed_twice() -> None:
    """A kind has one family."""
    assert len(KNOWN) == sum(map(len, KINDS.values()))


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_a_kind_is_kept_in_its_family(kind: str) -> None:
    """What the list calls a family is what facts keep together; of operations they know nothing."""
    kept = "other" if kind in OPERATIONS else ELSEWHERE.get(kind, KNOWN[kind])
    assert family_of(kind) == kept


def test_nothing_is_known_that_is_not_listed() -> None:
    """The words that facts sort by, what customers do themselves, and what a simulated company tells."""
    assert {kind.partition(".")[0] for kind in FAMILIES} == {k.partition(".")[0] for k in KNOWN.keys() - OPERATIONS}
    assert KNOWN.keys() >= OWN
    told = {t["kind"] for t in Company(customers=400, days=20).touchpoints()}
    assert told - KNOWN.keys() <= {"newsletter.opened"}, "which is unknown on purpose"


@pytest.mark.parametrize(
    ("kind", "customer", "operation"),
    [("agent.left", None, True), ("agent.left", "ana", False), ("agent.promoted", None, False)],
)
def test_an_operation_has_no_customer(kind: str, customer: str | None, operation: bool) -> None:
    """Under a customer it is that customer's touchpoint, and an unknown kind stays where it was sent."""
    assert is_operation(Normal("hr", "1", customer, kind, "internal", 0)) is operation
