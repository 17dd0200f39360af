"""Whether a store is as this release wants it: asked of the database, never changed.

    migrations ─▶ tables and views ─▶ their columns ─▶ their comments

Each is judged when the one before it is in order. What the columns should be is read from the migrations: of a table from its
statements, of a view by letting ClickHouse describe the question that it stands for, unless it is word for word the question that is
meant, which spares most of the work.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from sinks import dictionary
from sinks.clickhouse import MIGRATIONS, StoreProblem, applied, migrations, other_comments, parameters_of, query, quoted

MIGRATE = "run `volvere store migrate`"
AGAIN = "run `volvere store migrate --again`"

_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\S+)\s*\n\(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_ALIKE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\S+) AS (\S+)", re.MULTILINE)
_ALTERED = re.compile(r"^ALTER TABLE (\S+)\n((?:    ADD COLUMN IF NOT EXISTS .*\n?)+)", re.MULTILINE)
_VIEW = re.compile(r"^CREATE (OR REPLACE )?VIEW (?:IF NOT EXISTS )?(\S+) AS\n(.*)", re.MULTILINE | re.DOTALL)


def inspect(client: Client, folder: Path = MIGRATIONS) -> list[str]:
    """A line for each thing that is wrong, with what to do; none where all is well. Raises Transient or StoreProblem."""
    before, files = applied(client), migrations(folder)
    if not before:
        return [f"there is nothing of Volveré: expected the database volvere_store; {MIGRATE}"]
    known = {file.version for file in files}
    wrong = [
        f"migration {name} comes from a newer release, this one ends with {files[-1].name}: upgrade this installation"
        for version, (name, _) in before.items()
        if version not in known
    ]
    wrong += [
        f"migration {file.name} was applied in another form: expected digest {file.digest}, found {before[file.version][1]}; "
        "use the release that made this store, or restore the file as it was then"
        for file in files
        if file.version in before and before[file.version][1] != file.digest
    ]
    wrong += [f"migration {file.name} is not applied; {MIGRATE}" for file in files if file.version not in before]
    return wrong or [*_objects(client, folder)] or [*_comments(client)]


def _objects(client: Client, folder: Path) -> list[str]:
    tables = query(
        client, "SELECT database || '.' || name FROM system.tables WHERE database IN ('volvere', 'volvere_store')"
    )[1]
    missing = dictionary.OBJECTS.keys() - {str(row[0]) for row in tables}
    if missing:
        return [f"{name} is missing; {AGAIN}" for name in sorted(missing)]
    wrong = [line for name, columns in table_columns(folder).items() for line in _table(client, name, columns)]
    if wrong:
        return wrong
    views = _views(folder)
    texts = ", ".join(quoted(text) for text in views.values())
    meant: Any = query(client, f"SELECT arrayMap(t -> formatQuerySingleLine(t), [{texts}])")[1][0][0]
    stand = query(client, "SELECT database || '.' || name, as_select FROM system.tables WHERE engine = 'View'")[1]
    there = {str(name): str(text) for name, text in stand}
    others = [name for name, text in zip(views, meant, strict=True) if there[name] != text]
    return [line for name in others for line in _view(client, name, views[name])]


def _table(client: Client, name: str, columns: dict[str, tuple[str, bool]]) -> Iterator[str]:
    there = _described(client, name)
    for file, created in dict.fromkeys(columns.values()):
        lacks = [column for column, origin in columns.items() if origin == (file, created) and column not in there]
        if lacks:
            text = f"{name} is older than this release wants it, without {', '.join(lacks)} (see {file})"
            yield f"{text}; rename it away, then {AGAIN} and copy its rows" if created else f"{text}; {AGAIN}"


def table_columns(folder: Path = MIGRATIONS) -> dict[str, dict[str, tuple[str, bool]]]:
    """The columns of each table by name, with the file that makes them, and whether it does so as it creates the table."""
    out: dict[str, dict[str, tuple[str, bool]]] = {}
    for file in migrations(folder):
        for name, body in _TABLE.findall(file.text):
            out[name] = dict.fromkeys(re.findall(r"^    (\w+) ", body, re.MULTILINE), (file.name, True))
        for name, other in _ALIKE.findall(file.text):
            out[name] = dict.fromkeys(out[other], (file.name, True))
        for name, body in _ALTERED.findall(file.text):
            out[name] |= dict.fromkeys(re.findall(r"ADD COLUMN IF NOT EXISTS (\w+) ", body), (file.name, False))
    return out


def _views(folder: Path) -> dict[str, str]:
    """The question that each view stands for, as it was last put."""
    out: dict[str, str] = {}
    for file in migrations(folder):
        for statement in file.text.split(";\n"):
            for replaces, name, text in _VIEW.findall(statement):
                if replaces or name not in out:
                    out[name] = text
    return out


def _view(client: Client, name: str, text: str) -> list[str]:
    takes = parameters_of(text)
    call = ", ".join(f"{parameter} = {dictionary.PARAMETERS[parameter][0]}" for parameter in takes)
    values = {parameter: literal_eval(dictionary.PARAMETERS[parameter][0]) for parameter in takes}
    wanted = _described(client, f"({text}\n)", values)
    try:
        found = _described(client, f"{name}({call})" if takes else name)
    except StoreProblem as e:
        return [f"{name} cannot be asked: {e}; {AGAIN}"]
    if found == wanted:
        return []
    other = sorted({column for column, _ in found.items() ^ wanted.items()}) or ["their order"]
    return [f"{name} is not as this release makes it, which shows in {', '.join(other)}; {AGAIN}"]


def _described(client: Client, what: str, parameters: dict[str, object] | None = None) -> dict[str, str]:
    """Names and types of columns, in order."""
    return {str(row[0]): str(row[1]) for row in query(client, f"DESCRIBE TABLE {what}", parameters)[1]}


def _comments(client: Client) -> list[str]:
    return [
        f"{name} is described in other words than this release's{_of(sorted(comments))}; {MIGRATE}"
        for name, comments in other_comments(client).items()
    ]


def _of(columns: list[str]) -> str:
    named = [column for column in columns if column]
    return f" ({', '.join(named)})" if named else ""
