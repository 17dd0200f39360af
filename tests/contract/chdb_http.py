"""ClickHouse's HTTP interface over the embedded engine, so that the real HTTP client can be tested.

It speaks as much of the protocol as clickhouse-connect uses: queries, settings in the URL, lz4 bodies,
inserts in any format, error codes in a header, TLS and certificates as logins. `faults` happen to the next inserts,
one each. It has one user at most and no sessions, async inserts or Keeper: those are a real server's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

_TRANSPORT = {"query", "database", "session_id", "query_id", "compress", "enable_http_compression", "wait_end_of_query"}
_TRANSPORT |= {"send_progress_in_http_headers", "http_headers_progress_interval_ms", "client_protocol_version"}
_INSERT = re.compile(
    rb"\s*INSERT\s+INTO\s+(?P<into>.+?)\s+FORMAT\s+(?P<format>\w+)\s*(?:\n|$)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Cut:
    """The connection breaks before the insert is executed."""


@dataclass(frozen=True)
class LoseAnswer:
    """The insert is executed; the connection breaks before the answer."""


@dataclass(frozen=True)
class Fail:
    """The server answers with an error; nothing is executed."""

    code: int
    status: int = 500
    message: str = "injected"


class ChdbHttp:
    """A server on loopback. `faults`: what happens to the next inserts; `inserts`: how many came; `arrived`: one did.

    tls: then it is an https server; a client's certificate is the login of the user whose name it bears.
    """

    def __init__(
        self, folder: Path, tls: ssl.SSLContext | None = None, *, address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.folder = folder
        self.faults: deque[Cut | LoseAnswer | Fail] = deque()
        self.inserts = 0
        self.arrived = threading.Event()
        self.away = False  # then every connection breaks before anything is done
        self.turned_away = 0
        self.password: str | None = None
        self.version: str | None = None
        self.lock = threading.Lock()  # the engine's handles share settings of the session while they run
        front = self

        class Handler(_Handler):
            server_state = front

        self._server = _Server(address, Handler)
        self._server.daemon_threads = True
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        if tls is not None:  # the handshake is the handler's: who stumbles over it must not hold up the others
            listening = self._server.socket
            self._server.socket = tls.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> ChdbHttp:
        # Whenever its last handle is closed, an engine leaves threads behind.
        self._engine = chdb.connect(str(self.folder))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._engine.close()

    def run(self, sql: str, settings: dict[str, str]) -> bytes:
        """Execute on a handle of its own, with the settings that came in the URL. Raises RuntimeError."""
        with self.lock:
            handle = chdb.connect(str(self.folder))
            try:
                for name, value in settings.items():
                    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                    handle.query(f"SET {name} = '{quoted}'")
                return bytes(handle.query(sql, "TabSeparated").bytes() or b"")
            finally:
                handle.close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that does not like our certificate, or we its: the client says so."""

    def shutdown_request(self, request: Any) -> None:
        """Close when the client has: an alert of TLS would be lost with what it still sends."""
        with socket.socket(fileno=request.detach()) as connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: ChdbHttp

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_: object) -> None:
        """Tests read answers, not an access log."""

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        front = self.server_state
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        if front.away:
            front.turned_away += 1
            self._cut()
            return
        if not self._logged_in(front.password):
            self._error(516, 403, "default: Authentication failed: password is incorrect")
            return
        settings = {name: value for name, value in given.items() if name not in _TRANSPORT}
        # Either all of it in the body, or the statement in the URL and the rows in the body.
        text = given["query"].encode() + b"\n" + body if "query" in given else body
        insert = _INSERT.match(text)
        if insert is None:
            sql = text.decode()
            if front.version is not None:
                sql = sql.replace("version()", f"'{front.version}'")
            self._execute(sql, settings)
            return
        front.inserts += 1
        front.arrived.set()
        fault = front.faults.popleft() if front.faults else None
        if isinstance(fault, Cut):
            self._cut()
            return
        if isinstance(fault, Fail):
            self._error(fault.code, fault.status, fault.message)
            return
        with _file(text[insert.end() :]) as path:
            sql = f"INSERT INTO {insert['into'].decode()} FROM INFILE '{path}' FORMAT {insert['format'].decode()}"
            self._execute(sql, settings, lost=isinstance(fault, LoseAnswer))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") != "lz4":
            return body
        plain = []
        while body:  # one frame for each block of the client's
            frame = lz4.frame.LZ4FrameDecompressor()
            plain.append(frame.decompress(body))
            body = frame.unused_data or b""
        return b"".join(plain)

    def _logged_in(self, password: str | None) -> bool:
        if self.headers.get("X-ClickHouse-SSL-Certificate-Auth") == "on":
            shown = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
            names = dict(part[0] for part in (shown or {}).get("subject", ()))  # type: ignore[misc]
            return names.get("commonName") == self.headers.get("X-ClickHouse-User")
        if password is None:
            return True
        login = base64.b64decode(self.headers.get("Authorization", "Basic ").removeprefix("Basic ")).decode()
        key = self.headers.get("X-ClickHouse-Key")
        return password in (key, login.partition(":")[2])

    def _execute(self, sql: str, settings: dict[str, str], *, lost: bool = False) -> None:
        try:
            out = self.server_state.run(sql, settings)
        except RuntimeError as e:
            found = re.search(r"Code: (\d+)", str(e))
            self._error(int(found[1]) if found else 1002, 500, str(e))
            return
        if lost:
            self._cut()
        else:
            self._answer(200, out, {"X-ClickHouse-Summary": json.dumps({"written_rows": "0"})})

    def _error(self, code: int, status: int, message: str) -> None:
        text = message if message.startswith("Code: ") else f"Code: {code}. DB::Exception: {message}"
        self._answer(status, text.encode(), {"X-ClickHouse-Exception-Code": str(code)})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"X-ClickHouse-Format": "Native"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        path.write_bytes(content)
        yield path
