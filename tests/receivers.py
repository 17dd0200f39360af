"""Alerting systems for tests: what Alertmanager, PagerDuty and a webhook do with requests, on loopback.

Each keeps its incidents by key, as the real one does, and holds every request to the published schema: what does not satisfy it
gets the 400 that it would get there, and a test that looks at `wrong` sees why. `faults` happen to the next requests, one each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from schemas import registry
from schemas.times import parse_time

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
WEBHOOK_KEY = b"a webhook's secret, 32 bytes long"
WEBHOOK_SECRET = f"whsec_{base64.b64encode(WEBHOOK_KEY).decode()}"
VENDORS = Path(__file__).parent / "vendors"


def vendor_schema(name: str) -> Draft202012Validator:
    """A vendor's schema, as transcribed with its source."""
    text = (VENDORS / f"{name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text), format_checker=FormatChecker())


@dataclass(frozen=True)
class Answer:
    """A fault: the request is not looked at, and this is the answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"injected"


@dataclass(frozen=True)
class Taken:
    """A fault: the request is dealt with, and the answer is lost."""


@dataclass(frozen=True)
class Silence:
    """A fault: nothing is done and nothing answered until the client gives up."""


Fault = Answer | Taken | Silence


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed, or gave up."""


class FakeReceiver:
    """A server. now: its clock, microseconds. fault: what happens to a request where `faults` are none.

    arrived: called with the number of each request, before it is dealt with.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.faults: deque[Fault | None] = deque()
        self.fault: Callable[[], Fault | None] = lambda: None
        self.requests = 0
        self.wrong: list[str] = []
        self.arrived: Callable[[int], None] = lambda _: None
        self.closing = threading.Event()
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.serve(self)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Deal with one request."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self.lock:
            self.requests += 1
            number = self.requests
            fault = self.faults.popleft() if self.faults else self.fault()
        self.arrived(number)
        if isinstance(fault, Silence):
            handler.connection.settimeout(30)
            handler.rfile.read(1)  # until the client hangs up
            handler.close_connection = True
            return
        with self.lock:
            answer = fault if isinstance(fault, Answer) else self._judged(handler, body)
        if isinstance(fault, Taken):
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _judged(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        try:
            return self.take(handler.path, dict(handler.headers.items()), body)
        except (AssertionError, LookupError, ValueError, ValidationError) as e:
            self.wrong.append(f"{type(e).__name__}: {e}")
            return Answer(400, body=str(e).encode()[:300])

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Deal with a request; what it raises becomes a 400."""
        raise NotImplementedError

    def open(self) -> set[str]:
        """The dedupkeys of what is open."""
        raise NotImplementedError


class FakeAlertmanager(FakeReceiver):
    """An alert is its labels; it fires until endsAt."""

    schema = vendor_schema("alertmanager_v2")

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__(now)
        self.alerts: dict[tuple[tuple[str, str], ...], int] = {}
        self.fired: Counter[str] = Counter()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """POST /api/v2/alerts."""
        assert path == "/api/v2/alerts", path
        assert headers["Content-Type"] == "application/json"
        alerts = json.loads(body)
        self.schema.validate(alerts)
        for alert in alerts:
            starts, ends = parse_time(alert["startsAt"]), parse_time(alert["endsAt"])
            assert starts <= ends, "start time must be before end time"
            labels = tuple(sorted(alert["labels"].items()))
            was_open = self.alerts.get(labels, 0) > self.now()
            self.alerts[labels] = ends
            if ends > self.now() and not was_open:
                self.fired[alert["labels"]["dedupkey"]] += 1
        return Answer(200, body=b"")

    def firing(self) -> list[dict[str, str]]:
        """The labels of what fires."""
        with self.lock:
            return [dict(labels) for labels, ends in self.alerts.items() if ends > self.now()]

    def open(self) -> set[str]:
        """What is open."""
        return {labels["dedupkey"] for labels in self.firing()}


class FakePagerDuty(FakeReceiver):
    """An alert is its dedup_key. paged: how often each was opened, or opened anew."""

    schema = vendor_schema("pagerduty_events_v2")

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__(now)
        self.alerts: set[str] = set()
        self.paged: Counter[str] = Counter()
        self.events: list[dict[str, Any]] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """POST /v2/enqueue."""
        assert path == "/v2/enqueue", path
        assert headers["Content-Type"] == "application/json"
        assert len(body) <= 512 * 1024
        event = json.loads(body)
        self.schema.validate(event)
        assert event["routing_key"] == ROUTING_KEY, f"no service has the key {event['routing_key']}"
        key = event["dedup_key"]
        self.events.append(event)
        if event["event_action"] == "resolve":
            self.alerts.discard(key)
        elif key not in self.alerts:
            self.alerts.add(key)
            self.paged[key] += 1
        told = {"status": "success", "message": "Event processed", "dedup_key": key}
        return Answer(202, body=json.dumps(told).encode())

    def open(self) -> set[str]:
        """What is open."""
        with self.lock:
            return set(self.alerts)


class FakeWebhook(FakeReceiver):
    """An endpoint that trusts nobody, and drops ids that it knows. events: those that it did not know, in order."""

    schema = Draft202012Validator(registry.schema("incident"), format_checker=FormatChecker())

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__(now)
        self.seen: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Any path."""
        told = {name.lower(): value for name, value in headers.items()}
        assert told["content-type"].startswith("application/cloudevents+json")
        name, at = told["webhook-id"], told["webhook-timestamp"]
        signed = f"{name}.{at}.".encode() + body
        expected = base64.b64encode(hmac.digest(WEBHOOK_KEY, signed, hashlib.sha256)).decode()
        assert told["webhook-signature"] == f"v1,{expected}", "the signature is wrong"
        assert abs(self.now() // 1_000_000 - int(at)) <= 300, "too old"
        event = json.loads(body)
        self.schema.validate(event)
        assert event["id"] == name
        if name not in self.seen:
            self.seen.add(name)
            self.events.append(event)
            self.headers.append(told)
        return Answer(204, body=b"")

    def open(self) -> set[str]:
        """What is open."""
        with self.lock:
            state = {event["data"]["dedupkey"]: event["data"]["state"] for event in self.events}
        return {key for key, s in state.items() if s == "open"}
