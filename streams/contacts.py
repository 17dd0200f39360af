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

from collections.abc import Iterable

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


def contact_key(entry: Entry) -> str | None:
    """What the entries of one contact share: the name of its anchor; None: part of no contact."""
    if entry.contact_id is not None or entry.kind.startswith("contact."):
        return anchor(entry.contact_id, entry.source, entry.event_id)
    return None


def fold(key: str, entries: Iterable[Entry]) -> list[Contact]:
    """The contacts under one key, from its entries in order of identity."""
    contacts: list[Contact] = []
    run: list[Entry] = []
    for entry in entries:
        if entry.cancelled:
            continue
        if run and entry.at > run[0].at + CONTACT_SPAN:
            contacts.append(_fold_one(key, run))
            run = []
        run.append(entry)
    if run:
        contacts.append(_fold_one(key, run))
    return contacts


def _fold_one(key: str, entries: list[Entry]) -> Contact:
    c = Contact(key, entries[0].contact_id, entries, entries[0])
    first: dict[str, Entry] = {}
    for e in entries:
        first.setdefault(e.kind, e)
        if e.topic is not None:
            c.topic = e.topic
        if e.queue is not None:
            c.queue = e.queue
        if e.agent_id is not None:
            c.agent_id = e.agent_id
        if e.outcome is not None:
            c.outcome = e.outcome
        if e.kind in ("contact.ended", "contact.abandoned"):
            c.ended_by = e.ended_by or c.ended_by
            c.reason_code = e.reason_code or c.reason_code
        elif e.kind == "contact.transferred":
            c.transfers += 1
    c.start = first.get("contact.started", entries[0])
    c.queued = first.get("contact.queued")
    c.answered = first.get("contact.answered")
    c.abandoned = first.get("contact.abandoned")
    c.ended = first.get("contact.ended") or c.abandoned or first.get("contact.refused")
    c.resolved = first.get("contact.resolved")
    c.written = "message.received" in first
    begun = c.start.kind
    c.attempt = c.start.direction != "outbound" and (begun.startswith("contact.") or begun == "message.received")
    return c
