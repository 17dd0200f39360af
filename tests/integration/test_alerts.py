"""The alert bridge on Apache Kafka: receivers that are away, refuse, forget; a bridge that starts again or takes over."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from aiokafka import AIOKafkaProducer

from schemas.times import MINUTE, SECOND
from schemas.topics import ALERTS, FRICTIONS, TOPICS, UNDELIVERED
from sinks.alerts.bridge import Bridge
from sinks.alerts.routes import parse_routes
from tests.command import volvere
from tests.faults.crew import admin
from tests.frictions import friction
from tests.kafka import ApacheKafka, read_topic
from tests.receivers import (
    ROUTING_KEY,
    WEBHOOK_SECRET,
    Answer,
    FakeAlertmanager,
    FakePagerDuty,
    FakeReceiver,
    FakeWebhook,
    Fault,
)
from volvere import alert
from volvere.lag import lag
from volvere.rules_texts import MEANINGS
from volvere.settings import load
from volvere.topics import create
from volvere.worker import Broker, wall

pytestmark = pytest.mark.kafka

PARTITIONS = 2
WITHIN = 60.0


class Clock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        """Microseconds."""
        return wall() + self.ahead


class Town:
    """Topics of its own on a broker, three receivers, and bridges to them."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.bootstrap, self.prefix, self.folder = bootstrap, prefix, folder
        self.clock = Clock()
        self.am, self.pager, self.hook = (
            FakeAlertmanager(self.clock),
            FakePagerDuty(self.clock),
            FakeWebhook(self.clock),
        )
        self.settings = load(kafka=bootstrap, topic_prefix=prefix, application=prefix)
        self.at = Broker(bootstrap, trusted=True)
        assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=prefix))

    @property
    def receivers(self) -> tuple[FakeReceiver, ...]:
        """All three."""
        return self.am, self.pager, self.hook

    def routes(self, *names: str) -> str:
        """A routes file for these; everything goes to each."""
        return routes(self.am.url, self.pager.url, self.hook.url, names or ("am", "pager", "hook"))

    def bridges(self, *names: str, beginning: bool = False) -> list[Bridge]:
        """Bridges to these receivers, by this clock. beginning: as with `--from-beginning`."""
        environment = {"PAGER": ROUTING_KEY, "HOOK": WEBHOOK_SECRET}
        told = parse_routes(self.routes(*names), "routes.toml", MEANINGS, environment, self.folder)
        if not beginning:
            alert.begin(self.settings, self.at, told)
        made = alert.bridges(self.settings, self.at, told)
        for bridge in made:
            bridge._wall = bridge._sender._wall = self.clock
        return made

    async def say(self, *events: tuple[int, bytes]) -> None:
        """Friction events, each to its partition."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await producer.start()
        try:
            for partition, value in events:
                await producer.send_and_wait(self.prefix + FRICTIONS.name, value, key=b"c-100", partition=partition)
        finally:
            await producer.stop()

    def letters(self) -> list[tuple[dict[str, str], bytes | None]]:
        """What was given up: headers, and the event."""
        found = read_topic(self.bootstrap, self.prefix + UNDELIVERED.name)
        return [({name: value.decode() for name, value in r.headers}, r.value) for r in found]


def routes(am: str, pager: str, hook: str, names: tuple[str, ...]) -> str:
    """A routes file for local receivers."""
    tables = {
        "am": f'type = "alertmanager"\nurl = "{am}"',
        "pager": f'type = "pagerduty"\nurl = "{pager}/v2/enqueue"\nsecret_env = "PAGER"',
        "hook": f'type = "webhook"\nurl = "{hook}/hooks/volvere"\nsecret_env = "HOOK"',
    }
    text = "".join(f"[receivers.{name}]\n{tables[name]}\n\n" for name in names)
    return f"{text}[[routes]]\nto = {json.dumps(names)}\n"


@contextlib.asynccontextmanager
async def running(*bridges: Bridge) -> AsyncIterator[None]:
    """Bridges that run while the block does; what goes wrong in one is raised."""
    stop = asyncio.Event()
    work = [asyncio.ensure_future(bridge.run(stop)) for bridge in bridges]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*work)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - it is others' processes and threads that are waited for
            await asyncio.sleep(0.02)


@pytest.fixture
def town(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Iterator[Town]:
    """A town of its own."""
    made = Town(apache_kafka.bootstrap, topic_prefix, tmp_path)
    with made.am, made.pager, made.hook, stamina.set_testing(True, attempts=1_000_000):
        yield made
    assert [r.wrong for r in made.receivers] == [[], [], []]


def crowd(count: int, at: int) -> list[tuple[int, bytes]]:
    """So many customers who meet something, each in a partition."""
    return [(n % PARTITIONS, friction(f"f{n}", key=f"k{n}", at=at, queue=f"q{n}")) for n in range(count)]


def over(count: int, at: int) -> list[tuple[int, bytes]]:
    """And the end of it, for the first of them."""
    return [(n % PARTITIONS, friction(f"f{n}", "resolved", 0, key=f"k{n}", at=at, queue=f"q{n}")) for n in range(count)]


def keys(*numbers: int) -> set[str]:
    """Their dedupkeys."""
    return {f"dropped_call:k{n}" for n in numbers}


def test_two_frictions_are_one_incident(town: Town) -> None:
    """Whoever is on call gets one page for one customer's one matter, and hears once that it is over."""

    async def story() -> None:
        async with running(*town.bridges()):
            await town.say((1, friction("f1")), (1, friction("f2", group=2)))
            await until(lambda: all(r.open() == {"dropped_call:k1"} for r in town.receivers))
            await town.say((1, friction("f1", "resolved", 1)), (0, friction("f3", key="k3")))
            await until(lambda: all("dropped_call:k3" in r.open() for r in town.receivers))
            assert all("dropped_call:k1" in r.open() for r in town.receivers)
            await town.say((1, friction("f2", "resolved", 0)))
            await until(lambda: all(r.open() == {"dropped_call:k3"} for r in town.receivers))

    asyncio.run(story())
    assert town.pager.paged == {"dropped_call:k1": 1, "dropped_call:k3": 1}
    assert town.am.fired == town.pager.paged
    assert [e["type"].rpartition(".")[2] for e in town.hook.events] == ["opened", "opened", "resolved"]


