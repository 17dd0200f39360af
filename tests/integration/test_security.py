"""TLS, logins and client certificates: what is let in works from end to end, what is not is told in one line.

On a real Apache Kafka with a listener for each way; ClickHouse is the engine behind an https front.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sinks.clickhouse import StoreProblem, connect, query
from tests.certificates import KEY_PASSWORD, Certificates
from tests.command import running, volvere
from tests.contract.chdb_http import ChdbHttp
from tests.kafka import PASSWORD, USER, ApacheKafka
from volvere import security, topics, worker
from volvere.settings import PREFIX, Settings, SettingsProblem, load
from volvere.simulator import Company
from volvere.topics import BrokerProblem

PARTITIONS = 4
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
WRONG = "correct horse"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder of the embedded engine, behind every front."""
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture
def https(engine: Path, certificates: Certificates) -> Iterator[ChdbHttp]:
    """ClickHouse with a certificate, and a password."""
    with ChdbHttp(engine, certificates.server_context(certificates.server)) as front:
        front.password = PASSWORD
        yield front


@pytest.fixture
def mutual(engine: Path, certificates: Certificates) -> Iterator[ChdbHttp]:
    """ClickHouse that asks for the client's certificate, too."""
    with ChdbHttp(engine, certificates.server_context(certificates.server, asks=True)) as front:
        yield front


def login(mechanism: str = "PLAIN", security: str = "sasl_ssl", **changes: object) -> dict[str, Any]:
    """Settings of somebody with a password."""
    good = {
        "kafka_security": security,
        "kafka_sasl_mechanism": mechanism,
        "kafka_user": USER,
        "kafka_password": PASSWORD,
    }
    return good | changes


def settings_at(kafka: ApacheKafka, certificates: Certificates, door: str, given: dict[str, Any]) -> Settings:
    """Settings for one of the doors. A value such as "@client" is the file of that name."""
    files = {k: getattr(certificates, v[1:]) if isinstance(v, str) and v[:1] == "@" else v for k, v in given.items()}
    if str(given.get("kafka_security", "")).endswith("ssl"):
        files = {"kafka_ca_file": certificates.ca} | files
    address = kafka.bootstrap if door == "plain" else kafka.doors[door.removeprefix("localhost ")]
    return load(kafka=address.replace("127.0.0.1", "localhost") if "localhost" in door else address, **files)


# What is let in


LET_IN: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{mechanism} over TLS": ("sasl", login(mechanism)) for mechanism in MECHANISMS},
    **{f"{mechanism} in the clear": ("clear", login(mechanism, "sasl_plaintext")) for mechanism in MECHANISMS},
    "TLS": ("tls", {"kafka_security": "ssl"}),
    "certificate": ("mutual", {"kafka_security": "ssl", "kafka_cert_file": "@client", "kafka_key_file": "@key"}),
    "certificate with its key": ("mutual", {"kafka_security": "ssl", "kafka_cert_file": "@client"}),
}


@pytest.mark.parametrize("case", LET_IN)
def test_who_may_comes_in(guarded_kafka: ApacheKafka, certificates: Certificates, topic_prefix: str, case: str) -> None:
    """Every way that the settings offer opens its door, to the admin client and to the others."""
    door, given = LET_IN[case]
    settings = settings_at(guarded_kafka, certificates, door, given | {"topic_prefix": topic_prefix, "partitions": 1})
    with worker.broker(settings) as at:
        assert at.trusted
        assert PASSWORD not in repr(at) + repr(worker.track_config(settings, at)) + repr(settings)


