"""The adapter of tables of operations: each kind, and what is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import schemas
from schemas.adapters.operations_csv import CHANNEL, COLUMNS, NEEDED, OPTIONAL, SOURCE, touchpoints
from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.kinds import OPERATIONS, is_operation
from schemas.times import LATEST
from schemas.touchpoint import MAX_ID, Touchpoint, plain
from volvere.files import Record, Refused, read

EXAMPLES = Path(schemas.__file__).parent / "examples" / "valid" / "operations"
FULL = {
    "kind": "agent.surveyed", "occurred_at": "2026-03-02T17:00:00Z", "channel": "voice", "agent_id": "a-1", "queue": "q",
    "product": "p", "release": "r", "score": "3.5", "scale": "csat5", "reason": "why", "event_id": "e", "source": "hr",
}  # fmt: skip


def row(**changes: str) -> dict[str, Any]:
    """A row with the least that its kind needs, and changes."""
    kind = changes.get("kind", "agent.trained")
    return {name: FULL[name] for name in ("occurred_at", *NEEDED.get(kind, ()))} | {"kind": kind} | changes


def test_columns_are_fields() -> None:
    """Every column is a touchpoint's field, and every kind says what it is about."""
    assert set(COLUMNS + OPTIONAL) == FULL.keys() <= Touchpoint.model_fields.keys()
    assert NEEDED.keys() == OPERATIONS


@pytest.mark.parametrize("kind", sorted(OPERATIONS))
def test_a_row_becomes_an_operation(kind: str) -> None:
    """With the least that it needs, and with everything; without any customer."""
    (least,) = touchpoints(row(kind=kind))
    t = decode(json.dumps(least).encode(), LATEST)
    assert is_operation(t)
    assert (t.kind, t.source) == (kind, SOURCE)
    assert t.channel == ("voice" if "channel" in NEEDED[kind] else CHANNEL)
    (most,) = touchpoints(FULL | {"kind": kind})
    sent = plain(decode(json.dumps(FULL | {"kind": kind, "score": 3.5, "customer_id": None}).encode(), LATEST))
    assert most == sent


def test_the_example_tells_the_same_as_the_examples_one_by_one() -> None:
    """The table that the documentation shows is read whole, and is what the JSON beside it says, names of events aside."""
    found = [
        json.loads(item.value)
        for item in read(EXAMPLES / "operations.csv", "operations-csv")
        if isinstance(item, Record)
    ]
    wanted = [plain(decode(path.read_bytes(), LATEST)) for path in EXAMPLES.glob("*.json")]
    for told in (*found, *wanted):
        for name in ("source", "event_id", "ref"):
            told.pop(name, None)
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


def test_an_event_keeps_its_id_however_the_row_is_written() -> None:
    """A file that is sent twice doubles nothing; what says something else is another event."""

    def name(**changes: str) -> str:
        return str(touchpoints(row(**changes))[0]["event_id"])

    same = {name(), name(occurred_at="2026-03-02T18:00:00+01:00"), name(agent_id=" a-1 "), name(queue="")}
    others = {name(agent_id="a-2"), name(queue="q"), name(kind="agent.left"), name(occurred_at="2026-03-02T17:00:01Z")}
    assert len(same) == 1
    assert len(same | others) == 5
    assert name(event_id="mine") == "mine"


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"kind": "agent.promoted"}, "kind", "expected channel.closed or channel.opened or release.deployed"),
        ({"kind": "contact.started"}, "kind", 'got "contact.started"'),
        ({"kind": ""}, "kind", 'got ""'),
        ({"occurred_at": ""}, "occurred_at", "expected the occurred_at of every agent.trained; the column is empty"),
        ({"occurred_at": "2.3.2026"}, "occurred_at", "expected an RFC 3339 time with zone"),
        ({"agent_id": " "}, "agent_id", "expected the agent_id of every agent.trained"),
        ({"agent_id": "a" * (MAX_ID + 1)}, "agent_id", f"at most {MAX_ID} characters"),
        ({"kind": "agent.surveyed", "score": "good"}, "score", 'expected a number such as 4 or 3.5; got "good"'),
        ({"kind": "agent.surveyed", "score": "inf"}, "score", "expected a number"),
        ({"kind": "agent.surveyed", "scale": ""}, "scale", "expected the scale of every agent.surveyed"),
        ({"kind": "channel.closed", "channel": ""}, "channel", "expected the channel of every channel.closed"),
        ({"kind": "channel.closed", "channel": "Voice!"}, "channel", "match pattern"),
        ({"kind": "release.deployed", "release": ""}, "release", "expected the release of every release.deployed"),
    ],
)
def test_a_wrong_row_names_the_column_and_what_was_expected(changes: dict[str, str], field: str, expected: str) -> None:
    """Whoever repairs the table is told where to look, and what should stand there."""
    with pytest.raises(Unacceptable) as error:
        touchpoints(row(**changes))
    assert error.value.field == field
    assert expected in str(error.value)


def test_a_wrong_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """The line's number, the column, what was expected; a line that breaks off lacks what it does not reach."""
    file = tmp_path / "hr.csv"
    file.write_text(
        "agent_id,kind,occurred_at\na-1,agent.hired,2026-03-02T17:00:00Z\n\na-1,agent.left\na-2,agent.hired,2026-03-02T17:00:00Z\n"
    )
    first, wrong, last = read(file, "operations-csv")
    assert isinstance(first, Record) and isinstance(last, Record)
    assert isinstance(wrong, Refused)
    assert (wrong.line, wrong.field, wrong.raw) == (4, "occurred_at", b"a-1,agent.left")
    assert last.subject == f"~touchpoint/{SOURCE}/{json.loads(last.value)['event_id']}"
