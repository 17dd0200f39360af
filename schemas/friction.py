"""A friction event: one difficulty that a customer met, as alerting systems receive it.

CloudEvents 1.0 in structured JSON. `friction_id` stays the same while a friction opens, is
updated, resolves or is retracted; `data.revision` counts what was said about it, and the later
record in a partition wins. `id` differs only when something differs, so that exact repeats
can be dropped by it.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Annotated, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from schemas.touchpoint import Id, Time, Word

State = Literal["open", "resolved", "retracted"]
Severity = Literal["info", "warning", "error", "critical"]
Mode = Literal["live", "shadow"]
SEVERITY_NUMBER: dict[str, int] = {"info": 9, "warning": 13, "error": 17, "critical": 21}
"""OpenTelemetry's severity numbers."""

MAX_EVIDENCE = 20
Count = Annotated[int, Field(ge=0)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Evidence(_Wire):
    """One touchpoint that proves the friction, and the part it plays."""

    source: Id
    event_id: Id
    occurred_at: Time
    role: Word = Field(description="started, queued, answered, abandoned, ended, received, replied, returned, ...")


class Measure(_Wire):
    """A value with its unit, and the window that it was counted in where there is one."""

    value: float
    unit: Word = Field(description="contacts, seconds, ...")
    window: str | None = Field(None, description="a duration such as 7d")
    also: dict[str, float] = Field(default_factory=dict, description="the same in other windows")


class RuleUsed(_Wire):
    """The rule under which the friction was found."""

    id: str
    digest: str = Field(description="16 hexadecimal digits over the rule's settings")
    mode: Mode = Field(description="shadow: recorded, never notified")


class FrictionData(_Wire):
    """What is known about the friction at this revision."""

    friction_id: UUID
    kind: Word
    state: State
    reason: str | None = Field(None, description="why it resolved: answered, superseded, expired, rule_changed, ...")
    severity: Severity
    opened_at: Time
    resolved_at: Time | None = None
    provisional: bool = Field(description="time alone can still change it")
    final_at: Time = Field(description="from here on time alone cannot change it")
    observed: Measure | None = None
    threshold: Measure | None = None
    rule: RuleUsed
    generation: Count
    revision: Annotated[int, Field(ge=1)]
    customer_id: Id | None = None
    journey_id: str | None = None
    contact_id: Id | None = None
    channel: Word | None = None
    queue: Id | None = None
    agent_id: Id | None = None
    topic: Id | None = None
    product: Id | None = None
    asset_id: Id | None = None
    release: Id | None = None
    evidence: Annotated[list[Evidence], Field(max_length=MAX_EVIDENCE)] = Field(default_factory=list)
    group_open: Count = Field(description="open live frictions under the same dedupkey: trigger at 1, resolve at 0")
    corrected: bool = Field(False, description="late evidence changed what an earlier revision said")
    suppressed: bool = Field(False, description="record it, do not notify")
    replay: bool = Field(False, description="history or a backfill: never page")
    summary: str = Field(description="one line that a person can read")


class FrictionEvent(_Wire):
    """The CloudEvents envelope on the topic `frictions`."""

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: Literal[
        "volvere.friction.opened",
        "volvere.friction.updated",
        "volvere.friction.resolved",
        "volvere.friction.retracted",
    ]
    subject: str
    time: Time = Field(description="when it happened")
    recordedtime: Time = Field(description="when it was detected")
    datacontenttype: Literal["application/json"]
    dataschema: str
    severitytext: Severity
    severitynumber: int
    dedupkey: str = Field(description="kind and a hash of subject and stable cause: one incident")
    groupkey: str = Field(description="kind and queue or release, without the customer: one storm")
    correlationid: str | None = Field(None, description="the journey")
    data: FrictionData


_NAMESPACE = uuid5(NAMESPACE_URL, "https://volvere.example/friction").bytes


def anchor(contact_id: str | None, source: str, event_id: str) -> str:
    """The name of an anchor: a contact by its id, else a touchpoint by its source and event id."""
    return f"contact/{contact_id}" if contact_id is not None else f"touchpoint/{source}/{event_id}"


def friction_id(
    kind: str, subject: str, *, contact_id: str | None = None, source: str = "", event_id: str = ""
) -> UUID:
    """The id of a friction: its kind and its one anchor, a contact or else a touchpoint.

    Never the journey, a count or the rule, so that it stays the same whatever else is learnt;
    never the customer either, so that identities can be joined later. Only where the customer is unknown
    (`subject` begins with "~", see `subject_of`) does the subject keep strangers apart.
    """
    return anchored_id(kind, subject, anchor(contact_id, source, event_id))


def anchored_id(kind: str, subject: str, name: str) -> UUID:
    """`friction_id` for an anchor that has its name already."""
    return UUID(anchored_text(kind, subject, name))


def anchored_text(kind: str, subject: str, name: str) -> str:
    """`anchored_id`, in words."""
    stranger = f"/{subject}" if subject.startswith(("~contact/", "~touchpoint/")) else ""
    return uuid5_text(_NAMESPACE, f"{kind}/{name}{stranger}")


def uuid5_text(space: bytes, name: str) -> str:
    """What `str(uuid5(UUID(bytes=space), name))` says, in a third of the time."""
    digest = bytearray(sha1(space + name.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50  # the version
    digest[8] = digest[8] & 0x3F | 0x80  # and the variant
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
