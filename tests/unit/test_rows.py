"""Records to rows: what is kept, what is refused, and that rows of equal content are equal."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from schemas.errors import Unacceptable
from schemas.friction import Evidence, FrictionData, FrictionEvent, Measure, RuleUsed
from schemas.journey import JourneySnapshot
from schemas.times import SECOND
from sinks import rows

ARRIVED = 1_800_000_000 * SECOND + 250_000
TAIL = rows.lineage("v.touchpoints", 3)(41, ARRIVED)

TOUCHPOINT: dict[str, Any] = {
    "source": "pbx", "event_id": "e1", "customer_id": "ana", "kind": "contact.started", "channel": "voice",
    "occurred_at": "2026-03-01T09:00:00.5Z",
}  # fmt: skip

FRICTION: dict[str, Any] = {
    "subject": "ana", "recordedtime": "2026-03-01T09:01:00Z", "dedupkey": "d", "groupkey": "g",
    "data": {
        "friction_id": "6ba7b810-9dad-51d1-80b4-00c04fd430c8", "kind": "slow_reply", "state": "open",
        "severity": "error", "opened_at": "2026-03-01T09:00:00Z", "provisional": False,
        "final_at": "2026-03-01T09:00:00Z", "rule": {"id": "slow_reply", "digest": "d", "mode": "live"},
        "generation": 2, "revision": 3, "group_open": 1, "summary": "s",
        "evidence": [{"source": "s", "event_id": "e", "occurred_at": "2026-03-01T09:00:00Z", "role": "received"}],
    },
}  # fmt: skip

JOURNEY: dict[str, Any] = {
    "journey_id": "j1", "subject": "ana", "customer_id": None, "state": "active", "started_at": "2026-03-01T09:00:00Z",
    "ended_at": "2026-03-01T09:00:00Z", "touchpoints": 1, "contacts": 0, "first_channel": "web", "last_channel": "web",
    "frictions": 0, "score": 0, "generation": 2, "revision": 1,
}  # fmt: skip


def row(fields: dict[str, Any], tail: rows.Lineage = TAIL) -> dict[str, Any]:
    """The row of a touchpoint."""
    return named("touchpoints", rows.touchpoint(json.dumps(fields).encode(), ARRIVED, (), tail))


def named(table: str, made: rows.Row) -> dict[str, Any]:
    """The values of a row that say something, by column."""
    return {name: value for name, value in zip(rows.COLUMNS[table], made, strict=True) if value is not None}


def encoded(fields: dict[str, Any], **changes: Any) -> bytes:
    """A record's value; `changes` with dots go inside."""
    copy = json.loads(json.dumps(fields))
    for path, value in changes.items():
        *way, last = path.split("__")
        target = copy
        for step in way:
            target = target[step]
        target[last] = value
    return json.dumps(copy).encode()


def test_touchpoint_row_says_whence_it_came() -> None:
    """A row leads back to its record: topic, partition, offset and time of arrival."""
    made = row(TOUCHPOINT)
    assert (made["_topic"], made["_partition"], made["_offset"]) == ("v.touchpoints", 3, 41)
    assert made["appended_at"] == ARRIVED
    assert made["occurred_at"] == 1_772_355_600_500_000
    assert made["subject"] == "ana"


def test_equal_content_is_the_same_version_wherever_it_came_from() -> None:
    """Spelling, offset and time of arrival do not make a row newer; content and version do."""
    first = row(TOUCHPOINT)["_version"]
    elsewhere = rows.lineage("touchpoints", 9)(7, ARRIVED + 1)
    assert (
        row(TOUCHPOINT | {"occurred_at": "2026-03-01T10:00:00.5000001+01:00", "topic": ""}, elsewhere)["_version"]
        == first
    )
    assert row(TOUCHPOINT | {"topic": "billing"})["_version"] != first
    assert row(TOUCHPOINT | {"version": 1})["_version"] > 2**64 > first


def test_absent_fields_are_empty() -> None:
    """What a touchpoint does not say is nothing in its row, so that a batch need not bring columns that nobody fills."""
    assert set(row(TOUCHPOINT)) == set(TOUCHPOINT) | {
        *("version", "cancelled", "automatic", "attributes", "subject"),
        *("_version", "_topic", "_partition", "_offset", "appended_at"),
    }


