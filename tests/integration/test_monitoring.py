"""A real Prometheus scrapes real workers; its rules raise alerts, and a real Alertmanager delivers them and their ends.

The rules are those of the repository, but for their patience: what waits for minutes there waits for seconds here. Every query of the dashboards
is asked of that Prometheus, or of a store with a small company in it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import shutil
import signal
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import schemas
from schemas.times import SECOND, format_time
from sinks.clickhouse import connect
from sinks.clickhouse import query as ask
from tests.command import Running, running, volvere
from tests.kafka import ApacheKafka
from tests.missing import missing
from tests.monitoring import ALERTS, RULE_TESTS, RULES, Query, queries
from tests.scrape import get, until
from volvere.embedded import die_with_parent, free_port
from volvere.topics import create
from volvere.worker import wall

PARTITIONS = 4
WORKERS = ("track", "store", "alert")
EXAMPLES = Path(schemas.__file__).parent / "examples" / "valid"
FROM, TO = 1_772_409_600, 1_781_481_600
"""2026-03-02 and 2026-06-15: the simulated company's days lie between, and a hundred days in which customers could come back."""


def program(name: str) -> str:
    """Of Prometheus's family, where it is installed."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (Debian: apt-get install prometheus prometheus-alertmanager)")
    return found


def test_the_rules_fire_when_they_should() -> None:
    """Each alert fires on a series that shows its trouble, with the words that people read, and is quiet on one that does not."""
    promtool = program("promtool")
    for command in (["check", "rules", RULES.name], ["test", "rules", RULE_TESTS.name]):
        done = subprocess.run(
            [promtool, *command], cwd=RULES.parent, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (
        str(len(ALERTS))
        in subprocess.run(
            [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    )


class Inbox:
    """A webhook receiver on loopback; what it was told."""

    def __init__(self) -> None:
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: list[tuple[str, str]] = []
        told = self._told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                for alert in json.loads(body)["alerts"]:
                    told.put(alert)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Inbox:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, alert: str, status: str, within: float = 40) -> dict[str, Any]:
        """The next time that it is told this of an alert."""
        while True:
            try:
                told = self._told.get(timeout=within)
            except queue.Empty:
                raise AssertionError(f"not told within {within:g} s: {alert} {status}; told: {self.seen}") from None
            self.seen.append((told["labels"]["alertname"], told["status"]))
            if self.seen[-1] == (alert, status):
                return told


@contextlib.contextmanager
def server(folder: Path, name: str, *args: str, ready: str) -> Iterator[None]:
    """A server of Prometheus's family, until the end of the block."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program(name), *args],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, without locks
        )
        try:

            def answers() -> bool:
                assert process.poll() is None, (folder / f"{name}.log").read_text()
                with contextlib.suppress(OSError):
                    return get(ready)[0] == 200
                return False

            until(answers)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


