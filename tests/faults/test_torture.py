"""Five rounds of `make torture`, in which every fault happens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.torture import FAULTS, play, scene
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
            assert outcome.equal, (seed, hand, outcome.problems)
            assert (outcome.lost, outcome.doubled) == (0, 0)
            _must_have_happened(hand, outcome.happened)


def _must_have_happened(hand: Sequence[str], happened: dict[str, int]) -> None:
    """A fault that met nobody shows nothing."""
    assert len(happened) == len(hand), (hand, happened)
