"""Workers forked from one process that has imported everything, so that starting one costs no seconds.

Each is a process of its own, which can be killed, stopped and told to end like any other. The
nursery has no threads and no event loop; it reads commands and tells exit codes, a JSON line each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.errors import Transient
from sinks.clickhouse import StoreProblem
from tests.faults.week import config, track
from tests.faults.worker import Fate
from tests.kafka import ROOT
from volvere import files, worker
from volvere.embedded import die_with_parent
from volvere.settings import Settings, load
from volvere.topics import BrokerProblem

QUIET = 3.0
"""Session timeout of the workers, seconds."""
FLUSH_WITHIN_MS = 4_000
CHILD = {signal.SIGCHLD}


class Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
        )

    def start(self, log: Path, **what: Any) -> int:
        """Fork one; its process id. what: `role`, and what the function of that name below takes."""
        return int(self._ask({"log": str(log), **what})["pid"])

    def ended(self, within: float) -> dict[int, int]:
        """Who has ended since the last question, or does within seconds: process id -> exit code, negative for a signal."""
        return {int(pid): code for pid, code in self._ask({"within": within})["ended"].items()}

    def close(self) -> None:
        """End it, and all that it forked with it."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _settings(kafka: str, prefix: str, **more: Any) -> Settings:
    return load(
        kafka=kafka,
        application=prefix.rstrip("."),
        topic_prefix=prefix,
        session_timeout_s=QUIET,
        heartbeat_interval_s=0.4,
        transaction_timeout_ms=FLUSH_WITHIN_MS,
        flush_records=400,
        stop_within_s=15,
        **more,
    )


def track_worker(kafka: str, prefix: str, folder: str, point: str = "", nth: int = 1) -> None:
    """`volvere worker track`, which may kill itself at a point of a flush."""
    settings = _settings(kafka, prefix)
    worker.set_up_logging(settings)
    fate = Fate(Path(folder), point, nth, signal.SIGKILL, enough=20)
    with worker.broker(settings, create=False) as at:
        config = worker.track_config(settings, at, at=fate)
        rules = worker.load_rules(None)
        asyncio.run(worker.until_signalled(lambda stop: worker.run_track(rules, config, stop), settings.stop_within_s))


def store_worker(kafka: str, prefix: str, clickhouse: str) -> None:
    """`volvere worker store`."""
    settings = _settings(kafka, prefix, clickhouse=clickhouse)
    worker.set_up_logging(settings)
    with worker.broker(settings, create=False) as at:
        client = worker.open_store(settings)
        asyncio.run(worker.until_signalled(worker.store(settings, at, client).run, settings.stop_within_s))


def finisher(kafka: str, prefix: str, last: list[list[Any]], ends: dict[str, int], newest: int) -> None:
    """Track to the end mark, as `volvere run` does, after all other workers have gone."""
    items = [files.Record(line, value.encode(), subject) for line, value, subject in last]
    how = config(kafka, prefix)
    how.application = prefix.rstrip(".")
    asyncio.run(track(how, items, {int(n): end for n, end in ends.items()}, newest))


ROLES: dict[str, Callable[..., None]] = {"track": track_worker, "store": store_worker, "finish": finisher}


def _be(log: str, role: str, what: dict[str, Any]) -> int:
    """What a forked process does; its exit code."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    try:
        ROLES[role](**what)
    except (BrokerProblem, StoreProblem, Transient) as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr, flush=True)  # noqa: T201
        return 2  # as the command line does
    except BaseException:  # noqa: BLE001 - told, and seen by the exit code
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Answer until standard input ends."""
    be_mine = die_with_parent()
    signal.pthread_sigmask(signal.SIG_BLOCK, CHILD)  # it stays pending until somebody asks
    for line in sys.stdin:
        what = json.loads(line)
        if "within" in what:
            signal.sigtimedwait(CHILD, what["within"])
            answer: dict[str, Any] = {"ended": {}}
            while (found := _reaped()) is not None:
                answer["ended"][found[0]] = found[1]
        else:
            pid = os.fork()
            if pid == 0:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD)
                if be_mine is not None:
                    be_mine()
                os._exit(_be(what.pop("log"), what.pop("role"), what))
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _reaped() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


if __name__ == "__main__":
    main()