def _stored(front: ChdbHttp, view: str, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while int(front.run(f"SELECT count() FROM volvere.{view}", {})) < wanted:
        assert time.monotonic() < deadline, f"{view} are not stored"
        front.arrived.wait(0.1)
        front.arrived.clear()


@pytest.mark.parametrize("way", ["login", "certificate"])
def test_the_main_job(
    guarded_kafka: ApacheKafka,
    certificates: Certificates,
    https: ChdbHttp,
    mutual: ChdbHttp,
    topic_prefix: str,
    tmp_path: Path,
    way: str,
) -> None:
    """From a file through a Kafka and into a ClickHouse that ask who comes; no log, at the lowest level, has a secret."""
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    where: dict[str, Any] = {
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
        "kafka_ca_file": certificates.ca,
        "clickhouse_ca_file": certificates.ca,
        "log_level": "debug",
    }
    if way == "login":
        front = https
        where |= {"kafka": guarded_kafka.doors["sasl"], "clickhouse": https.url, "clickhouse_password_file": secret}
        where |= login("PLAIN", kafka_password="", kafka_password_file=secret)
    else:
        front = mutual
        where |= {
            "kafka": guarded_kafka.doors["mutual"],
            "kafka_security": "ssl",
            "kafka_cert_file": certificates.client,
        }
        where |= {"kafka_key_file": certificates.locked, "kafka_key_password": KEY_PASSWORD}
        where |= {"clickhouse": mutual.url, "clickhouse_user": USER, "clickhouse_cert_file": certificates.client}
    week = [msgspec.json.encode(t) for t in Company(seed=1, customers=60, days=9).touchpoints()]
    volvere(tmp_path, "topics", "create", "--partitions", PARTITIONS, **where)
    sent = volvere(tmp_path, "send", "-", stdin=b"\n".join(week), **where)
    with running(tmp_path, "worker", "track", **where) as track, running(tmp_path, "worker", "store", **where) as store:
        watched = volvere(tmp_path, "watch", "--from-beginning", "--count", 1, "--json", **where)
        assert json.loads(watched.out.splitlines()[0])["type"].startswith("volvere.friction.")
        _stored(front, "touchpoints", len({(t["source"], t["event_id"]) for t in map(json.loads, week)}))
        _stored(front, "frictions", 1)
        ends = [track.terminate(), store.terminate()]
    asked = volvere(tmp_path, "query", "SELECT count() AS n FROM volvere.frictions", "--format", "json", **where)
    assert json.loads(asked.out)[0]["n"] >= 1
    assert [end.code for end in ends] == [0, 0]
    for done in (sent, watched, asked, *ends):
        assert PASSWORD not in done.said and KEY_PASSWORD not in done.said


# What is refused


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "wrong password, PLAIN": (
        "sasl",
        login("PLAIN", kafka_password=WRONG),
        "refuses the login of user 'worker' by PLAIN",
    ),
    "wrong password, SCRAM-SHA-256": ("sasl", login("SCRAM-SHA-256", kafka_password=WRONG), "by SCRAM-SHA-256"),
    "wrong password, SCRAM-SHA-512": ("sasl", login("SCRAM-SHA-512", kafka_password=WRONG), "VOLVERE_KAFKA_PASSWORD"),
    "unknown user": ("sasl", login("SCRAM-SHA-512", kafka_user="mallory"), "refuses the login of user 'mallory'"),
    "expired certificate": ("expired", {"kafka_security": "ssl"}, "its certificate has expired"),
    "wrong CA": ("tls", {"kafka_security": "ssl", "kafka_ca_file": "@stranger"}, "not signed by anybody whom we trust"),
    "another host": ("localhost tls", {"kafka_security": "ssl"}, "its certificate is for another host"),
    "plaintext to TLS": ("tls", {}, "it speaks TLS; set VOLVERE_KAFKA_SECURITY to ssl or sasl_ssl"),
    "plain login to TLS": (
        "sasl",
        login(security="sasl_plaintext"),
        "it speaks TLS; set VOLVERE_KAFKA_SECURITY to sasl_ssl",
    ),
    "TLS to plaintext": (
        "plain",
        {"kafka_security": "ssl"},
        "does not speak TLS; set VOLVERE_KAFKA_SECURITY to plaintext",
    ),
    "no login": ("clear", {}, "if it asks for a login, set VOLVERE_KAFKA_SECURITY to sasl_plaintext"),
    "no login over TLS": (
        "sasl",
        {"kafka_security": "ssl"},
        "if it asks for a login, set VOLVERE_KAFKA_SECURITY to sasl_ssl",
    ),
    "login that nobody asks for": ("tls", login(), "it asks for no login; set VOLVERE_KAFKA_SECURITY to ssl"),
    "no client certificate": ("mutual", {"kafka_security": "ssl"}, "asks for a certificate of ours"),
    "expired client certificate": (
        "mutual",
        {"kafka_security": "ssl", "kafka_cert_file": "@old_client"},
        "does not accept our certificate",
    ),
    "a stranger's client certificate": (
        "mutual",
        {"kafka_security": "ssl", "kafka_cert_file": "@foreign_client"},
        "does not accept our certificate",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_kafka_refuses_is_told(guarded_kafka: ApacheKafka, certificates: Certificates, case: str) -> None:
    """Whoever set something wrong reads what, and which setting to look at; the clients themselves speak of timeouts."""
    door, given, words = REFUSED[case]
    settings = settings_at(guarded_kafka, certificates, door, given)
    with pytest.raises(BrokerProblem) as problem:
        topics.check(settings.kafka, access=security.kafka(settings))
    text = str(problem.value)
    assert words in text and settings.kafka in text
    assert "\n" not in text and WRONG not in text and PASSWORD not in text


@pytest.mark.parametrize("command", ["topics check", "send", "worker track", "worker store", "watch"])
def test_a_command_that_is_not_let_in_ends(
    guarded_kafka: ApacheKafka, certificates: Certificates, tmp_path: Path, command: str
) -> None:
    """Exit code 2 and one line: an orchestrator sees a failed start, a person the reason, nobody a secret or a traceback."""
    (tmp_path / "week.jsonl").write_text("{}\n")
    ended = volvere(
        tmp_path,
        *command.split(),
        *(["week.jsonl"] if command == "send" else []),
        code=2,
        ends_within=60,
        kafka=guarded_kafka.doors["sasl"],
        kafka_ca_file=certificates.ca,
        clickhouse=tmp_path / "store",
        **login("SCRAM-SHA-512", kafka_password=WRONG),
    )
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert "refuses the login of user 'worker'" in line
    assert WRONG not in line


CLICKHOUSE: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "expired certificate": ({"shows": "expired"}, {"ca_file": "@ca"}, "its certificate has expired"),
    "unknown CA": ({}, {}, "not signed by anybody whom we trust"),
    "wrong CA": ({}, {"ca_file": "@stranger"}, "set VOLVERE_CLICKHOUSE_CA_FILE"),
    "another host": ({"host": "localhost"}, {"ca_file": "@ca"}, "its certificate is for another host"),
    "no client certificate": ({"asks": True}, {"ca_file": "@ca"}, "asks for a certificate of ours"),
    "expired client certificate": ({"asks": True}, {"ca_file": "@ca", "cert_file": "@old_client"}, "our certificate"),
    "certificate of another user": ({"asks": True}, {"ca_file": "@ca", "cert_file": "@client"}, "refuses the login"),
    "wrong password": ({"password": PASSWORD}, {"ca_file": "@ca", "password": WRONG}, "refuses the login"),
    "http to a TLS port": ({"scheme": "http"}, {}, "use an https URL"),
    "https to a plain port": ({"plain": True}, {"ca_file": "@ca"}, "does not speak TLS"),
}


@pytest.mark.parametrize("case", CLICKHOUSE)
def test_what_clickhouse_refuses_is_told(engine: Path, certificates: Certificates, case: str) -> None:
    """As for Kafka: what was refused, and what to look at."""
    server, given, words = CLICKHOUSE[case]
    shown = getattr(certificates, server.get("shows", "server"))
    tls = None if server.get("plain") else certificates.server_context(shown, asks=server.get("asks", False))
    files: dict[str, Any] = {
        name: getattr(certificates, value[1:]) if value[0] == "@" else value for name, value in given.items()
    }
    with ChdbHttp(engine, tls) as front:
        front.password = server.get("password")
        address = front.url.partition("://")[2].replace("127.0.0.1", server.get("host", "127.0.0.1"))
        with pytest.raises(StoreProblem) as problem:
            connect(f"{server.get('scheme', 'https')}://{address}", "default", **files)
    text = str(problem.value)
    assert words in text and address in text
    assert "\n" not in text and WRONG not in text


def test_a_command_that_clickhouse_does_not_let_in_ends(
    https: ChdbHttp, certificates: Certificates, tmp_path: Path
) -> None:
    """Exit code 2 and one line, without the password."""
    ended = volvere(
        tmp_path,
        "query",
        "SELECT 1",
        code=2,
        clickhouse=https.url,
        clickhouse_ca_file=certificates.stranger,
        clickhouse_password=PASSWORD,
    )
    (line,) = ended.err.splitlines()
    assert "not signed by anybody whom we trust" in line and PASSWORD not in line


def test_password_and_certificate_together(engine: Path, certificates: Certificates) -> None:
    """A server may ask for both: then the certificate opens the connection, and the password is the login."""
    with ChdbHttp(engine, certificates.server_context(certificates.server, asks=True)) as front:
        front.password = PASSWORD
        client = connect(front.url, "ana", PASSWORD, ca_file=certificates.ca, cert_file=certificates.client)
        assert query(client, "SELECT 1")[1] == [(1,)]
        client.close()


# Files


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"kafka_ca_file": "nowhere.pem"},
            "VOLVERE_KAFKA_CA_FILE: expected a readable file; nowhere.pem: No such file",
        ),
        ({"kafka_ca_file": "@key"}, "VOLVERE_KAFKA_CA_FILE: expected certificates (PEM)"),
        ({"kafka_cert_file": "nowhere.pem"}, "VOLVERE_KAFKA_CERT_FILE: expected a readable file; nowhere.pem"),
        ({"kafka_cert_file": "@ca"}, "VOLVERE_KAFKA_CERT_FILE: expected a certificate and its private key"),
        (
            {"kafka_cert_file": "@client", "kafka_key_file": "@server"},
            "VOLVERE_KAFKA_KEY_FILE: expected the private key of",
        ),
        (
            {"kafka_cert_file": "@client", "kafka_key_file": "@locked"},
            "VOLVERE_KAFKA_KEY_FILE: the private key in",
        ),
        (
            {"kafka_cert_file": "@client", "kafka_key_file": "@locked", "kafka_key_password": WRONG},
            "VOLVERE_KAFKA_KEY_PASSWORD: does not open the private key in",
        ),
        (
            {"clickhouse": "https://ch", "clickhouse_cert_file": "@client", "clickhouse_key_file": "@locked"},
            "VOLVERE_CLICKHOUSE_KEY_FILE: the private key in",
        ),
        (
            {"clickhouse": "https://ch", "clickhouse_ca_file": "nowhere.pem"},
            "VOLVERE_CLICKHOUSE_CA_FILE: expected a readable",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(certificates: Certificates, given: dict[str, str], line: str) -> None:
    """A secret that was not mounted, or mounted in the wrong place, is found by its variable; no terminal is asked."""
    files = {name: getattr(certificates, value[1:]) if value[0] == "@" else value for name, value in given.items()}
    settings = load(kafka="kafka:9093", kafka_security="ssl", **files)
    with pytest.raises(SettingsProblem) as problem:
        security.clickhouse(settings) if "clickhouse" in given else security.kafka(settings)
    assert str(problem.value).startswith(line)
    assert "\n" not in str(problem.value) and WRONG not in str(problem.value)


def test_a_broker_that_is_down_is_not_taken_for_one_that_refuses(guarded_kafka: ApacheKafka) -> None:
    """Of two addresses one may be down: who is let in by the other is let in."""
    free = f"127.0.0.1:1,{guarded_kafka.bootstrap}"
    assert asyncio.run(security.refusal(free, security.OPEN)) is None
    assert asyncio.run(security.refusal("127.0.0.1:1", security.OPEN)) is None
