"""The views of the check-up, each against a plain recomputation over a small company with all kinds of trouble."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.client import Client

from schemas.times import DAY, format_time, parse_time
from sinks import rows
from sinks.clickhouse import StoreProblem, query
from streams.detectors import DETECTORS
from tests.contract.conftest import Table, tail, touchpoint_row
from tests.contract.test_clickhouse import friction
from tests.contract.test_entities import at, newest, standing, unlike
from tests.contract.test_measures import hurts, low, subject
from tests.contract.test_metrics import Row, ask, counted, mean, returned
from volvere.simulator import Company

BEGIN = parse_time("2025-03-03T00:00:00Z")
ZONE = ZoneInfo("Europe/Madrid")
SINCE, UNTIL = (datetime.fromisoformat(day) for day in ("2025-03-08", "2025-05-25"))
RANGE = f"since = '{SINCE:%Y-%m-%d}', until = '{UNTIL:%Y-%m-%d}', zone = '{ZONE}'"
BYS = {
    "all": (),
    "queue": (),
    "week": ("process",),
    "channel": ("process",),
    "topic": ("process",),
    "agent": ("process",),
}
"""What is counted by, and for which gauges (none: for all); what a place is, all take from the same three views."""
COLUMN = {"channel": "channel", "queue": "queue", "topic": "topic", "agent": "agent_id"}
KINDS = [d.kind for d in DETECTORS]


class Firm:
    """What was told of a company, in plain rows: touchpoints, contacts, live frictions, operations that stand."""

    def __init__(self, table: Table, seed: int) -> None:
        dice = random.Random(seed)
        self.table = table
        said = self._said(seed, dice)
        starts = [t["occurred_at"] for t in said if t["kind"] == "contact.started"]
        felt, done = self._felt(dice, starts), self._done(dice, seed, starts)
        lines = {
            "touchpoints": [touchpoint_row(**t) for t in said],
            "operations": [touchpoint_row(**o) for o in done],
            "frictions": [rows.friction(json.dumps(f).encode(), tail("frictions")) for f in felt],
        }
        for name, some in lines.items():  # in two parts, which nobody has merged yet
            table.put(name, some[::2])
            table.put(name, some[1::2])
        self.said, self.done, self.felt = newest(said), newest(done), standing(felt)
        self.contacts = ask(table.client, "SELECT * FROM volvere.contacts")
        self.known_until = max(at(t["occurred_at"]) for t in said)

    @staticmethod
    def _said(seed: int, dice: random.Random) -> list[Row]:
        sent = []
        for number, fields in enumerate(
            Company(seed=seed, customers=60, days=90, start=BEGIN, contacts_per_day=0.1).touchpoints()
        ):
            told = fields | ({"queue": fields["topic"]} if fields["kind"].startswith(("survey", "complaint")) else {})
            if told["kind"] == "request.denied" and dice.random() < 0.3:
                told["reason"] = dice.choice(["policy", "fraud", None])
            if told["kind"] == "survey.answered" and dice.random() < 0.5:
                told["score"] = dice.choice([0, 1, 1, 11])
            sent.append(told)
            if dice.random() < 0.05:
                sent.append(told | {"version": 1 + number, "cancelled": dice.random() < 0.5, "queue": "corrected"})
        return sent

    @staticmethod
    def _felt(dice: random.Random, starts: list[str]) -> list[Row]:
        places: dict[str, list[Any]] = {
            "channel": ["voice", "web", None], "queue": ["billing", "card", None], "topic": ["billing", "spam", None],
            "agent_id": ["A001", "A004", None], "contact_id": ["c1", "c2", "c3", None], "subject": ["ana", "ben"],
        }  # fmt: skip
        sent = []
        for number in range(600):
            kind = dice.choice([*KINDS, "slow_reply", "rigid_process"])
            told: Row = {
                "friction_id": str(UUID(int=number + 1)),
                "kind": kind,
                "opened_at": format_time(parse_time(dice.choice(starts)) + dice.choice([-10, 0, 10]) * DAY),
                "rule": {"id": kind, "digest": "0" * 16, "mode": dice.choice(["live", "live", "live", "shadow"])},
                "severity": dice.choice(["info", "warning", "error", "critical"]),
                "threshold": {"value": 1, "unit": dice.choice(["denials", "askings"])},
            }
            told |= {name: dice.choice(values) for name, values in places.items()}
            told["customer_id"] = told["subject"]
            sent.append(friction(**told))
            if dice.random() < 0.6:
                state = dice.choice(["resolved", "resolved", "retracted"])
                sent.append(
                    friction(**told | {"revision": 2, "state": state, "reason": dice.choice(["replied", "expired"])})
                )
        return sent

    @staticmethod
    def _done(dice: random.Random, seed: int, starts: list[str]) -> list[Row]:
        told = [
            o | ({"queue": None} if o["kind"] == "agent.surveyed" and dice.random() < 0.5 else {})
            for o in Company(seed=seed, customers=60, days=90, start=BEGIN).operations()
        ]
        for number in range(40):  # at the very moments of contacts, withdrawn, on scales that nobody knows
            kind = dice.choice(["agent.trained", "agent.surveyed", "channel.closed", "release.deployed"])
            more: Row = {
                "source": "hr",
                "event_id": f"o{number}",
                "customer_id": None,
                "kind": kind,
                "channel": "voice",
            }
            more |= {"occurred_at": dice.choice(starts), "agent_id": dice.choice(["A001", "A002", "ghost", None])}
            more |= {"release": dice.choice(["r1", "r2"]) if kind == "release.deployed" else None}
            if kind == "agent.surveyed":
                more |= {
                    "score": dice.choice([0, 3, 7, 11, None]),
                    "scale": dice.choice(["nps", "ces7", "stars", None]),
                }
            told += [more, more | {"version": 1, "cancelled": True}] if dice.random() < 0.2 else [more]
        return told

    def felt_of(self, since: datetime = SINCE, until: datetime = UNTIL) -> list[Row]:
        """Live frictions that opened in a time."""
        return [f for f in self.felt if since <= at(f["opened_at"]) < until]

    def contacts_of(self, since: datetime = SINCE, until: datetime = UNTIL) -> list[Row]:
        """Contacts that started in a time."""
        return [c for c in self.contacts if since <= c["started_at"] < until]


@pytest.fixture
def firm(table: Table) -> Firm:
    """A company, stored."""
    return Firm(table, 1)


def monday(when: datetime) -> str:
    """The Monday of a moment's week, on the company's clock."""
    day = when.replace(tzinfo=UTC).astimezone(ZONE).date()
    return str(day - timedelta(days=day.weekday()))


def split(things: Iterable[Row], by: str, when: Callable[[Row], datetime]) -> dict[Any, list[Row]]:
    """Things by what `by` names."""
    out: dict[Any, list[Row]] = defaultdict(list)
    for thing in things:
        out["all" if by == "all" else monday(when(thing)) if by == "week" else thing.get(COLUMN[by])].append(thing)
    return out


def over(part: float, whole: float, times: float = 1) -> float | None:
    """A share; None over nothing."""
    return times * part / whole if whole else None


def within(things: list[Row], when: Callable[[Row], datetime]) -> list[Row]:
    """Those of the time asked for."""
    return [thing for thing in things if SINCE <= when(thing) < UNTIL]


def due(t: Row) -> datetime:
    """When a touchpoint counts."""
    return at(t["due_at"] if t["kind"] == "promise.made" else t["occurred_at"])


TOLD = (
    "promise.made request.granted request.denied case.resolved contact.refused message.received referral.made "
    "subscription.cancelled account.closed"
).split()


def plain(firm: Firm, c: list[Row], t: list[Row], f: list[Row], o: list[Row]) -> dict[str, Row]:
    """The gauges that count by queue, topic, ..., in plain words."""
    kinds: dict[str, int] = defaultdict(int)
    for thing in t:
        kinds[thing["kind"]] += 1
    for thing in f:
        kinds[thing["kind"]] += 1
    contacts, answered = len(c), sum(x["answered_at"] is not None for x in c)
    fcr = {name: returned(c, firm.contacts, w, firm.known_until) for name, w in WINDOWS.items()}
    waits = counted(c)
    timed = [x for x in c if x["customer_id"] and x["answered_at"] and x["handle_ms"] is not None]
    short, others = ([x for x in timed if (x["handle_ms"] < 10_000) is yes] for yes in (True, False))

    def followed(some: list[Row]) -> int:
        return sum(x["seconds_to_attempt"] is not None and x["seconds_to_attempt"] <= 3600 for x in some)

    short_rate, other_rate = over(followed(short), len(short)), over(followed(others), len(others))
    denied, decided = kinds["request.denied"], kinds["request.denied"] + kinds["request.granted"]
    asked_again = sum(x["kind"] == "rigid_process" and x["threshold"]["unit"] != "denials" for x in f)
    slow = [x for x in f if x["kind"] == "slow_reply"]
    talks = {(x["customer_id"], x["contact_id"]) for x in t if x["kind"] == "message.received" and x["contact_id"]}
    slow_talks = {(x["customer_id"], x["contact_id"]) for x in slow if x["contact_id"]}
    refused = sum(x["kind"] == "contact.refused" and x.get("reason") == "channel_closed" for x in t)
    transferred = sum(x["transfers"] > 0 for x in c)
    return {
        "gauge_reliability": {
            "contacts": contacts,
            "answered": answered,
            **{f"{name}_of": row["fcr_of"] for name, row in fcr.items()},
            **{name: row["fcr"] for name, row in fcr.items()},
            "promises_due": kinds["promise.made"],
            "broken_promises": kinds["broken_promise"],
            "broken_share": over(kinds["broken_promise"], kinds["promise.made"]),
            "dropped_calls": kinds["dropped_call"],
            "dropped_per_100": over(kinds["dropped_call"], answered, 100),
            "lemons": kinds["lemon"],
        },
        "gauge_process": {
            "contacts": contacts,
            "answered": answered,
            "requests_decided": decided,
            "requests_denied": denied,
            "denial_rate": over(denied, decided),
            "denied_by_policy": sum(x["kind"] == "request.denied" and x.get("reason") == "policy" for x in t),
            "transferred": transferred,
            "transfer_rate": over(transferred, answered),
            "loops": kinds["transfer_loop"],
            "loops_per_100": over(kinds["transfer_loop"], contacts, 100),
            "asked_again": asked_again,
            "asked_again_per_100": over(asked_again, contacts, 100),
            "cases_resolved": kinds["case.resolved"],
            "reopened_cases": kinds["reopened_case"],
            "reopened_share": over(kinds["reopened_case"], kinds["case.resolved"]),
            "hops": kinds["channel_hop"],
            "hops_per_100": over(kinds["channel_hop"], contacts, 100),
        },
        "gauge_what_matters": {
            "contacts": contacts,
            "referrals": kinds["referral.made"],
            "cancellations": kinds["subscription.cancelled"] + kinds["account.closed"],
            "handle_mean_ms": mean(x["handle_ms"] for x in timed),
            "short_contacts": len(short),
            "other_contacts": len(others),
            "timed_contacts": len(timed),
            "short_share": over(len(short), len(timed)),
            "short_followed": followed(short),
            "short_return_rate": short_rate,
            "other_followed": followed(others),
            "other_return_rate": other_rate,
            "times_as_often": over(short_rate or 0, other_rate or 0) if short else None,
        },
        "gauge_abandonment": {
            "contacts": contacts,
            "queued": waits["queued"],
            "abandoned_in_queue": waits["abandoned_in_queue"],
            "short_abandons": waits["short_abandons"],
            "patient": waits["queued"] - waits["short_abandons"],
            "abandonment_rate": waits["abandonment_rate"],
            "offered": waits["offered"],
            "answered_in_time": waits["answered_in_time"],
            "service_level": waits["service_level_abandons_negative"],
            "closings": len(o),
            "refused": refused,
            "refused_per_100": over(refused, contacts, 100),
            "conversations": len(talks),
            "slow_conversations": len(slow_talks),
            "slow_share": over(len(slow_talks), len(talks)),
            "unanswered": sum(x["state"] == "open" or x["reason"] != "replied" for x in slow),
        },
    }


GAUGES = ["gauge_reliability", "gauge_process", "gauge_what_matters", "gauge_abandonment"]
WINDOWS = {"fcr_24h": 86_400, "fcr_7d": 604_800, "fcr_30d": 2_592_000}


def close(found: Row, wanted: Row) -> Row:
    """By column what is not as it should be."""
    assert found.keys() - {"value"} == wanted.keys()
    return unlike(found, wanted)


def test_gauges_by_whatever(firm: Firm) -> None:
    """What works the first time, what the process does to people, what is counted, who is abandoned: by all that they go by."""
    closings = [o for o in firm.done if o["kind"] == "channel.closed"]
    told = [
        t
        for t in firm.said
        if t["kind"] in TOLD and (t["kind"] != "promise.made" or (t.get("due_at") and due(t) < firm.known_until))
    ]
    for by, only in BYS.items():
        parts = [
            split(firm.contacts_of(), by, lambda c: c["started_at"]),
            split(within(told, due), by, due),
            split(firm.felt_of(), by, lambda f: at(f["opened_at"])),
            split(within(closings, due), by, due),
        ]
        values = set().union(*parts)
        wanted = {value: plain(firm, *(part.get(value, []) for part in parts)) for value in values}
        for view in [f"gauge_{name}" for name in only] or GAUGES:
            found = {
                row["value"]: row
                for row in ask(firm.table.client, f"SELECT * FROM volvere.{view}(by = '{by}', {RANGE})")
            }
            assert found.keys() == values, (view, by)
            for value, row in found.items():
                assert close(row, wanted[value][view]) == {}, (view, by, value)
        rates = f"SELECT * FROM volvere.friction_rates(by = '{by}', {RANGE})"
        for row in () if only else ask(firm.table.client, rates):
            c, f = (len(parts[n].get(row["value"], [])) for n in (0, 2))
            assert close(row, {"contacts": c, "frictions": f, "frictions_per_1000": over(f, c, 1000)}) == {}


def test_maintenance(firm: Firm) -> None:
    """How long before each contact and friction its agent was trained last; a training at that very moment counts."""
    trained = [o for o in firm.done if o["kind"] == "agent.trained" and o.get("agent_id")]
    happened = [(c["started_at"], c["agent_id"], c["queue"], 1) for c in firm.contacts_of() if c["agent_id"]]
    happened += [(at(f["opened_at"]), f["agent_id"], f["queue"], 0) for f in firm.felt_of() if f["agent_id"]]
    known: list[tuple[Row, int, float | None]] = []
    for when, agent, queue, contact in happened:
        before = [at(o["occurred_at"]) for o in trained if o["agent_id"] == agent and at(o["occurred_at"]) <= when]
        days = (when - max(before)) / timedelta(days=1) if before else None
        bucket = "never" if days is None else next((n for n, d in BUCKETS.items() if days <= d), "181+")
        values = {"all": "all", "week": monday(when), "queue": queue, "agent": agent, "training": bucket}
        known.append((values, contact, days))
    for by in ("all", "week", "queue", "agent", "training"):
        groups: dict[Any, list[tuple[int, float | None]]] = defaultdict(list)
        for values, contact, days in known:
            groups[values[by]].append((contact, days))
        sql = f"SELECT * FROM volvere.gauge_maintenance(by = '{by}', {RANGE})"
        found = {row["value"]: row for row in ask(firm.table.client, sql)}
        assert found.keys() == groups.keys()
        for value, members in groups.items():
            assert close(found[value], tuned(members)) == {}, (by, value)
    assert sum(contact and days is not None for _, contact, days in known) > 10


def tuned(members: list[tuple[int, float | None]]) -> Row:
    """volvere.gauge_maintenance in plain words: (1 for a contact, 0 for a friction; days since the agent's training)."""
    contacts = [days for contact, days in members if contact]
    felt = [days for contact, days in members if not contact]
    lately = sum(days is not None and days <= 90 for days in contacts)
    return {
        "contacts": len(contacts),
        "frictions": len(felt),
        "frictions_per_100": over(len(felt), len(contacts), 100),
        "days_since_training": mean(days for days in contacts if days is not None),
        "contacts_trained": lately,
        "trained_share": over(lately, len(contacts)),
        "frictions_trained": sum(days is not None and days <= 90 for days in felt),
    }


BUCKETS = {"0-30": 30, "31-90": 90, "91-180": 180}
LEAST = {"nps": (0, 10), "csat5": (1, 5), "ces7": (1, 7)}


def part(thing: Row) -> float | None:
    """A score as 0 (worst) to 1 (best); None if it is none."""
    if thing.get("scale") not in LEAST or thing.get("score") is None:
        return None
    worst, best = LEAST[thing["scale"]]
    return (thing["score"] - worst) / (best - worst) if worst <= thing["score"] <= best else None


def test_alignment(firm: Firm) -> None:
    """Teams' weeks: who is asked without a queue belongs to the queue of most of their contacts."""
    theirs: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for c in firm.contacts:
        if c["agent_id"] and c["queue"]:
            theirs[c["agent_id"]][c["queue"]] += 1
    team = {agent: max(queues, key=lambda q: (queues[q], q)) for agent, queues in theirs.items()}
    cells: dict[tuple[str, date], Row] = defaultdict(
        lambda: {"employee": [], "customer": [], "contacts": 0, "frictions": 0}
    )

    def cell(queue: str | None, when: datetime) -> Row:
        known = queue and SINCE <= when < UNTIL
        return cells[queue, date.fromisoformat(monday(when))] if known and queue else {"employee": [], "customer": []}

    for o in (o for o in firm.done if o["kind"] == "agent.surveyed"):
        cell(o.get("queue") or team.get(o.get("agent_id") or ""), at(o["occurred_at"]))["employee"].append(part(o))
    for t in (t for t in firm.said if t["kind"] == "survey.answered"):
        cell(t.get("queue"), at(t["occurred_at"]))["customer"].append(part(t))
    for c in firm.contacts_of():
        if c["queue"]:
            cell(c["queue"], c["started_at"])["contacts"] += 1
    for f in firm.felt_of():
        if f["queue"]:
            cell(f["queue"], at(f["opened_at"]))["frictions"] += 1
    found = {
        (row["queue"], row["week"]): row
        for row in ask(firm.table.client, f"SELECT * FROM volvere.gauge_alignment({RANGE})")
    }
    assert found.keys() == cells.keys()
    for key, told in cells.items():
        scores = {who: [s for s in told[who] if s is not None] for who in ("employee", "customer")}
        wanted = {
            "employee_of": len(scores["employee"]),
            "employee_score": mean(scores["employee"]),
            "customer_of": len(scores["customer"]),
            "customer_score": mean(scores["customer"]),
            "contacts": told["contacts"],
            "frictions": told["frictions"],
            "frictions_per_100": over(told["frictions"], told["contacts"], 100),
        }
        assert unlike(found[key], wanted) == {}, key
    assert sum(row["employee_of"] > 0 for row in found.values()) > 10


def test_feedback(firm: Firm) -> None:
    """Low scores are due when their 48 h have passed, or when they were followed up before; the rest is volvere.feedback's."""
    client, known = firm.table.client, firm.known_until.replace(tzinfo=UTC)
    nothing = dict.fromkeys(("queue", "topic", "ref", "scale", "score", "contact_id"))
    kept = [nothing | t | {"occurred_at": at(t["occurred_at"]).replace(tzinfo=UTC)} for t in firm.said]
    kept.sort(key=lambda t: (t["occurred_at"], t["source"], t["event_id"]))
    for t in kept:
        t["subject"] = subject(t)
    where = {t["event_id"]: {name: t[name] for name in ("kind", "queue", "topic")} for t in kept}
    low_or_complaint = [
        h | where[h["event_id"]] | {"at": h["occurred_at"].replace(tzinfo=None)} for h in hurts(firm.table, kept, known)
    ]
    for by in ("all", "week", "queue", "topic"):
        groups = split(within(low_or_complaint, lambda h: h["at"]), by, lambda h: h["at"])
        found = {
            row["value"]: row for row in ask(client, f"SELECT * FROM volvere.gauge_feedback(by = '{by}', {RANGE})")
        }
        beside = {row["value"]: row for row in ask(client, f"SELECT * FROM volvere.feedback(by = '{by}', {RANGE})")}
        assert found.keys() == beside.keys() >= groups.keys()
        for value, row in found.items():
            mine = groups.get(value, [])
            scores = [h for h in mine if h["kind"] == "survey.answered"]
            in_time = sum(h["followed_up_in_time"] for h in scores)
            passed = sum(h["followed_up_in_time"] or h["occurred_at"] + timedelta(hours=48) < known for h in scores)
            final = {h["customer_id"] for h in mine if h["final"]} - {None}
            won = {h["customer_id"] for h in mine if h["final"] and h["recovered"]} - {None}
            wanted = {
                "low_scores": len(scores),
                "low_scores_due": passed,
                "followed_up_in_time": in_time,
                "followed_up_share": over(in_time, passed),
                "recovery_of": len(final),
                "recovered_customers": len(won),
                "recovery_rate": over(len(won), len(final)),
            }
            plainly = {name: v for name, v in beside[value].items() if name != "value"}
            assert close(row, plainly | wanted) == {}, (by, value)
    assert sum(low(t) is True for t in kept) > 3


def test_upgrade_and_kinds(firm: Firm) -> None:
    """Releases of the time by the company's rates; kinds with the worst and newest of their frictions."""
    client, when = firm.table.client, RANGE.rpartition(", zone")[0]
    first: dict[str, datetime] = {}
    for o in firm.done:
        if o["kind"] == "release.deployed" and o.get("release"):
            first[o["release"]] = min(first.get(o["release"], UNTIL), at(o["occurred_at"]))
    wanted = {name for name, deployed in first.items() if SINCE <= deployed < UNTIL}
    found = {row["release"]: row for row in ask(client, f"SELECT * FROM volvere.gauge_upgrade({when})")}
    assert found.keys() == wanted and len(wanted) > 3
    fortnight = timedelta(days=14)
    for name, row in found.items():
        deployed = first[name]
        sides = ((deployed - fortnight, deployed), (deployed, deployed + fortnight))
        (f0, c0), (f1, c1) = ((len(firm.felt_of(*side)), len(firm.contacts_of(*side))) for side in sides)
        assert (row["frictions_before"], row["contacts_before"], row["frictions_after"], row["contacts_after"]) == (
            f0,
            c0,
            f1,
            c1,
        )
        ratio = (f1 / c1) / (f0 / c0) if c0 and c1 and f0 else None
        assert row["rate_ratio"] == (pytest.approx(ratio) if ratio is not None else None)
    order = ["critical", "error", "warning", "info"]
    for naming, column in (("all", None), ("agent", "agent_id"), ("queue", "queue")):
        mine = [f for f in firm.felt_of() if column is None or f[column]]
        rows_ = {
            row["kind"]: row
            for row in ask(client, f"SELECT * FROM volvere.friction_kinds(naming = '{naming}', {when})")
        }
        assert rows_.keys() == {f["kind"] for f in mine}
        for kind, row in rows_.items():
            some = [f for f in mine if f["kind"] == kind]
            some.sort(key=lambda f: (order.index(f["severity"]), -at(f["opened_at"]).timestamp(), f["friction_id"]))
            assert row == {
                "kind": kind,
                "frictions": len(some),
                "open_frictions": sum(f["state"] == "open" for f in some),
                "customers": len({f["customer_id"] for f in some}),
                "examples": [f["friction_id"] for f in some[:5]],
            }


CALLS = {
    "gauge_reliability": "by = 'all', ", "gauge_process": "by = 'all', ", "gauge_what_matters": "by = 'all', ",
    "gauge_abandonment": "by = 'all', ", "gauge_maintenance": "by = 'all', ", "gauge_feedback": "by = 'all', ",
    "friction_rates": "by = 'all', ", "gauge_alignment": "", "gauge_upgrade": "", "friction_kinds": "naming = 'all', ",
}  # fmt: skip


@pytest.mark.parametrize("view", CALLS)
def test_what_is_asked_wrongly_is_told(client: Client, view: str) -> None:
    """Also over an empty store, which has nothing to answer."""
    zone = "" if view in ("gauge_upgrade", "friction_kinds") else ", zone = 'UTC'"
    sql = f"SELECT * FROM volvere.{view}({CALLS[view]}since = '{{}}', until = '{{}}'{zone})"
    assert query(client, sql.format("2026-01-01", "2026-01-02"))[1] == []
    with pytest.raises(StoreProblem, match="since: expected a time before until"):
        query(client, sql.format("2026-01-02", "2026-01-01"))
    for parameter in ("by", "naming"):
        if f"{parameter} = " in sql:
            with pytest.raises(StoreProblem, match=f"{parameter}: expected"):
                query(client, sql.format("2026-01-01", "2026-01-02").replace("'all'", "'galaxy'"))