class Site:
    """Workers, Prometheus and Alertmanager; `inbox` is who gets the alerts."""

    def __init__(self, folder: Path, kafka: ApacheKafka, prefix: str) -> None:
        self.folder = folder
        self.inbox = Inbox()
        self.settings: dict[str, Any] = {
            "kafka": kafka.bootstrap,
            "topic_prefix": prefix,
            "application": prefix.rstrip("."),
            "session_timeout_s": 4,
        }
        self.ports = {
            "track": free_port(),
            "store": free_port(),
            "alert": free_port(),
            "prometheus": free_port(),
            "alertmanager": free_port(),
        }
        self.stack = contextlib.ExitStack()
        self.track: Running

    def start_track(self) -> None:
        """The worker that will die."""
        at = f"127.0.0.1:{self.ports['track']}"
        self.track = self.stack.enter_context(
            running(self.folder, "worker", "track", metrics_listen=at, **self.settings)
        )

    def ready(self, worker: str) -> bool:
        """Whether a worker does its part."""
        with contextlib.suppress(OSError):
            return get(f"http://127.0.0.1:{self.ports[worker]}/health/ready")[0] == 200
        return False

    def __enter__(self) -> Site:
        folder, ports = self.folder, self.ports
        self.stack.enter_context(self.inbox)
        self.start_track()
        at = f"127.0.0.1:{ports['store']}"
        self.stack.enter_context(running(folder, "worker", "store", metrics_listen=at, **self.settings))
        routes = folder / "routes.toml"
        routes.write_text(
            f'[receivers.pager]\ntype = "alertmanager"\nurl = "http://127.0.0.1:{ports["alertmanager"]}"\n'
            '[[routes]]\nto = ["pager"]\n'
        )
        at = f"127.0.0.1:{ports['alert']}"
        self.stack.enter_context(
            running(folder, "worker", "alert", "--routes", routes, metrics_listen=at, **self.settings)
        )
        until(lambda: all(map(self.ready, WORKERS)))  # or Prometheus would first find them down
        hasty = re.sub(r"\bfor: \w+", "for: 0s", RULES.read_text(encoding="utf-8"))
        (folder / "rules.yml").write_text(re.sub(r"\[\d+[mh]\]", "[5s]", hasty))
        jobs = [
            {"job_name": f"volvere-{name}", "static_configs": [{"targets": [f"127.0.0.1:{ports[name]}"]}]}
            for name in WORKERS
        ]
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": jobs,
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]},
        }
        route = {"receiver": "inbox", "group_by": ["alertname", "instance"], "group_wait": "0s", "group_interval": "1s"}
        receivers = [{"name": "inbox", "webhook_configs": [{"url": self.inbox.url, "send_resolved": True}]}]
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        (folder / "alertmanager.yml").write_text(json.dumps({"route": route, "receivers": receivers}))
        address = f"127.0.0.1:{ports['alertmanager']}"
        self.stack.enter_context(
            server(
                folder,
                "prometheus-alertmanager",
                *("--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address="),
                f"--web.listen-address={address}",
                ready=f"http://{address}/-/ready",
            )
        )
        address = f"127.0.0.1:{ports['prometheus']}"
        self.stack.enter_context(
            server(
                folder,
                "prometheus",
                *("--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", f"--web.listen-address={address}"),
                "--rules.alert.resend-delay=1s",
                ready=f"http://{address}/-/ready",
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def prometheus(self, path: str, **parameters: str) -> Any:
        """An answer of Prometheus's API."""
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        status, text = get(url)
        assert status == 200, f"{parameters}: {text}"
        return json.loads(text)["data"]


@pytest.fixture(scope="module")
def site(apache_kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All of it, once the first numbers are there."""
    program("prometheus"), program("prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("monitored")
    prefix = f"monitored-{folder.name}."
    assert all(f.good for f in create(apache_kafka.bootstrap, PARTITIONS, prefix=prefix))
    with Site(folder, apache_kafka, prefix) as made:
        until(lambda: len(made.prometheus("query", query="volvere_ready == 1")["result"]) == len(WORKERS))
        yield made


@pytest.mark.kafka
def test_a_fault_raises_an_alert_that_is_delivered_and_so_is_its_end(site: Site) -> None:
    """A worker is killed with -9: who is on duty is told, with the page to read; and told again when it is back."""
    site.track.kill()
    told = site.inbox.wait("VolvereWorkerDown", "firing")
    assert told["labels"]["job"] == "volvere-track"
    assert told["labels"]["severity"] == "critical"
    assert told["annotations"]["runbook_url"] == "docs/runbook/VolvereWorkerDown.md"
    assert str(site.ports["track"]) in told["annotations"]["summary"]
    site.start_track()
    ended = site.inbox.wait("VolvereWorkerDown", "resolved")
    assert ended["fingerprint"] == told["fingerprint"]


def call(kind: str, ago: int, **fields: object) -> str:
    """A touchpoint of one customer's call, so many seconds ago."""
    told = {"source": "pbx", "customer_id": "maria", "channel": "voice", "contact_id": "pbx/1", "topic": "billing"}
    told |= {"event_id": f"{kind}-{ago}", "kind": kind, "occurred_at": format_time(wall() - ago * SECOND)}
    return json.dumps(told | fields) + "\n"


@pytest.mark.kafka
def test_a_friction_is_delivered_by_the_same_alertmanager_and_so_is_its_end(site: Site) -> None:
    """A call that the network drops is told to who is on duty, by `volvere worker alert`; and again when it is resolved."""
    dropped = [call("contact.started", 90), call("contact.answered", 80), call("contact.ended", 50, ended_by="network")]
    volvere(site.folder, "send", "-", stdin="".join(dropped), **site.settings)
    told = site.inbox.wait("VolvereFriction", "firing")
    assert (told["labels"]["kind"], told["labels"]["severity"]) == ("dropped_call", "warning")
    volvere(site.folder, "send", "-", stdin=call("contact.resolved", 5), **site.settings)
    ended = site.inbox.wait("VolvereFriction", "resolved")
    assert ended["fingerprint"] == told["fingerprint"]

    def told_of() -> dict[str, str]:
        series = site.prometheus("query", query="sum by (what) (volvere_alert_told_total)")["result"]
        return {one["metric"]["what"]: one["value"][1] for one in series}

    until(lambda: told_of() == {"opened": "1", "updated": "0", "resolved": "1"})


@pytest.mark.kafka
def test_dead_letters_are_told(site: Site) -> None:
    """Records that cannot be read are an alert with the reason; it ends when no more of them come."""
    until(lambda: len(site.prometheus("query", query="volvere_ready == 1")["result"]) == len(WORKERS))
    until(
        lambda: site.prometheus(
            "query", query='count_over_time(volvere_track_refused_records_total{reason="not_json"}[5s]) > 4'
        )["result"]
    )
    volvere(site.folder, "send", "-", stdin="{this is no touchpoint\n" * 5, **site.settings)
    told = site.inbox.wait("VolvereDeadLetters", "firing")
    assert told["labels"]["reason"] == "not_json"
    site.inbox.wait("VolvereDeadLetters", "resolved")


@pytest.mark.kafka
def test_every_query_of_the_dashboards_is_answered(site: Site) -> None:
    """Each panel shows something of running workers, and its legend names labels that are there."""
    until(lambda: site.prometheus("query", query="rate(volvere_store_batches_total[5s])")["result"])
    asked = queries("prometheus")
    assert len(asked) > 25
    for q in asked:
        text = q.text.replace("$__rate_interval", "10s").replace("$job", ".*")
        found = site.prometheus("query", query=text)["result"]
        if text.endswith("> 0") or "frictions_total" in text:  # with luck there is nothing
            continue
        assert found, f"{q.board}, {q.panel}: nothing for {text}"
        labels = set(re.findall(r"\{\{(\w+)\}\}", q.legend))
        assert all(labels <= series["metric"].keys() for series in found), f"{q.panel}: {q.legend}"


@pytest.mark.kafka
def test_the_rules_are_evaluated(site: Site) -> None:
    """Prometheus itself finds nothing wrong with any of them."""
    rules = [rule for group in site.prometheus("rules")["groups"] for rule in group["rules"]]
    assert sorted(rule["name"] for rule in rules) == sorted(ALERTS)
    assert [rule["lastError"] for rule in rules if rule["health"] != "ok"] == []


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small company in an embedded ClickHouse."""
    folder = tmp_path_factory.mktemp("dashboards")
    made = volvere(folder, "simulate", "--customers", 150, "--days", 9, "--start", "2026-03-02T00:00:00Z")
    later = json.loads(made.out.splitlines()[-1]) | {"event_id": "later", "occurred_at": "2026-06-14T00:00:00Z"}
    deployed = json.loads((EXAMPLES / "operations" / "release-deployed.json").read_text("utf-8"))
    deployed |= {"occurred_at": "2026-03-06T00:00:00Z"}
    (folder / "company.jsonl").write_text("".join([made.out, json.dumps(later), "\n", json.dumps(deployed), "\n"]))
    volvere(folder, "run", folder / "company.jsonl", "--clickhouse", folder / "clickhouse")
    return folder / "clickhouse"


def plain_sql(text: str) -> str:
    """Grafana's macros and variables, put in as it would."""
    between = rf"(\1 >= toDateTime({FROM}) AND \1 <= toDateTime({TO}))"
    text = re.sub(r"\$__timeFilter\((\w+)\)", between, text)
    text = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 3600 second)", text)
    return text.replace("${__from:date:seconds}", str(FROM)).replace("${__to:date:seconds}", str(TO))


def test_every_question_of_the_dashboards_is_answered(store: Path) -> None:
    """Each panel on ClickHouse has an answer in a company with troubles, and none of them names a customer."""
    asked: list[Query] = queries("grafana-clickhouse-datasource")
    assert len(asked) > 20
    client = connect(store)
    try:
        for q in asked:
            text = plain_sql(q.text)
            assert "$" not in text, text
            names, rows = ask(client, text)
            assert rows or "NOT replay" in text, f"{q.board}, {q.panel}: no rows"  # what a file tells is all history
            assert not {"customer_id", "subject", "contact_id", "summary"} & set(names)
            if q.kind == "timeseries":
                assert names[0] == "time" and len(names) > 1
    finally:
        client.close()
