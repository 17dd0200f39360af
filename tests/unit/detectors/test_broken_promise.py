"""`broken_promise`: what was promised by when, postponed, kept, kept late or never."""

from __future__ import annotations

import pytest

from schemas.times import DAY
from tests.stories import Desk, Told, at, offset, play, story

MADE = "0m promise.made voice billing due=1h\n"
NAMED = "0m promise.made voice billing due=1h ref=p1\n"
BROKEN = "broken_promise error 1h.."
KEPT = "broken_promise error 1h..1h30m kept"
OFFICE = """
calendars.office = { zone = "UTC", hours = { mon-fri = "09:00-18:00" } }
broken_promise.calendar = "office"
"""
POSTPONED = NAMED + "30m promise.made chat - due=3h ref=p1\n"

STORIES = (
    Told("hurts", MADE, (BROKEN,)),
    Told("the watermark a microsecond before", MADE, until="59m59s999999us"),
    Told("the watermark exactly there", MADE, (BROKEN,), until="1h"),
    Told("kept just before", MADE + "59m59s999999us promise.kept voice billing"),
    Told("kept exactly then", MADE + "1h promise.kept voice billing"),
    Told("kept just after", MADE + "1h1us promise.kept voice billing", ("broken_promise error 1h..1h1us kept",)),
    Told("kept on another channel", MADE + "1h30m promise.kept email billing", (KEPT,)),
    Told("kept at the moment it was made", MADE + "0m promise.kept voice billing"),
    Told("kept before it was made", MADE + "-1us promise.kept voice billing", (BROKEN,)),
    Told("kept on another topic", MADE + "30m promise.kept voice delivery", (BROKEN,)),
    Told("kept on no topic", MADE + "30m promise.kept voice", (BROKEN,)),
    Told("no topic is a topic", "0m promise.made voice - due=1h\n 30m promise.kept voice"),
    Told("kept by its ref", NAMED + "30m promise.kept voice delivery ref=p1"),
    Told("kept under another ref", NAMED + "30m promise.kept voice billing ref=p2", (BROKEN,)),
    Told("kept under a ref that the promise has not", MADE + "30m promise.kept voice billing ref=p1", (BROKEN,)),
    Told("kept without its ref", NAMED + "30m promise.kept voice billing"),
    Told("no due time", "0m promise.made voice billing\n"),
    Told("due before it was made", "0m promise.made voice billing due=-1us"),
    Told("due when it was made", "0m promise.made voice billing due=0m", ("broken_promise error 0m..",)),
    Told("a keeping and no promise", "0m promise.kept voice billing due=1h"),
    Told("postponed, kept between", POSTPONED + "2h promise.kept voice billing ref=p1",
         ("broken_promise error 1h..2h kept",), until="4h"),
    Told("postponed, and kept before both", POSTPONED + "50m promise.kept voice - ref=p1", until="4h"),
    Told("postponed, never kept", POSTPONED, (BROKEN, "broken_promise error 3h.."), until="4h"),
    Told("postponed, kept after both", POSTPONED + "4h promise.kept voice billing ref=p1",
         ("broken_promise error 1h..4h kept", "broken_promise error 3h..4h kept"), until="5h"),
    Told("promised again after it was kept", NAMED + """
         30m promise.kept voice billing ref=p1
         40m promise.made voice billing ref=p1 due=90m""", ("broken_promise error 1h30m..",)),
    Told("one keeping for two promises", MADE + """
         1m  promise.made voice billing due=90m
         30m promise.kept voice billing""", ("broken_promise error 1h30m..",)),
    Told("two keepings for two promises", MADE + """
         1m  promise.made voice billing due=90m
         30m promise.kept voice billing
         31m promise.kept voice billing"""),
    Told("a microsecond before it expires", MADE, (BROKEN,), until="30d59m59s999999us"),
    Told("expired", MADE, ("broken_promise error 1h..30d1h expired",), until="30d1h"),
    Told("kept exactly when it expires", MADE + "30d1h promise.kept voice billing",
         ("broken_promise error 1h..30d1h kept",), until="31d"),
    Told("a keeping is not spent on what has expired", MADE + """
         20d       promise.made voice billing due=25d
         30d1h1us  promise.kept voice billing""",
         ("broken_promise error 1h..30d1h expired", "broken_promise error 25d..30d1h1us kept"), until="31d"),
    Told("the keeping comes late", MADE, (BROKEN,), late="50m promise.kept voice billing", then=()),
    Told("the promise is withdrawn", MADE, (BROKEN,),
         late="0m promise.made voice billing id=e1 version=1 cancelled=yes", then=()),
    Told("the time was wrong", MADE, (BROKEN,), late="0m promise.made voice billing id=e1 version=1 due=3h", then=()),
    Told("the keeping was for another promise", MADE + "30m promise.kept voice billing", (),
         late="30m promise.kept voice billing id=e2 version=1 ref=p9", then=(BROKEN,)),
    Told("a grace, kept exactly at its end", MADE + "1h30m promise.kept voice billing",
         rules='broken_promise.grace = "30m"'),
    Told("a grace, kept after it", MADE + "1h30m1us promise.kept voice billing",
         ("broken_promise error 1h30m..1h30m1us kept",), rules='broken_promise.grace = "30m"'),
    Told("a grace on this topic", MADE, ("broken_promise error 1h30m..",),
         rules='broken_promise.override = [{ topic = "billing", grace = "30m" }]'),
    Told("a grace on another channel", MADE, (BROKEN,),
         rules='broken_promise.override = [{ channel = "chat", grace = "30m" }]'),
    Told("expires sooner in this queue", "0m promise.made voice billing due=1h queue=vip",
         ("broken_promise error 1h..1h10m expired",),
         rules='broken_promise.override = [{ queue = "vip", expires_after = "10m" }]'),
    Told("a grace in open hours", "0m promise.made voice billing due=8h30m", ("broken_promise error 1d30m..",),
         until="2d", rules=OFFICE + 'broken_promise.grace = "1h"'),
    Told("kept within the open hours of a grace", """
         0m    promise.made voice billing due=8h30m
         1d30m promise.kept voice billing""", until="2d", rules=OFFICE + 'broken_promise.grace = "1h"'),
    Told("due when all is closed, and no grace", "0m promise.made voice billing due=12h",
         ("broken_promise error 12h..",), until="13h", rules=OFFICE),
    Told("due in a year", "0m promise.made voice billing due=365d", ("broken_promise error 365d..",), until="365d"),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every promise that was not kept in time, and no others."""
    assert play(told.text, told.until, told.rules).rows("broken_promise") == list(told.expect)


def test_how_late_is_told() -> None:
    """A user reads how long the customer waited beyond the promise, in open hours, beside the grace."""
    told = "0m promise.made voice billing due=8h30m\n 1d2h promise.kept voice billing"
    (friction,) = play(told, "2d", OFFICE + 'broken_promise.grace = "1h"').standing
    assert (friction["observed"]["value"], friction["observed"]["unit"]) == (9_000, "seconds")
    assert friction["threshold"]["value"] == 3_600
    assert friction["summary"] == "A promise was kept 2.5 h late"
    assert [e["role"] for e in friction["evidence"]] == ["promised", "kept"]


def test_a_promise_for_next_year_is_remembered() -> None:
    """In a year of other traffic neither a promise nor its early keeping is forgotten before it falls due."""
    desk = Desk()
    desk.tell("""
        0m promise.made voice billing due=360d
        1m promise.made voice delivery due=360d
        1d promise.kept voice delivery
    """)
    for day in range(7, 400, 7):
        desk.tell(story(f"{day}d page.viewed web - id=page{day}"))
        desk.look(f"{day}d")
        desk.restart()
    assert [offset(d["opened_at"]) + " " + d["topic"] for d in desk.standing] == ["360d billing"]
    desk.tell(story("390d promise.kept voice billing id=kept"))
    desk.look(at("399d") + DAY)
    assert desk.rows("broken_promise") == ["broken_promise error 360d..390d kept"]
