"""docs/views.md: what analysts read, column by column, as a store says it of itself.

`make schemas` writes it anew; a test holds it to the store.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from clickhouse_connect.driver.client import Client

from sinks import dictionary
from sinks.clickhouse import connect, migrate, parameters_of, query

DOCUMENT = Path(__file__).parents[1] / "docs" / "views.md"
HEAD = """\
# Views

What analysts read in the database `volvere`, as the store says it of itself. A view that takes parameters needs all of them:
`SELECT * FROM volvere.returns(by = 'day', since = '2026-01-01', ...)`.
"""


def reference(client: Client) -> str:
    """The page, of a store that is migrated."""
    views = query(
        client,
        "SELECT name, create_table_query FROM system.tables WHERE database = 'volvere' AND engine = 'View' ORDER BY name",
    )[1]
    page = [HEAD]
    for name, text in views:
        full = f"volvere.{name}"
        takes = parameters_of(str(text))
        call = f"({', '.join(f'{p} = {dictionary.PARAMETERS[p][0]}' for p in takes)})" if takes else ""
        page.append(f"## {full}\n\n{dictionary.of_object(full)}\n")
        if takes:
            page.append("| parameter | meaning | such as |\n|---|---|---|")
            page += [
                f"| `{p}` | {_cell(dictionary.PARAMETERS[p][1])} | `{dictionary.PARAMETERS[p][0]}` |" for p in takes
            ]
            page.append("")
        page.append("| column | type | meaning |\n|---|---|---|")
        for column, kind, *_ in query(client, f"DESCRIBE TABLE {full}{call}")[1]:
            page.append(
                f"| `{column}` | {_cell(_plain(str(kind)))} | {_cell(dictionary.of_column(full, str(column)))} |"
            )
        page.append("")
    return "\n".join(page)


def _plain(kind: str) -> str:
    """A type without what only the engine cares about."""
    return re.sub(r"LowCardinality\(((?:[^()]|\([^()]*\))*)\)", r"\1", kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\\\|")


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        client = connect(folder)
        migrate(client)
        DOCUMENT.write_text(reference(client), encoding="utf-8")
        client.close()


if __name__ == "__main__":
    main()
