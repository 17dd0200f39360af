"""Workers in processes of their own, on Apache Kafka: started, watched, killed, stopped."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kafka import KafkaAdminClient

from tests.kafka import ROOT
from volvere.embedded import die_with_parent
from volvere.topics import of_group

Process = subprocess.Popen[bytes]


@dataclass
class Crew:
    """The workers of one application, whose name is the topics' prefix. `folder`: for their logs."""

    bootstrap: str
    prefix: str
    folder: Path
    running: dict[str, Process] = field(default_factory=dict)
    started: int = 0
    _outputs: list[IO[bytes]] = field(default_factory=list)

    @property
    def signals(self) -> list[dict[str, Any]]:
        """Who sent itself a signal, where and when, in order."""
        return self._told("signals.jsonl")

    @property
    def commits(self) -> list[tuple[int, int]]:
        """Every flush that was committed: its partition and number of records."""
        return [(line["partition"], line["records"]) for line in self._told("commits.jsonl")]

    @property
    def committed(self) -> int:
        """Records in all of them."""
        return sum(records for _, records in self.commits)

    def _told(self, name: str) -> list[dict[str, Any]]:
        log = self.folder / name
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def start(self, seat: str, *options: str) -> Process:
        """A worker in a seat; see tests/faults/worker.py for its options."""
        assert seat not in self.running
        self.started += 1
        output = (self.folder / f"worker-{self.started:02d}-{seat}.log").open("wb")
        self._outputs.append(output)
        command = [sys.executable, "-m", "tests.faults.worker", "--kafka", self.bootstrap, "--prefix", self.prefix]
        self.running[seat] = subprocess.Popen(
            [*command, "--folder", str(self.folder), *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
        )
        return self.running[seat]

    def ended(self, wait_s: float = 0.05) -> dict[str, int]:
        """The seats whose workers have ended, with exit codes; waits so long for one at most. Frees the seats."""
        codes: dict[str, int] = {}
        for seat, process in list(self.running.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                codes[seat] = process.wait(timeout=wait_s / len(self.running))
                del self.running[seat]
        return codes

    def stop(self, number: int = signal.SIGTERM) -> list[int]:
        """End all that run; gives their exit codes."""
        for process in self.running.values():
            process.send_signal(number)
        codes = [process.wait(timeout=30) for process in self.running.values()]
        self.running.clear()
        return codes

    def close(self) -> None:
        """Nothing is left behind."""
        self.stop(signal.SIGKILL)
        for output in self._outputs:
            output.close()

    def logs(self, seat: str = "*") -> str:
        """What the workers of a seat said, in order."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob(f"worker-*-{seat}.log"))
        )

    def offsets(self) -> dict[int, int]:
        """The group's committed offsets by partition."""
        group = f"{self.prefix}-track"
        with admin(self.bootstrap) as client:
            listed = of_group(client.list_group_offsets, {group: None})
        return {tp.partition: found.offset for tp, found in listed[group].items()}

    def await_offsets(self, ends: dict[int, int], deadline_s: float = 60) -> None:
        """Wait until the group has come so far."""
        self.until(lambda: (at := self.offsets()) and all(at.get(n, 0) >= end for n, end in ends.items()), deadline_s)

    def until(self, condition: Callable[[], Any], deadline_s: float) -> None:
        """Wait for a condition while everybody lives. Asking takes its time, so that this does not spin."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            codes = self.ended()
            assert not codes, f"ended: {codes}\n{self.logs()}"
            assert time.monotonic() < deadline, f"nothing after {deadline_s} s\n{self.logs()}"


@contextlib.contextmanager
def crew(bootstrap: str, prefix: str, folder: Path) -> Iterator[Crew]:
    """A crew that is gone at the end."""
    members = Crew(bootstrap, prefix, folder)
    try:
        yield members
    finally:
        members.close()


@contextlib.contextmanager
def admin(bootstrap: str) -> Iterator[KafkaAdminClient]:
    """Kafka's admin client."""
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        yield client
    finally:
        client.close()
