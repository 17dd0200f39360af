"""Who takes part: what each is started with, by what name its offsets are committed, what it is given of Java or Python.

All read the same topic and publish to a topic of the same settings, on the same broker. Peers live in `peers/`; the
Python ones in an environment of their own, and Kafka Streams' jars come by Maven. Both are kept in .cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.command import environment
from volvere.embedded import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
CACHE = ROOT / ".cache" / "bench"
RULES = Path(__file__).parent / "two_rules.toml"
LOCK = PEERS / "requirements.lock"


class PeerMissing(Exception):
    """A peer cannot be had here; the text says what is missing."""


@dataclass(frozen=True)
class Contestant:
    """One that does the job. processes: how many of it. threads: of each, where it has them.

    prefix: touchpoints that it is given at most, where it is too slow for all. exact: says how often it tells a friction.
    settings: of Volveré's, besides those that are the defaults.
    """

    key: str
    title: str
    exact: str
    processes: int = 1
    threads: int = 1
    prefix: int | None = None
    settings: tuple[tuple[str, object], ...] = ()

    @property
    def works(self) -> bool:
        """Whether it finds frictions; the floor does not."""
        return self.key != "floor"

    def group(self, run: str) -> str:
        """The consumer group whose offsets say how far it is."""
        if self.key.startswith("volvere"):
            return f"{run}-track"
        return f"{run}-{self.key}" if self.key in ("floor", "store") else run


FLOOR = Contestant("floor", "floor: aiokafka, poll only", "–")
VOLVERE_1 = Contestant("volvere-1", "Volveré, two rules, 1 worker", "exactly once")
VOLVERE_2 = Contestant("volvere-2", "Volveré, two rules, 2 workers", "exactly once", processes=2)
VOLVERE_ALL = Contestant("volvere-all", "Volveré, everything on, 1 worker", "exactly once")
FAUST = Contestant("faust", "Faust 0.15.3, an agent and a table", "at least once", prefix=30_000)
QUIX = Contestant("quix", "Quix Streams 3.28, 1 process", "exactly once")
STREAMS_1 = Contestant("streams-1", "Kafka Streams 4.1, 1 thread", "exactly once", threads=1)
STREAMS_2 = Contestant("streams-2", "Kafka Streams 4.1, 2 threads", "exactly once", threads=2)

CONTESTANTS = (FLOOR, VOLVERE_1, VOLVERE_2, VOLVERE_ALL, FAUST, QUIX, STREAMS_1, STREAMS_2)


def start(who: Contestant, kafka: str, run: str, partitions: int, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Its processes. What they say goes to files in `folder`. Raises PeerMissing."""
    command = _command(who)
    out = []
    for number in range(who.processes):
        own = folder / str(number)
        own.mkdir(parents=True)
        told = {
            "BENCH_KAFKA": kafka,
            "BENCH_RUN": run,
            "BENCH_PARTITIONS": str(partitions),
            "BENCH_FOLDER": str(own),
            "BENCH_THREADS": str(who.threads),
        }
        settings = {"kafka": kafka, "topic_prefix": f"{run}-", "application": run, "log_level": "warning"}
        settings["clickhouse"] = str(own / "clickhouse")
        if who.key in ("volvere-1", "volvere-2"):
            settings["rules"] = str(RULES)
        with (folder / f"{number}.out").open("wb") as output:
            process = subprocess.Popen(
                command,
                env=environment(**settings | dict(who.settings)) | told,
                cwd=own,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
            )
        out.append(process)
    return out


def _command(who: Contestant) -> list[str]:
    if who.key.startswith("volvere"):
        return [sys.executable, "-m", "volvere.cli", "worker", "track"]
    if who.key == "store":
        return [sys.executable, "-m", "volvere.cli", "worker", "store"]
    if who.key == "floor":
        return [sys.executable, str(PEERS / "floor.py")]
    if who.key == "faust":
        return [str(_python()), str(PEERS / "faust_app.py"), "-L", "uvloop", "worker", "-l", "warn", "--without-web"]
    if who.key == "quix":
        return [str(_python()), str(PEERS / "quix_app.py")]
    return [*JAVA, "-cp", _streams(), "StreamsPeer"]


JAVA = ("java", "-Xmx1g")
"""Otherwise it takes a quarter of the machine's memory before it collects anything."""


def _python() -> Path:
    """The Python of an environment with the Python peers in it, made where it is not there or not of this lock."""
    python = CACHE / "python" / "bin" / "python"
    stamp = CACHE / "python" / "made-from.lock"
    if not stamp.is_file() or stamp.read_bytes() != LOCK.read_bytes():
        _do(["sh", str(ROOT / ".ci" / "venv"), str(CACHE / "python")])
        _do(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
                str(LOCK),
            ]
        )
        stamp.write_bytes(LOCK.read_bytes())
    return python


def _streams() -> str:
    """The classpath of the Kafka Streams peer: jars by Maven, classes by javac."""
    for tool in ("mvn", "javac"):
        if shutil.which(tool) is None:
            raise PeerMissing(f"Kafka Streams needs {tool} (Debian: maven, default-jdk-headless)")
    pom, source = PEERS / "pom.xml", PEERS / "StreamsPeer.java"
    made, stamp = CACHE / "streams", CACHE / "streams" / "made-from"
    text = pom.read_bytes() + source.read_bytes()
    if not stamp.is_file() or stamp.read_bytes() != text:
        shutil.rmtree(made, ignore_errors=True)
        libs = made / "libs"
        _do(["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={libs}"])
        _do(["javac", "-cp", f"{libs}/*", "-d", str(made / "classes"), str(source)])
        stamp.write_bytes(text)
    return os.pathsep.join([f"{made}/libs/*", f"{made}/classes"])


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise PeerMissing(f"{' '.join(command[:6])} ...: {(done.stdout + done.stderr).strip()[-500:]}")


def prepare(those: list[Contestant]) -> None:
    """Make what they need, before anything is measured. Raises PeerMissing."""
    for who in those:
        _command(who)