def test_lag_tells_of_each_receiver(town: Town) -> None:
    """Who looks whether everybody was told sees each receiver, how much waits for it and who tells it; also while nobody does."""

    async def waiting() -> dict[str, tuple[int, bool]]:
        lines = [line for line in await lag(town.settings, town.at) if line.group.startswith("alert")]
        return {
            group: (sum(line.records for line in ours), all(line.owner for line in ours))
            for group in sorted({line.group for line in lines})
            if (ours := [line for line in lines if line.group == group])
        }

    async def story() -> None:
        bridges = town.bridges("am", "hook")
        await town.say(*crowd(5, town.clock()))
        assert await waiting() == {"alert-am": (5, False), "alert-hook": (5, False)}
        async with running(*bridges[:1]):
            await until(lambda: len(town.am.open()) == 5)
            assert (await waiting())["alert-am"][1] and (await waiting())["alert-hook"] == (5, False)
        assert await waiting() == {"alert-am": (0, False), "alert-hook": (5, False)}

    asyncio.run(story())


def test_ten_minutes_without_alertmanager(town: Town) -> None:
    """What opened and what ended meanwhile arrives when it is back, and the other receivers had it at once."""
    began, seen = town.clock(), dict[str, set[str]]()

    def away() -> Fault | None:
        others = {"pager": town.pager.open(), "hook": town.hook.open()}
        if town.clock() - began < 10 * MINUTE or any(len(found) < 30 for found in others.values()):
            town.clock.ahead += 5 * SECOND
            return Answer(503)
        if not seen:
            seen.update(others)
        return None

    town.am.fault = away

    async def story() -> None:
        async with running(*town.bridges()):
            await town.say(*crowd(40, began), *over(10, began + SECOND))
            await until(lambda: all(r.open() == keys(*range(10, 40)) for r in town.receivers))

    asyncio.run(story())
    assert town.clock() - began >= 10 * MINUTE
    assert seen["pager"] >= keys(*range(10, 40)) <= seen["hook"]
    assert set(town.am.fired) == keys(*range(40)), "what opened and ended while it was away was told, too"
    assert town.letters() == []


