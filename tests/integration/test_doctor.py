"""`volvere doctor`: set-ups that are really broken, each named with what to do about it, by a check that says where.

On a real Apache Kafka with a listener for each way of being let in; ClickHouse is the engine behind an HTTP front.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from kafka.admin import NewTopic

from schemas.topics import FACTS, TOPICS
from sinks.clickhouse import connect, migrate, migrations
from streams.facts import CODEC
from streams.partition import CONTROL, Control
from tests.certificates import Certificates
from tests.command import COMMAND, environment
from tests.contract.chdb_http import ChdbHttp
from tests.kafka import PASSWORD, USER, ApacheKafka, read_topic
from tests.missing import missing
from volvere import topics
from volvere.alert import begin, load_routes
from volvere.doctor import Finding, diagnose
from volvere.embedded import EmbeddedBroker, free_port
from volvere.settings import PREFIX, load
from volvere.worker import Broker, wall

PARTITIONS = 2
HOUR = 3_600_000_000


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbHttp]:
    """A store that is up to date."""
    with ChdbHttp(tmp_path_factory.mktemp("clickhouse")) as front:
        client = connect(front.url)
        migrate(client)
        client.close()
        yield front


@dataclass
class Ward:
    """One set-up, all right to begin with: Kafka alone, since to look through ClickHouse takes a while. settings: its environment."""

    folder: Path
    kafka: ApacheKafka
    certificates: Certificates
    clickhouse: ChdbHttp
    settings: dict[str, object]
    repair: Callable[[], object] = lambda: None

    @property
    def prefix(self) -> str:
        """Of its topics."""
        return str(self.settings["topic_prefix"])

    def topic(self, name: str, partitions: int = PARTITIONS, **config: str) -> None:
        """Somebody makes a topic by hand, and then the others properly."""
        kinds = {topic.name: topic.config for topic in TOPICS}
        made = {key.replace("_", "."): value for key, value in config.items()}
        with topics.administer(self.kafka.bootstrap, {}) as admin:
            admin.create_topics([NewTopic(self.prefix + name, partitions, 1, topic_configs=kinds[name] | made)])
        self.topics()

    def topics(self) -> None:
        """`volvere topics create`."""
        topics.create(self.kafka.bootstrap, PARTITIONS, prefix=self.prefix)

    def state(self, **changes: Any) -> None:
        """A worker has been here and left a control record in partition 0, last of its flush."""
        self.topics()
        control = Control(0, wall(), wall(), 1, CODEC, PARTITIONS)
        value = msgspec.json.encode(msgspec.structs.replace(control, **changes))

        async def write() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap) as producer:
                await producer.send_and_wait(self.prefix + FACTS.name, value, key=CONTROL, partition=0)

        asyncio.run(write())

    def sql(self, statement: str, back: str = "") -> None:
        """Somebody changes the store by hand. back: what undoes it."""
        self.stored()
        self.clickhouse.run(statement, {})
        if back:
            self.repair = lambda: self.clickhouse.run(back, {})

    def file(self, name: str, text: str) -> str:
        """A file of its own."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def stored(self, **settings: object) -> None:
        """With ClickHouse alone."""
        self.settings |= {"kafka": "embedded", "clickhouse": self.clickhouse.url} | settings


@pytest.fixture
def ward(
    tmp_path: Path, guarded_kafka: ApacheKafka, certificates: Certificates, clickhouse: ChdbHttp, topic_prefix: str
) -> Iterator[Ward]:
    """A set-up, without topics so far."""
    settings: dict[str, object] = {
        "kafka": guarded_kafka.bootstrap,
        "clickhouse": str(tmp_path / "store"),
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
    }
    made = Ward(tmp_path, guarded_kafka, certificates, clickhouse, settings)
    yield made
    made.repair()


def examined(ward: Ward, now: Callable[[], int] = wall) -> list[Finding]:
    """What the doctor finds."""
    return diagnose(ward.settings, now)


def worst(found: list[Finding]) -> dict[str, str]:
    """The worst verdict of each check."""
    order = ("ok", "unknown", "doubtful", "wrong")
    out: dict[str, str] = {}
    for f in found:
        out[f.name] = max(out.get(f.name, "ok"), f.verdict, key=order.index)
    return out


