"""The store's tables, views, inserts and questions, on each shape of ClickHouse."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from clickhouse_connect.driver.client import Client

from schemas.errors import Transient
from sinks import dictionary, rows
from sinks.clickhouse import (
    MIGRATIONS,
    Inserter,
    StoreProblem,
    connect,
    drop,
    jsonable,
    migrate,
    newest_generation,
    parameters_of,
    query,
)
from sinks.reference import DOCUMENT, SOURCES, reference, sources
from tests.contract.chdb_http import ChdbHttp, Cut, Fail, LoseAnswer
from tests.contract.conftest import ARRIVED, Table, tail, touchpoint_row

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "valid"
FRICTION_ID = "6ba7b810-9dad-51d1-80b4-00c04fd430c8"


def friction(**changes: Any) -> dict[str, Any]:
    """A friction event as `track` publishes it; `changes` go into its data, `subject` into the envelope."""
    subject = changes.pop("subject", "ana")
    data: dict[str, Any] = {
        "friction_id": FRICTION_ID, "kind": "repeat_contact", "state": "open", "severity": "warning",
        "opened_at": "2026-03-01T09:00:00.000001Z", "provisional": True, "final_at": "2026-03-08T09:00:00Z",
        "observed": {"value": 2, "unit": "contacts", "window": "7d", "also": {"14d": 3}},
        "rule": {"id": "repeat_contact", "digest": "0123456789abcdef", "mode": "live"},
        "generation": 1, "revision": 1, "group_open": 1, "summary": "Called again about billing",
        "evidence": [{"source": "pbx", "event_id": "e1", "occurred_at": "2026-03-01T09:00:00Z", "role": "started"}],
    }  # fmt: skip
    return {
        "specversion": "1.0", "id": FRICTION_ID, "source": "volvere", "type": "volvere.friction.opened",
        "subject": subject, "time": "2026-03-01T09:00:00Z", "recordedtime": "2026-03-01T09:01:00Z",
        "datacontenttype": "application/json", "dataschema": "x", "severitytext": "warning", "severitynumber": 13,
        "dedupkey": "d", "groupkey": "g", "data": data | changes,
    }  # fmt: skip


def journey(**changes: Any) -> dict[str, Any]:
    """A journey snapshot as `track` publishes it."""
    snapshot: dict[str, Any] = {
        "journey_id": "j1", "subject": "ana", "customer_id": "ana", "state": "active",
        "started_at": "2026-03-01T09:00:00Z", "ended_at": "2026-03-01T10:00:00Z", "touchpoints": 3, "contacts": 1,
        "first_channel": "voice", "last_channel": "chat", "frictions": 0, "score": 12.5, "generation": 1, "revision": 1,
    }  # fmt: skip
    return snapshot | changes


# Tables and views


MIGRATED = sorted(file.name for file in MIGRATIONS.glob("*.sql"))


def test_migrations_run_twice_and_side_by_side(migrated: Client) -> None:
    """A worker that starts finds everything in place and changes nothing, however many start."""
    tables = "SELECT database, name, uuid FROM system.tables WHERE database LIKE 'volvere%' ORDER BY ALL"
    data = tables.replace(
        "WHERE", "WHERE engine != 'View' AND name != 'contacts' AND"
    )  # each refresh makes that one anew
    columns = (
        "SELECT database, table, position, name, type, comment FROM system.columns "
        "WHERE database LIKE 'volvere%' ORDER BY ALL"
    )
    before = [query(migrated, sql) for sql in (tables, data, columns)]
    assert migrate(migrated) == []
    assert [query(migrated, sql) for sql in (tables, data, columns)] == before
    migrated.command("TRUNCATE TABLE volvere_store.migrations")  # as another worker that began before the first ended
    assert migrate(migrated) == MIGRATED
    assert [query(migrated, sql) for sql in (data, columns)] == before[1:], "views are made anew, data never"


def test_store_of_an_earlier_release_is_brought_up_to_date(migrated: Client, tmp_path: Path) -> None:
    """Who upgrades keeps what was stored: old journeys stay, the new columns are empty for them and filled from now on."""
    for name in MIGRATED[:2]:
        (tmp_path / name).write_text((MIGRATIONS / name).read_text(encoding="utf-8"), encoding="utf-8")
    drop(migrated)
    assert migrate(migrated, tmp_path) == MIGRATED[:2]
    added = {"path", "outcome", "amounts", "came_back"}
    table = Table(migrated)
    old = dict(
        zip(rows.COLUMNS["journeys"], rows.journey(json.dumps(journey()).encode(), tail("journeys")), strict=True)
    )
    names, values = zip(*((name, value) for name, value in old.items() if name not in added), strict=True)
    migrated.insert("volvere_store.journeys", [values], column_names=names)
    assert added.isdisjoint(table.one("SELECT * FROM volvere.journeys"))

    assert migrate(migrated) == MIGRATED[2:]
    table.journeys(journey(journey_id="j2", path=["voice", "chat"], outcome="ok", amounts={"EUR": "5"}, came_back=True))
    assert table.ask("SELECT journey_id, path, outcome, amounts, came_back FROM volvere.journeys ORDER BY ALL") == [
        ("j1", [], None, {}, False),
        ("j2", ["voice", "chat"], "ok", {"EUR": Decimal("5.0000")}, True),
    ]
    assert migrate(migrated) == []


def test_changed_migration_is_an_error(migrated: Client, tmp_path: Path) -> None:
    """An applied file that was edited must not pass in silence: two databases would differ."""
    (tmp_path / "0001_tables.sql").write_text("SELECT 1;\n")
    with pytest.raises(StoreProblem, match=r"0001_tables.sql was applied in another form; expected digest"):
        migrate(migrated, tmp_path)


def parametrised(client: Client) -> dict[str, list[str]]:
    """The views that take parameters, and which."""
    views = query(
        client,
        "SELECT database || '.' || name, create_table_query FROM system.tables "
        "WHERE database LIKE 'volvere%' AND engine = 'View' ORDER BY 1",
    )[1]
    named = {str(name): parameters_of(str(text)) for name, text in views}
    return {name: parameters for name, parameters in named.items() if parameters}


def test_every_column_has_a_comment(migrated: Client) -> None:
    """Analysts read what a column means where they work, in the database; units and nulls included."""
    objects = query(
        migrated,
        "SELECT database || '.' || table, name, comment FROM system.columns WHERE database IN ('volvere', 'volvere_store')",
    )[1]
    assert [(name, column) for name, column, comment in objects if not comment] == []
    found = {(str(name), str(column)) for name, column, _ in objects}
    for view, parameters in parametrised(migrated).items():
        call = ", ".join(f"{name} = {dictionary.PARAMETERS[name][0]}" for name in parameters)
        found |= {(view, str(row[0])) for row in query(migrated, f"DESCRIBE TABLE {view}({call})")[1]}
    assert [place for place in found if not dictionary.of_column(*place)] == []
    assert {name for names in parametrised(migrated).values() for name in names} == set(dictionary.PARAMETERS)
    assert {name for name, _ in found} == set(dictionary.OBJECTS)
    assert {column for _, column in found} == set(dictionary.COLUMNS), "the dictionary describes what there is, no more"
    assert {(name, column) for name, own in dictionary.OWN.items() for column in own} - found == set()
    for name in ("wait_ms", "handle_ms", "hold_ms"):
        assert "milliseconds" in dictionary.COLUMNS[name]
    tables = query(
        migrated, "SELECT database || '.' || name, comment FROM system.tables WHERE database LIKE 'volvere%'"
    )[1]
    assert [name for name, comment in tables if not comment] == []


def test_the_page_of_views_says_what_the_store_says(migrated: Client) -> None:
    """docs/views.md is up to date; `make schemas` makes it so."""
    assert DOCUMENT.read_text(encoding="utf-8") == reference(migrated)


def test_dbt_reads_what_the_store_says(embedded: Client) -> None:
    """deploy/dbt/sources.yml is up to date, is YAML, and describes every view with each of its columns."""
    text = SOURCES.read_text(encoding="utf-8")
    assert text == sources(embedded)
    (source,) = yaml.safe_load(text)["sources"]
    tables = {f"{source['schema']}.{table['name']}": table for table in source["tables"]}
    assert tables.keys() == {name for name in dictionary.OBJECTS if name.startswith("volvere.")}
    for name, table in tables.items():
        assert table["description"] == dictionary.OBJECTS[name]
        assert all(column["description"] and column["data_type"] for column in table["columns"])
    takes = {name: list(table["meta"]["parameters"]) for name, table in tables.items() if "meta" in table}
    assert takes == {name: p for name, p in parametrised(embedded).items() if name.startswith("volvere.")}


def test_comments_follow_the_dictionary(migrated: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A better word reaches databases that exist, without a migration."""
    monkeypatch.setitem(dictionary.COLUMNS, "x", "It's the 'x' \\ of a click")
    migrate(migrated)
    assert query(
        migrated,
        "SELECT comment FROM system.columns WHERE database = 'volvere' AND table = 'touchpoints' AND name = 'x'",
    )[1] == [("It's the 'x' \\ of a click",)]
    monkeypatch.undo()
    migrate(migrated)