def test_an_alertmanager_that_forgets_is_told_again(town: Town) -> None:
    """It was started anew, without its memory: within a minute it knows what goes on, and nothing that is over."""

    async def story() -> None:
        bridges = town.bridges("am")
        async with running(*bridges):
            await town.say(*crowd(3, town.clock()), *over(1, town.clock()))
            await until(lambda: town.am.open() == keys(1, 2) and len(town.am.alerts) == 3)
            with town.am.lock:
                town.am.alerts.clear()
            town.clock.ahead += 61 * SECOND
            await until(lambda: town.am.open() == keys(1, 2))
            # For twenty minutes, and nothing is ever silent for so long that it would seem to be over.
            for _ in range(20):
                told = bridges[0].counts.told_again
                town.clock.ahead += 61 * SECOND
                await until(lambda told=told: bridges[0].counts.told_again > told)  # type: ignore[misc]
                assert town.am.open() == keys(1, 2)

    asyncio.run(story())
    assert town.am.fired["dropped_call:k0"] == 1


def test_an_incident_that_gets_worse_is_another_alert(town: Town) -> None:
    """Alertmanager routes by the label `severity`: the warning ends as the error begins, and nothing fires at the end."""

    async def story() -> None:
        async with running(*town.bridges("am")):
            await town.say((0, friction()), (0, friction(severity="error", what="updated")))
            await until(lambda: [a["severity"] for a in town.am.firing()] == ["error"])
            town.clock.ahead += 61 * SECOND
            await town.say((0, friction(state="resolved", group=0, severity="error")))
            await until(lambda: town.am.firing() == [] and len(town.am.alerts) == 2)

    asyncio.run(story())


def test_what_a_receiver_refuses_goes_to_the_dead_letters(town: Town) -> None:
    """The rest goes on, the reason is kept, and nobody is told the end of what they did not take."""
    town.pager.faults.append(Answer(400, body=b"Event object is invalid"))
    event = friction(key="bad")

    async def story() -> None:
        async with running(*town.bridges()):
            await town.say((0, event))
            await until(lambda: town.pager.requests == 1 and town.hook.open())
            await town.say((0, b"no friction"), (0, friction("f2", key="k2")))
            await until(lambda: all("dropped_call:k2" in r.open() for r in town.receivers))
            await town.say((0, friction(key="bad", state="resolved", group=0)), (0, friction("f3", key="k3")))
            await until(lambda: all(r.open() == keys(2, 3) for r in town.receivers))

    asyncio.run(story())
    letters = town.letters()
    refused = [(told, value) for told, value in letters if told["reason"] == "refused"]
    ((told, value),) = refused
    assert value == event
    assert told["receiver"] == "pager"
    assert (told["status"], told["message"]) == ("400", "Event object is invalid")
    assert (told["what"], told["partition"], told["offset"]) == ("opened dropped_call:bad", "0", "0")
    unreadable = [
        told["receiver"] for told, value in letters if told["reason"] == "unreadable" and value == b"no friction"
    ]
    assert sorted(unreadable) == ["am", "hook", "pager"]
    assert len(letters) == 4
    assert [e["event_action"] for e in town.pager.events] == ["trigger", "trigger"]


def test_a_storm_over_all_partitions(town: Town) -> None:
    """A fallen line is one page, wherever its customers are kept, also for a bridge that starts again meanwhile."""
    at = town.clock()
    many = [(n % PARTITIONS, friction(f"f{n}", key=f"k{n}", at=at)) for n in range(60)]

    async def story() -> None:
        async with running(*town.bridges("pager")):
            await town.say(*many[:40])
            await until(lambda: "storm:dropped_call:billing-2" in town.pager.open())
        working = town.bridges("pager")
        async with running(*working):
            await town.say(*many[40:])
            (bridge,) = working
            await until(lambda: sum(bridge._committed.values()) == len(many))
            assert len(town.pager.paged) == 21
            town.clock.ahead += 6 * MINUTE
            await until(lambda: "storm:dropped_call:billing-2" not in town.pager.open())

    asyncio.run(story())
    assert set(town.pager.paged.values()) == {1}


def test_another_bridge_takes_over(town: Town) -> None:
    """One works and one stands by: what the first one told the second one ends, and tells nobody twice."""

    async def story() -> None:
        (first,) = town.bridges("pager")
        (second,) = town.bridges("pager")
        async with running(second):
            async with running(first):
                await town.say(*crowd(4, town.clock()))
                await until(lambda: town.pager.open() == keys(0, 1, 2, 3))
                assert sorted(map(bool, (first.counts.told, second.counts.told))) == [False, True]
            await town.say(*over(2, town.clock()))
            await until(lambda: town.pager.open() == keys(2, 3))
        assert second.counts.told["resolved"] == 2
        (third,) = town.bridges("pager")
        async with running(third):
            await town.say(*over(4, town.clock()))
            await until(lambda: town.pager.open() == set())
        assert third.counts.told == {"resolved": 2}

    asyncio.run(story())
    assert set(town.pager.paged.values()) == {1}


