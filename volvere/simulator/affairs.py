"""What customers of the background do without a conversation, and what the company does for them.

Visits to the shop, orders, things that break, cases, complaints. Some go on for weeks.
"""

from __future__ import annotations

from schemas.times import DAY, HOUR, MINUTE, SECOND
from volvere.simulator.contact import Contact
from volvere.simulator.stories import MILLISECOND
from volvere.simulator.traffic import ELEMENTS, Dice, call, lasting, pick, request, survey

FAULTS = ("engine", "brakes", "battery", "gearbox")
FORMS = ("address", "payment")
TIES = (
    "purchase.made purchase.made subscription.renewed subscription.cancelled referral.made account.closed "
    "newsletter.opened"
).split()
"""What ties a customer to the company, or cuts the ties; the last is a kind that no detector knows."""


def visit(c: Contact, at: int, dice: Dice, agents: int) -> None:  # noqa: ARG001
    """A visit to the shop: nobody was asked for anything, so it is no attempt."""
    c.say(at, "page.viewed", element=c.topic)
    how = dice()
    if how < 0.1:
        _hammer(c, dice)
    elif how < 0.3:
        _fill_in(c, dice)
    elif how < 0.35:
        c.say(c.at + lasting(dice, MINUTE), "search.failed", element="search")
    else:
        c.say(c.at + SECOND + lasting(dice, 30 * SECOND), "element.clicked", element="search", x=640, y=80)
    c.say(c.at + SECOND + lasting(dice, 30 * SECOND), "page.viewed", element="cart")
    if dice() < 0.4:
        _check_out(c, dice)


def _hammer(c: Contact, dice: Dice) -> None:
    """A burst of clicks, more or less fast and more or less on the spot."""
    element = pick(dice, ("pay", "menu"))
    x, y, hurry = int(1000 * dice()), int(800 * dice()), 400 + int(900 * dice())
    for _ in range(2 + int(4 * dice())):
        x, y = x + int(20 * dice() * dice()), y + int(20 * dice() * dice())
        c.say(c.at + int(hurry * dice()) * MILLISECOND, "element.clicked", element=element, x=x, y=y)
    if dice() < 0.3:
        c.say(c.at + lasting(dice, 40 * SECOND), "search.failed", element=element)


def _fill_in(c: Contact, dice: Dice) -> None:
    """A form, which may say no a few times."""
    form = pick(dice, FORMS)
    ref = f"form/{form}"
    c.say(c.at + lasting(dice, MINUTE), "form.started", ref=ref, element=form)
    for _ in range(6):
        if dice() < 0.45:
            break
        c.say(c.at + lasting(dice, 3 * MINUTE), "form.failed", ref=ref, element=form)
    if dice() < 0.7:
        c.say(c.at + lasting(dice, MINUTE), "form.submitted", ref=ref, element=form)


def _check_out(c: Contact, dice: Dice) -> None:
    """To the checkout, once or more; many order in the end, and get what they ordered."""
    ref = c.ref("order")
    c.say(c.at + SECOND + lasting(dice, MINUTE), "checkout.started", ref=ref if dice() < 0.5 else None)
    while dice() < 0.15:
        c.say(c.at + lasting(dice, 40 * MINUTE), "checkout.started")
    if dice() < 0.4:
        return
    money = {"amount": f"{10 + int(200 * dice())}.90", "currency": "EUR"}
    c.say(c.at + SECOND + lasting(dice, 15 * MINUTE), "order.placed", ref=ref, **money)
    fate, later = dice(), c.aside("o", "store")
    if fate < 0.9:
        later.say(c.at + DAY + lasting(dice, 2 * DAY), "order.delivered", ref=ref)
    if fate < 0.1:
        later.say(later.at + lasting(dice, 5 * DAY), "order.returned", ref=ref)
        if fate < 0.07:
            later.say(later.at + lasting(dice, 2 * DAY), "order.refunded", ref=ref, **money)


def affair(c: Contact, at: int, dice: Dice, agents: int) -> None:
    """Whatever else there is between a customer and a company."""
    how = dice()
    if how < 0.3:
        _case(c, at, dice, agents)
    elif how < 0.42:
        _own(c.aside("a", "store"), at, dice)
    elif how < 0.58:
        survey(c.aside("s", "email"), at, dice)
    elif how < 0.68:
        _complain(c.aside("c", "email"), at, dice)
    elif how < 0.78:
        request(c.aside("q"), at, dice)
    elif how < 0.86:
        asked = c.aside("i", "email")
        asked.say(at, "information.requested", element=pick(dice, ELEMENTS))
        while dice() < 0.6:
            asked.say(asked.at + lasting(dice, 2 * DAY), "information.requested", element=pick(dice, ELEMENTS[:2]))
    else:
        c.aside("t").say(at, pick(dice, TIES), amount="29.90", currency="EUR")


def _case(c: Contact, at: int, dice: Dice, agents: int) -> None:
    """A case; some come back, and about some people must call."""
    ref = None if dice() < 0.3 else c.ref("case")
    c.say(at, "case.opened", ref=ref)
    if dice() < 0.3:
        c.say(c.at + lasting(dice, DAY), "case.updated", ref=ref)
    while True:
        c.say(c.at + lasting(dice, DAY), "case.resolved", ref=ref)
        how = dice()
        if how < 0.15:
            again, since = c.aside("k", "voice", False), len(c.said)
            call(again, c.at + lasting(dice, 6 * DAY), dice, agents)
            for _, touchpoint in c.said[since:]:
                touchpoint["ref"] = touchpoint.get("ref") or ref
            return
        if how > 0.45:
            return
        c.say(c.at + lasting(dice, 6 * DAY), "case.reopened", ref=ref)


def _own(c: Contact, at: int, dice: Dice) -> None:
    """Something is sold, breaks, and is repaired, replaced or taken back."""
    asset = c.ref("asset")
    c.say(at, "asset.sold", asset_id=asset, product="car")
    while dice() < 0.75:
        ref = None if dice() < 0.2 else c.ref("repair")
        c.topic = FAULTS[int(len(FAULTS) * dice() ** 2)]
        c.say(c.at + lasting(dice, 8 * DAY), "repair.opened", ref=ref, asset_id=asset)
        if dice() < 0.05:
            return  # and is never seen again
        c.say(c.at + lasting(dice, 4 * DAY), "repair.closed", ref=ref, asset_id=asset)
    if dice() < 0.3:
        kind = "asset.replaced" if dice() < 0.5 else "order.refunded"
        c.say(c.at + lasting(dice, 5 * DAY), kind, asset_id=asset)


def _complain(c: Contact, at: int, dice: Dice) -> None:
    """A complaint, heard in time, too late, or never; a review is for others to read."""
    if dice() < 0.2:
        c.say(at, "review.posted")
        return
    ref = None if dice() < 0.2 else c.ref("complaint")
    c.say(at, "complaint.filed", ref=ref)
    if dice() < 0.7:
        c.say(at + lasting(dice, 40 * HOUR), "feedback.followed_up", ref=ref)
