"""Settings: where they come from, what is said of wrong ones, and that every one is documented."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from volvere import security
from volvere.cli import app
from volvere.settings import PREFIX, Settings, SettingsProblem, example, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_env_example_lists_every_setting_with_default_and_description() -> None:
    """Who copies the file sees every setting there is. `make schemas` writes it anew."""
    committed = (ROOT / ".env.example").read_text("utf-8")
    assert committed == example()
    for name, field in Settings.model_fields.items():
        assert f"#{PREFIX}{name.upper()}=" in committed
        assert field.description and field.description in committed


def test_the_example_with_every_line_in_force_changes_nothing(tmp_path: Path) -> None:
    """The defaults that the file shows are the defaults."""
    lines = [line.removeprefix("#") for line in example().splitlines() if line.startswith(f"#{PREFIX}")]
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
    assert load() == Settings.model_construct()


def test_defaults_need_no_server() -> None:
    """Without any setting everything runs embedded, in few partitions."""
    settings = load()
    assert settings.kafka_is_embedded and settings.clickhouse_is_embedded
    assert settings.partition_count == 4
    assert load(kafka="kafka:9092").partition_count == 48
    assert load(kafka="kafka:9092", partitions=7).partition_count == 7


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An operator can overrule what is deployed, for one command."""
    (tmp_path / ".env").write_text(
        "VOLVERE_KAFKA=file:1\nVOLVERE_TOPIC_PREFIX=file.\nVOLVERE_APPLICATION=file\n", "utf-8"
    )
    monkeypatch.setenv("VOLVERE_KAFKA", "env:1")
    monkeypatch.setenv("VOLVERE_APPLICATION", "")
    monkeypatch.setenv("VOLVERE_TOPIC_PREFIX", "env.")
    settings = load(kafka="a:1, b:2", topic_prefix=None)
    assert (settings.kafka, settings.topic_prefix) == ("a:1,b:2", "env.")
    assert settings.application == "file", "an empty variable is not set"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KAFKA", "kafka", "expected \"embedded\" or addresses such as kafka-1:9092,kafka-2:9092; got 'kafka'"),
        ("KAFKA", "kafka:99999", "expected"),
        ("KAFKA", "a:1,,b:2", "expected"),
        ("CLICKHOUSE", "clickhouse://db", "expected a folder, or a URL such as http://clickhouse:8123"),
        ("PARTITIONS", "many", "expected a valid integer"),
        ("PARTITIONS", "0", "expected greater than or equal to 1; got '0'"),
        ("TRANSACTIONS", "yes", "expected 'auto', 'on' or 'off'; got 'yes'"),
        ("APPLICATION", "my app", "expected"),
        ("TRACES_TO", "collector:4318", "expected a URL such as http://collector:4318; got 'collector:4318'"),
        ("LOG_FORMAT", "xml", "expected 'console' or 'json'; got 'xml'"),
        ("FLUSH_AFTER_MS", "0", "expected greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_one_line_with_variable_and_expectation(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """Who mistyped a variable reads its name and what would do, not a traceback."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsProblem) as problem:
        load()
    text = str(problem.value)
    assert text.startswith(f"{PREFIX}{name}: expected")
    assert expected in text and "\n" not in text


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three mistakes take one attempt to find, not three."""
    for name, value in (("KAFKA", "x"), ("PARTITIONS", "-1"), ("LOG_LEVEL", "loud")):
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsProblem) as problem:
        load()
    assert [line.split(":")[0] for line in str(problem.value).splitlines()] == [
        "VOLVERE_KAFKA",
        "VOLVERE_PARTITIONS",
        "VOLVERE_LOG_LEVEL",
    ]


def test_heartbeats_that_cannot_keep_the_session_are_refused() -> None:
    """A worker with such settings would lose its partitions again and again."""
    with pytest.raises(SettingsProblem, match="VOLVERE_HEARTBEAT_INTERVAL_S: expected at most a third"):
        load(session_timeout_s=6, heartbeat_interval_s=5)


def test_a_name_that_is_no_setting_is_a_mistake_of_ours() -> None:
    """A command's option that no setting takes would otherwise do nothing, silently."""
    with pytest.raises(TypeError, match="kafak"):
        load(kafak="a:1")


def test_the_password_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    """Secrets come from mounted files, and do not leak into logs."""
    assert load(clickhouse_password="hunter2").secret("clickhouse_password") == "hunter2"
    assert "hunter2" not in repr(load(clickhouse_password="hunter2"))
    secret = tmp_path / "secret"
    settings = load(clickhouse_password="hunter2", clickhouse_password_file=str(secret))
    with pytest.raises(SettingsProblem, match=r"VOLVERE_CLICKHOUSE_PASSWORD_FILE: .*secret: No such file"):
        settings.secret("clickhouse_password")
    secret.write_text("correct horse\n", "utf-8")
    assert settings.secret("clickhouse_password") == "correct horse"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"clickhouse_cluster": "main"}, "VOLVERE_CLICKHOUSE_CLUSTER: expected the URL of a server"),
        (
            {"clickhouse_cold_after_days": 30},
            "VOLVERE_CLICKHOUSE_COLD_AFTER_DAYS: expected VOLVERE_CLICKHOUSE_STORAGE_POLICY",
        ),
        (
            {"clickhouse_cold_after_days": 90, "clickhouse_keep_days": 90, "clickhouse_storage_policy": "tiered"},
            "VOLVERE_CLICKHOUSE_COLD_AFTER_DAYS: expected less than VOLVERE_CLICKHOUSE_KEEP_DAYS (90); got 90",
        ),
        ({"clickhouse_keep_days": 7}, "VOLVERE_CLICKHOUSE_KEEP_DAYS: expected greater than or equal to 30"),
    ],
)
def test_a_store_that_makes_no_sense_is_refused(given: dict[str, Any], line: str) -> None:
    """Who asks for what the others rule out is told which."""
    with pytest.raises(SettingsProblem) as problem:
        load(**given)
    assert str(problem.value).startswith(line)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (
            {"kafka_user": "ana"},
            ["VOLVERE_KAFKA_USER: expected VOLVERE_KAFKA_SECURITY sasl_ssl or sasl_plaintext beside it"],
        ),
        (
            {"kafka_ca_file": "ca.pem"},
            ["VOLVERE_KAFKA_CA_FILE: expected VOLVERE_KAFKA_SECURITY ssl or sasl_ssl beside it"],
        ),
        ({"kafka_security": "ssl", "kafka_password_file": "secret"}, ["VOLVERE_KAFKA_PASSWORD: expected"]),
        (
            {"kafka_security": "sasl_ssl"},
            [
                "VOLVERE_KAFKA_SASL_MECHANISM: expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, since",
                "VOLVERE_KAFKA_USER: expected a value, since VOLVERE_KAFKA_SECURITY is sasl_ssl",
                "VOLVERE_KAFKA_PASSWORD: expected a value",
            ],
        ),
        (
            {"kafka_security": "ssl", "kafka_key_file": "k.pem"},
            ["VOLVERE_KAFKA_KEY_FILE: expected VOLVERE_KAFKA_CERT_FILE"],
        ),
        ({"kafka_sasl_mechanism": "GSSAPI"}, ["VOLVERE_KAFKA_SASL_MECHANISM: expected 'PLAIN', 'SCRAM-SHA-256' or"]),
        (
            {"clickhouse": "http://ana:hunter2@ch:8123", "clickhouse_ca_file": "ca.pem"},
            ["VOLVERE_CLICKHOUSE_CA_FILE: expected an https URL in VOLVERE_CLICKHOUSE; got http://***@ch:8123"],
        ),
        (
            {"clickhouse": "https://ch:8443", "clickhouse_key_file": "k.pem"},
            ["VOLVERE_CLICKHOUSE_KEY_FILE: expected VOLVERE_CLICKHOUSE_CERT_FILE beside it"],
        ),
        ({"kafka": "ana:hunter2@kafka"}, ["VOLVERE_KAFKA: expected"]),
        ({"clickhouse": "clickhouse://ana:hunter2@ch"}, ["VOLVERE_CLICKHOUSE: expected"]),
    ],
)
def test_security_that_makes_no_sense_is_refused(given: dict[str, str], lines: list[str]) -> None:
    """Who forgot half of it is told so, rather than going on with less security; what is told shows no password."""
    with pytest.raises(SettingsProblem) as problem:
        load(**given)
    told = str(problem.value).splitlines()
    assert len(told) == len(lines)
    assert all(line.startswith(wanted) for line, wanted in zip(told, lines, strict=True)), told
    assert "hunter2" not in str(problem.value)


