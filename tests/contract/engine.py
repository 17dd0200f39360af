"""The embedded engine with a configuration of its own, in a process of its own: disks, users and rights as a server has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.command import ROOT, environment

PROGRAM = """
import sys
import chdb
from sinks.clickhouse import connect, migrate
from tests.contract.conftest import Table
held = chdb.connect(f"{sys.argv[1]}?config-file={sys.argv[2]}")  # whoever opens the folder after it shares its engine
client = connect(sys.argv[1])
migrate(client)
"""


def engine(folder: Path, configuration: str, program: str) -> str:
    """What a program prints that has a migrated store as `client`. `{folder}` in the configuration is a folder of its own."""
    file = folder / "config.xml"
    file.write_text(f"<clickhouse>{configuration.format(folder=folder)}</clickhouse>", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, str(folder / "store"), str(file)],
        capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
