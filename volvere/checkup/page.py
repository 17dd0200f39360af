"""A check-up as a page: one HTML file, nothing outside of it, for a browser, a phone, a printer and a screen reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from volvere.checkup import charts
from volvere.checkup.limits import LIMITS
from volvere.checkup.model import Amount, Behind, Checkup, Figure, Gauge, Spot, Spots, Trend, Unit
from volvere.checkup.terminal import SIGNS, back_of, head, short, span, spot_name
from volvere.checkup.texts import Language, about, amount, day, figure, interval, name, say, text

_HERE = Path(__file__).parent
_IDS = 3


def page(checkup: Checkup, language: Language) -> str:
    """The whole page. What others told (queues, topics, agents) is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["say"] = lambda said: say(said, language)
    template = environment.from_string((_HERE / "page.html").read_text(encoding="utf-8"))
    return template.render(
        language=language.value,
        css=Markup((_HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own
        t=lambda key: text(key, language),
        checkup=checkup,
        period=span(checkup.since, checkup.until, checkup.zone, language),
        head=head(checkup, language),
        back_of=back_of(checkup.came_back, checkup.zone, language),
        back_chart=charts.came_back(checkup.came_back, language) if checkup.came_back else "",
        gauges=[_gauge(g, language) for g in checkup.gauges],
        about=about(language),
    )


def _gauge(found: Gauge, language: Language) -> dict[str, Any]:
    measured = [_figure(f, language) for f in found.figures if f.value is not None]
    telling = [f for f in measured if f["verdict"] == found.verdict] or measured
    return {
        "key": found.key,
        "name": name(found.key, language),
        "asks": text(f"{found.key}.asks", language),
        "verdict": found.verdict.value,
        "said_verdict": text(f"verdict.{found.verdict}", language),
        "sign": SIGNS[found.verdict],
        "sentence": say(found.sentence, language),
        "main": telling[0] if telling else None,
        "figures": measured,
        "trends": [_trend(t, language) for t in found.trends],
        "spots": [_spots(s, language) for s in found.spots],
        "pairs": [
            {
                "week": day(p.week, language),
                "queue": p.queue,
                **{axis: _hundredth(getattr(p, axis), language) for axis in ("x", "y")},
            }
            for p in found.pairs
        ],
        "pairs_chart": charts.pairs(found.pairs, language) if found.pairs else "",
        "frictions": [_behind(b, language) for b in found.frictions],
    }


def _hundredth(part: float, language: Language) -> str:
    return amount(Amount(100 * part), language)


def _figure(f: Figure, language: Language) -> dict[str, Any]:
    limit = LIMITS.get(f.key)
    notes = [] if f.interval is None else [interval(f.interval, f.unit, language)]
    if limit is not None:
        sides = ("from_on", "under") if limit.good > limit.bad else ("up_to", "over")
        good, bad = (
            text(side, language, limit=amount(Amount(at, f.unit), language))
            for side, at in zip(sides, (limit.good, limit.bad), strict=True)
        )
        notes.append(text("limits", language, good=good, bad=bad))
    return {
        "name": text(f.key, language),
        "value": figure(f, f.value, language),
        "of": "" if f.of is None else amount(Amount(f.of), language),
        "before": figure(f, f.before, language),
        "verdict": f.verdict.value,
        "said_verdict": text(f"verdict.{f.verdict}", language),
        "sign": SIGNS[f.verdict],
        "note": "; ".join(notes),
    }


def _trend(found: Trend, language: Language) -> dict[str, Any]:
    def written(value: float | None, unit: Unit) -> str:
        return "–" if value is None else amount(Amount(value, unit), language)

    drawn = charts.trend(found, language)
    return {
        "name": text(found.figure, language),
        "chart": drawn,
        "limit": charts.limit_of(found, language) if "serie-1" in drawn else "",
        "points": [
            {
                "week": day(p.week, language),
                "value": written(p.value, found.unit),
                "of": written(p.of, Unit.number),
                "whole": p.whole,
            }
            for p in found.points
        ],
    }


def _spots(found: Spots, language: Language) -> dict[str, Any]:
    longest = max(abs(s.value) for s in found.spots) or 1.0

    def note(s: Spot) -> str:
        if s.interval is not None:
            return interval(s.interval, found.unit, language)
        return (
            ""
            if s.of is None or found.unit is Unit.days
            else f"{text('of', language)} {amount(Amount(s.of), language)}"
        )

    in_order = found.by in ("training", "release")
    return {
        "by": text(f"by.{found.by}", language),
        "title": f"{text('spread' if in_order else 'worst', language)}: {text(f'by.{found.by}', language)}",
        "name": text(found.figure, language),
        "spots": [
            {
                "name": spot_name(found.by, s.name, language),
                "value": amount(Amount(s.value, found.unit), language),
                "note": note(s),
                "whole": s.interval is None,
                "part": round(100 * abs(s.value) / longest, 1),
            }
            for s in found.spots
        ],
    }


def _behind(b: Behind, language: Language) -> dict[str, Any]:
    counts = {key: amount(Amount(getattr(b, key)), language) for key in ("frictions", "before", "customers")}
    return {"name": text(f"kind.{b.kind}", language), "examples": [short(i) for i in b.examples[:_IDS]], **counts}
