"""Real workers as monitoring sees them: what they count, how they are, how far behind they are, and what they write down."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.times import DAY, SECOND, format_time
from schemas.topics import TOUCHPOINTS, partition_of
from tests.command import ROOT, Done, Running, environment, running, volvere
from tests.contract.chdb_http import ChdbHttp
from tests.kafka import ApacheKafka
from tests.scrape import Scrape, address, get, scrape, until
from volvere.metrics import METRICS
from volvere.topics import create
from volvere.worker import wall

pytestmark = pytest.mark.kafka

PARTITIONS = 4
MARK = "zz-who-is-this"
"""What every customer id and every personal field in these records begins with."""
STUCK_AFTER = 6


def touchpoint(n: int, kind: str, ago: int, **fields: object) -> bytes:
    """Of customer n, so long ago (microseconds)."""
    told = {
        "source": "pbx",
        "event_id": f"{MARK}-{n}-{kind}-{ago}",
        "customer_id": f"{MARK}-{n}",
        "kind": kind,
        "channel": "voice",
        "occurred_at": format_time(wall() - ago),
        "contact_id": f"{MARK}/{n}",
    }
    return json.dumps(told | fields).encode()


@dataclass
class Service:
    """One `track` and one `store` on topics of their own."""

    settings: dict[str, Any]
    front: ChdbHttp
    track: Running
    store: Running
    at: dict[str, str]
    ended: dict[str, Done]

    def send(self, *records: tuple[int, bytes], misplaced: bool = False) -> None:
        """Each to the partition of its customer, or to the one after it."""

        async def produce() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.settings["kafka"])
            await producer.start()
            try:
                topic = self.settings["topic_prefix"] + TOUCHPOINTS.name
                owners = ((partition_of(f"{MARK}-{n}", PARTITIONS) + misplaced) % PARTITIONS for n, _ in records)
                sent = [
                    await producer.send(topic, value, partition=owner)
                    for owner, (_, value) in zip(owners, records, strict=True)
                ]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

        asyncio.run(produce())

    def see(self, worker: str) -> Scrape:
        """The metrics of a worker."""
        return scrape(self.at[worker])

    def lag(self, folder: Path, *args: object, code: int = 0) -> list[dict[str, Any]]:
        """What `volvere lag` says."""
        told: list[dict[str, Any]] = json.loads(
            volvere(folder, "lag", "--format", "json", *args, code=code, **self.settings).out
        )
        return told


def waiting(lines: list[dict[str, Any]], group: str, topic: str) -> int:
    """Records that wait, of all partitions."""
    return sum(line["records"] for line in lines if line["group"] == group and line["topic"].endswith(topic))


@pytest.fixture(scope="module")
def service(apache_kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Workers that serve metrics, with every line of their logs kept."""
    folder = tmp_path_factory.mktemp("observed")
    prefix = f"observed-{folder.name}."
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=prefix))
    settings: dict[str, Any] = {
        "kafka": apache_kafka.bootstrap,
        "topic_prefix": prefix,
        "application": prefix.rstrip("."),
        "session_timeout_s": 6,
        "input_silent_after_s": 20,
    }
    served = {"metrics_listen": "0", "log_format": "json", "log_level": "debug", "stuck_after_s": STUCK_AFTER}
    with ExitStack() as stack:
        front = stack.enter_context(ChdbHttp(folder / "clickhouse"))
        settings["clickhouse"] = front.url
        track = stack.enter_context(running(folder, "worker", "track", **settings, **served))
        store = stack.enter_context(running(folder, "worker", "store", **settings, **served))
        at = {"track": address(track), "store": address(store)}
        yield Service(settings, front, track, store, at, {})


def test_health_says_what_it_waits_for(service: Service) -> None:
    """A worker becomes started and ready by itself, is live meanwhile, and says in words what is missing."""
    for at in service.at.values():
        seen: list[tuple[int, str]] = []

        def ready(at: str = at, seen: list[tuple[int, str]] = seen) -> bool:
            seen.append(get(f"{at}/health/ready"))
            return seen[-1] == (200, "ready\n")

        until(ready)
        assert all(status == 503 and len(words) > 10 for status, words in seen[:-1])
        assert get(f"{at}/health/started") == (200, "started\n")
        assert get(f"{at}/health/live") == (200, "live\n")
        assert get(f"{at}/health/else")[0] == 404
        assert get(f"{at}/")[0] == 404
        assert scrape(at)("volvere_started") == scrape(at)("volvere_ready") == 1


