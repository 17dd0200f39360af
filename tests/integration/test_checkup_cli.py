"""`volvere checkup` as a manager runs it, and what it says where there is nothing to check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import environment, volvere


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small company's store."""
    folder = tmp_path_factory.mktemp("checkup")
    told = volvere(
        folder, "simulate", "--customers", 60, "--days", 40, "--operations", "--start", "2025-03-03T00:00:00Z"
    ).out
    volvere(folder, "run", "-", stdin=told)
    return folder


def test_a_check_up_is_read(store: Path) -> None:
    """Every gauge with its verdict, in the language and the days asked for; a friction behind it can be explained."""
    asked = ("--language", "es", "--zone", "Europe/Madrid", "--from", "2025-03-10", "--to", "2025-04-07")
    told = volvere(store, "checkup", *asked, ends_within=170).out
    for name in (
        "Fiabilidad",
        "Proceso",
        "Lo que importa",
        "Abandono",
        "Mantenimiento",
        "Alineación",
        "Opinión",
        "Actualización",
    ):
        assert f" {name}  " in told
    assert "10\u00a0mar\u00a02025 a 6\u00a0abr\u00a02025, días de Europe/Madrid" in told
    row = re.search(r"^ *Otro contacto por lo mismo.* ([0-9a-f]{8})", told, re.MULTILINE)
    assert row is not None
    assert "repeat_contact" in volvere(store, "explain", row[1]).out


def test_what_cannot_be_checked(store: Path, tmp_path: Path) -> None:
    """One line that says what to do, and exit code 2: wrong dates, nothing there, nothing then, no store, an older store."""
    for given, said in (
        (("--from", "31.1.2025"), "no date; expected a day such as 2026-01-31"),
        (("--from", "2025-04-01", "--to", "2025-03-01"), "is not before"),
        (("--from", "2019-01-01", "--to", "2019-02-01"), "nothing happened from 2019-01-01 to 2019-02-01"),
        (("--language", "de"), "'de' is not one of 'en', 'es'"),
        (("--zone", "Mars/Olympus"), "no time zone"),
    ):
        done = volvere(store, "checkup", *given, code=2)
        assert said in " ".join(done.err.replace("│", " ").split()), done.err
        assert done.out == ""
    assert "there is no store in" in volvere(tmp_path, "checkup", code=2).err
    assert list(tmp_path.iterdir()) == []
    volvere(tmp_path, "store", "migrate")
    assert "there is nothing to check" in volvere(tmp_path, "checkup", code=2).err
    forget = "from sinks.clickhouse import connect\nconnect('volvere-data').command('TRUNCATE TABLE volvere_store.migrations')"
    subprocess.run([sys.executable, "-c", forget], cwd=tmp_path, env=environment(), check=True)
    assert "run `volvere store migrate`" in volvere(tmp_path, "checkup", code=2).err
