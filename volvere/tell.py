"""One friction, and one customer's story, as a person would tell them in a terminal.

Pure: from what `volvere.explain` found to something that rich can print. Whatever a sender wrote is shown without
control characters, so that nobody's id can move the cursor. A journey has a bounded number of lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.times import SECOND, parse_time
from volvere import words
from volvere.explain import Chapter, Explained, Life, Row

COLOURS = {"info": "cyan", "warning": "yellow", "error": "red", "critical": "bold red"}
FIRST_LINES, LAST_LINES = 10, 30
"""How many lines of a long journey are shown, of its beginning and of its end."""
OPEN_LINES = 10


# One friction


def friction(e: Explained, zone: tzinfo = UTC) -> RenderableType:
    """What happened, to whom, when and why it ended, the evidence, the rule, and what would have prevented it."""
    f = _printable(e.friction)
    evidence = _printable(e.evidence)
    head = Text(f["summary"], style="bold")
    head.append(f"  {f['kind']}", style="not bold")
    head.append(f"  {f['severity']}", style=f"not bold {COLOURS.get(f['severity'], '')}")
    facts = _facts_table()
    _row(facts, "who", ", ".join(_where(f)))
    _row(facts, "opened", _time(f["opened_at"], zone))
    _row(facts, "ended", _end(f, zone))
    _row(facts, "observed", _observed(f))
    _row(facts, "limit", _limit(f))
    _row(facts, "rule", f"{f['rule_id']}, {f['mode']}, digest {f['rule_digest']}")
    for note in _notes(f, zone):
        _row(facts, "note", note)
    if f["contact_id"]:
        _row(facts, "contact", f["contact_id"])
    if e.journey:
        j = _printable(e.journey)
        _row(facts, "journey", f"{j['journey_id']}: {_span(j['started_at'], j['ended_at'], zone)}; {_journey(j)}")
    _row(facts, "id", f["friction_id"])
    parts: list[RenderableType] = [head, Text(), facts, Text(), _heading("Evidence")]
    parts.append(_evidence(evidence, f, zone) if evidence else Text("None is kept any more."))
    parts += [Text(), _heading("What would have prevented it")]
    parts.append(
        Text(f"{_printable(e.prevented)}." if e.prevented else "Nothing is known about frictions of this kind.")
    )
    parts += [Text(), Text(f"Times are {zone}.", style="dim")]
    return Group(*parts)


def _where(f: Row) -> Iterator[str]:
    yield f["customer_id"] or f"an unknown customer ({f['subject']})"
    if f["channel"]:
        yield f"on {f['channel']}"
    for name in ("queue", "agent_id", "product", "asset_id", "release"):
        if f[name]:
            yield f"{name.removesuffix('_id')} {f[name]}"
    yield f"about {f['topic']}" if f["topic"] else "no topic"


def _end(f: Row, zone: tzinfo) -> Text:
    if f["resolved_at"] is None:
        return Text(f"not yet: provisional until {_time(f['final_at'], zone)}, when it ends by itself", style="yellow")
    after = _seconds(f["opened_at"], f["resolved_at"])
    when = f"{_time(f['resolved_at'], zone)}, {'at once' if after == 0 else f'after {words.length(after)}'}"
    reason, said = f["reason"], words.ended(f["reason"])
    return Text(f"{when}: {reason}, {said}" if reason and said != reason else f"{when}: {said}", style="green")


def _observed(f: Row) -> str:
    if f["observed_value"] is None:
        return "not kept any more"
    text = words.measure(f["observed_value"], f["observed_unit"], f["observed_window"])
    also = f["observed_also"].items()
    return text + "".join(f"; {words.number(value)} within {words.duration(window)}" for window, value in also)


def _limit(f: Row) -> str:
    if f["threshold_value"] is None:
        return "not kept any more"
    return words.limit(f["rule_id"], f["threshold_value"], f["threshold_unit"], f["threshold_window"])


def _notes(f: Row, zone: tzinfo) -> Iterator[str]:
    if f["provisional"] and f["resolved_at"]:
        yield f"provisional: time alone can still change it, until {_time(f['final_at'], zone)}"
    if f["mode"] == "shadow":
        yield "on trial (shadow): recorded, nobody is notified"
    if f["replay"]:
        yield "found in history (replay): nobody is paged"
    if f["suppressed"]:
        yield "suppressed: recorded without notifying anybody"
    if f["corrected"]:
        yield "corrected: late touchpoints changed what was said before"


def _evidence(evidence: list[Row], f: Row, zone: tzinfo) -> Table:
    table = Table(
        *("when", "", "later by", "role", "kind", "what else is known"), box=None, pad_edge=False, header_style="dim"
    )
    table.columns[2].justify = "right"
    day = before = ""
    for e in evidence:
        date, _, clock = _time(e["occurred_at"], zone).rpartition(" ")
        gap = words.length(_seconds(before, e["occurred_at"])) if before else ""
        known = ", ".join(_known(e, f, zone)) if "kind" in e else "not in the store: cancelled since, or not stored yet"
        _row(table, date if date != day else "", clock, gap, e["role"], e.get("kind", "?"), known)
        day, before = date, e["occurred_at"]
    return table


def _known(t: Row, friction: Row | None, zone: tzinfo) -> Iterator[str]:
    """The other facts of a touchpoint; of its contact only where that is not the friction's own."""
    yield str(t["channel"])
    for name in ("direction", "automatic"):
        if t[name] and t[name] != "inbound":
            yield str(t[name]) if name == "direction" else name
    named = {
        "topic": "about", "queue": "queue", "agent_id": "agent", "product": "product", "asset_id": "asset",
        "release": "release", "ref": "ref", "ended_by": "ended by", "reason": "reason", "reason_code": "code",
        "outcome": "outcome", "element": "element",
    }  # fmt: skip
    for name, word in named.items():
        if t[name]:
            yield f"{word} {t[name]}"
    for name, word in (("wait_ms", "waited"), ("handle_ms", "handled in"), ("hold_ms", "on hold for")):
        if t[name] is not None:
            yield f"{word} {words.length(t[name] / 1000)}"
    if t["score"] is not None:
        yield f"scored {words.measure(t['score'], t['scale'] or '')}".rstrip()
    if t["amount"] is not None:
        yield _money(t["currency"] or "XXX", t["amount"])
    if t["due_at"]:
        yield f"due {_time(t['due_at'], zone)}"
    if t["x"] is not None and t["y"] is not None:
        yield f"at {words.number(t['x'])}, {words.number(t['y'])}"
    if t["contact_id"] and (friction is None or t["contact_id"] != friction["contact_id"]):
        yield f"contact {t['contact_id']}"
    yield from (f"{key} {value}" for key, value in t["attributes"].items())


