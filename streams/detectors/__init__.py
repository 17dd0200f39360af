"""All detectors. A new one is one function, one line here, one table in `rules.toml`, one test file."""

from __future__ import annotations

from schemas.times import DAY
from streams.contacts import CONTACT_SPAN
from streams.detectors.agent_disconnect import agent_disconnect
from streams.detectors.at_risk import at_risk
from streams.detectors.broken_promise import broken_promise, promises
from streams.detectors.channel_hop import channel_hop
from streams.detectors.checkout_abandoned import checkout_abandoned
from streams.detectors.closed_door import closed_door
from streams.detectors.dropped_call import dropped_call
from streams.detectors.feedback import follow_ups
from streams.detectors.form_struggle import form_struggle
from streams.detectors.lemon import lemon, lemon_pairs
from streams.detectors.long_wait import long_wait
from streams.detectors.low_score import low_score
from streams.detectors.queue_abandoned import queue_abandoned
from streams.detectors.rage_click import rage_click
from streams.detectors.reopened_case import reopened_case
from streams.detectors.repeat_contact import repeat_contact
from streams.detectors.rigid_process import rigid_process
from streams.detectors.slow_reply import slow_reply
from streams.detectors.transfer_loop import transfer_loop
from streams.detectors.unrecovered import unrecovered
from streams.entries import FAMILIES
from streams.friction import Detector
from streams.rules import LongWait, ReopenedCase, SlowReply

_CONTACT = ("contact", "message", "case")
_FAMILIES = tuple(sorted(set(FAMILIES.values())))


def _limit(rule: LongWait | SlowReply) -> int:
    return max((rule.longest(limit) for limit in rule.limits.values()), default=0)


def _window_and_life(rule: ReopenedCase) -> int:
    variants = rule.variants  # what came back before may have done so under another variant
    return max(v.window for v in variants) + max(v.expires_after for v in variants)


def _kinds(words: str) -> frozenset[str]:
    return frozenset(words.split())


DETECTORS = (
    Detector("repeat_contact", repeat_contact, _CONTACT, lambda rule: max(rule.window, 30 * DAY), CONTACT_SPAN),
    Detector(
        "dropped_call",
        dropped_call,
        _CONTACT,
        lambda rule: 0,
        CONTACT_SPAN,
        lambda rule: rule.call_back,
        needs=_kinds("contact.answered"),
    ),
    Detector(
        "agent_disconnect",
        agent_disconnect,
        _CONTACT,
        lambda rule: rule.after_longer_talk.return_within,
        CONTACT_SPAN,
        lambda rule: max(rule.return_within, rule.after_longer_talk.return_within),
        needs=_kinds("contact.answered"),
    ),
    Detector(
        "queue_abandoned",
        queue_abandoned,
        _CONTACT,
        lambda rule: CONTACT_SPAN + rule.window,
        CONTACT_SPAN,
        needs=_kinds("contact.abandoned"),
    ),
    Detector("long_wait", long_wait, _CONTACT, _limit, CONTACT_SPAN, needs=_kinds("contact.queued contact.answered")),
    Detector("transfer_loop", transfer_loop, ("contact",), lambda rule: 0, CONTACT_SPAN),
    Detector("channel_hop", channel_hop, _CONTACT, lambda rule: 2 * rule.window, CONTACT_SPAN),
    Detector("slow_reply", slow_reply, _CONTACT, _limit, CONTACT_SPAN, needs=_kinds("message.received")),
    Detector(
        "broken_promise",
        broken_promise,
        ("process",),
        lambda rule: rule.longest(rule.grace) if rule.grace else 0,
        pairs=promises,
        needs=_kinds("promise.made"),
    ),
    Detector("reopened_case", reopened_case, _CONTACT, _window_and_life, CONTACT_SPAN, needs=_kinds("case.resolved")),
    Detector(
        "closed_door",
        closed_door,
        ("contact", "message"),
        lambda rule: 0,
        CONTACT_SPAN,
        needs=_kinds("contact.refused"),
    ),
    Detector(
        "rigid_process",
        rigid_process,
        ("process",),
        lambda rule: 2 * rule.window,
        journeys=True,
        needs=_kinds("request.denied information.requested identity.verified"),
    ),
    Detector(
        "rage_click",
        rage_click,
        ("digital", "order"),
        lambda rule: rule.clicks * rule.apart,
        tail=lambda rule: rule.failure_within,
        journeys=True,
        needs=_kinds("element.clicked"),
    ),
    Detector("form_struggle", form_struggle, ("digital",), lambda rule: 2 * rule.window, needs=_kinds("form.failed")),
    Detector(
        "lemon",
        lemon,
        ("asset",),
        lambda rule: 2 * rule.window + rule.out_of_service,
        pairs=lemon_pairs,
        needs=_kinds("repair.opened"),
    ),
    Detector(
        "low_score",
        low_score,
        ("feedback",),
        lambda rule: 0,
        pairs=follow_ups,
        needs=_kinds("survey.answered complaint.filed"),
    ),
    Detector(
        "unrecovered",
        unrecovered,
        ("feedback",),
        lambda rule: rule.within,
        pairs=follow_ups,
        needs=_kinds("survey.answered complaint.filed"),
    ),
    Detector(
        "checkout_abandoned",
        checkout_abandoned,
        ("digital", "order"),
        lambda rule: rule.expires_after + rule.order_within,
        CONTACT_SPAN,
        journeys=True,
        needs=_kinds("checkout.started"),
    ),
    Detector("at_risk", at_risk, _FAMILIES, lambda rule: 2 * rule.silence, journeys=True, second=True),
)
"""Every detector, in the order in which they run."""
