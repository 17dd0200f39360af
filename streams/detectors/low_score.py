"""`low_score`: the customer said so in a number."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter

from streams.detectors.feedback import follow_ups, low_score_of, score_of
from streams.facts import NEVER
from streams.friction import Clock, Friction, View, ending
from streams.rules import LowScore


def low_score(view: View, table: LowScore, clock: Clock) -> Iterator[Friction]:
    """Opens at an answer at or below its scale's limit; an error at or below `error`.

    Over when it is followed up, or at a later answer on the same scale, about whatever, above the limit
    that this one crossed. A follow-up without a `ref` may go to an earlier complaint on the topic.
    """
    answers: list[tuple[int, str, float]] | None = None  # in order of time
    for answer, followed in follow_ups(view, table):
        rule = table.at(answer)
        low = low_score_of(answer, rule) if answer.kind == "survey.answered" else None
        if low is None:
            continue
        scale, score, limit = low
        if answers is None:
            answers = [(e.at, *scored) for e in view.of("survey.answered") if (scored := score_of(e)) is not None]
        at = answer.at
        ends_at = at + rule.expires_after
        later = islice(answers, bisect_right(answers, at, key=itemgetter(0)), None)
        better = next((t for t, other, value in later if other == scale and value > limit), NEVER)
        ways = [(better, "scored_better")] + ([(followed.at, "followed_up")] if followed is not None else [])
        resolved_at, reason = ending(at, ends_at, ways, clock)
        worse = scale in rule.error and score <= rule.error[scale]
        yield Friction(
            rule_id="low_score",
            rule=rule,
            contact=None,
            entry=answer,
            opened_at=at,
            severity="error" if worse else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(score, scale, None),
            threshold=(rule.error[scale] if worse else limit, scale, None),
            summary=f"Scored {score:g} on {scale}; {limit:g} or less is low",
            evidence=[("answered", answer)],
            cause=answer,
            crossed=1 if worse else 0,
        )
