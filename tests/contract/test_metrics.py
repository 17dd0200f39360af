"""The measures of service against plain recomputations: on a real week of calls by its raw file, on random contacts one by one."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.adapters import anonymous_bank
from sinks import rows
from sinks.clickhouse import StoreProblem, query
from tests import bank
from tests.contract.conftest import ARRIVED, Table, tail, touchpoint_row
from tests.contract.test_contacts_view import random_touchpoints

WHEN = "since = '1990-01-01', until = '2100-01-01', zone = 'Asia/Jerusalem'"
Row = dict[str, Any]


def ask(client: Client, sql: str) -> list[Row]:
    """Rows of an answer, by column."""
    names, found = query(client, sql)
    return [dict(zip(names, row, strict=True)) for row in found]


def metrics(client: Client, by: str, when: str = WHEN) -> dict[Any, Row]:
    """volvere.contact_metrics with usual limits, by value."""
    sql = f"SELECT * FROM volvere.contact_metrics(by = '{by}', {when}, short_abandon_ms = 5000, within_ms = 20000)"
    return {row["value"]: row for row in ask(client, sql)}


def returns(client: Client, by: str, when: str = WHEN) -> dict[tuple[Any, int], Row]:
    """volvere.returns, by value and window."""
    found = ask(client, f"SELECT * FROM volvere.returns(by = '{by}', {when})")
    return {(row["value"], row["within_s"]): row for row in found}


def mean(values: Iterable[float]) -> float | None:
    """None over nothing."""
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def differences(found: Row, wanted: Row) -> Row:
    """By column what is not as it should be: (found, wanted). Means and shares may differ in the last digits."""

    def equal(a: Any, b: Any) -> bool:
        return a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-12)

    return {name: (found[name], value) for name, value in wanted.items() if not equal(found[name], value)}


# The bank's week


@pytest.fixture(scope="module")
def week(migrated: Client, data: Path) -> list[bank.Row]:
    """The raw rows of the bank's week, which are stored."""
    for name in ("touchpoints", "contacts"):
        migrated.command(f"TRUNCATE TABLE volvere_store.{name}")
    raw = bank.read(data / bank.WEEK)
    said = [json.dumps(t).encode() for row in raw for t in anonymous_bank.touchpoints(row)]
    Table(migrated).put("touchpoints", [rows.touchpoint(t, ARRIVED, [], tail("touchpoints")) for t in said])
    return [row for row in raw if row["outcome"] != "PHANTOM"]


def local(row: bank.Row) -> datetime:
    """A call's start on the bank's clock."""
    return datetime.strptime(f"{row['date']} {row['vru_entry']} Z", "%Y-%m-%d %H:%M:%S %z")


def plain(calls: list[bank.Row]) -> Row:
    """Waiting, abandonment, handling of raw rows, by the standard library."""
    queued = [r for r in calls if (r["q_start"], r["q_exit"]) != (bank.NEVER, bank.NEVER)]
    answered = [r for r in calls if r["outcome"] == "AGENT"]
    gone = [r for r in queued if r["outcome"] == "HANG"]
    short = [r for r in gone if int(r["q_time"]) <= 5]
    waits = sorted(int(r["q_time"]) * 1000 for r in answered)
    return {
        "contacts": len(calls),
        "queued": len(queued),
        "answered": len(answered),
        "abandoned_in_queue": len(gone),
        "abandoned_in_ivr": sum(r["outcome"] == "HANG" for r in calls) - len(gone),
        "short_abandons": len(short),
        "abandonment_rate": (len(gone) - len(short)) / (len(queued) - len(short)) if len(queued) > len(short) else None,
        "speed_of_answer_ms": mean(waits),
        "wait_p90_ms": waits[int(0.9 * len(waits))] if waits else None,
        "handle_mean_ms": mean(int(r["ser_time"]) * 1000 for r in answered),
    }


