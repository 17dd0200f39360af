"""Conversations of the background: calls, chats, letters and posts, and what comes of them.

Each function tells one contact of a customer without a story, from `at` on; chance decides how it goes.
`dice` yields uniform numbers in [0, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

from schemas.times import DAY, HOUR, MINUTE, SECOND, format_time
from volvere.simulator.contact import TOPICS, Contact
from volvere.simulator.stories import MENU, MILLISECOND

Dice = Callable[[], float]
ELEMENTS = ("account number", "date of birth", "address")
_REPLY_MEAN = {"email": 2 * HOUR, "sms": 2 * MINUTE, "social": 25 * MINUTE}
_SCORES = (("nps", 0, 10, 6), ("csat5", 1, 5, 2), ("ces7", 1, 7, 3))
"""Scale, least and greatest score, and the greatest that is low."""


def lasting(dice: Dice, mean: int) -> int:
    """A random length with a mean (exponential), in whole milliseconds but given in microseconds."""
    return int(-log(1.0 - dice()) * mean) // MILLISECOND * MILLISECOND


def pick(dice: Dice, some: Sequence[str]) -> str:
    """One of them."""
    return some[int(len(some) * dice())]


def _agent(dice: Dice, agents: int) -> str:
    return f"A{int(dice() * agents):03d}"


def call(c: Contact, at: int, dice: Dice, agents: int) -> None:
    """A phone call."""
    agent = _reach(c, at, dice, agents)
    if agent is None:
        return
    answered, how = c.at, dice()
    if how < 0.01:  # the line, or an agent in a hurry
        c.say(answered + lasting(dice, MINUTE), "contact.ended", ended_by="network", reason_code="38")
    elif how < 0.025:
        c.say(answered + SECOND + lasting(dice, 5 * SECOND), "contact.ended", ended_by="agent", agent_id=agent)
    if how < 0.025:
        if dice() < 0.4:
            call(c.aside("b", "voice", False), c.at + lasting(dice, 20 * MINUTE), dice, agents)
        return
    if how < 0.08:
        agent = _pass_on(c, dice, agents)
    elif how < 0.18:
        c.say(c.at + lasting(dice, 20 * SECOND), "identity.verified", element=pick(dice, ELEMENTS), agent_id=agent)
    elif how < 0.21:
        promise(c, c.at + lasting(dice, MINUTE), dice)
    elif how < 0.23:
        request(c, c.at + lasting(dice, MINUTE), dice)
    elif how < 0.25:
        c.say(c.at + lasting(dice, MINUTE), "contact.held", agent_id=agent)
    over = c.at + 15 * SECOND + lasting(dice, 180 * SECOND)
    if dice() < 0.6:
        c.say(over - 5 * SECOND, "contact.resolved", outcome="resolved", agent_id=agent)
    by = "customer" if dice() < 0.9 else "agent"
    c.say(over, "contact.ended", ended_by=by, handle_ms=(over - answered) // MILLISECOND, agent_id=agent)
    if how > 0.96:
        survey(c.aside("s", "email"), over + HOUR, dice)


def chat(c: Contact, at: int, dice: Dice, agents: int) -> None:
    """A chat, in a few turns."""
    agent = _reach(c, at, dice, agents)
    if agent is None:
        return
    answered = c.at
    for _ in range(1 + int(dice() * 2)):
        c.say(c.at + SECOND + lasting(dice, 15 * SECOND), "message.received")
        c.say(c.at + SECOND + lasting(dice, 25 * SECOND), "message.sent", agent_id=agent)
    how = dice()
    if how < 0.04:
        request(c, c.at + 10 * SECOND, dice)
    elif how < 0.5:
        c.say(c.at + 10 * SECOND, "contact.resolved", outcome="resolved", agent_id=agent)
    over = c.at + 5 * SECOND + lasting(dice, 20 * SECOND)
    c.say(over, "contact.ended", ended_by="customer", handle_ms=(over - answered) // MILLISECOND, agent_id=agent)


def letter(c: Contact, at: int, dice: Dice, agents: int) -> None:
    """Mail, text and public posts: written at once, read when somebody has time."""
    how = dice()
    if how < 0.015:
        refused = c.aside("x", c.channel, how < 0.008)  # half of them with nothing else to go by
        refused.say(at, "contact.refused", reason="channel_closed" if dice() < 0.7 else "capacity")
        return
    c.say(at, "message.received")
    if c.channel == "email":
        c.say(at + 2 * SECOND, "message.sent", automatic=True)
    if how < 0.97:
        c.say(c.at + 20 * SECOND + lasting(dice, _REPLY_MEAN[c.channel]), "message.sent", agent_id=_agent(dice, agents))
        if how < 0.5:
            c.say(c.at + MINUTE, "contact.resolved", outcome="resolved")
        elif how < 0.55:
            c.say(c.at + MINUTE, "information.requested", element=pick(dice, ELEMENTS))
        elif how < 0.59:
            promise(c, c.at + MINUTE, dice)


def _reach(c: Contact, at: int, dice: Dice, agents: int) -> str | None:
    """From the start to the answer: the agent, or None if nobody came in time."""
    c.say(at, "contact.started")
    how = dice()
    if how < 0.03:
        c.say(at + lasting(dice, 20 * SECOND), "contact.abandoned")
        return None
    if how < 0.035:
        c.say(at + SECOND, "contact.refused", reason="channel_closed" if how < 0.034 else "capacity")
        return None
    c.say(at + MENU, "contact.queued", queue=c.topic)
    wait, patience = lasting(dice, 40 * SECOND), lasting(dice, 400 * SECOND)
    if patience < wait:
        reason = "callback_accepted" if how > 0.95 else None
        waited = patience // MILLISECOND
        c.say(c.at + patience, "contact.abandoned", wait_ms=waited, ended_by="customer", reason=reason)
        return None
    agent = _agent(dice, agents)
    c.say(c.at + wait, "contact.answered", wait_ms=wait // MILLISECOND, agent_id=agent, queue=c.topic)
    return agent


def _pass_on(c: Contact, dice: Dice, agents: int) -> str:
    """Transferred, perhaps more than once, perhaps in a circle; the matter may turn out to be another."""
    while True:
        queue, agent, how = pick(dice, TOPICS), _agent(dice, agents), dice()
        if how < 0.3:
            c.topic = queue
        c.say(c.at + lasting(dice, MINUTE), "contact.transferred", queue=queue, agent_id=agent)
        if how < 0.5:
            c.say(c.at + lasting(dice, 40 * SECOND), "contact.answered", queue=queue, agent_id=agent)
        if 0.2 < how < 0.6:
            c.say(c.at + lasting(dice, 20 * SECOND), "identity.verified", element=ELEMENTS[0], agent_id=agent)
        if dice() < 0.6:
            return agent


def promise(c: Contact, at: int, dice: Dice) -> None:
    """A promise, kept in time, on the limit, too late, never, or put off."""
    ref = None if dice() < 0.2 else c.ref("promise")
    due = at + HOUR * (1 + int(72 * dice()))
    c.say(at, "promise.made", ref=ref, due_at=format_time(due))
    fate, later = dice(), c.aside("p", "email")
    if fate < 0.1:
        put_off = due + DAY
        later.say(at + lasting(dice, due - at), "promise.made", ref=ref, due_at=format_time(put_off))
        if fate < 0.05:
            later.say(max(later.at, put_off - HOUR), "promise.kept", ref=ref)
    elif fate < 0.7:
        later.say(at + int((due - at) * dice()), "promise.kept", ref=ref)
    elif fate < 0.9:
        later.say(due + (0 if fate < 0.75 else lasting(dice, DAY)), "promise.kept", ref=ref)


def request(c: Contact, at: int, dice: Dice) -> None:
    """Something that the rules of the company allow, or not."""
    ref = None if dice() < 0.2 else c.ref("request")
    c.say(at, "request.made", ref=ref)
    how = dice()
    if how < 0.4:
        reason = "policy" if how < 0.25 else "fraud" if how < 0.35 else None
        c.say(c.at + MINUTE, "request.denied", ref=ref, reason=reason)
        if how < 0.1:
            c.aside("r").say(c.at + lasting(dice, 2 * DAY), "request.granted", ref=ref)
    elif how < 0.9:
        c.say(c.at + MINUTE, "request.granted", ref=ref)


def survey(c: Contact, at: int, dice: Dice) -> None:
    """A survey; half of them are answered, and most low scores followed up some time."""
    ref = None if dice() < 0.2 else c.ref("survey")
    c.say(at, "survey.sent", ref=ref)
    if dice() < 0.5:
        return
    scale, least, most, low = _SCORES[int(3 * dice())]
    score = least + int((most + 1 - least) * dice() ** 0.6)
    c.say(at + lasting(dice, DAY), "survey.answered", ref=ref, scale=scale, score=score, queue=c.topic)
    if score <= low and dice() < 0.7:
        c.say(c.at + lasting(dice, 40 * HOUR), "feedback.followed_up", ref=ref)
