"""Three producers, in languages that choose partitions in different ways, write the same customers."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import TOUCHPOINTS, partition_of
from tests.faults.crew import crew
from tests.faults.week import (
    PARTITIONS,
    Items,
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
from volvere.topics import create

DICE = Random(17)
PARTITIONERS: list[Callable[[str], int]] = [
    lambda subject: partition_of(subject, PARTITIONS),  # murmur2: Java's clients, and Volveré
    lambda subject: zlib.crc32(subject.encode()) % PARTITIONS,  # librdkafka's, and so most others'
    lambda _: DICE.randrange(PARTITIONS),  # no key at all
]


async def write(bootstrap: str, topic: str, items: Items) -> int:
    """Each item by one of three producers at once; gives how many went to another partition than their owner's."""
    producers = [AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5) for _ in PARTITIONERS]
    misplaced = 0
    await asyncio.gather(*(producer.start() for producer in producers))
    try:
        sent = []
        for item in items:
            n = DICE.randrange(len(producers))
            to = PARTITIONERS[n](item.subject or "")
            misplaced += to != partition_of(item.subject or "", PARTITIONS)
            sent.append(await producers[n].send(topic, item.value, partition=to))
        await asyncio.gather(*sent)
    finally:
        await asyncio.gather(*(producer.stop() for producer in producers))
    return misplaced


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """How far the topic goes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_three_partitioners_write_the_same_customers(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """A customer has one owner and one truth, whoever writes; what is forwarded is neither lost nor counted twice."""
    bootstrap, told = apache_kafka.bootstrap, week(seed=17, customers=300)
    items = [item for part in told.chunks for item in part if item.subject is not None]
    truth = expected([*items, *told.last])
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=topic_prefix))
    source = topic_prefix + TOUCHPOINTS.name
    with crew(bootstrap, topic_prefix, tmp_path) as team:
        for seat in ("left", "right"):
            team.start(seat)
        misplaced = asyncio.run(write(bootstrap, source, items))
        say(f"{misplaced} of {len(items)} touchpoints were in the wrong partition")
        assert misplaced > len(items) / 3

        team.until(lambda: sum(asyncio.run(ends(bootstrap, source)).values()) == len(items) + misplaced, 90)
        team.await_offsets(asyncio.run(ends(bootstrap, source)))
        assert team.stop() == [0, 0]
        assert team.committed == len(items) + misplaced
    asyncio.run(track(config(bootstrap, topic_prefix), told.last, asyncio.run(ends(bootstrap, source)), truth.newest))
    frictions, journeys = asyncio.run(published(bootstrap, topic_prefix))
    must_be_there_once(frictions)
    standing = found(values(frictions), values(journeys))
    assert standing.frictions == truth.frictions
    assert standing.journeys == truth.journeys
