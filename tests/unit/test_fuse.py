"""The fuse: it blows when no source can be read any more, and never because of one of several."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

import pytest

from schemas.errors import Impossible
from schemas.times import MINUTE, SECOND
from streams.fuse import HEARD_WITHIN, WINDOW, Fuse


@dataclass
class Sent:
    """A record as far as the fuse looks at it; `timestamp`: milliseconds."""

    value: bytes | None
    timestamp: int


@dataclass
class Line:
    """A worker's input. `now`: microseconds."""

    fuse: Fuse
    now: int = 0

    def take(self, sources: list[bytes | None], refused: Collection[int] = ()) -> None:
        """A batch that came at once, as a partition notes it."""
        records = [Sent(source, self.now // 1000) for source in sources]
        for n, record in enumerate(records):
            if n not in refused:
                assert record.value is not None
                self.fuse.heard[json.loads(record.value)["source"]] = self.now
        if refused or not self.fuse.calm:
            self.fuse.note(records, refused)


CRM, WEB = b'{"source":"crm"}', b'{"source":"web"}'
RUBBISH = b"\x00\xff rubbish"
DEEP = b'{"a":' * 10_000


@pytest.fixture
def line() -> Line:
    """An input with a fuse that has seen nothing."""
    return Line(Fuse())


def test_a_new_worker_that_can_read_nothing_stops(line: Line) -> None:
    """A bad deploy: what others could read until a minute ago is all refused."""
    line.take([CRM, WEB] * 474, range(948))
    with pytest.raises(Impossible, match="VOLVERE_FUSE=off"):
        line.take([CRM, WEB], range(2))


@pytest.mark.parametrize("value", [RUBBISH, b"", b"[]", b'{"source":1}', b'{"source":"\xf1"}', DEEP, None])
def test_rubbish_that_names_no_source_blows_it(line: Line, value: bytes | None) -> None:
    """The wrong topic, or an encryption that nobody told us about."""
    with pytest.raises(Impossible):
        line.take([value] * WINDOW, range(WINDOW))


def test_one_source_that_sends_rubbish_is_its_own_affair(line: Line) -> None:
    """The others are read on, however loud the broken one is."""
    for _ in range(10):
        line.take([CRM, *[WEB] * 999], range(1, 1000))
        line.now += MINUTE


def test_a_source_that_was_readable_until_a_moment_ago_holds_it(line: Line) -> None:
    """A thousand broken records at once say nothing about those who were silent meanwhile."""
    line.take([CRM])
    line.now += HEARD_WITHIN - SECOND
    line.take([RUBBISH] * WINDOW, range(WINDOW))


def test_a_source_that_fell_silent_holds_it_no_longer(line: Line) -> None:
    """After ten minutes without a word nobody knows whether it is readable."""
    line.take([CRM])
    line.now += HEARD_WITHIN
    with pytest.raises(Impossible):
        line.take([RUBBISH] * WINDOW, range(WINDOW))


def test_sources_that_all_break_blow_it_once_each_has_said_enough(line: Line) -> None:
    """What was readable for hours counts: the last thousand records of a source must be bad."""
    line.take([CRM, WEB] * 500)
    line.take([CRM, WEB] * 949, range(1898))
    with pytest.raises(Impossible, match="'crm', 'web'"):
        line.take([CRM, WEB], range(2))


def test_one_in_twenty_that_is_readable_is_too_few(line: Line) -> None:
    """Nearly all means 95 of 100."""
    line.take([CRM] * WINDOW, range(WINDOW - 949, WINDOW))
    with pytest.raises(Impossible):
        line.take([CRM], [0])


def test_when_all_is_well_again_nothing_is_remembered(line: Line) -> None:
    """The price of a bad hour is not paid for ever."""
    line.take([CRM, WEB, RUBBISH], [1, 2])
    assert not line.fuse.calm
    line.now += HEARD_WITHIN
    line.take([CRM])
    assert line.fuse.calm
