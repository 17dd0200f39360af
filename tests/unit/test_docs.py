"""The table of faults: each is shown by a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
HEAD, *TABLE = ROWS

MUST_BE_SHOWN = (
    "`kill -9` of a worker at each point",
    "all of these mixed, and `kill -9` of any worker at any time",
    "SIGTERM",
    "SIGSTOP past the session timeout, then SIGCONT",
    "rebalances",
    "`kill -9` of the broker",
    "the broker answers nothing for longer than every deadline",
    "`kill -9` of the alert bridge",
    "a receiver of alerts is down for ten minutes",
    "ClickHouse is down for half an hour",
    "the disk under the embedded ClickHouse is full",
    "ClickHouse refuses",
    "ClickHouse: the connection is cut",
    "ClickHouse: the answer is lost after it wrote",
    "three partitioners (murmur2, crc32, random)",
    "duplicate and reordered produce",
    "a poison record",
    "a record of 2 MiB",
    "a million random bytes",
    "a future clock",
    "records that somebody broke",
    "a worker whose clock is hours ahead",
    "deletion or advance of the group's offsets",
    "a newer codec on the wire",
    "upgrade and downgrade",
    "changed partition counts, between runs",
    "changed partition counts, under running workers",
    "wrong password, Kafka",
    "wrong password, ClickHouse",
    "expired certificate",
)
"""What the design says will break (the beginnings of the rows)."""


def functions_of(path: str) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_table_can_be_read() -> None:
    """Every row says what one sees, what is promised and by what it is shown."""
    assert HEAD == ["fault", "what you see", "what is promised", "test"]
    assert all(len(row) == 4 and all(row) for row in TABLE), "every row has four cells, none of them empty"
    assert len({row[0] for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("fault", [row[0] for row in TABLE])
def test_a_promise_has_a_test(fault: str) -> None:
    """Nothing is promised that nobody has seen."""
    (cell,) = [row[3] for row in TABLE if row[0] == fault]
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
    assert named, f"{fault}: expected `path::function`, got {cell}"
    for path, name in named:
        assert (ROOT / path).is_file(), f"{fault}: there is no {path}"
        assert name.startswith("test_") and name in functions_of(path), f"{fault}: there is no {name} in {path}"


@pytest.mark.parametrize("fault", MUST_BE_SHOWN)
def test_a_fault_has_a_row(fault: str) -> None:
    """Whoever asks what happens then finds the answer."""
    assert any(row[0].startswith(fault) for row in TABLE), f"docs/faults.md says nothing of: {fault}"
