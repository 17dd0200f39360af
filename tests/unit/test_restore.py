"""Reading a state back, without a broker: what is kept of it, and that nobody else has to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from schemas.errors import Impossible
from streams.partition import CONTROL, YIELD_KEYS, dissolve, timers_of
from streams.restore import BARRIER, Records, _keep, _Reading, within

MANY = 10 * YIELD_KEYS


@dataclass
class Said:
    """A record of the state topic."""

    offset: int
    key: bytes
    value: bytes | None


def packed(due: int) -> bytes:
    """As much of packed facts as a timer needs."""
    return b"\x01" + due.to_bytes(8, "big")


async def turns_during(work: Awaitable[Any]) -> tuple[Any, int]:
    """What the work gave, and how many turns others had meanwhile."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return task.result(), turns


def test_the_last_version_counts_and_what_lies_behind_the_end_does_not() -> None:
    """A topic that was never compacted says everything several times, and the next owner may write on meanwhile."""
    said = [
        Said(0, b"maria", b"old"),
        Said(1, CONTROL, b"first"),
        Said(2, b"juan", b"gone soon"),
        Said(3, b"maria", b"new"),
        Said(5, b"juan", None),
        Said(6, b"ana", None),
        Said(7, CONTROL, b"last"),
        Said(8, BARRIER, b""),
        Said(9, b"maria", b"of somebody else"),
    ]
    reading = _Reading()
    for part in (said[:4], said[4:]):
        _keep(cast(Records, part), 9, reading)
    assert reading.state == {b"maria": b"new"}
    assert (reading.control, reading.records) == (b"last", 8)


def test_timers_of_many_subjects_let_others_have_their_turn() -> None:
    """A flush of another partition, or a heartbeat, must not wait for a quarter of a million subjects."""
    state = {b"%d" % n: packed(n * 7919 % MANY) for n in range(MANY)}
    timers, turns = asyncio.run(turns_during(timers_of(state)))
    assert turns >= MANY / YIELD_KEYS
    assert sorted(timers) == sorted((n * 7919 % MANY, b"%d" % n) for n in range(MANY))
    assert all(timers[(i - 1) // 2] <= timers[i] for i in range(1, MANY)), "the earliest is in front"


def test_a_large_state_is_let_go_a_little_at_a_time() -> None:
    """A partition that goes to another worker must not hold up those that stay."""
    state = {b"%d" % n: packed(n) for n in range(MANY)}
    _, turns = asyncio.run(turns_during(dissolve(state)))
    assert turns >= MANY / YIELD_KEYS and not state


def test_a_broker_that_does_not_answer_ends_the_wait_with_a_word() -> None:
    """A worker that waits for ever holds its partitions, and nobody is told."""

    async def work() -> None:
        async with within("the ends of the state", 0.01):
            await asyncio.Event().wait()

    with pytest.raises(Impossible, match="the ends of the state: no answer of the broker within"):
        asyncio.run(work())
