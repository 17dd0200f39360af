"""What is good and what is bad: every threshold of the check-up, with its source. "Ours" is a proposal, like the rules' defaults.

A value between the two limits is one to watch. None of them knows the trade: what is published are averages over many companies,
so read a verdict as a reason to look, and the trend as the judge.
"""

from __future__ import annotations

from dataclasses import dataclass

from volvere.checkup.model import Interval, Verdict

ENOUGH = 30
"""Cases that a share or a mean must stand for to be judged; with fewer, chance moves it by more than limits lie apart. Ours."""
ENOUGH_OF_A_SPOT = 10
"""The same for a worst spot, which is shown and not judged. Ours."""
ENOUGH_PAIRS = 10
"""Weeks of teams that a correlation must stand for: with fewer, one team decides. Ours."""
TRAINED_WITHIN = 90
"""Days since the last training up to which an agent counts as trained lately. Ours; volvere.gauge_maintenance has it, too."""
WORST = 5
"""How many worst spots are shown of each kind."""
MARGIN, DISCOUNT_A_YEAR = 1.0, 0.1
"""Of customer lifetime value, unless told: the whole revenue, at 10 % a year. Ours: nothing stored knows a company's margin."""
CHURN_AFTER_DAYS = 90
"""Who has no touchpoint of their own for longer is silent (DETECTORS: churn_after)."""


@dataclass(frozen=True)
class Limit:
    """Good on this side of `good`, the limit itself included; bad beyond `bad`. good > bad: more is better."""

    good: float
    bad: float
    source: str

    def verdict(self, value: float) -> Verdict:
        """What a value is."""
        more = self.good > self.bad
        if value >= self.good if more else value <= self.good:
            return Verdict.good
        return Verdict.bad if (value < self.bad if more else value > self.bad) else Verdict.watch


LIMITS: dict[str, Limit] = {
    "fcr_24h": Limit(0.80, 0.70, "ours: the standard for a week, and ten points more"),
    "fcr_7d": Limit(0.70, 0.60, "SQM Group 2022: 70 to 79 % is good, 69 % and below low (asked by survey); 60 % ours"),
    "broken_share": Limit(0.05, 0.15, "ours"),
    "dropped_per_100": Limit(1.0, 3.0, "ours"),
    "denial_rate": Limit(0.10, 0.25, "ours"),
    "transfer_rate": Limit(0.10, 0.20, "ours"),
    "loops_per_100": Limit(1.0, 3.0, "ours"),
    "asked_again_per_100": Limit(1.0, 3.0, "ours"),
    "reopened_share": Limit(0.05, 0.15, "ours"),
    "hops_per_100": Limit(1.0, 3.0, "ours"),
    "short_share": Limit(0.02, 0.07, "Brown et al. 2005: 7 % of calls under 10 s, by agents who hung up; 2 % ours"),
    "times_as_often": Limit(1.5, 2.0, "ours"),
    "attrition_a_year": Limit(0.30, 0.45, "QATC: averages of 30 to 45 % a year"),
    "abandonment_rate": Limit(0.05, 0.08, "5 to 8 % is what vendors publish as usual; ICMI: there is no standard"),
    "service_level": Limit(0.80, 0.70, "80 % in 20 s, a convention; 70 % ours"),
    "refused_per_100": Limit(0.1, 1.0, "ours"),
    "slow_share": Limit(0.10, 0.25, "ours"),
    "trained_share": Limit(0.80, 0.50, "ours"),
    "response_rate": Limit(0.20, 0.10, "ours"),
    "nps": Limit(20.0, 0.0, "Bain & Company: above 0 is good, above 20 favourable, above 50 excellent"),
    "csat": Limit(0.80, 0.60, "ours"),
    "ces": Limit(5.5, 4.5, "ours"),
    "followed_up_share": Limit(0.90, 0.60, "ours"),
    "recovery_rate": Limit(0.50, 0.25, "ours"),
}
"""By figure. Those that are not here are shown and not judged."""

BY_INTERVAL = {
    "rate_ratio": "bad where the 95 % interval lies above 1, good where it lies below",
    "untrained_ratio": "bad where the 95 % interval lies above 1, good otherwise",
    "employee_customer": "good where the 95 % interval lies above 0, bad where it lies below",
    "employee_friction": "good where the 95 % interval lies below 0, bad where it lies above",
}
"""Figures that are judged by what chance leaves open, never by their size. Ours."""


def verdict(key: str, value: float | None, of: int | None) -> Verdict:
    """What a figure is; unjudged without a limit, or with fewer cases than are enough."""
    limit = LIMITS.get(key)
    if value is None or limit is None or (of is not None and of < ENOUGH):
        return Verdict.unjudged
    return limit.verdict(value)


def verdict_between(interval: Interval, even: float, *, more_is_good: bool, open_is: Verdict) -> Verdict:
    """What an interval says that may lie on one side of `even`; open_is: where it does not."""
    if interval.low > even:
        return Verdict.good if more_is_good else Verdict.bad
    if interval.high is not None and interval.high < even:
        return Verdict.bad if more_is_good else Verdict.good
    return open_is


_ORDER = (Verdict.bad, Verdict.watch, Verdict.good, Verdict.unjudged)


def worst(verdicts: list[Verdict]) -> Verdict:
    """A gauge is as bad as the worst of its figures; unjudged where none is judged."""
    return min([*verdicts, Verdict.unjudged], key=_ORDER.index)