def test_every_record_is_counted_once_by_what_became_of_it(service: Service) -> None:
    """The numbers are those of what was sent: merged, repeated, too late, refused, forwarded, replayed; frictions; rows."""
    minute = 60 * SECOND
    calls = [(n, touchpoint(n, "contact.started", 9 * minute)) for n in range(20)]
    service.send(*calls)
    service.send(*((n, touchpoint(n, "contact.answered", 8 * minute, agent_id=f"{MARK}-agent")) for n in range(20)))
    service.send(*calls[:5])
    service.send((0, touchpoint(0, "contact.ended", 7 * minute, ended_by="network")))
    service.send((1, touchpoint(1, "page.viewed", 9 * DAY)))
    service.send((2, touchpoint(2, "page.viewed", 2 * DAY)))
    service.send(
        (3, f"{MARK} is no JSON".encode()),
        (3, touchpoint(3, f"{MARK} is no kind", minute)),
        (3, touchpoint(3, "survey.answered", minute, score=MARK, scale=MARK)),
        (3, b'{"customer_id": "' + MARK.encode() + b'"}'),
    )
    service.send((4, touchpoint(4, "page.viewed", minute)), misplaced=True)

    def counted() -> bool:
        seen = service.see("track")
        return seen("volvere_track_records_total") >= 20 + 20 + 5 + 1 + 1 + 1 + 4 + 1 + 1 and not seen(
            "volvere_track_pending_records"
        )

    until(counted)
    until(lambda: service.see("track")("volvere_track_frictions_total", kind="dropped_call"))
    seen = service.see("track")
    outcomes = {
        w: seen("volvere_track_records_total", outcome=w)
        for w in ("merged", "repeated", "too_late", "forwarded", "refused")
    }
    assert outcomes == {"merged": 43, "repeated": 5, "too_late": 1, "forwarded": 1, "refused": 4}
    reasons = {
        r: seen("volvere_track_refused_records_total", reason=r) for r in ("not_json", "missing_field", "invalid_field")
    }
    assert reasons == {"not_json": 1, "missing_field": 1, "invalid_field": 2}
    assert seen("volvere_track_replayed_records_total") == 1
    assert seen("volvere_track_frictions_total", kind="dropped_call", severity="warning", event="opened") == 1
    assert seen("volvere_track_state_subjects") == 20
    assert seen("volvere_track_unpacked_entries") == 43
    assert seen("volvere_track_state_bytes") > 20 * 50
    assert seen("volvere_track_partitions", phase="held") == PARTITIONS
    assert (
        seen("volvere_track_lag_records")
        == seen("volvere_track_lag_seconds")
        == seen("volvere_track_queued_records")
        == 0
    )
    assert seen("volvere_track_flushes_total") == seen("volvere_track_flush_duration_seconds_count") > 0
    assert (
        seen("volvere_track_flush_duration_seconds_sum") >= seen("volvere_track_flush_write_duration_seconds_sum") > 0
    )
    assert seen("volvere_track_claim_duration_seconds_count") >= 1
    home = str(partition_of(f"{MARK}-4", PARTITIONS))
    assert 100 < wall() / SECOND - seen("volvere_track_watermark_timestamp_seconds", partition=home) < 200

    until(
        lambda: (
            service.see("store")("volvere_store_rows_total", table="frictions")
            and not service.see("store")("volvere_store_lag_records")
        )
    )
    rows = service.see("store")
    assert rows("volvere_store_rows_total", table="touchpoints") == 20 + 20 + 5 + 1 + 1 + 1 + 1 + 1
    assert rows("volvere_store_refused_records_total", table="touchpoints") == 4
    assert rows("volvere_store_batches_total") == rows("volvere_store_batch_duration_seconds_count") > 0
    assert rows("volvere_store_clickhouse_away_seconds") == rows("volvere_store_in_hand_records") == 0


def test_the_page_of_metrics_is_what_is_served(service: Service) -> None:
    """Of Volveré's own names nothing is served that is not in the table; of the table only the other kinds of worker have the rest."""
    served = {family.name: family.type for worker in service.at for family in service.see(worker).families}
    table = {x.name.removesuffix("_total"): x.kind for x in METRICS}
    own = {name: kind for name, kind in served.items() if name.startswith("volvere_")}
    assert own.items() <= table.items()
    assert {name for name in table.keys() - own.keys() if not name.startswith("volvere_alert_")} == set()
    assert served["process_resident_memory_bytes"] == "gauge"


def test_series_do_not_grow_with_customers(service: Service) -> None:
    """A thousand more customers, agents and contacts are not one series more, so that no Prometheus is drowned."""
    before = {worker: len(service.see(worker)) for worker in service.at}
    merged = service.see("track")("volvere_track_records_total", outcome="merged")
    service.send(
        *(
            (n, touchpoint(n, "contact.started", 60 * SECOND, agent_id=f"{MARK}-{n}", queue=f"{MARK}-{n}"))
            for n in range(100, 1100)
        )
    )
    until(lambda: service.see("track")("volvere_track_records_total", outcome="merged") == merged + 1000)
    until(lambda: service.see("track")("volvere_track_state_subjects") >= 1000)
    assert {worker: len(service.see(worker)) for worker in service.at} == before
    assert not any(
        MARK in value for worker in service.at for _, labels in service.see(worker) for value in labels.values()
    )


