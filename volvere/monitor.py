"""What a worker process shows of itself: metrics and health over HTTP, and a watchdog that ends it when it is stuck.

    GET /metrics           what it counts (Prometheus)
    GET /health/live       200, or 503 and why
    GET /health/ready      200, or 503 and what it waits for
    GET /health/started    200, or 503

Both run in threads of their own, because the event loop may be what is stuck. Nobody is asked to log in and nothing can be changed: listen on an
address that only monitoring reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from volvere import metrics as m
from volvere.health import LOOK_EVERY, Watch
from volvere.metrics import Metrics, Sample
from volvere.settings import SettingsProblem, variable
from volvere.vitals import Vitals, Worker

if TYPE_CHECKING:  # loaded only where they are wanted
    from volvere.traces import Traces

log = logging.getLogger("volvere")

BEAT = 0.5
"""Seconds between two turns of the event loop that are noted."""
SAID_WITHIN = 2.0
"""Seconds for saying why a process ends: where nobody takes its log it ends all the same."""


class Monitor:
    """Of one process. name: track, store or all; listen: host and port, or None; end: what is done to a stuck process.

    traces: its spans, while they are sent anywhere.
    """

    def __init__(
        self,
        name: str,
        listen: tuple[str, int] | None = None,
        stuck_after: float = 300.0,
        end: Callable[[str], None] | None = None,
    ) -> None:
        self.name, self.listen = name, listen
        own = "volvere_" if name == "all" else f"volvere_{name}_"
        self.metrics = Metrics(
            self._samples, [h for h in m.METRICS if h.kind == "histogram" and h.name.startswith(own)]
        )
        self.traces: Traces | None = None
        self.workers: list[Worker] = []
        self.turns = 0
        self.turned = time.monotonic()
        self.started = False
        self.stuck = ""
        self._watch = Watch(stuck_after, self.turned)
        self._end = end or _end
        self._over = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve and watch. Raises SettingsProblem where the port cannot be had."""
        with contextlib.ExitStack() as stack:
            if self.listen is not None:
                stack.enter_context(self._serving(*self.listen))
            watching = threading.Thread(target=self._watching, name="watch", daemon=True)
            watching.start()
            try:
                yield
            finally:
                self._over.set()
                watching.join()

    @contextlib.asynccontextmanager
    async def watched(self, *workers: Worker) -> AsyncIterator[None]:
        """These run in this event loop."""
        self.workers += workers
        beating = asyncio.ensure_future(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            for worker in workers:
                self.workers.remove(worker)

    async def _beat(self) -> None:
        while True:
            self.turns, self.turned = self.turns + 1, time.monotonic()
            await asyncio.sleep(BEAT)

    def vitals(self) -> dict[str, Vitals]:
        """How its workers are, by name."""
        found = {worker.name: worker.vitals() for worker in list(self.workers)}
        self.started = self.started or (bool(found) and all(v.started for v in found.values()))
        return found

    # Watching

    def _watching(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            vitals = self.vitals()
            turn = self.turns if vitals else time.monotonic()  # a loop without workers is nobody's
            why = self._watch.look(time.monotonic(), turn, vitals)
            if why is not None and not self.stuck:
                self.stuck = why
                self._end(why)

    # Asking

    def health(self, what: str) -> tuple[bool, str] | None:
        """Whether it is live, ready or started, and why not; None where nobody knows what that is."""
        vitals = self.vitals()
        missing = [f"{name}: {v.missing}" for name, v in vitals.items() if v.missing or not v.started]
        if not vitals:
            missing = ["it is starting or stopping"]
        match what:
            case "live":
                return not self.stuck, self.stuck or "live"
            case "ready":
                return not missing, "; ".join(missing) or "ready"
            case "started":
                return self.started, "started" if self.started else "; ".join(missing)
        return None

    def _samples(self) -> Iterator[Sample]:
        python = platform.python_version()
        yield m.BUILD, (version("volvere"), python, self.name), 1
        ready, started = self.health("ready"), self.health("started")
        yield m.STARTED, (), bool(started and started[0])
        yield m.READY, (), bool(ready and ready[0])
        yield m.STANDSTILL, (), time.monotonic() - self.turned
        for worker in list(self.workers):
            yield from worker.samples()

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Of a request: status, content type and body."""
        if path == "/metrics":
            encode, kind = choose_encoder(accept)
            return 200, kind, encode(self.metrics.registry)
        head, _, what = path.rpartition("/")
        found = self.health(what) if head == "/health" else None
        if found is None:
            return (
                404,
                "text/plain; charset=utf-8",
                b"there are /metrics, /health/live, /health/ready and /health/started\n",
            )
        good, why = found
        return 200 if good else 503, "text/plain; charset=utf-8", f"{why}\n".encode()

    @contextlib.contextmanager
    def _serving(self, host: str, port: int) -> Iterator[None]:
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # seconds, for who connects and says nothing

            def do_GET(self) -> None:
                status, kind, body = monitor.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: it is asked every few seconds."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = _family(host)

        try:
            server = Server((host, port), Handler)
        except OSError as e:
            raise SettingsProblem(
                f"{variable('metrics_listen')}: cannot listen on {host}:{port}: {e.strerror or e}; choose another port, "
                "one for each worker on a machine, or none"
            ) from None
        with server:
            log.info("metrics and health are at http://%s:%d", host, server.server_address[1])
            serving = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
            serving.start()
            try:
                yield
            finally:
                server.shutdown()
                serving.join()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _end(why: str) -> None:
    """The process, at once: the loop, or whoever takes the log, may never come back."""

    def say() -> None:
        log.critical("stuck, ending, so that somebody else goes on: %s", why)
        logging.shutdown()

    telling = threading.Thread(target=say, daemon=True)
    telling.start()
    telling.join(SAID_WITHIN)
    os._exit(4)
