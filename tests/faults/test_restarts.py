"""Workers that stop in order, sleep through their time, or find that somebody has turned the group's offsets."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from schemas.topics import TOUCHPOINTS
from tests.faults.crew import Crew, admin, crew
from tests.faults.week import (
    PARTITIONS,
    Found,
    Week,
    config,
    expected,
    found,
    must_be_there_once,
    published,
    say,
    track,
    values,
    week,
)
from tests.kafka import ApacheKafka
from volvere.feed import Fed, feed
from volvere.topics import create

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def told() -> Week:
    """The simulated week."""
    return week()


@pytest.fixture(scope="module")
def truth(told: Week) -> Found:
    """What is true of it."""
    return expected(told.items)


@pytest.fixture
def team(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Iterator[Crew]:
    """A crew with topics of its own."""
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    with crew(apache_kafka.bootstrap, topic_prefix, tmp_path) as members:
        yield members


def send(team: Crew, told: Week, first: int, beyond: int) -> Fed:
    """Feed some of the week's parts."""
    return asyncio.run(feed(team.bootstrap, [i for part in told.chunks[first:beyond] for i in part], team.prefix))


def must_be_true(team: Crew, told: Week, fed: Fed, truth: Found) -> None:
    """Finish the week in this process, and compare what stands in the topics with the truth."""
    asyncio.run(track(config(team.bootstrap, team.prefix), told.last, fed.ends, fed.newest))
    frictions, journeys = asyncio.run(published(team.bootstrap, team.prefix))
    must_be_there_once(frictions)
    ended = found(values(frictions), values(journeys))
    assert ended.frictions == truth.frictions
    assert ended.journeys == truth.journeys


def test_a_worker_that_is_stopped_while_behind_leaves_nothing_to_do_again(team: Crew, told: Week, truth: Found) -> None:
    """Every deployment stops workers in the midst of things: exit 0, and the successor goes on exactly there."""
    fed = send(team, told, 0, len(told.chunks))
    for nth in (3, 5):
        stopped = team.start("one", "--point", "after state", "--nth", str(nth), "--signal", "SIGTERM")
        assert stopped.wait(timeout=60) == 0, team.logs()
        team.ended()
        say(f"stopped with {team.committed} of {fed.records} records committed")
        assert 0 < team.committed < fed.records
    assert len(team.signals) == 2
    team.start("one")
    team.await_offsets(fed.ends)
    assert team.stop() == [0]
    assert team.committed == fed.records
    must_be_true(team, told, fed, truth)


def test_the_groups_offsets_do_not_matter(team: Crew, told: Week, truth: Found) -> None:
    """An operator who resets or deletes them, or a retention that lets them expire, changes nothing."""
    half = send(team, told, 0, 16)
    team.start("one")
    team.await_offsets(half.ends)
    assert team.stop() == [0]
    group, source = f"{team.prefix}-track", team.prefix + TOUCHPOINTS.name
    far = max(half.ends.values()) * 10
    with admin(team.bootstrap) as client:
        turned = {0: 0, 1: far}
        client.alter_group_offsets(
            group, {TopicPartition(source, n): OffsetAndMetadata(at, "", -1) for n, at in turned.items()}
        )
        client.delete_group_offsets(group, [TopicPartition(source, 2)])
    assert team.offsets() == {0: 0, 1: far, 3: half.ends[3]}
    fed = send(team, told, 16, len(told.chunks))
    team.start("one")
    team.until(lambda: team.committed >= half.records + fed.records, 60)
    assert team.stop() == [0]
    assert team.committed == half.records + fed.records
    must_be_true(team, told, fed, truth)


def test_a_worker_that_slept_through_its_time_writes_nothing_any_more(team: Crew, told: Week, truth: Found) -> None:
    """A machine that was paused in the midst of a flush wakes up after others have taken over."""
    sleeper = team.start("sleeper", "--point", "before commit", "--nth", "2", "--signal", "SIGSTOP")
    fed = send(team, told, 0, 16)
    team.until(lambda: team.signals, 60)
    team.start("other")
    rest = send(team, told, 16, len(told.chunks))
    team.await_offsets(fed.ends | rest.ends)
    sleeper.send_signal(signal.SIGCONT)
    code = sleeper.wait(timeout=30)
    say(f"the sleeper ended with {code}")
    assert code == 4, team.logs("sleeper")
    assert "fenced" in team.logs("sleeper").lower()
    del team.running["sleeper"]
    assert team.stop() == [0]
    assert team.committed == fed.records + rest.records
    rest.newest = max(fed.newest, rest.newest)
    must_be_true(team, told, rest, truth)


async def visit(team: Crew) -> set[int]:
    """Join the group as one more member, and leave; gives the partitions that it had."""
    visitor = AIOKafkaConsumer(
        team.prefix + TOUCHPOINTS.name,
        bootstrap_servers=team.bootstrap,
        group_id=f"{team.prefix}-track",
        enable_auto_commit=False,
        session_timeout_ms=4_000,
        heartbeat_interval_ms=200,
    )
    async with asyncio.timeout(30):
        await visitor.start()
        try:
            while not visitor.assignment():
                await visitor.getmany(timeout_ms=20)
            return {tp.partition for tp in visitor.assignment()}
        finally:
            await visitor.stop()


def test_members_that_come_and_go_while_a_worker_is_behind(team: Crew, told: Week, truth: Found) -> None:
    """A fetch that began before a rebalance must neither be lost nor counted twice after it."""
    sent = [send(team, told, 0, len(told.chunks)) for _ in range(4)]
    records = sum(fed.records for fed in sent)
    team.start("one")
    team.until(lambda: team.committed, 60)
    visits = 0
    while team.committed < records:
        burst = visits % 4 + 1  # before the worker has come back from one rebalance there is another
        had = set().union(*[asyncio.run(visit(team)) for _ in range(burst)])
        before = len(team.commits)
        visits += burst
        assert visits < 100, f"only {team.committed} of {records} records were ever committed"
        say(f"visit {visits}: {team.committed} of {records} records committed")

        def back(had: set[int] = had, before: int = before) -> bool:
            whole = all(sum(n for p, n in team.commits if p == q) >= sent[-1].ends[q] for q in had)
            return whole or any(q in had for q, _ in team.commits[before:])

        team.until(back, 30)
    assert visits >= 3, "the worker was never behind"
    team.await_offsets(sent[-1].ends)
    assert team.stop() == [0]
    assert team.committed == records
    must_be_true(team, told, sent[-1], truth)
