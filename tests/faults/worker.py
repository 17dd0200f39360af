"""A `track` worker as the product wires it, which may kill itself at a named point of a flush.

What was handed to the producer by then is forced out to the broker first: a kill that lost it
in a buffer would test nothing. The log gets one line a kill, before it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

from streams.partition import Partition
from streams.publish import POINTS, Ordered, Transactional
from streams.rules import parse_rules
from volvere.settings import load
from volvere.worker import broker, run_track, set_up_logging, track_config, until_signalled

UNFLUSHED = 100
"""Only a flush of at least so many records is worth a kill."""
FLUSH_RECORDS = 400


class Killer:
    """A hook that kills at `point` of the `nth` flush with enough records."""

    def __init__(self, point: str, nth: int, log: Path) -> None:
        self.point, self.left, self.log = point, nth, log

    async def __call__(self, point: str, partition: Partition) -> None:
        """What the flush awaits at each of its points."""
        if point != self.point or partition.flushing < UNFLUSHED:
            return
        self.left -= 1
        if self.left > 0:
            return
        publisher = partition.publisher
        assert isinstance(publisher, Transactional | Ordered)
        await publisher.producer.flush()
        line = {"point": point, "partition": partition.number, "records": partition.flushing, "pid": os.getpid()}
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            os.fsync(log.fileno())
        os.kill(os.getpid(), signal.SIGKILL)


async def spared(point: str, partition: Partition) -> None:
    """Nobody is killed."""


def main() -> None:
    """Run until SIGTERM or the kill."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True, help="of the topics; also the application's name")
    parser.add_argument("--instance", help="static membership of the group")
    parser.add_argument("--point", choices=POINTS)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    settings = load(
        kafka=args.kafka,
        application=args.prefix,
        topic_prefix=args.prefix,
        session_timeout_s=4,
        heartbeat_interval_s=0.5,
        flush_records=FLUSH_RECORDS,
    )
    set_up_logging(settings)
    hook = Killer(args.point, args.nth, args.log) if args.point else spared
    with broker(settings, create=False) as at:
        config = replace(track_config(settings, at, instance_id=args.instance), at=hook)
        asyncio.run(until_signalled(lambda stop: run_track(parse_rules(), config, stop)))


if __name__ == "__main__":
    main()