@pytest.mark.parametrize(("by", "form"), [("day", "%Y-%m-%d"), ("hour", "%H"), ("all", "all"), ("weekday", "%u")])
def test_bank_week_waits_and_answers(migrated: Client, week: list[bank.Row], by: str, form: str) -> None:
    """Service times, waits and abandonment of each day and hour are those of the raw file."""
    found = metrics(migrated, by)
    grouped: dict[str, list[bank.Row]] = defaultdict(list)
    for row in week:
        grouped[local(row).strftime(form)].append(row)
    assert found.keys() == grouped.keys()
    for value, calls in grouped.items():
        assert differences(found[value], plain(calls)) == {}, value


def test_bank_week_repeats(migrated: Client, week: list[bank.Row]) -> None:
    """Who called before, by day and hour and window, is as many as in the raw file."""
    callers: dict[str, list[bank.Row]] = defaultdict(list)
    for row in week:
        if row["customer_id"]:
            callers[row["customer_id"]].append(row)
    for by, form in (("day", "%Y-%m-%d"), ("hour", "%H")):
        wanted: dict[tuple[str, int], int] = defaultdict(int)
        for calls in callers.values():
            starts = sorted(map(local, calls))
            for before, start in pairwise(starts):
                for window in (3600, 86_400, 604_800, 2_592_000):
                    wanted[start.strftime(form), window] += start - before <= timedelta(seconds=window)
        found = returns(migrated, by)
        assert {at: row["repeats"] for at, row in found.items() if row["repeats"]} == {
            at: n for at, n in wanted.items() if n
        }
    whole = {window: row["repeats"] for (_, window), row in returns(migrated, "all").items()}
    assert (whole[3600], whole[86_400]) == (bank.REAL_WEEK.hour, bank.REAL_WEEK.day)
    assert whole[604_800] == bank.REAL_WEEK.week


def test_bank_week_short_calls_come_back(migrated: Client, week: list[bank.Row]) -> None:
    """The 7 % of calls under ten seconds (Brown et al. 2005): two of three callers were back within the hour."""
    sql = "SELECT * FROM volvere.short_contacts(by = '{}', {}, under_ms = 10000, within_s = 3600)"
    (row,) = ask(migrated, sql.format("all", WHEN))
    assert (row["short_contacts"], row["short_followed"]) == (293, 187)
    assert (row["other_contacts"], row["other_followed"]) == (3_554, 511)
    agents = ask(migrated, sql.format("agent", WHEN))
    assert sum(a["short_contacts"] for a in agents) == 293
    worst = max(agents, key=lambda a: a["short_contacts"])
    calls = [r for r in week if r["server"] == worst["value"] and r["customer_id"] and r["outcome"] == "AGENT"]
    assert worst["short_contacts"] == sum(int(r["ser_time"]) < 10 for r in calls)
    assert worst["handle_mean_ms"] == pytest.approx(mean(int(r["ser_time"]) * 1000 for r in calls))


# Random contacts


def grouped(contacts: list[Row], column: str) -> dict[Any, list[Row]]:
    """Contacts by a column's value."""
    out: dict[Any, list[Row]] = defaultdict(list)
    for c in contacts:
        out["all" if column == "all" else c[column]].append(c)
    return out


def waited(c: Row, most: int) -> bool:
    """Whether the wait is known and no longer."""
    return c["wait_ms"] is not None and c["wait_ms"] <= most


