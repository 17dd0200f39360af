"""What the benchmarks that go on for a while need: topics of their own, and worker processes on them.

Both are gone at the end, however it ends. Every worker has a name, which Kafka tells of the members of a
group, so that it is known whose partition was whose.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from schemas.errors import Impossible
from schemas.topics import TOPICS
from volvere import security, topics
from volvere.embedded import die_with_parent
from volvere.settings import Settings, variable

Answer = TypeVar("Answer")
Worker = subprocess.Popen[bytes]

STOP_WITHIN_S = 30
SETTLED_WITHIN_S = 120.0


@dataclass
class Stage:
    """Topics that begin with `prefix`, and the workers that run on them, by name. folder: goes away at the end."""

    settings: Settings
    prefix: str
    partitions: int
    folder: Path
    access: security.Access
    admin: Any
    running: dict[str, Worker] = field(default_factory=dict)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def application(self) -> str:
        """What the names of groups and transactional ids begin with."""
        return self.prefix.rstrip("-")

    def client(self) -> dict[str, Any]:
        """What every aiokafka client here is given."""
        return {"bootstrap_servers": self.settings.kafka, **self.access}

    def start(self, name: str, what: Literal["track", "store"] = "track", **settings: object) -> Worker:
        """A worker; settings: besides where it works."""
        ours = self.settings
        told: dict[str, object] = {
            "kafka": ours.kafka,
            "topic_prefix": self.prefix,
            "application": self.application,
            "rules": self.folder / "rules.toml",
            "session_timeout_s": ours.session_timeout_s,
            "heartbeat_interval_s": ours.heartbeat_interval_s,
            "log_level": os.environ.get("VOLVERE_LOG_LEVEL", "warning"),
        }
        environment = {variable(key): str(value) for key, value in (told | settings).items()}
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", "volvere.cli", "worker", what],
            env={**os.environ, **environment, "BROKER_CLIENT_ID": name},  # Faust's own, for the group's members
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
        )
        return self.running[name]

    def kill(self, name: str) -> None:
        """SIGKILL, as when its machine fails."""
        worker = self.running.pop(name)
        worker.kill()
        worker.wait()

    async def stop(self, name: str) -> None:
        """SIGTERM; it has ended in order when this returns. Raises Impossible where it has not."""
        worker = self.running.pop(name)
        worker.terminate()
        try:
            code = await asyncio.to_thread(worker.wait, STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            raise Impossible(f"the worker {name} was told to stop, and ran on for {STOP_WITHIN_S} s") from None
        if code:
            raise Impossible(f"the worker {name} was told to stop, and ended with exit code {code}")

    def check(self) -> None:
        """Raises Impossible where a worker has ended by itself."""
        for name, worker in self.running.items():
            if worker.poll() is not None:
                raise Impossible(f"the worker {name} ended by itself, with exit code {worker.returncode}")

    async def ask(self, question: Callable[..., Answer], *args: Any) -> Answer:
        """A call of the admin client, which would block the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, *args)

    async def owners(self, group: str) -> dict[int, str]:
        """Partition -> name of the worker that it is assigned to; empty while the group rebalances, or is not there yet."""
        try:
            found = (await self.ask(self.admin.describe_groups, [group]))[group]
        except KafkaError as e:
            if not e.retriable:
                raise
            return {}
        if found["group_state"] != "Stable":
            return {}
        return {
            partition: member["client_id"]
            for member in found["members"]
            for topic in member["member_assignment"]["assigned_partitions"]
            for partition in topic["partitions"]
        }

    async def settled(self, group: str, names: Collection[str], within: float = SETTLED_WITHIN_S) -> dict[int, str]:
        """Wait until these workers, and nobody else, share all partitions; whose is whose. Raises Impossible where that takes longer."""
        try:
            async with asyncio.timeout(within):
                while True:
                    self.check()
                    owners = await self.owners(group)
                    if len(owners) == self.partitions and set(owners.values()) == set(names):
                        return owners
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise Impossible(
                f"after {within:g} s {', '.join(names)} do not share the partitions; "
                "VOLVERE_LOG_LEVEL=info shows what the workers do"
            ) from None

    def close(self) -> None:
        """End what runs, and delete the topics."""
        for name in list(self.running):
            self.kill(name)
        self._thread.shutdown()
        self.admin.delete_topics([self.prefix + topic.name for topic in TOPICS], raise_errors=False)


@contextlib.contextmanager
def stage(
    settings: Settings, partitions: int, rules: str, config: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Stage]:
    """A stage. rules: the text of its rules file. config: more of topics' configuration, by their name without the prefix.

    Raises BrokerProblem. Not to be called from inside an event loop.
    """
    prefix, access = f"bench-{uuid4().hex[:8]}-", security.kafka(settings)
    topics.create(settings.kafka, partitions, prefix=prefix, replication=settings.replication, access=access)
    with (
        topics.administer(settings.kafka, access) as admin,
        tempfile.TemporaryDirectory(prefix="volvere-bench-") as name,
    ):
        folder = Path(name)
        (folder / "rules.toml").write_text(rules, encoding="utf-8")
        on = Stage(settings, prefix, partitions, folder, access, admin)
        try:
            if config:
                kind = ConfigResourceType.TOPIC
                admin.alter_configs([ConfigResource(kind, prefix + t, dict(told)) for t, told in config.items()])
            yield on
        finally:
            on.close()
