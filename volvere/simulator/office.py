"""What the company does on its own side: agents hired, trained, asked and gone, releases, channels closed and opened again.

Nothing of it changes how contacts go: it stands beside them, for what reads both.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from schemas.times import DAY, HOUR, format_time
from volvere.simulator.contact import TOPICS

WEEK = 7 * DAY


def office(seed: int, agents: int, start: int, days: int) -> Iterator[dict[str, Any]]:
    """Operations, ready for JSON, in order of time, up to `days` after `start` (microseconds UTC).

    Who was hired, and trained last, before it began is told as well.
    """
    told = sorted(_agents(Random(f"{seed}/agents"), agents, start, days), key=lambda t: t[0])
    told += _house(Random(f"{seed}/house"), start, days)
    for number, (at, kind, fields) in enumerate(sorted(told, key=lambda t: t[0])):
        yield {
            "source": "office",
            "event_id": f"office-{number:05d}",
            "customer_id": None,
            "kind": kind,
            "channel": "internal",
            "occurred_at": format_time(at),
            **fields,
        }


def _agents(dice: Random, agents: int, start: int, days: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each agent's own: a fifth were never trained, some leave, all are asked every other week how they are."""
    end = start + days * DAY
    for number in range(agents):
        name, team, mood = f"A{number:03d}", TOPICS[number % len(TOPICS)], 2 + 3 * dice.random()
        me = {"agent_id": name, "queue": team}
        hired = start - dice.randrange(700) * DAY - HOUR
        left = start + dice.randrange(days * DAY) if dice.random() < 0.1 else end
        yield hired, "agent.hired", me
        if left < end:
            yield left, "agent.left", me
        at = max(hired + HOUR, start - dice.randrange(250) * DAY) if dice.random() < 0.8 else end
        while at < left:
            yield at, "agent.trained", me
            at += (30 + dice.randrange(200)) * DAY
        for week in range(number % 2, days // 7, 2):
            at = start + week * WEEK + dice.randrange(5 * DAY)
            if at < left:
                score = min(5, max(1, round(mood + dice.uniform(-1, 1))))
                yield at, "agent.surveyed", me | {"score": score, "scale": "csat5"}


def _house(dice: Random, start: int, days: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """A release every other week, and a channel that is closed for some days each month."""
    for number in range(days // 14):
        at = start + (7 + 14 * number) * DAY + 9 * HOUR
        yield at, "release.deployed", {"release": f"2025.{number + 1}"}
    for month in range(days // 28):
        at = start + (28 * month + dice.randrange(20)) * DAY + 18 * HOUR
        channel = dice.choice(("social", "chat"))
        yield at, "channel.closed", {"channel": channel}
        yield at + 3 * DAY, "channel.opened", {"channel": channel}
