"""What storing costs: `volvere worker store` from Kafka into a new embedded ClickHouse, and the bytes that a row takes there."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sinks import clickhouse
from tests.bench.contestants import Contestant
from tests.bench.measure import Run, Watch, committed, fill, stage
from tests.bench.records import Workload
from tests.kafka import ApacheKafka

STORE = Contestant("store", "volvere worker store", "once")


@dataclass
class Stored:
    """rows: between the two moments of measuring. cpu: seconds of CPU a million rows, engine included. row_bytes: on disk, merged."""

    rows: int
    seconds: float
    cpu: float
    memory: int
    row_bytes: float


def store(kafka: ApacheKafka, work: Workload, folder: Path) -> Stored:
    """One run: the touchpoints of the workload into the full table. Raises Broken."""
    with stage(kafka, work.company.partitions) as name:
        at = Run(STORE, kafka, work, name, folder / name)
        return asyncio.run(_store(at))


async def _store(at: Run) -> Stored:
    await fill(at)
    at.start()
    try:
        with Watch([p.pid for p in at.processes], at.kafka.pid, at.kafka.log, at.name) as watch:
            began, first, done = 0.0, 0, 0
            async for done in committed(at, at.ends()):
                if done and not first:
                    began, first = time.time(), done
            ended = time.time()
    finally:
        at.end()
    with closing(clickhouse.connect(str(at.folder / "0" / "clickhouse"))) as client:
        client.command("OPTIMIZE TABLE volvere_store.touchpoints FINAL")
        sql = "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table = 'touchpoints'"
        ((size, rows),) = clickhouse.query(client, sql)[1]
    bytes_a_row = int(str(size)) / int(str(rows))
    return Stored(
        done - first, ended - began, watch.used(began, ended)[0] / (done - first) * 1e6, watch.memory, bytes_a_row
    )
