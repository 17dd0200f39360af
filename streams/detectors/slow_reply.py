"""`slow_reply`: the customer wrote, and the company was silent for too long."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.end_reasons import who_ended
from schemas.times import about
from streams.contacts import Contact
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending
from streams.rules import SlowReply


def turns(contact: Contact) -> Iterator[tuple[Entry, Entry | None]]:
    """The customer's turns in a conversation: first message, and the reply if there was one.

    A turn is a run of messages from the customer; only a reply that no machine sent ends it.
    None begins after the contact (or a case in it) was resolved or the customer ended it
    ("thanks"), until it is opened again.
    """
    first: Entry | None = None
    over = False
    for e in contact.entries:
        match e.kind:
            case "message.received" if first is None and not over:
                first = e
            case "message.sent" if first is not None and not e.automatic:
                yield first, e
                first = None
            case "contact.resolved" | "case.resolved":
                over = True
            case "contact.ended" if e is contact.resolution or who_ended(e.ended_by, e.reason_code) == "customer":
                over = True
            case "contact.started" | "case.reopened":
                over = False
    if first is not None:
        yield first, None


def slow_reply(view: View, table: SlowReply, clock: Clock) -> Iterator[Friction]:
    """Opens when a turn's first message stays unanswered past the channel's limit; over at the reply.

    Where a calendar is named only open hours count.
    """
    for contact in view.recent(view.reach):
        if not contact.written:
            continue
        rule = table.at(contact)
        for first, reply in turns(contact):
            limit = rule.limits.get(first.channel)
            if limit is None:
                continue
            late = rule.after(first.at, limit)
            if late >= reply.at if reply is not None else not clock.passed(late):
                continue
            worse = rule.after(first.at, round(limit * rule.error_factor))
            ends_at = late + rule.expires_after
            bad = worse <= ends_at and (reply.at >= worse if reply is not None else clock.passed(worse))
            ways = [(reply.at, "replied")] if reply is not None else []
            resolved_at, reason = ending(late, ends_at, ways, clock)
            waited = rule.between(first.at, (worse if bad else late) if reply is None else reply.at)
            after = f"A reply took {about(waited)}" if reply is not None else "No reply"
            yield Friction(
                rule_id="slow_reply",
                rule=rule,
                contact=None,
                entry=first,
                opened_at=late,
                severity="error" if bad else "warning",
                ends_at=ends_at,
                resolved_at=resolved_at,
                reason=reason,
                observed=(waited / 1e6, "seconds", None),
                threshold=(limit / 1e6, "seconds", None),
                summary=f"{after} on {first.channel}; expected within {about(limit)}",
                evidence=[("received", first)] + ([("replied", reply)] if reply else []),
                cause=reply or first,
                crossed=rule.error_factor if bad else 1,
            )
