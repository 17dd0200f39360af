"""docs/views.md and deploy/dbt/sources.yml: what analysts read, column by column, as a store says it of itself.

`make schemas` writes them anew; a test holds them to the store.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.client import Client

from sinks import dictionary
from sinks.clickhouse import connect, migrate, parameters_of, query

DOCUMENT = Path(__file__).parents[1] / "docs" / "views.md"
SOURCES = DOCUMENT.parents[1] / "deploy" / "dbt" / "sources.yml"
SOURCES_HEAD = """\
# What dbt may build upon: the views of Volveré with their columns, made by `make schemas` from the one data dictionary. Put it into your
# project's models. A view with `parameters` is called with all of them: select * from {{ source('volvere', 'returns') }}(by = 'day', ...)
version: 2
sources:
  - name: volvere
    schema: volvere
    description: Customer journeys, contacts, frictions and measures; exact whether or not ClickHouse has merged.
    tables:
"""
HEAD = """\
# Views

What analysts read in the database `volvere`, as the store says it of itself. A view that takes parameters needs all of them:
`SELECT * FROM volvere.returns(by = 'day', since = '2026-01-01', ...)`.
"""


def reference(client: Client) -> str:
    """The page, of a store that is migrated."""
    page = [HEAD]
    for full, takes, columns in _views(client):
        page.append(f"## {full}\n\n{dictionary.of_object(full)}\n")
        if takes:
            page.append("| parameter | meaning | such as |\n|---|---|---|")
            page += [
                f"| `{p}` | {_cell(dictionary.PARAMETERS[p][1])} | `{dictionary.PARAMETERS[p][0]}` |" for p in takes
            ]
            page.append("")
        page.append("| column | type | meaning |\n|---|---|---|")
        page += [f"| `{column}` | {_cell(kind)} | {_cell(meaning)} |" for column, kind, meaning in columns]
        page.append("")
    return "\n".join(page)


def sources(client: Client) -> str:
    """The same for dbt, in YAML, of which JSON's strings are a part."""
    lines = [SOURCES_HEAD.rstrip("\n")]
    for full, takes, columns in _views(client):
        lines += [
            f"      - name: {full.partition('.')[2]}",
            f"        description: {_text(dictionary.of_object(full))}",
        ]
        if takes:
            lines += ["        meta:", "          parameters:"]
            lines += [f"            {p}: {_text(dictionary.PARAMETERS[p][1])}" for p in takes]
        lines.append("        columns:")
        for column, kind, meaning in columns:
            lines += [f"          - name: {_text(column)}", f"            data_type: {_text(kind)}"]
            lines.append(f"            description: {_text(meaning)}")
    return "\n".join(lines) + "\n"


def _views(client: Client) -> Iterator[tuple[str, list[str], list[tuple[str, str, str]]]]:
    """Each view of analysts: its name, its parameters, its columns with type and meaning."""
    views = query(
        client,
        "SELECT name, create_table_query FROM system.tables WHERE database = 'volvere' AND engine = 'View' ORDER BY name",
    )[1]
    for name, text in views:
        full, takes = f"volvere.{name}", parameters_of(str(text))
        call = f"({', '.join(f'{p} = {dictionary.PARAMETERS[p][0]}' for p in takes)})" if takes else ""
        described = query(client, f"DESCRIBE TABLE {full}{call}")[1]
        columns = [(str(c), _plain(str(kind)), dictionary.of_column(full, str(c))) for c, kind, *_ in described]
        yield full, takes, columns


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(kind: str) -> str:
    """A type without what only the engine cares about."""
    return re.sub(r"LowCardinality\(((?:[^()]|\([^()]*\))*)\)", r"\1", kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\\\|")


def main() -> None:
    """Write the page and dbt's file."""
    with tempfile.TemporaryDirectory() as folder:
        client = connect(folder)
        migrate(client)
        DOCUMENT.write_text(reference(client), encoding="utf-8")
        SOURCES.write_text(sources(client), encoding="utf-8")
        client.close()


if __name__ == "__main__":
    main()
