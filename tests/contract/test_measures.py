"""What customers say and whether they stay: each view against a plain recomputation over random touchpoints."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from clickhouse_connect.driver.client import Client

from sinks.clickhouse import StoreProblem, query
from streams.entries import OWN
from tests.contract.conftest import Table, touchpoint_row
from tests.contract.test_clickhouse import friction
from tests.contract.test_metrics import ask, differences, mean

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SINCE, UNTIL = BEGIN + 60 * DAY, BEGIN + 120 * DAY
RANGE = f"since = '{SINCE:%Y-%m-%d}', until = '{UNTIL:%Y-%m-%d}'"
VISITS = (
    "page.viewed element.clicked form.started form.failed form.submitted checkout.started search.failed "
    "order.placed purchase.made subscription.renewed referral.made"
).split()
OTHERS = (
    "survey.sent survey.answered survey.answered survey.answered complaint.filed complaint.filed feedback.followed_up "
    "feedback.followed_up feedback.followed_up page.viewed purchase.made subscription.renewed subscription.cancelled "
    "account.closed contact.started contact.ended message.received promise.made order.returned"
).split()
LOW = {"nps": (0, 10, 6), "csat5": (1, 5, 2), "ces7": (1, 7, 3)}
Row = dict[str, Any]


def told(dice: random.Random, count: int) -> list[Row]:
    """Touchpoints of a few customers in 260 days, often at equal times."""
    out = []
    for number in range(count):
        kind = dice.choice(OTHERS)
        fields: Row = {
            "event_id": f"e{number:04}",
            "source": dice.choice(["crm", "web"]),
            "customer_id": dice.choice(["ana", "ben", "eva", "ida", "leo", "mia", "noa", "oto", None]),
            "kind": kind,
            "channel": dice.choice(["web", "voice"]),
            "contact_id": f"c{dice.randrange(60)}" if kind.startswith(("contact.", "message.")) else None,
            "topic": dice.choice([None, "a", "b"]),
            "occurred_at": BEGIN + dice.choice([DAY * dice.randrange(260), 6 * HOUR * dice.randrange(500)]),
            "cancelled": dice.random() < 0.05,
        }
        if kind.startswith(("survey", "complaint", "feedback")):
            fields["ref"] = dice.choice([None, None, "r1", "r2", "r3"])
        if kind == "survey.answered":
            fields["scale"] = dice.choice(["nps", "csat5", "ces7", "stars", None])
            fields["score"] = dice.choice([None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
        out.append(fields)
    return out


def put(table: Table, sent: list[Row], *, twice: bool = False) -> None:
    """Store them; twice: in another order, and again."""
    lines = [touchpoint_row(**(t | {"occurred_at": f"{t['occurred_at']:%Y-%m-%dT%H:%M:%SZ}"})) for t in sent]
    table.put("touchpoints", lines)
    if twice:
        table.put("touchpoints", lines[::-1])
        table.client.command("OPTIMIZE TABLE volvere_store.touchpoints FINAL")


def of(sent: list[Row]) -> list[Row]:
    """What counts, in order, each with its subject."""
    kept = [{"contact_id": None} | t | {"subject": subject(t)} for t in sent if not t["cancelled"]]
    return sorted(kept, key=lambda t: (t["occurred_at"], t["source"], t["event_id"]))


def subject(t: Row) -> str:
    """Whom it is about."""
    if t["customer_id"]:
        return str(t["customer_id"])
    return f"~contact/{t['contact_id']}" if t.get("contact_id") else f"~touchpoint/{t['source']}/{t['event_id']}"


def low(t: Row) -> bool | None:
    """Whether a score is low; None if it is none."""
    if t["kind"] != "survey.answered" or t.get("scale") not in LOW or t["score"] is None:
        return None
    worst, best, limit = LOW[t["scale"]]
    return bool(t["score"] <= limit) if worst <= t["score"] <= best else None


def visits(table: Table, kept: list[Row]) -> dict[str, list[tuple[datetime, str | None]]]:
    """By subject: when they came of their own will, and with which topic, where it was an attempt."""
    found: dict[str, list[tuple[datetime, str | None]]] = defaultdict(list)
    for t in kept:
        if t["kind"] in VISITS:
            found[t["subject"]].append((t["occurred_at"], None))
    for who, at, topic in table.ask(
        "SELECT subject, started_at, ifNull(topic, '') FROM volvere.contacts WHERE attempt"
    ):
        found[who].append((at.replace(tzinfo=UTC), topic))
    return found


def hurts(table: Table, kept: list[Row], known_until: datetime) -> Iterator[Row]:
    """volvere.recoveries in plain words."""
    came = visits(table, kept)
    opened = [t | {"followed": None} for t in kept if t["kind"] == "complaint.filed" or low(t)]
    for closing in (t for t in kept if t["kind"] == "feedback.followed_up"):
        for t in opened:
            mine = (
                t["subject"] == closing["subject"] and t["occurred_at"] <= closing["occurred_at"] and not t["followed"]
            )
            if closing["ref"] is not None:
                if mine and t["ref"] == closing["ref"]:
                    t["followed"] = closing["occurred_at"]
            elif mine and t["topic"] == closing["topic"] and closing["occurred_at"] <= t["occurred_at"] + 32 * DAY:
                t["followed"] = closing["occurred_at"]
                break
    for t in opened:
        at, after = t["occurred_at"], t["followed"] or BEGIN
        back = [
            v
            for v, topic in came[t["subject"]]
            if at + DAY <= v <= at + 90 * DAY and v > after and topic != (t["topic"] or "")
        ]
        better = [
            s["occurred_at"]
            for s in kept
            if s["subject"] == t["subject"] and low(s) is False and max(at, after) < s["occurred_at"] <= at + 90 * DAY
        ]
        in_time = t["followed"] is not None and t["followed"] <= at + 48 * HOUR
        yield {
            "event_id": t["event_id"],
            "customer_id": t["customer_id"],
            "occurred_at": at,
            "followed_up_at": t["followed"],
            "followed_up_in_time": in_time,
            "came_back_at": min(back, default=None),
            "scored_better_at": min(better, default=None),
            "final": at + 90 * DAY < known_until,
            "recovered": in_time and bool(back or better),
        }


def clock(table: Table) -> datetime:
    """Up to when something is known."""
    ((known,),) = table.ask("SELECT known_until FROM volvere.clock")
    found: datetime = known.replace(tzinfo=UTC)
    return found


def zoned(row: Row) -> Row:
    """Times with their zone."""
    return {name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()}


@pytest.fixture(params=range(2))
def sent(request: pytest.FixtureRequest, table: Table) -> list[Row]:
    """Random touchpoints, which are stored; in another order and twice in one case of three."""
    made = told(random.Random(request.param), 600)
    put(table, made, twice=request.param == 1)
    return made


def test_recoveries(table: Table, sent: list[Row]) -> None:
    """Who was followed up, when and for what, who came back; and the rate of those whose time is over."""
    wanted = list(hurts(table, of(sent), clock(table)))
    found = {row["event_id"]: zoned(row) for row in ask(table.client, "SELECT * FROM volvere.recoveries")}
    assert {row["event_id"]: row for row in wanted} == {
        name: {column: row[column] for column in wanted[0]} for name, row in found.items()
    }
    assert sum(row["recovered"] for row in wanted) > 0 and sum(row["followed_up_at"] is not None for row in wanted) > 10
    counted = [row for row in wanted if SINCE <= row["occurred_at"] < UNTIL]
    everyone = {row["customer_id"] for row in counted if row["final"]} - {None}
    recovered = {row["customer_id"] for row in counted if row["final"] and row["recovered"]} - {None}
    assert table.one(f"SELECT * FROM volvere.recovery({RANGE})") == {
        "recovery_of": len(everyone),
        "recovered_customers": len(recovered),
        "recovery_rate": len(recovered) / len(everyone) if everyone else None,
        "low_scores_and_complaints": len(counted),
        "followed_up": sum(row["followed_up_in_time"] for row in counted),
    }


@pytest.mark.parametrize("by", ["channel", "topic", "month", "all"])
def test_feedback(table: Table, sent: list[Row], by: str) -> None:
    """Response rate, NPS, CSAT and CES."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for t in of(sent):
        if t["kind"] in ("survey.sent", "survey.answered", "complaint.filed") and SINCE <= t["occurred_at"] < UNTIL:
            groups["all" if by == "all" else f"{t['occurred_at']:%Y-%m-01}" if by == "month" else t[by]].append(t)
    found = {
        row["value"]: row
        for row in ask(table.client, f"SELECT * FROM volvere.feedback(by = '{by}', {RANGE}, zone = 'UTC')")
    }
    assert found.keys() == groups.keys()
    for value, members in groups.items():
        scores = {scale: [t["score"] for t in members if low(t) is not None and t["scale"] == scale] for scale in LOW}
        kinds = Counter(t["kind"] for t in members)
        nps = scores["nps"]
        wanted = {
            "sent": kinds["survey.sent"],
            "answered": kinds["survey.answered"],
            "response_rate": kinds["survey.answered"] / kinds["survey.sent"] if kinds["survey.sent"] else None,
            "nps_of": len(nps),
            "nps": 100 * (sum(n >= 9 for n in nps) - sum(n <= 6 for n in nps)) / len(nps) if nps else None,
            "csat_of": len(scores["csat5"]),
            "csat": mean(n >= 4 for n in scores["csat5"]),
            "ces_of": len(scores["ces7"]),
            "ces": mean(scores["ces7"]),
            "complaints": kinds["complaint.filed"],
        }
        assert differences(found[value], wanted) == {}, value


