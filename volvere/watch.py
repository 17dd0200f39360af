"""Frictions as they happen: a reader of the topic `frictions` that belongs to no group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas.topics import FRICTIONS
from volvere.security import OPEN, Access
from volvere.topics import not_started


async def watch(
    bootstrap: str, prefix: str = "", *, beginning: bool = False, access: Access = OPEN
) -> AsyncIterator[dict[str, Any]]:
    """Friction events in the order of their arrival, for ever. Raises BrokerProblem."""
    consumer = AIOKafkaConsumer(
        prefix + FRICTIONS.name,
        bootstrap_servers=bootstrap,
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest" if beginning else "latest",
        fetch_max_wait_ms=100,
        **access,
    )
    try:
        await consumer.start()
    except KafkaError as e:
        await consumer.stop()
        raise await not_started(bootstrap, access, e) from None
    try:
        async for record in consumer:
            try:
                event = msgspec.json.decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # not one of ours
            yield event
    finally:
        await consumer.stop()
