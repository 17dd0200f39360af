"""What `low_score` and `unrecovered` share: which answers are low, and what was followed up.

A score is one only with a scale that has a limit, and within that scale; any other answer is a
plain touchpoint. Each of the two rules has limits of its own, so each makes its own pairs.
"""

from __future__ import annotations

from math import inf

from streams.entries import Entry
from streams.friction import View, pair
from streams.rules import LowScore, Unrecovered

SCALES = {"nps": (0, 10), "csat5": (1, 5), "ces7": (1, 7)}
"""The worst and the best score of the scales that are known; one that only the rules name takes any score."""


def score_of(answer: Entry) -> tuple[str, float] | None:
    """Scale and score of an answer; None if it has none, or one that is not on its scale."""
    details = answer.details
    if details is None or details.score is None or details.scale is None:
        return None
    worst, best = SCALES.get(details.scale, (details.score, details.score))
    return (details.scale, details.score) if worst <= details.score <= best else None


def low_score_of(answer: Entry, rule: LowScore | Unrecovered) -> tuple[str, float, float] | None:
    """Scale, score and limit of an answer at or below the limit; None for any other."""
    scored = score_of(answer)
    limit = rule.limits.get(scored[0]) if scored is not None else None
    return (*scored, limit) if scored is not None and limit is not None and scored[1] <= limit else None


def follow_ups(view: View, table: LowScore | Unrecovered) -> list[tuple[Entry, Entry | None]]:
    """Low scores and complaints, in order of time, each with its `feedback.followed_up`.

    One without a `ref` follows up what can still be resolved: it is not spent on what has expired.
    """
    highest = max((limit for rule in table.variants for limit in rule.limits.values()), default=-inf)
    low = [e for e in view.of("survey.answered") if e.details and (s := e.details.score) is not None and s <= highest]
    hurt = [e for e in low if low_score_of(e, table.at(e)) is not None] + view.of("complaint.filed")

    def until(e: Entry) -> int:
        rule = table.at(e)
        return e.at + rule.expires_after + (rule.within if isinstance(rule, Unrecovered) else 0)

    return pair(hurt, view.of("feedback.followed_up"), until) if hurt else []
