"""`at_risk`: the customer met friction, was not helped, and has been silent since. The opposite of "¡Volveré!"."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from schemas.times import about
from streams.friction import Clock, Friction, View, ending
from streams.rules import AtRisk


def at_risk(view: View, table: AtRisk, clock: Clock) -> Iterator[Friction]:
    """Opens when `silence` has passed since the customer's own last touchpoint and `frictions` of the other kinds
    opened at most `silence` before or after it, none of them ended by a touchpoint until then.

    Resolved when the customer comes back. Of customers who are unknown nothing is concluded: nobody would know
    them again.
    """
    if not view.known or not any(view.first):
        return
    own = view.own()
    for i, last in enumerate(own):
        rule = table.at(last)
        silent = last.at + rule.silence
        if silent < view.since or (i + 1 < len(own) and own[i + 1].at <= silent):
            continue
        some = islice(_trouble(view, last.at - rule.silence, silent), rule.frictions)
        if len(list(some)) < rule.frictions or not clock.passed(silent):
            continue
        trouble = list(_trouble(view, last.at - rule.silence, silent))
        ends_at = silent + rule.expires_after
        resolved_at, reason = ending(silent, ends_at, [(e.at, "came_back") for e in own[i + 1 : i + 2]], clock)
        evidence = sorted([(f.rule_id, f.place) for f in trouble] + [("last", last)], key=lambda x: x[1].identity)
        yield Friction(
            rule_id="at_risk",
            rule=rule,
            contact=None,
            entry=last,
            opened_at=silent,
            severity="error",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(len(trouble), "frictions", 2 * rule.silence),
            threshold=(rule.frictions, "frictions", 2 * rule.silence),
            summary=f"{len(trouble)} frictions that nobody put right, and then silence for {about(rule.silence)}",
            evidence=evidence,
            cause=last,
            crossed=rule.frictions,
        )


def _trouble(view: View, since: int, until: int) -> Iterator[Friction]:
    """What opened in that time and no touchpoint ended before its end; of each kind the latest first."""
    for found in view.first:
        for f in reversed(found):
            if f.opened_at < since:
                break
            if f.opened_at <= until and f.helped_at >= until and f.rule.mode == "live":
                yield f
