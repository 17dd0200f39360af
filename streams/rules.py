"""The rules: what counts as friction, from TOML, validated, with defaults for all of it.

What is not said in a rules file stays as `rules.toml` beside this module says. A rule's
digest covers what decides which frictions it finds (all but its weight); frictions carry it,
so that a change of rules can be told from a change of facts.
"""

from __future__ import annotations

import re
import tomllib
from functools import cached_property
from hashlib import blake2b
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from schemas.times import parse_duration
from schemas.touchpoint import Word


class RulesError(ValueError):
    """A rules file that cannot be used; the message names file, line, key and what was expected."""


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else parse_duration(None)


Duration = Annotated[int, BeforeValidator(_duration), Field(gt=0)]
Limits = dict[Word, Duration]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ignored_types=(cached_property,))


class TimeRules(_Table):
    """How event time is judged. All in microseconds."""

    disorder: Duration
    lateness: Duration
    inactivity_gap: Duration
    journey_every: Duration


class Rule(_Table):
    """What every rule has. `weight`: points of friction score; `expires_after`: microseconds."""

    mode: Literal["live", "shadow", "off"]
    weight: Annotated[float, Field(ge=0, le=1000)]
    expires_after: Duration

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over all that decides what the rule finds."""
        weights: dict[str, Any] = {name: {"weight"} for name, inner in self if isinstance(inner, Rule)}
        return blake2b(self.model_dump_json(exclude=weights | {"weight": True}).encode(), digest_size=8).hexdigest()


class RepeatContact(Rule):
    """Another attempt on the same topic within `window`."""

    window: Duration
    error_from: Annotated[int, Field(ge=2)]


class DroppedCall(Rule):
    """A call that the network or the system ended."""

    call_back: Duration


class AfterLongerTalk(Rule):
    """The agent hung up after a longer talk, and the customer came back."""

    return_within: Duration


class AgentDisconnect(Rule):
    """The agent hung up after less than `short_call`."""

    short_call: Duration
    return_within: Duration
    after_longer_talk: AfterLongerTalk


class QueueAbandoned(Rule):
    """The customer gave up in the queue."""

    short_abandon: Duration
    window: Duration


class LongWait(Rule):
    """The queue took longer than the channel's limit."""

    error_factor: Annotated[float, Field(ge=1)]
    limits: Limits


class SlowReply(Rule):
    """The company did not reply within the channel's limit."""

    error_factor: Annotated[float, Field(ge=1)]
    limits: Limits


class Rules(_Table):
    """All rules, one table a kind."""

    time: TimeRules
    repeat_contact: RepeatContact
    dropped_call: DroppedCall
    agent_disconnect: AgentDisconnect
    queue_abandoned: QueueAbandoned
    long_wait: LongWait
    slow_reply: SlowReply

    @cached_property
    def named(self) -> dict[str, Rule]:
        """Every rule by its id; a rule inside another's table is called `table.rule`."""
        found: dict[str, Rule] = {}
        for kind, rule in self:
            if isinstance(rule, Rule):
                found[kind] = rule
                found.update((f"{kind}.{name}", inner) for name, inner in rule if isinstance(inner, Rule))
        return found


def default_text() -> str:
    """The rules file that holds every default, with comments."""
    return (files("streams") / "rules.toml").read_text(encoding="utf-8")


def parse_rules(text: str = "", name: str = "rules") -> Rules:
    """Rules from the text of a TOML file over the defaults. Raises RulesError."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise RulesError(f"{name}: not TOML: {e}") from None
    try:
        return Rules.model_validate(_over(tomllib.loads(default_text()), given))
    except ValidationError as e:
        raise RulesError("\n".join(_explain(error, text, name) for error in e.errors(include_url=False))) from None


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: Any, text: str, name: str) -> str:
    path = [str(part) for part in error["loc"] if part != "[key]"]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known(path[:-1])
        message = "unknown key" + (f"; expected one of {', '.join(known)}" if known else "")
    return f"{name}{_line(path, text)}: {'.'.join(path)}: {message[0].lower() + message[1:]}"


def _known(path: list[str]) -> list[str]:
    model: Any = Rules
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return sorted(getattr(model, "model_fields", {}))


def _line(path: list[str], text: str) -> str:
    """The ":LINE" of the key, as well as can be told without a second parser; "" if it is not written out."""
    table, best = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            table = header[1]
            if ".".join(path).startswith(table):
                best = f":{number}"
        elif (key := re.match(r"\s*([A-Za-z0-9_.\-\"]+)\s*=", line)) and ".".join(path).startswith(
            f"{table}.{key[1]}" if table else key[1]
        ):
            return f":{number}"
    return best
