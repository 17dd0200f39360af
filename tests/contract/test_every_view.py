"""Every view that analysts may read: held to a plain recomputation somewhere, and over one company with all kinds of trouble answered
the same to the byte before and after merging, after a replay of everything, and over HTTP.
"""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from clickhouse_connect.driver.client import Client

from schemas.errors import Unacceptable
from schemas.times import DAY, format_time
from sinks import dictionary, rows
from sinks.clickhouse import parameters_of, query
from tests.contract.conftest import TABLES, Table, touchpoint_row
from tests.contract.test_contacts_kept import fold
from tests.contract.test_metrics import Row, ask
from volvere.bench import questions
from volvere.simulator import Company

HERE = Path(__file__).parent
RECOMPUTED = {
    "touchpoints": "test_every_view.test_what_stands",
    "operations": "test_every_view.test_what_stands",
    "frictions": "test_every_view.test_what_stands",
    "journeys": "test_every_view.test_what_stands",
    "clock": "test_every_view.test_clock_and_short_contacts",
    "short_contacts": "test_every_view.test_clock_and_short_contacts",
    "contacts": "test_contacts_view.test_view_folds_as_the_kernel_does",
    "contact_metrics": "test_metrics.test_random_contacts",
    "returns": "test_metrics.test_random_contacts",
    "replies": "test_replies.test_replies",
    "channels": "test_entities.test_entities_of_a_company",
    "queues": "test_entities.test_entities_of_a_company",
    "topics": "test_entities.test_entities_of_a_company",
    "agents": "test_entities.test_entities_of_a_company",
    "releases": "test_entities.test_entities_of_a_company",
    "data_quality": "test_entities.test_quality_of_sources",
    "refusals": "test_entities.test_quality_of_sources",
    "surveys": "test_measures.test_surveys",
    "recoveries": "test_measures.test_recoveries",
    "feedback": "test_measures.test_feedback",
    "recovery": "test_measures.test_recoveries",
    "came_back": "test_measures.test_came_back",
    "churn": "test_measures.test_churn",
    "agent_attrition": "test_measures.test_agent_attrition",
    "assets": "test_measures.test_assets",
    "lifetime_value": "test_measures.test_lifetime_value",
    "funnel": "test_journey_views.test_funnels_of_few_who_do_much",
    "paths": "test_journey_views.test_paths_of_few_who_do_much",
    "retention": "test_journey_views.test_retention_of_few",
    "step_times": "test_journey_views.test_step_times_of_few_who_do_much",
    "customers": "test_journey_views.test_customers_of_whom_much_is_known",
    "gauge_reliability": "test_gauges.test_gauges_by_whatever",
    "gauge_process": "test_gauges.test_gauges_by_whatever",
    "gauge_what_matters": "test_gauges.test_gauges_by_whatever",
    "gauge_abandonment": "test_gauges.test_gauges_by_whatever",
    "friction_rates": "test_gauges.test_gauges_by_whatever",
    "gauge_maintenance": "test_gauges.test_maintenance",
    "gauge_alignment": "test_gauges.test_alignment",
    "gauge_feedback": "test_gauges.test_feedback",
    "gauge_upgrade": "test_gauges.test_upgrade_and_kinds",
    "friction_kinds": "test_gauges.test_upgrade_and_kinds",
}
"""Where each view is held to a slow, plain recomputation."""

COMPANY = Company(seed=5, customers=150, days=130, start=questions.START, contacts_per_day=0.04, untidy=0.3)
SPAN = "since = '2026-01-10', until = '2026-02-20'"
VALUES = {
    "since": "'2026-01-10'", "until": "'2026-02-20'", "steps": "['page.viewed', 'checkout.started', 'order.placed']",
    "from_kind": "'message.received'", "to_kind": "'message.sent'", "under_ms": "120000", "currency": "'EUR'",
}  # fmt: skip
MORE = ("by = 'weekday'", "by = 'agent'", "by = 'topic'", "what = 'kind'", "zone = 'Asia/Kathmandu'")
"""Other values that are asked of the views that take them."""
UNKNOWN = {
    "feedback": {"'weekday'"},
    "gauge_feedback": {"'weekday'"},
    "gauge_maintenance": {"'weekday'", "'topic'"},
}
"""What these views do not go by."""


def test_every_view_is_recomputed_somewhere() -> None:
    """A view that nobody has worked out by hand is a view that nobody knows to be right."""
    assert {f"volvere.{name}" for name in RECOMPUTED} == {n for n in dictionary.OBJECTS if n.startswith("volvere.")}
    for view, where in RECOMPUTED.items():
        module, _, name = where.partition(".")
        text = (HERE / f"{module}.py").read_text(encoding="utf-8")
        assert name in {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}, where
        assert f"volvere.{view}" in text or f'"{view}"' in text, (view, where)