def command(ward: Ward, code: int, *args: str) -> list[dict[str, str]]:
    """The findings as the command tells them to a program. code: the exit code that it must have."""
    ended = subprocess.run(
        [*COMMAND, "doctor", "--format", "json", *args],
        capture_output=True,
        cwd=ward.folder,
        env=environment(**ward.settings),
        timeout=120,
        check=False,
    )
    assert ended.returncode == code, ended.stdout.decode() + ended.stderr.decode()
    assert not ended.stderr, "what libraries say is no finding"
    answer: list[dict[str, str]] = json.loads(ended.stdout)
    return answer


# What is well


@pytest.mark.kafka
def test_nothing_is_wrong_where_all_is_well(ward: Ward) -> None:
    """Who asks after every deployment is not told of things that are as they should be, and nothing is left behind."""
    ward.topics()
    ward.settings["clickhouse"] = ward.clickhouse.url
    found = command(ward, 0)
    assert {f["name"]: f["verdict"] for f in found if f["verdict"] in ("wrong", "unknown")} == {}
    assert {f["name"] for f in found} > {"settings", "kafka.login", "kafka.clock", "kafka.state", "clickhouse.schema"}
    assert all(f["remedy"] for f in found if f["verdict"] != "ok")
    for topic in TOPICS:
        assert read_topic(ward.kafka.bootstrap, ward.prefix + topic.name) == []


@pytest.mark.kafka
def test_a_state_that_can_be_read_is_told(ward: Ward) -> None:
    """The generation and how far it is behind are the first questions when something is odd."""
    ward.state(generation=3)
    (said,) = [f for f in examined(ward) if f.name == "kafka.state"]
    assert said.verdict == "ok"
    assert "generation 3 in 1 of 2 partitions, at most 0 records behind" in said.found


# What is wrong


def login(**changes: object) -> dict[str, object]:
    """Somebody with a password, over TLS."""
    good: dict[str, object] = {"kafka_security": "sasl_ssl", "kafka_sasl_mechanism": "SCRAM-SHA-512"}
    return good | {"kafka_user": USER, "kafka_password": PASSWORD} | changes


def at_door(ward: Ward, door: str, **settings: object) -> None:
    """Through another listener, with its authority's certificate."""
    ward.settings |= {"kafka": ward.kafka.doors[door], "kafka_ca_file": ward.certificates.ca} | settings


def frozen(ward: Ward) -> None:
    """The broker's process is stopped: its port is open, and nobody answers."""
    ward.kafka.signal(signal.SIGSTOP)
    ward.repair = lambda: ward.kafka.signal(signal.SIGCONT)


def without_the_last_migration(ward: Ward) -> None:
    """A store of the release before."""
    last = migrations()[-1]
    table = "volvere_store.migrations"
    ward.sql(
        f"DELETE FROM {table} WHERE version = {last.version}",
        f"INSERT INTO {table} (version, name, digest) VALUES ({last.version}, '{last.name}', '{last.digest}')",
    )


def of_a_newer_release(ward: Ward) -> None:
    """A store that a newer release has migrated."""
    table = "volvere_store.migrations"
    ward.sql(
        f"INSERT INTO {table} (version, name, digest) VALUES (9999, '9999_future', 'x')",
        f"DELETE FROM {table} WHERE version = 9999",
    )


def of_an_old_server(ward: Ward) -> None:
    """ClickHouse was never upgraded."""
    ward.stored()
    ward.clickhouse.version = "25.8.1.1"
    ward.repair = lambda: setattr(ward.clickhouse, "version", None)


def locked(ward: Ward) -> None:
    """ClickHouse has another password than the settings."""
    ward.clickhouse.password = PASSWORD
    ward.stored(clickhouse_password="correct horse")
    ward.repair = lambda: setattr(ward.clickhouse, "password", None)


def without_a_view(ward: Ward) -> None:
    """Somebody has dropped one."""
    ward.sql("DROP VIEW volvere.frictions")

    def again() -> None:
        client = connect(ward.clickhouse.url)
        migrate(client, again=True)
        client.close()

    ward.repair = again


def hidden(ward: Ward) -> None:
    """Kafka was made anew, ClickHouse was not: what is found now is older than what stands there."""
    at = ward.settings["kafka"]
    ward.state(generation=1)
    ward.sql("INSERT INTO volvere_store.generations VALUES ('c-1', 5)", "TRUNCATE TABLE volvere_store.generations")
    ward.settings["kafka"] = at


def tiny_disk(ward: Ward) -> None:
    """The embedded ClickHouse's folder is on a file system of 4 MiB."""
    _mounted(ward, "size=4m")