def test_surveys(table: Table, sent: list[Row]) -> None:
    """Which scores count, and which are low."""
    found = {row["event_id"]: (row["valid"], row["low"]) for row in ask(table.client, "SELECT * FROM volvere.surveys")}
    scored = [t for t in of(sent) if t["kind"] == "survey.answered" and None not in (t["score"], t["scale"])]
    assert found == {t["event_id"]: (low(t) is not None, bool(low(t))) for t in scored}


def test_came_back(table: Table, sent: list[Row]) -> None:
    """Customers with friction are counted from their first, the others from their first touchpoint."""
    kept, known = of(sent), clock(table)
    dice = random.Random(len(kept))
    met: dict[str, tuple[datetime, str | None]] = {}
    events = []
    for number in range(8):
        at, topic = BEGIN + dice.randrange(200) * DAY, dice.choice([None, "a", "b"])
        who = dice.choice(["ana", "ben", "eva", "ida"])
        mode = dice.choice(["live", "live", "shadow"])
        events.append(
            friction(
                friction_id=str(UUID(int=number)),
                subject=who,
                customer_id=who,
                topic=topic,
                opened_at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
                rule={"id": "repeat_contact", "digest": "0123456789abcdef", "mode": mode},
            )
        )
        if mode == "live" and SINCE <= at < UNTIL and (who not in met or at < met[who][0]):
            met[who] = at, topic
    table.frictions(*events)
    came = visits(table, kept)
    wanted: dict[bool, list[bool]] = defaultdict(list)
    for who in {t["subject"] for t in kept if t["customer_id"]} | met.keys():
        firsts = [t["occurred_at"] for t in kept if t["subject"] == who and SINCE <= t["occurred_at"] < UNTIL]
        if who not in met and not firsts:
            continue
        at, topic = met.get(who) or (min(firsts), "any")
        if at + 90 * DAY < known:
            wanted[who in met].append(
                any(
                    at + DAY <= v <= at + 90 * DAY and (topic == "any" or about != (topic or ""))
                    for v, about in came[who]
                )
            )
    found = {row["with_friction"]: row for row in ask(table.client, f"SELECT * FROM volvere.came_back({RANGE})")}
    assert {met: (row["customers"], row["came_back"], row["came_back_rate"]) for met, row in found.items()} == {
        met: (len(back), sum(back), sum(back) / len(back)) for met, back in wanted.items()
    }


