"""`queue_abandoned`: the customer gave up waiting."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.times import about
from streams.contacts import Contact
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending
from streams.rules import QueueAbandoned


def queue_abandoned(view: View, table: QueueAbandoned, clock: Clock) -> Iterator[Friction]:
    """Opens when a queued contact is abandoned after more than `short_abandon`.

    A warning when the customer's attempt before was abandoned too; resolved when the customer
    is answered, in whatever contact. Who accepted a call-back has not given up.
    """
    for contact in view.recent():
        given_up = contact.abandoned
        if given_up is None or _called_back(given_up):
            continue
        queued = _queued(contact, given_up)
        if queued is None:
            continue
        rule = table.at(contact)
        wait = given_up.wait_ms * 1000 if given_up.wait_ms is not None else given_up.at - queued.at
        if wait <= rule.short_abandon:
            continue
        previous = next((c for c in view.before(contact) if c.attempt), None)
        again = (
            previous is not None
            and previous.abandoned is not None
            and not _called_back(previous.abandoned)
            and view.known
            and contact.started_at - previous.started_at <= rule.window
        )
        at = given_up.at
        ends_at = at + rule.expires_after
        ways = [(e.at, "answered") for e in view.of("contact.answered")]
        resolved_at, reason = ending(at, ends_at, ways, clock)
        yield Friction(
            rule_id="queue_abandoned",
            rule=rule,
            contact=contact,
            entry=contact.start,
            opened_at=at,
            severity="warning" if again else "info",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=(wait / 1e6, "seconds", None),
            threshold=(rule.short_abandon / 1e6, "seconds", None),
            summary=f"Gave up after {about(wait)} in the queue" + (", again" if again else ""),
            evidence=[("queued", queued), ("abandoned", given_up)],
            cause=given_up,
            crossed=1 if again else 0,
        )


def _called_back(given_up: Entry) -> bool:
    return given_up.reason == "callback_accepted"


def _queued(contact: Contact, given_up: Entry) -> Entry | None:
    """When the wait that was given up began: the first queueing since the last answer, whatever queues it went through."""
    queued = None
    for e in contact.entries:
        if e.at > given_up.at:
            break
        if e.kind == "contact.answered":
            queued = None
        elif e.kind == "contact.queued":
            queued = queued or e
    return queued
