"""No client of Kafka or ClickHouse is made without what lets it in: seen in the source, so that a new one cannot forget it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS = {"AIOKafkaProducer", "AIOKafkaConsumer", "KafkaAdminClient"}
FILES = sorted(path for folder in ("schemas", "streams", "sinks", "volvere") for path in (ROOT / folder).rglob("*.py"))


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, by the last word of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr, node


def _place(path: Path, call: ast.Call) -> str:
    return f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:150]}"


def test_every_client_of_kafka_takes_the_access() -> None:
    """A client that is made of an address alone works on a laptop, and on no guarded Kafka."""
    made = [(path, call) for path in FILES for name, call in _calls(path) if name in CLIENTS]
    assert len(made) >= 8
    forgot = [_place(path, call) for path, call in made if all(keyword.arg for keyword in call.keywords)]
    assert not forgot, "expected `**access` in:\n" + "\n".join(forgot)


def test_who_is_given_an_address_is_given_the_access() -> None:
    """What makes a client elsewhere (feed, watch, topics, the workers) gets the access beside the address of the settings."""
    addresses, passed = {"bootstrap", "kafka"}, {"access", "client", "consumer_options"}
    for path in FILES:
        for _, call in _calls(path):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            address = any(isinstance(value, ast.Attribute) and value.attr in addresses for value in given)
            handed = any(keyword.arg is None or keyword.arg in passed for keyword in call.keywords)
            handed |= any(
                isinstance(value, ast.Name | ast.Attribute) and "access" in ast.unparse(value) for value in given
            )
            assert not address or handed, f"expected the access beside the address in {_place(path, call)}"


def test_the_store_is_reached_with_its_certificates() -> None:
    """A client of the ClickHouse in the settings takes user, password and certificates from the one place."""
    made = [
        (path, call)
        for path in FILES
        for name, call in _calls(path)
        if name == "connect" and call.args and ast.unparse(call.args[0]).endswith("settings.clickhouse")
    ]
    assert len(made) >= 2
    forgot = [_place(path, call) for path, call in made if all(keyword.arg for keyword in call.keywords)]
    assert not forgot, "expected `**security.clickhouse(settings)` in:\n" + "\n".join(forgot)