@pytest.mark.parametrize("days", [15, 30, 90])
def test_churn(table: Table, sent: list[Row], days: int) -> None:
    """Who was active, who cancelled, and who fell silent before the end."""
    kept = [t for t in of(sent) if t["customer_id"]]
    own: dict[str, list[datetime]] = defaultdict(list)
    for t in kept:
        if t["kind"] in OWN:
            own[t["subject"]].append(t["occurred_at"])
    for who, at in table.ask(
        "SELECT subject, started_at FROM volvere.contacts WHERE attempt AND customer_id IS NOT NULL"
    ):
        own[who].append(at.replace(tzinfo=UTC))
    active, cancelled, silent = 0, 0, 0
    for who, times in own.items():
        before = [at for at in times if at < SINCE]
        left = [t for t in kept if t["subject"] == who and t["kind"] in ("subscription.cancelled", "account.closed")]
        stayed = [
            t["occurred_at"]
            for t in kept
            if t["subject"] == who and t["kind"] in ("subscription.renewed", "purchase.made", "order.placed")
        ]
        last_left = max((t["occurred_at"] for t in left if t["occurred_at"] < SINCE), default=None)
        gone = last_left is not None and not any(last_left < at < SINCE for at in stayed)
        if not before or max(before) + days * DAY < SINCE or gone:
            continue
        active += 1
        cancelled += any(SINCE <= t["occurred_at"] < UNTIL for t in left)
        line = [max(before), *sorted(at for at in times if SINCE <= at < UNTIL), UNTIL]
        silent += any(later - earlier > days * DAY for earlier, later in pairwise(line))
    assert table.one(f"SELECT * FROM volvere.churn({RANGE}, churn_after_days = {days})") == {
        "active": active,
        "cancelled": cancelled,
        "contractual_churn": cancelled / active if active else None,
        "fell_silent": silent,
        "silent_churn": silent / active if active else None,
    }
    assert active > 0


