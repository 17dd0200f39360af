"""The alert bridge is killed while frictions come, at any moment, and every receiver ends in the right state.

A generated stream of frictions flows to four receivers that are busy now and then, answer late or lose their answers; the bridge gets
SIGKILL when a receiver has its nth request in hand. What each should show is told by a machine of six lines.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaProducer

from schemas.topics import FRICTIONS, UNDELIVERED
from tests.command import Running
from tests.faults.crew import admin
from tests.frictions import friction
from tests.kafka import ApacheKafka, read_topic
from tests.receivers import ROUTING_KEY, WEBHOOK_SECRET, Answer, FakeAlertmanager, FakePagerDuty, FakeWebhook, Taken
from volvere.topics import create
from volvere.worker import wall

pytestmark = pytest.mark.kafka

PARTITIONS = 2
KILLS = 6
EVENTS = 80
"""Between two kills."""
LATEST_KILL = 60
"""At this request at most after a start: there must be so many."""
WITHIN = 90.0
SEVERITIES = ("info", "warning", "error", "critical")


@dataclass
class Life:
    """One customer's matter. open: its frictions; paged: whether there is an incident, episodes: how many there were."""

    open: list[str] = field(default_factory=list)
    severity: str = "info"
    paged: bool = False
    episodes: int = 0
    made: int = 0


class Stream:
    """Frictions that come, and what becomes of them."""

    def __init__(self, seed: int, customers: int) -> None:
        self.dice = Random(seed)
        self.lives = {f"k{n}": Life() for n in range(customers)}
        self.said: Counter[int] = Counter()

    def next(self) -> tuple[int, bytes]:
        """One more event, and its partition."""
        dice = self.dice
        key = dice.choice(list(self.lives))
        life, flags = self.lives[key], {"replay": dice.random() < 0.1, "suppressed": dice.random() < 0.1}
        if life.open and dice.random() < 0.5:
            name, state = life.open.pop(dice.randrange(len(life.open))), dice.choice(["resolved", "retracted"])
        elif life.open and dice.random() < 0.2:
            name, state = life.open[-1], "open"
            life.severity = dice.choice(SEVERITIES)
        else:
            life.made += 1
            name, state = f"{key}/{life.made}", "open"
            life.open.append(name)
            life.severity = dice.choice(SEVERITIES)
        if state == "open" and not any(flags.values()) and not life.paged:
            life.paged = True
            life.episodes += 1
        if not life.open:
            life.paged = False
        number = int(key[1:])
        values = {"key": key, "at": wall(), "severity": life.severity, "queue": f"q{number % 3}"}
        self.said[number % PARTITIONS] += 1
        return number % PARTITIONS, friction(name, state, len(life.open), **values, **flags)  # type: ignore[arg-type]

    def open(self) -> set[str]:
        """The incidents that go on."""
        return {f"dropped_call:{key}" for key, life in self.lives.items() if life.paged}


