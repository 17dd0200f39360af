"""The rules: what counts as friction, from TOML, validated, with defaults for all of it.

What is not said in a rules file stays as `rules.toml` beside this module says. A rule's
digest covers what decides which frictions it finds (not its weight, nor when it notifies);
frictions carry it, so that a change of rules can be told from a change of facts.

A table may be overridden for a topic, a queue, a channel, or what lies in several of them:
each override is the whole table with some values changed, a rule with a digest of its own. Two
overrides that could both be meant are an error, so no order decides.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from importlib.resources import files
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from schemas.problems import Key, Problems
from schemas.times import DAY, parse_duration, parse_time
from schemas.touchpoint import Id, Word
from streams.calendars import Calendar


class RulesError(ValueError):
    """A rules file that cannot be used; the message names file, line, key and what was expected."""


LONGEST = 7305 * DAY
"""Longest duration that a rule can have: 20 years, so that every time it leads to can be written and stored."""
MOST = 512
"""Most that a rule can count: of a customer no more touchpoints of a family are kept for sure."""


def _duration(value: object) -> object:
    try:
        duration = parse_duration(value if isinstance(value, str) else None)
    except OverflowError:
        duration = LONGEST + 1
    if duration > LONGEST:
        raise ValueError(f'expected a duration of at most 20 years, "{LONGEST // DAY}d"')
    return duration


def _moment(value: object) -> object:
    return parse_time(value.isoformat() if isinstance(value, datetime) else value)


Duration = Annotated[int, BeforeValidator(_duration), Field(gt=0)]
Pause = Annotated[int, BeforeValidator(_duration), Field(ge=0)]
Limits = dict[Word, Duration]
Scores = dict[Word, Annotated[float, Field(allow_inf_nan=False)]]
Several = Annotated[int, Field(ge=2, le=MOST)]
Factor = Annotated[float, Field(ge=1, le=1000)]


class Place(Protocol):
    """Where something happened: a contact or an entry."""

    @property
    def topic(self) -> str | None: ...  # noqa: D102
    @property
    def queue(self) -> str | None: ...  # noqa: D102
    @property
    def channel(self) -> str: ...  # noqa: D102


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ignored_types=(cached_property,))


class TimeRules(_Table):
    """How event time is judged. All in microseconds."""

    disorder: Duration
    lateness: Duration
    inactivity_gap: Duration
    journey_every: Duration


class Where(_Table):
    """Where an override applies: everything that it names must be so."""

    topic: Id | None = None
    queue: Id | None = None
    channel: Word | None = None

    def holds(self, place: Place) -> bool:
        """Whether it applies there."""
        return (
            (self.topic is None or self.topic == place.topic)
            and (self.queue is None or self.queue == place.queue)
            and (self.channel is None or self.channel == place.channel)
        )

    def meets(self, other: Where) -> bool:
        """Whether there are places where both apply."""
        return all(
            mine is None or theirs is None or mine == theirs for (_, mine), (_, theirs) in zip(self, other, strict=True)
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self if value is not None)


_NOT_FOUND_BY = {"weight", "cool_down", "effective_from"}


class Rule(_Table):
    """What every rule has.

    weight: points of friction score. expires_after: microseconds. cool_down: microseconds in which
    the same incident notifies but once. effective_from: what opened before (microseconds UTC) is history
    to this rule, and pages nobody.
    """

    mode: Literal["live", "shadow", "off"]
    weight: Annotated[float, Field(ge=0, le=1000)]
    expires_after: Duration
    cool_down: Pause = 0
    effective_from: Annotated[int, BeforeValidator(_moment)] | None = None

    @cached_property
    def overrides(self) -> tuple[tuple[Where, Self], ...]:
        """Where it is otherwise, and how it is there; `parse_rules` sets it."""
        return ()

    def at(self, place: Place) -> Self:
        """The rule as it is there."""
        for where, rule in self.overrides:
            if where.holds(place):
                return rule
        return self

    @property
    def variants(self) -> tuple[Self, ...]:
        """The rule, and each of its overrides."""
        return (self, *(rule for _, rule in self.overrides))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over all that decides what the rule finds."""
        inner: dict[str, Any] = {name: _NOT_FOUND_BY for name, value in self if isinstance(value, Rule)}
        hidden: dict[str, Any] = dict.fromkeys(_NOT_FOUND_BY, True)
        return _digest(self.model_dump_json(exclude=inner | hidden) + self._beside())

    def _beside(self) -> str:
        """What else decides, as text."""
        return ""

    @cached_property
    def table_digest(self) -> str:
        """The same over the rule and its overrides."""
        return _digest(self.digest + "".join(f"\n{where}: {rule.digest}" for where, rule in self.overrides))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