# One customer


class _Line(NamedTuple):
    """One line of a journey: its time in microseconds, which of several at that time comes first, and what it says."""

    at: int
    order: int
    text: Text


@dataclass
class _Run:
    """Neighbours of one kind and channel outside of contacts."""

    first: Row
    last: Row
    count: int = 1


def customer(life: Life, zone: tzinfo = UTC) -> RenderableType:
    """Who it is, how much there is in all, what is open, and the journeys one after the other, the newest last."""
    totals, shown = life.totals, len(life.chapters)
    who = _printable(life.customer_id or f"An unknown customer ({life.subject})")
    head = Text(str(who), style="bold")
    if life.at_risk:
        head.append("  at risk", style="bold red")
    facts = _facts_table()
    _row(facts, "seen", _span(totals["first_seen"], totals["last_seen"], zone))
    _row(facts, "in all", ", ".join(_count(totals[n], n[:-1]) for n in ("journeys", "contacts", "touchpoints")))
    shadow = f"; on trial (shadow): {totals['shadow']:,}" if totals["shadow"] else ""
    _row(facts, "frictions", f"{totals['frictions']:,}, of them open: {len(life.open):,}{shadow}")
    if life.amounts:
        _row(facts, "amounts", ", ".join(_money(*item) for item in life.amounts.items()))
    for n, f in enumerate(_printable(life.open[-OPEN_LINES:])):
        _row(facts, "open" if n == 0 else "", _friction(f, f"since {_time(f['opened_at'], zone)}: {f['summary']}"))
    if len(life.open) > OPEN_LINES:
        _row(facts, "", f"and {len(life.open) - OPEN_LINES:,} that opened earlier")
    parts: list[RenderableType] = [head, Text(), facts]
    earlier = totals["journeys"] - shown
    if earlier > 0:
        left = f"{_count(earlier, 'earlier journey')} left out; --last {totals['journeys']} shows all"
        parts += [Text(), Text(left, style="dim")]
    for n, chapter in enumerate(life.chapters, max(earlier, 0) + 1):
        parts += [Text(), *_chapter(chapter, f"Journey {n} of {max(totals['journeys'], shown)}", zone)]
    if not life.chapters:
        parts += [
            Text(),
            Text("No journey is in the store: what there is came too late for one, or is not tracked yet."),
        ]
    parts.append(Text())
    if life.cut:
        cut = ", ".join(_count(count, name[:-1]) for name, count in life.cut.items())
        parts.append(Text(f"Not among these: {cut} (too many to show, or too late for a journey).", style="dim"))
    parts.append(Text(f"Times are {zone}.", style="dim"))
    return Group(*parts)


