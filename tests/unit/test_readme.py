"""The README says what there is: settings, commands, detectors, views."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from sinks.dictionary import OBJECTS
from streams.detectors import DETECTORS
from volvere.cli import app
from volvere.settings import PREFIX, Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_settings(name: str) -> None:
    """Every setting can be found by reading."""
    assert f"`{PREFIX}{name.upper()}`" in README


@pytest.mark.parametrize("kind", [d.kind for d in DETECTORS])
def test_detectors(kind: str) -> None:
    """Every detector has its row."""
    assert f"\n| `{kind}` |" in README


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))  # type: ignore[attr-defined]
def test_commands(name: str) -> None:
    """Every command is named."""
    assert f"`volvere {name}" in README


@pytest.mark.parametrize("name", sorted(name for name in OBJECTS if name.startswith("volvere.")))
def test_views(name: str) -> None:
    """Every view that analysts may read is named."""
    assert f"\n| `{name}` |" in README