_SAMPLE_FROM, _SAMPLE_DAYS = parse_time("2024-01-01T00:00:00Z"), 1461
_MARGIN = 15 * DAY
"""What a start within a day, or the holidays of a year that was not sampled, may add."""


class Timed(Rule):
    """A rule that waits for the company: where a calendar is named, only its open hours count."""

    calendar: Word | None = None

    @cached_property
    def open(self) -> Calendar | None:
        """The calendar that it names; `parse_rules` sets it."""
        return None

    def _beside(self) -> str:
        return "" if self.open is None else self.open.model_dump_json()

    def after(self, start: int, wait: int) -> int:
        """When so much (open) time has passed since `start`; microseconds."""
        return start + wait if self.open is None else self.open.add(start, wait)

    def longest(self, wait: int) -> int:
        """The most time, closed hours included, in which so much (open) time passes; microseconds."""
        if self.open is None:
            return wait
        known: dict[int, int] = self.__dict__.setdefault("known_longest", {})
        if wait not in known:
            starts = range(_SAMPLE_FROM, _SAMPLE_FROM + _SAMPLE_DAYS * DAY, DAY)
            known[wait] = max(self.open.add(start, wait) - start for start in starts) + _MARGIN
        return known[wait]

    def between(self, start: int, end: int) -> int:
        """The (open) time between two moments, microseconds; negative where they stand the other way round."""
        return end - start if self.open is None or end < start else self.open.open_between(start, end)


class RepeatContact(Rule):
    """Another attempt on the same topic within `window`."""

    window: Duration
    error_from: Several


class DroppedCall(Rule):
    """A call that the network or the system ended."""

    call_back: Duration


class AfterLongerTalk(Rule):
    """The agent hung up after a longer talk, and the customer came back."""

    return_within: Duration
    _short_call: int = PrivateAttr(0)

    def _beside(self) -> str:
        return str(self._short_call)


class AgentDisconnect(Rule):
    """The agent hung up after less than `short_call`."""

    short_call: Duration
    return_within: Duration
    after_longer_talk: AfterLongerTalk

    @model_validator(mode="after")
    def _one_short_call(self) -> Self:
        """What is longer talk depends on what is short: it belongs to the digests of both."""
        self.after_longer_talk._short_call = self.short_call
        return self


class QueueAbandoned(Rule):
    """The customer gave up in the queue."""

    short_abandon: Duration
    window: Duration


class LongWait(Timed):
    """The queue took longer than the channel's limit."""

    error_factor: Factor
    limits: Limits


class TransferLoop(Rule):
    """Handed on too often, or back to where it had been."""

    transfers: Several


class ChannelHop(Rule):
    """The same matter on too many channels."""

    channels: Several
    window: Duration


class SlowReply(Timed):
    """The company did not reply within the channel's limit."""

    error_factor: Factor
    limits: Limits


class BrokenPromise(Timed):
    """Not kept by `due_at` and the grace after it."""

    grace: Pause


class ReopenedCase(Rule):
    """A case that was resolved came back within `window`."""

    window: Duration


class ClosedDoor(Rule):
    """A contact was refused because the channel is closed."""


class RigidProcess(Rule):
    """Denied by policy, or asked for the same thing `asked` times within `window`."""

    asked: Several
    window: Duration


class RageClick(Rule):
    """`clicks` clicks on one element, each less than `apart` and `pixels` from the one before."""

    clicks: Several
    apart: Duration
    pixels: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    failure_within: Duration


class FormStruggle(Rule):
    """`failures` failures of a form within `window`."""

    failures: Several
    window: Duration


class CheckoutAbandoned(Rule):
    """No order within `order_within` of the last start; starts no further apart are one."""

    order_within: Duration


class Lemon(Rule):
    """An asset that is repaired too often or too long; it warns one repair, or `early`, before the limit."""

    same_fault: Several
    any_fault: Several
    out_of_service: Duration
    early: Pause
    more_in_repair_from: Duration
    window: Duration

    @model_validator(mode="after")
    def _early(self) -> Self:
        if self.early >= self.out_of_service:
            raise ValueError("expected `early` to be less than `out_of_service`")
        return self


class LowScore(Rule):
    """A score at or below the scale's limit."""

    limits: Scores
    error: Scores


class Unrecovered(Rule):
    """A low score or a complaint that nobody followed up."""

    within: Duration
    limits: Scores


class AtRisk(Rule):
    """Several frictions, and then silence."""

    frictions: Several
    silence: Duration


