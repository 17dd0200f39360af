"""The README says what there is: settings, commands, detectors, views."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer.main

import schemas
from sinks.dictionary import OBJECTS
from streams.detectors import DETECTORS
from volvere.cli import app
from volvere.settings import PREFIX, Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_is_an_example() -> None:
    """The touchpoint that a reader copies is one that is taken."""
    text = README.partition("```json\n")[2].partition("```")[0]
    examples = (Path(schemas.__file__).parent / "examples/valid/touchpoints").glob("*.json")
    assert json.loads(text) in [json.loads(path.read_text(encoding="utf-8")) for path in examples]


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
