"""Troubles with what was bought: `lemon`."""

from __future__ import annotations

from schemas.times import DAY, HOUR
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import Tale

EARLY = 25 * DAY
"""Out of service for so long is close to what the laws allow."""


class _Asset:
    """One thing that is sold when it is made, and repaired; times are after the story's beginning."""

    def __init__(self, t: Tale, name: str = "asset", at: int = 0) -> None:
        self.t, self.asset_id = t, f"{t.name}/{name}"
        t.loose("store").say(t.begin + at, "asset.sold", asset_id=self.asset_id, product="car")

    def repair(self, at: int, lasting: int | None, fault: str = "engine") -> tuple[Contact, str, int]:
        """A repair, never finished if `lasting` is None; who said it, the id of its opening, and when that was."""
        c = self.t.loose("store", fault)
        opened = self.t.begin + at
        ref = f"{self.asset_id}/{at}"
        event = c.say(opened, "repair.opened", ref=ref, asset_id=self.asset_id)
        if lasting is not None:
            c.say(opened + lasting, "repair.closed", ref=ref, asset_id=self.asset_id)
        return c, event, opened


def _lemon(
    t: Tale, repair: tuple[Contact, str, int], story: str, *, at: int | None = None, near_miss: bool = False
) -> None:
    c, event, opened = repair
    t.truth("lemon", c, opened if at is None else at, story, event=event, near_miss=near_miss)


def the_same_fault_again(t: Tale) -> None:
    """One repair before the limit is when somebody should look."""
    asset = _Asset(t)
    first = asset.repair(6 * HOUR, 4 * HOUR)
    second = asset.repair(30 * HOUR, 5 * HOUR)
    _lemon(t, second, "The engine was repaired again the day after its repair.")
    _lemon(t, first, "The first repair of an engine.", near_miss=True)


def the_same_fault_three_times(t: Tale) -> None:
    """A lemon by law, and a friction for the asset as before."""
    asset = _Asset(t)
    asset.repair(10 * DAY, DAY)
    _lemon(t, asset.repair(20 * DAY, DAY), "The engine was repaired a second time.")
    _lemon(t, asset.repair(30 * DAY, DAY), "A third repair: the asset is a lemon already.", near_miss=True)


def always_something_else(t: Tale) -> None:
    """The fourth repair of any."""
    asset = _Asset(t)
    for day, fault in ((8, "engine"), (16, "brakes"), (24, "battery")):
        _lemon(t, asset.repair(day * DAY, DAY, fault), "A repair of something else.", near_miss=True)
    _lemon(t, asset.repair(32 * DAY, DAY, "gearbox"), "The fourth repair, each of something else.")


def in_repair_for_26_days(t: Tale) -> None:
    """Waiting for a part."""
    repair = _Asset(t).repair(5 * DAY, 26 * DAY)
    _lemon(t, repair, "Was in repair for 26 days.", at=repair[2] + EARLY)


def still_in_repair(t: Tale) -> None:
    """Days go on counting."""
    repair = _Asset(t).repair(5 * DAY, None)
    _lemon(t, repair, "Has been in repair for 25 days, and still is.", at=repair[2] + EARLY)


def out_of_service_in_all(t: Tale) -> None:
    """Two repairs together."""
    asset = _Asset(t)
    asset.repair(20 * DAY, 8 * DAY)
    second = asset.repair(36 * DAY, 18 * DAY, "brakes")
    _lemon(t, second, "Eight and 17 days in repair are 25.", at=second[2] + 17 * DAY)


def more_in_repair_than_in_use(t: Tale) -> None:
    """Sixteen days in the workshop, two on the road."""
    asset = _Asset(t)
    asset.repair(DAY, 16 * DAY)
    second = asset.repair(18 * DAY, DAY, "brakes")
    _lemon(t, second, "Went to repair again after 16 days of repair and two of use.")


def replaced_in_the_end(t: Tale) -> None:
    """What should happen to a lemon."""
    asset = _Asset(t)
    asset.repair(5 * DAY, DAY)
    _lemon(t, asset.repair(10 * DAY, DAY), "The engine was repaired twice before the car was replaced.")
    t.loose("store").say(t.begin + 14 * DAY, "asset.replaced", asset_id=asset.asset_id)


def the_same_fault_two_years_long(t: Tale) -> None:
    """Slowly, but within 24 months."""
    asset = _Asset(t)
    asset.repair(10 * DAY, DAY)
    _lemon(t, asset.repair(600 * DAY, DAY), "The engine was repaired twice within 24 months.")


def in_repair_for_24_days(t: Tale) -> None:
    """A microsecond less than 25 days."""
    repair = _Asset(t).repair(5 * DAY, EARLY - 1)
    _lemon(t, repair, "Was in repair for a microsecond less than 25 days.", at=repair[2] + EARLY, near_miss=True)


def another_fault(t: Tale) -> None:
    """Three faults, each repaired once."""
    asset = _Asset(t)
    for day, fault in ((10, "engine"), (20, "brakes"), (30, "battery")):
        _lemon(t, asset.repair(day * DAY, DAY, fault), "Three repairs, each of something else.", near_miss=True)


def another_asset(t: Tale) -> None:
    """Two things with one fault each."""
    one, other = _Asset(t, "one"), _Asset(t, "other", HOUR)
    _lemon(t, one.repair(6 * HOUR, 4 * HOUR), "Two cars, each repaired once.", near_miss=True)
    _lemon(t, other.repair(30 * HOUR, 4 * HOUR), "Two cars, each repaired once.", near_miss=True)


def long_in_repair_longer_in_use(t: Tale) -> None:
    """Sixteen days in the workshop, 22 on the road."""
    asset = _Asset(t)
    asset.repair(20 * DAY, 8 * DAY)
    second = asset.repair(30 * DAY, 8 * DAY, "brakes")
    _lemon(t, second, "Was in repair for 16 days, and in use for 22.", near_miss=True)


def the_same_fault_after_24_months(t: Tale) -> None:
    """Nothing lasts for ever."""
    asset = _Asset(t)
    asset.repair(10 * DAY, DAY)
    _lemon(t, asset.repair(760 * DAY, DAY), "The engine was repaired again after two years.", near_miss=True)


STORIES = (
    the_same_fault_again, the_same_fault_three_times, always_something_else, in_repair_for_26_days, still_in_repair,
    out_of_service_in_all, more_in_repair_than_in_use, replaced_in_the_end, the_same_fault_two_years_long,
    in_repair_for_24_days, another_fault, another_asset, long_in_repair_longer_in_use, the_same_fault_after_24_months,
)  # fmt: skip
