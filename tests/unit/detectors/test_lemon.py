"""`lemon`: repaired too often, too long, or more than it was used; and what begins it anew."""

from __future__ import annotations

import pytest

from tests.stories import Told, play


def _repairs(*repairs: str, asset: str = "car1") -> str:
    """Lines for "start end fault" ("-": never closed; no fault: without a topic)."""
    lines = []
    for n, repair in enumerate(repairs):
        start, end, fault = repair.split()
        lines.append(f"{start} repair.opened garage {fault} asset={asset} ref={asset}-{n} id={asset}-o{n}")
        if end != "-":
            lines.append(f"{end} repair.closed garage {fault} asset={asset} ref={asset}-{n} id={asset}-c{n}")
    return "\n".join(lines) + "\n"


ONE = "0d 1d brakes"
TWO = _repairs(ONE, "100d 101d brakes")
ONCE = ("lemon warning 100d..",)
SOLD = "-20d asset.sold shop - asset=car1\n"


def _then(line: str) -> str:
    return TWO + line + "\n"


STORIES = (
    Told("hurts", TWO, ONCE, until="102d"),
    Told("one repair", _repairs(ONE), until="102d"),
    Told("a third of the same fault", _repairs(ONE, "100d 101d brakes", "200d 201d brakes"),
         ("lemon critical 100d..",), until="202d"),
    Told("another fault", _repairs(ONE, "100d 101d lights"), until="102d"),
    Told("another asset", _repairs(ONE) + _repairs("100d 101d brakes", asset="car2"), until="102d"),
    Told("no asset", TWO.replace("asset=car1", ""), until="102d"),
    Told("repairs without a fault are of no fault that is the same", _repairs("0d 1d -", "100d 101d -"), until="102d"),
    Told("repairs without a fault count among all", _repairs("0d 1d -", "10d 11d -", "20d 21d brakes", "30d 31d -"),
         ("lemon warning 30d..",), until="32d"),
    Told("just inside the window", _repairs(ONE, "729d 730d brakes"), ("lemon warning 729d..",), until="731d"),
    Told("exactly on the window", _repairs(ONE, "730d 731d brakes"), ("lemon warning 730d..",), until="731d"),
    Told("just outside the window", _repairs(ONE, "730d1us 731d brakes"), until="731d"),
    Told("at the same moment", _repairs("0d 1d brakes", "0d 1d brakes"), ("lemon warning 0m..",), until="2d"),
    Told("three different faults", _repairs(ONE, "10d 11d lights", "20d 21d engine"), until="22d"),
    Told("four different faults", _repairs(ONE, "10d 11d lights", "20d 21d engine", "30d 31d doors"),
         ("lemon warning 30d..",), until="32d"),
    Told("five different faults",
         _repairs(ONE, "10d 11d lights", "20d 21d engine", "30d 31d doors", "40d 41d roof"),
         ("lemon critical 30d..",), until="42d"),
    Told("another fault between is no new lemon",
         _repairs(ONE, "10d 11d brakes", "20d 21d lights", "30d 31d brakes"), ("lemon critical 10d..",), until="32d"),
    Told("two assets", TWO + _repairs("0d 1d screen", "50d 51d screen", asset="phone"),
         ("lemon warning 50d..", *ONCE), until="102d"),
    # days out of service
    Told("in repair a microsecond less", _repairs("0d - brakes"), until="24d23h59m59s999999us"),
    Told("still in repair", _repairs("0d - brakes"), ("lemon warning 25d..",), until="25d"),
    Told("still in repair, to the limit less a microsecond", _repairs("0d - brakes"), ("lemon warning 25d..",),
         until="29d23h59m59s999999us"),
    Told("still in repair, to the limit", _repairs("0d - brakes"), ("lemon critical 25d..",), until="30d"),
    Told("closed just under", _repairs("0d 24d23h59m59s999999us brakes"), until="60d"),
    Told("closed exactly on", _repairs("0d 25d brakes"), ("lemon warning 25d..",), until="60d"),
    Told("closed before the limit", _repairs("0d 29d23h59m59s999999us brakes"), ("lemon warning 25d..",), until="60d"),
    Told("closed at the limit", _repairs("0d 30d brakes"), ("lemon critical 25d..",), until="60d"),
    Told("two together", _repairs("0d 13d brakes", "200d 213d lights"), ("lemon warning 212d..",), until="214d"),
    Told("two together to the limit", _repairs("0d 13d brakes", "200d 217d lights"), ("lemon critical 212d..",),
         until="218d"),
    Told("the first of them too long ago", _repairs("0d 14d brakes", "731d 744d lights"), until="745d"),
    Told("days that overlap count once", _repairs("0d 14d brakes", "1d 15d lights", "2d 15d engine"), until="20d"),
    Told("an earlier one is still in repair", _repairs("0d - brakes", "10d 11d lights"), ("lemon warning 25d..",),
         until="26d"),
    Told("a later one crosses first", _repairs("0d - brakes", "10d 11d brakes"), ("lemon warning 10d..",), until="26d"),
    Told("after the days came the third fault", _repairs("0d 26d brakes", "100d 101d brakes", "200d 201d brakes"),
         ("lemon critical 25d..",), until="202d"),
    # more in repair than in use
    Told("more in repair than in use, the days less a microsecond", SOLD + _repairs("-20d -11d brakes", "-2d - lights"),
         until="3d23h59m59s999999us"),
    Told("more in repair than in use, and the days", SOLD + _repairs("-20d -11d brakes", "-2d - lights"),
         ("lemon warning 4d..",), until="4d"),
    Told("exactly as much in use", SOLD + _repairs("-20d -8d brakes", "8d 12d lights"), until="20d"),
    Told("a microsecond more in repair", SOLD + _repairs("-20d -8d brakes", "8d 12d1us lights"),
         ("lemon warning 12d1us..",), until="20d"),
    Told("still in repair, exactly as much in use", SOLD + _repairs("-20d -8d brakes", "8d - lights"), until="12d"),
    Told("still in repair, a microsecond more", SOLD + _repairs("-20d -8d brakes", "8d - lights"),
         ("lemon warning 12d1us..",), until="12d1us"),
    Told("the sale is not known", _repairs("-20d -8d brakes", "8d 12d1us lights"), until="20d"),
    Told("one repair is not enough for that", SOLD + _repairs("-19d 0d brakes"), until="10d"),
    Told("sold in the middle of it", "0d asset.sold shop - asset=car1\n" + _repairs("-5d 7d brakes", "8d 13d lights"),
         ("lemon warning 11d..",), until="13d"),
    # an end, and anew
    Told("replaced", _then("150d asset.replaced shop - asset=car1"), ("lemon warning 100d..150d replaced",),
         until="151d"),
    Told("refunded", _then("150d order.refunded shop - asset=car1"), ("lemon warning 100d..150d refunded",),
         until="151d"),
    Told("another asset is replaced", _then("150d asset.replaced shop - asset=car2"), ONCE, until="151d"),
    Told("a refund of nobody knows what", _then("150d order.refunded shop"), ONCE, until="151d"),
    Told("replaced between", _then("50d asset.replaced shop - asset=car1"), until="102d"),
    Told("replaced at the moment of the repair", _then("100d asset.replaced shop - asset=car1"),
         ("lemon warning 100d..100d replaced",), until="102d"),
    Told("replaced, and again a lemon",
         _then("150d asset.replaced shop - asset=car1") + _repairs("160d 161d brakes", "170d 171d brakes").replace("car1-", "new-"),
         ("lemon warning 100d..150d replaced", "lemon warning 170d.."), until="180d"),
    Told("replaced, and no lemon", _then("150d asset.replaced shop - asset=car1")
         + _repairs("160d 161d brakes").replace("car1-", "new-"),
         ("lemon warning 100d..150d replaced",), until="180d"),
    Told("replaced while in repair", _repairs("0d - brakes") + "20d asset.replaced shop - asset=car1", until="60d"),
    Told("after the replacement use begins anew", _repairs("0d 1d brakes")
         + "100d asset.replaced shop - asset=car1\n" + _repairs("100d1h 108d brakes", "109d 117d lights").replace("car1-", "new-"),
         ("lemon warning 116d1h..",), until="118d"),
    # openings and closings
    Told("closed without a reference", """
         0d  repair.opened garage brakes asset=car1
         10d repair.closed garage brakes asset=car1
         20d repair.opened garage lights asset=car1
         30d repair.closed garage lights asset=car1""", until="60d"),
    Told("the closing of another fault closes nothing", """
         0d  repair.opened garage brakes asset=car1
         10d repair.closed garage lights asset=car1""", ("lemon warning 25d..",), until="26d"),
    Told("the closing of another asset closes nothing", """
         0d  repair.opened garage brakes asset=car1
         10d repair.closed garage brakes asset=car2""", ("lemon warning 25d..",), until="26d"),
    Told("closed before it was opened", """
         -1d repair.closed garage brakes asset=car1
         0d  repair.opened garage brakes asset=car1""", ("lemon warning 25d..",), until="26d"),
    Told("only closings", "0d repair.closed garage brakes asset=car1\n1d repair.closed garage brakes asset=car1",
         until="26d"),
    # time
    Told("a microsecond before it expires", TWO, ONCE, until="829d23h59m59s999999us"),
    Told("expired", TWO, ("lemon warning 100d..830d expired",), until="830d"),
    Told("replaced at the last moment", _then("830d asset.replaced shop - asset=car1"),
         ("lemon warning 100d..830d replaced",), until="831d"),
    Told("a repair is withdrawn", TWO, ONCE, until="102d",
         late="100d repair.opened garage brakes asset=car1 id=car1-o1 version=1 cancelled=yes", then=()),
    Told("it was another fault", TWO, ONCE, until="102d",
         late="100d repair.opened garage lights asset=car1 ref=car1-1 id=car1-o1 version=1", then=()),
    Told("it had been replaced", TWO, ONCE, until="102d", late="95d asset.replaced shop - asset=car1", then=()),
    Told("it had been closed", _repairs("0d - brakes"), ("lemon warning 25d..",), until="26d",
         late="22d repair.closed garage brakes asset=car1 ref=car1-0", then=()),
    Told("an earlier repair comes later", TWO, ONCE, until="102d",
         late="97d repair.opened garage brakes asset=car1", then=("lemon critical 97d..",)),
    # other thresholds
    Told("another number for one fault", TWO, until="102d", rules="lemon.same_fault = 4"),
    Told("another number for any", _repairs(ONE, "10d 11d lights"), ("lemon warning 10d..",), until="12d",
         rules="lemon.any_fault = 3"),
    Told("another number of days", _repairs("0d - brakes"), ("lemon warning 10d..",), until="12d",
         rules='lemon.out_of_service = "15d"'),
    Told("no early warning of days", _repairs("0d - brakes"), ("lemon critical 30d..",), until="30d",
         rules='lemon.early = "0s"'),
    Told("another window", TWO, until="102d", rules='lemon.window = "99d"'),
    Told("another least time in repair", SOLD + _repairs("-20d -11d brakes", "-2d - lights"),
         ("lemon warning 7d..",), until="8d", rules='lemon.more_in_repair_from = "18d"'),
    Told("otherwise for a topic", TWO, until="102d", rules='lemon.override = [{ topic = "brakes", same_fault = 4 }]'),
    Told("otherwise for another topic", TWO, ONCE, until="102d", rules='lemon.override = [{ topic = "lights", same_fault = 4 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every lemon once, at the repair that made it one, and no others."""
    assert play(told.text, told.until, told.rules).rows("lemon") == list(told.expect)


def test_the_repairs_are_shown() -> None:
    """An analyst sees what made it a lemon, which repairs, and the car it is about."""
    data = play(TWO, "102d").standing[-1]
    assert (data["asset_id"], data["summary"]) == ("car1", "car1: repaired 2 times for the same fault within 730d")
    assert data["observed"] == {"value": 2, "unit": "repairs", "window": "730d", "also": {}}
    assert [(e["event_id"], e["role"]) for e in data["evidence"]] == [("car1-o0", "repaired"), ("car1-o1", "repaired")]


def test_days_are_shown() -> None:
    """An analyst sees days where days made it a lemon, and the limit itself once that is reached."""
    data = play(_repairs("0d - brakes"), "26d").standing[-1]
    assert data["summary"] == "car1: 25 days out of service within 730d"
    assert (data["observed"]["value"], data["observed"]["unit"], data["threshold"]["value"]) == (25, "days", 25)
    assert play(_repairs("0d - brakes"), "31d").standing[-1]["threshold"]["value"] == 30
    used = play(SOLD + _repairs("-20d -8d brakes", "8d - lights"), "13d").standing[-1]
    assert used["summary"] == "car1: 16 days in repair, 16 in use"


def test_what_may_cross_before_is_waited_for() -> None:
    """Who is first is not said before it is known: an open repair may have been over, or may have crossed before."""
    desk = play(_repairs("0d - brakes", "25d1us - brakes"), "24d23h")
    assert desk.rows("lemon") == []
    desk.look("25d")
    assert desk.rows("lemon") == ["lemon warning 25d.."]
    over = play(
        _repairs("0d - brakes", "25d1us - brakes") + "24d23h30m repair.closed garage - asset=car1 ref=car1-0", "24d23h"
    )
    assert over.rows("lemon") == ["lemon warning 25d1us.."]
