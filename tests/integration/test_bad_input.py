"""Whatever is wrong, the user reads one clear message, nothing is lost, and the rest goes on."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

import schemas
from schemas.errors import REASONS
from schemas.topics import DEAD_LETTERS, TOUCHPOINTS
from schemas.touchpoint import MAX_RECORD
from tests.command import ask, running, volvere
from tests.kafka import Record, read_topic
from volvere.embedded import EmbeddedBroker

INVALID = sorted((Path(schemas.__file__).parent / "examples" / "invalid" / "touchpoints").glob("*.json"))
GOOD: dict[str, Any] = {
    "source": "pbx",
    "event_id": "1",
    "customer_id": "ana",
    "kind": "contact.started",
    "channel": "voice",
    "occurred_at": "2025-01-06T05:03:20Z",
    "contact_id": "pbx/1",
}
SOON = 30
"""Seconds within which a command must say that it cannot do what it was asked; most take two."""


def wrong(folder: Path, *args: object, **settings: Any) -> str:
    """What a command says that must end with exit code 2; the message is on standard error, without a traceback."""
    started = time.monotonic()
    done = volvere(folder, *args, code=2, ends_within=SOON, **settings)
    assert time.monotonic() - started < SOON
    assert "Traceback" not in done.said
    assert done.out == ""
    return done.err


def lines_of_examples() -> list[tuple[bytes, str, str, str]]:
    """Every wrong example as a line, with the reason, field and message that it must have."""
    found = []
    for path in INVALID:
        told = json.loads(path.read_text("utf-8"))
        raw: str = told["raw"] if "raw" in told else json.dumps(told["record"])
        line = raw.encode("utf-8", "surrogatepass").strip()
        if line and b"\n" not in line:
            found.append((line, told["reason"], told["field"], told["message"]))
    return found


def good(number: int) -> bytes:
    """A line that is right."""
    return json.dumps(GOOD | {"event_id": str(number), "contact_id": f"pbx/{number}"}).encode()


@pytest.fixture
def lasting(embedded_broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> dict[str, Any]:
    """Settings for a broker that outlives the command, with its topics made."""
    where: dict[str, Any] = {
        "kafka": embedded_broker.bootstrap,
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
        "partitions": 4,
        "session_timeout_s": 4,
        "heartbeat_interval_s": 1,
    }
    volvere(tmp_path, "topics", "create", **where)
    return where


async def _produce(bootstrap: str, topic: str, values: list[bytes | None]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"somebody", partition=1)


def test_every_wrong_record_is_a_dead_letter_and_the_rest_goes_on(lasting: dict[str, Any], tmp_path: Path) -> None:
    """Each wrong record stands in the dead-letter topic byte for byte, with its reason and where it came from."""
    prefix, bootstrap = lasting["topic_prefix"], lasting["kafka"]
    expected = [
        *lines_of_examples(),
        (b"\xff\xfe{}", "not_json", "", "expected UTF-8"),
        (json.dumps(GOOD | {"element": "x" * MAX_RECORD}).encode(), "too_large", "", "expected at most 65,536"),
        (json.dumps(GOOD | {"element": "x" * 700_000}).encode(), "too_large", "", "expected at most 65,536"),
        (
            json.dumps(GOOD | {"occurred_at": "2199-01-01T00:00:00Z"}).encode(),
            "future",
            "occurred_at",
            "after the record",
        ),
        (json.dumps(GOOD | {"channel": "[/red]"}).encode(), "invalid_field", "channel", "[/red]"),
    ]
    # No line of a file can be empty, or be nothing: other producers send such values.
    asyncio.run(_produce(bootstrap, prefix + TOUCHPOINTS.name, [b"", None]))
    expected_raw: list[tuple[bytes | None, str, str, str]] = [
        *expected, (b"", "not_json", "", ""), (None, "not_json", "", "no value"),
    ]  # fmt: skip
    lines = [line for n, (bad, *_) in enumerate(expected) for line in (good(n), bad)]
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    done = volvere(tmp_path, "run", path, "--json", **lasting)
    summary = json.loads(done.out)

    reasons = Counter(reason for _, reason, _, _ in expected_raw)
    assert summary["refused"] == reasons
    assert summary["read"] == len(lines) + 2
    assert len(summary["problems"]) == 5
    assert summary["problems"][0].startswith("line 2: ")

    letters = read_topic(bootstrap, prefix + DEAD_LETTERS.name, quiet_ms=2_000)
    sources = {(r.partition, r.offset): r for r in read_topic(bootstrap, prefix + TOUCHPOINTS.name, quiet_ms=2_000)}
    assert Counter(r.value for r in letters) == Counter(raw for raw, *_ in expected_raw)
    by_value: dict[bytes | None, list[Record]] = {}
    for letter in letters:
        by_value.setdefault(letter.value, []).append(letter)
        headers = {name: value.decode() for name, value in letter.headers}
        source = sources[int(headers["partition"]), int(headers["offset"])]
        assert (headers["topic"], source.value, source.key) == (prefix + TOUCHPOINTS.name, letter.value, letter.key)
        assert headers["time"].endswith("Z")
    for raw, reason, field, message in expected_raw:
        headers = {name: value.decode() for name, value in by_value[raw].pop().headers}
        assert (headers["reason"], headers["field"]) == (reason, field)
        assert message in headers["message"]
        assert headers["message"]

    (row,) = ask(tmp_path, "SELECT count() AS contacts FROM volvere.contacts", tmp_path / "volvere-data")
    assert row["contacts"] == len(expected)


def test_the_summary_names_reasons_and_lines(tmp_path: Path) -> None:
    """Whoever mends the file is told what is wrong with which line, whatever stands in it; the rest is stored."""
    bad = [b"not json", b'{"source":"pbx"}', b"[1]", json.dumps(GOOD | {"channel": "[/red]"}).encode()]
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join([good(1), *bad, b"", good(2), *([b"{]"] * 3), b"{" + b" " * 5_000_000 + b"}"]))
    done = volvere(tmp_path, "run", path)
    assert f"refused: {REASONS['not_json']}" in done.out
    assert f"refused: {REASONS['too_large']}" in done.out
    assert "refused line 2: expected a JSON object" in done.err
    assert "refused line 3: event_id: is required" in done.err
    assert "refused line 5: channel: string should match pattern" in done.err
    assert "[/red]" in done.err
    assert done.err.splitlines()[-1] == "and 3 more"
    (row,) = ask(tmp_path, "SELECT count() AS n FROM volvere.touchpoints", tmp_path / "volvere-data")
    assert row["n"] == 2


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    """A field that we do not know is no error: it is asked for among the attributes."""
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps(GOOD | {"branch": "Haifa", "floor": 3}) + "\n")
    assert volvere(tmp_path, "run", path).err == ""
    (row,) = ask(tmp_path, "SELECT toJSONString(attributes) AS a FROM volvere.touchpoints", tmp_path / "volvere-data")
    assert "Haifa" in row["a"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[time\n", ["rules.toml", "not TOML", "line 1"]),
        ('[time]\nlateness = "soon"\n', ["rules.toml:2", "time.lateness", 'expected a duration such as "500ms"']),
        ("\n[time]\nlateness = 5\n", ["rules.toml:3", "time.lateness", "expected a duration"]),
        ('[tiem]\nlateness = "5d"\n', ["rules.toml:1", "tiem", "unknown key; expected one of", "time"]),
        ('[repeat_contact]\nwindoww = "5d"\n', ["rules.toml:2", "repeat_contact.windoww", "unknown key", "window"]),
        ('[long_wait]\nmode = "loud"\n', ["rules.toml:2", "long_wait.mode", "'live', 'shadow' or 'off'"]),
    ],
)
def test_a_rules_file_is_judged_before_anything_happens(text: str, named: list[str], tmp_path: Path) -> None:
    """The message names file, line and key, and what was expected there."""
    (tmp_path / "rules.toml").write_text(text)
    (tmp_path / "one.jsonl").write_bytes(good(1))
    said = wrong(tmp_path, "run", "one.jsonl", "--rules", "rules.toml")
    assert [part for part in named if part not in said] == []
    assert said.count("\n") == 1
    assert not (tmp_path / "volvere-data").exists()


def test_a_rules_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, or no text: its name, and what was expected; for a worker as for a run."""
    (tmp_path / "one.jsonl").write_bytes(good(1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "missing.toml: cannot be read: No such file" in wrong(
        tmp_path, "run", "one.jsonl", "--rules", "missing.toml"
    )
    assert "cannot be read: Is a directory" in wrong(tmp_path, "run", "one.jsonl", rules=tmp_path)
    said = wrong(tmp_path, "worker", "all", "--rules", "binary")
    assert "binary: cannot be read: it is not text; expected a TOML file" in said


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """No such file, an empty one, a folder, or one that is no text: one message, and nothing is made."""
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"PK\x03\x04\0\0")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b\x08broken")
    for command in ("run", "convert"):
        form = ["--format", "touchpoints"]
        assert "gone.jsonl: no such file" in wrong(tmp_path, command, "gone.jsonl", *form)
        assert "empty is empty; expected one touchpoint a line, as JSON" in wrong(tmp_path, command, "empty", *form)
    assert "is a folder; name one file in it" in wrong(tmp_path, "run", tmp_path)
    assert "binary is not text" in wrong(tmp_path, "run", "binary")
    assert "broken.gz: the gzip data is damaged" in wrong(tmp_path, "run", "broken.gz")
    assert not (tmp_path / "volvere-data").exists()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address on loopback where nobody answers."""
    with socket.socket() as bound:  # bound, but it does not listen
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_a_broker_that_is_not_there(nobody: str, tmp_path: Path) -> None:
    """Its address and what to do, once, for every command that needs one."""
    (tmp_path / "one.jsonl").write_bytes(good(1))
    for command in (["run", "one.jsonl"], ["worker", "track"]):
        said = wrong(tmp_path, *command, "--kafka", nobody)
        assert said.startswith(f"no Kafka broker answers at {nobody}")
        assert "VOLVERE_KAFKA" in said
        assert said.count("\n") == 1


def test_topics_that_are_not_there(embedded_broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> None:
    """Before the topics are made a worker says which are missing, and how to make them."""
    said = wrong(tmp_path, "worker", "track", kafka=embedded_broker.bootstrap, topic_prefix=topic_prefix)
    assert f"topic {topic_prefix}touchpoints: expected any partitions; found not there" in said
    assert "run `volvere topics create`" in said


def test_commands_that_need_a_broker_of_others(tmp_path: Path) -> None:
    """The embedded broker lives and dies with one command: `watch` and the like say so, and what to do."""
    said = wrong(tmp_path, "watch")
    assert "`volvere watch` needs a Kafka that others reach" in said
    assert "--kafka HOST:PORT" in said


def test_a_clickhouse_that_is_not_there(nobody: str, tmp_path: Path) -> None:
    """Its address, and nothing else of what libraries say about it."""
    (tmp_path / "one.jsonl").write_bytes(good(1))
    for command in (["run", "one.jsonl"], ["query", "SELECT 1"]):
        said = wrong(tmp_path, *command, "--clickhouse", f"http://{nobody}")
        assert said.startswith(f"ClickHouse at http://{nobody} does not answer; is it running")
        assert said.count("\n") == 1
    assert "there is no store in ./volvere-data; fill one with `volvere run FILE`" in wrong(
        tmp_path, "query", "SELECT 1"
    )


def test_a_folder_that_another_process_uses(tmp_path: Path) -> None:
    """A store that is open elsewhere is not touched; the message says who has it."""
    (tmp_path / "one.jsonl").write_bytes(good(1))
    with running(tmp_path, "worker", "all") as other:
        other.line(lambda line: "Kafka is at" in line)
        for command in (["run", "one.jsonl"], ["query", "SELECT 1"]):
            said = wrong(tmp_path, *command)
            assert "is in use by another process" in said
            assert f"last opened by process {other.pid}" in said
            assert "choose another folder" in said


def test_a_question_that_is_wrong(tmp_path: Path) -> None:
    """ClickHouse's own words, without its trail; and a store is asked, never changed."""
    (tmp_path / "one.jsonl").write_bytes(good(1))
    volvere(tmp_path, "run", "one.jsonl")
    said = wrong(tmp_path, "query", "SELECT nosuch FROM volvere.contacts")
    assert "Unknown expression identifier `nosuch`" in said
    assert said.count("\n") == 1
    assert "expected one question (SELECT" in wrong(tmp_path, "query", "DROP TABLE volvere_store.touchpoints")
    assert "expected one question (SELECT" in wrong(tmp_path, "query", "SELECT 1; DROP TABLE volvere_store.touchpoints")
    assert ask(tmp_path, "SELECT count() AS n FROM volvere.touchpoints", "volvere-data") == [{"n": 1}]


def test_settings_and_options_that_are_wrong(tmp_path: Path) -> None:
    """The variable or option, and what was expected."""
    (tmp_path / "one.jsonl").write_bytes(good(1))
    assert 'VOLVERE_KAFKA: expected "embedded" or addresses' in wrong(tmp_path, "run", "one.jsonl", kafka="here")
    assert "VOLVERE_CLICKHOUSE: expected a folder, or a URL" in wrong(
        tmp_path, "query", "SELECT 1", clickhouse="ftp://x"
    )
    assert "No such option: --nosuch" in wrong(tmp_path, "run", "one.jsonl", "--nosuch")
    assert "'xml' is not one of" in wrong(tmp_path, "query", "SELECT 1", "--format", "xml")
    assert "No such command 'rnu'" in wrong(tmp_path, "rnu", "one.jsonl")
