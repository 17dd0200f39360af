"""Where things are: the one settings class, read from the environment and from `.env`.

What counts as friction stands in the rules file; there is no third place. An option on the
command line wins over the environment, the environment over `.env`. `.env.example` is printed
by this module (`python -m volvere.settings`), and a test fails when it drifts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationError, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from schemas.topics import DEFAULT_PARTITIONS, EMBEDDED_PARTITIONS

EMBEDDED = "embedded"
PREFIX = "VOLVERE_"
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})")


class SettingsProblem(Exception):
    """A setting has a value that cannot be used. One line a setting: its variable and what was expected."""


def _kafka(value: str) -> str:
    if value == EMBEDDED:
        return value
    addresses = [part.strip() for part in value.split(",")]
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match[1]) < 65536:
            raise ValueError('expected "embedded" or addresses such as kafka-1:9092,kafka-2:9092')
    return ",".join(addresses)


def _clickhouse(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if separator and (scheme not in ("http", "https") or not rest):
        raise ValueError("expected a folder, or a URL such as http://clickhouse:8123")
    return value


def _listen(value: str) -> str:
    """As host:port; without a host it is this machine's loopback."""
    if not value:
        return value
    address = f"127.0.0.1:{value.removeprefix(':')}" if value.removeprefix(":").isdigit() else value
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match[1]) > 65535:
        raise ValueError("expected an address such as 127.0.0.1:9464, or a port")
    return address


_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
_Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,100}$")]


def _collector(value: str) -> str:
    if value and not re.match(r"https?://[^/]", value):
        raise ValueError("expected a URL such as http://collector:4318")
    return value