# What stays of what came


def test_duplicates_and_disorder_change_nothing(table: Table) -> None:
    """A replay, or partitions read in another order, leaves every answer as it was."""
    sent = [
        {"event_id": f"e{i}", "occurred_at": f"2026-0{1 + i % 3}-01T00:00:0{i}Z", "version": i % 2} for i in range(8)
    ]
    table.touchpoints(*sent)
    once = table.ask("SELECT event_id, occurred_at, version FROM volvere.touchpoints ORDER BY ALL")
    assert len(once) == 8
    table.touchpoints(*reversed(sent))
    table.touchpoints(*sent[3:], *sent[:5])
    assert table.ask("SELECT event_id, occurred_at, version FROM volvere.touchpoints ORDER BY ALL") == once


@pytest.mark.parametrize("backwards", [False, True])
def test_newer_version_wins(table: Table, backwards: bool) -> None:
    """A corrected event replaces the first, even where the correction came first."""
    sent = [{"version": 1, "topic": "billing"}, {"version": 2, "topic": "delivery"}]
    for fields in reversed(sent) if backwards else sent:
        table.touchpoints(fields)
    assert table.ask("SELECT topic, version FROM volvere.touchpoints") == [("delivery", 2)]


def test_cancelled_touchpoint_is_hidden(table: Table) -> None:
    """What was withdrawn is in no answer, also when the older version comes later or again; a newer one revives it."""
    table.touchpoints({"version": 2, "cancelled": True, "contact_id": "c1"})
    table.touchpoints({"version": 1, "contact_id": "c1"})
    assert table.ask("SELECT count() FROM volvere.touchpoints") == [(0,)]
    assert table.ask("SELECT count() FROM volvere.contacts") == [(0,)]
    table.touchpoints({"version": 3, "contact_id": "c1"})
    assert table.ask("SELECT count() FROM volvere.touchpoints") == [(1,)]
    assert table.ask("SELECT count() FROM volvere.contacts") == [(1,)]


