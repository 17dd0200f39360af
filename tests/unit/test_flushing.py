"""When a flush is due: at the end of the log, behind it, and far behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.app import FAR, TrackConfig, enough

CONFIG = TrackConfig("localhost:9092", flush_records=1_000, flush_bytes=100_000)


def merged(records: int, size: int = 0, customers: int = 0) -> Any:
    """A partition with so much merged."""
    return SimpleNamespace(pending=records, pending_bytes=size, dirty=range(customers))


@pytest.mark.parametrize("left", [0, 1, 1_999])
def test_near_the_end_the_settings_hold(left: int) -> None:
    """Records, bytes or customers, whatever comes first."""
    assert not enough(CONFIG, merged(999, 99_999, 999), left, 1)
    assert enough(CONFIG, merged(1_000), left, 1)
    assert enough(CONFIG, merged(1, 100_000), left, 1)
    assert enough(CONFIG, merged(1, customers=1_000), left, 1)


@pytest.mark.parametrize(
    ("left", "held", "times"),
    [(2_000, 1, 2), (7_500, 1, 7), (10**9, 1, FAR), (10**9, 4, FAR // 4), (10**9, FAR, 1), (10**9, 10 * FAR, 1)],
)
def test_far_behind_more_comes_together(left: int, held: int, times: int) -> None:
    """As much as is still to be read, shared by the partitions of a worker; but of no more customers."""
    assert not enough(CONFIG, merged(times * 1_000 - 1, times * 100_000 - 1, 999), left, held)
    assert enough(CONFIG, merged(times * 1_000), left, held)
    assert enough(CONFIG, merged(1, times * 100_000), left, held)
    assert enough(CONFIG, merged(1, customers=1_000), left, held)
