"""What this machine must give: settings that fit, files that can be read, rules and routes, memory, open files, disk, a port."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import resource
import shutil
import socket
import ssl
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sinks.alerts.routes import RoutesError
from streams.rules import RulesError
from volvere.doctor import ANSWER_WITHIN, Check, Patient, Said, ends, silent
from volvere.metrics import BUILD
from volvere.settings import Settings, shown, variable

MIB = 1024 * 1024
LEAST_MEMORY, USUAL_MEMORY = 256 * MIB, 1024 * MIB
"""Below the first a worker does not start in peace; below the second there is little room for customers (README, Figures)."""
LEAST_FILES = 1024
"""Open files: each partition has a producer of its own with a connection to several brokers; an embedded ClickHouse many parts."""
LEAST_DISK, USUAL_DISK = 64 * MIB, 1024 * MIB

PASSWORDS = ("kafka_password_file", "kafka_key_password_file", "clickhouse_password_file")
KEYS = ("kafka_key_file", "clickhouse_key_file")
OWN = ("kafka_cert_file", "clickhouse_cert_file")
CERTIFICATES = ("kafka_ca_file", "clickhouse_ca_file", *OWN)


def given(settings: Settings) -> Said:
    """The settings could be read."""
    changed = sum(s.source != "default" for s in shown(settings))
    return "ok", f"{changed} given, the others as they come; `volvere config show` tells them", ""


def files(patient: Patient) -> Iterator[Said]:
    """Certificates and secrets can be read, by us and not by everybody; our own certificates do not end soon."""
    settings, good = patient.settings, 0
    for name in (*CERTIFICATES, *KEYS, *PASSWORDS):
        path: Path | None = getattr(settings, name)
        if path is None:
            continue
        try:
            text = path.read_bytes()
        except OSError as e:
            yield (
                "wrong",
                f"{variable(name)}: {path} cannot be read ({e.strerror})",
                f"mount the file there for user {os.getuid()}, or set {variable(name)} to where it is",
            )
            continue
        if not text.strip():
            yield "wrong", f"{variable(name)}: {path} is empty", "put the secret into it"
        elif name not in CERTIFICATES and _for_everybody(path):
            yield "doubtful", f"{variable(name)}: everybody on this machine may read {path}", f"run `chmod o-r {path}`"
        else:
            good += 1
        if name in OWN and (until := _valid_until(path)) is not None:
            verdict, left, remedy = ends(until, patient.now(), "get a new one from who signed it")
            if remedy:
                yield verdict, f"{variable(name)}: {path} {left}", remedy
    env = Path(".env")
    if env.is_file() and _for_everybody(env) and b"PASSWORD=" in env.read_bytes():
        yield "doubtful", ".env may hold a password, and everybody on this machine may read it", "run `chmod 600 .env`"
    yield "ok", f"{good} certificates and secrets can be read", ""


def _valid_until(path: Path) -> float | None:
    """When the first certificate of a file ends, seconds; None where it holds none, which the login will tell."""
    try:
        told = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]  # the only reader in the standard library
    except ssl.SSLError:
        return None
    return ssl.cert_time_to_seconds(told["notAfter"])


def _for_everybody(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH)


def rules(patient: Patient) -> Iterator[Said]:
    """The rules file is one, and means what it says."""
    from volvere import rules as sheets

    path = patient.settings.rules
    try:
        sheet = sheets.read(path)
    except RulesError as e:
        yield from _mistakes(e, f"volvere rules check {path}")
        return
    for line in sheets.doubts(sheet, patient.now()):
        where, _, why = line.partition(": ")
        yield "doubtful", f"{where}: {why}", f"if it is not meant, change it in {path}"
    changed = len(sheets.differences(sheet))
    yield "ok", f"{path or 'the rules that come with Volveré'}, {changed} values differ from the defaults", ""


def routes(patient: Patient) -> Iterator[Said]:
    """Who is told of what can be read, with the secrets."""
    from volvere.alert import load_routes

    path = patient.settings.alert_routes
    if path is None:
        yield "ok", "no file is named, which only `volvere worker alert` needs", ""
        return
    try:
        patient.receivers = [told.name for told in load_routes(path)]
    except RoutesError as e:
        yield from _mistakes(e, f"volvere alerts check {path}")
        return
    yield "ok", f"{path}: {', '.join(patient.receivers)}", ""


def _mistakes(found: Exception, check: str) -> Iterator[Said]:
    """In a file that a person wrote, one a line. check: the command that looks again."""
    for line in str(found).splitlines():
        yield "wrong", line, f"correct the file; `{check}` says when it is right"


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that this process may use: of its control group, or of the machine; None where nobody says."""
    limits: list[int] = []
    try:
        own = (root / "proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
    except OSError:
        own = ""
    groups = root / "sys/fs/cgroup"
    for path in (groups / own / "memory.max", groups / "memory.max", groups / "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(path.read_text()))
    with contextlib.suppress(OSError, ValueError, IndexError):
        limits.append(int((root / "proc/meminfo").read_text().split()[1]) * 1024)
    return min(limits, default=None)


def memory(_: Patient) -> Iterator[Said]:
    """There is room for what is remembered of customers."""
    yield judged_memory(memory_limit())


def judged_memory(limit: int | None) -> Said:
    """limit: bytes."""
    if limit is None:
        return "ok", "this system does not say how much there is", ""
    found = f"{limit // MIB:,} MiB"
    if limit < LEAST_MEMORY:
        return (
            "wrong",
            f"{found}: too little for a worker to start",
            f"give it {USUAL_MEMORY // MIB:,} MiB, as its container's limit",
        )
    if limit < USUAL_MEMORY:
        more = f"give a `track` or `store` worker {USUAL_MEMORY // MIB:,} MiB or more (docs/scale.md says how many)"
        return "doubtful", f"{found}: enough for a small company", more
    return "ok", found, ""


def open_files(_: Patient) -> Iterator[Said]:
    """There are enough file descriptors for connections and parts of tables."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < LEAST_FILES:
        more = f"run `ulimit -n {LEAST_FILES}` before" if most >= LEAST_FILES or most < 0 else "raise its hard limit"
        yield "wrong", f"this process may open {limit} files, expected {LEAST_FILES} or more", more
    else:
        yield "ok", f"{limit:,}" if limit >= 0 else "no limit", ""


def disk(patient: Patient) -> Iterator[Said]:
    """The folders that are written to can be, and have room."""
    settings = patient.settings
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError as e:  # none of the usual ones can be written to
        yield "wrong", f"no folder for temporary files: {e.strerror}", "set TMPDIR to one that can be written to"
        return
    places = {"temporary files": (folder, "TMPDIR")}
    if settings.clickhouse_is_embedded:
        places["the embedded ClickHouse"] = (Path(settings.clickhouse).expanduser(), variable("clickhouse"))
    for what, (place, name) in places.items():
        yield _room(what, place, name)


def _room(what: str, place: Path, name: str) -> Said:
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    if not there.is_dir():
        return "wrong", f"{there}, for {what}, is no folder", f"set {name} to a folder"
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"0" * 4096)
            probe.flush()
    except OSError as e:
        return (
            "wrong",
            f"{there}, for {what}, cannot be written to ({e.strerror})",
            f"make room there, let user {os.getuid()} write to it, or set {name} to another folder",
        )
    free = shutil.disk_usage(there).free
    found, remedy = (
        f"{free // MIB:,} MiB are free in {there}, for {what}",
        f"make room, or set {name} to another folder",
    )
    if free < LEAST_DISK:
        return "wrong", found, remedy
    return ("doubtful", found, remedy) if free < USUAL_DISK else ("ok", found, "")


def metrics(patient: Patient) -> Iterator[Said]:
    """The port that a worker is to serve metrics at is free, or a worker has it already."""
    at = patient.settings.metrics_address
    if at is None:
        yield "ok", "they are not served", ""
        return
    try:
        socket.create_server(at, family=socket.AF_INET6 if ":" in at[0] else socket.AF_INET).close()
    except OSError as e:
        if e.errno == errno.EADDRINUSE and _of_a_worker(*at):
            yield "ok", "a worker serves them", ""
        else:
            yield (
                "wrong",
                f"{variable('metrics_listen')}: cannot listen on {at[0]}:{at[1]} ({e.strerror or e})",
                "choose another port, one for each worker on a machine, or none",
            )
    else:
        yield "ok", f"{at[0]}:{at[1]} is free", ""


def _of_a_worker(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_WITHIN)
    try:
        connection.request("GET", "/metrics")
        return BUILD.name.encode() in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def traces(patient: Patient) -> Iterator[Said]:
    """Somebody listens where traces are sent to; no worker waits for that."""
    to = urlsplit(patient.settings.traces_to)
    if not to.hostname:
        yield "ok", "they are not sent", ""
    elif (why := silent(to.hostname, to.port or (443 if to.scheme == "https" else 80))) is not None:
        yield (
            "doubtful",
            why,
            f"start the collector, open the way to it (firewall, NetworkPolicy), or correct {variable('traces_to')}",
        )
    else:
        yield "ok", f"{to.hostname} listens", ""


CHECKS = (
    Check("files", files),
    Check("rules", rules),
    Check("routes", routes),
    Check("memory", memory),
    Check("open files", open_files),
    Check("disk", disk),
    Check("metrics", metrics),
    Check("traces", traces),
)