def test_retracted_friction_and_merged_journey_are_hidden(table: Table) -> None:
    """Whether there was one for a moment depends on batching, so no view shows it."""
    table.frictions(friction(state="retracted", revision=2), friction(revision=1))
    table.journeys(journey(state="merged", merged_into="j0", revision=2), journey(revision=1))
    assert table.ask("SELECT count() FROM volvere.frictions") == [(0,)]
    assert table.ask("SELECT count() FROM volvere.journeys") == [(0,)]
    table.frictions(friction(revision=3))
    assert table.ask("SELECT revision FROM volvere.frictions") == [(3,)]


def test_newest_generation_of_each_subject_stands(table: Table) -> None:
    """What a rebuild did not find again is gone; customers that it did not touch keep what they had."""
    second = "00000000-0000-5000-8000-000000000002"
    table.journeys(journey(revision=9), journey(journey_id="j2"), journey(subject="ben", customer_id="ben"))
    table.frictions(
        friction(revision=9),
        friction(friction_id=second),
        friction(friction_id=second.replace("2", "3"), subject="ben"),
    )
    assert (
        table.ask("SELECT count() FROM volvere.journeys")
        == table.ask("SELECT count() FROM volvere.frictions")
        == [(3,)]
    )
    assert newest_generation(table.client) == 1
    table.journeys(journey(generation=2))
    assert table.ask("SELECT subject, journey_id, generation FROM volvere.journeys ORDER BY ALL") == [
        ("ana", "j1", 2),
        ("ben", "j1", 1),
    ]
    assert table.ask("SELECT subject, generation FROM volvere.frictions") == [("ben", 1)]
    table.frictions(friction(generation=2))
    assert table.ask("SELECT subject, generation, revision FROM volvere.frictions ORDER BY ALL") == [
        ("ana", 2, 1),
        ("ben", 1, 1),
    ]
    assert newest_generation(table.client) == 2


