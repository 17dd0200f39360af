"""Alert rules, runbook, dashboards and metrics hold together: each alert has its page and its tests, each name is one that is served."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring import ALERTS, DASHBOARDS, PAGES, ROOT, RULE_TESTS, RULES, panels
from volvere.metrics import METRICS

SERVED = {m.name for m in METRICS} | {
    m.name + end for m in METRICS if m.kind == "histogram" for end in ("_bucket", "_sum", "_count")
}
DATABASE = "volvere_store"
TEXTS = [RULES, RULE_TESTS, ROOT / "README.md", *sorted(PAGES.glob("*.md")), *DASHBOARDS]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_metric_that_is_named_is_served(path: Path) -> None:
    """Nobody waits for an alert, or looks at a panel, that can never show anything."""
    named = set(re.findall(r"\bvolvere(?:_[a-z]+)+\b", path.read_text(encoding="utf-8"))) - {DATABASE}
    assert named - SERVED == set()


def test_there_are_alerts() -> None:
    """What the tests below go through is not empty, and named once."""
    assert len(ALERTS) == len(set(ALERTS)) > 15


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_page(alert: str) -> None:
    """Whoever is woken up reads what it means, how to look and what to do."""
    rule = RULES.read_text(encoding="utf-8").partition(f"- alert: {alert}\n")[2].partition("- alert:")[0]
    assert f"runbook_url: docs/runbook/{alert}.md\n" in rule
    assert re.search(r"^ +summary: '.{10,}'$", rule, re.MULTILINE)
    assert re.search(r"^ +description: '.{20,}'$", rule, re.MULTILINE)
    assert re.search(r"labels: \{severity: (critical|warning|info)\}", rule)
    page = (PAGES / f"{alert}.md").read_text(encoding="utf-8")
    head, looks, does = re.split(r"\n## How to look\n|\n## What to do\n", page)
    assert head.startswith(f"# {alert}\n\n")
    assert all(len(part) > 40 for part in (head, looks, does))
    assert all((PAGES / link).resolve().exists() for link in re.findall(r"\]\(([^)#]+)\)", page))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_both_ways(alert: str) -> None:
    """Each is shown to fire, and to be quiet where it should be (tests/integration/test_monitoring.py runs these)."""
    text = RULE_TESTS.read_text(encoding="utf-8")
    fires, quiet = (
        text.partition(f"- name: {alert} {how}\n")[2].partition("- name:")[0] for how in ("fires", "is quiet")
    )
    assert f"alertname: {alert}\n" in fires and "exp_labels:" in fires
    assert f"alertname: {alert}\n" in quiet and "exp_alerts: []" in quiet


def test_no_page_without_an_alert() -> None:
    """A page that no alert leads to is out of date."""
    assert sorted(path.stem for path in PAGES.glob("*.md")) == sorted(ALERTS)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_as_grafana_wants_it(path: Path) -> None:
    """What Grafana needs of a dashboard's JSON: a uid, a schema version, ids and places of their own, sources that are defined."""
    board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == path.stem and re.fullmatch(r"[A-Za-z0-9_-]{1,40}", board["uid"])
    assert board["schemaVersion"] >= 36 and board["title"] and isinstance(board["tags"], list)
    assert {"from", "to"} == board["time"].keys()
    variables = {variable["name"]: variable["type"] for variable in board["templating"]["list"]}
    assert "datasource" in variables.values()
    everything = list(panels(board))
    ids = [panel["id"] for panel in everything]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in {"stat", "timeseries", "table"} and panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs and len(set(refs)) == len(refs)
        for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
            name = source["uid"].removeprefix("${").removesuffix("}")
            assert source["uid"] == f"${{{name}}}" and variables[name] == "datasource"
            (defined,) = [v for v in board["templating"]["list"] if v["name"] == name]
            assert defined["query"] == source["type"]
        for target in panel["targets"]:
            text = target.get("expr") or target["rawSql"]
            named = set(re.findall(r"\$\{?(?!_)(\w+)", text))
            assert named <= variables.keys()
