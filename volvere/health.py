"""Whether a worker lives, is ready, has started; and whether it is stuck.

- **started**: it has had its part of the work once (partitions dealt out, claimed and restored, if any are its own).
- **ready**: it does its part now. Not while partitions are being restored, and not when Kafka has not answered, or ClickHouse has taken nothing,
  for a minute. Being not ready ends nothing: it holds up a roll-out, and an alert tells of it.
- **live**: its event loop has turns, and it is not stuck.

Stuck is what has work and does not get on with it, for `after` seconds: a partition with records of which nothing is committed, or whose state is not
read any further; a batch that is neither stored nor tried again; an event loop that stands still. A worker without work is idle, one that waits for ClickHouse
tries again and again, and where Kafka does not answer nobody knows whether there is work: none of them is stuck, and a restart would help none of
them. A stuck worker ends with exit code 4, so that its partitions go to somebody else.

The watch counts only time that it was awake itself: a machine that was suspended has not been stuck.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from volvere.vitals import Vitals, Work

LOOK_EVERY = 1.0
"""Seconds between two looks."""


class Watch:
    """Looks at vitals now and then, and remembers since when what has not moved. after: seconds. All times by one steady clock."""

    def __init__(self, after: float, now: float) -> None:
        self.after = after
        self._looked = now
        self._awake = 0.0
        self._turned: tuple[Hashable, float] = (None, 0.0)
        self._moved: dict[str, tuple[Hashable, float]] = {}

    def look(self, now: float, turn: Hashable, vitals: Mapping[str, Vitals]) -> str | None:
        """Why it is stuck, in words, or None. turn: differs after each turn of the event loop; vitals: by worker."""
        self._awake += min(now - self._looked, 2 * LOOK_EVERY)
        self._looked = now
        if turn != self._turned[0]:
            self._turned = turn, self._awake
        if (stood := self._awake - self._turned[1]) >= self.after:
            return f"the event loop has stood still for {stood:.0f} s"
        found = {f"{worker}, {place}": work for worker, v in vitals.items() for place, work in (v.places or {}).items()}
        unknown = tuple(f"{worker}, " for worker, v in vitals.items() if v.places is None)
        self._moved = {place: self._since(place, work) for place, work in found.items()} | {
            place: (moves, self._awake) for place, (moves, _) in self._moved.items() if place.startswith(unknown or " ")
        }
        for place, (_, since) in self._moved.items():
            if (stood := self._awake - since) >= self.after:
                return f"{place}: nothing has been done for {stood:.0f} s (waiting: {found[place].waiting:,})"
        return None

    def _since(self, place: str, work: Work) -> tuple[Hashable, float]:
        moves, since = self._moved.get(place, (None, self._awake))
        same = moves == work.moves and work.waiting and place in self._moved
        return work.moves, since if same else self._awake
