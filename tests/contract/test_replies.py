"""volvere.replies against a plain recomputation, and its turns against the kernel's."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest

from schemas.times import DAY, MINUTE, format_time, parse_time
from sinks.clickhouse import StoreProblem, query
from tests.contract.conftest import Table, touchpoint_row
from tests.contract.test_metrics import Row, ask, quantile

BEGIN = parse_time("2026-03-01T00:00:00Z")
KINDS = (
    "message.received message.received message.received message.received message.received message.received message.sent "
    "message.sent message.sent message.sent contact.started contact.started contact.started contact.started contact.ended "
    "contact.resolved case.resolved case.reopened case.reopened page.viewed"
).split()
SPAN = "since = '2026-03-02', until = '2026-03-06'"
WITHIN = 3600


def told(dice: random.Random) -> list[Row]:
    """Conversations of a few customers, often at equal times, some of it withdrawn."""
    out: list[Row] = []
    for number in range(700):
        fields: Row = {
            "event_id": f"e{number:03}", "customer_id": f"c{dice.randrange(5)}", "kind": dice.choice(KINDS),
            "channel": dice.choice(["chat", "email"]), "contact_id": dice.choice([None, *"abcdefgh"]),
            "occurred_at": format_time(BEGIN + dice.randrange(7 * 24 * 4) * 15 * MINUTE), "automatic": dice.random() < 0.2,
            "ended_by": dice.choice([None, "customer", "agent"]), "outcome": dice.choice([None, "resolved", "ok"]),
            "queue": dice.choice([None, "q1", "q2"]), "topic": dice.choice([None, "billing"]),
            "agent_id": dice.choice([None, "A1", "A2"]), "cancelled": dice.random() < 0.05,
        }  # fmt: skip
        out.append(fields)
    return out


def turns(sent: list[Row]) -> list[tuple[Row, Row | None, Row]]:
    """First message, reply, and what is known of the contact: one for each turn."""
    kept = sorted((t for t in sent if not t["cancelled"]), key=lambda t: (t["occurred_at"], t["event_id"]))
    out: list[tuple[Row, Row | None, Row]] = []
    for who in {(t["customer_id"], t["contact_id"]) for t in kept if t["contact_id"]}:
        mine = [t for t in kept if (t["customer_id"], t["contact_id"]) == who]
        known = {name: next((t[name] for t in reversed(mine) if t[name]), None) for name in ("queue", "topic")}
        first, over = None, False
        for t in mine:
            if t["kind"] == "message.received":
                first = t if first is None and not over else first
            elif t["kind"] == "message.sent":
                if first is not None and not t["automatic"]:
                    out.append((first, t, known))
                    first = None
            elif t["kind"] in ("contact.resolved", "case.resolved"):
                over = True
            elif t["kind"] == "contact.ended":
                over = over or t["ended_by"] == "customer" or t["outcome"] == "resolved"
            elif t["kind"] in ("contact.started", "case.reopened"):
                over = False
        if first is not None:
            out.append((first, None, known))
    return out


def value(by: str, first: Row, reply: Row | None, known: Row) -> Any:
    """What a turn is counted by."""
    at = datetime.fromisoformat(first["occurred_at"])
    return {
        "day": f"{at:%Y-%m-%d}", "hour": f"{at:%H}", "weekday": str(at.isoweekday()), "month": f"{at:%Y-%m}-01",
        "channel": first["channel"], "queue": known["queue"], "topic": known["topic"],
        "agent": reply["agent_id"] if reply else None, "all": "all",
    }[by]  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_replies(table: Table, seed: int) -> None:
    """By every dimension; before and after merging, and told twice."""
    sent = told(random.Random(seed))
    lines = [touchpoint_row(**t) for t in sent]
    table.put("touchpoints", lines)
    since, until = BEGIN + DAY, BEGIN + 5 * DAY
    found = [turn for turn in turns(sent) if since <= parse_time(turn[0]["occurred_at"]) < until]
    assert len(found) > 25
    for again in (False, True):
        for by in (
            ("all",) if again else ("day", "hour", "weekday", "month", "channel", "queue", "topic", "agent", "all")
        ):
            groups: dict[Any, list[tuple[Row, Row | None, Row]]] = {}
            for turn in found:
                groups.setdefault(value(by, *turn), []).append(turn)
            wanted = {}
            for name, some in groups.items():
                took = sorted(
                    (parse_time(r["occurred_at"]) - parse_time(f["occurred_at"])) // 1_000_000 for f, r, _ in some if r
                )
                in_time = sum(seconds <= WITHIN for seconds in took)
                wanted[name] = {
                    "value": name, "turns": len(some), "replied": len(took), "replied_in_time": in_time,
                    "reply_level": in_time / len(some), "reply_p50_s": quantile(took, 0.5), "reply_p90_s": quantile(took, 0.9),
                }  # fmt: skip
            rows = ask(
                table.client, f"SELECT * FROM volvere.replies(by = '{by}', {SPAN}, zone = 'UTC', within_s = {WITHIN})"
            )
            assert {row["value"]: row for row in rows} == wanted, by
        table.put("touchpoints", lines[::-1])
        table.client.command("OPTIMIZE TABLE volvere_store.touchpoints FINAL")


def test_a_wrong_question_is_told_clearly(table: Table) -> None:
    """Also where there is nothing to count."""
    for call, says in (
        (f"by = 'team', {SPAN}, zone = 'UTC', within_s = 60", "by: expected day, week, month"),
        (
            "by = 'day', since = '2026-03-02', until = '2026-03-02', zone = 'UTC', within_s = 60",
            "since: expected a time before until",
        ),
        (f"by = 'day', {SPAN}, zone = 'UTC'", "missing: within_s"),
    ):
        with pytest.raises(StoreProblem, match=says):
            query(table.client, f"SELECT * FROM volvere.replies({call})")
    assert table.ask(f"SELECT * FROM volvere.replies(by = 'day', {SPAN}, zone = 'UTC', within_s = 60)") == []