def test_the_embedded_broker_asks_for_nothing() -> None:
    """Settings of a guarded Kafka do not stand in the way of a demo."""
    settings = load(kafka="embedded", kafka_security="ssl", kafka_ca_file="nowhere.pem")
    assert security.kafka(settings) == security.OPEN


def test_config_show_says_what_is_in_force_and_from_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator who wonders why a setting does nothing sees each value and its source, and never a secret."""
    (tmp_path / ".env").write_text(
        "VOLVERE_APPLICATION=file\nVOLVERE_TOPIC_PREFIX=file.\nVOLVERE_KAFKA=file:1\nVOLVERE_KAFKA_PASSWORD=hunter2\n"
    )
    for name, value in {
        "KAFKA": "env:1",
        "TOPIC_PREFIX": "env.",
        "KAFKA_SECURITY": "sasl_ssl",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_USER": "ana",
        "CLICKHOUSE": "http://ana:hunter2@ch:8123/db",
        "RULES": "",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)
    app(["config", "show", "--kafka", "option:1", "--format", "json"], standalone_mode=False)
    text = capsys.readouterr().out
    lines = {line["setting"]: (line["value"], line["source"]) for line in json.loads(text)}
    assert set(lines) == {PREFIX + name.upper() for name in Settings.model_fields}
    assert lines["VOLVERE_KAFKA"] == ("option:1", "option")
    assert lines["VOLVERE_TOPIC_PREFIX"] == ("env.", "environment")
    assert lines["VOLVERE_APPLICATION"] == ("file", ".env")
    assert lines["VOLVERE_FLUSH_AFTER_MS"] == (50, "default")
    assert lines["VOLVERE_RULES"] == (None, "default"), "an empty variable is not set"
    assert lines["VOLVERE_KAFKA_PASSWORD"] == ("set", ".env")
    assert lines["VOLVERE_CLICKHOUSE_PASSWORD"] == ("not set", "default")
    assert lines["VOLVERE_CLICKHOUSE"] == ("http://***@ch:8123/db", "environment")
    app(["config", "show"], standalone_mode=False)
    assert "hunter2" not in text + capsys.readouterr().out
