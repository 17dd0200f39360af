"""An entry: one touchpoint, reduced to what detectors and journeys read.

Its identity is (occurred_at, source, event_id). Within an identity the greatest
(version, digest of the content) wins, so merging is a set union: order does not matter, and
twice is once. A cancelled entry is kept, so that it goes on winning, but nobody reads it.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern

import msgspec

from schemas.touchpoint import Normal

FAMILIES = {
    "contact": "contact",
    "message": "message",
    "case": "case",
    "request": "process",
    "identity": "process",
    "information": "process",
    "promise": "process",
    "page": "digital",
    "element": "digital",
    "form": "digital",
    "checkout": "digital",
    "search": "digital",
    "order": "order",
    "asset": "asset",
    "repair": "asset",
    "survey": "feedback",
    "complaint": "feedback",
    "review": "feedback",
    "feedback": "feedback",
    "purchase": "relationship",
    "subscription": "relationship",
    "account": "relationship",
    "referral": "relationship",
    "order.refunded": "asset",  # only `lemon` reads it, which looks back for years; other orders need not be kept so long
}
"""A kind, or the first word of one, to its family; what is not listed belongs to the family "other"."""

OWN = frozenset(
    "message.received page.viewed element.clicked form.started form.failed form.submitted checkout.started search.failed "
    "request.made order.placed order.returned repair.opened survey.answered complaint.filed review.posted purchase.made "
    "subscription.renewed subscription.cancelled account.closed referral.made".split()
)
"""What customers do themselves, besides beginning attempts; the rest is the company's doing, or both sides'."""


@lru_cache(maxsize=1024)
def family_of(kind: str) -> str:
    """The family of a kind, known or not."""
    return FAMILIES.get(kind) or FAMILIES.get(kind.partition(".")[0], "other")


class Details(msgspec.Struct, array_like=True, gc=False):
    """What few touchpoints have; apart, because a million entries would carry the room for it."""

    product: str | None
    asset_id: str | None
    release: str | None
    score: float | None
    scale: str | None
    amount: str | None
    currency: str | None
    element: str | None
    x: float | None
    y: float | None


class Entry(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one touchpoint. Times: microseconds UTC.

    The order of the fields is the packed form: new ones go to the end, with a default.
    `replay` and `journey` are ours, not the touchpoint's: whether it came as history, and
    the number of the journey that it was folded into (0: none).
    """

    at: int
    source: str
    event_id: str
    kind: str
    channel: str
    version: int
    digest: int
    cancelled: bool = False
    replay: bool = False
    journey: int = 0
    contact_id: str | None = None
    topic: str | None = None
    agent_id: str | None = None
    queue: str | None = None
    direction: str | None = None
    ended_by: str | None = None
    reason: str | None = None
    reason_code: str | None = None
    wait_ms: int | None = None
    handle_ms: int | None = None
    outcome: str | None = None
    automatic: bool = False
    journey_id: str | None = None
    ref: str | None = None
    due_at: int | None = None
    details: Details | None = None

    @property
    def identity(self) -> tuple[int, str, str]:
        """What makes two reports the same touchpoint; also the order of entries."""
        return (self.at, self.source, self.event_id)

    @property
    def own(self) -> bool:
        """Whether the customer did it, and no machine."""
        return self.kind in OWN and self.direction != "outbound" and not self.automatic


_NONE = (None,) * len(Details.__struct_fields__)


def entry_of(t: Normal, digest: int, replay: bool) -> Entry:
    """Reduce a touchpoint in normal form. What many entries share is one object in memory."""
    details = (t.product, t.asset_id, t.release, t.score, t.scale, t.amount, t.currency, t.element, t.x, t.y)
    return Entry(
        t.occurred_at,
        intern(t.source),
        t.event_id,
        intern(t.kind),
        intern(t.channel),
        t.version,
        digest,
        t.cancelled,
        replay,
        0,
        t.contact_id and intern(t.contact_id),
        t.topic and intern(t.topic),
        t.agent_id and intern(t.agent_id),
        t.queue and intern(t.queue),
        t.direction,
        t.ended_by,
        t.reason,
        t.reason_code,
        t.wait_ms,
        t.handle_ms,
        t.outcome,
        t.automatic,
        t.journey_id,
        t.ref,
        t.due_at,
        None if details == _NONE else Details(*details),
    )
