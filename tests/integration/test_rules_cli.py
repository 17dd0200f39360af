"""`volvere rules` as users run it, and a trial held to what `volvere run` finds in the same file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streams.rules import default_text, parse_rules
from tests.bank import REAL_WEEK, WEEK
from tests.command import volvere

STRICTER = '[long_wait.limits]\nvoice = "60s"\n[queue_abandoned]\nmode = "shadow"\n[repeat_contact]\nmode = "off"\n'


@pytest.mark.parametrize("command", ["rules show", "rules check", "rules explain", "rules try"])
def test_help_teaches(command: str, tmp_path: Path) -> None:
    """Every command says what it does and gives an example that can be copied."""
    text = re.sub(r"[\s│]+", " ", volvere(tmp_path, *command.split(), "--help").out)
    taught, _, _ = text.partition(" Options ")
    assert f"volvere {command}" in taught.replace("volvere.cli", "")
    assert len(taught) > 150


def test_show(tmp_path: Path) -> None:
    """The rules of --rules, of VOLVERE_RULES, or the defaults; whole as a file; for programs as JSON."""
    mine = tmp_path / "mine.toml"
    mine.write_text(STRICTER)
    assert "These are the defaults." in volvere(tmp_path, "rules", "show").out
    for done in (volvere(tmp_path, "rules", "show", "--rules", mine), volvere(tmp_path, "rules", "show", rules=mine)):
        assert "*limits.voice 60s [120s]" in done.out
        assert max(map(len, done.out.splitlines())) < 500
    assert volvere(tmp_path, "rules", "show", "--toml").out == default_text()
    whole = volvere(tmp_path, "rules", "show", "--toml", "--rules", mine).out
    assert parse_rules(whole) == parse_rules(STRICTER)
    told = json.loads(volvere(tmp_path, "rules", "show", "--json", "--rules", mine).out)
    assert told["rules"]["repeat_contact"]["mode"] == "off"


def test_check(tmp_path: Path) -> None:
    """A good file is OK and says what it changes, a doubtful one asks, a wrong one ends with 2 and every problem."""
    file = tmp_path / "mine.toml"
    file.write_text('[long_wait.limits]\nvoice = "60s"\n')
    done = volvere(tmp_path, "rules", "check", file)
    assert done.out.startswith("OK: 1 differs from the defaults\n  long_wait: limits.voice is 60s instead of 120s")
    assert done.err == ""
    file.write_text(STRICTER)
    done = volvere(tmp_path, "rules", "check", file)
    assert done.out.startswith("OK: 3 values differ")
    assert done.err.startswith("is this meant? repeat_contact.mode: off finds")
    file.write_text('[lemon]\nwindo = 3\n\nearly = "soon"\n')
    done = volvere(tmp_path, "rules", "check", file, code=2)
    assert sorted(line.split(": ")[:2] for line in done.err.splitlines()) == [
        [f"{file}:2", "lemon.windo"],
        [f"{file}:4", "lemon.early"],
    ]
    assert "cannot be read" in volvere(tmp_path, "rules", "check", "nowhere.toml", code=2).err


def test_explain(tmp_path: Path) -> None:
    """A kind in words and its values; of an unknown one all that there are."""
    text = volvere(tmp_path, "rules", "explain", "long_wait").out
    assert text.startswith("long_wait: Nobody answered in time.")
    assert "limits.voice" in text and "contact.queued voice billing" in text
    assert max(map(len, text.splitlines())) < 300
    wrong = re.sub(r"[\s│]+", " ", volvere(tmp_path, "rules", "explain", "lateness", code=2).err)
    assert "'long_wait'" in wrong and "'at_risk'" in wrong


def tried(folder: Path, data: object, *options: object) -> dict[str, Any]:
    """What `rules try` says as JSON of stricter rules."""
    (folder / "stricter.toml").write_text(STRICTER)
    done = volvere(folder, "rules", "try", "stricter.toml", "--on", data, "--json", *options)
    assert done.err == ""
    told: dict[str, Any] = json.loads(done.out)
    return told


def counts(told: dict[str, Any], under: str) -> dict[str, int]:
    """How many frictions by kind, as the summary of a run says it."""
    return {kind: c[under] for kind, c in told["frictions"].items() if c[under]}


def test_a_trial_finds_what_a_run_finds(tmp_path: Path) -> None:
    """Under both rules, kind by kind: on a company's file, in a shuffled one of which some is too late, and through a pipe."""
    company = volvere(tmp_path, "simulate", "--customers", 150, "--days", 20, "--seed", 4).out.splitlines(keepends=True)
    (tmp_path / "company.jsonl").write_text("".join(company))
    late = [*company[len(company) // 2 :], *company[: len(company) // 2]]
    (tmp_path / "late.jsonl").write_text("".join(late) + "no touchpoint\n")
    too_late = []
    for file in ("company.jsonl", "late.jsonl"):
        told = tried(tmp_path, file)
        too_late.append(told["too_late"]["present"])
        for rules, under in (([], "present"), (["--rules", "stricter.toml"], "new_rules")):
            run = json.loads(volvere(tmp_path, "run", file, "--fresh", "--json", *rules).out)
            assert run["frictions"] == counts(told, under)
            assert run["too_late"] == told["too_late"][under]
            assert run["refused"] == told["refused"]
            assert run["read"] == told["read"]
    assert too_late[0] == 0 < too_late[1]
    piped = volvere(tmp_path, "rules", "try", "stricter.toml", "--on", "-", stdin="".join(company))
    assert piped.err == ""
    assert "repeat_contact: 0 new" in piped.out


def test_a_trial_shows_what_was_refused(tmp_path: Path) -> None:
    """As `volvere run` shows it: counted in the table, the first lines on standard error."""
    (tmp_path / "mine.toml").write_text(STRICTER)
    done = volvere(tmp_path, "rules", "try", "mine.toml", "--on", "-", stdin='{"source": "pbx"}\nnonsense\n')
    assert re.findall(r"^refused line (\d):", done.err, re.MULTILINE) == ["1", "2"]
    assert re.search(r"^refused: .* 1$", done.out, re.MULTILINE)
    assert "No friction is found" in done.out
    assert "no such file" in volvere(tmp_path, "rules", "try", "mine.toml", "--on", "nowhere", code=2).err
    assert "nothing.toml" in volvere(tmp_path, "rules", "try", "nothing.toml", "--on", "-", code=2).err


def test_the_bank_week(data: Path, tmp_path: Path) -> None:
    """The public week under the defaults: the counts that a plain count of the raw file has."""
    told = tried(tmp_path, data / WEEK, "--format", "anonymous-bank")
    assert counts(told, "present") == {
        "long_wait": REAL_WEEK.long_wait,
        "queue_abandoned": REAL_WEEK.queue_abandoned,
        "repeat_contact": REAL_WEEK.repeat_contact,
    }
    assert told["frictions"]["queue_abandoned"]["new_rules_live"] == 0
    assert sum(told["left_out"].values()) == REAL_WEEK.left_out
