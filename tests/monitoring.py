"""What is delivered for monitoring: alert rules, pages, dashboards, as they lie in the repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy" / "prometheus" / "volvere.rules.yml"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "tests.yml"
PAGES = ROOT / "docs" / "runbook"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(encoding="utf-8"), re.MULTILINE)


@dataclass(frozen=True)
class Query:
    """One question of a dashboard."""

    board: str
    panel: str
    text: str
    legend: str
    kind: str


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those inside rows included."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries(datasource: str) -> list[Query]:
    """Every question to sources of this type, of all dashboards."""
    found = []
    for path in DASHBOARDS:
        for panel in panels(json.loads(path.read_text(encoding="utf-8"))):
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == datasource:
                    text = target.get("expr") or target["rawSql"]
                    found.append(Query(path.stem, panel["title"], text, target.get("legendFormat", ""), panel["type"]))
    return found
