"""Charts of a check-up as inline SVG: drawn by pygal, without its script, its style and its tooltips; the page's CSS colours them.

Each is an image to a screen reader, with a text in its place; the page has the data as a table beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup
from pygal.style import Style

from volvere.checkup.limits import LIMITS
from volvere.checkup.model import Amount, CameBack, Pair, Trend, Unit
from volvere.checkup.texts import Language, amount, day, text

WIDTH = 400
_STYLE = Style(font_family="inherit", label_font_size=12, value_font_size=13, major_label_font_size=12)
_PLAIN: dict[str, Any] = {
    "style": _STYLE, "js": [], "width": WIDTH, "show_legend": False, "explicit_size": False, "no_prefix": True,
    "margin": 4, "spacing": 6, "print_values": False, "truncate_label": -1, "disable_xml_declaration": True,
}  # fmt: skip
_MOST_LABELS = 5
_SVG = "{http://www.w3.org/2000/svg}"


def trend(found: Trend, language: Language) -> Markup:
    """A line through the weeks, broken where a week has no case, and the limit of what is good where it is near."""
    values = [p.value for p in found.points]
    known = [v for v in values if v is not None]
    limit = LIMITS.get(found.figure)
    low, high = min(known), max(known)
    near = limit is not None and low - (high - low) <= limit.good <= high + (high - low)
    if limit is not None and near:
        low, high = min(low, limit.good), max(high, limit.good)
    low, high = _bounds(low, high, found.unit)
    chart = pygal.Line(
        **_PLAIN, height=170, range=(low, high), allow_interruptions=True, dots_size=3, show_minor_x_labels=False,
        x_labels_major_every=-(-len(values) // _MOST_LABELS),
    )  # fmt: skip
    chart.y_labels = [low, (low + high) / 2, high]
    chart.value_formatter = _writer(found.unit, language)
    chart.x_labels = [day(p.week, language, year=False) for p in found.points]
    chart.add("", values)
    if limit is not None and near:
        chart.add("", [limit.good] * len(values), show_dots=False)
    last = next(p for p in reversed(found.points) if p.value is not None)
    assert last.value is not None
    said = amount(Amount(last.value, found.unit), language)
    return _image(chart, text("trend_chart", language, figure=text(found.figure, language), value=said), "trend")


def limit_of(found: Trend, language: Language) -> str:
    """What the broken line of a trend stands for; nothing where the figure has no limit."""
    limit = LIMITS.get(found.figure)
    if limit is None:
        return ""
    side = "from_on" if limit.good > limit.bad else "up_to"
    good = text(side, language, limit=amount(Amount(limit.good, found.unit), language))
    return f"{text('verdict.good', language)}: {good}"


def came_back(found: CameBack, language: Language) -> Markup:
    """Two bars: who met friction, who met none."""
    bars = [(text("met_friction", language), found.came_back / found.customers)]
    if found.others:
        bars.append((text("met_none", language), found.others_came_back / found.others))
    chart = pygal.HorizontalBar(
        **_PLAIN | {"print_values": True}, height=44 * len(bars) + 20, range=(0, 1), show_x_labels=False
    )
    chart.value_formatter = _writer(Unit.share, language)
    chart.x_labels = [name for name, _ in reversed(bars)]
    chart.add("", [share for _, share in reversed(bars)])
    said = ", ".join(f"{name} {amount(Amount(share, Unit.share), language)}" for name, share in bars)
    return _image(chart, f"{text('back_chart', language)}: {said}", "back")


def pairs(found: Sequence[Pair], language: Language) -> Markup:
    """A dot for each week of a team, both scores from 0 to 100."""
    chart = pygal.XY(**_PLAIN, height=260, stroke=False, range=(0, 100), xrange=(0, 100), dots_size=4)
    chart.x_labels = chart.y_labels = [0, 50, 100]
    chart.x_title, chart.y_title = text("employees", language), text("customers", language)
    chart.add("", [(100 * p.x, 100 * p.y) for p in found])
    return _image(chart, text("pairs_chart", language), "pairs")


def _writer(unit: Unit, language: Language) -> Callable[[float], str]:
    return lambda value: amount(Amount(value, unit), language)


def _bounds(low: float, high: float, unit: Unit) -> tuple[float, float]:
    """A little room above and below, and never beyond what can be."""
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    floor, ceiling = {Unit.share: (0.0, 1.0), Unit.points: (-100.0, 100.0), Unit.grade: (1.0, 7.0)}.get(
        unit, (0.0, float("inf"))
    )
    return max(floor, low - room), min(ceiling, high + room)


def _image(chart: Any, said: str, name: str) -> Markup:
    """The drawing alone, as an image with a text."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            tooltip = "tooltip-overlay" in (child.get("class") or "")
            if tooltip or not isinstance(child.tag, str) or child.tag.removeprefix(_SVG) in _NOT_DRAWN:
                parent.remove(child)
    root.attrib.pop("id", None)
    root.set("class", f"chart {name}")
    root.set("role", "img")
    root.set("aria-label", said)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
    root.attrib.pop("xmlns", None)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped what is in it


_NOT_DRAWN = ("defs", "title", "desc", "script", "style")
