"""A Kafka record to one row: the values of the columns that COLUMNS names, None where it says nothing.

A row's `_version` comes from its content, never from its offset, so that a record delivered
twice, late or in another order ends as the same row. Times are microseconds; what a column
could not hold is refused here, where the field can be named.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schemas.decode import Headers, decode, source_of
from schemas.errors import Unacceptable
from schemas.times import parse_time
from schemas.touchpoint import Normal, Touchpoint, digest, row_version, subject_of

_json = msgspec.json.Encoder().encode
_values = msgspec.structs.astuple

Lineage = tuple[str, int, int, int]
"""The end of a row: topic, partition, offset and time of arrival."""
_LINEAGE = ("_topic", "_partition", "_offset", "appended_at")

Row = tuple[Any, ...]


def lineage(topic: str, partition: int) -> Callable[[int, int], Lineage]:
    """A function from offset and time of arrival (microseconds) to the columns that say whence a row came."""
    return lambda offset, appended_at: (topic, partition, offset, appended_at)


def touchpoint(value: bytes | None, appended_at: int, headers: Headers, tail: Lineage) -> Row:
    """The row of a touchpoint or an operation. Raises Unacceptable where `schemas.decode` does."""
    return _touchpoint(decode(value, appended_at, headers), tail)


def loaded(value: bytes, now: int, tail: Callable[[int], Lineage]) -> Row:
    """The row of a touchpoint that comes from a file, arrived when it happened: `tail` makes its lineage of that time.

    now: what happens later is refused, microseconds. Raises Unacceptable as `touchpoint` does.
    """
    t = decode(value, now)
    return _touchpoint(t, tail(t.occurred_at))


_NONE: dict[str, Any] = {}
_TOUCHPOINT = (*Normal.__struct_fields__, "subject", "_version", *_LINEAGE)


def _touchpoint(t: Normal, tail: Lineage) -> Row:
    version = row_version(t.version, digest(t))
    # After the digest: the column holds text.
    t.attributes = _NONE if t.attributes is None else {name: _text(value) for name, value in t.attributes.items()}
    return (*_values(t), subject_of(t.customer_id, t.contact_id, t.source, t.event_id), version, *tail)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _json(value).decode()


class Stored(Normal, kw_only=True, gc=False):
    """A touchpoint read back from its row, without `attributes`: the column holds their text, no longer their types.

    content: the digest of all that was sent, attributes included, as the row's version has it.
    """

    subject: str
    content: int
    appended_at: int


_TIMES = ("occurred_at", "due_at")
_KEPT = [name for name in Normal.__struct_fields__ if name != "attributes"]
STORED_COLUMNS = ", ".join(
    [f"toUnixTimestamp64Micro(t.{name}) AS {name}" if name in _TIMES else f"t.{name} AS {name}" for name in _KEPT]
    + ["t.subject AS subject", "toUInt64(bitAnd(t._version, 0xFFFFFFFFFFFFFFFF)) AS content"]
    + ["toUnixTimestamp64Micro(t.appended_at) AS appended_at"]
).replace("t.amount AS", "toString(t.amount) AS")
"""What `stored` needs of the table `t` of touchpoints, as one line of JSON a row, numbers unquoted."""

stored = msgspec.json.Decoder(Stored).decode
"""A line of STORED_COLUMNS to a touchpoint. Raises msgspec.DecodeError."""


# What `track` writes is read as leniently as a consumer can: fields that a later release adds
# are passed over. What a row needs must be there, have its type and fit into its column.

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Evidence(msgspec.Struct, gc=False):
    source: str
    event_id: str
    occurred_at: str
    role: str


class _Measure(msgspec.Struct, gc=False):
    value: float
    unit: str
    window: str | None = None
    also: dict[str, float] = {}


class _Rule(msgspec.Struct, gc=False):
    id: str
    digest: str
    mode: str


class _FrictionData(msgspec.Struct, gc=False):
    friction_id: UUID
    kind: str
    state: Literal["open", "resolved", "retracted"]
    severity: str
    opened_at: str
    provisional: bool
    final_at: str
    rule: _Rule
    generation: _Count
    revision: _Count
    group_open: _Count
    summary: str
    reason: str | None = None
    resolved_at: str | None = None
    observed: _Measure | None = None
    threshold: _Measure | None = None
    customer_id: str | None = None
    journey_id: str | None = None
    contact_id: str | None = None
    channel: str | None = None
    queue: str | None = None
    agent_id: str | None = None
    topic: str | None = None
    product: str | None = None
    asset_id: str | None = None
    release: str | None = None
    evidence: list[_Evidence] = []
    corrected: bool = False
    suppressed: bool = False
    replay: bool = False


class _Friction(msgspec.Struct, gc=False):
    subject: str
    recordedtime: str
    dedupkey: str
    groupkey: str
    data: _FrictionData


class _Journey(msgspec.Struct, gc=False):
    journey_id: str
    subject: str
    customer_id: str | None
    state: Literal["active", "merged"]
    started_at: str
    ended_at: str
    touchpoints: _Count
    contacts: _Count
    first_channel: str
    last_channel: str
    frictions: _Count
    score: float
    generation: _Count
    revision: _Count
    merged_into: str | None = None
    path: list[str] = []
    outcome: str | None = None
    amounts: dict[str, Decimal] = {}
    came_back: bool = False
    replay: bool = False


_friction = msgspec.json.Decoder(_Friction).decode
_journey = msgspec.json.Decoder(_Journey).decode

_SAME = (
    "friction_id", "kind", "state", "reason", "severity", "provisional", "customer_id", "journey_id", "contact_id",
    "channel", "queue", "agent_id", "topic", "product", "asset_id", "release", "generation", "revision", "group_open",
    "corrected", "suppressed", "replay", "summary",
)  # fmt: skip
_same = attrgetter(*_SAME)
_FRICTION = (
    *_SAME, "opened_at", "final_at", "resolved_at",
    "observed_value", "observed_unit", "observed_window", "observed_also",
    "threshold_value", "threshold_unit", "threshold_window",
    "rule_id", "rule_digest", "mode", "evidence", "subject", "dedupkey", "groupkey", "detected_at",
    "_version", "_deleted", *_LINEAGE,
)  # fmt: skip
_JOURNEY = (*_Journey.__struct_fields__, "_version", "_deleted", *_LINEAGE)

REFUSED = "refused"
"""The table of what came as a touchpoint and is none."""

COLUMNS = {
    "touchpoints": _TOUCHPOINT,
    "operations": _TOUCHPOINT,
    "frictions": _FRICTION,
    "journeys": _JOURNEY,
    REFUSED: ("source", "reason", "field", *_LINEAGE),
}
"""What the values of a row are, by table."""


def refused(value: bytes | None, headers: Headers, error: Unacceptable, tail: Lineage) -> Row:
    """The row of what came as a touchpoint and was refused. It holds nothing that it says but its source.

    A field that we do not name, a sender has named, and it may be anything: it is one of `attributes`.
    """
    field = error.field.partition(".")[0]
    named = not field or field in Touchpoint.model_fields or field == "data"
    return (source_of(value, headers), error.reason, field if named else "attributes", *tail)


def friction(value: bytes | None, tail: Lineage) -> Row:
    """The row of a friction event; retracted ones are marked as deleted. Raises Unacceptable."""
    event = _read(_friction, value)
    data = event.data
    observed, threshold = data.observed or _NOTHING, data.threshold or _NOTHING
    return (
        *_same(data),
        _time(data.opened_at, "data.opened_at"),
        _time(data.final_at, "data.final_at"),
        None if data.resolved_at is None else _time(data.resolved_at, "data.resolved_at"),
        *(observed.value, observed.unit, observed.window, observed.also),
        *(threshold.value, threshold.unit, threshold.window),
        *(data.rule.id, data.rule.digest, data.rule.mode),
        [
            (e.source, e.event_id, _time(e.occurred_at, f"data.evidence.{i}.occurred_at"), e.role)
            for i, e in enumerate(data.evidence)
        ],
        *(event.subject, event.dedupkey, event.groupkey),
        _time(event.recordedtime, "recordedtime"),
        row_version(data.generation, data.revision),
        data.state == "retracted",
        *tail,
    )


_NOTHING = _Measure(None, None)  # type: ignore[arg-type]


def journey(value: bytes | None, tail: Lineage) -> Row:
    """The row of a journey snapshot; merged ones are marked as deleted. Raises Unacceptable."""
    found = _read(_journey, value)
    found.started_at = _time(found.started_at, "started_at")
    found.ended_at = _time(found.ended_at, "ended_at")
    return (*_values(found), row_version(found.generation, found.revision), found.state == "merged", *tail)


def _read(decoder: Callable[[bytes], Any], value: bytes | None) -> Any:
    if value is None:
        raise Unacceptable("not_json", "the record has no value; expected a JSON object")
    try:
        return decoder(value)
    except msgspec.ValidationError as e:
        message, _, path = str(e).partition(" - at `$.")
        raise Unacceptable("invalid_field", message[0].lower() + message[1:], path.rstrip("`")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Unacceptable("not_json", f"expected a JSON object; {e}") from None


def _time(text: str, field: str) -> int:
    try:
        return parse_time(text)
    except ValueError as e:
        raise Unacceptable("invalid_field", str(e), field) from None
