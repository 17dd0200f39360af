"""`broken_promise`: the company said by when, and it was not done by then."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.times import about
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending, pair
from streams.rules import BrokenPromise


def promises(view: View, table: BrokenPromise) -> list[tuple[Entry, Entry | None]]:
    """Each promise that falls due, with its keeping.

    Without `due_at`, or with one before it was made, a promise is a plain touchpoint.
    """
    made = [e for e in view.of("promise.made") if e.due_at is not None and e.due_at >= e.at]
    if not made:
        return []

    def until(promise: Entry) -> int:
        rule = table.at(promise)
        return _late(promise, rule) + rule.expires_after

    return pair(made, view.of("promise.kept"), until)


def broken_promise(view: View, table: BrokenPromise, clock: Clock) -> Iterator[Friction]:
    """Opens at `due_at` + `grace` when the promise was not kept by then (exactly then is kept); over when it is.

    Where a calendar is named the grace counts in open hours. A postponement is a promise of its own, with
    the same `ref`: it does not excuse the earlier one, and one keeping under that `ref` keeps both.
    """
    for promise, kept in promises(view, table):
        rule = table.at(promise)
        late = _late(promise, rule)
        if (kept is not None and kept.at <= late) or not clock.passed(late):
            continue
        ends_at = late + rule.expires_after
        ways = [(kept.at, "kept")] if kept is not None else []
        resolved_at, reason = ending(late, ends_at, ways, clock)
        overdue = rule.between(_due(promise), late if kept is None else kept.at)
        yield Friction(
            rule_id="broken_promise",
            rule=rule,
            contact=None,
            entry=promise,
            opened_at=late,
            severity="error",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(overdue / 1e6, "seconds", None),
            threshold=(rule.grace / 1e6, "seconds", None),
            summary="A promise was not kept" if kept is None else f"A promise was kept {about(overdue)} late",
            evidence=[("promised", promise)] + ([("kept", kept)] if kept is not None else []),
            cause=promise,
        )


def _due(promise: Entry) -> int:
    assert promise.due_at is not None
    return promise.due_at


def _late(promise: Entry, rule: BrokenPromise) -> int:
    return rule.after(_due(promise), rule.grace)
