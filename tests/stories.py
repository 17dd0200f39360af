"""The story language: a customer's afternoon as text, and what a user would see of it.

A line is a touchpoint: when, what, on which channel, about what, then anything else that is known:

    0m    contact.started   voice billing  contact=c1
    2m10s contact.answered  voice          contact=c1 by=agent wait=130s

Offsets run from one Monday morning ("1h30m", "-5s", "7d1us"). `id=`, `contact=`, `journey=`, `by=`, `agent=`,
`wait=`, `handle=`, `code=`, `asset=` and `due=` are short for fields; any other key is the field itself. Lines without
`id=` are e1, e2, ... in the order of writing; "-" stands for no topic. Contacts default to none.

`Desk` is one customer's facts between touchpoints and events: it merges, looks, restarts, and holds every event
that comes out to the rules that no story may break (the models, rising revisions, no empty updates).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from schemas.friction import FrictionEvent
from schemas.journey import JourneySnapshot
from schemas.times import DAY, HOUR, MINUTE, SECOND, parse_time
from schemas.touchpoint import Normal, digest
from streams.entries import Entry, entry_of
from streams.facts import Facts, unpack
from streams.rules import Rules, parse_rules
from streams.tracker import Look, Tracker

MONDAY = parse_time("2025-01-06T09:00:00Z")
DEFAULTS = parse_rules()
CLAIMED = ("kind", "subject", "state", "reason", "severity", "opened_at", "resolved_at", "provisional", "final_at")
"""What two deliveries of the same touchpoints must agree on of a friction; DESIGN.md section 3."""
CLAIMED_OF_JOURNEYS = ("started_at", "ended_at", "touchpoints", "contacts", "frictions", "score")

_UNITS = {"us": 1, "ms": 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_PART = re.compile(r"(\d+)(us|ms|s|m|h|d)")
_SHORT = {"id": "event_id", "contact": "contact_id", "journey": "journey_id", "by": "ended_by", "agent": "agent_id"}
_SHORT |= {
    "asset": "asset_id",
    "wait": "wait_ms",
    "handle": "handle_ms",
    "code": "reason_code",
    "due": "due_at",
    "customer": "customer_id",
}


def span(text: str) -> int:
    """An offset such as "1h30m" or "-5s" in microseconds."""
    parts = _PART.findall(text)
    assert "".join(number + unit for number, unit in parts) == text.lstrip("-"), f"no offset: {text!r}"
    size = sum(int(number) * _UNITS[unit] for number, unit in parts)
    return -size if text.startswith("-") else size


def at(text: str) -> int:
    """An offset as a time."""
    return MONDAY + span(text)


def offset(time: int | str) -> str:
    """A time as `at` reads it."""
    rest = (parse_time(time) if isinstance(time, str) else time) - MONDAY
    if rest < 0:
        return "-" + offset(MONDAY - rest)
    text = ""
    for unit in ("d", "h", "m", "s", "us"):
        count, rest = divmod(rest, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0m"


def story(text: str, customer: str | None = "maria", name: str = "e") -> list[Normal]:
    """The touchpoints that a story tells; those without an id are called `name` and their number."""
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    return [_touchpoint(words, f"{name}{n}", customer) for n, words in enumerate((w for w in lines if w), 1)]


def _touchpoint(words: list[str], event_id: str, customer: str | None) -> Normal:
    plain = [word for word in words if "=" not in word]
    fields: dict[str, Any] = {"source": "pbx", "event_id": event_id, "customer_id": customer}
    fields["topic"] = plain[3] if len(plain) > 3 and plain[3] != "-" else None
    for key, value in (word.split("=", 1) for word in words if "=" in word):
        name = _SHORT.get(key, key)
        if name in ("wait_ms", "handle_ms"):
            fields[name] = span(value) // 1000
        elif name == "due_at":
            fields[name] = at(value)
        elif name == "version":
            fields[name] = int(value)
        elif name in ("score", "x", "y"):
            fields[name] = float(value)
        elif name in ("cancelled", "automatic"):
            fields[name] = value == "yes"
        else:
            fields[name] = None if value == "none" else value
    return Normal(kind=plain[1], channel=plain[2] if len(plain) > 2 else "voice", occurred_at=at(plain[0]), **fields)


def entry(touchpoint: Normal, replay: bool = False) -> Entry:
    """What is remembered of a touchpoint."""
    return entry_of(touchpoint, digest(touchpoint), replay)


def entries(text: str) -> list[Entry]:
    """The entries that a story leaves."""
    return [entry(t) for t in story(text)]


_TRACKERS: dict[tuple[int, int], Tracker] = {}


def _tracker(rules: Rules, many: int) -> Tracker:
    """One tracker for all desks under the same rules: it holds no facts, and is costly to make."""
    found = _TRACKERS.get((id(rules), many))
    if found is None:
        found = _TRACKERS[id(rules), many] = Tracker(rules, many=many)
    return found


_rules = lru_cache(maxsize=None)(parse_rules)


@dataclass
class Desk:
    """One customer's facts, and all that was said about them. `now` is the watermark; `many` as the tracker has it."""

    rules: Rules = DEFAULTS
    customer: str | None = "maria"
    subject: str = "maria"
    now: int = MONDAY
    many: int = 0
    facts: Facts | None = None
    packed: bytes | None = None
    last: Look | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    _frictions: dict[str, dict[str, Any]] = field(default_factory=dict)
    _journeys: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tell(self, touchpoints: str | Iterable[Normal], replay: bool = False) -> bool:
        """Merge a story, or touchpoints; True when anything changed."""
        changed = False
        for t in story(touchpoints) if isinstance(touchpoints, str) else touchpoints:
            if self.facts is None:
                self.facts = Facts(self.subject, self.customer)
            changed |= self.facts.merge(entry(t, replay))
        return changed

    def look(self, now: int | str | None = None, settle: bool = False) -> list[dict[str, Any]]:
        """Look at a watermark (which never goes back); what is said about frictions then."""
        self.now = max(self.now, self.now if now is None else at(now) if isinstance(now, str) else now)
        if self.facts is None:
            return []
        self.last = _tracker(self.rules, self.many).look(self.facts, self.now, self.now, settle)
        self.packed = self.last.packed
        if self.packed is None:
            self.facts = None
        said = [self._hear(value) for value in self.last.frictions]
        for name, value in self.last.journeys:
            self._hear_journey(name, value)
        return said

    def restart(self) -> None:
        """Go on with what the last look left, as another process would."""
        self.facts = None if self.packed is None else unpack(self.subject, self.packed)

    def _hear(self, value: bytes) -> dict[str, Any]:
        FrictionEvent.model_validate_json(value)
        event: dict[str, Any] = json.loads(value)
        data = event["data"] | {"subject": event["subject"]}
        before = self._frictions.get(data["friction_id"])
        assert before is None or data["revision"] > before["revision"], (before, data)
        if event["type"] == "volvere.friction.updated":
            assert before is not None, f"updated before it was opened: {data}"
            told = [*CLAIMED, "rule", "suppressed", "journey_id"]
            assert [before[name] for name in told] != [data[name] for name in told], f"nothing new: {data}"
        if event["type"] == "volvere.friction.retracted":
            assert before is not None and data["state"] == "retracted"
        self._frictions[data["friction_id"]] = data
        self.events.append(event)
        return event

    def _hear_journey(self, name: str, value: bytes) -> None:
        JourneySnapshot.model_validate_json(value)
        snapshot: dict[str, Any] = json.loads(value)
        before = self._journeys.get(name)
        assert snapshot["journey_id"] == name and (before is None or snapshot["revision"] > before["revision"])
        told = [name for name in snapshot if name not in ("revision", "replay")]
        assert before is None or [before[n] for n in told] != [snapshot[n] for n in told], f"nothing new: {snapshot}"
        self._journeys[name] = snapshot
        self.snapshots.append(snapshot)

    @property
    def types(self) -> list[str]:
        """What was said about frictions, in order: "kind type"."""
        return [f"{e['data']['kind']} {e['type'].rsplit('.')[-1]}" for e in self.events]

    @property
    def standing(self) -> list[dict[str, Any]]:
        """The frictions that a user sees now: later revision wins, retracted ones are gone."""
        seen = [d for d in self._frictions.values() if d["state"] != "retracted"]
        return sorted(seen, key=lambda d: (d["opened_at"], d["kind"], d["friction_id"]))

    @property
    def journeys(self) -> list[dict[str, Any]]:
        """The journeys that a user sees now, in order of time."""
        seen = [j for j in self._journeys.values() if j["state"] != "merged"]
        return sorted(seen, key=lambda j: (j["started_at"], j["journey_id"]))

    def rows(self, kind: str = "") -> list[str]:
        """The standing frictions as lines: "long_wait warning 2m..3m answered"."""
        return [_row(d) for d in self.standing if not kind or d["kind"] == kind]

    def claims(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What another delivery of the same touchpoints must end in."""
        return (
            {d["friction_id"]: tuple(d[name] for name in CLAIMED) for d in self.standing},
            {j["journey_id"]: tuple(j[name] for name in CLAIMED_OF_JOURNEYS) for j in self.journeys},
        )


def _row(d: dict[str, Any]) -> str:
    shadow = " shadow" if d["rule"]["mode"] == "shadow" else ""
    end = f"{offset(d['resolved_at'])} {d['reason']}" if d["state"] == "resolved" else ""
    return f"{d['kind']} {d['severity']} {offset(d['opened_at'])}..{end}{shadow}"


def play(
    told: str | Sequence[Normal],
    until: str = "1h",
    rules: str = "",
    order: Callable[[list[Normal]], Sequence[Normal]] = list,
    every: Callable[[Desk, int], object] | None = None,
    customer: str | None = "maria",
) -> Desk:
    """Tell a story and look at the watermark `until`; `every` is called after each touchpoint, to look or restart."""
    desk = Desk(_rules(rules), customer, customer or "~contact/c1")
    for n, touchpoint in enumerate(order(story(told, customer) if isinstance(told, str) else list(told))):
        desk.tell([touchpoint])
        if every is not None:
            every(desk, n)
    desk.look(until, settle=True)
    return desk


@dataclass(frozen=True)
class Told:
    """One story of a detector, and the lines that a user sees of its kind at the watermark `until`.

    late: touchpoints that come after that look; then: the lines that are seen after them.
    """

    name: str
    text: str
    expect: tuple[str, ...] = ()
    until: str = "2h"
    rules: str = ""
    late: str = ""
    then: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "-")