def test_what_is_over_leaves_nothing_behind(town: Town) -> None:
    """The topic `alerts` holds what is open: the rest is deleted by compaction, since each key's last value is null."""

    async def story() -> None:
        (bridge,) = town.bridges("hook")
        async with running(bridge):
            await town.say(*crowd(6, town.clock()), *over(5, town.clock()))
            await until(lambda: town.hook.open() == keys(5))
            await until(lambda: len(bridge.incidents.known) == 1)

    asyncio.run(story())
    last = {r.key: r.value for r in read_topic(town.bootstrap, town.prefix + ALERTS.name)}
    assert {key.decode() for key, value in last.items() if key and value} == {"hook/dropped_call:k5"}
    assert len(last) == 6


def test_more_partitions_under_a_running_bridge(town: Town) -> None:
    """A customer who lies in another partition from now on is the same: what was told ends, and is in one place only."""

    async def story() -> None:
        (bridge,) = town.bridges("hook")
        async with running(bridge):
            await town.say(*[(0, friction(f"f{n}", key=f"k{n}")) for n in range(3)])
            await until(lambda: town.hook.open() == keys(0, 1, 2))
            names = [town.prefix + topic.name for topic in TOPICS if topic.owned]
            with admin(town.bootstrap) as client:
                client.create_partitions(dict.fromkeys(names, PARTITIONS + 1))
            await until(lambda: len(bridge._consumer.assignment()) == PARTITIONS + 1)
            await town.say(
                (PARTITIONS, friction("f0", "resolved", 0, key="k0")),
                (PARTITIONS, friction("f1", severity="error", key="k1", what="updated")),
            )
            await until(lambda: town.hook.open() == keys(1, 2) and len(bridge.incidents.known) == 2)
        (again,) = town.bridges("hook")
        async with running(again):
            await town.say((PARTITIONS, friction("f1", "resolved", 0, key="k1")))
            await until(lambda: town.hook.open() == keys(2))

    asyncio.run(story())
    last = {(r.key, r.partition): r.value for r in read_topic(town.bootstrap, town.prefix + ALERTS.name)}
    assert {key.decode() for (key, _), value in last.items() if key and value} <= {
        "hook/dropped_call:k2",
        "hook/dropped_call:k1",
    }
    assert [p for (key, p), value in last.items() if key == b"hook/dropped_call:k1" and value] in ([], [PARTITIONS])
    told = [e["type"].rpartition(".")[2] for e in town.hook.events if e["subject"] == "dropped_call:k1"]
    assert told == ["opened", "updated", "resolved"]


def test_a_new_receiver_begins_now(town: Town) -> None:
    """Nobody is paged for a month of history because somebody set up a bridge, unless they ask; nothing is missed from then on."""

    async def story() -> None:
        await town.say(*crowd(3, town.clock()))
        (unstarted,) = town.bridges("hook")
        await town.say((0, friction("f8", key="k8")))
        async with running(unstarted):
            await until(lambda: town.hook.open() == keys(8))
        async with running(*town.bridges("pager", beginning=True)):
            await until(lambda: town.pager.open() == keys(0, 1, 2, 8))

    asyncio.run(story())
    assert town.hook.requests == 1


def test_a_file_is_checked_and_tried_out(town: Town) -> None:
    """Before anything happens: what is wrong, who is told of what, and whether each receiver takes it; no secret is shown."""
    file = town.folder / "routes.toml"
    file.write_text(town.routes())
    missing = volvere(town.folder, "alerts", "check", file, code=2)
    assert "routes.toml:8: receivers.pager.secret_env: the environment has no PAGER" in missing.err
    town.hook.faults.append(Answer(401, body=f"who is {WEBHOOK_SECRET}?".encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAGER", ROUTING_KEY)
        patch.setenv("HOOK", WEBHOOK_SECRET)
        told = volvere(town.folder, "alerts", "check", file, "--send", code=2)
    assert "pager: PagerDuty; every kind, info and above; a storm at more than 20 within 5m" in told.out
    assert told.out.count("took the test incident, and its end") == 2
    assert "hook did not take it: opened: answered 401: who is ***?" in told.err
    assert [r.open() for r in town.receivers] == [set(), set(), set()]
    assert len(town.am.alerts) == len(town.pager.paged) == 1
    for said in (told.said, missing.said):
        assert ROUTING_KEY not in said
        assert WEBHOOK_SECRET not in said