def operations() -> Iterator[Row]:
    """What the company does meanwhile; of some of it a newer version, or a withdrawal."""
    for n in range(60):
        at = format_time(COMPANY.start + n * 2 * DAY)
        common = {"event_id": f"o{n}", "source": "hr", "customer_id": None, "channel": "internal", "occurred_at": at}
        agent = {"agent_id": f"A00{n % 5}"}
        yield (
            common
            | (
                {"kind": "agent.hired", **agent},
                {"kind": "agent.trained", **agent},
                {"kind": "agent.surveyed", "score": n % 11, "scale": "nps", **agent},
                {"kind": "release.deployed", "release": f"r{n}", "channel": "web"},
                {"kind": "channel.closed", "channel": "fax"},
                {"kind": "agent.left", **agent},
            )[n % 6]
        )
        if n % 7 == 0:
            yield common | {"kind": "agent.left", "version": 1, "cancelled": n % 2 == 0, **agent}


def fields(name: str, row: rows.Row) -> Row:
    """A row's values by their columns."""
    return dict(zip(rows.COLUMNS[name], row, strict=True))


@pytest.fixture(scope="module")
def told() -> dict[str, list[rows.Row]]:
    """Rows of the company by table: repeats, versions, cancellations, what came late, what was retracted, merged, or of an older generation."""
    out: dict[str, list[rows.Row]] = defaultdict(list)
    for name, row in questions.told(COMPANY):
        out[name].append(row)
    more: dict[str, list[Row]] = defaultdict(list)
    for name, key in (("frictions", "friction_id"), ("journeys", "journey_id")):
        for at, one in enumerate(map(partial(fields, name), out[name])):
            first = one["generation"] << 64
            if at % 5 == 0:  # what was said before
                more[name].append(
                    one | {"revision": 0, "_version": first, "state": "open" if key == "friction_id" else "active"}
                )
            if at % 7 == 0:  # what was taken back, or went into another
                gone = one | {key: UUID(int=at + 1) if key == "friction_id" else f"merged-{at}", "_version": first}
                more[name] += [gone, gone | {"_deleted": 1, "revision": 9, "_version": first | 9}]
            if at % 11 == 0:  # of a customer who was derived anew
                more[name].append(one | {"generation": one["generation"] + 1, "_version": first + (1 << 64)})
    for at, one in enumerate(map(partial(fields, "touchpoints"), out["touchpoints"])):
        if at % 13 == 0:  # corrected weeks later, the older version once more after it
            newer = {
                "version": one["version"] + 1,
                "topic": "corrected",
                "cancelled": at % 2 == 0,
                "_version": one["_version"] + (1 << 64),
            }
            more["touchpoints"] += [one | newer, one]
    for name, some in more.items():
        out[name] += [tuple(one[column] for column in rows.COLUMNS[name]) for one in some]
    out["operations"] = [touchpoint_row(**o) for o in operations()]
    for number, source in enumerate(("pbx", "fax", "", "pbx")):
        error = Unacceptable("invalid_field", "expected text", "kind")
        tail = rows.lineage("touchpoints", 0)(number, COMPANY.start)
        out["refused"].append(rows.refused(json.dumps({"source": source}).encode(), (), error, tail))
    return out


@pytest.fixture(scope="module")
def store(embedded: Client, told: dict[str, list[rows.Row]]) -> Table:
    """All of it, in parts that nobody has merged, a third of it twice."""
    embedded.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    for name in TABLES:
        embedded.command(f"TRUNCATE TABLE volvere_store.{name}")
        embedded.command(f"SYSTEM STOP MERGES volvere_store.{name}")
    table = Table(embedded)
    for name, lines in told.items():
        for part in (lines[::2], lines[1::2], lines[::3]):
            table.put(name, part)
    return table


def calls(client: Client) -> list[str]:
    """Every view, with the parameters that it takes, and with some others."""
    texts: Any = query(client, "SELECT name, create_table_query FROM system.tables WHERE database = 'volvere'")[1]
    out = []
    for name, text in sorted(texts):
        takes = parameters_of(text)
        given = {p: VALUES.get(p, dictionary.PARAMETERS[p][0]) for p in takes}
        variants = [given] + [given | {p: v} for p, _, v in (more.partition(" = ") for more in MORE) if p in takes]
        for values in (v for v in variants if v.get("by") not in UNKNOWN.get(name, ())):
            call = f"({', '.join(f'{p} = {v}' for p, v in values.items())})" if takes else ""
            columns = (
                "known_until" if name == "clock" else "*"
            )  # the others say what came last, and when contacts were folded
            out.append(f"SELECT {columns} FROM volvere.{name}{call}")
    return out


def answers(client: Client) -> dict[str, bytes]:
    """Each answer as it goes over the wire, its lines in order."""
    found = {sql: client.raw_query(sql, fmt="JSONEachRow") for sql in calls(client)}
    return {sql: b"\n".join(sorted(answer.splitlines())) for sql, answer in found.items()}


