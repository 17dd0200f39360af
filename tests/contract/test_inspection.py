"""`volvere store check`: whatever is not as this release wants it is found, and what it says to do mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from sinks import dictionary
from sinks.clickhouse import MIGRATIONS, StoreProblem, drop, migrate, migrations, query
from sinks.inspection import inspect, table_columns

NAMES = [file.name for file in migrations()]


@pytest.fixture
def store(embedded: Client) -> Iterator[Client]:
    """A store as this release makes it, before the test and after it."""
    yield embedded
    if inspect(embedded):
        drop(embedded)
        migrate(embedded)


def mended(client: Client, *, again: bool) -> bool:
    """Whether a migration makes all well."""
    migrate(client, again=again)
    return inspect(client) == []


def test_nothing_is_wrong_with_a_store_that_is_up_to_date(migrated: Client) -> None:
    """Who asks after every deployment is not told of things that are as they should be."""
    assert inspect(migrated) == []


def test_the_columns_that_are_asked_for_are_all_that_there_are(migrated: Client) -> None:
    """A statement of a migration that is written in another way than those before it is understood, or seen here."""
    tables = query(
        migrated,
        "SELECT database || '.' || table, groupArray(name) FROM system.columns WHERE (database, table) IN "
        "(SELECT database, name FROM system.tables WHERE database LIKE 'volvere%' AND engine LIKE '%MergeTree') "
        "AND table != 'migrations' GROUP BY ALL",
    )[1]
    assert {str(name): set(names) for name, names in tables} == {  # type: ignore[call-overload]
        name: set(columns) for name, columns in table_columns().items()
    }


def test_no_store_at_all(store: Client) -> None:
    """An empty server is one line, not one for each table."""
    drop(store)
    (line,) = inspect(store)
    assert "there is nothing of Volveré" in line
    assert "run `volvere store migrate`" in line
    assert mended(store, again=False)


@pytest.mark.parametrize("known", [1, len(NAMES) - 1])
def test_store_of_an_older_release(store: Client, tmp_path: Path, known: int) -> None:
    """Who upgrades is told which files are missing, and not of everything that follows from it."""
    for name in NAMES[:known]:
        (tmp_path / name).write_text((MIGRATIONS / name).read_text(encoding="utf-8"), encoding="utf-8")
    drop(store)
    migrate(store, tmp_path)
    assert inspect(store) == [f"migration {name} is not applied; run `volvere store migrate`" for name in NAMES[known:]]
    assert mended(store, again=False)


def test_store_of_a_newer_release(store: Client) -> None:
    """Who deploys an old release by mistake is told so, and what is newer is left alone."""
    store.command("INSERT INTO volvere_store.migrations (version, name, digest) VALUES (9999, '9999_later.sql', 'x')")
    (line,) = inspect(store)
    assert f"9999_later.sql comes from a newer release, this one ends with {NAMES[-1]}: upgrade" in line
    with pytest.raises(StoreProblem, match=r"a newer release has applied 9999_later\.sql, which would be undone"):
        migrate(store, again=True)
    assert migrate(store) == []


def test_a_migration_that_was_changed(store: Client) -> None:
    """Two stores that differ in silence are found."""
    store.command(
        f"INSERT INTO volvere_store.migrations (version, name, digest) VALUES ({migrations()[1].version}, '{NAMES[1]}', 'other')"
    )
    (line,) = inspect(store)
    assert line.startswith(
        f"migration {NAMES[1]} was applied in another form: expected digest {migrations()[1].digest}, "
    )
    assert "found other" in line


def test_a_table_that_is_not_ours(store: Client) -> None:
    """ClickHouse makes one as it refreshes a view, with columns that ours have, too: it is nobody's business."""
    store.command("CREATE TABLE volvere_store.`.tmp.inner` (contact_id String) ENGINE = MergeTree ORDER BY contact_id")
    assert inspect(store) == []
    assert mended(store, again=True)
    store.command("DROP TABLE volvere_store.`.tmp.inner` SYNC")


