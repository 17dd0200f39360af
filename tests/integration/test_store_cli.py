"""The commands that look after ClickHouse, as operators run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sinks.clickhouse import migrations
from tests.command import ask, environment, volvere


def command(folder: Path, statement: str) -> None:
    """Change the store of a folder behind everybody's back; in a process of its own, since the engine never lets go of it."""
    program = "import sys\nfrom sinks.clickhouse import connect\nconnect('volvere-data').command(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, statement], cwd=folder, env=environment(), check=True)


def test_a_store_is_brought_up_to_date_and_checked(tmp_path: Path) -> None:
    """Each command says what it did or found, twice is once, and what is dropped is found, told and made again."""
    names = [file.name for file in migrations()]
    none = volvere(tmp_path, "store", "check", code=2)
    assert "there is no store in ./volvere-data" in none.err
    assert not (tmp_path / "volvere-data").exists(), "a check makes nothing"

    assert volvere(tmp_path, "store", "migrate").out.splitlines() == [f"applied {name}" for name in names]
    assert volvere(tmp_path, "store", "migrate").out == "nothing to do: every migration has been applied\n"
    assert volvere(tmp_path, "store", "check").out.startswith("OK: ")

    command(tmp_path, "DROP VIEW volvere.clock SYNC")
    wrong = volvere(tmp_path, "store", "check", code=2)
    assert wrong.out == "volvere.clock is missing; run `volvere store migrate --again`\n"
    assert volvere(tmp_path, "store", "migrate").out.startswith("nothing to do")
    assert volvere(tmp_path, "store", "migrate", "--again").out.splitlines() == [f"applied {name}" for name in names]
    assert volvere(tmp_path, "store", "check").out.startswith("OK: ")


def test_how_long_rows_are_kept(tmp_path: Path) -> None:
    """The setting is made so by one command, twice is once, and without it rows are kept for ever again."""
    first = volvere(tmp_path, "store", "migrate", clickhouse_keep_days=400).out.splitlines()
    kept = [f"volvere_store.{name}: kept for 400 days" for name in ("touchpoints", "journeys", "frictions", "refused")]
    assert first[-4:] == kept
    assert volvere(tmp_path, "store", "migrate", clickhouse_keep_days=400).out.startswith("nothing to do")
    assert "kept for ever" in volvere(tmp_path, "store", "migrate").out
    wrong = volvere(tmp_path, "store", "migrate", clickhouse_storage_policy="tiered", code=2)
    assert "Unknown storage policy `tiered`" in wrong.err


def test_history_is_loaded(tmp_path: Path) -> None:
    """Files in, rows there, what is refused told; the view shows what `volvere run` of the same files shows."""
    lines = volvere(tmp_path, "simulate", "--customers", 60, "--days", 4).out.splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:200]))
    (tmp_path / "b.jsonl").write_text("".join([*lines[200:], '{"source": "pbx"}\n']))
    done = volvere(tmp_path, "store", "load", "a.jsonl", "b.jsonl", "--clickhouse", "loaded")
    assert done.out.splitlines()[0] == f"{len(lines):,} rows stored, 0 left out, 1 refused"
    place = f"refused b.jsonl, line {len(lines) - 199}: event_id: "
    assert done.err.startswith(place) and done.err.endswith(" (missing_field)\n")
    for name in ("a.jsonl", "b.jsonl"):
        volvere(tmp_path, "run", name, "--clickhouse", "run")
    sql = "SELECT * EXCEPT appended_at FROM volvere.touchpoints ORDER BY source, event_id"
    loaded = ask(tmp_path, sql, "loaded")
    assert loaded == ask(tmp_path, sql, "run")
    assert len(loaded) > 150
    assert "no such file" in volvere(tmp_path, "store", "load", "c.jsonl", "--clickhouse", "loaded", code=2).err
