"""`volvere checkup` over the engine in the process and over HTTP: a small company, and the bank's real week."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.client import Client

from schemas.adapters import anonymous_bank
from sinks import rows
from sinks.clickhouse import StoreProblem
from tests import bank
from tests.contract.conftest import ARRIVED, TABLES, Table, tail
from tests.contract.test_entities import at
from tests.contract.test_gauges import SINCE, UNTIL, ZONE, Firm, monday
from tests.contract.test_metrics import Row, ask
from volvere.checkup.model import Checkup, Figure, Gauge, Spot, Verdict
from volvere.checkup.period import PeriodProblem
from volvere.checkup.plans import PLANS
from volvere.checkup.run import check_up
from volvere.checkup.texts import Language, say


def emptied(migrated: Client) -> Table:
    """The store, without a row."""
    migrated.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    for name in TABLES:
        migrated.command(f"TRUNCATE TABLE volvere_store.{name}")
    return Table(migrated)


class Found:
    """A check-up, and what it was made of."""

    def __init__(self, firm: Firm) -> None:
        self.firm = firm
        self.checkup = check_up(firm.table.client, f"{SINCE:%Y-%m-%dT00:00:00Z}", f"{UNTIL:%Y-%m-%dT00:00:00Z}", ZONE)

    def gauge(self, key: str) -> Gauge:
        """One of the eight."""
        (found,) = [g for g in self.checkup.gauges if g.key == key]
        return found

    def figures(self, key: str) -> dict[str, Figure]:
        """Its figures."""
        return {f.key: f for f in self.gauge(key).figures}

    def rows(self, view: str, by: str, since: datetime = SINCE, until: datetime = UNTIL) -> dict[Any, Row]:
        """What an analyst reads in the view."""
        when = f"since = '{since:%Y-%m-%d %H:%M:%S}', until = '{until:%Y-%m-%d %H:%M:%S}'"
        sql = f"SELECT * FROM volvere.{view}(by = '{by}', {when}, zone = '{ZONE}')"
        return {row["value"]: row for row in ask(self.firm.table.client, sql)}


@pytest.fixture(scope="module")
def found(migrated: Client) -> Found:
    """The check-up of a small company."""
    return Found(Firm(emptied(migrated), 1))


def test_figures_are_what_the_views_say(found: Found) -> None:
    """A manager and an analyst read the same numbers, of the period and of the one before."""
    before = SINCE - (UNTIL - SINCE)
    for view, plan in PLANS.items():
        now, then = (found.rows(view, "all", *when).get("all", {}) for when in ((SINCE, UNTIL), (before, SINCE)))
        figures = found.figures(plan.gauge)
        for key in (key for key in plan.figures if key in now):
            assert figures[key].value == pytest.approx(now[key]), (view, key)
            assert figures[key].before == (pytest.approx(then[key]) if then.get(key) is not None else None), (view, key)
    assert {g.verdict for g in found.checkup.gauges} >= {Verdict.bad} and len(found.checkup.gauges) == 8
    assert not [g.key for g in found.checkup.gauges if g.verdict is Verdict.no_data]


def test_trends_are_the_weeks(found: Found) -> None:
    """Each point is the view's row of that week; weeks without a case are there, and empty."""
    for view, plan in PLANS.items():
        for trend in found.gauge(plan.gauge).trends:
            weeks = found.rows(view, "week", datetime(2024, 12, 1), UNTIL)  # noqa: DTZ001 - UTC without saying so
            assert [p.week for p in trend.points] == sorted({p.week for p in trend.points})
            assert trend.points[-1].week == monday(UNTIL)
            for point in trend.points:
                assert point.value == (pytest.approx(weeks[point.week][trend.figure]) if point.week in weeks and weeks[point.week][trend.figure] is not None else None)  # fmt: skip
            assert [p.whole for p in trend.points] == [True] * (len(trend.points) - 1) + [False], (
                "the last week is a part"
            )


def test_spots_are_the_worst(found: Found) -> None:
    """Where a manager is sent is where it is worst, among all that have enough cases."""
    spots = {(g.key, s.by): s for g in found.checkup.gauges for s in g.spots}
    topics = [r for name, r in found.rows("gauge_process", "queue").items() if name and r["answered"] >= 10]
    topics.sort(key=lambda r: (-(r["transfer_rate"] or 0), r["value"]))
    assert spots["process", "queue"].spots == tuple(
        Spot(r["value"], r["transfer_rate"], r["answered"]) for r in topics[:5]
    )
    buckets = found.rows("gauge_maintenance", "training")
    training = spots["maintenance", "training"].spots
    assert {s.name: s.value for s in training} == {
        n: r["frictions_per_100"] for n, r in buckets.items() if r["contacts"] >= 10
    }
    releases = spots["upgrade", "release"].spots
    assert len(releases) > 3 and all(s.interval and s.interval.low < s.value for s in releases)
    assert ("reliability", "asset") in spots


