"""When a worker is stuck, and when it only looks like it; what health answers. No clock: times are said."""

from __future__ import annotations

import pytest

from volvere.health import Watch
from volvere.vitals import Vitals, Work

AFTER = 10.0


class Hour:
    """A watch that looks every second. `turns`: the event loop lives."""

    def __init__(self) -> None:
        self.now, self.turn = 1000.0, 0
        self.watch = Watch(AFTER, self.now)

    def pass_by(self, seconds: int, *, turns: bool = True, **workers: Vitals) -> str | None:
        """So many looks at workers that stay as they are; gives the first complaint."""
        for _ in range(seconds):
            self.now += 1.0
            self.turn += turns
            if (why := self.watch.look(self.now, self.turn, workers)) is not None:
                return why
        return None


def at_work(waiting: int, moves: int, place: str = "partition 3") -> Vitals:
    """A worker with one place."""
    return Vitals(True, "", {place: Work(waiting, moves)})


def test_work_that_nobody_does() -> None:
    """Records wait and nothing is committed: after the time that is set, not before, with the place and how much waits."""
    hour = Hour()
    assert hour.pass_by(10, track=at_work(1234, 7)) is None
    assert (
        hour.pass_by(1, track=at_work(1300, 7)) == "track, partition 3: nothing has been done for 10 s (waiting: 1,300)"
    )


@pytest.mark.parametrize(
    "vitals",
    [
        Vitals(True, "", {"partition 3": Work(0, 7)}),
        Vitals(True),
        Vitals(False, "it waits for Kafka to deal out partitions"),
        Vitals(True, "Kafka has not answered", None),
    ],
    ids=["no work", "no place", "not started", "nobody knows"],
)
def test_idle_is_not_stuck(vitals: Vitals) -> None:
    """A worker at the end of the log, or one that has no partitions, may stand for ever."""
    assert Hour().pass_by(100, track=vitals) is None


def test_slow_is_not_stuck() -> None:
    """Whatever is done in time counts, however much waits."""
    hour = Hour()
    for done in range(20):
        assert hour.pass_by(9, store=at_work(10**9, done)) is None


def test_one_place_of_many() -> None:
    """A partition that nobody reads any more is found beside others that are read."""
    hour, why = Hour(), None
    for done in range(3):
        both = Vitals(True, "", {"partition 1": Work(5, done), "partition 2": Work(5, 0)})
        why = hour.pass_by(4, track=both)
    assert why is not None and why.startswith("track, partition 2: ")


def test_work_that_comes_after_a_long_rest() -> None:
    """The time begins with the work, not with the last thing that was done."""
    hour = Hour()
    assert hour.pass_by(50, track=at_work(0, 7)) is None
    assert hour.pass_by(9, track=at_work(1, 7)) is None
    assert hour.pass_by(9, track=at_work(1, 8)) is None


def test_a_place_that_comes_back() -> None:
    """What was given away and came back is looked at anew."""
    hour = Hour()
    assert hour.pass_by(9, track=at_work(5, 7)) is None
    assert hour.pass_by(1, track=Vitals(True)) is None
    assert hour.pass_by(9, track=at_work(5, 7)) is None


def test_while_nobody_knows_no_time_passes() -> None:
    """With the broker away it is not known whether there is work; afterwards the time begins anew."""
    hour = Hour()
    assert hour.pass_by(9, track=at_work(5, 7)) is None
    assert hour.pass_by(30, track=Vitals(True, "", None)) is None
    assert hour.pass_by(9, track=at_work(5, 7)) is None


def test_a_loop_that_stands_still() -> None:
    """It knows of no work any more, so that it is stuck whether there is any or not."""
    hour = Hour()
    assert hour.pass_by(3, track=Vitals(True)) is None
    assert hour.pass_by(10, turns=False, track=Vitals(True)) == "the event loop has stood still for 10 s"


def test_a_machine_that_was_suspended() -> None:
    """Hours in which the watch itself did not run are not held against anybody."""
    hour = Hour()
    assert hour.pass_by(3, track=at_work(5, 7)) is None
    hour.now += 3600.0
    assert hour.pass_by(3, turns=False, track=at_work(5, 7)) is None
