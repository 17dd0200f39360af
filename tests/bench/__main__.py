"""`make bench`: an Apache Kafka of its own, then `volvere bench` against it, one after the other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kafka import ApacheKafka, KafkaMissing


def main(*options: str) -> int:
    """Run both benchmarks with these options, such as --touchpoints 100000; the exit code of the first that fails."""
    try:
        kafka = ApacheKafka(Path(tempfile.mkdtemp(prefix="volvere-kafka-")), lasting=True)
    except KafkaMissing as e:
        sys.exit(f"no benchmark: {e}")
    kafka.start()
    try:
        for what in ("track", "store"):
            command = [sys.executable, "-m", "volvere.cli", "bench", what, "--kafka", kafka.bootstrap, *options]
            code = subprocess.call(command)
            if code:
                return code
    finally:
        kafka.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
