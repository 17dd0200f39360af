"""Whether the whole input has gone silent, other workers' partitions as well.

Then a producer is dead, more likely than every customer is asleep. Were time to pass
nevertheless, every message that waits for an answer would become a slow reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

log = logging.getLogger("volvere.track")

ANSWER_WITHIN = 10.0
"""Seconds for one look at the topic's ends."""
LOOK_EVERY = 30.0
"""Seconds between two looks, at most."""


class Listener:
    """Looks at the ends of a topic now and then. silent: nothing has come for `after` seconds; partitions: how many it has.

    ends: by partition, at the last look, where reading ends (after the last record that is committed); looked: when that was, by the
    steady clock.
    """

    def __init__(self, reader: Callable[[], AIOKafkaConsumer], topic: str, after: float) -> None:
        self._reader, self._topic, self._after = reader, topic, after
        self.silent = False
        self.partitions = 0
        self.ends: dict[int, int] = {}
        self.looked = 0.0

    async def run(self) -> None:
        """Listen until cancelled. While the broker is away nothing is known, and nothing changes."""
        ends: dict[TopicPartition, int] = {}
        heard = time.monotonic()
        while True:
            with contextlib.suppress(KafkaError, TimeoutError):
                found = await asyncio.wait_for(self._ends(), ANSWER_WITHIN)
                now = time.monotonic()
                self.ends, self.looked = {tp.partition: end for tp, end in found.items()}, now
                if found != ends:
                    ends, heard, self.partitions = found, now, len(found)
                self._tell(now - heard)
            await asyncio.sleep(min(self._after / 10, LOOK_EVERY))

    async def _ends(self) -> dict[TopicPartition, int]:
        """Asked by a consumer of its own: it knows the topic as it is now, partitions that were added included."""
        reader = self._reader()
        reader.subscribe([self._topic])
        try:
            await reader.start()
            reader.pause(*reader.assignment())
            found: dict[TopicPartition, int] = await reader.end_offsets(reader.assignment())
            return found
        finally:
            await reader.stop()

    def _tell(self, quiet: float) -> None:
        silent = quiet >= self._after
        if silent and not self.silent:
            log.error(
                "the input is silent: no partition of %s got a record for %.0f s, so that no time passes; "
                "see to its producers",
                self._topic,
                quiet,
            )
        elif self.silent and not silent:
            log.info("the input is back: %s gets records again", self._topic)
        self.silent = silent
