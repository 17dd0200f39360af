"""Apache Kafka for tests: one KRaft node from jars, on loopback, in a folder that goes away.

What rests on transactions, watermarks, compaction or LogAppendTime is tested here, never on
the embedded broker. Kafka is ended with SIGKILL: nothing that it holds outlives the tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.certificates import Certificates
from volvere.embedded import die_with_parent, free_port

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "kafka"
POM = ROOT / ".ci" / "kafka" / "pom.xml"
LIBS_VARIABLE = "VOLVERE_TEST_KAFKA_LIBS"
READY_WITHIN_MS = 60_000
_CLUSTER = "dm9sdmVyZS10ZXN0cy0wMA"


USER, PASSWORD = "worker", "hunter2 & co."
"""Who may come in where a login is asked for: by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512."""
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
DOORS = {"tls": "SSL", "expired": "SSL", "mutual": "SSL", "sasl": "SASL_SSL", "clear": "SASL_PLAINTEXT"}
DOORS["astray"] = "PLAINTEXT"
"""Listeners that ask for something: `expired` shows an old certificate, `mutual` wants the client's. `astray` asks for nothing, and
sends its clients to a host that nobody knows."""


class KafkaMissing(Exception):
    """Apache Kafka cannot be started here; the text says what is missing."""


BRIEF = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""For a Java that lives for seconds or minutes: half the work, where it does not compile its code to the last."""


@dataclass(frozen=True)
class Record:
    """One record as a `read_committed` consumer sees it; `timestamp` in milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class ApacheKafka:
    """One broker and controller in one process. `bootstrap` stays the same over restarts.

    doors: addresses of the listeners in DOORS, where it is given certificates. lasting: it is made for load, not to be there soon.
    """

    def __init__(self, folder: Path, *, lasting: bool = False, certificates: Certificates | None = None) -> None:
        self._java, libs = _java(), _libs()
        self._classpath = f"{libs}/*"
        self._options = ["-Xmx1g"] if lasting else BRIEF
        self._folder = folder
        port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = folder / "server.properties"
        self.doors = {name: f"127.0.0.1:{free_port()}" for name in (DOORS if certificates else ())}
        text = _properties(port, controller, folder / "log", self.doors)
        if certificates is not None:
            text += _locks(certificates)
        self._properties.write_text(text, encoding="utf-8")
        self._output = folder / "kafka.out"
        formatted = subprocess.run(
            [
                self._java,
                *BRIEF,
                "-cp",
                self._classpath,
                *"kafka.tools.StorageTool format -t".split(),
                _CLUSTER,
                "-c",
                self._properties,
                *(f"--add-scram={m}=[name={USER},password={PASSWORD}]" for m in SCRAM if self.doors),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if formatted.returncode:
            raise RuntimeError(f"Kafka's folder cannot be made: {formatted.stdout}{formatted.stderr}")

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [self._java, *self._options, "-cp", self._classpath, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
            )
        self._await()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """The folder of its segments."""
        return self._folder / "log"

    def kill(self) -> None:
        """SIGKILL, as when its machine fails. Twice is once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP, and it answers nothing any more, until SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def restart(self) -> None:
        """SIGKILL, then start again on the same log and port."""
        self.kill()
        self.start()

    def _await(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN_MS / 1000
        while not _accepts(self._port):
            try:
                self._process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            self.kill()
            raise RuntimeError(f"Kafka did not start:\n{self._output.read_text(errors='replace')[-4000:]}")
        try:
            KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=READY_WITHIN_MS).close()
        except KafkaError as e:
            self.kill()
            raise RuntimeError(f"Kafka listens, but does not answer: {e}") from e


