"""`rage_click`: hammering on one element, what is no hammering, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.touchpoint import Normal
from tests.stories import MONDAY, Told, offset, play

VECTORS = "clickstream/rageclick_vectors_posthog.json"
TWO = """
    0m          element.clicked web - element=pay x=10 y=10
    500ms       element.clicked web - element=pay x=12 y=10
"""
RAGE = TWO + "1s element.clicked web - element=pay x=10 y=12\n"
ONCE = ("rage_click info 1s..",)


def _on(line: str) -> str:
    return RAGE + line + "\n"


STORIES = (
    Told("hurts", RAGE, ONCE),
    Told("twice is not enough", TWO),
    Told("just in time", TWO + "1s499ms999us element.clicked web - element=pay x=10 y=10",
         ("rage_click info 1s499999us..",)),
    Told("exactly too late", TWO + "1s500ms element.clicked web - element=pay x=10 y=10"),
    Told("just over", TWO + "1s500ms1us element.clicked web - element=pay x=10 y=10"),
    Told("just near enough", TWO + "1s element.clicked web - element=pay x=27 y=24.5", ONCE),
    Told("exactly too far", TWO + "1s element.clicked web - element=pay x=27 y=25"),
    Told("too far the other way", TWO + "1s element.clicked web - element=pay x=-18 y=10"),
    Told("each near the one before", """
         0m    element.clicked web - element=pay x=0 y=0
         500ms element.clicked web - element=pay x=29 y=0
         1s    element.clicked web - element=pay x=58 y=0""", ONCE),
    Told("no place is near", TWO + "1s element.clicked web - element=pay x=900", ONCE),
    Told("no details at all", """
         0m    element.clicked web
         500ms element.clicked web
         1s    element.clicked web""", ONCE),
    Told("at the same moment", """
         0m element.clicked web - element=pay
         0m element.clicked web - element=pay
         0m element.clicked web - element=pay""", ("rage_click info 0m..",)),
    Told("another element", TWO + "1s element.clicked web - element=help x=10 y=10"),
    Told("another element between", TWO + """
         700ms element.clicked web - element=help x=10 y=10
         1s    element.clicked web - element=pay x=10 y=10"""),
    Told("the company's clicks", RAGE.replace("element=pay", "element=pay direction=outbound")),
    Told("once a run", RAGE + """
         1s500ms element.clicked web - element=pay x=10 y=10
         2s      element.clicked web - element=pay x=10 y=10
         2s500ms element.clicked web - element=pay x=10 y=10""", ONCE),
    Told("another run", RAGE + """
         10s     element.clicked web - element=pay x=10 y=10
         10s5ms  element.clicked web - element=pay x=10 y=10
         10s10ms element.clicked web - element=pay x=10 y=10""", (*ONCE, "rage_click info 10s10000us..")),
    Told("then the form failed", _on("30s form.failed web - element=pay"), ("rage_click warning 1s..",)),
    Told("the form failed at that very moment", _on("1s form.failed web - element=pay"), ("rage_click warning 1s..",)),
    Told("then the search failed", _on("61s search.failed web"), ("rage_click warning 1s..",)),
    Told("the search failed too late", _on("61s1us search.failed web"), ONCE),
    Told("the form had failed before", _on("999ms form.failed web - element=pay"), ONCE),
    Told("a failure is no going on", _on("5m form.failed web - element=address"), ONCE),
    Told("the next page", _on("20s page.viewed web"), ("rage_click info 1s..20s went_on",)),
    Told("the next page, after a failure", _on("10s form.failed web - element=pay\n20s page.viewed web"),
         ("rage_click warning 1s..20s went_on",)),
    Told("another element afterwards", _on("20s element.clicked web - element=help"),
         ("rage_click info 1s..20s went_on",)),
    Told("the same element afterwards", _on("20s element.clicked web - element=pay"), ONCE),
    Told("a form of the same element", _on("20s form.started web - element=pay"), ONCE),
    Told("the order is placed", _on("20s order.placed web"), ("rage_click info 1s..20s went_on",)),
    Told("an order is delivered", _on("20s order.delivered web"), ONCE),
    Told("a call is no going on", _on("20s contact.started voice - contact=c1"), ONCE),
    Told("the company's page", _on("20s page.viewed web - direction=outbound"), ONCE),
    Told("a page before", _on("900ms page.viewed web"), ONCE),
    Told("a page in another journey", _on("8d page.viewed web"), ONCE, until="9d"),
    Told("a page in a journey of another name", RAGE.replace("element=pay", "element=pay journey=j1") + """
         20s page.viewed web - journey=j2""", ONCE),
    Told("clicks on no element go on with another page", """
         0m    element.clicked web
         500ms element.clicked web
         1s    element.clicked web
         20s   element.clicked web
         30s   page.viewed web""", ("rage_click info 1s..30s went_on",)),
    Told("a microsecond before it expires", RAGE, ONCE, until="30d999999us"),
    Told("expired", RAGE, ("rage_click info 1s..30d1s expired",), until="30d1s"),
    Told("a click is withdrawn", RAGE, ONCE,
         late="500ms element.clicked web - id=e2 version=1 cancelled=yes", then=()),
    Told("another element was between", RAGE, ONCE, late="700ms element.clicked web - element=help", then=()),
    Told("the run began earlier", RAGE, ONCE, late="-1ms element.clicked web - element=pay x=10 y=10",
         then=("rage_click info 500000us..",)),
    Told("the failure comes later", RAGE, ONCE, late="40s form.failed web - element=pay",
         then=("rage_click warning 1s..",)),
    Told("another number", TWO, ("rage_click info 500000us..",), rules="rage_click.clicks = 2"),
    Told("another pace", RAGE, rules='rage_click.apart = "500ms"'),
    Told("another distance", RAGE, rules="rage_click.pixels = 4"),
    Told("another time for a failure", _on("30s search.failed web"), ONCE, rules='rage_click.failure_within = "28s"'),
    Told("otherwise on a channel", RAGE, rules='rage_click.override = [{ channel = "web", clicks = 4 }]'),
    Told("otherwise on another channel", RAGE, ONCE, rules='rage_click.override = [{ channel = "app", clicks = 4 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every run of hammering, and no others."""
    assert play(told.text, told.until, told.rules).rows("rage_click") == list(told.expect)


def test_posthog_vectors(data: Path) -> None:
    """What PostHog's own tests call rage clicks, and at which click, are rage clicks here."""
    cases = json.loads((data / VECTORS).read_text(encoding="utf-8"))["cases"]
    for case in cases:
        clicks = [
            Normal("web", f"e{n}", "maria", "element.clicked", "web", MONDAY + ms * 1000, x=float(x), y=float(y))
            for n, (x, y, ms) in enumerate(case["clicks"])
        ]
        expected = [
            f"rage_click info {offset(click.occurred_at)}.."
            for click, fires in zip(clicks, case["expected"], strict=True)
            if fires
        ]
        assert play(clicks).rows("rage_click") == expected, case["name"]
    assert len(cases) == 5


def test_the_clicks_are_shown() -> None:
    """An analyst sees what was clicked, how often, and what failed then."""
    data = play(_on("30s form.failed web - element=pay")).standing[-1]
    assert data["summary"] == "3 clicks on pay within 1 s, then form failed"
    assert [e["role"] for e in data["evidence"]] == ["clicked", "clicked", "clicked", "failed"]
