"""`transfer_loop`: handed on and on, or back to where the customer had been."""

from __future__ import annotations

from collections.abc import Iterator

from streams.contacts import Contact
from streams.entries import Entry
from streams.friction import Clock, Friction, View, ending
from streams.rules import TransferLoop


def _moved(contact: Contact) -> bool:
    """Whether several queues or several agents are named; for most contacts there is no more to do than this."""
    queue, agent = contact.queue, contact.agent_id
    for e in contact.entries:
        if e.queue is not None and e.queue != queue:
            return True
        if e.agent_id is not None and e.agent_id != agent:
            return True
    return False


def _return(contact: Contact) -> tuple[Entry, Entry, str] | None:
    """The first return: the first visit, the entry that names the same place again, and what kind of place it is.

    Queues and agents are followed apart from each other, as the `contact.*` entries name them in order. To be named again
    and again with none other between is one visit. A call can come back without being transferred.
    """
    queues: dict[str, Entry] = {}
    agents: dict[str, Entry] = {}
    queue = agent = None
    for e in contact.entries:
        moved = e.queue is not None and e.queue != queue
        passed_on = e.agent_id is not None and e.agent_id != agent
        if not (moved or passed_on) or not e.kind.startswith("contact."):
            continue
        if moved:
            queue = e.queue
            if (first := queues.setdefault(str(queue), e)) is not e:
                return first, e, "a queue"
        if passed_on:
            agent = e.agent_id
            if (first := agents.setdefault(str(agent), e)) is not e:
                return first, e, "an agent"
    return None


def transfer_loop(view: View, table: TransferLoop, clock: Clock) -> Iterator[Friction]:
    """Opens at transfer number `transfers` or at the first return to a queue or an agent, whichever is first.

    An error where there was a return, also a later one. Resolved when the contact is.
    """
    for contact in view.recent():
        back = _return(contact) if _moved(contact) else None
        if back is None and contact.transfers < 2:
            continue  # the least that `transfers` may be
        rule = table.at(contact)
        transfers = [e for e in contact.entries if e.kind == "contact.transferred"]
        opener = transfers[rule.transfers - 1] if len(transfers) >= rule.transfers else None
        too_many = f"Handed on {len(transfers)} times" if opener is not None else ""
        evidence = {e.identity: ("transferred", e) for e in transfers}
        observed, threshold = (len(transfers), "transfers", None), (rule.transfers, "transfers", None)
        if back is not None:
            first, again, place = back
            evidence |= {first.identity: ("visited", first), again.identity: ("returned", again)}
            if opener is None or again.identity < opener.identity:
                opener, observed, threshold = again, (1, "returns", None), (1, "returns", None)
            came_back = f"ack at {place} already visited"
            summary = f"{too_many}, and b{came_back}" if too_many else f"B{came_back}"
            cause = again
        elif opener is not None:
            summary, cause = too_many, opener
        else:
            continue
        ends_at = opener.at + rule.expires_after
        ways = [(contact.resolution.at, "resolved")] if contact.resolution else []
        resolved_at, reason = ending(opener.at, ends_at, ways, clock)
        yield Friction(
            rule_id="transfer_loop",
            rule=rule,
            contact=contact,
            entry=contact.start,
            opened_at=opener.at,
            severity="error" if back is not None else "warning",
            ends_at=ends_at,
            resolved_at=resolved_at,
            reason=reason,
            observed=observed,
            threshold=threshold,
            summary=summary,
            evidence=[evidence[identity] for identity in sorted(evidence)],
            cause=cause,
            crossed=1 if back is not None else 0,
        )
