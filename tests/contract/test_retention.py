"""How long rows are kept and where: as the settings say, however often, and back again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.times import parse_time
from sinks import rows
from sinks.clickhouse import StoreProblem
from sinks.inspection import inspect
from sinks.retention import GOES_BY, Retention, apply, kept_days
from tests.contract.conftest import Table, touchpoint_row
from tests.contract.engine import engine
from tests.contract.test_clickhouse import friction, journey

TIERS = """
<storage_configuration>
    <disks><slow><path>{folder}/slow/</path></slow></disks>
    <policies><tiered><volumes>
        <default><disk>default</disk></default><cold><disk>slow</disk></cold>
    </volumes></tiered></policies>
</storage_configuration>
"""


@pytest.fixture
def kept(table: Table) -> Iterator[Table]:
    """A store whose retention a test may change."""
    yield table
    apply(table.client, Retention())


def test_rows_are_kept_as_long_as_is_said(kept: Table) -> None:
    """Old touchpoints go, operations stay, and so do journeys and frictions that were told lately; twice is once; back is for ever."""
    assert apply(kept.client, Retention(400)) == [f"volvere_store.{name}: kept for 400 days" for name in GOES_BY]
    assert apply(kept.client, Retention(400)) == []
    assert {name: kept_days(kept.client, name) for name in (*GOES_BY, "operations")} == {
        "touchpoints": 400, "journeys": 400, "frictions": 400, "refused": 400, "operations": None,
    }  # fmt: skip
    assert apply(kept.client, Retention(500))[0] == "volvere_store.touchpoints: kept for 500 days"
    old = {"occurred_at": "1999-03-01T09:00:00Z"}
    kept.touchpoints({"event_id": "old", **old}, {"event_id": "new", "occurred_at": "2090-01-01T00:00:00Z"})
    kept.journeys(journey())
    kept.frictions(friction())
    hired = {"event_id": "old", "customer_id": None, "kind": "agent.hired", **old}
    kept.put("operations", [touchpoint_row(**hired)])
    for name in (*GOES_BY, "operations"):
        kept.client.command(f"OPTIMIZE TABLE volvere_store.{name} FINAL")
    assert kept.ask("SELECT event_id FROM volvere.touchpoints") == [("new",)]
    assert (
        kept.ask("SELECT count() FROM volvere.journeys") == kept.ask("SELECT count() FROM volvere.frictions") == [(1,)]
    )
    assert inspect(kept.client) == []

    assert apply(kept.client, Retention()) == [f"volvere_store.{name}: kept for ever" for name in GOES_BY]
    assert apply(kept.client, Retention()) == []
    kept.touchpoints({"event_id": "old", **old})
    kept.client.command("OPTIMIZE TABLE volvere_store.touchpoints FINAL")
    assert kept.ask("SELECT event_id FROM volvere.touchpoints ORDER BY ALL") == [("new",), ("old",)]


def test_no_older_version_is_seen_again(kept: Table) -> None:
    """A friction was open, and resolved long ago: when its last word has gone, the word before it has gone, too."""
    apply(kept.client, Retention(400))
    for state, day, revision in (("open", 8, 1), ("resolved", 9, 2)):
        event = json.dumps(friction(state=state, revision=revision)).encode()
        at = parse_time(f"1999-03-0{day}T00:00:00Z")
        kept.put("frictions", [rows.friction(event, rows.lineage("frictions", 0)(revision, at))])
        assert kept.ask("SELECT count() FROM volvere.frictions") in ([(1,)], [(0,)])
    kept.client.command("OPTIMIZE TABLE volvere_store.frictions FINAL")
    assert kept.ask("SELECT state FROM volvere.frictions") == []


def test_a_policy_that_the_server_has_not(kept: Table) -> None:
    """It is said which, and nothing is changed."""
    with pytest.raises(StoreProblem, match="Unknown storage policy `tiered`"):
        apply(kept.client, Retention(None, 30, "tiered"))
    assert apply(kept.client, Retention()) == []


def test_rows_move_to_a_colder_volume(tmp_path: Path) -> None:
    """Old rows lie on the other disk and are answered from there; without the setting nothing moves any more."""
    said = engine(
        tmp_path,
        TIERS,
        """
from sinks.retention import Retention, apply
print(apply(client, Retention(None, 30, "tiered")), apply(client, Retention(None, 30, "tiered")))
table = Table(client)
table.touchpoints({"event_id": "old", "occurred_at": "1999-03-01T09:00:00Z"}, {"event_id": "new", "occurred_at": "2090-01-01T00:00:00Z"})
disks = "SELECT partition, disk_name FROM system.parts WHERE active AND table = 'touchpoints' ORDER BY ALL"
print(table.ask(disks), table.ask("SELECT event_id FROM volvere.touchpoints ORDER BY ALL"))
print(apply(client, Retention()), apply(client, Retention()))
table.touchpoints({"event_id": "older", "occurred_at": "1998-03-01T09:00:00Z"})
print(table.ask(disks), table.ask("SELECT count() FROM volvere.touchpoints"))
""",
    )
    words = [f"volvere_store.{name}: kept for ever, on volume cold after 30 days" for name in GOES_BY]
    back = [f"volvere_store.{name}: kept for ever" for name in GOES_BY]
    assert said.splitlines() == [
        f"{words} []",
        "[('199903', 'slow'), ('209001', 'default')] [('new',), ('old',)]",
        f"{back} []",
        "[('199803', 'default'), ('199903', 'slow'), ('209001', 'default')] [(3,)]",
    ]
