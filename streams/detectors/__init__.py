"""All detectors. A new one is one function, one line here, one table in `rules.toml`, one test file."""

from __future__ import annotations

from schemas.times import DAY
from streams.contacts import CONTACT_SPAN
from streams.detectors.agent_disconnect import agent_disconnect
from streams.detectors.dropped_call import dropped_call
from streams.detectors.long_wait import long_wait
from streams.detectors.queue_abandoned import queue_abandoned
from streams.detectors.repeat_contact import repeat_contact
from streams.detectors.slow_reply import slow_reply
from streams.friction import Detector
from streams.rules import LongWait, SlowReply

_CONTACT = ("contact", "message", "case")


def _limit(rule: LongWait | SlowReply) -> int:
    return max(rule.limits.values(), default=0)


DETECTORS = (
    Detector("repeat_contact", repeat_contact, _CONTACT, lambda rule: max(rule.window, 30 * DAY), CONTACT_SPAN),
    Detector("dropped_call", dropped_call, _CONTACT, lambda rule: 0, CONTACT_SPAN),
    Detector(
        "agent_disconnect", agent_disconnect, _CONTACT, lambda rule: rule.after_longer_talk.return_within, CONTACT_SPAN
    ),
    Detector("queue_abandoned", queue_abandoned, _CONTACT, lambda rule: CONTACT_SPAN + rule.window, CONTACT_SPAN),
    Detector("long_wait", long_wait, _CONTACT, _limit, CONTACT_SPAN),
    Detector("slow_reply", slow_reply, _CONTACT, _limit, CONTACT_SPAN),
)
"""Every detector, in the order in which they run."""
