"""What the store knows about one friction, and about one customer: questions to the views, answers as plain values.

Rows are dicts by column as JSON holds them (times as RFC 3339 in UTC, exact decimals as text): what `--json` writes, and
what `volvere.tell` tells. Everything is bounded, because a switchboard's number has a life of its own; what was left out is
counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client

from schemas.times import parse_time
from schemas.touchpoint import subject_of
from sinks.clickhouse import StoreProblem, jsonable, query
from volvere import words

Row = dict[str, Any]

SHORTEST = 6
"""Characters of a friction's id that are enough where no other begins so."""
MOST = 1000
"""Rows of each kind that are read of one customer, the newest."""


@dataclass(frozen=True)
class Explained:
    """One friction: its row, its evidence in order of time, its journey, and what would have prevented it.

    evidence: `role`, `source`, `event_id` and `occurred_at`, and every field that is known of the touchpoint; one that was
    cancelled since has no more than those. journey: the one that the friction names; a journey's name may have changed
    since the friction was last told, then the latest that had begun. None where there is none.
    """

    friction: Row
    evidence: list[Row]
    journey: Row | None
    prevented: str | None


@dataclass(frozen=True)
class Chapter:
    """A journey with what lies in it, each in order of time. touchpoints: those that belong to no contact."""

    journey: Row
    contacts: list[Row] = field(default_factory=list)
    touchpoints: list[Row] = field(default_factory=list)
    frictions: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Life:
    """One customer: who, how much there is in all, what is open now, and the last journeys, oldest first.

    totals: touchpoints, contacts, journeys, frictions (live), shadow, first_seen, last_seen. amounts: by currency. cut: rows
    of the journeys shown that were not read, by what they are.
    """

    subject: str
    customer_id: str | None
    totals: Row
    amounts: dict[str, str]
    at_risk: bool
    open: list[Row]
    chapters: list[Chapter]
    cut: dict[str, int]


def explain(client: Client, friction_id: str) -> Explained:
    """One friction by its id, or by as much of its beginning as no other has. Raises StoreProblem."""
    friction = _friction(client, friction_id)
    known = {
        (e["source"], e["event_id"], e["occurred_at"]): e
        for e in _rows(
            client,
            "SELECT * FROM volvere.touchpoints WHERE subject = {subject:String} "
            "AND (source, event_id, occurred_at) IN (SELECT e.1, e.2, e.3 FROM volvere.frictions "
            "ARRAY JOIN evidence AS e WHERE friction_id = {id:UUID})",
            id=friction["friction_id"],
            subject=friction["subject"],
        )
    }
    evidence = [
        e | known.get((e["source"], e["event_id"], e["occurred_at"]), {})
        for e in sorted(friction.pop("evidence"), key=lambda e: parse_time(e["occurred_at"]))
    ]
    journeys = _rows(
        client,
        "SELECT * FROM volvere.journeys WHERE subject = {subject:String} AND (journey_id = {journey:String} "
        "OR started_at <= (SELECT opened_at FROM volvere.frictions WHERE friction_id = {id:UUID})) "
        "ORDER BY journey_id = {journey:String} DESC, started_at DESC LIMIT 1",
        subject=friction["subject"],
        journey=friction["journey_id"] or "",
        id=friction["friction_id"],
    )
    return Explained(friction, evidence, journeys[0] if journeys else None, _prevented(friction))


def _friction(client: Client, friction_id: str) -> Row:
    wanted = friction_id.strip().lower()
    if len(wanted) < SHORTEST or not re.fullmatch(r"[0-9a-f-]{1,36}", wanted):
        raise StoreProblem(
            f"{friction_id!r} is no friction's id; expected a UUID, or its first {SHORTEST} characters or more, as in the "
            "column friction_id of volvere.frictions"
        )
    found = _rows(
        client,
        "SELECT * FROM volvere.frictions WHERE startsWith(toString(friction_id), {id:String}) ORDER BY opened_at LIMIT 6",
        id=wanted,
    )
    if not found:
        raise StoreProblem(
            f"no friction's id begins with {wanted}; it may have been retracted since, or be in another store. "
            '`volvere query "SELECT friction_id, summary FROM volvere.frictions ORDER BY opened_at DESC LIMIT 20"` '
            "lists the newest"
        )
    if len(found) > 1:
        ids = ", ".join(f["friction_id"] for f in found[:5])
        raise StoreProblem(
            f"several frictions begin with {wanted}: {ids}{', ...' * (len(found) > 5)}; give more of one"
        )
    return found[0]


def _prevented(friction: Row) -> str | None:
    threshold = None
    if friction["threshold_value"] is not None:
        threshold = (friction["threshold_value"], friction["threshold_unit"], friction["threshold_window"])
    observed = ""
    if friction["observed_value"] is not None:
        observed = words.measure(friction["observed_value"], friction["observed_unit"])
    return words.prevented(friction["kind"], threshold, observed)


_TOTALS = """
SELECT
    count() AS touchpoints,
    min(occurred_at) AS first_seen,
    max(occurred_at) AS last_seen,
    any(customer_id) AS customer_id,
    (SELECT count() FROM volvere.contacts WHERE subject = {subject:String}) AS contacts,
    (SELECT count() FROM volvere.journeys WHERE subject = {subject:String}) AS journeys,
    (SELECT countIf(mode = 'live') FROM volvere.frictions WHERE subject = {subject:String}) AS frictions,
    (SELECT countIf(mode = 'shadow') FROM volvere.frictions WHERE subject = {subject:String}) AS shadow
FROM volvere.touchpoints
WHERE subject = {subject:String}
"""


