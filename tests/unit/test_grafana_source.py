"""Grafana's data source is a reader's, and holds no secret."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "clickhouse.yaml"


def test_the_data_source() -> None:
    """It is YAML of Grafana's form, for the plugin, with the reader that grants.sql makes, and a password from the environment."""
    told = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert told["apiVersion"] == 1
    (source,) = told["datasources"]
    assert source["type"] == "grafana-clickhouse-datasource"
    assert source["uid"] == "volvere-clickhouse"
    data = source["jsonData"]
    assert data["defaultDatabase"] == "volvere"
    assert f"CREATE USER IF NOT EXISTS {data['username']} " in (ROOT / "sinks" / "grants.sql").read_text(
        encoding="utf-8"
    )
    assert list(source["secureJsonData"]) == ["password"]
    for value in (data["host"], data["port"], data["secure"], *source["secureJsonData"].values()):
        assert value.startswith("${VOLVERE_GRAFANA_") and value.endswith("}")
