"""Servers that do not answer, answer wrongly, or have no room: nobody has to do anything when they are back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaError

from schemas.times import MINUTE, parse_time
from schemas.topics import FRICTIONS, JOURNEYS, TOUCHPOINTS
from schemas.touchpoint import subject_of
from tests.command import Running, ask, running
from tests.contract.chdb_http import ChdbHttp, Fail, LoseAnswer
from tests.faults.crew import admin, crew
from tests.faults.week import (
    PARTITIONS,
    config,
    expected,
    found,
    must_be_there_once,
    published,
    say,
    values,
    week,
)
from tests.faults.week import (
    track as finish,
)
from tests.kafka import ApacheKafka, read_topic
from tests.missing import missing
from volvere import files
from volvere.feed import feed
from volvere.simulator import Company
from volvere.topics import create

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

OUTAGE_S = float(os.environ.get("VOLVERE_TEST_OUTAGE_S", "12"))
"""How long the broker answers nothing: longer than every deadline of the workers (`FLUSH_WITHIN_MS`, 4 s sessions)."""
FLUSH_WITHIN_MS = 4_000
WITHIN_S = 90


def service(kafka: ApacheKafka, prefix: str) -> dict[str, Any]:
    """Settings of a deployment of its own, with topics."""
    assert all(f.good for f in create(kafka.bootstrap, PARTITIONS, prefix=prefix))
    return {
        "kafka": kafka.bootstrap,
        "topic_prefix": prefix,
        "application": prefix.rstrip("."),
        "partitions": PARTITIONS,
        "session_timeout_s": 4,
        "heartbeat_interval_s": 1,
    }


def acknowledged(where: dict[str, Any], worker: str, topic: str) -> int:
    """How far a worker's group has come in a topic, partitions added up."""
    group = f"{where['application']}-{worker}"
    try:
        with admin(where["kafka"]) as client:
            listed = client.list_group_offsets({group: None})[group]
    except KafkaError:  # a new broker, which nobody has asked before, is not ready for it
        return 0
    return sum(at.offset for tp, at in listed.items() if tp.topic == where["topic_prefix"] + topic)


def until_acknowledged(where: dict[str, Any], worker: str, topic: str, wanted: int) -> None:
    """Wait until a worker's group has come so far; asking takes its time, so that this does not spin."""
    deadline = time.monotonic() + WITHIN_S
    while (at := acknowledged(where, worker, topic)) < wanted:
        assert time.monotonic() < deadline, f"{worker} has come to {at} of {wanted} in {topic} within {WITHIN_S} s"


def send(where: dict[str, Any], told: list[dict[str, Any]]) -> None:
    """Append touchpoints."""
    items = [
        files.Record(
            n, json.dumps(t).encode(), subject_of(t["customer_id"], t["contact_id"], t["source"], t["event_id"])
        )
        for n, t in enumerate(told, 1)
    ]
    asyncio.run(feed(where["kafka"], items, where["topic_prefix"]))


# A disk without room


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[Running, bool], None]]:
    """A file system of its own in a folder; gives what fills and empties it. Needs the right to mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        missing("a disk can be made full only by who may mount one: run as root")
    ballast = folder / "ballast"

    def fill(_: Running, full: bool) -> None:
        if not full:
            ballast.unlink()
            return
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(65_536)):
                pass

    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def small_files(folder: Path) -> Iterator[Callable[[Running, bool], None]]:
    """What a process writes may not grow beyond a few pages: as a quota, and needs no rights."""
    folder.mkdir()

    def limit(process: Running, full: bool) -> None:
        least = 10_000 if full else resource.RLIM_INFINITY
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (least, resource.RLIM_INFINITY))

    yield limit


@pytest.mark.parametrize(
    ("disk", "said"), [(small_disk, "not enough space"), (small_files, "no room for a batch in")], ids=["disk", "quota"]
)
def test_a_disk_that_is_full(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, disk: Any, said: str
) -> None:
    """The embedded ClickHouse has no room: it is said, nothing is acknowledged, and with room again it goes on."""
    where = service(apache_kafka, topic_prefix)
    told = list(Company(seed=2, customers=60, days=4).touchpoints())
    half = len(told) // 2
    with disk(tmp_path / "disk") as fill:
        store = tmp_path / "disk" / "store"
        with running(tmp_path, "worker", "store", clickhouse=store, **where) as worker:
            send(where, told[:half])
            until_acknowledged(where, "store", TOUCHPOINTS.name, half)
            fill(worker, True)
            send(where, told[half:])
            line = worker.line(lambda text: said in text)
            assert "trying again, Kafka keeps what comes" in line
            assert acknowledged(where, "store", TOUCHPOINTS.name) == half
            fill(worker, False)
            until_acknowledged(where, "store", TOUCHPOINTS.name, len(told))
            done = worker.terminate()
            assert done.code == 0 and "Traceback" not in done.out
        answer = ask(tmp_path, "SELECT count() AS n, uniq(source, event_id) AS u FROM volvere_store.touchpoints", store)
        assert answer == [{"n": len(told), "u": len(told)}]


# A broker that answers nothing


def test_a_broker_that_answers_nothing_for_longer_than_every_deadline(
    own_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that give up are started again, as an orchestrator does; when the broker is back nothing is missing."""
    monkeypatch.setenv("VOLVERE_TRANSACTION_TIMEOUT_MS", str(FLUSH_WITHIN_MS))
    own_kafka.start()
    bootstrap, told = own_kafka.bootstrap, week(seed=11, customers=300)
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=topic_prefix))
    truth = expected(told.items)
    ended: list[int] = []

    with crew(bootstrap, topic_prefix, tmp_path) as team:

        def supervise() -> None:
            for seat, code in team.ended().items():
                say(f"{seat} ended with {code} and is started again")
                assert code in {2, 4}, team.logs(seat)
                ended.append(code)
                team.start(seat)

        def caught_up() -> bool:
            supervise()
            with contextlib.suppress(KafkaError):
                at = team.offsets()
                return all(at.get(n, 0) >= end for n, end in fed.ends.items())
            return False

        items = [item for part in told.chunks for item in part]
        fed = [asyncio.run(feed(bootstrap, items, topic_prefix)) for _ in range(3)][-1]
        amid_flush = team.start("left", "--point", "before commit", "--nth", "2", "--signal", "SIGSTOP")
        team.start("right")
        team.until(lambda: team.signals, 60)
        os.waitid(os.P_PID, amid_flush.pid, os.WSTOPPED)
        own_kafka.signal(signal.SIGSTOP)
        amid_flush.send_signal(signal.SIGCONT)
        say(f"the broker answers nothing; {team.committed} records committed")
        back = time.monotonic() + OUTAGE_S
        while time.monotonic() < back or 4 not in ended:
            assert time.monotonic() < back + WITHIN_S, f"a flush under way was not given up\n{team.logs()}"
            supervise()
        own_kafka.signal(signal.SIGCONT)
        say("the broker is back")
        deadline = time.monotonic() + WITHIN_S
        while not caught_up():
            assert time.monotonic() < deadline, f"not tracked within {WITHIN_S} s\n{team.logs()}"
        assert not any(team.stop()), team.logs()
    asyncio.run(finish(config(bootstrap, topic_prefix), told.last, fed.ends, fed.newest))
    frictions, journeys = asyncio.run(published(bootstrap, topic_prefix))
    must_be_there_once(frictions)
    standing = found(values(frictions), values(journeys))
    assert standing.frictions == truth.frictions
    assert standing.journeys == truth.journeys


