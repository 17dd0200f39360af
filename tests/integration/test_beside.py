"""The benchmark beside the peers, tiny, on Apache Kafka: that it measures what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.contestants import FLOOR, VOLVERE_1
from tests.bench.measure import run
from tests.bench.records import Company, Workload
from tests.kafka import ApacheKafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def test_a_tiny_benchmark(apache_kafka: ApacheKafka, tmp_path: Path) -> None:
    """Volveré finds the frictions of the plain function, under load as well, and every figure is there; the floor is faster."""
    work = Workload(Company(customers=100), 6000)
    small = replace(VOLVERE_1, settings=(("flush_records", 200), ("fetch_bytes", 65_536)))
    floor = run(FLOOR, apache_kafka, work, tmp_path, 0)
    assert floor.rate > 0
    assert floor.p99 is None
    found = run(small, apache_kafka, work, tmp_path, 4)
    assert 0 < found.events <= 6000
    assert found.rate < floor.rate
    assert found.cpu > 0
    assert found.memory > 20 * 2**20
    assert {"facts", "frictions", "journeys"} <= found.written.keys()
    assert 0 < (found.p50 or 0) <= (found.p99 or 0)