class Rules(_Table):
    """All rules, one table a kind; the calendars that they may name."""

    time: TimeRules
    calendars: dict[Word, Calendar] = Field(default_factory=dict)
    repeat_contact: RepeatContact
    dropped_call: DroppedCall
    agent_disconnect: AgentDisconnect
    queue_abandoned: QueueAbandoned
    long_wait: LongWait
    transfer_loop: TransferLoop
    channel_hop: ChannelHop
    slow_reply: SlowReply
    broken_promise: BrokenPromise
    reopened_case: ReopenedCase
    closed_door: ClosedDoor
    rigid_process: RigidProcess
    rage_click: RageClick
    form_struggle: FormStruggle
    checkout_abandoned: CheckoutAbandoned
    lemon: Lemon
    low_score: LowScore
    unrecovered: Unrecovered
    at_risk: AtRisk

    @cached_property
    def named(self) -> dict[str, Rule]:
        """Every rule by its id; a rule inside another's table is called `table.rule`."""
        found: dict[str, Rule] = {}
        for kind, rule in self:
            if isinstance(rule, Rule):
                found[kind] = rule
                found.update((f"{kind}.{name}", inner) for name, inner in rule if isinstance(inner, Rule))
        return found

    def each(self, name: str) -> Iterator[Any]:
        """A value of every rule, those in overrides and inside tables included."""
        for _, table in self:
            for variant in table.variants if isinstance(table, Rule) else ():
                yield getattr(variant, name)
                yield from (getattr(inner, name) for _, inner in variant if isinstance(inner, Rule))

    @cached_property
    def table_digests(self) -> dict[str, str]:
        """By kind: the digest over its table, overrides and rules inside it included."""
        found: dict[str, str] = {}
        for name, rule in self.named.items():
            kind = name.split(".")[0]
            found[kind] = _digest(found.get(kind, "") + rule.table_digest)
        return found


def default_text() -> str:
    """The rules file that holds every default, with comments."""
    return (files("streams") / "rules.toml").read_text(encoding="utf-8")


def filled(text: str) -> dict[str, Any]:
    """The tables of a rules file as they are written, over those of the defaults. Raises TOMLDecodeError."""
    return _over(tomllib.loads(default_text()), tomllib.loads(text))


def parse_rules(text: str = "", name: str = "rules") -> Rules:
    """Rules from the text of a TOML file over the defaults. Raises RulesError."""
    try:
        tables = filled(text)
    except tomllib.TOMLDecodeError as e:
        raise RulesError(f"{name}: not TOML: {e}") from None
    overrides = {
        kind: table.pop("override")
        for kind, table in tables.items()
        if isinstance(table, dict) and "override" in table and kind != "calendars"  # one may be called so
    }
    found = Problems(text, name)
    rules = found.judged(Rules, tables, ())
    if rules is not None:
        for kind, listed in overrides.items():
            rule = getattr(rules, kind, None)
            if isinstance(rule, Rule):
                rule.__dict__["overrides"] = tuple(_overrides(rules, kind, tables[kind], listed, found))
            else:
                found.add((kind, "override"), "unknown key")
        for kind, rule in rules:
            _hang_up(rule, rules.calendars, (kind,), found)
    if rules is None or found.lines:
        raise RulesError("\n".join(found.lines))
    return rules


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _overrides(
    rules: Rules, kind: str, table: dict[str, Any], listed: Any, found: Problems
) -> Iterator[tuple[Where, Any]]:
    if not isinstance(listed, list) or not all(isinstance(given, dict) for given in listed):
        found.add((kind, "override"), f"expected tables headed [[{kind}.override]]")
        return
    before: list[Where] = []
    for i, given in enumerate(listed):
        path = (kind, "override", i)
        named = {key: value for key, value in given.items() if key in Where.model_fields}
        rest = {key: value for key, value in given.items() if key not in named}
        if not named or not rest:
            missing = "a value that differs" if named else "a topic, a queue or a channel, to say where it holds"
            found.add(path, f"expected {missing}")
            continue
        where = found.judged(Where, named, path)
        variant = found.judged(type(getattr(rules, kind)), _over(table, rest), path)
        if where is None or variant is None:
            continue
        for j, other in enumerate(before):
            if where.meets(other):
                both = f"this one ({where}) and override {j + 1} ({other}) can both be meant"
                found.add(path, f"{both}; expected a topic, queue or channel that tells them apart")
        before.append(where)
        _hang_up(variant, rules.calendars, path, found)
        yield where, variant


def _hang_up(rule: Any, calendars: dict[str, Calendar], path: Key, found: Problems) -> None:
    """Give a rule the calendar that it names."""
    if not isinstance(rule, Timed) or rule.calendar is None:
        return
    rule.__dict__["open"] = calendars.get(rule.calendar)
    if rule.open is None:
        known = f"one of {', '.join(sorted(calendars))}" if calendars else f"a table [calendars.{rule.calendar}]"
        found.add((*path, "calendar"), f'there is no calendar "{rule.calendar}"; expected {known}')