# A ClickHouse that is of no use for a while


@contextlib.contextmanager
def away(front: ChdbHttp) -> Iterator[None]:
    """Every connection breaks."""
    front.away = True
    yield
    front.away = False


@contextlib.contextmanager
def refusing(front: ChdbHttp) -> Iterator[None]:
    """Too many parts, no memory, read-only: whatever passes."""
    front.faults.extend(Fail(code) for code in [252, 241, 242, 164, 243] * 100)
    yield
    front.faults.clear()


@contextlib.contextmanager
def slow(front: ChdbHttp) -> Iterator[None]:
    """Nothing is answered until the end of it."""
    with front.lock:
        yield


@contextlib.contextmanager
def forgetful(front: ChdbHttp) -> Iterator[None]:
    """Every insert is done, and every answer lost."""
    front.faults.extend([LoseAnswer()] * 500)
    yield
    front.faults.clear()


def test_half_an_hour_and_more_without_clickhouse(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> None:
    """Frictions are published all the same, whatever ails the store; a `store` that is killed meanwhile loses nothing."""
    where = service(apache_kafka, topic_prefix)
    told = list(Company(seed=2, customers=100, days=5).touchpoints())
    size = -(-len(told) // 5)
    parts = [told[i : i + size] for i in range(0, len(told), size)]
    with ChdbHttp(tmp_path / "clickhouse") as front, contextlib.ExitStack() as stack:
        track = stack.enter_context(running(tmp_path, "worker", "track", **where))
        where["clickhouse"] = front.url
        store = stack.enter_context(running(tmp_path, "worker", "store", **where))
        send(where, parts[0])
        sent = len(parts[0])
        for part, outage in zip(parts[1:], (away, refusing, slow, forgetful), strict=True):
            until_acknowledged(where, "store", TOUCHPOINTS.name, sent)
            passed = parse_time(part[-1]["occurred_at"]) - parse_time(part[0]["occurred_at"])
            assert passed > 30 * MINUTE
            say(f"{outage.__name__} for {passed / MINUTE / 60:.0f} hours of event time")
            before = len(read_topic(where["kafka"], topic_prefix + FRICTIONS.name))
            with outage(front):
                send(where, part)
                sent += len(part)
                until_acknowledged(where, "track", TOUCHPOINTS.name, sent)
                assert len(read_topic(where["kafka"], topic_prefix + FRICTIONS.name)) > before, "alerts go on"
                assert acknowledged(where, "store", TOUCHPOINTS.name) == sent - len(part)
                if outage is refusing:
                    store.line(lambda text: "ClickHouse is away, trying again, Kafka keeps what comes" in text)
                    store.kill()
                    store = stack.enter_context(running(tmp_path, "worker", "store", **where))
        until_acknowledged(where, "store", TOUCHPOINTS.name, sent)
        assert track.terminate().code == 0
        wanted = {name: read_topic(where["kafka"], topic_prefix + name) for name in (FRICTIONS.name, JOURNEYS.name)}
        for name, records in wanted.items():
            ends = {r.partition: r.offset + 1 for r in records}
            until_acknowledged(where, "store", name, sum(ends.values()))
        assert store.terminate().code == 0

        def count(table: str, identity: str) -> list[int]:
            answer = front.run(f"SELECT count(), uniqExact({identity}) FROM volvere_store.{table} FINAL", {})
            return [int(n) for n in answer.split()]

        frictions = {json.loads(r.value or b"")["data"]["friction_id"] for r in wanted[FRICTIONS.name]}
        assert count("touchpoints", "source, event_id") == [len({(t["source"], t["event_id"]) for t in told})] * 2
        assert count("frictions", "friction_id") == [len(frictions)] * 2
        assert count("journeys", "subject, journey_id") == [len({r.key for r in wanted[JOURNEYS.name]})] * 2
