"""A touchpoint: one thing that happened between a customer and the company.

Two classes hold the same fields. `Touchpoint` (pydantic) is the contract: its JSON Schema is
published, its errors are what a sender reads. `Normal` (msgspec) is the form that both
workers work with: times as microseconds, absent and empty alike None, amounts in one
spelling. `schemas.decode` makes the second from bytes, as the first would judge them.

Limits: 64 KiB a record, identifiers of 128 characters, 64 attributes of 1,024 characters.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)

from schemas.times import format_time, parse_time

MAX_RECORD = 64 * 1024
MAX_ID = 128
MAX_TEXT = 1024
MAX_WORD = 64
MAX_ATTRIBUTES = 64
INT64 = 2**63 - 1
KIND_PATTERN = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$"
WORD_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
AMOUNT_PATTERN = r"^-?[0-9]{1,14}(\.[0-9]{1,4})?$"


def _exactly(pattern: str) -> str:
    return pattern.removesuffix("$") + r"\Z"


# One alias serves both classes: pydantic reads its own constraint and skips msgspec's, and
# the other way round. msgspec searches with Python's re, where "$" also matches before a final
# line feed; in pydantic's and JSON Schema's patterns it does not, so msgspec gets "\Z".
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID), StringConstraints(min_length=1, max_length=MAX_ID)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT), StringConstraints(min_length=1, max_length=MAX_TEXT)]
Kind = Annotated[str, StringConstraints(max_length=MAX_WORD, pattern=KIND_PATTERN)]
Word = Annotated[
    str,
    Meta(max_length=MAX_WORD, pattern=_exactly(WORD_PATTERN)),
    StringConstraints(max_length=MAX_WORD, pattern=WORD_PATTERN),
]
Currency = Annotated[str, Meta(pattern=_exactly(CURRENCY_PATTERN)), StringConstraints(pattern=CURRENCY_PATTERN)]
Millis = Annotated[int, Meta(ge=0, le=10**12), Field(ge=0, le=10**12)]
Version = Annotated[int, Meta(ge=0, le=INT64), Field(ge=0, le=INT64)]
Whole = Annotated[int, Meta(ge=-INT64, le=INT64), Field(ge=-INT64, le=INT64)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Direction = Literal["inbound", "outbound"]
EndedBy = Literal["customer", "agent", "network", "system"]
Outcome = Literal["ok", "fail", "resolved", "unresolved", "denied", "escalated"]
AttributeKey = Annotated[str, Meta(min_length=1, max_length=MAX_ID), StringConstraints(min_length=1, max_length=MAX_ID)]
AttributeText = Annotated[str, Meta(max_length=MAX_TEXT), StringConstraints(max_length=MAX_TEXT)]
Scalar = AttributeText | bool | Whole | Number | None

Time = Annotated[
    int,
    BeforeValidator(parse_time),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": TIME_PATTERN}),
]
Amount = Annotated[
    Decimal,
    Field(max_digits=18, decimal_places=4),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": AMOUNT_PATTERN}]}),
]


class Touchpoint(BaseModel):
    """The contract of the topic `touchpoints`. Fields that are not named here are kept in `attributes`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    source: Id = Field(description="who reports it, as in CloudEvents")
    event_id: Id = Field(description="unique within the source")
    customer_id: Id | None = Field(description="null when the customer is unknown")
    kind: Kind = Field(description="what happened, such as contact.started; open vocabulary")
    channel: Word = Field(description="voice, chat, sms, email, social, web, store, ...")
    occurred_at: Time = Field(description="RFC 3339 with zone; never changed under the same event_id")
    version: Version = Field(0, description="a newer version of an event replaces the older")
    cancelled: bool = Field(False, description="the event is withdrawn")
    direction: Direction | None = Field(None, description="absent is inbound")
    automatic: bool = Field(False, description="sent by a machine: no reply, no answer")
    ref: Id | None = Field(
        None, description="the promise, case, order, form, survey, complaint or request it belongs to"
    )
    contact_id: Id | None = Field(None, description="the call, conversation or case; prefix it with the system's name")
    journey_id: Id | None = Field(None, description="an explicit journey")
    topic: Id | None = Field(None, description="what it was about")
    agent_id: Id | None = None
    queue: Id | None = None
    product: Id | None = None
    asset_id: Id | None = None
    release: Id | None = None
    ended_by: EndedBy | None = None
    reason: Id | None = Field(None, description="our words: policy, callback_accepted, channel_closed, ...")
    reason_code: Id | None = Field(None, description="the vendor's own word")
    wait_ms: Millis | None = Field(None, description="time in queue, milliseconds")
    handle_ms: Millis | None = Field(None, description="talk + hold + after-work, milliseconds")
    hold_ms: Millis | None = Field(None, description="milliseconds")
    outcome: Outcome | None = None
    score: Number | None = None
    scale: Word | None = Field(None, description="nps, csat5, ces7, ...")
    amount: Amount | None = Field(None, description="a decimal, as text or number")
    currency: Currency | None = Field(None, description="ISO 4217")
    due_at: Time | None = Field(None, description="when a promise falls due")
    element: Text | None = Field(None, description="what was clicked, asked or filled in")
    x: Number | None = None
    y: Number | None = None
    attributes: Annotated[dict[AttributeKey, Scalar], Field(max_length=MAX_ATTRIBUTES)] = Field(default_factory=dict)

    @field_validator("amount", mode="before")
    @classmethod
    def _amount(cls, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | float | str | None):
            raise ValueError("expected a decimal, as text or number")
        try:
            return None if value is None else Decimal(repr(value) if isinstance(value, float) else value)
        except ArithmeticError:
            raise ValueError("expected a decimal, as text or number") from None


