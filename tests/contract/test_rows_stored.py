"""What stands in a table, against the same records spelt as JSON, which ClickHouse reads by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.decode import decode
from schemas.times import SECOND, parse_time
from schemas.touchpoint import digest
from sinks import rows
from tests.contract.conftest import ARRIVED, Table
from tests.contract.test_clickhouse import friction, journey

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "valid"
ODD: list[dict[str, Any]] = [
    {
        "attributes": {
            "t": "",
            "u": 'ñ☎\u2028"\\\n\x00',
            "yes": True,
            "no": False,
            "n": -(2**63) + 1,
            "f": 1e300,
            "z": 0.1,
        }
    },
    {"unknown": [1, {"a": None}], "amount": "-99999999999999.9999", "currency": "EUR"},
    {"amount": 0.1, "score": -0.0, "x": 1e-320, "y": -3, "due_at": "2199-12-31T23:59:59.999999Z"},
    {"event_id": "é" * 128, "contact_id": "0" * 128, "element": "☎" * 1024, "ref": "\x7f\x80"},
    {
        "version": 2**63 - 1,
        "cancelled": True,
        "automatic": True,
        "direction": "outbound",
        "wait_ms": 10**12,
        "hold_ms": 0,
    },
    {"customer_id": None, "contact_id": "~", "occurred_at": "1990-01-01T00:00:00Z"},
    {"customer_id": None, "occurred_at": "2026-03-01T09:00:00.0000019+14:00"},
]
JOURNEYS = [
    journey(), journey(journey_id="j2", customer_id=None, state="merged", merged_into="j1", score=0, generation=2**63 - 1),
    journey(journey_id="j3", path=["web", "ñ", "web"], outcome="denied", came_back=True, replay=True, amounts={
        "EUR": "-12.3456", "JPY": "9999999999999999999999999999999999", "XXX": "0", "USD": "0.00019"}),
]  # fmt: skip
FRICTIONS = [
    friction(),
    friction(friction_id="ffffffff-0000-4000-8000-000000000001", state="retracted", reason="ended", observed=None, evidence=[],
        resolved_at="2026-03-02T00:00:00Z", suppressed=True, threshold={"value": 3, "unit": "days"}),
    friction(friction_id="00000000-0000-4000-8000-00000000000f", generation=7, revision=9, corrected=True, replay=True,
        queue="q", topic="t", observed={"value": 0.1, "unit": "s"}, **{name: name for name in (
            "customer_id", "journey_id", "contact_id", "channel", "agent_id", "product", "asset_id", "release")}),
]  # fmt: skip


def records(name: str) -> list[bytes]:
    """The published examples of a topic, and what is odd in every way that is allowed."""
    examples = [file.read_bytes() for file in sorted((EXAMPLES / name).glob("*.json"))]
    first = {
        "source": "pbx", "event_id": "e", "customer_id": "ana", "kind": "contact.started", "channel": "voice",
        "occurred_at": "2026-03-01T09:00:00Z",
    }  # fmt: skip
    odd = {"journeys": JOURNEYS, "frictions": FRICTIONS}.get(name, [first | fields for fields in ODD])
    return examples + [json.dumps(fields).encode() for fields in odd]


def seconds(at: int | str) -> str:
    """A time as ClickHouse reads it from text."""
    micros = at if isinstance(at, int) else parse_time(at)
    return f"{micros // SECOND}.{micros % SECOND:06d}"


def spelt_touchpoint(value: bytes) -> dict[str, Any]:
    """Its normal form; what is absent is left to the table's defaults."""
    t = decode(value, ARRIVED)
    fields: dict[str, Any] = msgspec.to_builtins(t)
    fields |= {name: seconds(fields[name]) for name in ("occurred_at", "due_at") if name in fields}
    owner = t.customer_id.replace("~", "~~", 1) if t.customer_id and t.customer_id[0] == "~" else t.customer_id
    other = f"~contact/{t.contact_id}" if t.contact_id else f"~touchpoint/{t.source}/{t.event_id}"
    return fields | {"subject": owner or other, "_version": str((t.version << 64) + digest(t))}


def spelt_journey(value: bytes) -> dict[str, Any]:
    """As it was published."""
    fields = {name: given for name, given in json.loads(value).items() if given is not None}
    fields |= {name: seconds(fields[name]) for name in ("started_at", "ended_at")}
    version = str((fields["generation"] << 64) + fields["revision"])
    return fields | {"_version": version, "_deleted": int(fields["state"] == "merged")}


def spelt_friction(value: bytes) -> dict[str, Any]:
    """Its data, with the nested parts as columns of their own."""
    event = json.loads(value)
    data = {name: given for name, given in event["data"].items() if given is not None}
    for name in ("observed", "threshold"):
        measure = data.pop(name, {})
        data |= {f"{name}_{part}": given for part, given in measure.items() if given is not None}
    data.pop("threshold_also", None)
    rule = data.pop("rule")
    data |= {"rule_id": rule["id"], "rule_digest": rule["digest"], "mode": rule["mode"]}
    data |= {name: seconds(data[name]) for name in ("opened_at", "final_at", "resolved_at") if name in data}
    data["evidence"] = [e | {"occurred_at": seconds(e["occurred_at"])} for e in data["evidence"]]
    data |= {name: event[name] for name in ("subject", "dedupkey", "groupkey")}
    version = str((data["generation"] << 64) + data["revision"])
    told = {"detected_at": seconds(event["recordedtime"]), "_version": version}
    return data | told | {"_deleted": int(data["state"] == "retracted")}


@pytest.mark.parametrize(
    ("name", "row", "spelt"),
    [
        ("touchpoints", lambda value, tail: rows.touchpoint(value, ARRIVED, (), tail), spelt_touchpoint),
        ("operations", lambda value, tail: rows.touchpoint(value, ARRIVED, (), tail), spelt_touchpoint),
        ("journeys", rows.journey, spelt_journey),
        ("frictions", rows.friction, spelt_friction),
    ],
)
def test_rows_are_what_clickhouse_reads_from_json(
    table: Table, name: str, row: Callable[[bytes, rows.Lineage], rows.Row], spelt: Callable[[bytes], dict[str, Any]]
) -> None:
    """Every value of every column, absent ones too, is what a plain spelling of the record gives: no type, default or digit is ours."""
    values = records(name)
    tails = [rows.lineage(f"v.{name}", 3)(offset, ARRIVED + offset) for offset in range(len(values))]
    lines = [
        spelt(value) | {"_topic": topic, "_partition": partition, "_offset": offset, "appended_at": seconds(at)}
        for value, (topic, partition, offset, at) in zip(values, tails, strict=True)
    ]
    asked = f"SELECT * EXCEPT {'_inserted_at' if name == 'touchpoints' else '_partition'} FROM volvere_store.{name} ORDER BY _offset"
    body = b"\n".join(map(msgspec.json.encode, lines))
    table.client.raw_insert(f"volvere_store.{name}", insert_block=body, fmt="JSONEachRow")
    expected = table.ask(asked)
    assert len(expected) == len(values) > 2
    table.client.command(f"TRUNCATE TABLE volvere_store.{name}")
    table.put(name, [row(value, tail) for value, tail in zip(values, tails, strict=True)])
    assert table.ask(asked) == expected