def _chapter(chapter: Chapter, name: str, zone: tzinfo) -> Iterator[RenderableType]:
    j = _printable(chapter.journey)
    yield _heading(f"{name}: {_span(j['started_at'], j['ended_at'], zone)}")
    yield Text(f"{_journey(j)}; id {j['journey_id']}", style="dim")
    lines = [line.text for line in sorted(_lines(_printable_chapter(chapter), zone), key=lambda line: line[:2])]
    if len(lines) > FIRST_LINES + LAST_LINES:
        left = len(lines) - FIRST_LINES - LAST_LINES
        lines[FIRST_LINES:-LAST_LINES] = [Text(f"  ... {_count(left, 'line')} left out ...", style="dim")]
    yield from lines


def _lines(chapter: Chapter, zone: tzinfo) -> Iterator[_Line]:
    """The lines of a journey, in no order. What opens or ends at a moment is told after what happened then."""
    breaks = [c["started_at"] for c in chapter.contacts]
    for f in chapter.frictions:
        breaks += [f["opened_at"], f["resolved_at"]] if f["resolved_at"] else [f["opened_at"]]
    for c in chapter.contacts:
        yield _line(c["started_at"], 0, Text(f"{' '.join(_about(c))}: {', '.join(_course(c))}"), zone)
    for run in _runs(chapter.touchpoints, sorted(parse_time(b) for b in breaks)):
        text = Text(f"{run.first['kind']}")
        if run.count > 1:
            text.append(
                f" {run.count:,} times until {_time(run.last['occurred_at'], zone)[:-3]}, {run.first['channel']}"
            )
        else:
            text.append(f": {', '.join(_known(run.first, None, zone))}")
        yield _line(run.first["occurred_at"], 1, text, zone)
    for f in chapter.frictions:
        yield _line(f["opened_at"], 2, _friction(f, f"opened: {f['summary']}"), zone)
        if f["resolved_at"]:
            after = _roughly(_seconds(f["opened_at"], f["resolved_at"]))
            said = Text(f"{f['kind']} ended after {after}: {f['reason'] or words.ended(None)}", style="green")
            yield _line(f["resolved_at"], 3, said.append(f"  {f['friction_id'][:8]}", style="dim"), zone)


def _about(c: Row) -> Iterator[str]:
    if c["direction"] == "outbound":
        yield "outbound"
    yield str(c["channel"])
    if c["topic"]:
        yield f"about {c['topic']}"


def _course(c: Row) -> Iterator[str]:
    """How a contact went."""
    waited = f" after {_roughly(c['wait_ms'] / 1000)}" if c["wait_ms"] is not None else ""
    if c["abandoned"]:
        yield f"given up{waited}{' in the queue' if c['abandoned_in'] == 'queue' else ''}"
    if c["answered_at"]:
        yield f"answered{'' if c['abandoned'] else waited}"
    if c["agent_id"]:
        yield f"agent {c['agent_id']}"
    if c["transfers"]:
        yield _count(c["transfers"], "transfer")
    if c["handle_ms"] is not None:
        yield f"handled in {_roughly(c['handle_ms'] / 1000)}"
    if c["ended_by"]:
        yield f"ended by {c['ended_by']}"
    if c["outcome"]:
        yield f"outcome {c['outcome']}"
    yield _count(c["touchpoints"], "touchpoint")