def test_first_friction_of_a_rebuild_ends_the_old_generation(table: Table) -> None:
    """Frictions are published at once and journeys seconds later; between the two nothing stands twice."""
    table.journeys(journey())
    table.frictions(friction(), friction(friction_id="00000000-0000-5000-8000-000000000002"))
    table.frictions(friction(generation=2))
    assert table.ask("SELECT generation FROM volvere.frictions") == [(2,)]
    assert table.ask("SELECT count() FROM volvere.journeys") == [(0,)]


def test_types_come_back_as_they_were_sent(table: Table) -> None:
    """Money to the last digit, times to the microsecond, any script; and null is not empty."""
    table.touchpoints(
        {
            "event_id": "ç☎︎ 'e\\1\n\t\"", "customer_id": "Ωmega\x00", "occurred_at": "1990-01-01T02:00:00.1234569+02:00",
            "due_at": "2199-12-31T23:59:59.999999Z", "version": 2**63 - 1, "amount": "-99999999999999.9999", "score": 0.1,
            "x": -1.5e-7, "y": 1e300, "wait_ms": 0, "attributes": {"n": 9223372036854775807, "f": 1.5, "b": True, "t": ""},
        },
        {"event_id": "e2"},
    )  # fmt: skip
    row = table.one("SELECT * FROM volvere.touchpoints WHERE event_id != 'e2'")
    assert row["event_id"] == "ç☎︎ 'e\\1\n\t\""
    assert row["customer_id"] == row["subject"] == "Ωmega\x00"
    assert jsonable(row["occurred_at"]) == "1990-01-01T00:00:00.123456Z"
    assert jsonable(row["due_at"]) == "2199-12-31T23:59:59.999999Z"
    assert row["version"] == 2**63 - 1
    assert row["amount"] == Decimal("-99999999999999.9999")
    assert (row["score"], row["x"], row["y"], row["wait_ms"]) == (0.1, -1.5e-7, 1e300, 0)
    assert row["attributes"] == {"n": "9223372036854775807", "f": "1.5", "b": "true", "t": ""}
    empty = table.one("SELECT * FROM volvere.touchpoints WHERE event_id = 'e2'")
    assert {empty[name] for name in ("amount", "score", "topic", "wait_ms", "due_at", "direction")} == {None}
    assert empty["attributes"] == {}


def test_friction_comes_back_whole(table: Table) -> None:
    """An analyst sees of a friction what an alerting system saw."""
    table.frictions(
        friction(resolved_at="2026-03-02T00:00:00Z", state="resolved", reason="superseded", queue="q", threshold=None)
    )
    row = table.one("SELECT * FROM volvere.frictions")
    assert row["friction_id"] == UUID(FRICTION_ID)
    assert (row["kind"], row["state"], row["reason"], row["severity"]) == (
        "repeat_contact",
        "resolved",
        "superseded",
        "warning",
    )
    assert jsonable(row["opened_at"]) == "2026-03-01T09:00:00.000001Z"
    assert (row["observed_value"], row["observed_unit"], row["observed_window"]) == (2.0, "contacts", "7d")
    assert row["observed_also"] == {"14d": 3.0}
    assert (row["threshold_value"], row["threshold_unit"]) == (None, None)
    assert (row["rule_id"], row["rule_digest"], row["mode"]) == ("repeat_contact", "0123456789abcdef", "live")
    assert table.ask("SELECT evidence.source, evidence.event_id, evidence.role FROM volvere.frictions") == [
        (["pbx"], ["e1"], ["started"])
    ]
    assert (row["provisional"], row["corrected"], row["suppressed"], row["replay"]) == (True, False, False, False)


