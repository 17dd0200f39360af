"""What is said of topics that are not to be had."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from volvere.topics import BrokerProblem, await_leaders


class Busy:
    """An admin client whose broker has made the topics, and is slow to say who leads them."""

    def wait_for_topics(self, *_: object, **__: object) -> None:
        """They are there."""

    def list_partition_offsets(self, places: dict[Any, Any], **_: object) -> None:
        """As Kafka's client, which names every partition."""
        raise KafkaTimeoutError(f"no leader for {list(places)}")


def test_a_broker_that_is_slow_with_hundreds_of_partitions() -> None:
    """One line, not one of each partition; and what to do."""
    with pytest.raises(BrokerProblem) as told:
        await_leaders(Busy(), {"frictions", "touchpoints"}, 288)
    said = str(told.value)
    assert said.startswith("frictions, touchpoints: made with 288 partitions each, but after 60 s")
    assert "wait, then run volvere topics check" in said
    assert len(said) < 250
