"""The commands that look after ClickHouse, as operators run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sinks.clickhouse import migrations
from tests.command import environment, volvere


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
