"""The fuse: when nearly everything that comes is unreadable, the worker stops.

One source that sends rubbish is that source's affair: its records go to the dead letters, and the
rest goes on. When no source can be read any more, it is this worker that is wrong (a bad deploy, the
wrong topic), and to go on would turn the whole input into dead letters.

The last 1,000 records of each source are judged, of those sources that were heard in the last ten
minutes; what comes from nobody who was ever readable counts as one source. While nothing is refused it costs one dictionary entry a record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from schemas.errors import Impossible
from schemas.times import MINUTE

WINDOW = 1_000
SHARE = 0.95
HEARD_WITHIN = 10 * MINUTE


class _Source(msgspec.Struct):
    source: str = ""


_source = msgspec.json.Decoder(_Source).decode


class Fuse:
    """Shared by the partitions of a worker. `heard`: readable source -> the latest append time, microseconds.

    share: of the last records of every source, how many were unreadable, 0 to 1; at SHARE it blows.
    """

    def __init__(self, armed: bool = True) -> None:
        self.armed = armed
        self.heard: dict[str, int] = {}
        self._verdicts: dict[str, deque[bool]] = {}
        self.share = 0.0

    @property
    def calm(self) -> bool:
        """Whether nothing was refused of late: then a batch without refusals need not be noted."""
        return not self._verdicts or not self.armed

    def note(self, records: Sequence[Any], refused: Collection[int]) -> None:
        """Judge a batch, of which the records at some positions were refused. Impossible when the fuse blows."""
        if not records or not self.armed:
            return
        for n, record in enumerate(records):
            source = _source_of(record.value)
            if source not in self.heard:  # nothing of it was ever readable: its name is as good as any other
                source = ""
            window = self._verdicts.get(source)
            if window is None:  # up to now nothing of it was refused
                window = self._verdicts[source] = deque([False] * WINDOW if source in self.heard else (), WINDOW)
            window.append(n in refused)
            self.heard[source] = record.timestamp * 1000
        newest = max(self.heard.values())
        current = [s for s, at in self.heard.items() if at > newest - HEARD_WITHIN]
        self._verdicts = {s: self._verdicts[s] for s in current if any(self._verdicts.get(s, ()))}
        bad = sum(map(sum, self._verdicts.values()))
        self.share = min((sum(self._verdicts.get(s, ())) / WINDOW for s in current), default=0.0)
        if bad >= SHARE * WINDOW and all(_bad(self._verdicts.get(s, ())) for s in current):
            raise Impossible(
                f"{bad:,} of the last records are unreadable, of every source ({', '.join(sorted(map(repr, current))[:5])}): "
                "this is no matter of single records, so nothing more is read. Look at `volvere dlq show`, and at what "
                "was deployed last, here and where the records are made; to go on nevertheless set VOLVERE_FUSE=off"
            )


def _bad(window: Collection[bool]) -> bool:
    return bool(window) and sum(window) >= SHARE * len(window)


def _source_of(value: bytes | None) -> str:
    """The source that a record names, as far as that can be read; else nothing."""
    try:
        return _source(value or b"").source
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
