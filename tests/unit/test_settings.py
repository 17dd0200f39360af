"""Settings: where they come from, what is said of wrong ones, and that every one is documented."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
