"""A `track` worker as the product wires it, which may send itself a signal at a named point of a flush.

What was handed to the producer by then is forced out to the broker first: a kill that lost it
in a buffer would test nothing. `signals.jsonl` gets a line before each, `commits.jsonl` a line a flush.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from pathlib import Path

import streams.partition
from streams import facts
from streams.partition import Partition
from streams.publish import POINTS, Ordered, Transactional
from streams.rules import parse_rules
from tests.faults.week import FLUSH_RECORDS
from volvere.settings import load
from volvere.worker import broker, run_track, set_up_logging, track_config, until_signalled

UNFLUSHED = 100
"""Only a flush of at least so many records is worth a kill."""


class Fate:
    """A hook that sends this process a signal at `point` of the `nth` flush with enough records, and tells of commits."""

    def __init__(self, folder: Path, point: str, nth: int, number: signal.Signals) -> None:
        self.folder, self.point, self.left, self.number = folder, point, nth, number

    async def __call__(self, point: str, partition: Partition) -> None:
        """What the flush awaits at each of its points."""
        line = {"point": point, "partition": partition.number, "records": partition.flushing, "pid": os.getpid()}
        if point == "after commit":
            self._write("commits.jsonl", line)
        if point != self.point or partition.flushing < UNFLUSHED:
            return
        self.left -= 1
        if self.left != 0:
            return
        publisher = partition.publisher
        assert isinstance(publisher, Transactional | Ordered)
        await publisher.producer.flush()
        self._write("signals.jsonl", line)
        os.kill(os.getpid(), self.number)

    def _write(self, name: str, line: dict[str, object]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            os.fsync(log.fileno())


def become_newer() -> None:
    """Write the state as a later release might."""
    newer = facts.CODEC + 1
    vars(streams.partition).update(CODEC=newer, READABLE=facts.READABLE | {newer})


def main() -> None:
    """Run until SIGTERM, or as the options say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True, help="of the topics; also the application's name")
    parser.add_argument("--folder", required=True, type=Path, help="for what it tells")
    parser.add_argument("--newer", action="store_true", help="be a later release, with another codec")
    parser.add_argument("--point", choices=POINTS, default="")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--signal", choices=["SIGKILL", "SIGTERM", "SIGSTOP"], default="SIGKILL")
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
    if args.newer:
        become_newer()
    fate = Fate(args.folder, args.point, args.nth, signal.Signals[args.signal])
    with broker(settings, create=False) as at:
        config = track_config(settings, at, at=fate)
        asyncio.run(until_signalled(lambda stop: run_track(parse_rules(), config, stop)))


if __name__ == "__main__":
    main()