if TYPE_CHECKING:
    Micros = int
else:
    Micros = int | str  # text as it comes off the wire, until `decode` has read it


class Normal(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A touchpoint as the workers hold it. Times: microseconds UTC. Fields as in `Touchpoint`.

    `decode` sees to the patterns of kind and channel, once for each that it meets: msgspec would search every record.
    """

    source: Id
    event_id: Id
    customer_id: Id | None
    kind: Annotated[str, Meta(max_length=MAX_WORD)]
    channel: Annotated[str, Meta(max_length=MAX_WORD)]
    occurred_at: Micros
    version: Version = 0
    cancelled: bool = False
    direction: Direction | None = None
    automatic: bool = False
    ref: Id | None = None
    contact_id: Id | None = None
    journey_id: Id | None = None
    topic: Id | None = None
    agent_id: Id | None = None
    queue: Id | None = None
    product: Id | None = None
    asset_id: Id | None = None
    release: Id | None = None
    ended_by: EndedBy | None = None
    reason: Id | None = None
    reason_code: Id | None = None
    wait_ms: Millis | None = None
    handle_ms: Millis | None = None
    hold_ms: Millis | None = None
    outcome: Outcome | None = None
    score: float | None = None
    scale: Word | None = None
    amount: Annotated[str, Meta(pattern=_exactly(AMOUNT_PATTERN))] | None = None
    currency: Currency | None = None
    due_at: Micros | None = None
    element: Text | None = None
    x: float | None = None
    y: float | None = None
    attributes: (
        Annotated[dict[AttributeKey, AttributeText | bool | Whole | float | None], Meta(max_length=MAX_ATTRIBUTES)]
        | None
    ) = None


_pack = msgspec.msgpack.Encoder().encode


def digest(touchpoint: Normal) -> int:
    """64 bits over the whole normal form: equal digests mean equal content, whoever made them."""
    return int.from_bytes(blake2b(_pack(touchpoint), digest_size=8).digest())


def row_version(version: int, content: int) -> int:
    """The version of a touchpoint's row: a newer version wins, else the greater digest (UInt128)."""
    return version << 64 | content


def subject_of(customer_id: str | None, contact_id: str | None, source: str, event_id: str) -> str:
    """Whom a touchpoint is about: the customer, else the contact, else the touchpoint itself.

    The three never collide: what is no customer begins with "~", and a customer's own "~"
    is doubled.
    """
    if customer_id is not None:
        return "~" + customer_id if customer_id[0] == "~" else customer_id
    if contact_id is not None:
        return f"~contact/{contact_id}"
    return f"~touchpoint/{source}/{event_id}"


def plain(touchpoint: Normal) -> dict[str, Any]:
    """The normal form as it would be sent: a dict for JSON, times as RFC 3339, nothing absent."""
    out: dict[str, Any] = msgspec.to_builtins(touchpoint)
    for field in ("occurred_at", "due_at"):
        if field in out:
            out[field] = format_time(out[field])
    return out