class Siege:
    """A bridge, its receivers, and who kills it."""

    def __init__(self, kafka: str, prefix: str, folder: Path, seed: int) -> None:
        self.kafka, self.prefix, self.folder = kafka, prefix, folder
        self.dice = Random(seed)
        self.am, self.pager, self.hook, self.storms = (
            FakeAlertmanager(wall), FakePagerDuty(wall), FakeWebhook(wall), FakePagerDuty(wall),
        )  # fmt: skip
        self.left = 0
        self.bridge: Running | None = None
        for receiver in self.receivers:
            receiver.fault = self.fault
            receiver.arrived = self.arrived
        pager = 'type = "pagerduty"\nurl = "{}/v2/enqueue"\nsecret_env = "PAGER"\nstorm = {}\n'
        text = f'''\
[receivers.am]
type = "alertmanager"
url = "{self.am.url}"
storm = false
[receivers.hook]
type = "webhook"
url = "{self.hook.url}"
secret_env = "HOOK"
storm = false
[receivers.pager]
{pager.format(self.pager.url, "false")}
[receivers.storms]
{pager.format(self.storms.url, '{ more_than = 4, within = "3s" }')}
[[routes]]
to = ["am", "hook", "pager", "storms"]
'''
        (folder / "routes.toml").write_text(text)

    @property
    def receivers(self) -> tuple[FakeAlertmanager, FakePagerDuty, FakeWebhook, FakePagerDuty]:
        """All of them."""
        return self.am, self.pager, self.hook, self.storms

    def fault(self) -> Answer | Taken | None:
        """One request in eight meets something."""
        chance = self.dice.random()
        if chance < 0.04:
            return Answer(500)
        if chance < 0.07:
            return Taken()
        if chance < 0.1:
            return Answer(429, {"Retry-After": "0"})
        return Answer(503) if chance < 0.12 else None

    def arrived(self, _: int) -> None:
        """The nth request since the bridge was started is its last."""
        self.left -= 1
        if self.left == 0 and self.bridge is not None:
            os.kill(self.bridge.pid, signal.SIGKILL)

    def start(self, kill_at: int = 0) -> Running:
        """A bridge, under the same name as the one before."""
        self.left = kill_at
        self.bridge = Running(
            self.folder, "worker", "alert", "--routes", "routes.toml",
            kafka=self.kafka, topic_prefix=self.prefix, application=self.prefix, instance_id="bridge",
            session_timeout_s=6, heartbeat_interval_s=1, alert_resend_s=1,
        )  # fmt: skip
        return self.bridge

    async def say(self, stream: Stream, count: int) -> None:
        """So many events."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka)
        await producer.start()
        try:
            for _ in range(count):
                partition, value = stream.next()
                await producer.send(self.prefix + FRICTIONS.name, value, key=b"c-100", partition=partition)
        finally:
            await producer.stop()

    async def settled(self, stream: Stream) -> None:
        """Wait until every receiver's group has acknowledged everything, and no storm goes on."""
        with admin(self.kafka) as client:
            groups = {f"{self.prefix}-alert-{name}": None for name in ("am", "pager", "hook", "storms")}

            def done() -> bool:
                found = client.list_group_offsets(groups)
                return all(
                    {tp.partition: o.offset for tp, o in offsets.items()} == stream.said for offsets in found.values()
                ) and not any(key.startswith("storm:") for key in self.storms.open())

            async with asyncio.timeout(WITHIN):
                while not await asyncio.to_thread(done):
                    pass


@pytest.fixture
def siege(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Siege]:
    """A siege of its own."""
    monkeypatch.setenv("PAGER", ROUTING_KEY)
    monkeypatch.setenv("HOOK", WEBHOOK_SECRET)
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    made = Siege(apache_kafka.bootstrap, topic_prefix, tmp_path, seed=5)
    with made.am, made.pager, made.hook, made.storms:
        try:
            yield made
        finally:
            if made.bridge is not None:
                made.bridge.kill()


@pytest.mark.timeout(300)
def test_kills_of_the_bridge_lose_and_double_nothing(siege: Siege) -> None:
    """Whoever is on call sees what is open, and nothing that is over, and was paged once for each time that it opened."""
    stream = Stream(seed=3, customers=36)
    kills = [siege.dice.randint(1, LATEST_KILL) for _ in range(KILLS)]
    for n, kill_at in enumerate(kills):
        if n:
            asyncio.run(siege.say(stream, EVENTS))
        bridge = siege.start(kill_at)
        if not n:  # which sees that its receivers are new
            bridge.line(lambda line: "hook is new" in line, within=WITHIN)
            asyncio.run(siege.say(stream, EVENTS))
        ended = bridge.end(within=WITHIN)
        assert ended.code == -signal.SIGKILL, f"kill {n} at {kill_at}:\n{ended.out[-3000:]}"
    asyncio.run(siege.say(stream, EVENTS))
    last = siege.start()
    asyncio.run(siege.settled(stream))
    ended = last.terminate(within=WITHIN)
    assert ended.code == 0, ended.out[-3000:]
    truth = stream.open()
    assert [r.wrong for r in siege.receivers] == [[], [], [], []]
    assert read_topic(siege.kafka, siege.prefix + UNDELIVERED.name) == []
    assert siege.am.open() == truth
    assert len(siege.am.firing()) == len(truth), "a label `severity` of before still fires"
    assert siege.pager.open() == truth
    assert siege.hook.open() == truth
    episodes = {f"dropped_call:{key}": life.episodes for key, life in stream.lives.items() if life.episodes}
    assert siege.pager.paged == episodes
    opened = Counter(e["subject"] for e in siege.hook.events if e["type"].endswith("opened"))
    assert opened == episodes
    assert sum(episodes.values()) >= 100
    assert siege.storms.open() <= truth
    stormy = {key.rpartition(":")[2] for key in siege.storms.paged if key.startswith("storm:")}
    assert stormy, "there was no storm"
    untold = {key for key in truth - siege.storms.open() if f"q{int(key.rpartition('k')[2]) % 3}" not in stormy}
    assert untold == set()