def test_attributes_are_text_in_the_row_only() -> None:
    """The column holds text; the version is of what was sent, so that "1" and 1 are two contents."""
    number, text = (row(TOUCHPOINT | {"attributes": {"a": value, "b": None}}) for value in (1, "1"))
    assert number["attributes"] == text["attributes"] == {"a": "1"}
    assert number["_version"] != text["_version"]


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({"customer_id": None, "contact_id": 'c"1'}, '~contact/c"1'),
        ({"customer_id": None}, "~touchpoint/pbx/e1"),
        ({"customer_id": "~x"}, "~~x"),
        ({"customer_id": "ana\u2028\\"}, "ana\u2028\\"),
    ],
)
def test_subject_in_the_row(fields: dict[str, Any], subject: str) -> None:
    """Every row has a subject, strangers too, whatever characters it holds."""
    assert row(TOUCHPOINT | fields)["subject"] == subject


def test_refused_touchpoint_keeps_its_reason() -> None:
    """The store refuses what `track` refuses, for the same reason."""
    with pytest.raises(Unacceptable) as caught:
        rows.touchpoint(b"{}", ARRIVED, (), TAIL)
    assert caught.value.reason == "missing_field"


def test_friction_row() -> None:
    """Nested parts become columns, the version comes from generation and revision, retracted is deleted."""
    observed = {"value": 2, "unit": "contacts", "window": "7d"}
    made = named("frictions", rows.friction(encoded(FRICTION, data__observed=observed), TAIL))
    assert made["_version"] == 2 << 64 | 3
    assert made["_deleted"] == 0
    assert (made["observed_value"], made["observed_unit"], made["observed_window"]) == (2.0, "contacts", "7d")
    assert (made["rule_id"], made["mode"], made["detected_at"]) == ("slow_reply", "live", 1_772_355_660_000_000)
    assert made["evidence"] == [("s", "e", 1_772_355_600_000_000, "received")]
    assert "resolved_at" not in made
    assert named("frictions", rows.friction(encoded(FRICTION, data__state="retracted"), TAIL))["_deleted"] == 1


def test_journey_row() -> None:
    """Merged journeys are deleted; an unknown customer stays unknown."""
    made = named("journeys", rows.journey(encoded(JOURNEY), TAIL))
    assert (made["_version"], made["_deleted"]) == (2 << 64 | 1, 0)
    assert "customer_id" not in made
    merged = rows.journey(encoded(JOURNEY, state="merged", merged_into="j0"), TAIL)
    assert named("journeys", merged)["_deleted"] == 1


def test_journey_row_keeps_money_exact() -> None:
    """An amount is decimal from end to end, so that no cent is rounded on the way; one that is no number is refused."""
    made = named("journeys", rows.journey(encoded(JOURNEY, path=["web"], amounts={"EUR": "12345678901234.5601"}), TAIL))
    assert (made["path"], made["amounts"]) == (["web"], {"EUR": Decimal("12345678901234.5601")})
    with pytest.raises(Unacceptable, match="amounts"):
        rows.journey(encoded(JOURNEY, amounts={"EUR": "a lot"}), TAIL)


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (None, "not_json", "no value"),
        (b"{", "not_json", "expected a JSON object"),
        (b"\xff", "not_json", "expected a JSON object"),
        (b"[]", "invalid_field", "expected `object`"),
        (encoded(FRICTION, data__friction_id="x"), "invalid_field", "data.friction_id: "),
        (encoded(FRICTION, data__state="closed"), "invalid_field", "data.state: "),
        (encoded(FRICTION, data__opened_at="yesterday"), "invalid_field", "data.opened_at: expected an RFC 3339 time"),
        (encoded(FRICTION, data__revision=-1), "invalid_field", "data.revision: expected `int` >= 0"),
        (
            encoded(FRICTION, data__group_open=2**63),
            "invalid_field",
            "data.group_open: expected `int` <= 9223372036854775807",
        ),
        (encoded(FRICTION, data__evidence=[{"source": "s"}]), "invalid_field", "data.evidence[0]: "),
        (encoded(FRICTION, subject=None), "invalid_field", "subject: "),
        (b'{"a":' * 10_000, "not_json", "expected a JSON object"),
        (b'{"subject":"\xf1"}', "not_json", "expected a JSON object"),
    ],
)
def test_bad_friction_names_its_field(value: bytes | None, reason: str, said: str) -> None:
    """A record that cannot be stored says which field is wrong and what was expected."""
    with pytest.raises(Unacceptable) as caught:
        rows.friction(value, TAIL)
    assert caught.value.reason == reason
    assert said in str(caught.value)


