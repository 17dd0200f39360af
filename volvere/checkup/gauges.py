"""From the answers of the views to a check-up: pure functions, no store, no clock, no language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import dropwhile
from typing import Any

from volvere.checkup import chance
from volvere.checkup.limits import (
    ENOUGH,
    ENOUGH_OF_A_SPOT,
    ENOUGH_PAIRS,
    LIMITS,
    TRAINED_WITHIN,
    WORST,
    verdict,
    verdict_between,
    worst,
)
from volvere.checkup.model import (
    Amount,
    Behind,
    CameBack,
    Checkup,
    Figure,
    Gauge,
    Interval,
    Pair,
    Point,
    Said,
    Spot,
    Spots,
    Trend,
    Unit,
    Verdict,
)
from volvere.checkup.period import Period
from volvere.checkup.plans import MEASURES, PLANS, SCORES, Plan
from volvere.checkup.questions import Answers, Row, latest

MOST_KINDS = 6
"""Kinds of frictions that are shown behind a gauge, the most frequent."""
TRAINING = ("0-30", "31-90", "91-180", "181+", "never")


def checkup(answers: Answers) -> Checkup:
    """The whole, of what the views answer."""
    back = _came_back(answers)
    return Checkup(
        since=answers.period.since,
        until=answers.period.until,
        zone=str(answers.period.zone),
        known_until=answers.known_until,
        touchpoints=answers.touchpoints,
        sentence=_top(back),
        came_back=back,
        gauges=(
            _reliability(answers),
            _process(answers),
            _what_matters(answers),
            _abandonment(answers),
            _maintenance(answers),
            _alignment(answers),
            _feedback(answers),
            _upgrade(answers),
        ),
    )


# The sentence at the top


def _came_back(answers: Answers) -> CameBack | None:
    met, others = answers.came_back.get(True), answers.came_back.get(False, {})
    if not met:
        return None
    return CameBack(
        since=answers.came_back_in.since,
        until=answers.came_back_in.until,
        customers=met["customers"],
        came_back=met["came_back"],
        others=others.get("customers", 0),
        others_came_back=others.get("came_back", 0),
    )


def _top(back: CameBack | None) -> Said:
    if back is None:
        return Said("top.none", {})
    parts: dict[str, Amount | str] = {
        "customers": Amount(back.customers),
        "came_back": Amount(back.came_back),
        "rate": Amount(back.came_back / back.customers, Unit.share),
    }
    if not back.others:
        return Said("top", parts)
    parts["others"] = Amount(back.others)
    parts["others_rate"] = Amount(back.others_came_back / back.others, Unit.share)
    return Said("top.beside", parts)


# What all gauges are made of


def _enriched(row: Row) -> Row:
    """A row with what its columns say in another unit, or together."""
    more: Row = {}
    if row.get("handle_mean_ms") is not None:
        more["handle_mean_s"] = row["handle_mean_ms"] / 1000
    if "headcount_before" in row:
        more["headcount"] = (row["headcount_before"] + row["headcount_after"]) // 2
    return row | more


def _figure(key: str, now: Row, before: Row) -> Figure:
    measure = MEASURES[key]
    value, of = now.get(key), now.get(measure.of, 0) if measure.of else None
    return Figure(
        key=key,
        unit=measure.unit,
        value=value,
        of=of,
        before=before.get(key),
        verdict=verdict(key, value, of),
        currency=now.get("currency") if measure.unit is Unit.money else None,
    )


def _figures(plan: Plan, now: Row, before: Row) -> tuple[Figure, ...]:
    now, before = _enriched(now), _enriched(before)
    return tuple(_figure(key, now, before) for key in plan.figures)


def _chosen(keys: Sequence[str], row: Row) -> str:
    """The first figure of which there are cases enough, else the one with most cases."""

    def cases(key: str) -> int:
        of = MEASURES[key].of
        return row.get(of) or 0 if of else 0

    return next((key for key in keys if cases(key) >= ENOUGH), max(keys, key=cases))


def _trend(key: str, rows: list[Row], period: Period, known_until: Any) -> Trend:
    """A figure by week; weeks without any case are told as such, so that a line breaks there."""
    measure = MEASURES[key]
    found = {row["value"]: row for row in rows if row["value"] is not None}
    weeks = period.weeks
    monday, points = weeks.since.astimezone(weeks.zone).date(), []
    last = weeks.until.astimezone(weeks.zone)
    known = known_until.astimezone(weeks.zone)
    while monday < last.date() or (monday == last.date() and last.time() != last.min.time()):
        row = _enriched(found.get(monday.isoformat(), {}))
        sunday = monday + timedelta(days=7)
        points.append(
            Point(
                week=monday.isoformat(),
                value=row.get(key),
                of=row.get(measure.of) if measure.of else None,
                whole=sunday <= last.date() and sunday <= known.date() + timedelta(days=1),
            )
        )
        monday = sunday
    return Trend(key, measure.unit, tuple(points))


def _spots(by: str, key: str, rows: list[Row]) -> Spots:
    """The worst of them; those with too few cases are left out, as are shares of nothing."""
    measure = MEASURES[key]
    found = []
    for row in map(_enriched, rows):
        value, of = row.get(key), row.get(measure.of) if measure.of else None
        few = measure.unit is not Unit.number and of is not None and of < ENOUGH_OF_A_SPOT
        if row["value"] is not None and value is not None and not few and (value or measure.unit is not Unit.number):
            found.append(Spot(row["value"], value, of))
    if by == "training":
        return Spots(by, key, measure.unit, tuple(sorted(found, key=lambda s: TRAINING.index(s.name))))
    limit = LIMITS.get(key)
    sign = 1 if limit is not None and limit.good > limit.bad else -1
    return Spots(by, key, measure.unit, tuple(sorted(found, key=lambda s: (sign * s.value, s.name))[:WORST]))


def _planned(view: str, answers: Answers) -> tuple[Plan, Row, tuple[Figure, ...], tuple[Trend, ...], tuple[Spots, ...]]:
    """What a gauge takes from a view that counts by queue, topic, ..., as the plan says."""
    plan, now = PLANS[view], answers.now[view]
    company = view == "gauge_what_matters"
    figures = _figures(
        plan,
        now | (answers.company if company else {}),
        answers.before[view] | (answers.company_before if company else {}),
    )
    trend = _trend(_chosen(plan.trend, now), answers.weeks[view], answers.period, answers.known_until)
    spots = [_spots(by, _chosen(keys, now), answers.spots[view, by]) for by, keys in plan.spots]
    return plan, now, figures, _shown(trend), tuple(s for s in spots if s.spots)


def _shown(trend: Trend) -> tuple[Trend, ...]:
    """The trend from its first week with a case on; nothing where there is none."""
    begun = tuple(dropwhile(lambda p: p.value is None, trend.points))
    return (replace(trend, points=begun),) if begun else ()


def _behind(now: list[Row], before: list[Row], kinds: Sequence[str] | None = None) -> tuple[Behind, ...]:
    earlier = {row["kind"]: row["frictions"] for row in before}
    found = [
        Behind(row["kind"], row["frictions"], earlier.get(row["kind"], 0), row["customers"], tuple(row["examples"]))
        for row in now
        if kinds is None or row["kind"] in kinds
    ]
    return tuple(sorted(found, key=lambda b: (-b.frictions, b.kind))[:MOST_KINDS])


def _gauge(view: str, answers: Answers, needs: tuple[str, ...], sentence: Said, spots: tuple[Spots, ...] = ()) -> Gauge:
    """A planned gauge; needs: columns of which one at least must count something, else there is no data."""
    plan, now, figures, trends, found = _planned(view, answers)
    company = answers.company if view == "gauge_what_matters" else {}
    behind = _behind(answers.kinds["all"], answers.kinds_before["all"], plan.kinds)
    if not any((now | company).get(name) for name in needs) and not behind:
        return _no_data(plan.gauge)
    return Gauge(
        key=plan.gauge,
        verdict=worst([f.verdict for f in figures]),
        sentence=sentence,
        figures=figures,
        trends=trends,
        spots=found + spots,
        frictions=behind,
    )


def _no_data(gauge: str) -> Gauge:
    return Gauge(gauge, Verdict.no_data, Said(f"{gauge}.no_data", {}))


def _share(row: Row, key: str) -> Amount:
    return Amount(row.get(key) or 0.0, MEASURES[key].unit)


def _count(row: Row, key: str) -> Amount:
    return Amount(row.get(key) or 0)


# The eight


def _reliability(answers: Answers) -> Gauge:
    now = answers.now["gauge_reliability"]
    key = _chosen(("fcr_7d", "fcr_24h"), now)
    counted = {"broken": _count(now, "broken_promises"), "dropped": _count(now, "dropped_calls")}
    if now.get(key) is None:
        sentence = Said("reliability.unknown", {**counted})
    else:
        measured = {"of": _count(now, f"{key}_of"), "fcr": _share(now, key)}
        sentence = Said(f"reliability.{key}", {**measured, **counted})
    worst_assets = tuple(Spot(a["asset_id"], a["days_out_of_service"], a["repairs"]) for a in answers.assets)
    assets = (Spots("asset", "days_out_of_service", Unit.days, worst_assets),) if worst_assets else ()
    return _gauge("gauge_reliability", answers, ("contacts", "promises_due", "lemons"), sentence, assets)


def _process(answers: Answers) -> Gauge:
    now = answers.now["gauge_process"]
    sentence = Said(
        "process",
        {
            "denied": _count(now, "requests_denied"),
            "decided": _count(now, "requests_decided"),
            "transferred": _share(now, "transfer_rate"),
            "reopened": _count(now, "reopened_cases"),
            "resolved": _count(now, "cases_resolved"),
            "again": _count(now, "asked_again"),
        },
    )
    return _gauge("gauge_process", answers, ("contacts", "requests_decided", "cases_resolved"), sentence)


def _what_matters(answers: Answers) -> Gauge:
    now = answers.now["gauge_what_matters"]
    short = now.get("short_contacts", 0), now.get("other_contacts", 0)
    if all(short):
        sentence = Said(
            "what_matters",
            {
                "short": Amount(short[0]),
                "short_followed": _count(now, "short_followed"),
                "short_rate": _share(now, "short_return_rate"),
                "others": Amount(short[1]),
                "other_followed": _count(now, "other_followed"),
                "other_rate": _share(now, "other_return_rate"),
            },
        )
    elif any(short):
        sentence = Said("what_matters.no_short", {"timed": Amount(sum(short)), "short": Amount(short[0])})
    else:
        sentence = Said("what_matters.untimed", {"active": _count(answers.company, "active")})
    needs = ("timed_contacts", "active", "headcount_before", "headcount_after", "buyers")
    return _gauge("gauge_what_matters", answers, needs, sentence)


def _abandonment(answers: Answers) -> Gauge:
    now = answers.now["gauge_abandonment"]
    parts = {"refused": _count(now, "refused"), "unanswered": _count(now, "unanswered")}
    parts |= {"slow": _count(now, "slow_conversations"), "conversations": _count(now, "conversations")}
    if now.get("abandonment_rate") is None:
        sentence = Said("abandonment.no_queue", {**parts})
    else:
        queue = {"abandoned": _share(now, "abandonment_rate"), "in_time": _share(now, "service_level")}
        sentence = Said("abandonment", {**queue, **parts})
    return _gauge("gauge_abandonment", answers, ("queued", "conversations", "refused", "closings"), sentence)


def _maintenance(answers: Answers) -> Gauge:
    """Contacts of agents who were trained lately beside those of the others: the ratio of their rates of friction."""
    plan, now, figures, trends, spots = _planned("gauge_maintenance", answers)
    if now.get("days_since_training") is None:
        return _no_data("maintenance")
    rates, ratio = _trained_apart(now)
    _, before = _trained_apart(answers.before["gauge_maintenance"])
    if ratio is not None:
        figures = (*figures, replace(ratio, before=before.value if before else None))
    sentence = (
        Said("maintenance", rates) if ratio else Said("maintenance.one_sided", {"share": _share(now, "trained_share")})
    )
    return Gauge(
        key=plan.gauge,
        verdict=worst([f.verdict for f in figures]),
        sentence=sentence,
        figures=figures,
        trends=trends,
        spots=spots,
        frictions=_behind(answers.kinds["agent"], answers.kinds_before["agent"]),
    )


def _trained_apart(row: Row) -> tuple[dict[str, Amount | str], Figure | None]:
    """Frictions per 100 contacts of both, and how many times as many the untrained ones have; None where one has no contacts."""
    lately, frictions = row.get("contacts_trained", 0), row.get("frictions_trained", 0)
    others, other_frictions = row.get("contacts", 0) - lately, row.get("frictions", 0) - frictions
    if not lately or not others:
        return {}, None
    rates: dict[str, Amount | str] = {
        "days": Amount(TRAINED_WITHIN),
        "lately": Amount(100 * frictions / lately, Unit.per_100),
        "others": Amount(100 * other_frictions / others, Unit.per_100),
    }
    between = chance.rate_ratio(other_frictions, others, frictions, lately)
    if between is None or not frictions:
        return rates, None
    ratio = (other_frictions / others) / (frictions / lately)
    judged = verdict_between(between, 1.0, more_is_good=False, open_is=Verdict.good)
    return rates, Figure("untrained_ratio", Unit.times, ratio, others, None, judged, between)


def _alignment(answers: Answers) -> Gauge:
    """Team and week by team and week: how content employees were, beside what customers said and met."""
    if not any(row["employee_of"] for row in answers.teams):
        return _no_data("alignment")
    figures, said = [], Said("alignment.few", {})
    pairs = _pairs(answers.teams, "customer_score")
    for key, column, more_is_good in (
        ("employee_customer", "customer_score", True),
        ("employee_friction", "frictions_per_100", False),
    ):
        found, before = _correlated(answers.teams, column), _correlated(answers.teams_before, column)
        weeks = len(_pairs(answers.teams, column))
        if found is None:
            figures.append(Figure(key, Unit.correlation, None, weeks, None, Verdict.unjudged))
            continue
        r, between = found
        judged = verdict_between(between, 0.0, more_is_good=more_is_good, open_is=Verdict.watch)
        figures.append(Figure(key, Unit.correlation, r, weeks, before[0] if before else None, judged, between))
    told = [f for f in figures if f.value is not None]
    if told:
        first = told[0]
        how = {Verdict.good: "same", Verdict.bad: "against"}.get(first.verdict, "open")
        assert first.value is not None and first.of is not None
        said = Said(f"{first.key}.{how}", {"r": Amount(first.value, Unit.correlation), "weeks": Amount(first.of)})
    return Gauge(
        key="alignment",
        verdict=worst([f.verdict for f in figures]),
        sentence=said,
        figures=tuple(figures),
        spots=_gaps(answers.teams),
        pairs=pairs if len(pairs) >= ENOUGH_PAIRS else (),
        frictions=_behind(answers.kinds["queue"], answers.kinds_before["queue"]),
    )


def _pairs(teams: list[Row], column: str) -> tuple[Pair, ...]:
    found = [
        Pair(row["queue"], _day(row["week"]), row["employee_score"], row[column])
        for row in teams
        if row["employee_of"] and row[column] is not None and (column != "customer_score" or row["customer_of"])
    ]
    return tuple(sorted(found, key=lambda p: (p.week, p.queue)))


def _day(day: date) -> str:
    return day.isoformat()


def _correlated(teams: list[Row], column: str) -> tuple[float, Interval] | None:
    pairs = [(p.x, p.y) for p in _pairs(teams, column)]
    return chance.pearson(pairs) if len(pairs) >= ENOUGH_PAIRS else None


def _gaps(teams: list[Row]) -> tuple[Spots, ...]:
    """Teams whose employees are more content than their customers, or less, by points of 100; the widest gap first."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0.0, 0])
    for row in teams:
        for at, who in ((0, "employee"), (2, "customer")):
            if row[f"{who}_of"]:
                sums[row["queue"]][at] += row[f"{who}_score"] * row[f"{who}_of"]
                sums[row["queue"]][at + 1] += row[f"{who}_of"]
    found = [
        Spot(queue, 100 * (a / n - b / m), int(min(n, m)))
        for queue, (a, n, b, m) in sums.items()
        if min(n, m) >= ENOUGH_OF_A_SPOT
    ]
    worst_first = tuple(sorted(found, key=lambda s: (-abs(s.value), s.name))[:WORST])
    return (Spots("queue", "gap", Unit.points, worst_first),) if worst_first else ()