def read_only_disk(ward: Ward) -> None:
    """The folder cannot be written to, not even by root."""
    _mounted(ward, "ro")


def _mounted(ward: Ward, options: str) -> None:
    folder = ward.folder / "mounted"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        missing("a file system can be mounted only by who may: run as root")
    ward.repair = lambda: subprocess.run(["umount", "--lazy", folder], check=True)
    ward.settings["clickhouse"] = str(folder / "store")


def taken_port(ward: Ward) -> None:
    """Somebody else, who is no worker, listens where metrics are to be served."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(60)

    def hang_up() -> None:
        with contextlib.suppress(OSError):  # it is closed in the end
            while True:
                listening.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()

    def close() -> None:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()

    ward.repair = close
    ward.settings["metrics_listen"] = str(listening.getsockname()[1])


@dataclass(frozen=True)
class Broken:
    """How it is broken, and which check says what, and what to do."""

    how: Callable[[Ward], object]
    check: str
    found: str
    remedy: str


BROKEN: dict[str, Broken] = {
    "a setting that is none": Broken(
        lambda w: w.settings.update(kafka="kafka"), "settings", "VOLVERE_KAFKA: expected", "correct VOLVERE_KAFKA"
    ),
    "a secret that was not mounted": Broken(
        lambda w: w.settings.update(clickhouse_password_file=w.folder / "nowhere"),
        "files",
        "VOLVERE_CLICKHOUSE_PASSWORD_FILE: ",
        "mount the file there for user",
    ),
    "an empty secret": Broken(
        lambda w: w.settings.update(clickhouse_password_file=w.file("secret", "\n")),
        "files",
        "is empty",
        "put the secret",
    ),
    "a key of another certificate": Broken(
        lambda w: at_door(
            w,
            "mutual",
            kafka_security="ssl",
            kafka_cert_file=w.certificates.client,
            kafka_key_file=w.certificates.server,
        ),
        "kafka.login",
        "expected the private key of the certificate in",
        "correct VOLVERE_KAFKA_KEY_FILE",
    ),
    "a broken rules file": Broken(
        lambda w: w.settings.update(rules=w.file("mine.toml", "[long_wait]\nlimit = 3\n")),
        "rules",
        "mine.toml:2",
        "`volvere rules check",
    ),
    "a receiver of no known kind": Broken(
        lambda w: w.settings.update(alert_routes=w.file("routes.toml", '[receivers.fax]\ntype = "fax"\n')),
        "routes",
        "routes.toml:",
        "`volvere alerts check",
    ),
    "a port that somebody else has": Broken(
        taken_port, "metrics", "VOLVERE_METRICS_LISTEN: cannot listen on 127.0.0.1:", "choose another port"
    ),
    "a certificate of ours that has expired": Broken(
        lambda w: at_door(w, "mutual", kafka_security="ssl", kafka_cert_file=w.certificates.old_client),
        "files",
        "old.pem has expired",
        "get a new one",
    ),
    "a session longer than the brokers allow": Broken(
        lambda w: w.settings.update(session_timeout_s=90),
        "kafka.session",
        "group.max.session.timeout.ms=60000; VOLVERE_SESSION_TIMEOUT_S is 90 s",
        "set VOLVERE_SESSION_TIMEOUT_S within",
    ),
    "a name that nobody knows": Broken(
        lambda w: w.settings.update(kafka="kafka.invalid:9092"), "kafka.name", "kafka.invalid", "correct VOLVERE_KAFKA"
    ),
    "Kafka is stopped": Broken(
        lambda w: w.settings.update(kafka=f"127.0.0.1:{free_port()}"),
        "kafka.port",
        "Connection refused",
        "start the broker",
    ),
    "Kafka is frozen": Broken(frozen, "kafka.brokers", "does not answer", "see to the broker's load"),
    "a wrong password": Broken(
        lambda w: at_door(w, "sasl", **login(kafka_password="correct horse")),
        "kafka.login",
        "refuses the login of user 'worker'",
        "check VOLVERE_KAFKA_USER and VOLVERE_KAFKA_PASSWORD",
    ),
    "an expired certificate": Broken(
        lambda w: at_door(w, "expired", kafka_security="ssl"), "kafka.login", "its certificate has expired", "renew it"
    ),
    "a certificate of nobody we trust": Broken(
        lambda w: at_door(w, "tls", kafka_security="ssl", kafka_ca_file=w.certificates.stranger),
        "kafka.login",
        "not signed by anybody whom we trust",
        "set VOLVERE_KAFKA_CA_FILE",
    ),
    "no TLS where there must be": Broken(
        lambda w: w.settings.update(kafka=w.kafka.doors["tls"]),
        "kafka.login",
        "speaks TLS",
        "set VOLVERE_KAFKA_SECURITY",
    ),
    "a broker that sends its clients astray": Broken(
        lambda w: w.settings.update(kafka=w.kafka.doors["astray"]),
        "kafka.brokers",
        "sends its clients to kafka.invalid:",
        "advertised.listeners",
    ),
    "no topics": Broken(lambda _: None, "kafka.topics", "found not there", "run `volvere topics create`"),
    "a topic with another count": Broken(
        lambda w: w.topic("frictions", 1), "kafka.topics", "found 1 partition", "`volvere rebuild --from clickhouse"
    ),
    "a topic with another clean-up": Broken(
        lambda w: w.topic("journeys", cleanup_policy="delete"),
        "kafka.topics",
        "found 2 partitions, cleanup.policy=delete",
        "--add-config cleanup.policy=compact`",
    ),
    "a topic with the producers' time": Broken(
        lambda w: w.topic("touchpoints", message_timestamp_type="CreateTime"),
        "kafka.topics",
        "message.timestamp.type=CreateTime",
        "--add-config message.timestamp.type=LogAppendTime`",
    ),
    "a topic for short records": Broken(
        lambda w: w.topic("facts", max_message_bytes="1000"), "kafka.limits", "max.message.bytes=1000", "--add-config"
    ),
    "a state of a newer release": Broken(
        lambda w: w.state(codec=CODEC + 1), "kafka.state", f"written with codec {CODEC + 1}", "upgrade it"
    ),
    "a rebuild that was interrupted": Broken(
        lambda w: w.state(rebuilding=True), "kafka.state", "a rebuild was interrupted", "run `volvere rebuild` again"
    ),
    "a state of other partitions": Broken(
        lambda w: w.state(partitions=7), "kafka.state", "built for 7 partitions, the topics have 2", "rebuild the state"
    ),
    "a state of touchpoints that are gone": Broken(
        lambda w: w.state(offset=1000), "kafka.state", "the state goes to offset 1000", "run `volvere rebuild`"
    ),
    "ClickHouse is stopped": Broken(
        lambda w: w.stored(clickhouse=f"http://127.0.0.1:{free_port()}"),
        "clickhouse.port",
        "Connection refused",
        "start ClickHouse",
    ),
    "another password than ClickHouse's": Broken(
        locked, "clickhouse.login", "refuses the login", "check user and password"
    ),
    "an old ClickHouse": Broken(of_an_old_server, "clickhouse.login", "is version 25.8.1.1", "expected 26.3 or newer"),
    "a migration is missing": Broken(
        without_the_last_migration, "clickhouse.schema", "is not applied", "run `volvere store migrate`"
    ),
    "a store of a newer release": Broken(
        of_a_newer_release, "clickhouse.schema", "comes from a newer release", "upgrade this installation"
    ),
    "a view was dropped": Broken(
        without_a_view, "clickhouse.schema", "volvere.frictions is missing", "run `volvere store migrate --again`"
    ),
    "a store that knows of a later generation": Broken(
        hidden, "clickhouse.generation", "the store has generation 5", "run `volvere rebuild"
    ),
    "a full disk": Broken(tiny_disk, "disk", "MiB are free in", "make room"),
    "a folder that is read-only": Broken(read_only_disk, "disk", "cannot be written to", "let user"),
    "a folder that is a file": Broken(
        lambda w: w.settings.update(clickhouse=w.file("store", "") + "/deeper"),
        "disk",
        "is no folder",
        "set VOLVERE_CLICKHOUSE",
    ),
}


@pytest.mark.kafka
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_with_what_to_do(ward: Ward, case: str) -> None:
    """One check says it is wrong, what it saw, and what to do; what rests on it is not guessed at, and no secret is shown."""
    broken = BROKEN[case]
    broken.how(ward)
    found = examined(ward)
    wrong = [f for f in found if f.verdict == "wrong"]
    assert {f.name for f in wrong} - {"kafka.topics"} <= {broken.check}, wrong
    assert any(f.name == broken.check and broken.found in f.found and broken.remedy in f.remedy for f in wrong), wrong
    assert all(f.remedy for f in found if f.verdict != "ok")
    told = repr(found)
    assert "correct horse" not in told and PASSWORD not in told


COMMANDED = ("an expired certificate", "a topic with another count", "a view was dropped")


@pytest.mark.kafka
@pytest.mark.parametrize("case", COMMANDED)
def test_the_command_ends_with_1(ward: Ward, case: str) -> None:
    """A deployment that asks the doctor first stops there, and a program can read why."""
    broken = BROKEN[case]
    broken.how(ward)
    wrong = [f for f in command(ward, 1) if f["verdict"] == "wrong"]
    assert any(f["name"] == broken.check and broken.found in f["found"] and broken.remedy in f["remedy"] for f in wrong)


@pytest.mark.kafka
@pytest.mark.parametrize("hours", [2, -2])
def test_a_clock_that_is_wrong_is_seen(ward: Ward, hours: int) -> None:
    """By the broker's clock time passes: one that is hours away from this machine's is found before customers are."""
    ward.topics()
    found = examined(ward, lambda: wall() + hours * HOUR)
    (clock,) = [f for f in found if f.name == "kafka.clock"]
    assert clock.verdict == "wrong"
    assert f"7,200 s {'ahead of' if hours > 0 else 'behind'} the broker's" in clock.found
    assert "NTP" in clock.remedy


@pytest.mark.kafka
def test_what_may_be_regretted_later_is_said(ward: Ward) -> None:
    """A password that everybody may read, a topic that forgets too soon, a door that takes any touchpoint twice, receivers whom nobody
    tells, a collector that is away: doubts, no faults.
    """
    secret = ward.file("secret", PASSWORD)
    Path(secret).chmod(0o644)
    ward.topic("touchpoints", retention_ms="86400000")
    at_door(ward, "sasl", **login(kafka_password=""), kafka_password_file=secret, transactions="off")
    receivers = "".join(
        f'[receivers.{name}]\ntype = "alertmanager"\nurl = "http://am:9093"\n' for name in ("old", "new")
    )
    routes = ward.file("routes.toml", f'{receivers}[[routes]]\nto = ["old", "new"]\n')
    told = load_routes(Path(routes))
    begin(
        load(kafka=ward.kafka.bootstrap, topic_prefix=ward.prefix, application=ward.settings["application"]),
        Broker(ward.kafka.bootstrap, trusted=True),
        [each for each in told if each.name == "old"],
    )
    ward.settings |= {"alert_routes": routes, "traces_to": f"http://127.0.0.1:{free_port()}"}
    found = examined(ward)
    verdicts = worst(found)
    doubtful = {name for name, verdict in verdicts.items() if verdict == "doubtful"}
    assert {"files", "kafka.limits", "kafka.transactions", "kafka.alerts", "traces"} <= doubtful
    assert [f.found for f in found if f.name == "kafka.alerts"] == [
        "nobody tells old, and 0 friction events wait at most",
        "new was never told of anything",
    ]
    assert "wrong" not in verdicts.values()


def test_a_broker_without_transactions(embedded_broker: EmbeddedBroker, tmp_path: Path, topic_prefix: str) -> None:
    """Where they were asked for, the workers would not be exact, and that is said before they start."""
    topics.create(embedded_broker.bootstrap, PARTITIONS, prefix=topic_prefix)
    where = {"kafka": embedded_broker.bootstrap, "topic_prefix": topic_prefix, "clickhouse": str(tmp_path / "store")}
    found = diagnose(where | {"transactions": "on"})
    assert [(f.found, f.remedy) for f in found if f.name == "kafka.transactions" and f.verdict == "wrong"] == [
        ("the broker has none", "use Apache Kafka, or set VOLVERE_TRANSACTIONS=auto")
    ]
    assert worst(diagnose(where))["kafka.transactions"] == "doubtful"


def test_too_few_files_may_be_opened(tmp_path: Path) -> None:
    """A limit of the shell or the container runtime shows only under load, at night."""
    ended = subprocess.run(
        [*COMMAND, "doctor", "--format", "json"],
        capture_output=True,
        cwd=tmp_path,
        env=environment(),
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)),
    )
    assert ended.returncode == 1
    (wrong,) = [f for f in json.loads(ended.stdout) if f["verdict"] == "wrong"]
    assert wrong["name"] == "open files"
    assert "may open 200 files" in wrong["found"] and wrong["remedy"] == "raise its hard limit"
