"""What the store cannot store, published to `store.dlq` before its offset is committed.

There are next to none, so the producer is made with the first of them. A crash between the letter and the offset repeats the
letter, with the same place in its headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.letters import Letter

WITHIN = 30.0
"""Seconds in which the broker must have taken them; a producer itself would try for ever."""


class Letters:
    """Dead letters of one worker. `options`: of the producer, bootstrap_servers among them."""

    def __init__(self, topic: str, options: Mapping[str, Any]) -> None:
        self.topic, self._options = topic, dict(options)
        self._producer: AIOKafkaProducer | None = None

    async def put(self, letters: Iterable[Letter]) -> None:
        """Publish; when it returns the broker has them. Raises KafkaError or TimeoutError."""
        async with asyncio.timeout(WITHIN):
            if self._producer is None:
                producer = AIOKafkaProducer(acks="all", **self._options)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            sent = [
                await self._producer.send(self.topic, value, key=key, headers=headers)
                for key, value, headers in letters
            ]
            await asyncio.gather(*sent)

    async def stop(self) -> None:
        """Close the producer, if there is one."""
        if self._producer is not None:
            await self._producer.stop()
