"""A Kafka record to one row, as a line of JSON for ClickHouse's JSONEachRow.

What is absent is not written: most of a touchpoint's forty fields are, and ClickHouse fills
in the default faster than Python could say "nothing". A row's `_version` comes from its
content, never from its offset, so that a record delivered twice, late or in another order
ends as the same row.

Times are written as "seconds.microseconds": the one spelling that every version and setting of
ClickHouse reads exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec

from schemas.decode import Headers, decode
from schemas.errors import Unacceptable
from schemas.times import SECOND, parse_time
from schemas.touchpoint import Normal, digest, row_version, subject_of

_json = msgspec.json.Encoder().encode

Lineage = bytes
"""The tail of a row: topic, partition, offset and time of arrival, as `lineage` makes it."""


def lineage(topic: str, partition: int) -> Callable[[int, int], Lineage]:
    """A function from offset and time of arrival (microseconds) to the columns that say whence a row came."""
    head = f',"_topic":{_json(topic).decode()},"_partition":{partition},"_offset":'

    def tail(offset: int, appended_at: int) -> Lineage:
        return f'{head}{offset},"appended_at":"{appended_at // SECOND}.{appended_at % SECOND:06d}"}}'.encode()

    return tail


def touchpoint(value: bytes | None, appended_at: int, headers: Headers, tail: Lineage) -> bytes:
    """The row of a touchpoint or an operation. Raises Unacceptable where `schemas.decode` does."""
    return _touchpoint(decode(value, appended_at, headers), tail)


def loaded(value: bytes, now: int, tail: Callable[[int], Lineage]) -> bytes:
    """The row of a touchpoint that comes from a file, arrived when it happened: `tail` makes its lineage of that time.

    now: what happens later is refused, microseconds. Raises Unacceptable as `touchpoint` does.
    """
    t = decode(value, now)
    return _touchpoint(t, tail(t.occurred_at))


def _touchpoint(t: Normal, tail: Lineage) -> bytes:
    version = row_version(t.version, digest(t))
    subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
    at = t.occurred_at
    # After the digest: text is what the row wants, no longer what the workers hold.
    t.occurred_at = f"{at // SECOND}.{at % SECOND:06d}"  # type: ignore[assignment]
    if t.due_at is not None:
        t.due_at = f"{t.due_at // SECOND}.{t.due_at % SECOND:06d}"  # type: ignore[assignment]
    return b'%b,"subject":%b,"_version":%d%b' % (_json(t)[:-1], _json(subject), version, tail)


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
# are passed over. What a row needs must be there and have its type.


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
    generation: int
    revision: int
    group_open: int
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
    touchpoints: int
    contacts: int
    first_channel: str
    last_channel: str
    frictions: int
    score: float
    generation: int
    revision: int
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


def friction(value: bytes | None, tail: Lineage) -> bytes:
    """The row of a friction event; retracted ones are marked as deleted. Raises Unacceptable."""
    event = _read(_friction, value)
    data = event.data
    row: dict[str, Any] = {name: found for name in _SAME if (found := getattr(data, name)) is not None}
    row["opened_at"] = _time(data.opened_at, "data.opened_at")
    row["final_at"] = _time(data.final_at, "data.final_at")
    if data.resolved_at is not None:
        row["resolved_at"] = _time(data.resolved_at, "data.resolved_at")
    for name, measure in (("observed", data.observed), ("threshold", data.threshold)):
        if measure is not None:
            row[f"{name}_value"], row[f"{name}_unit"] = measure.value, measure.unit
            if measure.window is not None:
                row[f"{name}_window"] = measure.window
    if data.observed is not None:
        row["observed_also"] = data.observed.also
    row["rule_id"], row["rule_digest"], row["mode"] = data.rule.id, data.rule.digest, data.rule.mode
    row["evidence"] = [
        {
            "source": e.source,
            "event_id": e.event_id,
            "occurred_at": _time(e.occurred_at, f"data.evidence.{i}.occurred_at"),
            "role": e.role,
        }
        for i, e in enumerate(data.evidence)
    ]
    row["subject"], row["dedupkey"], row["groupkey"] = event.subject, event.dedupkey, event.groupkey
    row["detected_at"] = _time(event.recordedtime, "recordedtime")
    return _line(row, data.generation, data.revision, data.state == "retracted", tail)


def journey(value: bytes | None, tail: Lineage) -> bytes:
    """The row of a journey snapshot; merged ones are marked as deleted. Raises Unacceptable."""
    found = _read(_journey, value)
    row = {name: given for name, given in msgspec.structs.asdict(found).items() if given is not None}
    row["started_at"] = _time(found.started_at, "started_at")
    row["ended_at"] = _time(found.ended_at, "ended_at")
    return _line(row, found.generation, found.revision, found.state == "merged", tail)


def _line(row: dict[str, Any], generation: int, revision: int, deleted: bool, tail: Lineage) -> bytes:
    for name, number in (("generation", generation), ("revision", revision)):
        if number < 0:
            raise Unacceptable("invalid_field", f"expected a whole number from 0; got {number}", name)
    return b'%b,"_version":%d,"_deleted":%d%b' % (_json(row)[:-1], row_version(generation, revision), deleted, tail)


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


def _time(text: str, field: str) -> str:
    try:
        at = parse_time(text)
    except ValueError as e:
        raise Unacceptable("invalid_field", str(e), field) from None
    return f"{at // SECOND}.{at % SECOND:06d}"


def pack(lines: Iterable[bytes]) -> bytes:
    """Rows as one body for JSONEachRow."""
    return b"\n".join(lines)