async def read(bootstrap: str, topic: str, *, quiet_ms: int = 0) -> list[Record]:
    """All committed records of a topic up to its end, by partition and offset.

    On the embedded broker, whose ends lie, give `quiet_ms`: nothing for so long is the end.
    """
    consumer = AIOKafkaConsumer(
        topic,  # without a group: all its partitions
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        partitions = list(consumer.assignment())
        if not partitions:
            raise LookupError(f"no topic {topic}")
        ends = await consumer.end_offsets(partitions)
        out: list[Record] = []
        while True:
            behind = [p for p in partitions if await consumer.position(p) < ends[p]]
            if not behind and not quiet_ms:
                break
            fetched = await consumer.getmany(timeout_ms=quiet_ms or 1000)
            if not fetched and not behind:
                break
            for tp, records in fetched.items():
                out += [Record(tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]
        return sorted(out, key=lambda r: (r.partition, r.offset))
    finally:
        await consumer.stop()


def read_topic(bootstrap: str, topic: str, *, quiet_ms: int = 0, deadline_s: float = 60) -> list[Record]:
    """`read`, for tests that are not inside an event loop."""
    return asyncio.run(asyncio.wait_for(read(bootstrap, topic, quiet_ms=quiet_ms), deadline_s))


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        raise KafkaMissing("Apache Kafka needs Java 17 or newer: install it (Debian: default-jre-headless)")
    return java


def _libs() -> Path:
    """The folder of Kafka's jars: named by the environment, cached, or fetched by Maven."""
    named = os.environ.get(LIBS_VARIABLE)
    libs = Path(named) if named else CACHE / "libs"
    if any(libs.glob("kafka_2.13-*.jar")):
        return libs
    if named:
        raise KafkaMissing(f"{LIBS_VARIABLE}={named}: expected a folder with kafka_2.13-*.jar and what it needs")
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaMissing(f"Apache Kafka's jars come by Maven: install it, or name a folder in {LIBS_VARIABLE}")
    fetched = CACHE / f"fetch-{os.getpid()}"
    fetched.mkdir(parents=True, exist_ok=True)
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={fetched}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        raise KafkaMissing("Maven did not bring Apache Kafka's jars within 5 minutes") from None
    if done.returncode:
        raise KafkaMissing(f"Maven did not bring Apache Kafka's jars: {(done.stdout + done.stderr).strip()[-300:]}")
    try:
        fetched.rename(libs)
    except OSError:  # another test run was first
        shutil.rmtree(fetched)
    return libs


def _properties(port: int, controller: int, log: Path, doors: dict[str, str]) -> str:
    listeners = ",".join([f"PLAINTEXT://127.0.0.1:{port}", *(f"{n.upper()}://{at}" for n, at in doors.items())])
    advertised = listeners.replace("ASTRAY://127.0.0.1", "ASTRAY://kafka.invalid")
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | {n.upper(): DOORS[n] for n in doors}
    return f"""\
process.roles=broker,controller
node.id=1
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={advertised}
listener.security.protocol.map={",".join(f"{name}:{protocol}" for name, protocol in protocols.items())}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
auto.create.topics.enable=false
log.dirs={log}
"""


def _locks(certificates: Certificates) -> str:
    """What the listeners in DOORS show, and what they ask for."""
    lines = ["sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "group.max.session.timeout.ms=60000"]
    for name, protocol in DOORS.items():
        own = f"listener.name.{name}"
        if protocol.endswith("SSL"):
            shown = certificates.expired if name == "expired" else certificates.server
            lines += [f"{own}.ssl.keystore.type=PEM", f"{own}.ssl.keystore.location={shown}"]
        if name == "mutual":
            lines += [f"{own}.ssl.truststore.type=PEM", f"{own}.ssl.truststore.location={certificates.ca}"]
            lines += [f"{own}.ssl.client.auth=required"]
        if protocol.startswith("SASL"):
            module = "org.apache.kafka.common.security"
            lines += [f"{own}.{m.lower()}.sasl.jaas.config={module}.scram.ScramLoginModule required;" for m in SCRAM]
            plain = f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            lines += [f"{own}.plain.sasl.jaas.config={plain}"]
    return "\n".join(lines) + "\n"