def customer(client: Client, who: str, last: int = 5) -> Life:
    """One customer, by the customer's id or by the subject, with the `last` journeys. Raises StoreProblem."""
    subject = _subject(client, who)
    (totals,) = _rows(client, _TOTALS, subject=subject)
    chapters = [
        Chapter(j)
        for j in _rows(
            client,
            "SELECT * FROM volvere.journeys WHERE subject = {subject:String} "
            "ORDER BY started_at DESC, journey_id DESC LIMIT {last:UInt32}",
            subject=subject,
            last=last,
        )
    ][::-1]
    open_now = "state = 'open' AND mode = 'live'"
    mine = "FROM volvere.frictions WHERE subject = {subject:String}"
    life = Life(
        subject=subject,
        customer_id=totals.pop("customer_id"),
        totals=totals,
        amounts=_amounts(client, subject) if chapters and "amounts" in chapters[0].journey else {},
        at_risk=bool(_rows(client, f"SELECT 1 {mine} AND kind = 'at_risk' AND {open_now} LIMIT 1", subject=subject)),
        open=_rows(client, f"SELECT * {mine} AND {open_now} ORDER BY opened_at LIMIT {MOST}", subject=subject),
        chapters=chapters,
        cut={},
    )
    if chapters:
        _fill(client, life)
    return life


def _subject(client: Client, who: str) -> str:
    """The subject that is named, or whose customer is named."""
    candidates = list(dict.fromkeys([subject_of(who, None, "", ""), who] if who else []))
    found = {
        row["subject"]
        for row in _rows(
            client,
            "SELECT DISTINCT subject FROM volvere.touchpoints WHERE subject IN {candidates:Array(String)}",
            candidates=candidates,
        )
    }
    for candidate in candidates:
        if candidate in found:
            return candidate
    raise StoreProblem(
        f"nothing is known of a customer {who!r}; expected a customer_id or a subject as it was sent. "
        '`volvere query "SELECT subject, count() FROM volvere.touchpoints GROUP BY subject LIMIT 20"` lists some'
    )


def _amounts(client: Client, subject: str) -> dict[str, str]:
    rows = _rows(
        client,
        "SELECT currency, sum(amount) AS total FROM volvere.journeys "
        "ARRAY JOIN mapKeys(amounts) AS currency, mapValues(amounts) AS amount "
        "WHERE subject = {subject:String} GROUP BY currency ORDER BY currency",
        subject=subject,
    )
    return {row["currency"]: row["total"] for row in rows}


_JOURNEYS = "SELECT min(started_at) FROM volvere.journeys WHERE subject = {subject:String} AND journey_id IN {shown:Array(String)}"
_NAMES = "SELECT journey_id FROM volvere.journeys WHERE subject = {subject:String}"
_PARTS = (
    ("contacts", "*", "started_at", f"started_at >= ({_JOURNEYS})"),
    (
        "touchpoints",
        "*",
        "occurred_at",
        f"contact_id IS NULL AND NOT startsWith(kind, 'contact.') AND occurred_at >= ({_JOURNEYS})",
    ),
    (
        "frictions",
        "* EXCEPT evidence",
        "opened_at",
        f"(journey_id IN {{shown:Array(String)}} OR (opened_at >= ({_JOURNEYS}) AND ifNull(journey_id, '') NOT IN ({_NAMES})))",
    ),
)
"""What a journey holds: view, columns, time, and which rows. A friction may name a journey by a name that it had before."""


def _fill(client: Client, life: Life) -> None:
    """Put what happened into the journeys in which it happened; of each kind the newest rows, the rest is counted."""
    given: Row = {"subject": life.subject, "shown": [c.journey["journey_id"] for c in life.chapters]}
    for name, columns, at, condition in _PARTS:
        source = f"FROM volvere.{name} WHERE subject = {{subject:String}} AND {condition}"
        rows = _rows(client, f"SELECT {columns} {source} ORDER BY {at} DESC LIMIT {MOST}", **given)
        unread = _rows(client, f"SELECT count() AS n {source}", **given)[0]["n"] - MOST if len(rows) == MOST else 0
        for row in reversed(rows):
            chapter = _chapter(life.chapters, row, parse_time(row[at]), ended=name != "frictions")
            if chapter is None:
                unread += 1
            else:
                getattr(chapter, name).append(row)
        if unread:
            life.cut[name] = unread


def _chapter(chapters: list[Chapter], row: Row, at: int, *, ended: bool) -> Chapter | None:
    """The journey that something is in: the one that it names, else the latest to have begun and (`ended`) not over."""
    for chapter in chapters:
        if chapter.journey["journey_id"] == row.get("journey_id"):
            return chapter
    for chapter in reversed(chapters):
        journey = chapter.journey
        if parse_time(journey["started_at"]) <= at and (not ended or at <= parse_time(journey["ended_at"])):
            return chapter
    return None


def _rows(client: Client, sql: str, **given: object) -> list[Row]:
    """The rows of an answer, by column, as JSON holds them."""
    names, rows = query(client, sql, given)
    return [dict(zip(names, map(jsonable, row), strict=True)) for row in rows]