@pytest.mark.parametrize(
    "names",
    [
        ["volvere_store.contacts"],
        sorted(dictionary.OBJECTS.keys() - {"volvere_store.migrations"}),
    ],
)
def test_tables_and_views_that_are_missing(store: Client, names: list[str]) -> None:
    """Whatever somebody dropped is named, and made again."""
    for name in names:
        store.command(f"DROP TABLE {name} SYNC")
    assert inspect(store) == [f"{name} is missing; run `volvere store migrate --again`" for name in names]
    assert mended(store, again=True)


ADDED = [
    (table, column) for table, columns in table_columns().items() for column, (_, made) in columns.items() if not made
]
assert ADDED


@pytest.mark.parametrize("table", sorted({table for table, _ in ADDED}))
def test_a_table_of_an_older_release(store: Client, table: str) -> None:
    """A table from a backup that is older than the migrations: what it lacks is said, and added."""
    columns = [column for name, column in ADDED if name == table]
    views = query(
        store,
        "SELECT database || '.' || name FROM system.tables WHERE database LIKE 'volvere%' AND engine = 'MaterializedView'",
    )[1]
    for (view,) in views:  # they keep columns that they read from being dropped
        store.command(f"DROP VIEW {view} SYNC")
    indexes = _indexes(store, table)
    older = [*(f"DROP INDEX {index}" for index in indexes), *(f"DROP COLUMN {column}" for column in columns)]
    store.command(f"ALTER TABLE {table} {', '.join(older)}")
    for (view,) in views:
        store.command(f"CREATE VIEW {view} AS SELECT 1 AS x")
    files = dict.fromkeys(table_columns()[table][column][0] for column in columns)
    assert inspect(store) == [
        f"{table} is older than this release wants it, without "
        f"{', '.join(c for c in columns if table_columns()[table][c][0] == file)} (see {file}); "
        "run `volvere store migrate --again`"
        for file in files
    ]
    for (view,) in views:
        store.command(f"DROP VIEW {view} SYNC")
    assert mended(store, again=True)
    assert _indexes(store, table) == indexes


def _indexes(store: Client, table: str) -> list[str]:
    """Of a table: they keep columns from being dropped, too."""
    rows = query(store, f"SELECT name FROM system.data_skipping_indices WHERE database || '.' || table = '{table}'")[1]
    return [str(name) for (name,) in rows]


def test_another_table_under_the_name(store: Client) -> None:
    """A table that no migration can mend says what a person has to do."""
    store.command("DROP TABLE volvere_store.generations SYNC")
    store.command("CREATE TABLE volvere_store.generations (subject String) ENGINE = MergeTree ORDER BY subject")
    (line,) = inspect(store)
    assert line == (
        f"volvere_store.generations is older than this release wants it, without generation (see {NAMES[0]}); "
        "rename it away, then run `volvere store migrate --again` and copy its rows"
    )
    store.command("RENAME TABLE volvere_store.generations TO volvere_store.old")
    assert mended(store, again=True)
    store.command("DROP TABLE volvere_store.old SYNC")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda text: text.replace("count() AS contacts", "1 AS calls, count() AS contacts"), "which shows in calls;"),
        (lambda text: text.replace("count() AS contacts", "toString(count()) AS contacts"), "which shows in contacts;"),
        (lambda text: text.replace("volvere_store.contacts_by", "volvere_store.nowhere"), "cannot be asked:"),
    ],
)
def test_a_view_that_somebody_changed(store: Client, changed: Callable[[str], str], said: str) -> None:
    """Analysts who were given another view than the README describes are not left to wonder."""
    statements = [statement for file in migrations() for statement in file.text.split(";\n")]
    statement = [s for s in statements if "VIEW volvere.contact_metrics" in s][-1]
    assert changed(statement) != statement
    store.command(changed(statement))
    (line,) = inspect(store)
    assert line.startswith("volvere.contact_metrics ")
    assert said in line
    assert mended(store, again=True)


def test_comments_that_differ(store: Client) -> None:
    """What analysts read where they work is this release's words."""
    store.command("ALTER TABLE volvere_store.journeys COMMENT COLUMN score 'a number', COMMENT COLUMN path 'a list'")
    store.command("ALTER TABLE volvere.clock MODIFY COMMENT 'time'")
    assert inspect(store) == [
        "volvere.clock is described in other words than this release's; run `volvere store migrate`",
        "volvere_store.journeys is described in other words than this release's (path, score); run `volvere store migrate`",
    ]
    assert mended(store, again=False)
