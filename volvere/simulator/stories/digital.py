"""Troubles in the shop: `rage_click`, `form_struggle`, `checkout_abandoned`."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from schemas.times import HOUR, MINUTE, SECOND
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import MILLISECOND, Tale

APART = SECOND
PIXELS = 30
ORDER_WITHIN = HOUR


def _clicks(
    t: Tale, waits: tuple[int, ...], pixels: int = 2, elements: tuple[str, ...] = ("pay",)
) -> list[tuple[Contact, int, str]]:
    """Clicks, the second and later ones so long and so far after the one before; when and which."""
    c = t.loose()
    c.say(t.begin, "page.viewed", element="cart")
    clicks = []
    for n, at in enumerate(accumulate(waits, initial=t.begin + 5 * SECOND)):
        click = c.say(at, "element.clicked", element=elements[n % len(elements)], x=400 + n * pixels, y=300)
        clicks.append((c, at, click))
    return clicks


def _rage(t: Tale, click: tuple[Contact, int, str], story: str, *, near_miss: bool = False) -> None:
    c, at, event = click
    t.truth("rage_click", c, at, story, event=event, near_miss=near_miss)


def hammered(t: Tale) -> None:
    """The button does nothing."""
    *_, third = _clicks(t, (300 * MILLISECOND, 200 * MILLISECOND))
    _rage(t, third, "Clicked three times on a button that did nothing.")
    third[0].say(third[1] + 20 * SECOND, "form.failed", ref=f"form/{t.name}", element="payment")


def hammered_on(t: Tale) -> None:
    """One run is one trouble, however long."""
    clicks = _clicks(t, (150 * MILLISECOND,) * 5)
    _rage(t, clicks[2], "Clicked six times in a second.")
    for click in clicks[3:]:
        _rage(t, click, "One more click of the same run.", near_miss=True)


def hammered_twice(t: Tale) -> None:
    """A new run after a breath."""
    fast = 300 * MILLISECOND
    clicks = _clicks(t, (fast, fast, 10 * SECOND, fast, fast))
    _rage(t, clicks[2], "Clicked three times in a row.")
    _rage(t, clicks[5], "Clicked three times in a row again, ten seconds later.")


def hammered_just_fast_enough(t: Tale) -> None:
    """The smallest step below both limits."""
    *_, third = _clicks(t, (APART - 1, APART - 1), PIXELS - 1)
    _rage(t, third, "Three clicks, each just less than a second and 30 pixels from the one before.")


def one_click_short(t: Tale) -> None:
    """A double click is no rage."""
    *_, second = _clicks(t, (200 * MILLISECOND,))
    _rage(t, second, "Clicked twice.", near_miss=True)


def clicked_every_second(t: Tale) -> None:
    """On the limit is slow enough."""
    for click in _clicks(t, (APART, APART, APART))[2:]:
        _rage(t, click, "Clicked once exactly every 1,000 ms.", near_miss=True)


def clicked_once_too_slowly(t: Tale) -> None:
    """Two runs, each too short."""
    clicks = _clicks(t, (300 * MILLISECOND, APART, 300 * MILLISECOND))
    for click in clicks[2:]:
        _rage(t, click, "Two double clicks exactly a second apart.", near_miss=True)


def clicked_along(t: Tale) -> None:
    """On the limit is far enough."""
    for click in _clicks(t, (300 * MILLISECOND,) * 3, PIXELS)[2:]:
        _rage(t, click, "Clicked quickly, each time exactly 30 pixels further.", near_miss=True)


def clicked_on_other_things(t: Tale) -> None:
    """A run is on one element."""
    for click in _clicks(t, (300 * MILLISECOND,) * 3, 2, ("plus", "minus"))[2:]:
        _rage(t, click, "Clicked quickly on two buttons in turns.", near_miss=True)


def _fail(t: Tale, *times: int, form: str = "address", c: Contact | None = None) -> tuple[Contact, list[str]]:
    """Failures of a form at these times after the story's beginning."""
    c = c or t.loose()
    fields = {"ref": f"form/{t.name}/{form}", "element": form}
    return c, [c.say(t.begin + at, "form.failed", **fields) for at in times]


def _submit(t: Tale, c: Contact, at: int) -> None:
    c.say(t.begin + at, "form.submitted", ref=f"form/{t.name}/address", element="address")


def form_says_no(t: Tale) -> None:
    """Invalid input."""
    c, failures = _fail(t, MINUTE, 3 * MINUTE, 4 * MINUTE)
    t.truth("form_struggle", c, c.at, "A form failed three times in a row.", event=failures[2])
    c, more = _fail(t, 6 * MINUTE, c=c)
    t.near_miss("form_struggle", c, c.at, "A fourth failure of the same struggle.", event=more[0])
    _submit(t, c, 8 * MINUTE)


def half_an_hour_of_form(t: Tale) -> None:
    """The window is closed: its end is inside."""
    c, failures = _fail(t, 0, 15 * MINUTE, 30 * MINUTE)
    t.truth("form_struggle", c, c.at, "The third failure exactly 30 minutes after the first.", event=failures[2])


