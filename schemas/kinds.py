"""The kinds of touchpoints that Volveré knows, by family. The vocabulary is open: any other kind is a plain touchpoint."""

from __future__ import annotations

from schemas.touchpoint import Normal

KINDS: dict[str, tuple[str, ...]] = {
    "contact": (
        "contact.started", "contact.queued", "contact.answered", "contact.held", "contact.transferred", "contact.ended",
        "contact.abandoned", "contact.refused", "contact.resolved",
    ),
    "message": ("message.received", "message.sent"),
    "case": ("case.opened", "case.updated", "case.reopened", "case.resolved"),
    "process": (
        "request.made", "request.granted", "request.denied", "identity.verified", "information.requested",
        "promise.made", "promise.kept",
    ),
    "digital": (
        "page.viewed", "element.clicked", "form.started", "form.failed", "form.submitted", "checkout.started",
        "search.failed",
    ),
    "order": ("order.placed", "order.delivered", "order.returned", "order.refunded"),
    "asset": ("asset.sold", "asset.replaced", "repair.opened", "repair.closed"),
    "feedback": ("survey.sent", "survey.answered", "complaint.filed", "review.posted", "feedback.followed_up"),
    "relationship": (
        "purchase.made", "subscription.renewed", "subscription.cancelled", "account.closed", "referral.made",
    ),
    "operations": (
        "channel.closed", "channel.opened", "release.deployed", "agent.hired", "agent.left", "agent.trained",
        "agent.surveyed",
    ),
}  # fmt: skip

OPERATIONS = frozenset(KINDS["operations"])
"""What the company does on its own side."""


def is_operation(touchpoint: Normal) -> bool:
    """Whether it belongs to the topic `operations`: a kind of the company's own, without a customer."""
    return touchpoint.kind in OPERATIONS and touchpoint.customer_id is None
