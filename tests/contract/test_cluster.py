"""The schema for a cluster: derived from the migrations, and held to what the engine understands. No cluster is here to run it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from sinks.clickhouse import drop, migrate, migrations, query
from sinks.cluster import on_cluster
from sinks.retention import Retention, apply

STATEMENTS = [s for file in migrations() for s in file.text.split(";\n") if s.strip()]
CLUSTER = "{cluster}"


class Noted:
    """A client whose questions are answered by a real store, and whose statements are only noted."""

    def __init__(self, client: Any) -> None:
        self.path = client.path
        self.said: list[str] = []

    def command(self, statement: str, settings: dict[str, str] | None) -> None:
        """Note it."""
        assert settings == ({"distributed_ddl_task_timeout": "60"} if "ON CLUSTER" in statement else None)
        self.said.append(statement)


def formatted(client: Client, statement: str) -> str:
    """A statement as the engine understands it. Raises StoreProblem where it does not."""
    ((text,),) = query(client, "SELECT formatQuery({statement:String})", {"statement": statement})[1]
    return str(text)


def single(text: str) -> str:
    """What stands on one server instead."""
    text = text.replace(f" ON CLUSTER `{CLUSTER}`", "").replace("ReplicatedReplacingMergeTree", "ReplacingMergeTree")
    return re.sub(r"(?<!non_)replicated_deduplication_window", "non_replicated_deduplication_window", text)


def test_every_migration_has_its_variant(embedded: Client) -> None:
    """The engine understands each; it is on the cluster, replicates what came, and is otherwise the same statement."""
    folded = set(re.findall(r"REFRESH .*? TO (\S+) AS", " ".join(" ".join(STATEMENTS).split())))
    for statement in STATEMENTS:
        text = formatted(embedded, on_cluster(statement, CLUSTER))
        assert text.count(f" ON CLUSTER `{CLUSTER}`") == 1
        assert single(text) == formatted(embedded, statement)
        assert "non_replicated" not in text
        engine = re.search(r"ENGINE = (\w+)", text)
        name = re.search(r"TABLE IF NOT EXISTS (\S+)", text)
        if engine and name:
            assert engine[1] == ("MergeTree" if name[1] in folded else "ReplicatedReplacingMergeTree"), name[1]
    assert folded == {"volvere_store.contacts"}


def test_all_that_changes_the_schema_does_so_on_the_cluster(embedded: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica without a comment, a table or a retention that the others have would answer otherwise."""
    monkeypatch.setattr(
        "sinks.clickhouse.dictionary.OBJECTS", {"volvere.clock": "Another word", "volvere_store.kinds": "x"}
    )
    noted: Any = Noted(embedded)
    migrate(noted, again=True, cluster=CLUSTER)
    apply(noted, Retention(400, 30, "tiered"), CLUSTER)
    drop(noted, CLUSTER)
    assert len(noted.said) > len(STATEMENTS) + len(migrations()) + 8
    for statement in noted.said:
        formatted(embedded, statement)
        assert "ON CLUSTER" in statement or statement.startswith("INSERT INTO volvere_store.migrations ")


def test_what_the_page_says_about_shards(embedded: Client) -> None:
    """The engine understands what an operator copies."""
    page = (Path(__file__).parents[2] / "docs" / "clickhouse.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    statements = [s.rstrip().rstrip(";") for block in blocks for s in block.split(";\n\n")]
    assert len(statements) == 3
    for statement in statements:
        assert "ON CLUSTER" in formatted(embedded, statement)


@pytest.mark.parametrize("statement", ["RENAME TABLE a TO b", "-- Away.\nDROP DICTIONARY d", "SYSTEM STOP VIEW a.b"])
def test_a_statement_that_is_written_in_a_new_way(statement: str) -> None:
    """It must not run on one replica alone, in silence."""
    with pytest.raises(ValueError, match="no way is known"):
        on_cluster(statement, "main")
    assert on_cluster(statement, None) == statement