def counted(contacts: list[Row]) -> Row:
    """volvere.contact_metrics in plain words."""
    answered = [c for c in contacts if c["answered_at"]]
    queued = [c for c in contacts if c["queued_at"]]
    gone = [c for c in contacts if c["abandoned_in"] == "queue"]
    short = [c for c in gone if waited(c, 5000)]
    offered = [c for c in queued if c["answered_at"] or c["abandoned_in"] == "queue"]
    in_time = [c for c in queued if c["answered_at"] and waited(c, 20_000)]
    left_in_time = [c for c in gone if not c["answered_at"] and waited(c, 20_000)]
    handled = sorted(c["handle_ms"] for c in contacts if c["handle_ms"] is not None)
    waits = sorted(c["wait_ms"] for c in answered if c["wait_ms"] is not None)
    patient = len(offered) - len(left_in_time)
    return {
        "contacts": len(contacts),
        "attempts": sum(c["attempt"] for c in contacts),
        "customers": len({c["customer_id"] for c in contacts} - {None}),
        "answered": len(answered),
        "queued": len(queued),
        "abandoned_in_ivr": sum(c["abandoned_in"] == "ivr" for c in contacts),
        "abandoned_in_queue": len(gone),
        "short_abandons": len(short),
        "abandonment_rate": (len(gone) - len(short)) / (len(queued) - len(short)) if len(queued) > len(short) else None,
        "answered_in_time": len(in_time),
        "abandoned_in_time": len(left_in_time),
        "offered": len(offered),
        "service_level_abandons_ignored": len(in_time) / patient if patient else None,
        "service_level_abandons_negative": len(in_time) / len(offered) if offered else None,
        "service_level_abandons_positive": (len(in_time) + len(left_in_time)) / len(offered) if offered else None,
        "speed_of_answer_ms": mean(waits),
        "wait_p50_ms": quantile(waits, 0.5),
        "wait_p90_ms": quantile(waits, 0.9),
        "handle_mean_ms": mean(handled),
        "handle_p50_ms": quantile(handled, 0.5),
        "handle_p90_ms": quantile(handled, 0.9),
        "handle_p95_ms": quantile(handled, 0.95),
        "transfers": sum(c["transfers"] for c in contacts),
        "transferred": sum(c["transfers"] > 0 for c in contacts),
    }


def quantile(ordered: list[int], level: float) -> int | None:
    """As ClickHouse's quantileExact takes it: a value that is there."""
    return ordered[min(len(ordered) - 1, int(level * len(ordered)))] if ordered else None


def gaps(c: Row, contacts: list[Row], *, same: bool) -> tuple[float | None, float | None]:
    """Seconds since the customer's attempt before this contact, and to the next after it; equal starts by contact and event."""
    if c["customer_id"] is None:
        return None, None

    def place(x: Row) -> tuple[Any, ...]:
        return x["started_at"], x["contact_id"] or "", x["source"], x["event_id"]

    others = [
        x
        for x in contacts
        if x["attempt"]
        and x["customer_id"] == c["customer_id"]
        and x is not c
        and (not same or x["topic"] == c["topic"])
    ]
    before = [x for x in others if place(x) < place(c)]
    after = [x for x in others if place(x) > place(c)]
    since = (c["started_at"] - max(before, key=place)["started_at"]).total_seconds() if before else None
    to = (min(after, key=place)["started_at"] - c["started_at"]).total_seconds() if after else None
    return since, to


def returned(contacts: list[Row], everyone: list[Row], window: int, known_until: datetime) -> Row:
    """volvere.returns in plain words."""
    fcr: list[bool] = []
    provisional: list[bool] = []
    issues: list[bool] = []
    repeats_of = repeats = known = same = whichever = 0
    for c in contacts:
        since, to = gaps(c, everyone, same=False)
        since_same, to_same = gaps(c, everyone, same=True)
        final = c["started_at"] + timedelta(seconds=window) < known_until
        alone = to_same is None or to_same > window
        if c["customer_id"] is None:
            continue
        if c["attempt"]:
            repeats_of += 1
            repeats += since is not None and since <= window
        if c["attempt"] and c["answered_at"]:
            (fcr if final else provisional).append(alone)
            if final and (since_same is None or since_same > window):
                issues.append(alone)
        if final:
            known += 1
            same += not alone
            whichever += to is not None and to <= window
    return {
        "fcr_of": len(fcr),
        "fcr": mean(fcr),
        "fcr_provisional_of": len(provisional),
        "fcr_provisional": mean(provisional),
        "issue_fcr_of": len(issues),
        "issue_fcr": mean(issues),
        "repeats_of": repeats_of,
        "repeats": repeats,
        "repeat_rate": repeats / repeats_of if repeats_of else None,
        "returns_of": known,
        "returns": same,
        "return_rate": same / known if known else None,
        "returns_any_topic": whichever,
        "return_rate_any_topic": whichever / known if known else None,
    }


