"""Rules files for people: what is in force, what differs from the defaults, what is doubtful, what a kind means.

A `Sheet` is the rules twice: as they are written, with the defaults filled in, for what is shown and written; and as
they are parsed, for what is compared, so that "168h" is not said to differ from "7d".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.errors import REASONS
from schemas.times import format_duration, format_time
from streams.detectors.feedback import SCALES
from streams.rules import LowScore, Rule, Rules, Unrecovered, Where, default_text, filled
from volvere.rules_texts import COMMON, MEANINGS, MODES, TIME
from volvere.trial import Compared, Found, Trial
from volvere.worker import load_rules

CHANNELS = frozenset({"voice", "chat", "sms", "email", "social", "web", "store"})
"""The channels that the contract of touchpoints names; any other word is one as well."""
UNSAID = {"cool_down": "0s", "effective_from": "the first worker that met it", "calendar": "none"}
"""What holds where these are not written."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """Rules as they are parsed, and `tables`: as they are written, with the defaults filled in."""

    rules: Rules
    tables: dict[str, Any]


@dataclass(frozen=True)
class Value:
    """A value as it is written. `default`: what it is otherwise, None if nothing; `differs`: whether that means anything else."""

    key: Key
    written: Any
    default: Any
    differs: bool

    @property
    def name(self) -> str:
        """Its key within the table."""
        return ".".join(self.key[1:])

    @property
    def meaning(self) -> str:
        """What it is, in words; "" where the words are those of the whole."""
        table, *rest = self.key
        known = TIME if table == "time" else COMMON | MEANINGS[table].values
        return known.get(".".join(rest)) or known.get(rest[0], "")


def read(path: Path | None) -> Sheet:
    """The sheet of a rules file; without one that of the defaults. Raises RulesError."""
    rules = load_rules(path)
    return Sheet(rules, filled("" if path is None else path.read_text(encoding="utf-8")))


DEFAULTS = read(None)


def values(sheet: Sheet, table: str) -> list[Value]:
    """The values of a table, its overrides left out."""
    return list(_values(sheet.tables[table], (table,), sheet, DEFAULTS))


def overrides(sheet: Sheet, kind: str) -> list[tuple[Where, Rule, list[Value]]]:
    """Of each override: where it holds, the rule there, and what it says, beside what the table says."""
    rule: Rule = getattr(sheet.rules, kind)
    found = []
    for (where, variant), given in zip(rule.overrides, sheet.tables[kind].get("override", []), strict=True):
        said = {key: value for key, value in given.items() if key not in Where.model_fields}
        there = Sheet(sheet.rules.model_copy(update={kind: variant}), {kind: said})
        found.append((where, variant, list(_values(said, (kind,), there, sheet))))
    return found


def _values(table: Mapping[str, Any], key: Key, sheet: Sheet, other: Sheet) -> Iterator[Value]:
    for name, written in table.items():
        here = (*key, name)
        if isinstance(written, dict):
            yield from _values(written, here, sheet, other)
        elif here[1:] != ("override",):
            default = _at(other.tables, here)
            if default is None:
                default = UNSAID.get(name)
            yield Value(here, written, default, _at(sheet.rules, here) != _at(other.rules, here))


def _at(tree: Any, key: Key) -> Any:
    for part in key:
        tree = tree.get(part) if isinstance(tree, dict) else getattr(tree, part, None)
    return tree


def kinds(rules: Rules) -> list[str]:
    """The kinds of friction, in the order of the documentation."""
    return [kind for kind, rule in rules if isinstance(rule, Rule)]


# -- differences and doubts


def differences(sheet: Sheet) -> list[str]:
    """What differs from the defaults, a sentence each."""
    said = []
    for table in ("time", *kinds(sheet.rules)):
        said += [_sentence(table, v) for v in values(sheet, table) if v.differs]
        if table != "time":
            for where, _, changed in overrides(sheet, table):
                said += [_sentence(f"{table}, {where}", v) for v in changed if v.differs]
    return said + [f"calendar {name}: {_hours(written)}" for name, written in _calendars(sheet)]


def _sentence(place: str, v: Value) -> str:
    instead = "" if v.default is None else f" instead of {plain(v.default)}"
    meaning = MODES.get(str(v.written), "") if v.key[-1] == "mode" else v.meaning
    return f"{place}: {v.name} is {plain(v.written)}{instead}" + (f" ({meaning})" if meaning else "")


def _calendars(sheet: Sheet) -> list[tuple[str, dict[str, Any]]]:
    return list(sheet.tables.get("calendars", {}).items())


def _hours(written: dict[str, Any]) -> str:
    hours = ", ".join(f"{days} {plain(spans)}" for days, spans in written["hours"].items())
    free = f", not on holidays of {written['holidays']}" if written.get("holidays") else ""
    closed = f", nor on {plain(written['closed'])}" if written.get("closed") else ""
    return f"{hours} in {written['zone']}{free}{closed}"


def doubts(sheet: Sheet, now: int) -> list[str]:
    """What is legal, and may all the same not be meant. now: microseconds UTC."""
    found: list[str] = []
    used: set[str | None] = set()
    for kind in kinds(sheet.rules):
        rule: Rule = getattr(sheet.rules, kind)
        used.update(getattr(v, "calendar", None) for v in rule.variants)
        if rule.mode == "off":
            found.append(f"{kind}.mode: off finds and records nothing; shadow records, and notifies nobody")
        found += _doubtful(kind, rule, now)
        for (where, variant, said), i in zip(overrides(sheet, kind), range(1, 1000), strict=False):
            name = f"{kind}.override.{i}"
            if not any(v.differs for v in said):
                found.append(f"{name} ({where}): changes nothing: all that it says is what the table says")
            if where.channel is not None and where.channel not in CHANNELS:
                found.append(f'{name}.channel: "{where.channel}" is no usual channel; is it what your touchpoints say?')
            found += [text for text in _doubtful(name, variant, now) if text.replace(name, kind, 1) not in found]
    found += [
        f'calendars.{name}: no rule names it; say calendar = "{name}" in long_wait, slow_reply or broken_promise'
        for name in sheet.rules.calendars.keys() - used
    ]
    return found


def _doubtful(name: str, rule: Rule, now: int) -> Iterator[str]:
    if rule.effective_from is not None and rule.effective_from > now:
        yield f"{name}.effective_from: {moment(rule.effective_from)} is still to come: until then it pages nobody"
    limits: Mapping[str, float] = getattr(rule, "limits", {})
    if isinstance(rule, LowScore | Unrecovered):
        for scale, limit in limits.items():
            worst, best = SCALES.get(scale, (limit, limit + 1))
            if scale not in SCALES:
                yield f'{name}.limits.{scale}: "{scale}" is no scale that is known ({", ".join(SCALES)}): any score is taken'
            elif not worst <= limit < best:
                what = "every" if limit >= best else "no"
                yield f"{name}.limits.{scale}: on a scale from {worst} to {best} that makes {what} score a low one"
    else:
        for channel in limits:
            if channel not in CHANNELS:
                yield f'{name}.limits.{channel}: "{channel}" is no usual channel; is it what your touchpoints say?'
    if isinstance(rule, LowScore):
        for scale, error in rule.error.items():
            if error >= rule.limits.get(scale, error + 1):
                yield f"{name}.error.{scale}: as high as the limit: every low score is an error"
    same, every = getattr(rule, "same_fault", 0), getattr(rule, "any_fault", 0)
    if same > every:
        yield f"{name}.same_fault: {same} is more than any_fault ({every}), so it is never what counts"


# -- as TOML


def toml(sheet: Sheet) -> str:
    """A complete rules file with the defaults' comments, which parses to the same rules."""
    lines: list[str] = []
    table: dict[str, Any] = {}
    default: dict[str, Any] = {}
    left: list[str] = []

    def rest() -> None:
        """What the table has besides the defaults goes to its end, before the empty line."""
        place = len(lines)
        while place and not lines[place - 1]:
            place -= 1
        lines[place:place] = [f"{_key(name)} = {_toml(table[name])}" for name in left]

    for line in default_text().splitlines():
        if header := re.match(r"\[([\w.]+)\]", line):
            rest()
            key = tuple(header[1].split("."))
            table, default = _at(sheet.tables, key), _at(DEFAULTS.tables, key)
            left = [n for n, v in table.items() if n not in default and n != "override"]
        elif (said := re.match(r"(\w+) = (.*?)(\s+#.*)?$", line)) and table[said[1]] != default[said[1]]:
            comment = f"  {said[3].strip()}" if said[3] else ""
            line = f"{said[1]} = {_toml(table[said[1]])}{comment}"  # noqa: PLW2901
        lines.append(line)
    rest()
    for name, written in _calendars(sheet):
        lines += ["", f"[calendars.{_key(name)}]", *(f"{_key(k)} = {_toml(v)}" for k, v in written.items())]
    for kind in kinds(sheet.rules):
        for given in sheet.tables[kind].get("override", []):
            lines += ["", f"[[{kind}.override]]", *(f"{_key(k)} = {_toml(v)}" for k, v in given.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):  # JSON's escapes are TOML's, but for one character that JSON leaves as it is
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return value.isoformat() if isinstance(value, date | datetime) else repr(value)


# -- for people and programs


def plain(value: Any) -> str:
    """A value as a person would write it."""
    if isinstance(value, list):
        return " and ".join(map(plain, value))
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def moment(micros: int) -> str:
    """A time for people, to the minute, UTC."""
    return format_time(micros)[:16].replace("T", " ")


def as_json(sheet: Sheet) -> dict[str, Any]:
    """The rules in force for programs: as written, with digests, and what differs."""
    return {
        "time": sheet.tables["time"],
        "calendars": {name: calendar.model_dump() for name, calendar in sheet.rules.calendars.items()},
        "rules": {kind: _rule_json(sheet, kind) for kind in kinds(sheet.rules)},
        "differences": differences(sheet),
    }


def _rule_json(sheet: Sheet, kind: str) -> dict[str, Any]:
    rule: Rule = getattr(sheet.rules, kind)
    table = {name: value for name, value in sheet.tables[kind].items() if name != "override"}
    table |= {"cool_down": format_duration(rule.cool_down)}
    table |= {"effective_from": None if rule.effective_from is None else format_time(rule.effective_from)}
    return table | {
        "digest": rule.digest,
        "differs": sorted(v.name for v in values(sheet, kind) if v.differs),
        "overrides": [
            {"where": where.model_dump(exclude_none=True), "values": {v.name: plain(v.written) for v in said}}
            | {"digest": variant.digest}
            for where, variant, said in overrides(sheet, kind)
        ],
    }


def shown(sheet: Sheet) -> RenderableType:
    """The rules in force as a table; what differs from the defaults is marked with a star."""
    table = Table("rule", "mode", "weight", "values", "digest", box=None, pad_edge=False, header_style="bold")
    table.columns[2].justify = "right"
    for kind in kinds(sheet.rules):
        rule: Rule = getattr(sheet.rules, kind)
        said = {v.name: v for v in values(sheet, kind)}
        mode, weight = _marked(said.pop("mode"), ""), _marked(said.pop("weight"), "")
        table.add_row(Text(kind, "bold"), mode, weight, _listed(list(said.values())), Text(rule.digest, "dim"))
        for where, variant, changed in overrides(sheet, kind):
            table.add_row(Text(f"  {where}", "cyan"), "", "", _listed(changed), Text(variant.digest, "dim"))
    table.add_row(Text("time", "bold"), "", "", _listed(values(sheet, "time")), "")
    for name, written in _calendars(sheet):
        table.add_row(Text(f"calendar {name}", "bold"), "", "", Text(f"* {_hours(written)}", "yellow"), "")
    count = len(differences(sheet))
    note = (
        "These are the defaults." if not count else f"* differs from the defaults ({count}); in brackets what they say."
    )
    return Group(table, Text(f"\n{note}", "dim"))


def _listed(said: list[Value]) -> Text:
    return Text(", ").join(_marked(v, f"{v.name} ") for v in said)


def _marked(v: Value, name: str) -> Text:
    text = Text(f"{name}{plain(v.written)}")
    if v.differs:
        text = Text(f"*{name}{plain(v.written)}", "yellow")
        if v.default is not None:
            text.append(f" [{plain(v.default)}]", "dim")
    return text


def explained(sheet: Sheet, kind: str) -> RenderableType:
    """A kind of friction in words, with the values in force and an example."""
    told = MEANINGS[kind]
    about = _grid()
    for name in ("opens", "anchor", "severity", "resolves", "source"):
        about.add_row(name, getattr(told, name))
    in_force = _grid()
    in_force.add_column(style="dim")
    said = values(sheet, kind)
    there = {v.key[1] for v in said}
    unsaid = [name for name in type(getattr(sheet.rules, kind)).model_fields if name not in there]
    for v in said:
        in_force.add_row(v.name, _marked(v, ""), v.meaning)
    for name in unsaid:
        in_force.add_row(name, UNSAID[name], COMMON[name])
    for where, _, changed in overrides(sheet, kind):
        in_force.add_row(Text(str(where), "cyan"), _listed(changed), "")
    story = Table("when", "touchpoint", "what it is", box=None, pad_edge=False, header_style="dim")
    for when, touchpoint, what in told.example:
        story.add_row(when, Text(touchpoint), Text(what))
    when, severity = told.found
    return Group(
        Text(f"{kind}: {told.finds}", "bold"),
        Text(),
        about,
        Text("\nIn force", "bold"),
        in_force,
        Text("\nFor example, by default", "bold"),
        story,
        Text(f"At {when} this is found: {severity}."),
    )


def tried(trial: Trial) -> RenderableType:
    """What two sets of rules find in a file, beside each other, with examples of what differs."""
    facts = _grid()
    facts.columns[1].justify = "right"
    facts.add_row("touchpoints read", f"{trial.read:,}")
    facts.add_row("subjects", f"{trial.subjects:,}")
    for why, count in sorted(trial.left_out.items()):
        facts.add_row(f"left out: {why}", f"{count:,}")
    for reason, count in sorted(trial.refused.items()):
        facts.add_row(f"refused: {REASONS.get(reason, reason)}", f"[red]{count:,}[/red]")
    for rules, count in zip(("present", "new"), trial.too_late, strict=True):
        if count:
            facts.add_row(f"too late for the {rules} rules", f"[yellow]{count:,}[/yellow]")
    if trial.last:
        facts.add_row("from", moment(trial.first))
        facts.add_row("to", moment(trial.last))
    table = Table("friction", "present", "new rules", "new", "gone", "changed", box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, c in trial.kinds.items():
        table.add_row(kind, _count(c.now, c.now_live), _count(c.then, c.then_live), *_moved(c))
    examples: list[RenderableType] = []
    for kind, c in trial.kinds.items():
        rows = [("new", f, "green") for f in c.new] + [("gone", f, "red") for f in c.gone]
        if rows or c.changed:
            how = "".join(f", {count:,} {what}" for what, count in c.changes.most_common())
            examples.append(Text(f"\n{kind}: {c.new_count:,} new, {c.gone_count:,} gone{how}", "bold"))
            examples += [_example(what, f, colour) for what, f, colour in rows]
            examples += [_example(what, f, "yellow") for what, f in c.changed]
    if not trial.kinds:
        return Group(facts, Text("\nNo friction is found, under either rules."))
    return Group(facts, Text(), table, *(examples or [Text("\nBoth find the same.")]))


def _count(count: int, live: int) -> str:
    return f"{count:,}" if count == live else f"{count:,} ({count - live:,} in shadow)"


def _moved(c: Compared) -> list[str]:
    return [f"{count:,}" if count else "" for count in (c.new_count, c.gone_count, c.changed_count)]


def _example(what: str, f: Found, colour: str) -> Text:
    line = Text(f"  {what:<6} ", colour, no_wrap=True, overflow="ignore")
    return line.append(
        f"{moment(f.opened_at)}  {f.customer or 'unknown customer'}  {f.severity}  {f.summary}", "default"
    )


def tried_json(trial: Trial) -> dict[str, Any]:
    """The same for programs."""
    kinds = {
        kind: {
            "present": c.now,
            "present_live": c.now_live,
            "new_rules": c.then,
            "new_rules_live": c.then_live,
            "new": c.new_count,
            "gone": c.gone_count,
            "changed": dict(c.changes),
            "examples": {
                "new": [_example_json(f) for f in c.new],
                "gone": [_example_json(f) for f in c.gone],
                "changed": [{"change": how} | _example_json(f) for how, f in c.changed],
            },
        }
        for kind, c in trial.kinds.items()
    }
    return {
        "read": trial.read,
        "subjects": trial.subjects,
        "left_out": trial.left_out,
        "refused": trial.refused,
        "problems": trial.problems,
        "too_late": {"present": trial.too_late[0], "new_rules": trial.too_late[1]},
        "frictions": kinds,
    }


def _example_json(f: Found) -> dict[str, Any]:
    return {
        "customer_id": f.customer,
        "opened_at": format_time(f.opened_at),
        "severity": f.severity,
        "mode": f.mode,
        "summary": f.summary,
    }


def _grid() -> Table:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    return grid
