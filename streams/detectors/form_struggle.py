"""`form_struggle`: the customer tried a form again and again."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.times import format_duration
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending, series
from streams.rules import FormStruggle


def _form(e: Entry) -> str | None:
    """The form: its `ref`, else its element; all that name neither are one form."""
    return e.ref or (e.details.element if e.details else None)


def _attempts(told: list[Entry]) -> Iterator[tuple[list[Entry], Entry | None]]:
    """The failures of one form up to a submission, and that submission."""
    failures: list[Entry] = []
    for e in told:
        if e.kind == "form.failed":
            failures.append(e)
        else:
            yield failures, e
            failures = []
    yield failures, None


def _struggles(failures: list[Entry], table: FormStruggle) -> Iterator[tuple[list[Entry], FormStruggle]]:
    """The failures of each window that completes a series, and the rule at its anchor."""
    rules = [table.at(e) for e in failures]
    enough = series(
        [e.at for e in failures], lambda i: rules[i].window, lambda low, i: i - low + 1 >= rules[i].failures
    )
    for low, i in enough:
        yield failures[low : i + 1], rules[i]


def form_struggle(view: View, table: FormStruggle, clock: Clock) -> Iterator[Friction]:
    """Opens at the failure that makes `failures` of one form within `window`, none before its latest submission counted.

    Resolved when the form is submitted.
    """
    forms: dict[str | None, list[Entry]] = {}
    for e in view.of("form.failed", "form.submitted"):
        forms.setdefault(_form(e), []).append(e)
    for form, told in forms.items():
        for tried, submitted in _attempts(told):
            for failures, rule in _struggles(tried, table):
                anchor = failures[-1]
                if anchor.at < view.since:
                    continue
                ends_at = anchor.at + rule.expires_after
                ways = [(submitted.at, "submitted")] if submitted is not None else []
                resolved_at, reason = ending(anchor.at, ends_at, ways, clock)
                yield Friction(
                    rule_id="form_struggle",
                    rule=rule,
                    contact=None,
                    entry=anchor,
                    opened_at=anchor.at,
                    severity="warning",
                    ends_at=ends_at,
                    resolved_at=resolved_at,
                    reason=reason,
                    observed=(len(failures), "failures", rule.window),
                    threshold=(rule.failures, "failures", rule.window),
                    summary=f"{form or 'A form'} failed {len(failures)} times within {format_duration(rule.window)}",
                    evidence=[("failed", e) for e in failures],
                    cause=anchor,
                )
