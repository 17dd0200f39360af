"""What the company does on its own side, from a file through the broker into the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import schemas
from schemas.times import MINUTE, format_time
from schemas.topics import OPERATIONS, TOUCHPOINTS, partition_of
from tests.command import ask, volvere
from tests.kafka import read_topic
from volvere.embedded import EmbeddedBroker
from volvere.files import Record, read
from volvere.worker import wall

EXAMPLES = Path(schemas.__file__).parent / "examples" / "valid" / "operations"
STORED = "SELECT kind, event_id, agent_id, release, score FROM volvere.operations ORDER BY event_id"


def line(**fields: Any) -> str:
    """A touchpoint of ana's, with changes."""
    plain = {"source": "hr", "event_id": "t-1", "customer_id": "ana", "kind": "page.viewed", "channel": "web"}
    return json.dumps(plain | {"occurred_at": "2026-03-02T09:00:00Z"} | fields) + "\n"


def operation(event_id: str, **fields: Any) -> str:
    """An agent who is hired, with changes."""
    told = {"event_id": event_id, "customer_id": None, "kind": "agent.hired", "channel": "internal", "agent_id": "a-1"}
    return line(**told | fields)


MIXED = (
    line()
    + operation("o-1")
    + operation("o-2")
    + operation("o-2", version=1, cancelled=True)
    + operation("o-3", occurred_at="yesterday")
    + operation("o-4", kind="agent.surveyed", score=4, scale="csat5", occurred_at="2026-06-30T09:00:00Z")
    + line(event_id="t-2", kind="agent.left")  # under a customer
    + line(event_id="t-3", kind="promise.made", due_at="2026-03-30T09:00:00Z")
)


def test_a_file_may_hold_both(tmp_path: Path) -> None:
    """Touchpoints are tracked, operations are stored beside them; what is wrong is told by its line; twice is once."""
    for _ in range(2):
        done = json.loads(volvere(tmp_path, "run", "-", "--json", stdin=MIXED).out)
        assert done["rows"]["operations"] == 4
        assert done["read"] == 4, "three touchpoints and what nobody can read"
        assert done["rows"]["touchpoints"] == 3
        assert done["refused"] == {"invalid_field": 1}
        assert done["problems"][0].startswith("line 5: occurred_at: expected an RFC 3339 time")
        assert done["frictions"] == {}, "an operation lets no time pass: the promise is not due yet"
        assert ask(tmp_path, STORED, "volvere-data") == [
            {"kind": "agent.hired", "event_id": "o-1", "agent_id": "a-1", "release": None, "score": None},
            {"kind": "agent.surveyed", "event_id": "o-4", "agent_id": "a-1", "release": None, "score": 4.0},
        ]
    kinds = ask(tmp_path, "SELECT kind FROM volvere.touchpoints ORDER BY kind", "volvere-data")
    assert [row["kind"] for row in kinds] == ["agent.left", "page.viewed", "promise.made"]


def test_a_table_of_operations_alone(tmp_path: Path) -> None:
    """The example of the documentation, as a table and as JSON lines, which `convert` makes of it."""
    table = EXAMPLES / "operations.csv"
    converted = volvere(tmp_path, "convert", table, "--format", "operations-csv").out
    wanted = [json.loads(item.value)["kind"] for item in read(table, "operations-csv") if isinstance(item, Record)]
    for given, form in ((table.read_bytes(), "operations-csv"), (converted, "touchpoints")):
        done = json.loads(volvere(tmp_path, "run", "-", "--format", form, "--json", stdin=given).out)
        assert (done["read"], done["rows"]) == (0, {"operations": len(wanted)})
        assert sorted(row["kind"] for row in ask(tmp_path, STORED, "volvere-data")) == sorted(wanted)


@pytest.fixture
def lasting(embedded_broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> dict[str, Any]:
    """Settings for a broker that outlives the command, with its topics made."""
    where: dict[str, Any] = {
        "kafka": embedded_broker.bootstrap,
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
    }
    volvere(tmp_path, "topics", "create", "--partitions", 3, **where)
    return where


def test_send_puts_each_where_it_belongs(lasting: dict[str, Any], tmp_path: Path) -> None:
    """Operations go to their topic by the key of their subject; what cannot be read goes where it is dead-lettered."""
    ahead = operation("o-5", occurred_at=format_time(wall() + 60 * MINUTE))
    said = volvere(tmp_path, "send", "-", stdin=MIXED + ahead, **lasting)
    assert said.out.startswith("9 records sent")
    found = {
        name: read_topic(lasting["kafka"], lasting["topic_prefix"] + name, quiet_ms=500)
        for name in (OPERATIONS.name, TOUCHPOINTS.name)
    }
    names = {name: sorted(json.loads(r.value or b"")["event_id"] for r in some) for name, some in found.items()}
    assert names == {"operations": ["o-1", "o-2", "o-2", "o-4"], "touchpoints": ["o-3", "o-5", "t-1", "t-2", "t-3"]}
    for record in found[OPERATIONS.name]:
        subject = f"~touchpoint/hr/{json.loads(record.value or b'')['event_id']}"
        assert (record.key, record.partition) == (subject.encode(), partition_of(subject, 3))


def test_rules_are_not_tried_on_operations(tmp_path: Path) -> None:
    """A trial of rules says that it left them out, and lets no time pass for them, either."""
    (tmp_path / "mine.toml").write_text('[long_wait]\nlimits = { voice = "60s" }\n')
    (tmp_path / "mixed.jsonl").write_text(MIXED)
    done = json.loads(volvere(tmp_path, "rules", "try", "mine.toml", "--on", "mixed.jsonl", "--json").out)
    assert done["left_out"] == {"operations of the company's own": 4}
    assert (done["subjects"], done["frictions"]) == (1, {})
