"""The table of metrics: names as Prometheus's conventions have them, each documented, and what is rendered from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from volvere import metrics as m
from volvere.metrics import DOCUMENT, METRICS, Metric, Metrics, reference

LABELS = {
    *(
        "version",
        "python",
        "worker",
        "outcome",
        "reason",
        "kind",
        "severity",
        "event",
        "phase",
        "partition",
        "table",
        "topic",
        "receiver",
        "what",
    ),
}
"""What may be a label: words from lists of our own, partitions, and names that the operator chose."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_follows_the_conventions(metric: Metric) -> None:
    """Whoever knows Prometheus knows from the name what a number is; nothing that a sender wrote becomes a label."""
    assert re.fullmatch(r"volvere(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.kind != "histogram" or metric.name.endswith("_duration_seconds")
    assert not re.search(r"_(ms|millis|minutes|kb|mb|mib|percent|count|sum|bucket|created)(_|$)", metric.name)
    assert metric.help and not metric.help.endswith(".")
    assert set(metric.labels) <= LABELS


def test_names_are_unique_and_all_in_the_table() -> None:
    """A metric that the table forgets would be neither documented nor shown."""
    defined = [value for value in vars(m).values() if isinstance(value, Metric)]
    assert sorted(x.name for x in defined) == sorted(x.name for x in METRICS)
    assert len({x.name for x in METRICS}) == len(METRICS)


def test_the_page_is_printed_from_the_table() -> None:
    """docs/metrics.md says what there is. `make schemas` writes it anew."""
    assert DOCUMENT.is_relative_to(Path(__file__).parents[2])
    assert DOCUMENT.read_text(encoding="utf-8") == reference()


def test_what_is_read_is_what_is_told() -> None:
    """Values and labels arrive under their names, with help and type; durations in the buckets of the table."""
    read = [
        (m.RECORDS, ("merged",), 3),
        (m.READY, (), True),
        (m.RECORDS, ("too_late",), 1),
        (m.FRICTIONS, ("lemon", "critical", "opened"), 2),
    ]
    told = Metrics(lambda: read, [m.FLUSH])
    told.note(m.FLUSH, 0.3)
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(told.registry).decode())}
    records = families["volvere_track_records"]
    assert (records.type, records.documentation) == ("counter", m.RECORDS.help)
    assert [(s.labels, s.value) for s in records.samples] == [({"outcome": "merged"}, 3), ({"outcome": "too_late"}, 1)]
    (friction,) = families["volvere_track_frictions"].samples
    assert friction.labels == {"kind": "lemon", "severity": "critical", "event": "opened"}
    assert families["volvere_ready"].samples[0].value == 1
    buckets = {s.labels["le"]: s.value for s in families[m.FLUSH.name].samples if s.name.endswith("_bucket")}
    assert buckets["0.25"] == 0 and buckets["0.5"] == 1
    assert len(buckets) == len(m.FLUSH_BUCKETS) + 1
    assert "process_resident_memory_bytes" in families
