"""A topic, read from some place to its present end, by no group."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import Transient
from volvere.topics import not_started
from volvere.worker import Broker

QUIET_MS = 300
"""Where a broker's ends cannot be trusted, nothing for so long is the end."""
STALLED = 60.0
"""Seconds in which reading must come further."""


async def records(
    at: Broker, topic: str, since: Mapping[int, int] | None = None, *, only: int | None = None
) -> AsyncIterator[Any]:
    """What is committed of a topic now, as aiokafka's records, in the order of each partition.

    since: where to begin, for partitions that do not begin at their first record. only: one partition.
    Raises BrokerProblem when nobody answers, Transient when the end is not reached.
    """
    reader = AIOKafkaConsumer(
        *([topic] if only is None else []),  # without a group: all its partitions
        bootstrap_servers=at.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=100,
        **at.access,
    )
    try:
        await reader.start()
    except KafkaError as e:
        await reader.stop()
        raise await not_started(at.bootstrap, at.access, e) from None
    try:
        if only is not None:
            reader.assign([TopicPartition(topic, only)])
        ends = await reader.end_offsets(list(reader.assignment()))
        for tp in ends:
            if since and tp.partition in since:
                reader.seek(tp, since[tp.partition])
        left, came = set(ends), time.monotonic()
        while True:
            left = {tp for tp in left if await reader.position(tp) < ends[tp]}
            if at.trusted and not left:
                return
            found = await reader.getmany(timeout_ms=QUIET_MS)
            if found:
                came = time.monotonic()
            elif not left:
                return
            elif time.monotonic() - came > STALLED:
                raise Transient(f"{topic}: nothing could be read for {STALLED:g} s, and the end is not reached")
            for tp, batch in found.items():
                for record in batch:
                    if not at.trusted or record.offset < ends[tp]:
                        yield record
    finally:
        await reader.stop()