def test_lag_at_rest(service: Service, tmp_path: Path) -> None:
    """With everything done nothing waits; each partition has an owner and a watermark."""
    until(lambda: not service.see("store")("volvere_store_lag_records"))
    until(lambda: all(line["records"] == 0 for line in service.lag(tmp_path)), within=30)
    lines = service.lag(tmp_path, "--max-seconds", 0)
    assert {line["group"] for line in lines} == {"track", "store"}
    assert len(lines) == PARTITIONS * 5
    assert all(line["owner"] and line["seconds"] == 0 for line in lines)
    ages = [line["watermark_age"] for line in lines if line["group"] == "track"]
    assert len(ages) == PARTITIONS and all(age is not None and 50 < age < 200 for age in ages)
    table = volvere(tmp_path, "lag", **service.settings).out
    assert re.search(r"track +\S+touchpoints +0 +- +- +\d+(\.\d s| min) ago +\S+ 127\.0\.0\.1", table)


def test_waiting_for_clickhouse_is_not_stuck(service: Service, tmp_path: Path) -> None:
    """Longer than a stuck worker is let live it tries again: it lives, says since when, and goes on when ClickHouse is back."""
    stored = service.see("store")("volvere_store_rows_total", table="touchpoints")
    service.front.away = True
    try:
        service.send(*((n, touchpoint(n, "page.viewed", SECOND)) for n in range(7)))
        until(lambda: service.see("store")("volvere_store_clickhouse_away_seconds") > STUCK_AFTER + 2)
        seen = service.see("store")
        assert seen("volvere_store_insert_retries_total") > 0
        assert seen("volvere_store_lag_records", topic=service.settings["topic_prefix"] + TOUCHPOINTS.name) == 7
        assert seen("volvere_store_lag_seconds") > STUCK_AFTER
        assert get(f"{service.at['store']}/health/live") == (200, "live\n")
        lines = service.lag(tmp_path, "--max-seconds", 2, code=1)
        assert waiting(lines, "store", TOUCHPOINTS.name) == 7
        assert max(line["seconds"] for line in lines) > STUCK_AFTER
        assert waiting(lines, "track", TOUCHPOINTS.name) == 0
    finally:
        service.front.away = False
    until(lambda: service.see("store")("volvere_store_rows_total", table="touchpoints") == stored + 7)
    assert service.see("store")("volvere_store_clickhouse_away_seconds") == 0


def test_logs_belong_together_and_name_nobody(service: Service, tmp_path: Path) -> None:
    """At the most talkative level, and after records that were refused for all reasons: each line is JSON, a flush has its partition,
    generation and number, and nowhere is a customer, an agent or anything else of what the records said.
    """
    for worker in (service.track, service.store):
        done = worker.terminate()
        assert done.code == 0
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert len(lines) > 5
        assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
        assert MARK not in done.out
        assert "Traceback" not in done.out
        if worker is service.track:
            flushes = [line for line in lines if "flush" in line]
            assert flushes and all(
                line["partition"] in range(PARTITIONS) and line["generation"] == 1 for line in flushes
            )
            assert [line["flush"] for line in flushes] == list(range(1, len(flushes) + 1))
            assert any("group_generation" in line for line in lines)
    service.send(*((n, touchpoint(n, "page.viewed", 0)) for n in range(9)))
    lines = service.lag(tmp_path, "--max-seconds", 0, code=1)
    assert waiting(lines, "track", TOUCHPOINTS.name) == waiting(lines, "store", TOUCHPOINTS.name) == 9
    assert not any(line["owner"] for line in lines)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("wait", r"stuck, .*: track, partition \d: nothing has been done for \d+ s \(waiting: 1\)"),
        ("block", "the event loop has stood still for"),
    ],
)
def test_a_stuck_worker_is_found_and_ends(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, how: str, said: str
) -> None:
    """A flush that never ends, with and without an event loop that still turns: exit code 4, and why."""
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    settings: dict[str, Any] = {
        "kafka": apache_kafka.bootstrap,
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
    }
    volvere(tmp_path, "send", "-", stdin=touchpoint(1, "page.viewed", SECOND), **settings)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.stuck", how],
        env=environment(**settings, session_timeout_s=6, stuck_after_s=3, input_silent_after_s=5),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 4, ended.stderr
    assert re.search(said, ended.stderr), ended.stderr