@pytest.mark.parametrize("seed", range(3))
def test_agent_attrition(table: Table, seed: int) -> None:
    """Hired and left, some of them again, over the mean of both headcounts, a year."""
    dice = random.Random(seed)
    moves: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    lines = []
    for number in range(60):
        agent, at = f"a{dice.randrange(20)}", BEGIN + number * 80 * HOUR
        kind = "agent.left" if moves[agent] and moves[agent][-1][1] == "agent.hired" else "agent.hired"
        moves[agent].append((at, kind))
        at_text = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        lines.append(
            touchpoint_row(event_id=f"o{number}", customer_id=None, kind=kind, agent_id=agent, occurred_at=at_text)
        )
    table.put("operations", lines + lines[:5])

    def there(agent: str, when: datetime) -> bool:
        return max((m for m in moves[agent] if m[0] < when), default=(when, ""))[1] == "agent.hired"

    before, after = sum(there(a, SINCE) for a in moves), sum(there(a, UNTIL) for a in moves)
    leavers = sum(kind == "agent.left" and SINCE <= at < UNTIL for said in moves.values() for at, kind in said)
    found = table.one(f"SELECT * FROM volvere.agent_attrition({RANGE})")
    wanted = {
        "headcount_before": before,
        "headcount_after": after,
        "leavers": leavers,
        "attrition_a_year": leavers / ((before + after) / 2) / (60 / 365.25),
    }
    assert differences(found, wanted) == {}
    assert leavers > 0


