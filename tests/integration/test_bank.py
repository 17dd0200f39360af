"""The public bank week through `volvere run`, as a user runs it, held to a plain count of the raw file."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import FRICTIONS, JOURNEYS
from tests import bank
from tests.bank import DAY, REAL_WEEK, Counts
from tests.command import ask, volvere
from tests.kafka import ApacheKafka, read_topic

EVERYTHING = """
SELECT count() AS contacts, countIf(c.abandoned) AS abandoned,
       countIf(c.abandoned AND c.abandoned_in = 'ivr') AS never_queued,
       countIf(seconds_since_previous <= 3600) AS hour,
       countIf(seconds_since_previous <= 86400) AS day,
       countIf(seconds_since_previous <= 7 * 86400) AS week,
       (SELECT count() FROM volvere.frictions WHERE kind = 'repeat_contact') AS repeat_contact,
       (SELECT count() FROM volvere.frictions WHERE kind = 'queue_abandoned') AS queue_abandoned,
       (SELECT count() FROM volvere.frictions WHERE kind = 'long_wait') AS long_wait,
       (SELECT count() FROM volvere.frictions) AS all_frictions,
       (SELECT count() FROM volvere.touchpoints) AS touchpoints,
       (SELECT count() FROM volvere.journeys) AS journeys
FROM volvere.contacts AS c
"""
LATE = '[time]\nlateness = "30d"\n'


class Bank:
    """One folder with a store, and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "clickhouse"
        self.row: dict[str, int] = {}

    def run(self, file: Path, form: str = "anonymous-bank", **options: Any) -> dict[str, Any]:
        """`volvere run` over a file; its summary. `rules`: the text of a rules file; the rest are settings."""
        more: list[object] = []
        if rules := options.pop("rules", ""):
            path = self.folder / "rules.toml"
            path.write_text(rules)
            more = ["--rules", path]
        done = volvere(self.folder, "run", file, "--format", form, "--json", *more, clickhouse=self.store, **options)
        assert done.err == ""
        summary: dict[str, Any] = json.loads(done.out)
        return summary

    def counts(self, summary: dict[str, Any]) -> Counts:
        """What the store answers, as the plain count says it; `row` then has that and how many rows the views have."""
        (row,) = ask(self.folder, EVERYTHING, self.store)
        self.row = row
        assert row["all_frictions"] == row["repeat_contact"] + row["queue_abandoned"] + row["long_wait"]
        assert summary["frictions"] == {k: row[k] for k in ("long_wait", "queue_abandoned", "repeat_contact")}
        asked = {name: row[name] for name in Counts.__dataclass_fields__ if name != "left_out"}
        return Counts(left_out=sum(summary["left_out"].values()), **asked)


@pytest.fixture(scope="module")
def week(data: Path) -> Path:
    """The file of the real week."""
    return data / bank.WEEK


@pytest.fixture(scope="module")
def rows(week: Path) -> list[bank.Row]:
    """Its raw rows."""
    return bank.read(week)


