"""Frictions through a real Alertmanager to whoever is called, and their ends; a year's history calls nobody."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.friction import friction_id
from schemas.times import DAY, HOUR, MINUTE, SECOND, format_time
from schemas.topics import FRICTIONS
from tests.command import Running, running, volvere
from tests.kafka import ApacheKafka, read_topic
from tests.missing import missing
from tests.receivers import Answer, FakeReceiver
from volvere.embedded import die_with_parent, free_port
from volvere.feed import feed
from volvere.files import read
from volvere.topics import create
from volvere.worker import wall

pytestmark = pytest.mark.kafka

PARTITIONS = 2
WITHIN_S = 90.0
PAST = 60
"""Customers whose calls were dropped within the last year."""


class OnCall(FakeReceiver):
    """Whom Alertmanager calls. told: status, dedupkey and friction of each alert, in order."""

    def __init__(self) -> None:
        super().__init__(wall)
        self.told: list[tuple[str, str, str]] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Alertmanager's own webhook format."""
        for alert in json.loads(body)["alerts"]:
            labels = alert["labels"]
            self.told.append((alert["status"], labels["dedupkey"], alert["annotations"]["friction_id"]))
        return Answer(200)

    def called(self, status: str) -> set[str]:
        """The frictions of these."""
        with self.lock:
            return {friction for said, _, friction in self.told if said == status}


class Alertmanager:
    """The real one, on loopback; what it knew is gone when it is started again."""

    def __init__(self, folder: Path, calls: str) -> None:
        binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
        if binary is None:
            missing("Alertmanager is not there: install it (Debian: prometheus-alertmanager)")
        self._binary, self._folder, self._times = binary, folder, 0
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "alertmanager.yml").write_text(f"""\
route:
  receiver: oncall
  group_by: [dedupkey]
  group_wait: 100ms
  group_interval: 500ms
  repeat_interval: 4h
receivers:
- name: oncall
  webhook_configs:
  - url: {calls}
    send_resolved: true
""")

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self._times += 1
        address = self.url.removeprefix("http://")
        with (self._folder / "alertmanager.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={self._folder / 'alertmanager.yml'}",
                    f"--storage.path={self._folder / f'alertmanager-{self._times}'}",
                    f"--web.listen-address={address}",
                    "--cluster.listen-address=",
                ],
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
            )
        self.until(lambda: self.ask("/-/ready") is not None)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, path: str) -> bytes | None:
        """Its answer; None where it gives none."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return None

    def firing(self) -> set[str]:
        """The frictions of the alerts that it holds for active."""
        found: list[dict[str, Any]] = json.loads(self.ask("/api/v2/alerts") or b"[]")
        return {alert["annotations"]["friction_id"] for alert in found if alert["status"]["state"] == "active"}

    def until(self, condition: Any) -> None:
        """Wait for a condition; a second process gives the others their turn."""

        async def poll() -> None:
            async with asyncio.timeout(WITHIN_S):
                while not condition():  # noqa: ASYNC110 - it is another process that is waited for
                    await asyncio.sleep(0.05)

        asyncio.run(poll())


@pytest.fixture
def oncall() -> Iterator[OnCall]:
    """Somebody who is called."""
    with OnCall() as somebody:
        yield somebody


@pytest.fixture
def alertmanager(oncall: OnCall, tmp_path: Path) -> Iterator[Alertmanager]:
    """An Alertmanager that calls them."""
    made = Alertmanager(tmp_path, oncall.url)
    made.start()
    yield made
    made.kill()


def call(customer: str, at: int, *, dropped: bool = True) -> list[bytes]:
    """A customer's call about the bill, which the network ends, or which ends well."""
    contact = f"pbx/{customer}/{at}"
    kinds: list[tuple[str, int, dict[str, Any]]] = [
        ("contact.started", 0, {}),
        ("contact.answered", 10, {"agent_id": "a7", "wait_ms": 10_000}),
        ("contact.ended", 130, {"ended_by": "network" if dropped else "customer", "handle_ms": 120_000}),
    ]
    common = {"source": "pbx", "customer_id": customer, "channel": "voice", "topic": "billing", "contact_id": contact}
    return [
        json.dumps(
            {
                **common,
                "event_id": f"{contact}/{kind}",
                "kind": kind,
                "occurred_at": format_time(at + s * SECOND),
                **more,
            }
        ).encode()
        for kind, s, more in kinds
    ]


def dropped(customer: str, at: int) -> str:
    """The id of the friction that such a call is."""
    return str(friction_id("dropped_call", customer, contact_id=f"pbx/{customer}/{at}"))


@pytest.mark.timeout(300)
def test_from_a_call_that_broke_off_to_whoever_is_called(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, alertmanager: Alertmanager, oncall: OnCall
) -> None:
    """A year of history that enters by a rebuild calls nobody; what happened in an hour without workers does, and its end is heard."""
    now = wall()
    kafka: dict[str, Any] = {"kafka": apache_kafka.bootstrap, "topic_prefix": topic_prefix, "application": topic_prefix}
    kafka["clickhouse"] = tmp_path / "clickhouse"
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=topic_prefix))
    (tmp_path / "routes.toml").write_text(
        f'[receivers.am]\ntype = "alertmanager"\nurl = "{alertmanager.url}"\n\n'
        '[[routes]]\nto = ["am"]\nkinds = ["dropped_call"]\n'
    )

    def send(name: str, lines: list[bytes]) -> None:
        (tmp_path / name).write_bytes(b"\n".join(lines) + b"\n")
        asyncio.run(feed(apache_kafka.bootstrap, read(tmp_path / name), topic_prefix))

    history = [line for n in range(PAST) for line in call(f"old-{n}", now - 362 * DAY + n * 6 * DAY)]
    (tmp_path / "history.jsonl").write_bytes(b"\n".join(history) + b"\n")
    volvere(tmp_path, "store", "load", "history.jsonl", **kafka)
    with running(tmp_path, "worker", "alert", "--routes", "routes.toml", alert_resend_s=1, **kafka) as bridge:
        bridge.line(lambda line: "incidents are remembered" in line, WITHIN_S)
        volvere(tmp_path, "rebuild", "--from", "clickhouse", "--yes", **kafka)
        began = [now - HOUR + n * MINUTE for n in range(3)]
        send("outage.jsonl", [line for n, at in enumerate(began) for line in call(f"new-{n}", at)])
        expected = {dropped(f"new-{n}", at) for n, at in enumerate(began)}
        with running(tmp_path, "worker", "track", **kafka) as track:
            alertmanager.until(lambda: oncall.called("firing") == expected)
            send("well.jsonl", [x for n in (0, 1) for x in call(f"new-{n}", now - 20 * MINUTE, dropped=False)])
            over = {dropped(f"new-{n}", began[n]) for n in (0, 1)}
            alertmanager.until(lambda: oncall.called("resolved") == over)
            alertmanager.kill()
            alertmanager.start()
            alertmanager.until(lambda: alertmanager.firing() == expected - over)
            _must_end_well(track, bridge)
    replayed = [
        json.loads(r.value)["data"]
        for r in read_topic(apache_kafka.bootstrap, topic_prefix + FRICTIONS.name)
        if r.value
    ]
    assert sum(d["replay"] and d["kind"] == "dropped_call" for d in replayed) >= PAST
    assert oncall.called("firing") == expected, "somebody was called for the past"
    assert oncall.called("resolved") == over
    assert len({key for _, key, _ in oncall.told}) == 3


def _must_end_well(*workers: Running) -> None:
    for worker in workers:
        ended = worker.terminate()
        assert ended.code == 0, ended.out[-3000:]
