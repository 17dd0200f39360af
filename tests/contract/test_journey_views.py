"""The views of journeys against plain, slow recomputations: over random touchpoints of few customers, and a simulated company."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any

import pytest

from schemas.decode import decode
from schemas.times import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from schemas.touchpoint import Normal, subject_of
from sinks.clickhouse import StoreProblem, jsonable, query
from streams.entries import OWN
from tests.contract.conftest import ARRIVED, Table, touchpoint_row
from tests.contract.test_clickhouse import friction, journey
from tests.contract.test_metrics import Row, ask, quantile
from tests.oracle import at, contacts_of, journeys_of, winners
from tests.stories import Desk
from volvere.simulator import Company

BEGIN = parse_time("2026-03-01T09:00:00Z")
Lives = dict[str, list[Normal]]
"""Of each subject its touchpoints as they stand, in order."""


@dataclass
class Past:
    """What was told, versions and repeats included, and what stands of it."""

    told: list[dict[str, Any]]

    def __post_init__(self) -> None:
        sent: dict[str, list[Normal]] = defaultdict(list)
        for fields in self.told:
            t = decode(json.dumps(fields).encode(), ARRIVED)
            sent[subject_of(t.customer_id, t.contact_id, t.source, t.event_id)].append(t)
        self.lives: Lives = {subject: points for subject, some in sent.items() if (points := winners(some))}
        self.customers: Lives = {s: points for s, points in self.lives.items() if points[0].customer_id is not None}
        self.known = max(at(t) for some in sent.values() for t in some)
        self.begin = min(at(p) for points in self.lives.values() for p in points)
        self.end = max(at(p) for points in self.lives.values() for p in points)

    def stored(self, table: Table) -> Iterator[str]:
        """Put it into a store in portions; once as it is, once told twice, once merged."""
        lines = [touchpoint_row(**fields) for fields in self.told]
        for begin in range(0, len(lines), len(lines) // 3):
            table.put("touchpoints", lines[begin : begin + len(lines) // 3])
        yield "told"
        table.put("touchpoints", lines[::-1])
        yield "told twice"
        for name in ("touchpoints", "journeys", "frictions"):
            table.client.command(f"OPTIMIZE TABLE volvere_store.{name} FINAL")
        yield "merged"


KINDS = [
    "contact.started",
    "message.received",
    "contact.ended",
    "message.sent",
    "survey.sent",
    "odd.kind",
    *sorted(OWN),
]


def few(seed: int, kinds: list[str], count: int = 250) -> Past:
    """Few customers and strangers who do much, often at equal times; some of it is corrected or withdrawn later."""
    dice = random.Random(seed)
    told: list[dict[str, Any]] = []
    for number in range(count):
        fields: dict[str, Any] = {
            "source": dice.choice(["pbx", "crm"]),
            "event_id": f"e{number}",
            "customer_id": dice.choice(["ana", "ben", "eva", "ida", "~leo", None]),
            "kind": dice.choice(kinds),
            "channel": dice.choice(["voice", "chat", "web"]),
            "occurred_at": format_time(BEGIN + dice.choice([MINUTE, HOUR, DAY]) * dice.randrange(20)),
            "contact_id": dice.choice(["c1", "c2", None, None]),
            "journey_id": dice.choice(["j1", "j2", *[None] * 8]),
            "direction": dice.choice(["inbound", "outbound", None, None]),
            "automatic": dice.random() < 0.1,
            "amount": dice.choice(["5", "12.3456", None]),
            "currency": dice.choice(["EUR", "JPY", None]),
            "score": dice.choice([3, 9.5, None, None]),
            "scale": dice.choice(["nps", "csat5", None]),
        }
        told.append(fields)
        if dice.random() < 0.2:
            told.append(fields | {"version": 1, "kind": dice.choice(kinds), "cancelled": dice.random() < 0.5})
        if dice.random() < 0.05:
            told.append(fields | {"version": 2, "channel": "store"})
    dice.shuffle(told)
    return Past(told)


def company() -> Past:
    """Sixty customers of a simulated company in ten days, in the order in which their touchpoints come in."""
    return Past(list(Company(seed=3, customers=60, days=10, contacts_per_day=0.5, untidy=0.3).touchpoints()))


def desks(past: Past) -> list[Desk]:
    """What the workers would have found of each subject in the end."""
    found = []
    for subject, points in past.lives.items():
        desk = Desk(customer=points[0].customer_id, subject=subject)
        desk.tell(points)
        desk.look(past.end, settle=True)
        found.append(desk)
    return found


def when(since: int, until: int) -> str:
    """The parameters since and until."""
    return f"since = '{_text(since)}', until = '{_text(until)}'"


def _text(time: int) -> str:
    return format_time(time).replace("T", " ").rstrip("Z")


def spans(past: Past) -> list[tuple[int, int]]:
    """All of it, and a part that begins and ends exactly at a touchpoint."""
    third = (past.end - past.begin) // 3
    times = sorted(at(p) for points in past.lives.values() for p in points)
    inside = [t for t in times if past.begin + third <= t <= past.end - third]
    return [(past.begin, past.end + 1), (inside[0], inside[-1])]


# Funnels


def chain(points: list[Normal], steps: list[str], start: int, within: int) -> list[int]:
    """The times of the earliest chain from the touchpoint at the place `start`."""
    times, place = [at(points[start])], start
    for step in steps[1:]:
        place = next((i for i in range(place + 1, len(points)) if points[i].kind == step), len(points))
        if place == len(points) or at(points[place]) - times[0] > within:
            break
        times.append(at(points[place]))
    return times


def funnelled(customers: Lives, steps: list[str], since: int, until: int, within: int) -> list[Row]:
    """volvere.funnel in plain words."""
    best: list[list[int]] = []
    for points in customers.values():
        starts = [i for i, p in enumerate(points) if p.kind == steps[0] and since <= at(p) < until]
        chains = [chain(points, steps, i, within) for i in starts]
        best += [max(chains, key=len)] if chains else []
    out: list[Row] = []
    for n, step in enumerate(steps):
        made = [c for c in best if len(c) > n]
        before = out[-1]["customers"] if out else 0
        out.append(
            {
                "step": n + 1,
                "kind": step,
                "customers": len(made),
                "share_of_first": len(made) / len(best) if best else None,
                "share_of_previous": len(made) / before if before else None,
                "seconds_p50": _seconds([c[n] - c[n - 1] for c in made]) if n else None,
            }
        )
    return out


def _seconds(spans: list[int], level: float = 0.5) -> float | None:
    """A quantile of spans of microseconds, in seconds."""
    found = quantile(sorted(spans), level)
    return None if found is None else found / SECOND


def funnel(table: Table, steps: list[str], since: int, until: int, within: int) -> list[Row]:
    """volvere.funnel, its steps in order."""
    sql = f"SELECT * FROM volvere.funnel(steps = {steps}, {when(since, until)}, within_s = {within // SECOND}) ORDER BY step"
    return ask(table.client, sql)


A, B, C = "page.viewed", "form.started", "form.submitted"


@pytest.mark.parametrize("seed", range(1))
def test_funnels_of_few_who_do_much(table: Table, seed: int) -> None:
    """Steps that come again, at one moment and at the very end of the time; far, wide and not at all."""
    past = few(seed, [A, B, C, "odd.kind"])
    whole, part = spans(past)
    questions = [([A], whole, 0), ([A, B], part, 0), ([A, B, C], whole, 2 * MINUTE), ([A, B, C], part, 30 * DAY)]
    questions += [([A, A, A, A], part, 5 * HOUR), ([A, B, A, C, B], whole, 2 * DAY), ([C, "never.seen", A], whole, DAY)]
    reached: set[int] = set()
    for stage in past.stored(table):
        for steps, (since, until), within in questions:
            wanted = funnelled(past.customers, steps, since, until, within)
            assert funnel(table, steps, since, until, within) == wanted, (stage, steps)
            reached |= {row["customers"] for row in wanted}
    assert len(reached) > 3, "steps are reached by all, some and none"


def test_funnels_of_a_company(table: Table) -> None:
    """What an analyst would ask of it."""
    past = company()
    whole, part = spans(past)
    questions = [(["contact.started", "contact.queued", "contact.answered", "contact.ended"], whole, 10 * MINUTE)]
    questions += [(["page.viewed", "checkout.started", "order.placed"], part, DAY)]
    questions += [(["order.placed", "order.delivered"], whole, 7 * DAY)]
    for stage in past.stored(table):
        for steps, (since, until), within in questions:
            wanted = funnelled(past.customers, steps, since, until, within)
            assert funnel(table, steps, since, until, within) == wanted, (stage, steps)
            assert wanted[-1]["customers"] > 0


def test_a_funnel_counts_the_longest_chain_and_of_those_the_earliest(table: Table) -> None:
    """Ana begins three times: the second and the third get as far, and the second counts. Exactly within the time is inside."""
    story = [(0, A), (5, A), (6, B), (8, A), (9, B), (15, C), (16, C)]
    table.touchpoints(
        *(
            {"event_id": f"e{n}", "kind": kind, "occurred_at": format_time(BEGIN + minute * MINUTE)}
            for n, (minute, kind) in enumerate(story)
        )
    )
    found = funnel(table, [A, B, C], BEGIN, BEGIN + DAY, 10 * MINUTE)
    assert [(row["customers"], row["seconds_p50"]) for row in found] == [(1, None), (1, 60.0), (1, 540.0)]
    found = funnel(table, [A, B, C], BEGIN, BEGIN + DAY, 10 * MINUTE - SECOND)
    assert [(row["customers"], row["seconds_p50"]) for row in found] == [(1, None), (1, 60.0), (1, 360.0)]


# Paths


def edges(paths: list[list[str]]) -> dict[tuple[int, str, str], int]:
    """How many of the paths take each edge."""
    counted: dict[tuple[int, str, str], int] = defaultdict(int)
    for path in paths:
        for n, (one, other) in enumerate(pairwise([*path, "(end)"][:21]), 1):
            counted[n, one, other] += 1
    return counted


def paths(table: Table, what: str, since: int, until: int) -> dict[tuple[int, str, str], int]:
    """volvere.paths by edge, held to its sums: who comes to a step goes on from it."""
    found = ask(
        table.client, f"SELECT step, from, to, journeys FROM volvere.paths(what = '{what}', {when(since, until)})"
    )
    out = {(row["step"], row["from"], row["to"]): row["journeys"] for row in found}
    assert len(out) == len(found)
    for step, place in {(step + 1, to) for step, _, to in out if to != "(end)" and step < 20}:
        came = sum(n for (at_step, _, to), n in out.items() if (at_step, to) == (step - 1, place))
        assert came == sum(n for (at_step, one, _), n in out.items() if (at_step, one) == (step, place))
    return out


def changes(points: list[Normal], what: str) -> list[str]:
    """What the points went through, equal neighbours once."""
    return [value for value, _ in groupby(getattr(p, what) for p in points)]


@pytest.mark.parametrize("seed", range(1))
def test_paths_of_few_who_do_much(table: Table, seed: int) -> None:
    """Long ones, and named journeys that overlap; an earlier word about a journey, and one that was merged away, do not count."""
    past = few(seed, [A, B, C, "odd.kind"], 600)
    journeys = [(subject, n, j) for subject, points in past.lives.items() for n, j in enumerate(journeys_of(points))]
    snapshots = [
        journey(
            subject=subject,
            customer_id=j.points[0].customer_id,
            journey_id=j.name or f"{n}",
            started_at=format_time(at(j.points[0])),
            ended_at=format_time(at(j.points[-1])),
            revision=2,
        )
        for subject, n, j in journeys
    ]
    table.journeys(*(s | {"ended_at": s["started_at"], "revision": 1} for s in snapshots))
    table.journeys(*snapshots, *(s | {"journey_id": s["journey_id"] + "m", "state": "merged"} for s in snapshots))
    lengths: set[int] = set()
    for stage in past.stored(table):
        for what in ("channel", "kind"):
            for since, until in spans(past):
                wanted = []
                for (subject, _, j), said in zip(journeys, snapshots, strict=True):
                    start, end = at(j.points[0]), at(j.points[-1])
                    near = [p for p in past.lives[subject] if start <= at(p) <= end]
                    if since <= start < until:
                        wanted.append(changes([p for p in near if p.journey_id in (None, said["journey_id"])], what))
                assert paths(table, what, since, until) == edges(wanted), (stage, what)
                lengths |= set(map(len, wanted))
    assert min(lengths) == 1 and max(lengths) > 21


@pytest.mark.parametrize("count", [19, 20, 21, 22])
def test_a_path_has_twenty_steps_at_most(table: Table, count: int) -> None:
    """Who changes more often goes on from the twentieth step, and is not said to end there."""
    kinds = [f"kind.k{n}" for n in range(count)]
    times = [format_time(BEGIN + n * MINUTE) for n in range(count)]
    table.touchpoints(*({"event_id": k, "kind": k, "occurred_at": time} for k, time in zip(kinds, times, strict=True)))
    table.journeys(journey(started_at=times[0], ended_at=times[-1]))
    found = paths(table, "kind", BEGIN, BEGIN + 1)
    assert sorted(step for step, _, _ in found) == list(range(1, min(count, 20) + 1))
    last = min(count, 20)
    assert max(found) == (last, kinds[last - 1], "(end)" if last == count else kinds[last])


def test_paths_of_a_company(table: Table) -> None:
    """The channels of the journeys are those that were published with them; each journey is in it once."""
    past = company()
    published = [j for desk in desks(past) for j in desk.journeys]
    table.journeys(*published)
    for _ in past.stored(table):
        found = paths(table, "channel", past.begin, past.end + 1)
        assert found == edges([j["path"] for j in published])
        assert sum(n for (step, _, _), n in found.items() if step == 1) == len(published) > 50
        kinds = paths(table, "kind", past.begin, past.end + 1)
        assert sum(n for (step, _, _), n in kinds.items() if step == 1) == len(published)


# Retention


def own(points: list[Normal]) -> list[int]:
    """When a customer did something of their own will."""
    did = [at(p) for p in points if p.kind in OWN and p.direction != "outbound" and not p.automatic]
    return did + [c.start for c in contacts_of(points) if c.is_attempt]


def retained(past: Past, every: int, since: int, until: int) -> list[Row]:
    """volvere.retention in plain words."""
    cohorts: dict[int, list[list[int]]] = defaultdict(list)
    for points in past.customers.values():
        times = own(points)
        if times and since <= min(times) < until:
            cohorts[(min(times) - since) // every].append(times)
    out = []
    for cohort, members in sorted(cohorts.items()):
        for period in range(((past.known - since) // every) - cohort + 1):
            begin = since + (cohort + period) * every
            if begin >= until:
                break
            came = sum(any(begin <= t < begin + every for t in times) for times in members)
            out.append(
                {
                    "cohort": since + cohort * every,
                    "period": period,
                    "cohort_customers": len(members),
                    "customers": came,
                    "share": came / len(members),
                    "complete": begin + every <= past.known,
                }
            )
    return out


def retention(table: Table, every: int, since: int, until: int) -> list[Row]:
    """volvere.retention, in order."""
    sql = f"SELECT * FROM volvere.retention(every_days = {every // DAY}, {when(since, until)}) ORDER BY cohort, period"
    return [row | {"cohort": parse_time(jsonable(row["cohort"]))} for row in ask(table.client, sql)]


@pytest.mark.parametrize("seed", range(1))
def test_retention_of_few(table: Table, seed: int) -> None:
    """Periods of which somebody is missing, that have not ended, and that lie after all that is known."""
    past = few(seed, KINDS, 90)
    whole, part = spans(past)
    shares, complete = set(), set()
    for stage in past.stored(table):
        for every, (since, until) in ((DAY, whole), (3 * DAY, part), (6 * DAY, (BEGIN - 5 * DAY, BEGIN + 900 * DAY))):
            wanted = retained(past, every, since, until)
            assert retention(table, every, since, until) == wanted, (stage, every)
            shares |= {row["share"] for row in wanted}
            complete |= {row["complete"] for row in wanted}
    assert {0, 1} < shares and complete == {True, False}


def test_retention_of_a_company(table: Table) -> None:
    """Who came in which days, and came again."""
    past = company()
    for stage in past.stored(table):
        for every, since in ((DAY, past.begin), (3 * DAY, past.begin - DAY)):
            wanted = retained(past, every, since, past.end + 1)
            assert retention(table, every, since, past.end + 1) == wanted, stage
            assert any(0 < row["share"] < 1 for row in wanted)


def test_only_what_customers_do_themselves_makes_a_cohort(table: Table) -> None:
    """Whatever kind only customers can do, and attempts; not what the company or a machine did."""
    doings: list[dict[str, Any]] = [{"kind": kind} for kind in sorted(OWN)]
    doings += [{"kind": kind} for kind in ("contact.started", "contact.queued")]
    others: list[dict[str, Any]] = [
        {"kind": kind} for kind in ("message.sent", "survey.sent", "case.opened", "odd.kind")
    ]
    others += [
        {"kind": kind, more: value}
        for kind in sorted(OWN)
        for more, value in (("automatic", True), ("direction", "outbound"))
    ]
    others += [{"kind": "contact.started", "direction": "outbound"}]
    told = [fields | {"customer_id": f"c{n}", "event_id": f"e{n}"} for n, fields in enumerate(doings + others)]
    past = Past([fields | {"source": "pbx", "channel": "web", "occurred_at": format_time(BEGIN)} for fields in told])
    for _ in past.stored(table):
        (row,) = retention(table, DAY, BEGIN, BEGIN + DAY)
        assert row["customers"] == len(doings)


# Step times


def timed(customers: Lives, first: str, then: str, since: int, until: int) -> dict[str, Row]:
    """volvere.step_times in plain words, by channel."""
    found: dict[str, list[int | None]] = defaultdict(list)
    for points in customers.values():
        for i, p in enumerate(points):
            if p.kind == first and since <= at(p) < until:
                later = next((q for q in points[i + 1 :] if q.kind in (first, then)), None)
                found[p.channel].append(at(later) - at(p) if later is not None and later.kind == then else None)
    out = {}
    for channel, spans_of in found.items():
        took = [s for s in spans_of if s is not None]
        out[channel] = {
            "channel": channel,
            "beginnings": len(spans_of),
            "not_followed": spans_of.count(None),
            "seconds_mean": sum(took) / len(took) / SECOND if took else None,
            **{f"seconds_p{n}": _seconds(took, n / 100) for n in (50, 90, 99)},
        }
    return out


def step_times(table: Table, first: str, then: str, since: int, until: int) -> dict[str, Row]:
    """volvere.step_times, by channel."""
    sql = f"SELECT * FROM volvere.step_times(from_kind = '{first}', to_kind = '{then}', {when(since, until)})"
    return {row["channel"]: row for row in ask(table.client, sql)}


@pytest.mark.parametrize("seed", range(1))
def test_step_times_of_few_who_do_much(table: Table, seed: int) -> None:
    """Followed at once and late, by another beginning first, by nothing; from a kind to itself."""
    past = few(seed, [A, B, "odd.kind"])
    followed = set()
    for stage in past.stored(table):
        for first, then in ((A, B), (B, A), (A, A), (A, "never.seen"), ("never.seen", A)):
            for since, until in spans(past):
                wanted = timed(past.customers, first, then, since, until)
                assert step_times(table, first, then, since, until) == wanted, (stage, first, then)
                followed |= {row["not_followed"] < row["beginnings"] for row in wanted.values()}
    assert followed == {True, False}


def test_step_times_of_a_company(table: Table) -> None:
    """How long until somebody answers, and an order is delivered."""
    past = company()
    for stage in past.stored(table):
        for first, then in (("contact.queued", "contact.answered"), ("order.placed", "order.delivered")):
            for since, until in spans(past):
                wanted = timed(past.customers, first, then, since, until)
                assert step_times(table, first, then, since, until) == wanted, stage
                assert any(row["seconds_p50"] for row in wanted.values())


# Customers


def known_customers(past: Past, journeys: list[Row], frictions: list[Row]) -> dict[str, Row]:
    """volvere.customers in plain words. journeys, frictions: what stands, with `subject`; of frictions `mode` and `state`."""
    out = {}
    for subject, points in past.customers.items():
        bought = [at(p) for p in points if p.kind in ("order.placed", "purchase.made", "subscription.renewed")]
        kept = max(bought, default=0)
        left = [at(p) for p in points if p.kind in ("subscription.cancelled", "account.closed") and at(p) >= kept]
        amounts: dict[str, Decimal] = defaultdict(Decimal)
        for p in points:
            if p.amount is not None and p.kind in (
                "order.placed",
                "purchase.made",
                "subscription.renewed",
                "order.refunded",
            ):
                amounts[p.currency or "XXX"] += Decimal(p.amount) * (-1 if p.kind == "order.refunded" else 1)
        scored = [p for p in points if p.score is not None]
        live = [f for f in frictions if f["subject"] == subject and f["mode"] == "live"]
        out[subject] = {
            "customer_id": points[0].customer_id,
            "subject": subject,
            "first_at": at(points[0]),
            "last_at": at(points[-1]),
            "last_own_at": max(own(points), default=None),
            "touchpoints": len(points),
            "contacts": len(contacts_of(points)),
            "journeys": sum(j["subject"] == subject for j in journeys),
            "frictions": len(live),
            "open_frictions": sum(f["state"] == "open" for f in live),
            "age_days": (past.known - at(points[0])) / DAY,
            "recency_days": (past.known - bought[-1]) / DAY if bought else None,
            "frequency": len(bought),
            "amounts": amounts,
            "first_bought_at": bought[0] if bought else None,
            "last_bought_at": bought[-1] if bought else None,
            "cancelled_at": left[0] if left else None,
            "referrals": sum(p.kind == "referral.made" for p in points),
            "last_score": scored[-1].score if scored else None,
            "last_scale": scored[-1].scale if scored else None,
        }
    return out


def customers(table: Table, more: str = "") -> dict[str, Row]:
    """volvere.customers by subject, times in microseconds."""
    return {
        row["subject"]: {k: parse_time(jsonable(v)) if isinstance(v, datetime) else v for k, v in row.items()}
        for row in ask(table.client, f"SELECT * FROM volvere.customers {more}")
    }


@pytest.mark.parametrize("seed", range(1))
def test_customers_of_whom_much_is_known(table: Table, seed: int) -> None:
    """Bought and gave back, left and came back, at one moment as well; frictions on trial and taken back do not count."""
    dice = random.Random(seed)
    past = few(seed, [*KINDS, "order.refunded", "order.refunded"], 90)
    people = sorted(past.lives)
    journeys = [journey(subject=dice.choice(people), journey_id=f"j{n}") for n in range(12)]
    table.journeys(*journeys, *(j | {"journey_id": j["journey_id"] + "m", "state": "merged"} for j in journeys))
    frictions: list[Row] = []
    for n in range(40):
        said = {"subject": dice.choice(people), "state": dice.choice(["open", "resolved", "retracted"])}
        mode = dice.choice(["live", "shadow"])
        name = f"00000000-0000-5000-8000-{n:012}"
        table.frictions(friction(**said, friction_id=name, rule={"id": "r", "digest": "d", "mode": mode}))
        frictions += [said | {"mode": mode}] * (said["state"] != "retracted")
    wanted = known_customers(past, journeys, frictions)
    for stage in past.stored(table):
        assert customers(table) == wanted, stage
    assert customers(table, "SETTINGS join_use_nulls = 1") == wanted
    for subject in (people[0], people[-1]):
        assert customers(table, f"WHERE subject = '{subject}'") == {k: v for k, v in wanted.items() if k == subject}


def test_customers_of_a_company(table: Table) -> None:
    """With the journeys and frictions that are found in what it told."""
    past = company()
    looked = desks(past)
    table.journeys(*(s for desk in looked for s in desk.snapshots))
    table.frictions(*(e for desk in looked for e in desk.events))
    standing = [d | {"mode": d["rule"]["mode"]} for desk in looked for d in desk.standing]
    wanted = known_customers(past, [j for desk in looked for j in desk.journeys], standing)
    for stage in past.stored(table):
        assert customers(table) == wanted, stage
    for column in ("frictions", "open_frictions", "frequency", "amounts", "last_score"):
        assert any(row[column] for row in wanted.values()), column


def test_of_scores_at_one_moment_the_last_is_that_of_the_last_touchpoint(table: Table) -> None:
    """In the order of (occurred_at, source, event_id), as everywhere."""
    table.touchpoints(
        {"source": "pbx", "event_id": "e1", "score": 1, "scale": "nps"},
        {"source": "crm", "event_id": "e3", "score": 3, "scale": "ces7"},
        {"source": "pbx", "event_id": "e2", "score": 2},
        {"source": "zoo", "event_id": "e0"},
    )
    ana = customers(table)["ana"]
    assert (ana["last_score"], ana["last_scale"]) == (2, None)


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("1 subscription.cancelled", 1),
        ("1 subscription.cancelled 2 account.closed", 1),
        ("1 subscription.cancelled 2 subscription.renewed", None),
        ("1 subscription.cancelled 2 purchase.made 3 account.closed 4 page.viewed", 3),
        ("1 account.closed 2 order.placed", None),
        ("1 order.placed 1 subscription.cancelled", 1),
        ("1 subscription.cancelled 1 order.placed", 1),
        ("1 order.placed", None),
    ],
)
def test_who_has_left(table: Table, story: str, expected: int | None) -> None:
    """Who bought or renewed later has not left; the same moment is not later."""
    words = story.split()
    for n, (minute, kind) in enumerate(zip(words[::2], words[1::2], strict=True)):
        time = format_time(BEGIN + int(minute) * MINUTE)
        table.touchpoints({"event_id": f"e{n}", "kind": kind, "occurred_at": time})
    assert customers(table)["ana"]["cancelled_at"] == (None if expected is None else BEGIN + expected * MINUTE)


# What an analyst gets wrong

WRONG = [
    (
        "funnel(steps = [], since = '2026-01-01', until = '2026-02-01', within_s = 60)",
        "steps: expected at least one kind",
    ),
    ("funnel(steps = 'a', since = '2026-01-01', until = '2026-02-01', within_s = 60)", "'steps'"),
    (
        "funnel(steps = ['a'], since = '2026-02-01', until = '2026-02-01', within_s = 60)",
        "since: expected a time before until",
    ),
    ("funnel(steps = ['a'], since = '2026-01-01', until = '2026-02-01')", "missing: within_s"),
    ("retention(every_days = 0, since = '2026-01-01', until = '2026-02-01')", "every_days: expected at least 1"),
    ("retention(every_days = 7, since = '2026-02-01', until = '2026-01-01')", "since: expected a time before until"),
    (
        "step_times(from_kind = 'a', to_kind = 'b', since = '2026-02-01', until = '2026-01-01')",
        "since: expected a time before",
    ),
    ("paths(what = 'queue', since = '2026-01-01', until = '2026-02-01')", "what: expected channel or kind"),
    ("paths(what = 'kind', since = '2026-02-01', until = '2026-01-01')", "since: expected a time before until"),
]


@pytest.mark.parametrize(("call", "says"), WRONG)
def test_a_wrong_question_is_told_clearly(table: Table, call: str, says: str) -> None:
    """Also where there is nothing to count yet, and without the engine's inner life."""
    for stored in (0, 1):
        table.touchpoints(*[{}] * stored)
        with pytest.raises(StoreProblem) as caught:
            query(table.client, f"SELECT * FROM volvere.{call}")
        assert says in str(caught.value)
        assert "executing" not in str(caught.value) and "FUNCTION" not in str(caught.value)


def test_nothing_is_no_nought(table: Table) -> None:
    """An empty store answers; a share of nothing and a time of nobody are null."""
    found = funnel(table, [A, B], BEGIN, BEGIN + DAY, MINUTE)
    assert [list(row.values()) for row in found] == [[1, A, 0, None, None, None], [2, B, 0, None, None, None]]
    assert paths(table, "kind", BEGIN, BEGIN + DAY) == {} == step_times(table, A, B, BEGIN, BEGIN + DAY)
    assert retention(table, DAY, BEGIN, BEGIN + DAY) == []
    assert customers(table) == {}
