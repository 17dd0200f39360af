"""A simulated company, whose troubles are known, through the whole job."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.command import COMMAND, ask, environment, volvere

STANDING = """
SELECT toString(friction_id) AS id, kind, subject, state, severity, opened_at, resolved_at, final_at
FROM volvere.frictions ORDER BY id
"""
JOURNEYS = "SELECT journey_id, subject, started_at, ended_at, contacts, frictions, score FROM volvere.journeys ORDER BY journey_id"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A company's file and its truth."""
    folder = tmp_path_factory.mktemp("company")
    told = volvere(folder, "simulate", "--customers", 200, "--days", 10, "--seed", 5, "--truth", folder / "truth.jsonl")
    (folder / "company.jsonl").write_text(told.out)
    truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    return folder / "company.jsonl", truth


def test_every_planted_trouble_is_found_and_no_near_miss(
    company: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """What must be found is, at the time that the truth says; what looks like it is not. Twice over: a run is repeatable."""
    file, truth = company
    volvere(tmp_path, "run", file)
    standing = ask(tmp_path, STANDING, "volvere-data")
    found = {f["id"]: f for f in standing}
    troubles = [p for p in truth if not p["near_miss"]]
    assert len({p["kind"] for p in troubles}) == 18, "all kinds but `at_risk`, which takes a month"
    assert [p for p in troubles if p["friction_id"] not in found] == []
    assert [p for p in truth if p["near_miss"] and p["friction_id"] in found] == []
    assert {p["friction_id"]: p["kind"] for p in troubles} == {
        p["friction_id"]: found[p["friction_id"]]["kind"] for p in troubles
    }
    journeys = ask(tmp_path, JOURNEYS, "volvere-data")
    assert len(journeys) > 50

    volvere(tmp_path, "run", file)
    assert ask(tmp_path, STANDING, "volvere-data") == standing
    assert ask(tmp_path, JOURNEYS, "volvere-data") == journeys


def test_fresh_forgets_what_stood_before(company: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """Without --fresh a second file adds to the store; with it only the second stands."""
    lines = company[0].read_text().splitlines(keepends=True)
    (tmp_path / "one.jsonl").write_text("".join(lines[:300]))
    (tmp_path / "two.jsonl").write_text("".join(lines[300:400]))
    rows = []
    for options in (["one.jsonl"], ["two.jsonl"], ["two.jsonl", "--fresh"]):
        volvere(tmp_path, "run", *options)
        rows += ask(tmp_path, "SELECT count() AS n FROM volvere.touchpoints", "volvere-data")
    assert [row["n"] for row in rows] == [300, 400, 100]


def test_the_summary_is_for_people_and_for_programs(company: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """Both say the same: what was read, what stands, what was written, how long it took."""
    file = company[0]
    count = len(file.read_text().splitlines())
    plain = json.loads(volvere(tmp_path, "run", file, "--json").out)
    assert plain["read"] == plain["rows"]["touchpoints"] == count
    assert plain["seconds"] < 60
    done = volvere(tmp_path, "run", file)
    assert done.err == ""
    told = dict(re.findall(r"^(\S.*?)  +([\d,.]+)$", done.out, re.MULTILINE))
    assert told["touchpoints read"] == told["rows written: touchpoints"] == f"{count:,}"
    for kind, standing in plain["frictions"].items():
        assert told[kind] == f"{standing:,}"


def test_a_file_from_a_pipe(company: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """`volvere simulate | volvere run -` needs no file."""
    text = "".join(company[0].read_text().splitlines(keepends=True)[:50])
    assert json.loads(volvere(tmp_path, "run", "-", "--json", stdin=text).out)["read"] == 50


def test_a_run_that_cannot_go_on_ends_at_once(tmp_path: Path) -> None:
    """Input without an end of which nothing can be read: the run stops reading it, says why, and its exit code is that of a stopped worker."""
    with subprocess.Popen(
        [*COMMAND, "run", "-"], cwd=tmp_path, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        with pytest.raises(BrokenPipeError):
            process.stdin.writelines(b"{}\n" * 100 for _ in range(20_000))
        said = process.stderr.read().decode()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    assert process.returncode == 4, said
    assert "stopped, so that nothing is corrupted" in said


def test_the_demo_shows_its_truth(tmp_path: Path) -> None:
    """Frictions, planted beside found, three answers; whole lines where there is no terminal; exit 0; no store is left."""
    done = volvere(tmp_path, "demo", "--seconds", 0, "--customers", 150, "--days", 9)
    assert done.err == ""
    lines = done.out.splitlines()
    assert re.fullmatch(r"A company with 150 customers over 9 days: [\d,]+ touchpoints", lines[1])
    events = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  (opened|updated|resolved) ", line)]
    assert len(events) >= 6
    assert "…" not in done.out
    table = [[c.strip() for c in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    truth = [row for row in table if len(row) == 6 and row[1].isdigit() and row[4].isdigit()]
    assert len({row[0] for row in truth}) >= 5
    assert all(planted == found and misses == silent for _, planted, found, misses, silent, _ in truth)
    assert done.out.count("\nSELECT ") == 3
    assert "Next: volvere run FILE" in lines[-1]
    assert not list(tmp_path.iterdir())
