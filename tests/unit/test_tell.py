"""How a friction and a customer's story are told, from what a store would answer."""

from __future__ import annotations

import io
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType

from sinks import dictionary
from volvere.explain import Chapter, Explained, Life
from volvere.tell import FIRST_LINES, LAST_LINES, customer, friction

FRICTION: dict[str, Any] = {
    "friction_id": "e7638c41-0c41-5f3d-8029-f7ecc93713ab", "kind": "long_wait", "state": "resolved", "reason": "answered",
    "severity": "error", "opened_at": "2025-03-30T00:58:00Z", "resolved_at": "2025-03-30T01:02:03Z",
    "provisional": False, "final_at": "2025-03-30T01:02:03Z", "subject": "ana", "customer_id": "ana",
    "journey_id": "j1", "contact_id": "pbx/1", "channel": "voice", "queue": "q", "agent_id": "a7", "topic": "billing",
    "product": None, "asset_id": None, "release": None, "observed_value": 363.0, "observed_unit": "seconds",
    "observed_window": None, "observed_also": {}, "threshold_value": 120.0, "threshold_unit": "seconds",
    "threshold_window": None, "rule_id": "long_wait", "rule_digest": "0123456789abcdef", "mode": "live",
    "corrected": False, "suppressed": False, "replay": False, "summary": "Waited 6 min on voice",
}  # fmt: skip
TOUCHPOINT: dict[str, Any] = dict.fromkeys(
    name for name in dictionary.COLUMNS if name not in dictionary.OWN["volvere.contacts"]
) | {
    "source": "pbx", "event_id": "e1", "occurred_at": "2025-03-30T00:56:00Z", "kind": "contact.queued",
    "channel": "voice", "attributes": {}, "automatic": False, "agent_id": None, "direction": None, "ended_by": None,
    "outcome": None, "queue": None, "reason_code": None, "topic": None, "wait_ms": None, "handle_ms": None,
    "role": "queued",
}  # fmt: skip
JOURNEY: dict[str, Any] = {
    "journey_id": "j1", "started_at": "2025-03-30T00:56:00Z", "ended_at": "2025-03-30T01:10:00Z", "touchpoints": 4,
    "contacts": 1, "frictions": 1, "first_channel": "voice", "last_channel": "chat", "path": ["voice", "chat"],
    "outcome": "resolved", "amounts": {"EUR": "129.9000", "JPY": "-5.2500", "XXX": "1.1234"}, "came_back": True, "score": 41.5,
}  # fmt: skip
CONTACT: dict[str, Any] = {
    "started_at": "2025-03-30T00:56:00Z", "channel": "voice", "direction": "inbound", "topic": "billing",
    "answered_at": "2025-03-30T01:02:03Z", "abandoned": False, "abandoned_in": None, "wait_ms": 363_000,
    "handle_ms": 61_500, "agent_id": "a7", "transfers": 2, "ended_by": "customer", "outcome": "ok", "touchpoints": 4,
}  # fmt: skip


def told(what: RenderableType) -> list[str]:
    """The lines that a file would get."""
    out = io.StringIO()
    Console(file=out, width=400).print(what)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def about(f: dict[str, Any], zone: tzinfo = UTC, *evidence: dict[str, Any]) -> str:
    """One friction, told, its spaces taken together."""
    explained = Explained(FRICTION | f, list(evidence), JOURNEY, "An answer within 2 min")
    return "\n".join(" ".join(line.split()) for line in told(friction(explained, zone)))


def life(*chapters: Chapter, **changes: Any) -> Life:
    """A life with these journeys."""
    totals = {
        "touchpoints": 9, "contacts": 1, "journeys": len(chapters), "frictions": 1, "shadow": 0,
        "first_seen": "2025-03-30T00:56:00Z", "last_seen": "2025-03-30T01:10:00Z",
    }  # fmt: skip
    given: dict[str, Any] = {
        "subject": "ana", "customer_id": "ana", "totals": totals, "amounts": {}, "at_risk": False, "open": [], "cut": {},
    }  # fmt: skip
    return Life(chapters=list(chapters), **(given | changes))


def test_times_are_those_of_the_zone() -> None:
    """Who asks in a zone reads its clock, on the day when it changes, too; lengths are those that passed."""
    queued = TOUCHPOINT
    answered = TOUCHPOINT | {"role": "answered", "kind": "contact.answered", "occurred_at": "2025-03-30T01:02:03Z"}
    text = about({}, ZoneInfo("Europe/Madrid"), queued, answered | {"wait_ms": 363_000, "agent_id": "a7"})
    assert "opened Sun 30 Mar 2025 01:58:00" in text
    assert "ended Sun 30 Mar 2025 03:02:03, after 4 min 3 s: answered, the customer was answered" in text
    assert "Sun 30 Mar 2025 01:56:00 queued contact.queued voice" in text
    assert "03:02:03 6 min 3 s answered contact.answered voice, agent a7, waited 6 min 3 s" in text
    assert text.endswith("Times are Europe/Madrid.")


def test_an_open_friction_says_what_may_still_become_of_it() -> None:
    """What is provisional, in history, on trial, held back or corrected can be told from what was paged."""
    text = about(
        {"state": "open", "resolved_at": None, "reason": None, "provisional": True, "replay": True, "corrected": True}
        | {"final_at": "2025-04-29T00:58:00Z", "mode": "shadow", "suppressed": True, "observed_also": {"14d": 3.0}}
    )
    assert "ended not yet: provisional until Tue 29 Apr 2025 00:58:00" in text
    for note in ("on trial (shadow)", "found in history (replay)", "suppressed", "corrected"):
        assert f"note {note}" in text
    assert "observed 6 min 3 s; 3 within 14 days" in text


