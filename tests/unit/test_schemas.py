"""The published JSON Schemas are the models' own, and judge the examples as the code does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from schemas import registry
from schemas.friction import FrictionEvent, friction_id
from schemas.incident import IncidentEvent
from schemas.journey import JourneySnapshot
from schemas.topics import TOPICS
from streams import events

EXAMPLES = Path(registry.__file__).parent / "examples"
PLAIN = [
    path
    for name in ("touchpoints", "operations")
    for path in sorted((EXAMPLES / "valid" / name).glob("*.json"))
    if not path.name.startswith(("cloudevent-", "lenient-"))
]
"""Touchpoints as a careful producer sends them; what is only tolerated is not in the schema."""


def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(registry.path(name).read_text("utf-8")), format_checker=FormatChecker())


def test_committed_schemas_are_those_of_the_models() -> None:
    """Consumers generate code from these files: they may not lag behind. `make schemas` writes them."""
    assert registry.drifted() == []
    assert {path.name for path in registry.FOLDER.glob("*.json")} == {
        registry.path(name).name for name in registry.SCHEMAS
    }


def test_every_model_on_a_topic_has_a_schema() -> None:
    """A new topic with a model cannot be forgotten in the published schemas."""
    published = {model for _, model in registry.SCHEMAS.values()}
    assert {topic.model for topic in TOPICS if topic.model} | {IncidentEvent} == published  # which webhooks receive


@pytest.mark.parametrize("name", registry.SCHEMAS)
def test_schemas_are_sound_and_name_themselves(name: str) -> None:
    """Every schema is valid draft 2020-12, with an id and a title, and describes its fields' shapes."""
    schema = registry.schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:volvere:{name}:1"
    assert schema["title"] == registry.SCHEMAS[name][0]


def test_friction_events_name_the_published_schema() -> None:
    """A consumer that follows `dataschema` finds the schema under the same name."""
    assert registry.schema("friction")["$id"] == events.SCHEMA


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_valid_touchpoints_satisfy_the_schema(path: Path) -> None:
    """A producer who validates against the schema before sending is not stopped by mistake."""
    _validator("touchpoint").validate(json.loads(path.read_text("utf-8")))


def _invalid_fields() -> list[Any]:
    out = []
    for path in sorted((EXAMPLES / "invalid" / "touchpoints").glob("*.json")):
        case = json.loads(path.read_text("utf-8"))
        # Which days and years exist and how large an unknown field may be is beyond a schema.
        if case["reason"] in ("missing_field", "invalid_field") and "record" in case and "beyond_schema" not in case:
            out.append(pytest.param(case, id=path.stem))
    return out


@pytest.mark.parametrize("case", _invalid_fields())
def test_invalid_touchpoints_do_not_satisfy_the_schema(case: dict[str, Any]) -> None:
    """What the schema can say, it says: a producer learns of most mistakes before sending."""
    assert not _validator("touchpoint").is_valid(case["record"])


@pytest.mark.parametrize(
    ("folder", "name", "model"),
    [
        ("frictions", "friction", FrictionEvent),
        ("journeys", "journey", JourneySnapshot),
        ("incidents", "incident", IncidentEvent),
    ],
)
def test_examples_of_results_satisfy_model_and_schema(folder: str, name: str, model: Any) -> None:
    """Who builds a consumer from the examples builds it right."""
    paths = sorted((EXAMPLES / "valid" / folder).glob("*.json"))
    assert paths
    for path in paths:
        body = json.loads(path.read_text("utf-8"))
        model.model_validate(body)
        _validator(name).validate(body)
        assert set(body) == set(model.model_fields), "an example shows every field"


def test_the_example_friction_has_the_id_of_its_anchor() -> None:
    """`friction_id` can be computed by a consumer, in any language, as documented."""
    event = json.loads((EXAMPLES / "valid" / "frictions" / "dropped-call.json").read_text("utf-8"))
    data = event["data"]
    assert data["friction_id"] == str(friction_id(data["kind"], event["subject"], contact_id=data["contact_id"]))


def test_the_command_reports_drift_and_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI stops on drift and names the file; `make schemas` mends it; a wrong option is said."""
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "json")
    assert registry.main(["--check"]) == 1
    assert "differs from its model: friction.schema.json" in capsys.readouterr().out
    assert registry.main([]) == 0
    assert registry.main(["--check"]) == 0
    assert registry.main(["--chekc"]) == 2


def test_friction_ids_are_for_good() -> None:
    """An id that alerting systems have seen never changes under them."""
    assert str(friction_id("long_wait", "C17", contact_id="pbx-1")) == "e7638c41-0c41-5f3d-8029-f7ecc93713ab"
    stranger = friction_id("long_wait", "~contact/pbx-1", contact_id="pbx-1")
    assert str(stranger) == "c1146478-8aa4-5804-92d8-4c74e230b391"
    assert str(friction_id("slow_reply", "C17", source="s", event_id="e")) == "52ca004c-5085-5e15-a90d-d2c3caead296"
