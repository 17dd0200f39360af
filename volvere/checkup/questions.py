"""What the gauges need to know, asked of the views: the only part of a check-up that reads the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from sinks.clickhouse import query
from volvere.checkup.limits import CHURN_AFTER_DAYS, DISCOUNT_A_YEAR, MARGIN, WORST
from volvere.checkup.period import Period
from volvere.checkup.plans import PLANS

Row = dict[str, Any]

NINETY_DAYS = timedelta(days=90)
A_YEAR = timedelta(days=365.25)
AROUND_A_RELEASE = timedelta(days=14)
"""As volvere.releases has it."""


@dataclass(frozen=True)
class Known:
    """What the store holds: how far it knows, its first and last moment (of customers or the company); None where it is empty."""

    until: datetime | None
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class Answers:
    """Rows of the views, by view. now, before: the one row of all (empty where nothing happened); spots: by (view, by).

    kinds, kinds_before: of frictions, by what they name. company, company_before: churn, lifetime value and attrition in
    one row. came_back: by whether they met friction, in came_back_in.
    """

    period: Period
    known_until: datetime
    touchpoints: int
    now: dict[str, Row]
    before: dict[str, Row]
    weeks: dict[str, list[Row]]
    spots: dict[tuple[str, str], list[Row]]
    kinds: dict[str, list[Row]]
    kinds_before: dict[str, list[Row]]
    company: Row
    company_before: Row
    assets: list[Row]
    releases: list[Row]
    teams: list[Row]
    teams_before: list[Row]
    came_back_in: Period
    came_back: dict[bool, Row]


def known(client: Client) -> Known:
    """How far the store knows what has happened. Raises Transient or StoreProblem."""
    (row,) = _rows(
        client,
        "SELECT known_until, "
        "(SELECT minOrNull(at) FROM (SELECT min(occurred_at) AS at FROM volvere_store.touchpoints HAVING count() > 0 "
        "UNION ALL SELECT min(occurred_at) FROM volvere_store.operations HAVING count() > 0)) AS first, "
        "(SELECT maxOrNull(at) FROM (SELECT max(occurred_at) AS at FROM volvere_store.touchpoints HAVING count() > 0 "
        "UNION ALL SELECT max(occurred_at) FROM volvere_store.operations HAVING count() > 0)) AS last "
        "FROM volvere.clock",
    )
    return Known(*(_utc(row[name]) for name in ("known_until", "first", "last")))


def happened(client: Client, period: Period) -> bool:
    """Whether the store holds anything of a period. Raises Transient or StoreProblem."""
    return any(_counted(client, name, period) for name in ("touchpoints", "operations"))


def ask(client: Client, period: Period, known_until: datetime, margin: float = MARGIN) -> Answers:
    """All that the gauges need. margin: share of the revenue, for lifetime value. Raises Transient or StoreProblem."""
    before, weeks = period.before, period.weeks
    returned = period.ending(min(period.until, known_until - NINETY_DAYS))
    releases = view(client, "gauge_upgrade", period)
    first, company_before = {"naming": "all"}, _company(client, before, margin)
    return Answers(
        period=period,
        known_until=known_until,
        touchpoints=_counted(client, "touchpoints", period),
        now={name: _one(view(client, name, period, by="all")) for name in PLANS},
        before={name: _one(view(client, name, before, by="all")) for name in PLANS},
        weeks={name: view(client, name, weeks, by="week") for name in PLANS},
        spots={(name, by): view(client, name, period, by=by) for name, plan in PLANS.items() for by in plan.spots_by},
        kinds={naming: view(client, "friction_kinds", period, naming=naming) for naming in ("all", "agent", "queue")}
        | ({"release": view(client, "friction_kinds", _after(releases), **first)} if releases else {}),
        kinds_before={
            naming: view(client, "friction_kinds", before, naming=naming) for naming in ("all", "agent", "queue")
        }
        | ({"release": view(client, "friction_kinds", _after(releases).before, **first)} if releases else {}),
        company=_company(client, period, margin),
        company_before=company_before,
        assets=_assets(client, period),
        releases=sorted(releases, key=lambda r: (r["deployed_at"], r["release"])),
        teams=view(client, "gauge_alignment", period),
        teams_before=view(client, "gauge_alignment", before),
        came_back_in=returned,
        came_back={row["with_friction"]: row for row in view(client, "came_back", returned)},
    )


def latest(releases: list[Row]) -> Row:
    """The release that a check-up speaks of: the newest whose fortnight has passed, else the newest."""
    passed = [r for r in releases if r["after_passed"]]
    newest: Row = max(passed or releases, key=lambda r: (r["deployed_at"], r["release"]))
    return newest


def _after(releases: list[Row]) -> Period:
    deployed = _utc(latest(releases)["deployed_at"])
    assert deployed is not None
    return Period(deployed, deployed + AROUND_A_RELEASE, UTC)


_BY_ZONE = frozenset(PLANS) | {"gauge_alignment"}


def view(client: Client, name: str, period: Period, **more: str) -> list[Row]:
    """The rows of a view of a period; `more`: its other parameters."""
    given = more | ({"zone": str(period.zone)} if name in _BY_ZONE else {})
    call = ", ".join(f"{parameter} = {{{parameter}:String}}" for parameter in given)
    call += f"{', ' if given else ''}since = {{since:DateTime64(6, 'UTC')}}, until = {{until:DateTime64(6, 'UTC')}}"
    return _rows(client, f"SELECT * FROM volvere.{name}({call})", **_bounds(period), **given)


def _counted(client: Client, name: str, period: Period) -> int:
    (row,) = _rows(
        client,
        f"SELECT count() AS n FROM volvere.{name} "
        "WHERE occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')}",
        **_bounds(period),
    )
    found: int = row["n"]
    return found


def _company(client: Client, period: Period, margin: float) -> Row:
    """Churn, attrition and lifetime value, in the currency in which most was bought."""
    found = _one(view(client, "churn", period, churn_after_days=str(CHURN_AFTER_DAYS)))
    found |= _one(view(client, "agent_attrition", period))
    currencies = _rows(
        client,
        "SELECT currency FROM volvere.touchpoints WHERE currency IS NOT NULL AND amount IS NOT NULL "
        "AND kind IN ('purchase.made', 'order.placed', 'subscription.renewed') "
        "AND occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')} "
        "GROUP BY currency ORDER BY count() DESC, currency LIMIT 1",
        **_bounds(period),
    )
    if currencies:
        discount = DISCOUNT_A_YEAR * ((period.until - period.since) / A_YEAR)
        given = {"margin": str(margin), "discount": str(discount), "currency": currencies[0]["currency"]}
        found |= _one(view(client, "lifetime_value", period, **given)) | currencies[0]
    return found


def _assets(client: Client, period: Period) -> list[Row]:
    """Those that were in repair longest, of those that came in for one in the period."""
    return _rows(
        client,
        "SELECT asset_id, repairs, days_out_of_service FROM volvere.assets "
        "WHERE last_repair_at >= {since:DateTime64(6, 'UTC')} AND last_repair_at < {until:DateTime64(6, 'UTC')} "
        "ORDER BY days_out_of_service DESC, asset_id LIMIT {most:UInt32}",
        **_bounds(period),
        most=WORST,
    )


def _bounds(period: Period) -> dict[str, str]:
    return {name: f"{getattr(period, name).astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}" for name in ("since", "until")}


def _one(rows: list[Row]) -> Row:
    return rows[0] if rows else {}


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _rows(client: Client, sql: str, **given: object) -> list[Row]:
    names, rows = query(client, sql, given)
    return [{n: float(v) if isinstance(v, Decimal) else v for n, v in zip(names, row, strict=True)} for row in rows]