@pytest.fixture(scope="module")
def converted(week: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The week as touchpoints, a JSON line each."""
    folder = tmp_path_factory.mktemp("converted")
    return volvere(folder, "convert", week, "--format", "anonymous-bank").out.splitlines()


def file_of(folder: Path, lines: list[str]) -> Path:
    """A file of these lines."""
    path = folder / "touchpoints.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_real_week_again_and_under_other_rules(week: Path, rows: list[bank.Row], tmp_path: Path) -> None:
    """The promised numbers; the same after a second run into the same store; and with changed rules the new ones stand."""
    here = Bank(tmp_path)
    first = here.run(week)
    assert here.counts(first) == bank.count(rows) == REAL_WEEK
    assert (first["read"], first["too_late"], first["refused"], first["problems"]) == (33_755, 0, {}, [])
    before = here.row
    assert here.counts(here.run(week)) == REAL_WEEK
    assert here.row == before

    rules = """\
[repeat_contact]
window = "36h"
[queue_abandoned]
short_abandon = "30s"
[long_wait]
limits = { voice = "200s" }
"""
    changed = bank.count(rows, window=36 * 3600, short_abandon=30, limit=200)
    assert here.counts(here.run(week, rules=rules)) == changed
    assert changed.repeat_contact < REAL_WEEK.repeat_contact
    for view in ("contacts", "touchpoints", "journeys"):
        assert here.row[view] == before[view]


def test_the_real_week_shuffled(converted: list[str], tmp_path: Path) -> None:
    """Order does not matter, as long as nothing is too late: here lateness is raised."""
    random.Random(3).shuffle(converted := list(converted))
    here = Bank(tmp_path)
    summary = here.run(file_of(tmp_path, converted), "touchpoints", rules=LATE)
    assert summary["too_late"] == 0
    assert here.counts(summary) == Counts(**vars(REAL_WEEK) | {"left_out": 0})


def test_the_real_week_doubled(converted: list[str], tmp_path: Path) -> None:
    """Twice is once: every line stands in the file twice."""
    here = Bank(tmp_path)
    summary = here.run(file_of(tmp_path, [line for line in converted for _ in range(2)]), "touchpoints")
    assert (summary["read"], summary["repeated"]) == (2 * len(converted), len(converted))
    assert here.counts(summary) == Counts(**vars(REAL_WEEK) | {"left_out": 0})
    assert here.row["touchpoints"] == len(converted)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_bank_that_never_was(seed: int, rows: list[bank.Row], tmp_path: Path) -> None:
    """Other times, types and customers, some days late: the store answers what a plain count of the rows says."""
    other = bank.perturbed(rows, seed, size=2_500)
    here = Bank(tmp_path)
    counted = bank.count(other)
    assert here.counts(here.run(bank.write(tmp_path / "other.csv", other))) == counted
    assert min(vars(counted).values()) > 10  # a count of nothing would prove nothing


@pytest.mark.kafka
def test_the_real_week_on_apache_kafka(
    week: Path, apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """With transactions the same numbers; played again into the same Kafka, nothing is said that was said before."""
    here = Bank(tmp_path)
    where: dict[str, Any] = {
        "kafka": apache_kafka.bootstrap,
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
        "partitions": 8,
    }

    def said() -> list[tuple[int, int]]:
        return [
            (len(records), max(r.offset for r in records))
            for topic in (FRICTIONS, JOURNEYS)
            for records in [read_topic(apache_kafka.bootstrap, topic_prefix + topic.name)]
        ]

    first = here.run(week, **where)
    assert here.counts(first) == REAL_WEEK
    before, published = here.row, said()
    second = here.run(week, **where)
    assert (second["read"], second["repeated"]) == (33_755, 33_755)
    assert said() == published
    assert here.counts(second) == REAL_WEEK
    assert here.row == before


def test_wrong_rows_are_refused_one_by_one(rows: list[bank.Row], tmp_path: Path) -> None:
    """Each wrong row is told with its line, column and what was expected; the others are counted as ever."""
    good = rows[:400]
    wrong: list[tuple[dict[str, str], str]] = [
        ({"outcome": "[/GONE]"}, 'outcome: expected AGENT, HANG or PHANTOM; got "[/GONE]"'),
        ({"date": "06.06.1999"}, "date: expected a date such as 1999-06-06"),
        ({"vru_entry": "25:61:00"}, "vru_entry: expected a time of day such as 9:05:00"),
        ({"q_time": "soon"}, "q_time: expected a whole number, 0 or more"),
    ]
    broken = [rows[500] | changes for changes, _ in wrong]
    path = bank.write(tmp_path / "broken.csv", [*good[:200], *broken, *good[200:]])
    with path.open("ab") as file:
        file.write(b"AA0101,1\nAA0101,\xff\xfe\n")
    done = volvere(tmp_path, "run", path, "--format", "anonymous-bank", "--fresh")
    for number, (_, message) in enumerate(wrong, 202):
        assert f"refused line {number}: {message}" in done.err
    assert "refused: a field has a wrong type or value" in done.out
    (row,) = ask(tmp_path, "SELECT count() AS contacts FROM volvere.contacts", tmp_path / "volvere-data")
    assert row["contacts"] == bank.count(good).contacts

    done = volvere(tmp_path, "convert", path, "--format", "anonymous-bank")
    assert done.err.count("refused") == len(wrong) + 2
    assert re.search(r"^line 406 refused: \w+: the row ends before this column", done.err, re.MULTILINE)
    assert "line 407 refused: expected UTF-8" in done.err
    assert done.err.count("left out") == bank.count(good).left_out


def test_wrong_columns_stop_before_anything_is_sent(rows: list[bank.Row], tmp_path: Path) -> None:
    """A file that is not the bank's is one message that names the columns."""
    path = bank.write(tmp_path / "half.csv", [{k: v for k, v in rows[0].items() if k not in ("q_time", "server")}])
    done = volvere(tmp_path, "run", path, "--format", "anonymous-bank", code=2)
    assert "half.csv: line 1 is not the header of this format: without q_time, server; expected the columns" in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]
    whole = bank.write(tmp_path / "whole.csv", rows[:3])
    assert "read it with --format anonymous-bank" in volvere(tmp_path, "run", whole, code=2).err


def test_a_window_of_a_day(rows: list[bank.Row]) -> None:
    """The plain count itself: by hand on five calls."""
    call = next(r for r in rows if r["outcome"] == "HANG" and bank.queued(r)) | {"customer_id": "A", "q_time": "6"}
    times = [("06", "9:00:00"), ("06", "9:59:59"), ("07", "9:00:00"), ("07", "9:59:58"), ("14", "10:00:00")]
    calls = [call | {"date": f"1999-06-{day}", "vru_entry": clock} for day, clock in times]
    assert bank.count(calls, window=DAY) == Counts(5, 0, 5, 0, 2, 3, 3, 3, 5, 0)
