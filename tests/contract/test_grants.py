"""sinks/grants.sql: the engine understands it, a reader reads every view and changes nothing, a writer writes.

The embedded engine keeps no users of its own making, but takes them from its configuration: there stand the file's grants, word for
word, and views that run with their user's rights (SQL SECURITY DEFINER) show what those rights are. Where VOLVERE_CLICKHOUSE names a
server the file is run there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from sinks import clickhouse, dictionary
from sinks.clickhouse import query
from tests.contract.conftest import SERVER
from tests.contract.engine import engine

TEXT = (Path(clickhouse.__file__).parent / "grants.sql").read_text(encoding="utf-8")
STATEMENTS = [s for s in (re.sub(r"^--.*$", "", s, flags=re.MULTILINE).strip() for s in TEXT.split(";\n")) if s]


def test_the_engine_understands_it(embedded: Client) -> None:
    """Every statement can be run twice, and no password is in it."""
    for statement in STATEMENTS:
        query(embedded, "SELECT formatQuery({statement:String})", {"statement": statement})
        assert statement.startswith("GRANT ") or "IF NOT EXISTS" in statement
    users = [s for s in STATEMENTS if s.startswith("CREATE USER")]
    assert len(users) == 2
    assert all("IDENTIFIED WITH no_password HOST NONE" in user for user in users), (
        "until an administrator says otherwise"
    )


def test_what_a_reader_and_a_writer_may(tmp_path: Path) -> None:
    """Every view is answered to a reader; what is neither theirs nor to be changed is refused."""
    rights = [re.fullmatch(r"(GRANT .* ON .*) TO (volvere_reader|volvere_writer)", s) for s in STATEMENTS]
    users = {"volvere_reader": "", "volvere_writer": ""}
    for right in filter(None, rights):
        users[right[2]] += f"<query>{right[1]}</query>"
    assert all(users.values())
    told = "".join(
        f"<{name}><password></password><networks><ip>::/0</ip></networks><grants>{grants}</grants></{name}>"
        for name, grants in users.items()
    )
    default = "<default><password></password><access_management>1</access_management><networks><ip>::/0</ip></networks></default>"
    views = sorted(name for name in dictionary.OBJECTS if name.startswith("volvere."))
    said = engine(
        tmp_path,
        f"<users_config>{{folder}}/config.xml</users_config><users>{default}{told}</users>"
        "<profiles><default/></profiles><quotas><default/></quotas>",
        f"""
from sinks import dictionary
from sinks.clickhouse import StoreProblem, command, parameters_of, query
client.command("CREATE TABLE default.secret (x String) ENGINE = MergeTree ORDER BY x")
client.command("CREATE TABLE default.came (subject String) ENGINE = MergeTree ORDER BY subject")
texts = dict(query(client, "SELECT database || '.' || name, create_table_query FROM system.tables")[1])
def may(who, what):
    client.command(f"CREATE OR REPLACE VIEW default.asked DEFINER = {{who}} SQL SECURITY DEFINER AS SELECT * FROM {{what}}")
    try:
        query(client, "SELECT * FROM default.asked LIMIT 0")
    except StoreProblem as e:
        assert "Not enough privileges" in str(e), e
        return False
    return True
def writes(who):
    client.command(f"CREATE MATERIALIZED VIEW default.fills TO volvere_store.generations DEFINER = {{who}} SQL SECURITY DEFINER "
                   "AS SELECT subject, 1::UInt64 AS generation FROM default.came")
    try:
        command(client, "INSERT INTO default.came VALUES ('ana')")
    except StoreProblem as e:
        assert "Not enough privileges" in str(e), e
        return False
    finally:
        client.command("DROP VIEW default.fills SYNC")
    return True
for view in {views!r}:
    takes = parameters_of(texts[view])
    call = ", ".join(f"{{p}} = {{dictionary.PARAMETERS[p][0]}}" for p in takes)
    assert may("volvere_reader", f"{{view}}({{call}})" if takes else view), view
print(may("volvere_reader", "default.secret"), may("volvere_reader", "system.users"), writes("volvere_reader"))
print(may("volvere_writer", "default.secret"), may("volvere_writer", "volvere.contacts"))
""",
    )
    assert said.splitlines() == ["False False False", "False True"]


@pytest.mark.skipif(not SERVER.startswith("http"), reason="VOLVERE_CLICKHOUSE names no server")
def test_a_server_takes_it() -> None:
    """Twice, as an administrator; what it makes is removed again."""
    client = clickhouse.connect(
        SERVER, os.environ.get("VOLVERE_CLICKHOUSE_USER"), os.environ.get("VOLVERE_CLICKHOUSE_PASSWORD")
    )
    try:
        for statement in STATEMENTS * 2:
            clickhouse.command(client, statement)
    finally:
        for what in ("USER IF EXISTS volvere_analyst, volvere_worker", "ROLE IF EXISTS volvere_reader, volvere_writer"):
            client.command(f"DROP {what}")
        client.command("DROP SETTINGS PROFILE IF EXISTS volvere_reader")
        client.close()