def test_the_frictions_behind(found: Found) -> None:
    """Kinds and counts are those of the store, and each example is one of them."""
    felt = found.firm.felt_of()
    for plan in (p for p in PLANS.values() if p.kinds):
        behind = found.gauge(plan.gauge).frictions
        assert behind and {b.kind for b in behind} <= set(plan.kinds)
        for b in behind:
            mine = {f["friction_id"] for f in felt if f["kind"] == b.kind}
            assert b.frictions == len(mine) and set(b.examples) <= mine and b.examples
    agents = {b.kind: b.frictions for b in found.gauge("maintenance").frictions}
    assert agents and all(
        n == sum(f["kind"] == k and f["agent_id"] is not None for f in felt) for k, n in agents.items()
    )


def test_the_sentence_at_the_top(found: Found) -> None:
    """It speaks of customers whose 90 days are over, also where the period's are not; what came back is the view's."""
    back = found.checkup.came_back
    assert back is not None
    assert back.until <= found.firm.known_until.replace(tzinfo=UTC)
    assert back.until - back.since == UNTIL - SINCE
    when = f"since = '{back.since:%Y-%m-%d %H:%M:%S.%f}', until = '{back.until:%Y-%m-%d %H:%M:%S.%f}'"
    rows_ = {r["with_friction"]: r for r in ask(found.firm.table.client, f"SELECT * FROM volvere.came_back({when})")}
    assert (back.customers, back.came_back) == (rows_[True]["customers"], rows_[True]["came_back"])
    assert say(found.checkup.sentence, Language.en).startswith(
        f"Of {back.customers} customers who met friction, {back.came_back} came back"
    )


def test_ranges_that_hold_nothing(migrated: Client) -> None:
    """An empty store, and a time of which the store knows nothing, are told; a wrong date before either."""
    table = emptied(migrated)
    utc = ZoneInfo("UTC")
    with pytest.raises(PeriodProblem, match="is no date"):
        check_up(table.client, "tomorrow", None, utc)
    with pytest.raises(StoreProblem, match="there is nothing to check: the store holds no touchpoints"):
        check_up(table.client, None, None, utc)
    table.touchpoints(
        {"occurred_at": "2026-03-01T09:00:00Z"}, {"event_id": "e2", "occurred_at": "2026-03-03T09:00:00Z"}
    )
    with pytest.raises(
        StoreProblem,
        match="nothing happened from 2020-01-01 to 2020-02-01; the store knows of 2026-03-01 to 2026-03-03",
    ):
        check_up(table.client, "2020-01-01", "2020-02-01", utc)
    with pytest.raises(PeriodProblem, match="is not before"):
        check_up(table.client, "2026-03-02", "2026-03-01", utc)


# The bank's week


@pytest.fixture(scope="module")
def week(embedded: Client, data: Path) -> Checkup:
    """The check-up of the bank's week."""
    table = emptied(embedded)
    calls = [row for row in bank.read(data / bank.WEEK) if row["outcome"] != "PHANTOM"]
    said = [json.dumps(t).encode() for row in calls for t in anonymous_bank.touchpoints(row)]
    table.put("touchpoints", [rows.touchpoint(t, ARRIVED, [], tail("touchpoints")) for t in said])
    return check_up(embedded, "1999-06-06", "1999-06-13", ZoneInfo("Asia/Jerusalem"))


def test_what_matters_in_the_bank_s_week(week: Checkup) -> None:
    """The 7 % of calls under ten seconds (Brown et al. 2005): two of three callers were back within the hour, and it is said so."""
    (matters,) = [g for g in week.gauges if g.key == "what_matters"]
    assert say(matters.sentence, Language.en) == (
        "Of 293 answered contacts under 10 s, 187 were followed by another within 1 h (64%); of the 3,554 others, 511 (14%)."
    )
    assert say(matters.sentence, Language.es) == (
        "De 293 contactos atendidos de menos de 10 s, a 187 les siguió otro en 1 h (64\u00a0%); de los otros 3.554, a 511 (14\u00a0%)."
    )
    figures = {f.key: f for f in matters.figures}
    assert figures["short_share"].of == 3_847
    assert figures["short_share"].value == pytest.approx(293 / 3_847)
    assert figures["times_as_often"].value == pytest.approx((187 / 293) / (511 / 3554))
    assert (figures["times_as_often"].verdict, figures["short_share"].verdict, matters.verdict) == (Verdict.bad,) * 3
    agents = next(s for s in matters.spots if s.by == "agent")
    assert len(agents.spots) == 5 and sum(s.value for s in agents.spots) > 60, "few agents do most of it"


def test_what_nobody_told_the_bank(week: Checkup) -> None:
    """A week of calls says nothing of trainings, releases or surveys: no gauge makes a value up, and nobody can be back after 90 days."""
    verdicts = {g.key: g.verdict for g in week.gauges}
    silent = {key for key, verdict in verdicts.items() if verdict is Verdict.no_data}
    assert silent == {"maintenance", "alignment", "feedback", "upgrade"}
    assert week.came_back is None and week.sentence.key == "top.none"
    assert at("1999-06-12T00:00:00Z") < week.known_until.replace(tzinfo=None) < at("1999-06-14T00:00:00Z")
