"""JSON Schemas of everything that crosses a wire, generated from the models and committed.

`python -m schemas.registry` writes `schemas/json/`; with `--check` it writes nothing and ends
with 1 where a file drifted from its model. The models stay the contract: a JSON Schema cannot
say that a time lies after 1990, and a few such rules live in code only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from schemas.friction import FrictionEvent
from schemas.incident import IncidentEvent
from schemas.journey import JourneySnapshot
from schemas.touchpoint import Touchpoint

FOLDER = Path(__file__).parent / "json"

SCHEMAS: dict[str, tuple[str, type[BaseModel]]] = {
    "touchpoint": ("Touchpoint", Touchpoint),
    "friction": ("Friction event", FrictionEvent),
    "journey": ("Journey snapshot", JourneySnapshot),
    "incident": ("Incident event", IncidentEvent),
}
"""Name of the file, title, and the model that it is made from. The number in `$id` rises with a breaking change."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what producers send and consumers receive under this name."""
    title, model = SCHEMAS[name]
    body = model.model_json_schema(mode="validation")
    if model is Touchpoint:
        body["additionalProperties"] = True  # unknown fields are kept in `attributes`
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:volvere:{name}:1",
        **body,
        "title": title,
    }


def path(name: str) -> Path:
    """Where the schema of this name is committed."""
    return FOLDER / f"{name}.schema.json"


def text(name: str) -> str:
    """The schema as it is committed."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def drifted() -> list[str]:
    """Names of the schemas whose committed file is absent or differs from the model."""
    return [name for name in SCHEMAS if not path(name).is_file() or path(name).read_text("utf-8") != text(name)]


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m schemas.registry [--check]", file=sys.stderr)
        return 2
    names = drifted()
    for name in names:
        if not arguments:
            path(name).parent.mkdir(exist_ok=True)
            path(name).write_text(text(name), "utf-8")
        print(f"{'differs from its model' if arguments else 'written'}: {path(name).name}")
    if names and arguments:
        print("make schemas writes them anew", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