def test_what_stands(store: Table, told: dict[str, list[rows.Row]]) -> None:
    """Of everything the greatest version, without what was cancelled, retracted, merged, or is of an older generation."""
    keys = {
        "touchpoints": ("subject", "occurred_at", "source", "event_id"),
        "operations": ("subject", "occurred_at", "source", "event_id"),
        "frictions": ("kind", "friction_id"),
        "journeys": ("subject", "journey_id"),
    }
    said = {name: [fields(name, row) for row in some] for name, some in told.items()}
    generations: dict[str, int] = defaultdict(int)
    for row in said["frictions"] + said["journeys"]:
        generations[row["subject"]] = max(generations[row["subject"]], row["generation"])
    for name, key in keys.items():
        winners: dict[tuple[Any, ...], Row] = {}
        for row in said[name]:
            place = tuple(row[k] for k in key)
            if place not in winners or winners[place]["_version"] < row["_version"]:
                winners[place] = row
        standing = [
            row
            for row in winners.values()
            if not row.get("cancelled") and not row.get("_deleted")
            and row.get("generation", 0) == (generations[row["subject"]] if "generation" in row else 0)
        ]  # fmt: skip
        assert 0 < len(standing) < len(winners) < len(said[name])
        shown = {
            "touchpoints": ("event_id", "source", "customer_id", "kind", "topic", "version", "amount"),
            "operations": ("event_id", "source", "kind", "agent_id", "version"),
            "frictions": ("friction_id", "subject", "kind", "state", "severity", "revision", "generation"),
            "journeys": ("journey_id", "subject", "touchpoints", "frictions", "revision", "generation"),
        }[name]
        found = sorted(
            [str(v) for v in row] for row in query(store.client, f"SELECT {', '.join(shown)} FROM volvere.{name}")[1]
        )
        wanted = sorted([str(plain(column, row.get(column))) for column in shown] for row in standing)
        assert found == wanted, name


def plain(column: str, value: Any) -> Any:
    """Money with its four decimals."""
    return Decimal(value).quantize(Decimal("0.0001")) if column == "amount" and value is not None else value


def test_clock_and_short_contacts(store: Table, told: dict[str, list[rows.Row]]) -> None:
    """What is known goes to the newest touchpoint; of short and other answered contacts, who was back within the hour."""
    newest = max(
        min(t["occurred_at"], t["appended_at"]) for t in map(partial(fields, "touchpoints"), told["touchpoints"])
    )
    assert store.ask("SELECT toUnixTimestamp64Micro(known_until) FROM volvere.clock") == [(newest,)]
    contacts = [
        c for c in ask(store.client, "SELECT * FROM volvere.contacts") if f"{c['started_at']:%Y-%m-%d}" < "2026-02-20"
    ]
    contacts = [c for c in contacts if f"{c['started_at']:%Y-%m-%d}" >= "2026-01-10"]
    answered = [c for c in contacts if c["customer_id"] and c["answered_at"] and c["handle_ms"] is not None]
    everyone = ask(store.client, "SELECT customer_id, started_at FROM volvere.contacts WHERE attempt")
    found = ask(
        store.client,
        f"SELECT * FROM volvere.short_contacts(by = 'channel', {SPAN}, zone = 'UTC', under_ms = 200000, within_s = 864000)",
    )
    assert {row["value"] for row in found} == {c["channel"] for c in answered}
    assert sum(row["short_contacts"] for row in found) > 0 < sum(row["other_followed"] for row in found)
    for row in found:
        mine = [c for c in answered if c["channel"] == row["value"]]
        back = {
            id(c): any(
                x["customer_id"] == c["customer_id"]
                and 0 < (x["started_at"] - c["started_at"]).total_seconds() <= 864_000
                for x in everyone
            )
            for c in mine
        }
        short, other = ([c for c in mine if (c["handle_ms"] < 200_000) is is_short] for is_short in (True, False))
        assert (row["short_contacts"], row["short_followed"]) == (len(short), sum(back[id(c)] for c in short))
        assert (row["other_contacts"], row["other_followed"]) == (len(other), sum(back[id(c)] for c in other))


def test_merged_replayed_and_over_http_every_answer_is_the_same(
    store: Table, told: dict[str, list[rows.Row]], request: pytest.FixtureRequest
) -> None:
    """To the byte. Each says something, and the merges and the replay did something."""
    client = store.client
    http = request.getfixturevalue("http_client")
    first = answers(client)
    assert {sql for sql, answer in first.items() if not answer} == set()
    parts = "SELECT sum(rows) FROM system.parts WHERE active AND database = 'volvere_store' AND table IN ('touchpoints', 'frictions', 'journeys')"
    ((before,),) = store.ask(parts)
    assert differing(first, answers(http)) == []

    for name in TABLES:
        client.command(f"SYSTEM START MERGES volvere_store.{name}")
        client.command(f"OPTIMIZE TABLE volvere_store.{name} FINAL")
    fold(store, ago=600)
    ((merged,),) = store.ask(parts)
    assert merged < before
    assert differing(first, answers(http)) == []

    for name, lines in told.items():
        store.put(name, lines[::-1])
    assert differing(first, answers(client)) == []


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """The questions that are answered otherwise."""
    return [sql for sql in one.keys() | other.keys() if one.get(sql) != other.get(sql)]