def test_a_friction_whose_rules_are_gone() -> None:
    """What a change of rules ended has neither threshold nor evidence: that is said, and nothing breaks."""
    gone = {f"{what}_{part}": None for what in ("observed", "threshold") for part in ("value", "unit", "window")}
    text = about(gone | {"reason": "rule_changed"})
    assert "observed not kept any more\nlimit not kept any more" in text
    assert "rule_changed, the rules have changed" in text
    assert "Evidence\nNone is kept any more." in text


def test_what_a_sender_wrote_is_shown_and_not_obeyed() -> None:
    """Ids and topics may hold a terminal's commands, or what the printing library takes for its own."""
    nasty = "[red]\x1b[31m\n[/x]"
    text = about(
        {"customer_id": nasty, "topic": nasty, "summary": nasty}, UTC, TOUCHPOINT | {"attributes": {"k": nasty}}
    )
    assert text.count("[red]\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}[/x]") == 4
    assert "\x1b" not in text


def test_evidence_that_was_cancelled_since() -> None:
    """A friction may be asked about before its correction arrives: its evidence is named all the same."""
    gone = {name: TOUCHPOINT[name] for name in ("role", "source", "event_id", "occurred_at")}
    assert "queued ? not in the store: cancelled since" in about({}, UTC, gone)


def test_a_story_in_lines() -> None:
    """A journey reads from top to bottom: the contact, the friction where it opened and where it ended, what came then."""
    later = TOUCHPOINT | {"kind": "page.viewed", "channel": "web"}
    views = [later | {"occurred_at": f"2025-03-30T01:0{n}:00Z"} for n in (4, 5, 6)]
    bought = later | {
        "kind": "order.placed",
        "occurred_at": "2025-03-30T01:07:00Z",
        "amount": "1234.5000",
        "currency": "EUR",
    }
    lines = told(customer(life(Chapter(JOURNEY, [CONTACT], [*views, bought], [FRICTION]), at_risk=True)))
    assert lines[0] == "ana  at risk"
    start = next(n for n, line in enumerate(lines) if line.startswith("Journey 1 of 1: Sun 30 Mar 2025 00:56:00"))
    assert lines[start + 1] == (
        "voice → chat, 4 touchpoints, 1 contact, 1 friction, score 41.5, outcome resolved, EUR 129.90, JPY -5.25, 1.1234, "
        "came back; id j1"
    )
    course = "answered after 6 min 3 s, agent a7, 2 transfers, handled in 1 min 2 s, ended by customer, outcome ok, 4 touchpoints"
    assert lines[start + 2 : start + 7] == [
        f"  Sun 30 Mar 2025 00:56  voice about billing: {course}",
        "  Sun 30 Mar 2025 00:58      long_wait opened: Waited 6 min on voice  e7638c41",
        "  Sun 30 Mar 2025 01:02      long_wait ended after 4 min 3 s: answered  e7638c41",
        "  Sun 30 Mar 2025 01:04  page.viewed 3 times until Sun 30 Mar 2025 01:06, web",
        "  Sun 30 Mar 2025 01:07  order.placed: web, EUR 1,234.50",
    ]


def test_a_run_ends_where_something_else_is_told() -> None:
    """What happened before a friction and what happened after it are not one line."""
    views = [
        TOUCHPOINT | {"kind": "page.viewed", "occurred_at": f"2025-03-30T00:{minute}:00Z"} for minute in (56, 57, 59)
    ]
    lines = told(customer(life(Chapter(JOURNEY, [], views, [FRICTION]))))
    kinds = [line.split("  ")[2].strip() or line.split("  ")[-2].strip() for line in lines if line.startswith("  Sun")]
    assert [kind.split()[0] for kind in kinds] == ["page.viewed", "long_wait", "page.viewed:", "long_wait"]


def test_a_long_life_stays_readable() -> None:
    """Whoever calls a thousand times is told in a page: beginning and end, and how much there is between."""
    many = [CONTACT | {"started_at": f"2025-03-30T{n // 60:02d}:{n % 60:02d}:00Z"} for n in range(600)]
    lines = told(customer(life(Chapter(JOURNEY, many), cut={"contacts": 12_345}, open=[FRICTION] * 14)))
    assert sum("voice about billing" in line for line in lines) == FIRST_LINES + LAST_LINES
    assert f"  ... {600 - FIRST_LINES - LAST_LINES} lines left out ..." in lines
    assert any(line.startswith("Not among these: 12,345 contacts") for line in lines)
    assert any(line.endswith("and 4 that opened earlier") for line in lines)


def test_earlier_journeys_are_counted() -> None:
    """Who sees the last journeys knows that there were others, and how to see them."""
    totals = life(Chapter(JOURNEY)).totals | {"journeys": 3}
    lines = told(customer(life(Chapter(JOURNEY), totals=totals)))
    assert "2 earlier journeys left out; --last 3 shows all" in lines
    assert any(line.startswith("Journey 3 of 3") for line in lines)
    assert any(
        "No journey is in the store" in line for line in told(customer(life(customer_id=None, subject="~contact/1")))
    )


def test_a_journey_of_an_earlier_release() -> None:
    """A store that was not brought up to date has no path and no outcome: the rest is told."""
    old = {k: v for k, v in JOURNEY.items() if k not in ("path", "outcome", "amounts", "came_back")}
    lines = told(customer(life(Chapter(old))))
    assert "voice → chat, 4 touchpoints, 1 contact, 1 friction, score 41.5; id j1" in lines
