"""The command `volvere` as users run it: a process of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volvere.embedded import die_with_parent

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "volvere.cli"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it wrote, for a person to read."""
        return self.out + self.err


def environment(**settings: object) -> dict[str, str]:
    """The environment without settings of Volveré's, and `settings` (kafka="..." is VOLVERE_KAFKA)."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("VOLVERE_") and k not in ("COLUMNS", "FORCE_COLOR")}
    kept["PYTHONPATH"] = str(ROOT)
    return kept | {f"VOLVERE_{name.upper()}": str(value) for name, value in settings.items()}


def volvere(
    folder: Path,
    *args: object,
    stdin: str | bytes = "",
    ends_within: float = 120,
    code: int | None = 0,
    **settings: object,
) -> Done:
    """Run a command to its end, in `folder`. `code`: the exit code that it must have; None: any."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    ended = subprocess.run(
        [*COMMAND, *map(str, args)],
        input=given,
        capture_output=True,
        cwd=folder,
        env=environment(**settings),
        timeout=ends_within,
        check=False,
    )
    done = Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
    assert code is None or done.code == code, f"exit code {done.code}, expected {code}:\n{done.said[-4000:]}"
    return done


def ask(folder: Path, sql: str, clickhouse: object) -> list[dict[str, Any]]:
    """The answer of `volvere query` as JSON."""
    answer: list[dict[str, Any]] = json.loads(
        volvere(folder, "query", sql, "--format", "json", "--clickhouse", clickhouse).out
    )
    return answer


class Running:
    """A command that runs on its own; its output can be waited for."""

    def __init__(self, folder: Path, *args: object, **settings: object) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(**settings) | {"PYTHONUNBUFFERED": "1"},
            text=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _tail(self) -> str:
        return "\n".join(line[:400] for line in self._seen[-20:])

    def line(self, wanted: Callable[[str], bool], within: float = 60) -> str:
        """The first line from here on that is wanted; fails when the command ends or says nothing for so long."""
        while True:
            try:
                line = self._lines.get(timeout=within)
            except queue.Empty:
                raise AssertionError(f"nothing for {within:g} s after:\n" + self._tail()) from None
            if line is None:
                raise AssertionError(f"ended with {self._process.wait()}:\n" + self._tail())
            self._seen.append(line)
            if wanted(line):
                return line

    def end(self, within: float = 60) -> Done:
        """Wait until it ends by itself."""
        code = self._process.wait(within)
        self._reader.join(within)
        while (line := self._lines.get(timeout=within)) is not None:
            self._seen.append(line)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return Done(code, "\n".join(self._seen), "")

    def terminate(self, within: float = 60) -> Done:
        """SIGTERM, as an orchestrator stops a service, and how it ended."""
        self._process.send_signal(signal.SIGTERM)
        return self.end(within)

    def kill(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self.end()


@contextlib.contextmanager
def running(folder: Path, *args: object, **settings: object) -> Iterator[Running]:
    """A command that runs while the block does, at most."""
    process = Running(folder, *args, **settings)
    try:
        yield process
    finally:
        process.kill()