def test_journey_comes_back_whole(table: Table) -> None:
    """What a journey amounts to is exact: its channels in order, its money to the last digit in each currency."""
    amounts = {"EUR": "-12.3456", "JPY": "99999999999999999999999", "XXX": "0"}
    table.journeys(
        journey(path=["web", "voice", "web"], outcome="denied", amounts=amounts, came_back=True),
        journey(journey_id="j2"),
    )
    row = table.one("SELECT * FROM volvere.journeys WHERE journey_id = 'j1'")
    assert (row["path"], row["outcome"], row["came_back"]) == (["web", "voice", "web"], "denied", True)
    assert {currency: Decimal(amount) for currency, amount in amounts.items()} == row["amounts"]
    assert table.ask("SELECT path, outcome, amounts, came_back FROM volvere.journeys WHERE journey_id = 'j2'") == [
        ([], None, {}, False)
    ]


def test_every_published_example_is_stored(table: Table) -> None:
    """What the schemas promise to take, the tables take."""
    made = {
        "touchpoints": lambda value: rows.touchpoint(value, ARRIVED, (), tail("touchpoints")),
        "operations": lambda value: rows.touchpoint(value, ARRIVED, (), tail("operations")),
        "journeys": lambda value: rows.journey(value, tail("journeys")),
        "frictions": lambda value: rows.friction(value, tail("frictions")),
    }
    for name, row in made.items():
        examples = sorted((EXAMPLES / name).glob("*.json"))
        assert examples
        table.put(name, [row(file.read_bytes()) for file in examples])
    assert (
        table.ask("SELECT count() FROM volvere.frictions")
        == table.ask("SELECT count() FROM volvere.journeys")
        == [(1,)]
    )


def test_many_months_in_one_batch(table: Table) -> None:
    """A file of old history spans more months than ClickHouse takes by default; it must not be refused for ever."""
    table.touchpoints(
        *({"event_id": f"e{i}", "occurred_at": f"{1990 + i // 12}-{1 + i % 12:02d}-01T00:00:00Z"} for i in range(240))
    )
    assert table.ask("SELECT count() FROM volvere.touchpoints") == [(240,)]


# Inserts


def test_bad_rows_are_found_and_the_rest_is_stored(table: Table) -> None:
    """Rows that do not fit, or that a rule of the database's own refuses, cost nobody else theirs and are named by their position."""
    made = [touchpoint_row(event_id=f"e{i}", wait_ms=i) for i in range(100)]
    wait = rows.COLUMNS["touchpoints"].index("wait_ms")
    made[17] = (*made[17][:wait], -1, *made[17][wait + 1 :])
    made[99] = (*made[99][:wait], 2**64, *made[99][wait + 1 :])
    table.client.command(
        "ALTER TABLE volvere_store.touchpoints ADD CONSTRAINT no_40 CHECK wait_ms IS NULL OR wait_ms != 40"
    )
    try:
        refused = table.inserter.insert("touchpoints", made)
    finally:
        table.client.command("ALTER TABLE volvere_store.touchpoints DROP CONSTRAINT no_40")
    assert [at for at, _ in refused] == [17, 40, 99]
    assert ["wait_ms" in reason for _, reason in refused] == [True] * 3
    assert table.ask("SELECT count() FROM volvere.touchpoints") == [(97,)]


def test_insert_into_nothing_is_a_problem_not_a_bad_row(table: Table) -> None:
    """A missing table must stop the worker, not turn every record into a refused one."""
    with pytest.raises(StoreProblem, match="absent"):
        table.inserter.insert("absent", [touchpoint_row()])


def test_batches_leave_nothing_in_memory(table: Table) -> None:
    """A worker inserts for months: what the engine remembers of each batch, a file of its own name, would only grow."""
    for n in range(3):
        table.touchpoints({"event_id": f"e{n}"})
    assert table.ask("SELECT count() FROM system.schema_inference_cache WHERE storage = 'File'") == [(0,)]


