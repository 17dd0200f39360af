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
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streams.partition
from streams import facts
from streams.partition import Partition
from streams.publish import POINTS, Ordered, Transactional
from streams.rules import parse_rules
from tests.faults.week import FLUSH_RECORDS
from volvere.settings import load
from volvere.topics import BrokerProblem
from volvere.worker import broker, run_track, set_up_logging, track_config, until_signalled

Replace = Callable[[Any, str, Any], None]
"""As `setattr`, or one that takes it back."""

UNFLUSHED = 100
"""Only a flush of at least so many records is worth a kill."""


class Fate:
    """A hook that sends this process a signal at `point` of the `nth` flush with enough records, and tells of commits."""

    def __init__(self, folder: Path, point: str, nth: int, number: signal.Signals, enough: int = UNFLUSHED) -> None:
        self.folder, self.point, self.left, self.number, self.enough = folder, point, nth, number, enough

    async def __call__(self, point: str, partition: Partition) -> None:
        """What the flush awaits at each of its points."""
        line = {"point": point, "partition": partition.number, "records": partition.flushing, "pid": os.getpid()}
        if point == "after commit":
            self._write("commits.jsonl", line)
        if point != self.point or partition.flushing < self.enough:
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


NEXT = facts.CODEC + 1
"""The codec of the release after this one. Its form is another, so that whoever misreads it is found out."""


def become_ready(replace: Replace = setattr) -> None:
    """The release before the next codec is written: it reads that one, too."""

    def known(packed: bytes) -> bytes:
        return packed if packed[0] != NEXT else bytes([facts.CODEC]) + zlib.decompress(packed[1:])

    unpack, due_of = facts.unpack, facts.due_of
    replace(streams.partition, "READABLE", facts.READABLE | {NEXT})
    replace(streams.partition, "unpack", lambda subject, packed: unpack(subject, known(packed)))
    replace(streams.partition, "due_of", lambda packed: due_of(known(packed)))


def become_newer(replace: Replace = setattr) -> None:
    """The release that writes the next codec, and reads both."""
    pack = facts.Facts.pack
    become_ready(replace)
    replace(streams.partition, "CODEC", NEXT)
    replace(facts.Facts, "pack", lambda self, due: bytes([NEXT]) + zlib.compress(pack(self, due)[1:]))


def main() -> None:
    """Run until SIGTERM, or as the options say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True, help="of the topics; also the application's name")
    parser.add_argument("--folder", required=True, type=Path, help="for what it tells")
    parser.add_argument("--ready", action="store_true", help="be the next release, which can read another codec")
    parser.add_argument("--newer", action="store_true", help="be the one after it, which writes that codec")
    parser.add_argument("--still", action="store_true", help="no time passes but by touchpoints")
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
    if args.ready:
        become_ready()
    if args.newer:
        become_newer()
    fate = Fate(args.folder, args.point, args.nth, signal.Signals[args.signal])
    with broker(settings, create=False) as at:
        config = track_config(settings, at, at=fate, **({"tick": 1e9} if args.still else {}))
        asyncio.run(until_signalled(lambda stop: run_track(parse_rules(), config, stop)))


if __name__ == "__main__":
    try:
        main()
    except BrokerProblem as e:  # as the command line does
        print(e, file=sys.stderr)  # noqa: T201
        sys.exit(2)
