"""Contacts, folded from entries.

A contact is one attempt to get something done: the entries of one subject that share a
`contact_id`; a `contact.*` without one is a contact of its own. It lasts at most 30 days from
its first entry; what comes later under the same id begins another contact. Without that bound
an entry could change what was settled (and perhaps forgotten) months ago, and no forgetting
would be exact. The view `volvere.contacts` folds the same way in SQL; a test holds the two
to be equal.

"First" and "latest" go by identity: (occurred_at, source, event_id).
"""

from __future__ import annotations

import msgspec

from schemas.friction import anchor
from schemas.times import DAY
from streams.entries import Entry

CONTACT_SPAN = 30 * DAY
"""How long after its first entry a contact still takes entries."""


class Contact(msgspec.Struct, gc=False):
    """One folded contact. Times: microseconds UTC."""

    key: str
    contact_id: str | None
    entries: list[Entry]
    start: Entry
    topic: str | None = None
    queue: str | None = None
    agent_id: str | None = None
    queued: Entry | None = None
    answered: Entry | None = None
    abandoned: Entry | None = None
    ended: Entry | None = None
    resolved: Entry | None = None
    outcome: str | None = None
    ended_by: str | None = None
    reason_code: str | None = None
    transfers: int = 0
    written: bool = False
    attempt: bool = False

    @property
    def first(self) -> Entry:
        """The entry that begins the 30 days; not always the one that is its start."""
        return self.entries[0]

    @property
    def newest(self) -> int:
        """The time of its latest entry."""
        return self.entries[-1].at

    @property
    def channel(self) -> str:
        """The channel that it began on."""
        return self.start.channel

    @property
    def started_at(self) -> int:
        """When it began."""
        return self.start.at

    @property
    def resolution(self) -> Entry | None:
        """The entry that resolved it: `contact.resolved`, else its end if the outcome says so."""
        return self.resolved or (self.ended if self.outcome == "resolved" else None)

    @property
    def settled(self) -> bool:
        """Its topic can be relied on: it is known, or the contact is over."""
        return self.topic is not None or self.ended is not None


ContactKey = str | tuple[str, str]


def contact_key(entry: Entry) -> ContactKey | None:
    """What the entries of one contact share: its id, else source and event id; None: part of no contact."""
    if entry.contact_id is not None:
        return entry.contact_id
    return (entry.source, entry.event_id) if entry.kind.startswith("contact.") else None


def fold(entries: list[Entry]) -> list[Contact]:
    """The contacts under one key, from its entries in order of identity."""
    if entries[-1].at <= entries[0].at + CONTACT_SPAN and True not in [e.cancelled for e in entries]:
        return [_fold_one(entries)]
    contacts: list[Contact] = []
    run: list[Entry] = []
    for entry in entries:
        if entry.cancelled:
            continue
        if run and entry.at > run[0].at + CONTACT_SPAN:
            contacts.append(_fold_one(run))
            run = []
        run.append(entry)
    if run:
        contacts.append(_fold_one(run))
    return contacts


def _fold_one(entries: list[Entry]) -> Contact:
    first: dict[str, Entry] = {}
    topic = queue = agent_id = outcome = ended_by = reason_code = None
    transfers = 0
    for e in entries:
        kind = e.kind
        if kind not in first:
            first[kind] = e
        if e.topic is not None:
            topic = e.topic
        if e.queue is not None:
            queue = e.queue
        if e.agent_id is not None:
            agent_id = e.agent_id
        if e.outcome is not None:
            outcome = e.outcome
        if kind in ("contact.ended", "contact.abandoned"):
            ended_by = e.ended_by or ended_by
            reason_code = e.reason_code or reason_code
        elif kind == "contact.transferred":
            transfers += 1
    begin = entries[0]
    start = first.get("contact.started", begin)
    abandoned = first.get("contact.abandoned")
    begun = start.kind.startswith("contact.") or start.kind == "message.received"
    return Contact(
        anchor(begin.contact_id, begin.source, begin.event_id),
        begin.contact_id,
        entries,
        start,
        topic,
        queue,
        agent_id,
        first.get("contact.queued"),
        first.get("contact.answered"),
        abandoned,
        first.get("contact.ended") or abandoned or first.get("contact.refused"),
        first.get("contact.resolved"),
        outcome,
        ended_by,
        reason_code,
        transfers,
        "message.received" in first,
        begun and start.direction != "outbound",
    )