@pytest.fixture
def over_http(front: ChdbHttp, embedded: Client) -> Table:
    """An empty store behind HTTP, whose front can fail."""
    for name in ("touchpoints", "journeys", "frictions", "generations"):
        embedded.command(f"TRUNCATE TABLE volvere_store.{name}")
    front.faults.clear()
    return Table(connect(front.url))


def test_lost_answer_stores_once(over_http: Table, front: ChdbHttp) -> None:
    """The insert happened but its answer was lost: it is sent again, and the rows are there once."""
    front.faults.append(LoseAnswer())
    before = front.inserts
    over_http.touchpoints({"event_id": "e1"}, {"event_id": "e2"})
    assert front.inserts - before == 2
    assert over_http.ask("SELECT count() FROM volvere_store.touchpoints") == [(2,)]


@pytest.mark.parametrize("fault", [Cut(), Fail(202), Fail(241), Fail(252), Fail(999), Fail(242, status=503)])
def test_transient_failure_is_tried_again(over_http: Table, front: ChdbHttp, fault: Cut | Fail) -> None:
    """A server that is busy for a moment, or a connection that breaks, is nobody's business."""
    front.faults.append(fault)
    over_http.touchpoints({})
    assert over_http.ask("SELECT count() FROM volvere_store.touchpoints") == [(1,)]


def test_lasting_failure_is_transient_not_a_bad_row(over_http: Table, front: ChdbHttp) -> None:
    """When the server stays busy the caller hears so, and keeps the batch; nothing is called a bad row."""
    front.faults.extend([Fail(202)] * 10)
    with pytest.raises(Transient, match="injected"):
        over_http.touchpoints({})
    front.faults.clear()
    assert over_http.inserter.retries == 2


def test_refused_login_ends_an_insert(over_http: Table, front: ChdbHttp) -> None:
    """A password that was changed under a running worker is for a person to mend."""
    front.faults.append(Fail(516, status=403))
    with pytest.raises(StoreProblem, match="refuses the login"):
        over_http.touchpoints({})


# Connections


def test_wrong_password_is_said_without_showing_it(
    front: ChdbHttp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The login is refused in words, and the password is in no text or log."""
    monkeypatch.setattr(front, "password", "right")
    with pytest.raises(StoreProblem, match="refuses the login; check user and password") as caught:
        connect(front.url, "volvere", "s3cret-word")
    assert "s3cret-word" not in str(caught.value) + caplog.text
    connect(front.url, "volvere", "right").close()


def test_old_server_is_refused(front: ChdbHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 26.3 settings mean something else, and rows would be there twice."""
    monkeypatch.setattr(front, "version", "26.2.4.1")
    with pytest.raises(StoreProblem, match=r"is version 26.2.4.1; expected 26.3 or newer"):
        connect(front.url)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9 does not answer; is it running"),
        ("http://ana:s3cret@127.0.0.1:9", "http://127.0.0.1:9: give user and password by their own settings"),
        ("http://", "expected a URL such as"),
        ("http://host:port", "expected a URL such as"),
        ("clickhouse://host", "expected a folder, or a URL such as"),
        ("localhost:8123", "expected a folder, or a URL such as"),
    ],
)
def test_unusable_places(where: str, said: str) -> None:
    """A place that cannot be one says so and what was expected; credentials in it are not repeated."""
    with pytest.raises(StoreProblem) as caught:
        connect(where)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreProblem, match=r"file/inside: cannot be created"):
        connect(tmp_path / "file" / "inside")


def test_folder_in_use_by_another_process(embedded: Client, folder: Path) -> None:
    """A second command on the same folder is told why it cannot, and what to do."""
    program = (
        "import sys\nfrom sinks.clickhouse import StoreProblem, connect\n"
        "try:\n    connect(sys.argv[1])\nexcept StoreProblem as e:\n    print(e)"
    )
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", program, folder], cwd=root, capture_output=True, text=True, check=True)
    assert f"folder {folder} cannot be opened: it is in use by another process" in told.stdout


# Questions


