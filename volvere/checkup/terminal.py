"""A check-up in a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from volvere.checkup.model import Amount, Behind, CameBack, Checkup, Figure, Gauge, Spots, Trend, Unit, Verdict
from volvere.checkup.texts import Language, about, amount, day, figure, interval, name, say, text

COLOURS = {
    Verdict.good: "green", Verdict.watch: "yellow", Verdict.bad: "red", Verdict.unjudged: "cyan", Verdict.no_data: "dim",
}  # fmt: skip
SIGNS = {Verdict.good: "●", Verdict.watch: "▲", Verdict.bad: "■", Verdict.unjudged: "○", Verdict.no_data: "·"}
"""A shape as well as a colour, for who sees no colours."""
_BARS = "▁▂▃▄▅▆▇█"
_IDS = 3


def render(checkup: Checkup, language: Language) -> RenderableType:
    """The whole: the sentence at the top, then each gauge."""
    parts: list[RenderableType] = [
        Text(say(checkup.sentence, language), style="bold"),
        Text(line, style="dim") if (line := back_of(checkup.came_back, checkup.zone, language)) else Text(""),
        Text(head(checkup, language), style="dim"),
    ]
    for gauge in checkup.gauges:
        parts += [Text(""), *_gauge(gauge, language)]
    return Group(*parts, Text(""), Text(about(language), style="dim"))


def head(checkup: Checkup, language: Language) -> str:
    """Which time, whose days, how much."""
    return ", ".join(
        [
            span(checkup.since, checkup.until, checkup.zone, language),
            text("days_of", language, zone=checkup.zone),
            text("touchpoints", language, n=amount(Amount(checkup.touchpoints), language)),
            text("known_until", language, at=day(local(checkup.known_until, checkup.zone), language)),
        ]
    )


def _gauge(gauge: Gauge, language: Language) -> Iterator[RenderableType]:
    colour = COLOURS[gauge.verdict]
    title = Text(f"{SIGNS[gauge.verdict]} {name(gauge.key, language)}", style=f"bold {colour}")
    title.append(f"  {text(f'verdict.{gauge.verdict}', language)}", style=colour)
    title.append(f"  {text(f'{gauge.key}.asks', language)}", style="dim")
    yield title
    yield Padding(Text(say(gauge.sentence, language)), (0, 0, 0, 2), expand=False)
    if measured := [f for f in gauge.figures if f.value is not None]:
        yield Padding(_figures(measured, language), (0, 0, 0, 2), expand=False)
    for trend in gauge.trends:
        yield Padding(_trend(trend, language), (0, 0, 0, 2), expand=False)
    for spots in gauge.spots:
        yield Padding(_spots(spots, language), (0, 0, 0, 2), expand=False)
    if gauge.frictions:
        yield Padding(_behind(gauge.frictions, language), (0, 0, 0, 2), expand=False)


def _figures(found: list[Figure], language: Language) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for column in range(4):
        table.add_column(justify="right" if column == 1 else "left", overflow="fold")
    for f in found:
        of = "" if f.of is None else f"{text('of', language)} {amount(Amount(f.of), language)}"
        if f.interval is not None:
            of += f", {interval(f.interval, f.unit, language)}"
        before = "" if f.before is None else f"{text('before', language)} {figure(f, f.before, language)}"
        table.add_row(
            Text(f"{SIGNS[f.verdict]} {text(f.key, language)}", style=COLOURS[f.verdict]),
            Text(figure(f, f.value, language), style="bold"),
            Text(before, style="dim"),
            Text(of, style="dim"),
        )
    return table


def _trend(trend: Trend, language: Language) -> Text:
    values = [p.value for p in trend.points]
    known = [v for v in values if v is not None]
    least, most = min(known), max(known)
    line = Text(f"{text('trend', language)}, {text(trend.figure, language)}: ", style="dim")
    for value in values:
        level = 0 if value is None or most == least else int((value - least) / (most - least) * (len(_BARS) - 1))
        line.append(" " if value is None else _BARS[level], style="cyan")
    low, high = (amount(Amount(v, trend.unit), language) for v in (least, most))
    line.append(f"  {low} – {high}", style="dim")
    return line


def spot_name(by: str, found: str, language: Language) -> str:
    """What a spot is called: by its own name, but for how long ago training was."""
    return text(f"training.{found}", language) if by == "training" else found


def _spots(found: Spots, language: Language) -> Text:
    line = Text(f"{text(found.figure, language)}, {text(f'by.{found.by}', language)}: ", style="dim")
    for number, spot in enumerate(found.spots):
        line.append("; " if number else "", style="dim")
        line.append(f"{spot_name(found.by, spot.name, language)} ", style="not dim")
        line.append(amount(Amount(spot.value, found.unit), language), style="bold not dim")
        if spot.of is not None and found.unit is not Unit.days:
            line.append(f" ({text('of', language)} {amount(Amount(spot.of), language)})", style="dim")
        if spot.interval is not None:
            line.append(f" {interval(spot.interval, found.unit, language)}", style="dim")
    return line


def _behind(found: tuple[Behind, ...], language: Language) -> Table:
    heads = ("kind", "frictions", "before", "customers")
    table = Table(
        *(text(h, language) for h in heads), text("explain", language),
        box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False,
    )  # fmt: skip
    for column in table.columns[1:4]:
        column.justify = "right"
    for b in found:
        numbers = (amount(Amount(n), language) for n in (b.frictions, b.before, b.customers))
        table.add_row(text(f"kind.{b.kind}", language), *numbers, Text(" ".join(short(i) for i in b.examples[:_IDS])))
    return table


def short(friction_id: str) -> str:
    """As much of a friction's id as `volvere explain` takes and no other is likely to have."""
    return friction_id[:8]


def local(at: datetime, zone: str) -> date:
    """The day of a moment, somewhere."""
    return at.astimezone(ZoneInfo(zone)).date()


def span(since: datetime, until: datetime, zone: str, language: Language) -> str:
    """A period by its first and its last day."""
    first, last = local(since, zone), local(until - timedelta(microseconds=1), zone)
    return text("period", language, since=day(first, language), until=day(last, language))


def back_of(back: CameBack | None, zone: str, language: Language) -> str:
    """Of which time the sentence at the top speaks; nothing where it speaks of none."""
    if back is None:
        return ""
    return text("top.of", language, period=span(back.since, back.until, zone, language))


def to_json(checkup: Checkup, language: Language) -> bytes:
    """The value itself, each sentence beside its parts in words (`text`)."""

    def spoken(found: Any) -> dict[str, Any]:
        return {"text": say(found.sentence, language), **msgspec.to_builtins(found.sentence)}

    plain = msgspec.to_builtins(checkup) | {"language": language.value, "sentence": spoken(checkup)}
    for told, gauge in zip(plain["gauges"], checkup.gauges, strict=True):
        told["sentence"] = spoken(gauge)
    return msgspec.json.format(msgspec.json.encode(plain), indent=2)
