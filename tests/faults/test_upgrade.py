"""Three workers, another release one by one, and back again: nobody who reads frictions notices.

The next codec is read a release before it is written. A release that cannot read it refuses for as
long as anything in the state may be written with it.

Every part of the week is one transaction, and the next is sent when it is tracked. So a partition looks
at the same touchpoints together in every run, and what it says can be compared with an unbroken run event
by event, not only in the end: a worker that misread or forgot something would take back what it said.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.decode import decode
from schemas.topics import FACTS, TOUCHPOINTS, partition_of
from schemas.touchpoint import subject_of
from streams.partition import CONTROL
from tests.faults.crew import Crew, crew
from tests.faults.week import (
    PARTITIONS,
    Found,
    Items,
    config,
    expected,
    found,
    must_be_there_once,
    published,
    say,
    track,
    values,
)
from tests.faults.worker import NEXT, become_ready
from tests.kafka import ApacheKafka, read_topic
from volvere import files
from volvere.feed import Fed
from volvere.simulator import Company
from volvere.topics import create
from volvere.worker import wall

SEATS = ("left", "middle", "right")
OLDER, READY, NEWER = ("--still",), ("--still", "--ready"), ("--still", "--newer")


def parts(count: int) -> list[Items]:
    """A week in so many parts, in the order in which it reaches us; some of it is withdrawn later."""
    told = list(Company(seed=7, customers=300, days=7, contacts_per_day=0.8, untidy=0.4).touchpoints())
    items = [
        files.Record(
            n, json.dumps(t).encode(), subject_of(t["customer_id"], t["contact_id"], t["source"], t["event_id"])
        )
        for n, t in enumerate(told, 1)
    ]
    size = -(-len(items) // count)
    return [items[i : i + size] for i in range(0, len(items), size)]


class Line:
    """Workers that are fed part after part. fed: all that was."""

    def __init__(self, team: Crew, todo: list[Items], seats: Sequence[str], *options: str) -> None:
        self.team, self.todo, self.fed = team, todo, Fed()
        for seat in seats:
            team.start(seat, *options)
        for seat in seats:
            self.claimed(seat)

    def claimed(self, seat: str, times: int = 1) -> None:
        """Wait until the workers of a seat have so often been given partitions."""
        self.team.until(lambda: self.team.logs(seat).count("claimed partitions") >= times, 60)

    def send(self) -> None:
        """The next part, all at once for whoever reads what is committed."""
        items = self.todo.pop(0)
        ends = asyncio.run(self._send(items))
        self.fed.ends |= ends
        self.fed.records += len(items)
        self.fed.newest = max(self.fed.newest, *(decode(item.value, wall()).occurred_at for item in items))

    async def _send(self, items: Items) -> dict[int, int]:
        topic = self.team.prefix + TOUCHPOINTS.name
        producer = AIOKafkaProducer(bootstrap_servers=self.team.bootstrap, transactional_id=f"{topic}-feeder")
        async with producer:
            async with producer.transaction():
                sent = [await producer.send(topic, item.value, partition=_home(item)) for item in items]
            ends: dict[int, int] = {}
            for at in [await future for future in sent]:
                ends[at.partition] = max(ends.get(at.partition, 0), at.offset + 1)
            return ends

    def tracked(self) -> None:
        """Wait until all that was sent is tracked."""
        self.team.await_offsets(self.fed.ends)

    def roll(self, *options: str) -> None:
        """Every worker becomes another release, one by one, with touchpoints under way."""
        for seat in SEATS:
            self.send()
            leaver = self.team.running.pop(seat)
            leaver.send_signal(signal.SIGTERM)
            assert leaver.wait(timeout=30) == 0, self.team.logs(seat)
            claims = self.team.logs(seat).count("claimed partitions")
            self.team.start(seat, *options)
            self.tracked()
            self.send()
            self.claimed(seat, claims + 1)
            self.tracked()

    def must_refuse(self, *options: str) -> None:
        """A worker that comes into the group has to leave it as it was."""
        self.send()
        visitor = self.team.start("visitor", *options)
        assert visitor.wait(timeout=60) == 4, self.team.logs("visitor")
        assert self.team.ended() == {"visitor": 4}
        self.send()
        self.tracked()


def _home(item: files.Record) -> int:
    assert item.subject is not None
    return partition_of(item.subject, PARTITIONS)


def finish(line: Line) -> tuple[Found, dict[str, list[str]]]:
    """Track the last part to the end of the week: what stands, and the events of each friction in order."""
    team, fed = line.team, line.fed
    assert not any(team.stop()), team.logs()
    assert team.committed == fed.records, "nothing is done again"
    (last,) = line.todo
    asyncio.run(track(config(team.bootstrap, team.prefix), last, fed.ends, fed.newest))
    frictions, journeys = asyncio.run(published(team.bootstrap, team.prefix))
    must_be_there_once(frictions)
    said: dict[str, list[str]] = defaultdict(list)
    for event in (json.loads(r.value or b"") for r in frictions):
        said[event["data"]["friction_id"]].append(event["type"].rpartition(".")[2])
    return found(values(frictions), values(journeys)), said


def forms(bootstrap: str, prefix: str) -> Counter[int]:
    """How many customers are remembered in which codec."""
    state: dict[bytes, int] = {}
    for r in read_topic(bootstrap, prefix + FACTS.name):
        if r.key is None or r.key == CONTROL:
            continue
        state.pop(r.key, None)
        if r.value:
            state[r.key] = r.value[0]
    return Counter(state.values())


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_another_release_and_back(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling upgrade, and its taking back, lose nothing and retract nothing; who is too old refuses in time."""
    week = parts(20)
    truth = expected([item for part in week for item in part])
    bootstrap, calm = apache_kafka.bootstrap, f"calm-{topic_prefix}"
    for prefix in (topic_prefix, calm):
        assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=prefix))

    with crew(bootstrap, topic_prefix, tmp_path) as team:
        line = Line(team, list(week), SEATS, *READY)
        for _ in range(2):
            line.send()
            line.tracked()
        line.roll(*NEWER)
        say(f"newer: {forms(bootstrap, topic_prefix)}")
        line.must_refuse(*OLDER)
        line.roll(*READY)
        left = forms(bootstrap, topic_prefix)
        say(f"back: {left}")
        assert left[NEXT] and left[1], "the older release must meet both codecs"
        line.must_refuse(*OLDER)
        while len(line.todo) > 1:
            line.send()
            line.tracked()
        log = team.logs("visitor")
        with monkeypatch.context() as patch:
            become_ready(patch.setattr)
            ended, said = finish(line)
    assert log.count("the state was written with codec 2; this release reads [1]: upgrade it") == 2
    assert "claimed" not in log and "Traceback" not in log

    (tmp_path / "calm").mkdir()
    with crew(bootstrap, calm, tmp_path / "calm") as team:
        unbroken = Line(team, list(week), SEATS[:1], *OLDER)
        while len(unbroken.todo) > 1:
            unbroken.send()
            unbroken.tracked()
        calmly, wanted = finish(unbroken)

    assert ended.frictions == calmly.frictions == truth.frictions
    assert ended.journeys == calmly.journeys == truth.journeys
    assert calmly.said["retracted"] >= 10, "nothing was ever taken back: this would be true of any code"
    assert said == wanted
