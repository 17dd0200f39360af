"""The pages in docs/: what they name exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.topics import TOPICS
from tests.unit.test_readme import COMMANDS
from volvere.doctor import broker, machine, store
from volvere.settings import PREFIX, Settings, load

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text("utf-8")
GUIDES = ("engineers", "install", "configure", "deploy", "secure", "scale", "upgrade", "backup", "troubleshoot")
OTHERS = {"complete"}
"""A variable that the shell's completion reads; those of tests begin with TEST_."""
each_page = pytest.mark.parametrize("name", PAGES)


def _anchors(text: str) -> set[str]:
    """The names under which a page's headings can be reached."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links(name: str) -> None:
    """A link leads to a file that is there, and to a heading that is in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        file = (ROOT / "docs" / path) if path else ROOT / "docs" / name
        assert file.exists(), link
        assert not anchor or anchor in _anchors(file.read_text("utf-8")), link


@each_page
def test_settings(name: str) -> None:
    """A variable that a page names is a setting."""
    named = {word.lower() for word in re.findall(rf"\b{PREFIX}(?!TEST_)([A-Z][A-Z_]*[A-Z])\b", PAGES[name])}
    assert named <= Settings.model_fields.keys() | OTHERS


@each_page
def test_commands(name: str) -> None:
    """A command that a page tells to run is one, with the options that it is given."""
    text = PAGES[name]
    code = [*re.findall(r"^    (?!.*=)(.*)$", text, re.MULTILINE), *re.findall(r"`([^`\n]+)`", text)]
    for line in code:
        told = re.match(r"(?:\S*/)?volvere ((?:[a-z]+ ?)+)?(.*)", line)
        if told is None or not told[1]:
            continue
        words = told[1].split()
        known = [n for k in range(1, len(words) + 1) if (n := " ".join(["volvere", *words[:k]])) in COMMANDS]
        assert known, line
        for option in re.findall(r"--[a-z][a-z-]*", told[2]):
            assert option in COMMANDS[known[0]], line


def test_every_check_of_the_doctor_is_told() -> None:
    """Who reads a verdict finds what was looked at; what is no check any more is not told."""
    settings = [
        load(kafka="embedded", clickhouse="./store"),
        load(kafka="kafka:9092", clickhouse="http://clickhouse:8123"),
    ]
    there = {check.name for check in machine.CHECKS} | {"settings"}
    there |= {check.name for s in settings for check in (*broker.checks(s), *store.checks(s))}
    table = PAGES["troubleshoot.md"].partition("| check |")[2].partition("\n\n")[0]
    told = {
        word
        for row in table.splitlines()
        if row.startswith("| `")
        for word in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    assert told == there


def test_every_topic_is_told() -> None:
    """Who has to allow and to keep them finds all of them."""
    table = PAGES["architecture.md"].partition("| topic |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == {topic.name for topic in TOPICS}


@pytest.mark.parametrize("guide", [*GUIDES, "analysts", "architecture"])
def test_guides(guide: str) -> None:
    """What an engineer or an analyst has to know has a page, and the front page leads to it."""
    assert f"(docs/{guide}.md" in README
    assert guide not in GUIDES[1:] or f"({guide}.md)" in PAGES["engineers.md"]