CLOUD = {"specversion": "1.0", "source": "crm", "id": "e1", "type": "t"}


@pytest.mark.parametrize(
    ("value", "headers", "source"),
    [
        (b'{"source":"pbx","kind":7,"customer_id":"ana"}', [], "pbx"),
        (json.dumps(CLOUD | {"data": {"kind": 7}}).encode(), [], "crm"),
        (json.dumps(CLOUD | {"data": {"source": "pbx"}}).encode(), [], "pbx"),
        (json.dumps(CLOUD | {"data": "ana"}).encode(), [], "crm"),
        (b"not json", [("ce_specversion", b"1.0"), ("ce_source", b"web")], "web"),
        (b'{"kind":7}', [("ce_specversion", b"1.0"), ("ce_source", b"web"), ("ce_id", None)], "web"),
        (json.dumps({"source": "\ud800"}).encode(), [], "?"),
        (json.dumps({"source": "x" * 129}).encode(), [], ""),
        (b'{"source":["pbx"]}', [], ""),
        (b'["pbx"]', [], ""),
        (b'{"source":"pbx"', [], ""),
        (b"\xff\xfe\x00", [], ""),
        (b"[" * 100_000, [], ""),
        (None, [], ""),
    ],
)
def test_whose_record_was_refused(value: bytes | None, headers: list[tuple[str, bytes | None]], source: str) -> None:
    """The source that a refused record names, as far as it can be read."""
    row = rows.refused(value, headers, Unacceptable("invalid_field", "expected text; got 7", "kind"), TAIL)
    assert row == (source, "invalid_field", "kind", *TAIL)


@pytest.mark.parametrize(
    ("field", "kept"),
    [("kind", "kind"), ("", ""), ("data", "data"), ("attributes.ana@example.org", "attributes"), ("ana", "attributes")],
)
def test_of_a_refused_record_no_word_is_kept(field: str, kept: str) -> None:
    """A name that the sender made up may be somebody's; fields are named by our names alone."""
    assert rows.refused(b"{}", [], Unacceptable("invalid_field", "ana", field), TAIL) == (
        "",
        "invalid_field",
        kept,
        *TAIL,
    )


def test_fields_of_a_later_release_are_passed_over() -> None:
    """Workers are upgraded one after the other: an unknown field must not stop the older store."""
    rows.friction(encoded(FRICTION, data__mood="grim", news=1), TAIL)
    rows.journey(encoded(JOURNEY, mood="grim"), TAIL)


@pytest.mark.parametrize(
    ("struct", "model", "left_out"),
    [
        (rows._Journey, JourneySnapshot, set()),
        (rows._FrictionData, FrictionData, set()),
        (rows._Measure, Measure, set()),
        (rows._Evidence, Evidence, set()),
        (rows._Rule, RuleUsed, set()),
        (rows._Friction, FrictionEvent, {
            "specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "severitytext",
            "severitynumber", "correlationid",
        }),
    ],
)  # fmt: skip
def test_reads_what_is_published(struct: type[msgspec.Struct], model: type[BaseModel], left_out: set[str]) -> None:
    """A field added to what `track` publishes must reach the store, or be left out on purpose."""
    fields = {field.name: field.required for field in msgspec.structs.fields(struct)}
    assert set(fields) == set(model.model_fields) - left_out
    for name, required in fields.items():
        assert not required or model.model_fields[name].is_required(), f"{name} may be absent on the wire"