def _feedback(answers: Answers) -> Gauge:
    now = answers.now["gauge_feedback"]
    score = _chosen(SCORES, now)
    parts: dict[str, Amount | str] = {
        "answered": _count(now, "answered"),
        "sent": _count(now, "sent"),
        "followed_up": _count(now, "followed_up_in_time"),
        "low": _count(now, "low_scores_due"),
        "complaints": _count(now, "complaints"),
    }
    if now.get(score) is None:
        sentence = Said("feedback.no_scores", parts)
    else:
        sentence = Said(f"feedback.{score}", parts | {"score": _share(now, score)})
    return _gauge("gauge_feedback", answers, ("sent", "answered", "complaints"), sentence)


def _upgrade(answers: Answers) -> Gauge:
    """Each release by the ratio of the rates after and before, with its exact interval; the verdict is on the latest."""
    _, _, figures, trends, _ = _planned("friction_rates", answers)
    if not answers.releases:
        return _no_data("upgrade")
    spots = []
    for row in answers.releases:
        between = _between(row)
        if row["rate_ratio"] is not None and between is not None:
            spots.append(Spot(row["release"], row["rate_ratio"], row["contacts_after"], between))
    last = latest(answers.releases)
    between = _between(last)
    name: dict[str, Amount | str] = {"release": last["release"]}
    ratio: tuple[Figure, ...] = ()
    if last["rate_ratio"] is None or between is None:
        judged, said = Verdict.unjudged, Said("upgrade.nothing", name)
    else:
        judged = verdict_between(between, 1.0, more_is_good=False, open_is=Verdict.watch)
        how = {Verdict.good: "better", Verdict.bad: "worse"}.get(judged, "open")
        if not last["after_passed"]:
            how, judged = "early", Verdict.unjudged
        said = Said(
            f"upgrade.{how}",
            {
                **name,
                "ratio": Amount(last["rate_ratio"], Unit.times),
                "before": Amount(last["frictions_per_1000_before"], Unit.per_1000),
                "after": Amount(last["frictions_per_1000_after"], Unit.per_1000),
            },
        )
        ratio = (Figure("rate_ratio", Unit.times, last["rate_ratio"], last["contacts_after"], None, judged, between),)
    return Gauge(
        key="upgrade",
        verdict=judged,
        sentence=said,
        figures=(*ratio, *figures),
        trends=trends,
        spots=(Spots("release", "rate_ratio", Unit.times, tuple(spots)),) if spots else (),
        frictions=_behind(answers.kinds.get("release", []), answers.kinds_before.get("release", [])),
    )


def _between(row: Row) -> Interval | None:
    return chance.rate_ratio(
        row["frictions_after"], row["contacts_after"], row["frictions_before"], row["contacts_before"]
    )
