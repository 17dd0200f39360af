"""The README says what there is: settings, commands, kinds of friction, rules, reasons, views."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

import schemas
from schemas.journey import JourneySnapshot
from schemas.times import DAY
from sinks.dictionary import OBJECTS
from streams.detectors import DETECTORS
from streams.rules import Rules, parse_rules
from streams.tracker import Tracker
from tests.properties.test_odd_input import PLAIN, REFUSED, STILL
from volvere.cli import app
from volvere.settings import PREFIX, Settings
from volvere.words import REASONS

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROOT = Path(__file__).parents[2]


def _section(title: str) -> str:
    text = README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert text, f"there is no section {title}"
    return text


def _commands(group: TyperGroup, name: str) -> Iterator[tuple[str, set[str]]]:
    """Every command by its full name, with its options."""
    for word, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", {option for parameter in command.params for option in parameter.opts}


COMMANDS = dict(_commands(typer.main.get_command(app), "volvere"))  # type: ignore[arg-type]
TOML = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


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
    """Every detector has its row, and every column of it says something."""
    (row,) = re.findall(rf"^\| `{kind}` \|.*$", _section("Frictions"), re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    assert all(cells)
    severity = cells[3].split(";")[0]
    assert severity in ("info", "warning", "error")


def test_no_detector_is_made_up() -> None:
    """Each row of the table is a detector's, and their number is right."""
    rows = re.findall(r"^\| `(\w+)` \|", _section("Frictions"), re.MULTILINE)
    assert sorted(rows) == sorted(d.kind for d in DETECTORS)
    assert len(rows) == 19
    assert "\nNineteen kinds." in README


def test_rules_examples_are_taken() -> None:
    """A rules file that a reader copies is one that is taken, as it stands, and says something."""
    assert TOML
    for text in TOML:
        assert parse_rules(text, "README.md") != parse_rules()


def test_the_rules_example_shows_every_way() -> None:
    """Whoever reads on needs no other place to learn how a rule is changed."""
    rules = [parse_rules(text) for text in TOML]
    each = [rule for found in rules for rule in found.named.values()]
    assert any(rule.overrides for rule in each)
    assert any(rule.cool_down for rule in each)
    assert any(rule.effective_from is not None for rule in each)
    assert any(
        rule.mode == "shadow" and not name.endswith("after_longer_talk")
        for found in rules
        for name, rule in found.named.items()
    )
    assert any(getattr(rule, "open", None) is not None for rule in each)
    for calendar in (c for found in rules for c in found.calendars.values()):
        assert calendar.holidays
        assert calendar.closed


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_reasons(reason: str) -> None:
    """Whoever writes an alert rule finds every reason for which a friction can end."""
    assert f"`{reason}`" in _section("For alerting systems")


@pytest.mark.parametrize(
    "word",
    ["group_open", "groupkey", "dedupkey", "suppressed", "replay", "opened", "retracted", "provisional", "final_at"],
)
def test_words_for_alerting(word: str) -> None:
    """What decides whether somebody is woken up is told."""
    assert re.search(rf"`(data\.)?{word}`", _section("For alerting systems"))


@pytest.mark.parametrize("field", ["score", "outcome", "path", "amounts", "came_back", "contacts", "frictions"])
def test_journeys(field: str) -> None:
    """What a journey's numbers mean is told, and each is a field that there is."""
    assert field in JourneySnapshot.model_fields
    assert f"`{field}`" in _section("Journeys")


def _odd(what: str) -> str:
    (row,) = (row for row in _section("Kind to bad input").splitlines() if row.startswith("|") and what in row)
    return row


@pytest.mark.parametrize(("what", "reason"), [(row[0], row[2]) for row in REFUSED])
def test_what_is_refused(what: str, reason: str) -> None:
    """A sender finds what was wrong, and the word in the dead letter."""
    assert f"`{reason}`" in _odd(what)


@pytest.mark.parametrize("what", [row[0] for row in PLAIN])
def test_what_is_a_plain_touchpoint(what: str) -> None:
    """Who wonders why nothing was found finds that nothing could be."""
    assert re.search(r"\| (a plain touchpoint|plain touchpoints) \|$", _odd(what))


@pytest.mark.parametrize(("what", "found"), [(row[0], row[2].partition(" ")[0]) for row in STILL])
def test_what_is_taken_at_its_word(what: str, found: str) -> None:
    """Who wonders why something was found finds why."""
    row = _odd(what)
    assert "taken at its word" in row
    assert f"`{found}`" in row if found else "no friction" in row


def test_lives() -> None:
    """How long entries live by default is what the rules imply."""
    lives = {family: horizon // DAY for family, horizon in Tracker(parse_rules()).horizons.items()}
    assert lives["contact"] == lives["message"] == lives["case"]
    assert lives["digital"] == lives["order"]
    assert lives["process"] == lives["feedback"] == lives["relationship"]
    said = (
        f"contacts, messages and cases {lives['contact']} days, clicks and orders {lives['digital']}, "
        f"promises, feedback and relationship {lives['process']}, assets {lives['asset']:,}."
    )
    notes = " ".join(_section("Design notes").split())
    assert said in notes
    assert f"journeys ({Tracker(parse_rules()).journey_horizon // DAY} days)" in notes


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands(name: str) -> None:
    """Every command is named, with its whole name."""
    assert re.search(rf"`{name}[ `]", _section("Commands"))


def test_options() -> None:
    """The options that a command's row names are options of it."""
    for line in _section("Commands").splitlines():
        names = [name for name in COMMANDS if re.search(rf"`{name}[ `]", line)]
        for option in re.findall(r"--[a-z][a-z-]*", line) if line.startswith("|") else ():
            assert any(option in COMMANDS[name] for name in names), f"{option}: {line}"


@pytest.mark.parametrize("name", sorted(name for name in OBJECTS if name.startswith("volvere.")))
def test_views(name: str) -> None:
    """Every view that analysts may read is named."""
    assert f"\n| `{name}` |" in README


def test_links() -> None:
    """A link into the repository leads somewhere."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_what_is_not_yet_there_is_not_there() -> None:
    """What has come is not still announced."""
    missing = _section("Not yet")
    for word in ("business hours", "calendar", "detector", *(kind for kind in Rules.model_fields if kind != "time")):
        assert word not in missing
