"""Five rounds of `make torture`, in which every fault happens; and what all of its rounds are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.torture import FAULTS, Outcome, dealt, play, report, scene
from tests.kafka import ApacheKafka

ROUNDS = 5
NAMES = sorted(FAULTS)
HANDS = [NAMES[n::ROUNDS] for n in range(ROUNDS)]


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_the_truth_survives_everything(own_kafka: ApacheKafka, tmp_path: Path) -> None:
    """Whatever befalls workers, Kafka and ClickHouse: nothing is lost, nothing is seen twice, the views are the same."""
    own_kafka.start()
    with scene(own_kafka, tmp_path) as at:
        for seed, hand in enumerate(HANDS):
            outcome = play(at, 4 * seed, tmp_path, hand)  # of one week, whose unbroken run is then shared
            assert outcome.equal, (outcome.plan, outcome.problems)
            assert (outcome.lost, outcome.doubled) == (0, 0)
            assert len(outcome.happened) == len(hand), ("a fault met nobody", outcome.plan, outcome.happened)


def test_a_hundred_rounds_deal_every_fault_alone_and_mixed() -> None:
    """`make torture ROUNDS=100` leaves no fault out, and its seeds deal the same every time."""
    hands = [dealt(seed) for seed in range(1, 101)]
    assert hands == [dealt(seed) for seed in range(1, 101)]
    assert Counter(hand[0] for hand in hands if len(hand) == 1) == dict.fromkeys(FAULTS, 1)
    assert min(Counter(name for hand in hands if len(hand) > 2 for name in hand).values()) >= 5


def test_a_round_that_is_not_equal_is_told_with_its_seed(tmp_path: Path) -> None:
    """A report that hid what went wrong would be worth nothing."""
    good = Outcome(4, "kill_broker at part 2", tmp_path, happened=Counter({"kill -9 of the broker": 1}))
    bad = Outcome(5, "kill_store at part 7", tmp_path, lost=2, problems=["2 frictions lost or wrong"])
    text = report([good, bad], 4)
    assert "**1 of 2 rounds equal, 2 frictions lost, 0 doubled.**" in text
    assert "- seed 5 (kill_store at part 7): 2 frictions lost or wrong" in text
