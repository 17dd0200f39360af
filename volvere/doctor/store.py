"""ClickHouse: found, reached, let in; its version, tables and views, their refreshes, its disk, its generation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sinks.clickhouse import StoreProblem, connect, newest_generation, query
from sinks.inspection import inspect
from volvere import security
from volvere.doctor import Check, Patient, Said, silent, told, unknown_name
from volvere.settings import Settings, masked, variable

GIB = 1024**3


def checks(settings: Settings) -> tuple[Check, ...]:
    """Those that this ClickHouse can be asked."""
    reach = (
        (Check("clickhouse.folder", _folder, ("disk",)),)
        if settings.clickhouse_is_embedded
        else (Check("clickhouse.name", _name), Check("clickhouse.port", _port, ("clickhouse.name",)))
    )
    return (
        *reach,
        Check("clickhouse.login", _login, ("files", reach[-1].name)),
        Check("clickhouse.schema", _schema, ("clickhouse.login",)),
        Check("clickhouse.refreshes", _refreshes, ("clickhouse.schema",)),
        Check("clickhouse.disk", _disk, ("clickhouse.login",)),
        Check("clickhouse.generation", _generation, ("clickhouse.schema", "kafka.state")),
    )


def _address(settings: Settings) -> tuple[str, int]:
    parts = urlsplit(settings.clickhouse)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        raise StoreProblem(
            f"{masked(settings.clickhouse)} is no address; set {variable('clickhouse')} to one such as http://clickhouse:8123"
        )
    return parts.hostname, port or (8443 if parts.scheme == "https" else 8123)


def _name(patient: Patient) -> Iterator[Said]:
    if (why := unknown_name(*_address(patient.settings))) is not None:
        yield "wrong", why, f"correct {variable('clickhouse')}, or the name service of this machine"
    else:
        yield "ok", _address(patient.settings)[0], ""


def _port(patient: Patient) -> Iterator[Said]:
    if (why := silent(*_address(patient.settings))) is not None:
        yield (
            "wrong",
            why,
            f"start ClickHouse, open the way to it (firewall, NetworkPolicy), or correct {variable('clickhouse')}: its HTTP port",
        )
    else:
        yield "ok", str(_address(patient.settings)[1]), ""


def _folder(patient: Patient) -> Iterator[Said]:
    """A folder is one process's at a time, and is not made by looking for it."""
    folder = Path(patient.settings.clickhouse).expanduser()
    if not (folder / "metadata").is_dir():
        yield "unknown", f"{folder}: no store is there yet", "run `volvere store migrate`, or a worker, which makes one"
        return
    try:
        holder = re.search(r"PID: (\d+)", (folder / "status").read_text())
    except OSError:
        holder = None
    if holder and int(holder[1]) != os.getpid() and Path(f"/proc/{holder[1]}").exists():
        yield (
            "unknown",
            f"{folder} is in use by process {holder[1]}",
            "look again when that process has ended, or use a server",
        )
    else:
        yield "ok", str(folder), ""


def _login(patient: Patient) -> Iterator[Said]:
    settings = patient.settings
    patient.clickhouse = connect(settings.clickhouse, **security.clickhouse(settings))
    yield "ok", f"ClickHouse {patient.clickhouse.server_version}", ""


def _schema(patient: Patient) -> Iterator[Said]:
    assert patient.clickhouse is not None
    wrong = inspect(patient.clickhouse)
    for line in wrong:
        yield told(line)
    if not wrong:
        yield "ok", "migrations, tables, views, columns and comments are as this release wants them", ""


def _refreshes(patient: Patient) -> Iterator[Said]:
    """What is made anew every few minutes is."""
    assert patient.clickhouse is not None
    failed = query(
        patient.clickhouse,
        "SELECT database || '.' || view, exception FROM system.view_refreshes "
        "WHERE database IN ('volvere', 'volvere_store') AND exception != '' ORDER BY ALL",
    )[1]
    for name, why in failed:
        yield (
            "wrong",
            f"{name} cannot be refreshed: {str(why)[:300]}",
            f"see to the cause, then `SYSTEM REFRESH VIEW {name}`",
        )
    if not failed:
        yield "ok", "none has failed", ""


def _disk(patient: Patient) -> Iterator[Said]:
    """Of the server; of a folder the check `disk` has told."""
    assert patient.clickhouse is not None
    for name, free, total in query(
        patient.clickhouse, "SELECT name, free_space, total_space FROM system.disks ORDER BY name"
    )[1]:
        left, all_of_it = int(str(free)), int(str(total))
        full = all_of_it > 0 and (left < GIB or left < all_of_it / 20)
        found = f"{left / GIB:,.1f} of {all_of_it / GIB:,.1f} GiB are free on disk {name}"
        yield "doubtful" if full else "ok", found, "make room there, or add a disk" if full else ""


def _generation(patient: Patient) -> Iterator[Said]:
    """The views show of each customer the newest generation: what an older one finds would not be seen."""
    assert patient.clickhouse is not None
    stored = newest_generation(patient.clickhouse)
    present = min((control.generation for control in patient.controls.values()), default=None)
    if present is not None and present < stored:
        yield (
            "wrong",
            f"the store has generation {stored}, the state in Kafka is of generation {present}: what it finds is hidden by older rows",
            "run `volvere rebuild --from clickhouse` (or `--from topic`), which begins a newer one",
        )
    else:
        yield "ok", f"generation {stored} in the store", ""
