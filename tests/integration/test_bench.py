"""The benchmarks that go on for a while, short, on Apache Kafka: that they measure what they say, and leave nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.command import volvere
from tests.conftest import CI
from tests.faults.crew import admin
from tests.kafka import ApacheKafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


def _topics(kafka: ApacheKafka) -> list[str]:
    with admin(kafka.bootstrap) as client:
        return [name for name in client.list_topics() if name.startswith("bench-")]


def test_failover(apache_kafka: ApacheKafka, tmp_path: Path) -> None:
    """Whoever plans for the death of a worker can measure it: the dead one's partitions are silent for about the session
    timeout, the others' are not, and no friction is missing or told twice.
    """
    options = "--workers 2 --partitions 4 --rounds 1 --session-timeout 4 --heartbeat 0.5".split()
    done = volvere(tmp_path, "bench", "failover", "--kafka", apache_kafka.bootstrap, *options, code=None)
    assert done.code in (0, 1), done.said  # a slow machine may break a promise of time
    assert re.search(r"beats, each proves a friction: 0 never seen, 0 seen twice", done.out), done.said

    def of_others_and_own(deed: str) -> list[float]:
        ((others, own),) = re.findall(rf"{deed} +1 +[\d.]+ s, ([\d.]+) s +[\d.]+ s, ([\d.]+) s", done.out)
        return [float(others), float(own)]

    others, own = of_others_and_own("kill -9, the others take over")
    assert own > 2
    assert others < own or done.code == 1, "or it says itself that it was too long"
    others, own = of_others_and_own("kill -9, it starts again by its name")
    assert others < own or done.code == 1
    assert _topics(apache_kafka) == []


@pytest.mark.timeout(600)
def test_soak(apache_kafka: ApacheKafka, tmp_path: Path) -> None:
    """Whoever wants to know whether a worker grows can see it: every measure has its line, the company's years pass, customers are
    forgotten on the way, and the worker keeps up. Whether it is flat, so short a run cannot tell.
    """
    options = f"--minutes {2 if CI else 0.25} --rate 400 --no-store".split()
    done = volvere(tmp_path, "bench", "soak", "--kafka", apache_kafka.bootstrap, *options, ends_within=240, code=None)
    assert done.code in (0, 1), done.said
    found = {
        name: [float(n.replace(",", "")) for n in re.findall(r"[\d,]+\.\d", rest)]
        for name, rest in re.findall(r"^ ((?:track|state): [a-z ]+?)  +(.*)$", done.out, re.MULTILINE)
    }
    assert found.keys() == {
        *("track: memory", "track: threads", "track: open files", "track: lag"),
        *("state: subjects", "state: size"),
    }, done.said
    assert 20 < found["track: memory"][1] < 500
    assert 10 < found["track: open files"][1] < 100
    assert found["track: lag"][1] < 20, "it keeps up"
    assert found["state: subjects"][1] > 0
    ((days, retired),) = re.findall(r"([\d,]+) days of the company, ([\d,]+) subjects retired", done.out)
    assert int(days.replace(",", "")) > 1000
    assert int(retired.replace(",", "")) > 0
    assert _topics(apache_kafka) == []