def _runs(touchpoints: list[Row], breaks: list[int]) -> Iterator[_Run]:
    """Touchpoints of one kind and channel in a row are one line, unless something else is told between them."""
    run: _Run | None = None
    for t in touchpoints:
        if run is not None and all(t[name] == run.last[name] for name in ("kind", "channel", "score", "amount")):
            last, at = parse_time(run.last["occurred_at"]), parse_time(t["occurred_at"])
            if bisect_right(breaks, last) >= bisect_left(breaks, at):
                run.last, run.count = t, run.count + 1
                continue
        if run is not None:
            yield run
        run = _Run(t, t)
    if run is not None:
        yield run


def _friction(f: Row, said: str) -> Text:
    text = Text(f["kind"], style=COLOURS.get(f["severity"], ""))
    text.append(f" {said}")
    if f["mode"] == "shadow":
        text.append(" (shadow)", style="dim")
    return text.append(f"  {f['friction_id'][:8]}", style="dim")


def _line(at: str, order: int, text: Text, zone: tzinfo) -> _Line:
    date, _, clock = _time(at, zone).rpartition(" ")
    when = (f"  {date:<15} {clock[:-3]}  ", "dim")
    return _Line(parse_time(at), order, Text.assemble(when, "    " if order > 1 else "", text))


# Both


def _journey(j: Row) -> str:
    """What a journey amounts to."""
    path = j.get("path") or list(dict.fromkeys((j["first_channel"], j["last_channel"])))
    parts = [
        " → ".join(path if len(path) <= 7 else [*path[:3], "...", *path[-3:]]),
        *(_count(j[name], name[:-1]) for name in ("touchpoints", "contacts", "frictions")),
        f"score {words.number(j['score'])}",
    ]
    if j.get("outcome"):
        parts.append(f"outcome {j['outcome']}")
    parts += [_money(*item) for item in (j.get("amounts") or {}).items()]
    if j.get("came_back"):
        parts.append("came back")
    return ", ".join(parts)


def _money(currency: str, amount: str) -> str:
    """An amount with two digits, or with as many as it needs; XXX is none of the currencies."""
    text = f"{Decimal(amount):,.4f}"
    text = text[:-2] if text.endswith("00") else text.rstrip("0")
    return text if currency == "XXX" else f"{currency} {text}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _span(begin: str, end: str, zone: tzinfo) -> str:
    if begin == end:
        return _time(begin, zone)
    return f"{_time(begin, zone)} to {_time(end, zone)} ({words.length(_seconds(begin, end))})"


def _time(text: str, zone: tzinfo) -> str:
    """RFC 3339 as a person in that zone would write it: "Mon 6 Jan 2025 09:02:10"."""
    at = datetime.fromtimestamp(parse_time(text) // SECOND, UTC).astimezone(zone)
    return f"{at:%a} {at.day} {at:%b %Y %H:%M:%S}"


def _roughly(seconds: float) -> str:
    """A length of time without what is less than a second, unless that is all."""
    return words.length(round(seconds) if seconds >= 1 else seconds)


def _seconds(begin: str, end: str) -> float:
    return (parse_time(end) - parse_time(begin)) / SECOND


def _facts_table() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    return table


def _row(table: Table, *cells: str | Text) -> None:
    """A row, word for word: rich would read brackets in a plain string as its own."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _printable_chapter(chapter: Chapter) -> Chapter:
    return replace(
        chapter, **{name: _printable(getattr(chapter, name)) for name in ("contacts", "touchpoints", "frictions")}
    )


def _printable(value: Any) -> Any:
    match value:
        case str():
            return (
                value
                if value.isprintable()
                else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
            )
        case dict():
            return {_printable(k): _printable(v) for k, v in value.items()}
        case list():
            return [_printable(v) for v in value]
    return value
