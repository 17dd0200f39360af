"""What is taken from each view that counts by queue, topic, ..., and what its columns are. A table, so that it can be read as one."""

from __future__ import annotations

from dataclasses import dataclass

from volvere.checkup.model import Unit


@dataclass(frozen=True)
class Measure:
    """A column: how its number is to be read, and the column that says of how many (None: it is a plain count)."""

    unit: Unit
    of: str | None = None


MEASURES: dict[str, Measure] = {
    "fcr_24h": Measure(Unit.share, "fcr_24h_of"),
    "fcr_7d": Measure(Unit.share, "fcr_7d_of"),
    "fcr_30d": Measure(Unit.share, "fcr_30d_of"),
    "broken_share": Measure(Unit.share, "promises_due"),
    "dropped_per_100": Measure(Unit.per_100, "answered"),
    "lemons": Measure(Unit.number),
    "days_out_of_service": Measure(Unit.days, "repairs"),
    "denial_rate": Measure(Unit.share, "requests_decided"),
    "transfer_rate": Measure(Unit.share, "answered"),
    "loops_per_100": Measure(Unit.per_100, "contacts"),
    "asked_again_per_100": Measure(Unit.per_100, "contacts"),
    "reopened_share": Measure(Unit.share, "cases_resolved"),
    "hops_per_100": Measure(Unit.per_100, "contacts"),
    "short_share": Measure(Unit.share, "timed_contacts"),
    "short_followed": Measure(Unit.number, "short_contacts"),
    "short_return_rate": Measure(Unit.share, "short_contacts"),
    "other_return_rate": Measure(Unit.share, "other_contacts"),
    "times_as_often": Measure(Unit.times, "short_contacts"),
    "handle_mean_s": Measure(Unit.seconds, "timed_contacts"),
    "referrals": Measure(Unit.number),
    "contractual_churn": Measure(Unit.share, "active"),
    "silent_churn": Measure(Unit.share, "active"),
    "lifetime_value": Measure(Unit.money, "bought_before"),
    "attrition_a_year": Measure(Unit.share, "headcount"),
    "abandonment_rate": Measure(Unit.share, "patient"),
    "service_level": Measure(Unit.share, "offered"),
    "slow_share": Measure(Unit.share, "conversations"),
    "unanswered": Measure(Unit.number),
    "refused_per_100": Measure(Unit.per_100, "contacts"),
    "closings": Measure(Unit.number),
    "trained_share": Measure(Unit.share, "contacts"),
    "frictions_per_100": Measure(Unit.per_100, "contacts"),
    "response_rate": Measure(Unit.share, "sent"),
    "nps": Measure(Unit.points, "nps_of"),
    "csat": Measure(Unit.share, "csat_of"),
    "ces": Measure(Unit.grade, "ces_of"),
    "followed_up_share": Measure(Unit.share, "low_scores_due"),
    "recovery_rate": Measure(Unit.share, "recovery_of"),
    "complaints": Measure(Unit.number),
    "frictions_per_1000": Measure(Unit.per_1000, "contacts"),
}


@dataclass(frozen=True)
class Plan:
    """One view: the figures that a gauge takes from it, the one whose weeks are shown, where each is looked for at its worst.

    kinds: the frictions behind. trend, spots: a figure's name, or the first that there are cases enough of, in this order.
    """

    gauge: str
    figures: tuple[str, ...]
    trend: tuple[str, ...]
    spots: tuple[tuple[str, tuple[str, ...]], ...]
    kinds: tuple[str, ...]

    @property
    def spots_by(self) -> tuple[str, ...]:
        """What the worst spots are counted by, each once."""
        return tuple(dict.fromkeys(by for by, _ in self.spots))


SCORES = ("nps", "csat", "ces")

PLANS: dict[str, Plan] = {
    "gauge_reliability": Plan(
        gauge="reliability",
        figures=("fcr_24h", "fcr_7d", "fcr_30d", "broken_share", "dropped_per_100", "lemons"),
        trend=("fcr_7d", "fcr_24h"),
        spots=(("topic", ("fcr_7d", "fcr_24h")), ("queue", ("fcr_7d", "fcr_24h"))),
        kinds=("repeat_contact", "dropped_call", "broken_promise", "lemon"),
    ),
    "gauge_process": Plan(
        gauge="process",
        figures=(
            "denial_rate", "transfer_rate", "loops_per_100", "asked_again_per_100", "reopened_share", "hops_per_100",
        ),
        trend=("transfer_rate",),
        spots=(("queue", ("transfer_rate",)), ("topic", ("denial_rate",))),
        kinds=(
            "rigid_process", "transfer_loop", "reopened_case", "channel_hop", "form_struggle", "rage_click",
            "checkout_abandoned",
        ),
    ),
    "gauge_what_matters": Plan(
        gauge="what_matters",
        figures=(
            "times_as_often", "short_share", "short_return_rate", "other_return_rate", "handle_mean_s",
            "contractual_churn", "silent_churn", "lifetime_value", "referrals", "attrition_a_year",
        ),
        trend=("short_share",),
        spots=(("agent", ("short_followed",)), ("queue", ("short_followed",))),
        kinds=("agent_disconnect", "at_risk"),
    ),
    "gauge_abandonment": Plan(
        gauge="abandonment",
        figures=("abandonment_rate", "service_level", "slow_share", "unanswered", "refused_per_100", "closings"),
        trend=("abandonment_rate", "slow_share"),
        spots=(("queue", ("abandonment_rate",)), ("channel", ("slow_share",))),
        kinds=("queue_abandoned", "long_wait", "slow_reply", "closed_door"),
    ),
    "gauge_maintenance": Plan(
        gauge="maintenance",
        figures=("trained_share", "frictions_per_100"),
        trend=("frictions_per_100",),
        spots=(("training", ("frictions_per_100",)), ("agent", ("frictions_per_100",))),
        kinds=(),
    ),
    "gauge_feedback": Plan(
        gauge="feedback",
        figures=(*SCORES, "response_rate", "followed_up_share", "recovery_rate", "complaints"),
        trend=SCORES,
        spots=(("queue", SCORES), ("topic", ("followed_up_share",))),
        kinds=("low_score", "unrecovered"),
    ),
    "friction_rates": Plan(
        gauge="upgrade",
        figures=("frictions_per_1000",),
        trend=("frictions_per_1000",),
        spots=(),
        kinds=(),
    ),
}  # fmt: skip
"""By view; the others (alignment, releases) are made by hand. Every kind of friction stands behind one of them, and no more."""
