"""What is told of channels, queues, topics, agents, releases and sources, against plain recomputations."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.errors import Unacceptable
from schemas.kinds import KINDS
from schemas.times import DAY, SECOND, format_time, parse_time
from sinks import rows
from sinks.clickhouse import StoreProblem, query
from tests.contract.conftest import Table, tail, touchpoint_row
from tests.contract.test_clickhouse import friction
from tests.contract.test_metrics import Row, ask, mean, quantile
from volvere.simulator import Company

BEGIN = parse_time("2026-03-02T00:00:00Z")
FORTNIGHT = timedelta(days=14)
VIEWS = {"channels": "channel", "queues": "queue", "topics": "topic", "agents": "agent_id", "releases": "release"}
COUNTED = ("touchpoints", "operations", "frictions")


def at(text: str) -> datetime:
    """A time as ClickHouse gives it: UTC, without saying so."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def unlike(found: Row, wanted: Row) -> Row:
    """By column what is not as it should be: (found, wanted). Numbers may differ in the last digits."""
    return {
        name: (found[name], value)
        for name, value in wanted.items()
        if found[name] != (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
    }


def newest(sent: list[Row]) -> list[Row]:
    """Of each event its newest version, without cancelled ones."""
    versions = {(t["source"], t["event_id"]): t for t in sorted(sent, key=lambda t: t.get("version", 0))}
    return [t for t in versions.values() if not t.get("cancelled")]


def touchpoints(dice: random.Random) -> list[Row]:
    """A small company's month; some of it on a release, some withdrawn, some of kinds that nobody knows."""
    company = Company(seed=dice.randrange(1000), customers=60, days=40, start=BEGIN, contacts_per_day=0.1)
    sent = []
    for number, fields in enumerate(company.touchpoints()):
        changed = fields | {"release": dice.choice([None, None, "r1", "r2", "never-deployed"])}
        if dice.random() < 0.02:
            changed["kind"] = "coffee.made"
        sent.append(changed)
        if dice.random() < 0.05:
            sent.append(changed | {"version": 7 + number, "cancelled": dice.random() < 0.5, "queue": "corrected"})
    return sent


def operations(dice: random.Random, starts: list[str]) -> list[Row]:
    """What the company did, often at the same moment; releases just a fortnight from somebody's contact, too."""
    sent = []
    for number in range(250):
        kind = dice.choice(KINDS["operations"])
        fields: Row = {
            "source": dice.choice(["hr", "ci"]),
            "event_id": f"o-{number}",
            "customer_id": None,
            "kind": kind,
        }
        when = parse_time(dice.choice(starts)) + dice.choice([-14, 0, 14]) * DAY
        fields |= {"occurred_at": format_time(when), "channel": dice.choice(["voice", "fax", "internal"])}
        if kind.startswith("agent."):
            fields["agent_id"] = dice.choice(["A000", "A001", "A002", "trainee"])
            if dice.random() < 0.5:
                fields["occurred_at"] = format_time(BEGIN + 60 * DAY)
        if kind == "agent.surveyed":
            fields |= {"score": dice.choice([None, None, 1, 2, 3, 4.5]), "scale": dice.choice([None, "csat5"])}
        if kind == "release.deployed":
            fields["release"] = dice.choice(["r1", "r2", "unused", None])
        for name, values in (("queue", ["billing", "night"]), ("topic", ["billing", "law"])):
            if dice.random() < 0.3:
                fields[name] = dice.choice(values)
        sent.append(fields)
        if dice.random() < 0.2:
            sent.append(fields | {"version": 1, "cancelled": dice.random() < 0.5, "queue": "corrected"})
    return sent


def frictions(dice: random.Random, starts: list[str]) -> list[Row]:
    """Frictions of both modes, some of them retracted later, in all places."""
    sent = []
    places: dict[str, list[Any]] = {
        "channel": ["voice", "web", "letter", None], "queue": ["billing", "vip", None], "topic": ["billing", "spam", None],
        "agent_id": ["A001", "A004", "ghost", None], "release": ["r1", "r9", None],
    }  # fmt: skip
    for number in range(150):
        opened = format_time(parse_time(dice.choice(starts)) + dice.choice([-14, 0, 14]) * DAY)
        rule = {"id": "x", "digest": "0" * 16, "mode": dice.choice(["live", "live", "shadow"])}
        told: Row = {"friction_id": str(UUID(int=number + 1)), "opened_at": opened, "rule": rule}
        told |= {name: dice.choice(values) for name, values in places.items()}
        sent.append(friction(**told))
        if dice.random() < 0.2:
            sent.append(friction(**told | {"revision": 2, "state": dice.choice(["resolved", "retracted"])}))
    return sent


def standing(sent: list[Row]) -> list[Row]:
    """The data of live frictions that were not retracted."""
    last = {f["data"]["friction_id"]: f["data"] for f in sorted(sent, key=lambda f: f["data"]["revision"])}
    return [f for f in last.values() if f["rule"]["mode"] == "live" and f["state"] != "retracted"]


def by(found: list[Row], name: str) -> dict[str, list[Row]]:
    """Rows by what they name; those that name nothing are left out."""
    out: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        if row.get(name) is not None:
            out[row[name]].append(row)
    return out


def last(found: list[Row], kind: str) -> datetime | None:
    """When something was done last."""
    return max((at(o["occurred_at"]) for o in found if o["kind"] == kind), default=None)


def counted(name: str, said: list[Row], contacts: list[Row], felt: list[Row], done: list[Row]) -> dict[str, Row]:
    """The rows of a view by their names, in plain words: touchpoints, contacts, live frictions, operations."""
    if name == "channel":
        done = [o for o in done if o["kind"].startswith("channel.")]
    parts = [by(some, name) for some in (said, contacts, felt, done)]
    out: dict[str, Row] = {}
    for value in set().union(*parts):
        s, c, f, o = (part.get(value, []) for part in parts)
        times = [at(t["occurred_at"]) for t in s]
        starts = [x["started_at"] for x in c]
        handled = sorted(x["handle_ms"] for x in c if x["handle_ms"] is not None)
        surveys = [x for x in o if x["kind"] == "agent.surveyed" and x.get("score") is not None]
        survey: Row = max(surveys, key=lambda x: (at(x["occurred_at"]), x["source"], x["event_id"]), default={})
        out[value] = {
            "touchpoints": len(s),
            "first_at": min(times, default=None),
            "last_at": max(times, default=None),
            "contacts": len(c),
            "attempts": sum(x["attempt"] for x in c),
            "answered": sum(x["answered_at"] is not None for x in c),
            "abandoned": sum(x["abandoned"] for x in c),
            "frictions": len(f),
            "first_contact_at": min(starts, default=None),
            "last_contact_at": max(starts, default=None),
            "handle_mean_ms": mean(handled),
            "handle_p90_ms": quantile(handled, 0.9),
            "closed_at": last(o, "channel.closed"),
            "opened_at": last(o, "channel.opened"),
            "hired_at": last(o, "agent.hired"),
            "left_at": last(o, "agent.left"),
            "trained_at": last(o, "agent.trained"),
            "surveyed_at": at(survey["occurred_at"]) if survey else None,
            "survey_score": survey.get("score"),
            "survey_scale": survey.get("scale"),
            "deployed_at": min((at(x["occurred_at"]) for x in o if x["kind"] == "release.deployed"), default=None),
        }
    return out


def around(deployed: datetime | None, contacts: list[Row], felt: list[Row], known_until: datetime) -> Row:
    """The fortnights before and after a deployment."""
    what = ("contacts", "frictions", "frictions_per_1000")
    if deployed is None:
        unknown: Row = dict.fromkeys(f"{name}_{side}" for name in what for side in ("before", "after"))
        return unknown | {"after_passed": False}
    out: Row = {"after_passed": deployed + FORTNIGHT <= known_until}
    for side, since, until in (("before", deployed - FORTNIGHT, deployed), ("after", deployed, deployed + FORTNIGHT)):
        c = sum(since <= x["started_at"] < until for x in contacts)
        f = sum(since <= at(x["opened_at"]) < until for x in felt)
        out |= {
            f"contacts_{side}": c,
            f"frictions_{side}": f,
            f"frictions_per_1000_{side}": 1000 * f / c if c else None,
        }
    return out


@pytest.mark.parametrize("seed", range(2))
def test_entities_of_a_company(table: Table, seed: int) -> None:
    """Each view is what plain words give over what was sent; before and after merging, and told twice."""
    dice = random.Random(seed)
    said = touchpoints(dice)
    starts = [t["occurred_at"] for t in said if t["kind"] == "contact.started"]
    done = operations(dice, starts)
    deployed = [o["occurred_at"] for o in done if o["kind"] == "release.deployed"]
    felt = frictions(dice, starts[:20] + deployed)
    lines = {
        "touchpoints": [touchpoint_row(**t) for t in said],
        "operations": [touchpoint_row(**o) for o in done],
        "frictions": [rows.friction(json.dumps(f).encode(), tail("frictions")) for f in felt],
    }
    for name in COUNTED:  # in two parts, which nobody has merged yet
        table.put(name, lines[name][::2])
        table.put(name, lines[name][1::2])
    contacts = ask(table.client, "SELECT * FROM volvere.contacts")
    known_until = max(at(t["occurred_at"]) for t in said)
    assert len(contacts) > 100
    assert {o["event_id"]: o for o in newest(done)}.keys() == {
        row[0] for row in table.ask("SELECT event_id FROM volvere.operations")
    }
    for again in (False, True):
        for view, name in VIEWS.items():
            wanted = counted(name, newest(said), contacts, standing(felt), newest(done))
            found = {row[name]: row for row in ask(table.client, f"SELECT * FROM volvere.{view}")}
            assert found.keys() == wanted.keys()
            for value, row in found.items():
                if view == "releases":
                    wanted[value] |= around(wanted[value]["deployed_at"], contacts, standing(felt), known_until)
                expected = {column: wanted[value][column] for column in row if column != name}
                assert unlike(row, expected) == {}, (view, value)
        if not again:
            for name in COUNTED:
                table.put(name, lines[name][::-1])
                table.client.command(f"OPTIMIZE TABLE volvere_store.{name} FINAL")


def test_what_only_operations_name(table: Table) -> None:
    """A channel that nobody has used yet is one; what was done on none, and what was cancelled, makes none."""
    told: list[Row] = [
        {"event_id": "1", "kind": "channel.closed", "channel": "fax"},
        {"event_id": "2", "kind": "agent.hired", "channel": "internal", "agent_id": "a-1"},
        {"event_id": "3", "kind": "release.deployed", "channel": "internal", "release": "r1"},
        {"event_id": "4", "kind": "release.deployed", "channel": "internal", "release": "r2", "cancelled": True},
    ]
    table.put("operations", [touchpoint_row(**o | {"customer_id": None}) for o in told])
    assert [row[0] for row in table.ask("SELECT channel FROM volvere.channels")] == ["fax"]
    assert [row[0] for row in table.ask("SELECT agent_id FROM volvere.agents")] == ["a-1"]
    release = table.one("SELECT * FROM volvere.releases")
    assert (release["release"], release["contacts_before"], release["frictions_per_1000_before"]) == ("r1", 0, None)
    assert release["after_passed"] is False, "nothing is known yet of what came after"


def test_a_fortnight_passes(table: Table) -> None:
    """What comes up to a fortnight after a deployment belongs to it, and just then nothing can be added any more."""
    deployed = {"event_id": "d", "customer_id": None, "kind": "release.deployed", "channel": "web", "release": "r1"}
    table.put("operations", [touchpoint_row(**deployed, occurred_at=format_time(BEGIN))])
    for number, (when, contacts, passed) in enumerate([(0, 1, False), (14 * DAY - 1, 2, False), (14 * DAY, 2, True)]):
        table.touchpoints({"event_id": f"e{number}", "occurred_at": format_time(BEGIN + when)})
        release = table.one("SELECT contacts_before, contacts_after, after_passed FROM volvere.releases")
        assert release == {"contacts_before": 0, "contacts_after": contacts, "after_passed": passed}


def test_nothing_is_nobody(table: Table) -> None:
    """An empty store has no channels, agents, sources; a touchpoint that names nothing has its channel alone."""
    views = [*VIEWS, "data_quality", "operations"]
    assert [table.ask(f"SELECT * FROM volvere.{view}") for view in views] == [[]] * len(views)
    table.touchpoints({"kind": "page.viewed"})
    assert [len(table.ask(f"SELECT * FROM volvere.{view}")) for view in VIEWS] == [1, 0, 0, 0, 0]
    with pytest.raises(StoreProblem, match="of: expected channel, queue, topic, agent or release"):
        query(table.client, "SELECT * FROM volvere_store.entities(of = 'team')")


# Sources


def test_kinds_are_those_of_the_one_list(table: Table) -> None:
    """What SQL calls unknown is what nobody knows."""
    assert table.ask("SELECT family, kind FROM volvere_store.kinds ORDER BY ALL") == sorted(
        (family, kind) for family, kinds in KINDS.items() for kind in kinds
    )


@pytest.mark.parametrize("seed", range(2))
def test_quality_of_sources(table: Table, seed: int) -> None:
    """What each source leaves out and how late it tells, as plain words give it; before and after merging, and told twice."""
    dice = random.Random(seed)
    said = touchpoints(dice)
    for t in said:
        which = sum(t["event_id"].encode())  # all versions of an event have one source, and one subject
        t["source"] = ("pbx", "web", "crm")[which % 3]
        if which % 10 == 0:
            t |= {"contact_id": None, "topic": None}
    said.append(said[0] | {"source": "withdrawn", "cancelled": True})
    delays = [
        dice.choice([0, 1, 1_500_000, 60 * SECOND, -SECOND, DAY, 7 * DAY - 400]) + number for number in range(len(said))
    ]
    arrived = [parse_time(t["occurred_at"]) + delay for t, delay in zip(said, delays, strict=True)]
    lines = [
        rows.touchpoint(json.dumps(t).encode(), when, (), rows.lineage("touchpoints", 0)(number, when))
        for number, (t, when) in enumerate(zip(said, arrived, strict=True))
    ]
    table.put("touchpoints", lines[::2])
    table.put("touchpoints", lines[1::2])
    known = {kind for kinds in KINDS.values() for kind in kinds}
    versions = {(t["source"], t["event_id"]): (t, d) for t, d in zip(said, delays, strict=True)}
    errors = [
        Unacceptable("invalid_field", "", "occurred_at"),
        Unacceptable("not_json", ""),
        Unacceptable("future", "", "due_at"),
    ]
    refused = [
        (dice.choice(["web", "crm", "fax", ""]), dice.choice(errors), DAY * dice.randrange(90)) for _ in range(60)
    ]
    bad = [
        rows.refused(
            json.dumps({"source": source}).encode(), (), error, rows.lineage("touchpoints", 1)(number, BEGIN + when)
        )
        for number, (source, error, when) in enumerate(refused)
    ]
    table.put("refused", bad[::2])
    table.put("refused", bad[1:])  # some of them told twice
    for again in (False, True):
        found = {row["source"]: row for row in ask(table.client, "SELECT * FROM volvere.data_quality")}
        assert found.keys() == {"pbx", "web", "crm", "withdrawn", "fax", ""}
        for source, row in found.items():
            mine = [(t, d) for (s, _), (t, d) in versions.items() if s == source]
            told = [t for t, _ in mine if not t.get("cancelled")]
            late = sorted(d for t, d in mine if not t.get("cancelled"))
            times = [at(t["occurred_at"]) for t in told]
            wanted: Row = {
                "touchpoints": len(told),
                "cancelled": len(mine) - len(told),
                "refused": sum(by == source for by, *_ in refused),
                "unknown_kinds": sum(t["kind"] not in known for t in told),
                "without_customer": sum(t["customer_id"] is None for t in told),
                "without_topic": sum(t.get("topic") is None for t in told),
                "without_contact": sum(t["kind"].startswith("contact.") and t.get("contact_id") is None for t in told),
                "late": sum(d > 7 * DAY for d in late),
                "delay_p50_s": None if not late else (quantile(late, 0.5) or 0) / SECOND,
                "delay_p99_s": None if not late else (quantile(late, 0.99) or 0) / SECOND,
                "first_at": min(times, default=None),
                "last_at": max(times, default=None),
            }
            assert row.keys() - {"source"} == wanted.keys()
            assert unlike(row, wanted) == {}, source
        refusals = {
            (r["source"], r["reason"], r["field"]): r for r in ask(table.client, "SELECT * FROM volvere.refusals")
        }
        assert refusals.keys() == {(source, e.reason, e.field) for source, e, _ in refused}
        for (source, reason, field), row in refusals.items():
            when_refused = [
                BEGIN + when for by, e, when in refused if (by, e.reason, e.field) == (source, reason, field)
            ]
            wanted = {
                "refused": len(when_refused),
                "first_refused_at": at(format_time(min(when_refused))),
                "last_refused_at": at(format_time(max(when_refused))),
            }
            assert unlike(row, wanted) == {}
        if not again:
            assert sum(row["unknown_kinds"] for row in found.values()) > 0
            table.put("refused", bad[::-1])
            table.client.command("OPTIMIZE TABLE volvere_store.refused FINAL")
            table.put("touchpoints", lines[::-1])
            table.client.command("OPTIMIZE TABLE volvere_store.touchpoints FINAL")