@pytest.mark.parametrize("value", ["ana", "O'Hara\\", "{b:String} -- ; DROP", "a\tb\nc", "Ωmega☎︎", "' OR 1 = 1"])
def test_what_is_asked_for_is_never_part_of_the_question(table: Table, value: str) -> None:
    """A customer's id may hold anything that a sender wrote: it is compared, not run."""
    table.touchpoints({"customer_id": value}, {"event_id": "e2", "customer_id": "else"})
    sql = "SELECT event_id FROM volvere.touchpoints WHERE customer_id = {id:String}"
    assert query(table.client, sql, {"id": value})[1] == [("e1",)]
    empty = query(table.client, f"{sql} AND event_id = {{other:String}}", {"id": value, "other": "e2"})
    assert empty == (["event_id"], [])


def test_question_answers_names_and_rows(client: Client) -> None:
    """A question may end in a semicolon, begin with a comment, and hold semicolons in texts."""
    assert query(client, "-- a; b\nSELECT 1 AS a, 'x;y' AS b -- c; d\n;") == (["a", "b"], [(1, "x;y")])
    assert query(client, "WITH 1 AS x SELECT x") == (["x"], [(1,)])
    assert query(client, "SELECT 1 AS a WHERE 0") == (["a"], [])
    assert ("contacts",) in query(client, "SHOW TABLES FROM volvere")[1]
    assert query(client, "DESCRIBE TABLE volvere.contacts")[1][0][0] == "contact_id"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE volvere_store.journeys",
        "SELECT 1; DROP TABLE volvere_store.journeys",
        "INSERT INTO volvere_store.generations VALUES ('a', 9)",
        "WITH 1 AS x INSERT INTO volvere_store.generations SELECT 'a', 9",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 INTO OUTFILE 'answer.csv'",
        "",
    ],
)
def test_questions_change_nothing(client: Client, statement: str) -> None:
    """`volvere query` is for asking: whatever would change something is refused, and nothing changes."""
    with pytest.raises(StoreProblem, match="question"):
        query(client, statement)
    assert newest_generation(client) == 0
    assert ("journeys",) in query(client, "SHOW TABLES FROM volvere_store")[1]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM volvere.contacts", "`nope`"),
        ("SELECT count() FROM volvere.contacts WHER x", "(line 1, col 43)"),
        ("SELECT 1 FROM volvere.nowhere", "volvere.nowhere"),
    ],
)
def test_sql_errors_are_short(client: Client, sql: str, said: str) -> None:
    """ClickHouse's own words with code and position, without its version, our settings or a trace."""
    with pytest.raises(StoreProblem) as caught:
        query(client, sql)
    text = str(caught.value)
    assert said in text and "code " in text
    assert len(text) < 480 and "\n" not in text
    for noise in ("version 2", "readonly", "FORMAT", "http", "Expected one of"):
        assert noise not in text


def test_answers_can_be_json(client: Client) -> None:
    """Every type has one form in JSON; what a number in JSON would spoil is text."""
    _, found = query(
        client,
        "SELECT toUUID('6ba7b810-9dad-11d1-80b4-00c04fd430c8') AS u, "
        "toDateTime64('2026-03-01 09:00:00.5', 6, 'UTC') AS t, toDateTime('2026-03-01 09:00:00', 'UTC') AS s, "
        "toDate('2026-03-01') AS d, toDecimal64('1.50', 4) AS m, "
        "toUInt128('340282366920938463463374607431768211455') AS big, [1, 2] AS a, map('k', 1) AS m2, (1, 'x') AS p, "
        "NULL AS n, true AS b, nan AS f, 1.5 AS g",
    )
    assert json.loads(json.dumps([jsonable(v) for v in found[0]])) == [
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "2026-03-01T09:00:00.500000Z", "2026-03-01T09:00:00Z", "2026-03-01", "1.5000",
        "340282366920938463463374607431768211455", [1, 2], {"k": 1}, [1, "x"], None, True, None, 1.5,
    ]  # fmt: skip
    zone = dt.timezone(dt.timedelta(hours=2))
    assert jsonable(dt.datetime(2026, 3, 1, 9, tzinfo=zone)) == "2026-03-01T07:00:00Z"


def test_inserter_leaves_an_empty_batch_alone(client: Client) -> None:
    """Nothing to store is no insert."""
    assert Inserter(client).insert("touchpoints", []) == []