LEMONS = [
    ("lemon", "critical", "live"), ("lemon", "warning", "live"), ("lemon", "critical", "shadow"), ("at_risk", "critical", "live"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_assets(table: Table, seed: int) -> None:
    """Repairs find their closings, days that overlap count once, and a lemon is what a live friction calls one."""
    dice = random.Random(seed)
    sent: list[Row] = []
    for number in range(120):
        at = BEGIN + dice.randrange(400) * 12 * HOUR
        fields: Row = {
            "event_id": f"e{number:03}",
            "customer_id": dice.choice(["ana", "ben"]),
            "asset_id": f"car{dice.randrange(6)}",
            "kind": dice.choice(
                ["repair.opened", "repair.opened", "repair.closed", "repair.closed", "asset.sold", "asset.replaced"]
            ),
            "ref": dice.choice([None, None, "r1", "r2"]),
            "occurred_at": at,
            "cancelled": dice.random() < 0.05,
        }
        sent.append({"source": "garage"} | fields)
    put(table, sent, twice=seed == 0)
    for n, (kind, severity, mode) in enumerate(LEMONS):
        rule = {"id": kind, "digest": "0" * 16, "mode": mode}
        table.frictions(
            friction(friction_id=str(UUID(int=n + 1)), kind=kind, severity=severity, rule=rule, asset_id=f"car{n}")
        )
    kept, known = of(sent), clock(table)
    found = {row["asset_id"]: zoned(row) for row in ask(table.client, "SELECT * FROM volvere.assets")}
    assert found.keys() == {t["asset_id"] for t in kept}
    for asset, row in found.items():
        mine = [t for t in kept if t["asset_id"] == asset]
        repairs = [t | {"out": None} for t in mine if t["kind"] == "repair.opened"]
        told = sorted(mine, key=lambda t: (t["occurred_at"], t["kind"] == "repair.closed", t["event_id"]))
        for closing in (t for t in told if t["kind"] == "repair.closed"):
            for r in repairs:
                if r["occurred_at"] > closing["occurred_at"] or r["out"]:
                    continue
                if closing["ref"] is None or r["ref"] == closing["ref"]:
                    r["out"] = closing["occurred_at"]
                    if closing["ref"] is None:
                        break
        hours = {
            at
            for r in repairs
            for at in range(int(r["occurred_at"].timestamp()), int((r["out"] or known).timestamp()), 12 * 3600)
        }
        times = {
            kind: [t["occurred_at"] for t in mine if t["kind"] == kind] for kind in ("asset.sold", "asset.replaced")
        }
        assert row == {
            "asset_id": asset,
            "product": None,
            "customer_id": mine[-1]["customer_id"],
            "sold_at": min(times["asset.sold"], default=None),
            "replaced_at": max(times["asset.replaced"], default=None),
            "first_at": mine[0]["occurred_at"],
            "last_at": mine[-1]["occurred_at"],
            "lemon": asset == "car0",
            "repairs": len(repairs),
            "open_repairs": sum(r["out"] is None for r in repairs),
            "last_repair_at": repairs[-1]["occurred_at"] if repairs else None,
            "days_out_of_service": len(hours) / 2,
        }


@pytest.mark.parametrize("seed", range(3))
def test_lifetime_value(table: Table, seed: int) -> None:
    """Who bought in the period before and did again; what refunds take away; one currency."""
    dice = random.Random(seed)
    kinds = ["purchase.made", "order.placed", "subscription.renewed", "order.refunded"]
    sent: list[Row] = [
        {
            "event_id": f"e{number}",
            "source": "shop",
            "customer_id": dice.choice(["ana", "ben", "eva", "ida", "leo", None]),
            "kind": dice.choice(kinds),
            "amount": dice.choice(["10", "0.1", "99.99", None]),
            "currency": dice.choice(["EUR", "EUR", "USD"]),
            "occurred_at": BEGIN + dice.randrange(180) * DAY,
            "cancelled": False,
        }
        for number in range(40)
    ]
    put(table, sent)
    paid = [
        t
        for t in of(sent)
        if t["customer_id"] and t["currency"] == "EUR" and t["amount"] and BEGIN <= t["occurred_at"] < UNTIL
    ]
    bought = [t for t in paid if t["kind"] != "order.refunded"]
    before = {t["customer_id"] for t in bought if t["occurred_at"] < SINCE}
    buyers = {t["customer_id"] for t in bought if t["occurred_at"] >= SINCE}
    revenue = sum(
        (
            Decimal(t["amount"]) * (-1 if t["kind"] == "order.refunded" else 1)
            for t in paid
            if t["occurred_at"] >= SINCE
        ),
        Decimal(0),
    )
    retention = len(before & buyers) / len(before)
    margin = 0.4 * float(revenue) / len(buyers)
    found = table.one(f"SELECT * FROM volvere.lifetime_value({RANGE}, margin = 0.4, discount = 0.1, currency = 'EUR')")
    wanted = {
        "bought_before": len(before),
        "bought_again": len(before & buyers),
        "retention": retention,
        "buyers": len(buyers),
        "revenue": revenue,
        "margin_a_period": margin,
        "lifetime_value": margin * retention / (1.1 - retention),
    }
    assert found.keys() == wanted.keys()
    assert found["revenue"] == revenue
    assert differences(found, wanted) == {}


@pytest.mark.parametrize("view", ["recovery", "came_back", "agent_attrition", "churn", "feedback", "lifetime_value"])
def test_a_range_that_is_none_is_told(client: Client, view: str) -> None:
    """Also over an empty store."""
    more = {
        "churn": ", churn_after_days = 90",
        "feedback": ", by = 'all', zone = 'UTC'",
        "lifetime_value": ", margin = 0.4, discount = 0.1, currency = 'EUR'",
    }.get(view, "")
    with pytest.raises(StoreProblem, match="since: expected a time before until"):
        query(client, f"SELECT * FROM volvere.{view}(since = '2026-01-02', until = '2026-01-01'{more})")
    query(client, f"SELECT * FROM volvere.{view}(since = '2026-01-01', until = '2026-01-02'{more})")
