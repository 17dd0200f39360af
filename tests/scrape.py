"""What a worker serves to monitoring: its metrics as numbers, its health as status and words."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from prometheus_client.parser import text_string_to_metric_families

from tests.command import Running


def address(worker: Running) -> str:
    """Where a worker that was started with a port says that it serves."""
    return worker.line(lambda text: "metrics and health are at" in text).partition(" at ")[2].split('"')[0].strip()


class Scrape:
    """The metrics at one moment."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self._samples = {
            (s.name, tuple(sorted(s.labels.items()))): s.value for family in self.families for s in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series that have these labels; 0 where there is none."""
        return sum(v for at, v in self._samples.items() if at[0] == name and labels.items() <= dict(at[1]).items())

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        return ((name, dict(labels)) for name, labels in self._samples)


def get(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


def scrape(at: str) -> Scrape:
    """What is at /metrics now."""
    status, text = get(f"{at}/metrics")
    assert status == 200, text
    return Scrape(text)


def until(condition: Callable[[], object], within: float = 60) -> None:
    """Wait until something is so. Asking goes over the network, so that this does not spin."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s"
