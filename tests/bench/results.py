"""What was measured, as a file: every run of every contestant, the machine, the day and the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Self

import msgspec

from tests.bench.measure import Result
from tests.bench.storing import Stored

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "benchmark.json"


@dataclass
class Measured:
    """Of runs of one thing: the median, the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """From one value or more."""
        return cls(median(values), min(values), max(values))


@dataclass
class Book:
    """Everything that one file holds. runs: in the order in which they were made; scale: question -> size -> runs.

    notes: what whoever measured has to say of it, such as what else the machine did.
    """

    machine: str
    day: str
    commit: str
    customers: int
    entries: int
    partitions: int
    event_bytes: float
    runs: list[Result] = field(default_factory=list)
    scale: dict[str, dict[str, list[Result]]] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, key: str) -> list[Result]:
        """The runs of a contestant."""
        return [run for run in self.runs if run.contestant == key]

    def write(self, path: Path = FILE) -> None:
        """To a file."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read(path: Path = FILE) -> Book:
    """From a file."""
    return msgspec.json.decode(path.read_bytes(), type=Book)


def machine() -> str:
    """Cores, processor, memory, system, and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.split('"')
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, "
        f"Java {java[1] if len(java) > 1 else '?'}"
    )


def commit() -> str:
    """Which state of the project this is."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=8"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "?"


def today() -> str:
    """The day."""
    return date.today().isoformat()  # noqa: DTZ011 - the day that the reader's calendar shows