def form_after_a_form(t: Tale) -> None:
    """The submitted one is over; the next one is no better."""
    c, _ = _fail(t, 0)
    _submit(t, c, MINUTE)
    c, failures = _fail(t, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE, c=c)
    t.near_miss("form_struggle", c, t.begin + 3 * MINUTE, "The second failure after a submission.", event=failures[1])
    t.truth("form_struggle", c, c.at, "Three failures after a submission.", event=failures[2])


def form_failed_too_slowly(t: Tale) -> None:
    """The smallest step beyond the window."""
    c, failures = _fail(t, 0, 15 * MINUTE, 30 * MINUTE + 1)
    t.near_miss("form_struggle", c, c.at, "The third failure one microsecond after 30 minutes.", event=failures[2])


def form_failed_twice(t: Tale) -> None:
    """One failure short."""
    c, failures = _fail(t, 0, MINUTE)
    t.near_miss("form_struggle", c, c.at, "A form failed twice, and was submitted.", event=failures[1])
    _submit(t, c, 2 * MINUTE)


def submitted_in_between(t: Tale) -> None:
    """A submission begins a new series."""
    c, _ = _fail(t, 0, MINUTE)
    _submit(t, c, 2 * MINUTE)
    c, failures = _fail(t, 3 * MINUTE, c=c)
    t.near_miss("form_struggle", c, c.at, "A third failure after the form was submitted.", event=failures[0])


def two_forms(t: Tale) -> None:
    """Two forms are two forms."""
    c, _ = _fail(t, 0, MINUTE)
    c, failures = _fail(t, 2 * MINUTE, 3 * MINUTE, form="payment", c=c)
    t.near_miss("form_struggle", c, c.at, "Two forms failed twice each.", event=failures[1])


def _checkout(t: Tale, at: int, c: Contact | None = None) -> tuple[Contact, str, int]:
    """A checkout that starts at `at`; its start, and until when there must be an order."""
    c = c or t.loose()
    start = c.say(t.begin + at, "checkout.started", ref=f"order/{t.name}", element="cart")
    return c, start, c.at + ORDER_WITHIN


def _order(t: Tale, c: Contact, at: int) -> None:
    fields: dict[str, Any] = {"ref": f"order/{t.name}", "amount": "49.90", "currency": "EUR"}
    c.say(at, "order.placed", **fields)


def left_the_cart(t: Tale) -> None:
    """Shipping costs are shown last."""
    c, start, late = _checkout(t, 0)
    t.truth("checkout_abandoned", c, late, "Went to the checkout and never ordered.", event=start)


def ordered_too_late(t: Tale) -> None:
    """The smallest step beyond the limit."""
    c, start, late = _checkout(t, 0)
    t.truth("checkout_abandoned", c, late, "Ordered one microsecond after an hour.", event=start)
    _order(t, c, late + 1)


def started_again(t: Tale) -> None:
    """Starts an hour apart are one; the last of them counts."""
    c, start, late = _checkout(t, 0)
    t.near_miss("checkout_abandoned", c, late, "Started again exactly an hour later.", event=start)
    c, start, late = _checkout(t, HOUR, c)
    t.truth("checkout_abandoned", c, late, "Started twice and never ordered.", event=start)


def started_anew(t: Tale) -> None:
    """The smallest step beyond: two checkouts."""
    c, start, late = _checkout(t, 0)
    t.truth("checkout_abandoned", c, late, "Never ordered, and started anew a microsecond too late.", event=start)
    c, start, late = _checkout(t, HOUR + 1, c)
    t.truth("checkout_abandoned", c, late, "Started anew, and never ordered.", event=start)


def left_after_a_struggle(t: Tale) -> None:
    """Who gives up after a fight was driven away."""
    c, failures = _fail(t, 0, MINUTE, 2 * MINUTE)
    t.truth("form_struggle", c, c.at, "A form failed three times before the checkout.", event=failures[2])
    c, start, late = _checkout(t, 5 * MINUTE, c)
    t.truth("checkout_abandoned", c, late, "Struggled with a form, and left the checkout.", event=start)


def ordered_on_the_limit(t: Tale) -> None:
    """In time."""
    c, start, late = _checkout(t, 0)
    _order(t, c, late)
    t.near_miss("checkout_abandoned", c, late, "Ordered exactly an hour after the checkout.", event=start)


def ordered_after_all(t: Tale) -> None:
    """Three starts, one order."""
    starts = [_checkout(t, at) for at in (0, 50 * MINUTE, 100 * MINUTE)]
    _order(t, starts[-1][0], starts[-1][0].at + 10 * MINUTE)
    for c, start, late in starts:
        t.near_miss("checkout_abandoned", c, late, "Started three times and ordered in the end.", event=start)


STORIES = (
    hammered, hammered_on, hammered_twice, hammered_just_fast_enough, one_click_short, clicked_every_second,
    clicked_once_too_slowly, clicked_along, clicked_on_other_things,
    form_says_no, half_an_hour_of_form, form_after_a_form, form_failed_too_slowly, form_failed_twice,
    submitted_in_between, two_forms,
    left_the_cart, ordered_too_late, started_again, started_anew, left_after_a_struggle, ordered_on_the_limit,
    ordered_after_all,
)  # fmt: skip
