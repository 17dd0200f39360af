"""`form_struggle`: failing at one form again and again, until it is submitted."""

from __future__ import annotations

import pytest

from tests.stories import Told, play

TWO = """
    0m  form.failed web - ref=f1 element=zip
    10m form.failed web - ref=f1 element=zip
"""
THREE = TWO + "20m form.failed web - ref=f1 element=phone\n"
ONCE = ("form_struggle warning 20m..",)


STORIES = (
    Told("hurts", THREE, ONCE),
    Told("twice is not enough", TWO),
    Told("just inside", TWO + "29m59s999999us form.failed web - ref=f1", ("form_struggle warning 29m59s999999us..",)),
    Told("exactly on", TWO + "30m form.failed web - ref=f1", ("form_struggle warning 30m..",)),
    Told("just outside", TWO + "30m1us form.failed web - ref=f1"),
    Told("at the same moment", "0m form.failed web\n0m form.failed web\n0m form.failed web",
         ("form_struggle warning 0m..",)),
    Told("another form", TWO + "20m form.failed web - ref=f2 element=zip"),
    Told("by element", THREE.replace("ref=f1 element=zip", "element=signup").replace("ref=f1 element=phone", "element=signup"),
         ONCE),
    Told("another element", """
         0m  form.failed web - element=signup
         10m form.failed web - element=signup
         20m form.failed web - element=login"""),
    Told("forms without a name are one", "0m form.failed web\n10m form.failed web\n20m form.failed web", ONCE),
    Told("a fourth failure is no other friction", THREE + "25m form.failed web - ref=f1", ONCE),
    Told("a series that goes on", THREE + """
         35m form.failed web - ref=f1
         50m form.failed web - ref=f1""", ONCE),
    Told("another series", THREE + """
         1h    form.failed web - ref=f1
         1h10m form.failed web - ref=f1
         1h20m form.failed web - ref=f1""", (*ONCE, "form_struggle warning 1h20m.."), until="3h"),
    Told("it is submitted between", TWO + """
         15m form.submitted web - ref=f1
         20m form.failed    web - ref=f1"""),
    Told("another form is submitted between", THREE + "15m form.submitted web - ref=f2", ONCE),
    Told("submitted", THREE + "21m form.submitted web - ref=f1", ("form_struggle warning 20m..21m submitted",)),
    Told("submitted at once", THREE + "20m form.submitted web - ref=f1 id=e9",
         ("form_struggle warning 20m..20m submitted",)),
    Told("another form is submitted", THREE + "21m form.submitted web - ref=f2", ONCE),
    Told("begun again is not submitted", THREE + "21m form.started web - ref=f1", ONCE),
    Told("submitted, and again trouble", THREE + """
         21m form.submitted web - ref=f1
         22m form.failed    web - ref=f1
         23m form.failed    web - ref=f1
         24m form.failed    web - ref=f1
         25m form.submitted web - ref=f1""",
         ("form_struggle warning 20m..21m submitted", "form_struggle warning 24m..25m submitted")),
    Told("two forms", THREE + """
         0m form.failed web - ref=f2
         1m form.failed web - ref=f2
         2m form.failed web - ref=f2""", ("form_struggle warning 2m..", *ONCE)),
    Told("a microsecond before it expires", THREE, ONCE, until="30d19m59s999999us"),
    Told("expired", THREE, ("form_struggle warning 20m..30d20m expired",), until="30d20m"),
    Told("submitted at the last moment", THREE + "30d20m form.submitted web - ref=f1",
         ("form_struggle warning 20m..30d20m submitted",), until="30d20m"),
    Told("a failure is withdrawn", THREE, ONCE, late="10m form.failed web - id=e2 version=1 cancelled=yes", then=()),
    Told("it had been submitted", THREE, ONCE, late="5m form.submitted web - ref=f1", then=()),
    Told("it had failed before", THREE, ONCE, late="-5m form.failed web - ref=f1",
         then=("form_struggle warning 10m..",)),
    Told("another number", TWO, ("form_struggle warning 10m..",), rules="form_struggle.failures = 2"),
    Told("another window", THREE, rules='form_struggle.window = "19m"'),
    Told("otherwise on a topic", TWO.replace("web -", "web visa"), ("form_struggle warning 10m..",), rules='form_struggle.override = [{ topic = "visa", failures = 2 }]'),
    Told("otherwise on another topic", TWO.replace("web -", "web visa"), rules='form_struggle.override = [{ topic = "tax", failures = 2 }]'),
)  # fmt: skip


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_story(told: Told) -> None:
    """A user sees every form that keeps failing, and no others."""
    assert play(told.text, told.until, told.rules).rows("form_struggle") == list(told.expect)


def test_the_failures_are_shown() -> None:
    """An analyst sees which form it was, how often it failed, and each failure."""
    data = play(THREE).standing[-1]
    assert data["summary"] == "f1 failed 3 times within 30m"
    assert data["observed"] == {"value": 3, "unit": "failures", "window": "30m", "also": {}}
    assert [e["event_id"] for e in data["evidence"]] == ["e1", "e2", "e3"]
