"""A `track` worker as the product wires it, but for one flush that never ends: it waits for ever, or blocks the event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial

from streams.partition import Partition
from volvere import worker
from volvere.settings import load


async def wait(point: str, partition: Partition) -> None:
    """Where nothing limits it; a claim has nothing to flush."""
    if point == "before install" and partition.flushing:
        await asyncio.Event().wait()


async def block(point: str, partition: Partition) -> None:
    """Nobody else has a turn any more."""
    if point == "before publish" and partition.flushing:
        threading.Event().wait()


if __name__ == "__main__":
    settings = load()
    worker.set_up_logging(settings)
    with worker.broker(settings, create=False) as at:

        async def work() -> None:
            """As `volvere worker track`."""
            config = worker.track_config(settings, at, at=wait if sys.argv[1] == "wait" else block)
            await worker.serve(settings, "track", partial(worker.run_track, worker.load_rules(None), config))

        asyncio.run(work())
