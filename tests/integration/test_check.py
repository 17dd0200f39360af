"""`volvere demo --check` as users run it: the main job over a company, judged by the plan and by the oracle."""

from __future__ import annotations

import re
from pathlib import Path

from streams.detectors import DETECTORS
from tests.command import volvere


def test_every_friction_is_true(tmp_path: Path) -> None:
    """The table has every kind; all that was planted is found, near misses are silent, the rest is confirmed; exit 0."""
    done = volvere(tmp_path, "demo", "--check", "--customers", 400, "--days", 40)
    assert done.err == ""
    lines = done.out.splitlines()
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    table = {row[0]: [int(cell) for cell in row[1:]] for row in cells}
    assert table.keys() == {d.kind for d in DETECTORS}
    for planted, found, near_misses, silent, besides, confirmed, not_confirmed, missed in table.values():
        assert (planted, near_misses, besides) == (found, silent, confirmed)
        assert not_confirmed == missed == 0
    planted, near_misses, besides = (sum(row[column] for row in table.values()) for column in (0, 2, 4))
    assert planted >= 100
    assert near_misses >= 100
    assert besides > 1000
    assert re.fullmatch(
        rf"No disagreement: {planted:,} planted troubles found, {near_misses:,} near misses silent, "
        rf"all {planted + besides:,} frictions as the oracle says, and none missed\.",
        lines[-1],
    )
    assert not list(tmp_path.iterdir())
