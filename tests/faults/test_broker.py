"""The broker dies in the midst of flushes, and comes back with what it had acknowledged; at first it may know little."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from streams.rules import parse_rules
from tests.faults.crew import Crew, admin, crew
from tests.faults.week import (
    PARTITIONS,
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
from volvere.feed import feed
from volvere.topics import create
from volvere.worker import tracking

DEADLINE_S = 120
ASKED_AGAIN_WITHIN_S = 40


def supervise(team: Crew) -> None:
    """Who ended is started again, as a service manager does."""
    for seat, code in team.ended().items():
        say(f"{seat} ended with {code} and is started again")
        team.start(seat)


def position(team: Crew) -> int:
    """How many records the group has acknowledged; 0 while nobody answers."""
    try:
        return sum(team.offsets().values())
    except KafkaError:
        return 0


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_a_broker_that_dies_changes_nothing(own_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> None:
    """Whether a commit was taken that nobody could acknowledge is found out by whoever comes next."""
    own_kafka.start()
    told = week()
    assert all(f.good for f in create(own_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    items = [item for part in told.chunks for item in part]
    sent = [asyncio.run(feed(own_kafka.bootstrap, items, topic_prefix)) for _ in range(3)]
    fed, wanted = sent[-1], sum(sent[-1].ends.values())
    with crew(own_kafka.bootstrap, topic_prefix, tmp_path) as team:
        for seat in ("left", "right"):
            team.start(seat)
        deadline = time.monotonic() + DEADLINE_S
        deaths = 0
        while (at := position(team)) < wanted:
            supervise(team)
            if deaths < 3 and team.committed > (deaths + 0.5) * wanted / 4:
                deaths += 1
                say(f"the broker dies; {team.committed} of {wanted} records committed")
                own_kafka.restart()
            assert time.monotonic() < deadline, f"only {at} of {wanted}\n{team.logs()}"
        assert deaths == 3
        supervise(team)
        team.stop()
        assert team.committed <= wanted
    asyncio.run(track(config(own_kafka.bootstrap, topic_prefix), told.last, fed.ends, fed.newest))
    frictions, journeys = asyncio.run(published(own_kafka.bootstrap, topic_prefix))
    must_be_there_once(frictions)
    truth, ended = expected(told.items), found(values(frictions), values(journeys))
    assert ended.frictions == truth.frictions
    assert ended.journeys == truth.journeys


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_a_broker_that_knows_no_partitions_at_first_is_asked_again(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    """Just after its start a broker may not know its topics yet; the workers' first assignment is then empty."""
    items = [item for item in week(customers=30).items if item.subject is not None]

    def nothing_was_dealt_out() -> bool:
        with suppress(KafkaError), admin(apache_kafka.bootstrap) as client:
            group = f"{topic_prefix}-track"
            members = client.describe_groups([group])[group]["members"]
            return any(member["member_assignment"] is not None for member in members)
        return False

    async def run() -> None:
        async with (
            asyncio.timeout(ASKED_AGAIN_WITHIN_S),
            tracking(parse_rules(), config(apache_kafka.bootstrap, topic_prefix)) as app,
        ):
            while not await asyncio.to_thread(nothing_was_dealt_out):
                say("no member yet")
            assert not app.consumer.assignment()
            await asyncio.to_thread(create, apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix)
            fed = await feed(apache_kafka.bootstrap, items, topic_prefix)
            await app.host.finish(fed.ends, fed.newest)

    asyncio.run(run())
    frictions, _ = asyncio.run(published(apache_kafka.bootstrap, topic_prefix))
    assert found(values(frictions), []).frictions == expected(items).frictions