class Settings(BaseSettings):
    """Every setting of Volveré; the variable of `kafka` is `VOLVERE_KAFKA`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    kafka: Annotated[str, StringConstraints(min_length=1), AfterValidator(_kafka)] = Field(
        EMBEDDED, description='"embedded" (a broker in memory, for one command), or addresses: host:port,host:port'
    )
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="what Kafka's addresses ask for: plaintext, ssl, sasl_plaintext or sasl_ssl"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="how to log in, with sasl_plaintext and sasl_ssl: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_user: str | None = Field(None, description="user on Kafka, with sasl_plaintext and sasl_ssl")
    kafka_password: SecretStr = Field(SecretStr(""), description="its password")
    kafka_password_file: Path | None = Field(
        None, description="a file that holds the password, such as a mounted secret; wins over the password"
    )
    kafka_ca_file: Path | None = Field(
        None,
        description="who signed the brokers' certificates (PEM), with ssl and sasl_ssl; none: whom the system trusts",
    )
    kafka_cert_file: Path | None = Field(
        None, description="our certificate with its chain (PEM), where the brokers ask for one"
    )
    kafka_key_file: Path | None = Field(
        None, description="its private key (PEM); none: it is in the file of the certificate"
    )
    kafka_key_password: SecretStr = Field(SecretStr(""), description="the key's password, if it has one")
    kafka_key_password_file: Path | None = Field(
        None, description="a file that holds the key's password; wins over the password"
    )
    clickhouse: Annotated[str, StringConstraints(min_length=1), AfterValidator(_clickhouse)] = Field(
        "./volvere-data", description="a folder (ClickHouse's engine in this process), or the URL of a server"
    )
    clickhouse_user: str = Field("default", description="user on the ClickHouse server")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="its password")
    clickhouse_password_file: Path | None = Field(
        None, description="a file that holds the password, such as a mounted secret; wins over the password"
    )
    clickhouse_ca_file: Path | None = Field(
        None, description="who signed the server's certificate (PEM), with an https URL; none: whom the system trusts"
    )
    clickhouse_cert_file: Path | None = Field(
        None,
        description="our certificate with its chain (PEM), where the server asks for one; without a password it is the login",
    )
    clickhouse_key_file: Path | None = Field(
        None, description="its private key (PEM, without a password); none: it is in the file of the certificate"
    )
    clickhouse_cluster: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.{}-]{1,100}$")] | None = Field(
        None, description="name of a cluster whose replicas all hold the tables; none: a single server, or a folder"
    )
    clickhouse_keep_days: Annotated[int, Field(ge=30, le=20_000)] | None = Field(
        None, description="days that ClickHouse keeps touchpoints, journeys and frictions; none: for ever (*)"
    )
    clickhouse_storage_policy: _Name | None = Field(
        None, description="storage policy of these tables, one of the server's; none: as it is (*)"
    )
    clickhouse_cold_after_days: Annotated[int, Field(ge=1, le=20_000)] | None = Field(
        None, description="days after which rows move to the policy's cold volume; none: never (*)"
    )
    clickhouse_cold_volume: _Name = Field(
        "cold", description="name of that volume. (*): `volvere store migrate` makes it so, workers do not"
    )
    rules: Path | None = Field(None, description="the rules file (TOML); none: the rules that come with Volveré")
    alert_routes: Path | None = Field(
        None, description="the routes file (TOML) of `worker alert`: who is told of what (docs/alerting.md)"
    )
    alert_resend_s: float = Field(
        60, ge=1, le=300, description="how often Alertmanager is told again what goes on, seconds"
    )
    application: _Name = Field("volvere", description="begins the names of consumer groups and transactional ids")
    topic_prefix: _Prefix = Field("", description="put before every topic's name")
    partitions: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None,
        description=f"partitions of new topics; none: {DEFAULT_PARTITIONS}, on the embedded broker "
        f"{EMBEDDED_PARTITIONS}. Fixed for the life of the data",
    )
    replication: Annotated[int, Field(ge=1, le=32)] | None = Field(
        None, description="replicas of new topics; none: the broker's default"
    )
    transactions: Literal["auto", "on", "off"] = Field(
        "auto", description="one transaction a flush; auto: where the broker has them"
    )
    session_timeout_s: float = Field(
        15, ge=2, le=1800, description="a worker that was not heard of for so long loses its partitions, seconds"
    )
    heartbeat_interval_s: float = Field(1, ge=0.1, le=600, description="between two heartbeats, seconds")
    instance_id: _Name | None = Field(
        None,
        description="this worker's name, which no other has, the same after a restart (its pod's): the others then hardly notice a "
        "restart within the session timeout, but wait for it after a stop for good",
    )
    transaction_timeout_ms: int = Field(
        15_000, ge=1000, le=900_000, description="longer than any flush may take, milliseconds"
    )
    flush_records: int = Field(
        20_000,
        ge=1,
        description="a flush at so many records while behind; far behind at so many customers, and up to 16 times the records",
    )
    flush_bytes: int = Field(8 * 1024 * 1024, ge=65_536, description="or at so many bytes")
    flush_after_ms: int = Field(
        50, ge=1, le=60_000, description="or so long after the first change at the end of the log, milliseconds"
    )
    idle_end_ms: int = Field(
        200, ge=10, le=60_000, description="on the embedded broker: nothing for so long is the end, milliseconds"
    )
    stop_within_s: float = Field(
        25, ge=1, le=3600, description="a worker that was told to stop and has not by then is ended, seconds"
    )
    input_silent_after_s: float = Field(
        900,
        ge=1,
        le=86_400,
        description="when no partition gets a record for so long, no time passes, and it is said, seconds",
    )
    fuse: Literal["on", "off"] = Field(
        "on", description="on: a worker stops when nearly nothing of any source can be read; off: it goes on"
    )
    fetch_bytes: int = Field(
        1024 * 1024, ge=65_536, le=50 * 1024 * 1024, description="most that one fetch brings of a partition, bytes"
    )
    metrics_listen: Annotated[str, AfterValidator(_listen)] = Field(
        "",
        description="where a worker serves metrics and health: host:port, or a port of this machine alone (loopback); none: nowhere",
    )
    traces_to: Annotated[str, AfterValidator(_collector)] = Field(
        "",
        description="the OpenTelemetry collector that workers send traces to (OTLP over HTTP), such as http://collector:4318; "
        "none: no traces. The variables OTEL_... say the rest (docs/configure.md)",
    )
    stuck_after_s: float = Field(
        300, ge=2, le=86_400, description="a worker that has work and does not get on with it for so long ends, seconds"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["console", "json"] = Field(
        "console", description="console (for people), or json (for machines)"
    )

    @model_validator(mode="after")
    def _heartbeats_fit(self) -> Self:
        if self.heartbeat_interval_s * 3 > self.session_timeout_s:
            raise ValueError(
                f"{PREFIX}HEARTBEAT_INTERVAL_S: expected at most a third of {PREFIX}SESSION_TIMEOUT_S "
                f"({self.session_timeout_s:g}); got {self.heartbeat_interval_s:g}"
            )
        return self

    @model_validator(mode="after")
    def _access_fits(self) -> Self:
        wrong = [*self._kafka_misfits(), *self._clickhouse_misfits()]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _kafka_misfits(self) -> Iterator[str]:
        """Settings that mean nothing beside the others, or are missing: rather than going on with less security."""
        security = self.kafka_security
        login, tls = security.startswith("sasl"), security.endswith("ssl")
        logins = ("kafka_sasl_mechanism", "kafka_user", "kafka_password")
        certificates = ("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_key_password")
        for name in (*(logins if not login else ()), *(certificates if not tls else ())):
            if self.has(name):
                fits = "sasl_ssl or sasl_plaintext" if name in logins else "ssl or sasl_ssl"
                yield f"{variable(name)}: expected {variable('kafka_security')} {fits} beside it; got {security}"
        for name in logins if login else ():
            if not self.has(name):
                means = "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512" if name == "kafka_sasl_mechanism" else "a value"
                yield f"{variable(name)}: expected {means}, since {variable('kafka_security')} is {security}"
        for name in ("kafka_key_file", "kafka_key_password") if tls and self.kafka_cert_file is None else ():
            if self.has(name):
                yield f"{variable(name)}: expected {variable('kafka_cert_file')} beside it"

    def _clickhouse_misfits(self) -> Iterator[str]:
        for name in ("clickhouse_ca_file", "clickhouse_cert_file", "clickhouse_key_file"):
            if self.has(name) and self.clickhouse.startswith("http://"):
                yield f"{variable(name)}: expected an https URL in {variable('clickhouse')}; got {masked(self.clickhouse)}"
        if self.clickhouse_cluster is not None and self.clickhouse_is_embedded:
            yield f"{variable('clickhouse_cluster')}: expected the URL of a server in {variable('clickhouse')}; got a folder"
        keep, cold = self.clickhouse_keep_days, self.clickhouse_cold_after_days
        if cold is not None and self.clickhouse_storage_policy is None:
            yield f"{variable('clickhouse_cold_after_days')}: expected {variable('clickhouse_storage_policy')} beside it"
        if cold is not None and keep is not None and cold >= keep:
            yield f"{variable('clickhouse_cold_after_days')}: expected less than {variable('clickhouse_keep_days')} ({keep}); got {cold}"
        if self.clickhouse_key_file is not None and self.clickhouse_cert_file is None:
            yield f"{variable('clickhouse_key_file')}: expected {variable('clickhouse_cert_file')} beside it"

    def has(self, name: str) -> bool:
        """Whether it is given; a password also by its file."""
        value = getattr(self, name)
        if isinstance(value, SecretStr):
            return bool(value.get_secret_value()) or getattr(self, f"{name}_file") is not None
        return bool(value)

    @property
    def kafka_is_embedded(self) -> bool:
        """Whether a broker is to be started in this machine's memory."""
        return self.kafka == EMBEDDED

    @property
    def clickhouse_is_embedded(self) -> bool:
        """Whether `clickhouse` names a folder, not a server."""
        return "://" not in self.clickhouse

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port that metrics and health are served at, if they are."""
        host, _, port = self.metrics_listen.rpartition(":")
        return (host.strip("[]"), int(port)) if host else None

    @property
    def partition_count(self) -> int:
        """Partitions that new topics get."""
        return self.partitions or (EMBEDDED_PARTITIONS if self.kafka_is_embedded else DEFAULT_PARTITIONS)

    def secret(self, name: str) -> str:
        """A password, such as `kafka_password`: from its file, if it has one. Raises SettingsProblem where that cannot be read."""
        path: Path | None = getattr(self, f"{name}_file")
        if path is None:
            secret: str = getattr(self, name).get_secret_value()
            return secret
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            why = e.strerror if isinstance(e, OSError) else "is not text"
            raise SettingsProblem(f"{variable(f'{name}_file')}: expected a readable file; {path}: {why}") from None


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def masked(value: str) -> str:
    """An address or URL as it may be shown: whoever wrote a login into it does not read it in a log."""
    head, at, address = value.rpartition("@")
    if not at:
        return value
    scheme, separator, _ = head.partition("://")
    return f"{scheme}{separator}***@{address}" if separator else f"***@{address}"


@dataclass(frozen=True)
class Shown:
    """One setting as it may be shown. value: a secret only as "set" or "not set".

    source: option, environment, .env or default.
    """

    variable: str
    value: str | int | float | None
    source: str


def shown(settings: Settings, **options: object) -> list[Shown]:
    """Every setting in force; options: those that were given to `load`."""
    given = {name for name, value in options.items() if value is not None}
    places = {"option": given, "environment": EnvSettingsSource(Settings)(), ".env": DotEnvSettingsSource(Settings)()}
    out = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = "set" if settings.has(name) else "not set"
        elif isinstance(value, str | Path):
            value = masked(str(value))
        source = next((place for place, names in places.items() if name in names), "default")
        out.append(Shown(variable(name), value, source))
    return out


def load(**options: object) -> Settings:
    """The settings; an option that is given and not None wins over the environment.

    Raises SettingsProblem, whose text has one line a wrong setting.
    """
    given = {name: value for name, value in options.items() if value is not None}
    unknown = given.keys() - Settings.model_fields.keys()
    if unknown:
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic judges the values
    except ValidationError as e:
        raise SettingsProblem(explain(e)) from None


def explain(error: ValidationError) -> str:
    """What is wrong with the settings: one line each, which names the variable and what was expected."""
    lines = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not problem["loc"]:
            lines.append(message)
            continue
        name = str(problem["loc"][0])
        expected = message if message.startswith("expected") else f"expected {message[0].lower()}{message[1:]}"
        got = "" if "password" in name else f"; got {masked(str(problem['input']))[:80]!r}"
        lines.append(f"{variable(name)}: {expected}{got}")
    return "\n".join(lines)


def example() -> str:
    """The text of `.env.example`: every setting with its default and what it means."""
    out = [
        "# Volveré's settings. Copy this file to .env and change what you need; what is commented out is the default."
    ]
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        out += ["", f"# {field.description}", f"#{variable(name)}={'' if default is None else default}"]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(example(), end="")