RANDOM = WHEN.replace("Asia/Jerusalem", "UTC")
ONCE_MORE = {"topic": "topic"}
DIMENSIONS = {"channel": "channel", "queue": "queue", "topic": "topic", "agent": "agent_id", "all": "all"}


@pytest.mark.parametrize("seed", range(2))
def test_random_contacts(table: Table, seed: int) -> None:
    """Every measure, by every dimension, is what plain words give over the contacts; before and after merging, and told twice."""
    dice = random.Random(seed)
    sent = random_touchpoints(dice, 300)
    for fields in sent:
        fields["customer_id"] = dice.choice(["ana", "ben", "eva", "ida", "leo", None])
        fields["contact_id"] = f"c{dice.randrange(40)}"
        for name in ("wait_ms", "handle_ms"):
            fields[name] = dice.choice([None, 3000, 5000, 5001, 20_000, 20_001, 90_000])
    lines = [touchpoint_row(**fields) for fields in sent]
    table.put("touchpoints", lines)
    contacts = ask(table.client, "SELECT * FROM volvere.contacts")
    ((known_until,),) = table.ask("SELECT known_until FROM volvere.clock")
    assert len(contacts) > 60
    for again in (False, True):
        for by, column in ONCE_MORE.items() if again else DIMENSIONS.items():
            groups = grouped(contacts, column)
            found = metrics(table.client, by, RANDOM)
            assert found.keys() == groups.keys()
            back = returns(table.client, by, RANDOM)
            for value, members in groups.items():
                assert differences(found[value], counted(members)) == {}, (by, value)
                for window in (3600, 86_400, 604_800, 2_592_000):
                    wanted = returned(members, contacts, window, known_until)
                    assert differences(back[value, window], wanted) == {}, (by, value, window)
        if not again:
            table.put("touchpoints", lines[::-1])
            table.client.command("OPTIMIZE TABLE volvere_store.touchpoints FINAL")


# What an analyst gets wrong


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("by = 'days', since = '2026-01-01', until = '2026-02-01', zone = 'UTC'", "by: expected day, week, month"),
        ("by = 'day', since = '2026-02-01', until = '2026-02-01', zone = 'UTC'", "since: expected a time before until"),
        ("by = 'day', since = '31.1.2026', until = '2026-02-01', zone = 'UTC'", "'since'"),
        ("by = 'day', since = '2026-01-01', until = '2026-02-01', zone = 'Mars/Olympus'", "Mars/Olympus"),
        (
            "by = 'day', since = '2026-01-01', until = '2026-02-01'",
            "volvere.returns takes by, since, until, zone; missing: zone",
        ),
        ("per = 'day', since = '2026-01-01', until = '2026-02-01', zone = 'UTC'", "missing: by; unknown: per"),
        ("by = 'day', since = '2026-01-01', until = '2026-02-01', zone = 'UTC', queue = 'a'", "zone; unknown: queue"),
    ],
)
def test_a_wrong_question_is_told_clearly(table: Table, call: str, says: str) -> None:
    """Also where there is nothing to count yet, and without the engine's inner life."""
    for stored in (0, 1):
        table.touchpoints(*[{}] * stored)
        with pytest.raises(StoreProblem) as caught:
            query(table.client, f"SELECT * FROM volvere.returns({call})")
        text = str(caught.value)
        assert says in text
        assert "executing" not in text and "FUNCTION" not in text


def test_nothing_is_no_nought(table: Table) -> None:
    """An empty store and a range without contacts give no rows; a ratio over nothing is null."""
    assert metrics(table.client, "day") == {} == returns(table.client, "all")
    table.touchpoints({"contact_id": "c1"})
    assert metrics(table.client, "day", "since = '1999-01-01', until = '2000-01-01', zone = 'UTC'") == {}
    (row,) = metrics(table.client, "queue").values()
    assert (row["value"], row["contacts"], row["abandonment_rate"], row["handle_p90_ms"]) == (None, 1, None, None)
