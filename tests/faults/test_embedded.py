"""The embedded broker, unbroken: the same week, the same truth, though it has no transactions."""

from __future__ import annotations

import asyncio
from pathlib import Path

from schemas.topics import DEAD_LETTERS, FRICTIONS, JOURNEYS, TOUCHPOINTS
from tests.faults.week import (
    PARTITIONS,
    config,
    expected,
    found,
    must_be_refused_once,
    published,
    say,
    track,
    values,
    views,
    week,
)
from tests.kafka import read_topic
from volvere.embedded import EmbeddedBroker
from volvere.topics import create

QUIET_MS = 500


def test_the_embedded_broker_ends_in_the_same_truth(
    embedded_broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Who tries Volveré on a laptop sees what Apache Kafka would show."""
    told = week()
    truth = expected(told.items)
    bootstrap, prefix = embedded_broker.bootstrap, topic_prefix
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=prefix))
    asyncio.run(track(config(bootstrap, prefix, trusted=False), told.items))
    frictions, journeys = asyncio.run(published(bootstrap, prefix, QUIET_MS))
    ended = found(values(frictions), values(journeys))
    say(f"{len(ended.ever)} frictions, {dict(ended.said)}, {len(ended.journeys)} journeys")
    assert ended.said["retracted"] >= 10, "nothing was said too early: this would be true of any code"
    assert ended.frictions == truth.frictions
    assert ended.journeys == truth.journeys

    must_be_refused_once(read_topic(bootstrap, prefix + DEAD_LETTERS.name, quiet_ms=QUIET_MS), told)

    understood = sum(item.subject is not None for item in told.items)
    records = {TOUCHPOINTS.name: understood, FRICTIONS.name: len(frictions), JOURNEYS.name: len(journeys)}
    stored = views(bootstrap, prefix, records, tmp_path / "store")
    assert {row[0] for row in stored["frictions"]} == set(truth.frictions)
    assert {(row[1], row[0]) for row in stored["journeys"]} == set(truth.journeys)
