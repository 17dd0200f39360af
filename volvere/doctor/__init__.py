"""`volvere doctor`: everything that the workers need, whether it is reachable and right, and what to do about what is not.

    settings, files, rules, routes, memory, disk, metrics, traces
    kafka.name ─▶ port ─▶ login ─▶ brokers ─▶ topics ─▶ clock, state, workers, alerts
    clickhouse.name ─▶ port ─▶ login ─▶ schema ─▶ refreshes, generation

A check is made when those that it needs found nothing wrong: who is not let in has nothing to say about topics. Every finding
has a name, a verdict and, where something is not as it should be, a remedy. Nothing is changed: what must be written to be
known (which time it is for the broker) is written in a transaction that is taken back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from schemas.times import SECOND
from volvere.settings import Settings
from volvere.worker import wall

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from streams.partition import Control
    from volvere.security import Access

Verdict = Literal["ok", "doubtful", "wrong", "unknown"]
"""doubtful: the workers run, and somebody may be sorry later. unknown: not looked at, because of something else."""

ANSWER_WITHIN = 3.0
"""Seconds for a connection."""


@dataclass(frozen=True)
class Finding:
    """What was found by one check. remedy: what to do, where that is not nothing."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


Said = tuple[Verdict, str, str]
"""A verdict, what was found, and the remedy: a finding whose name is known to whoever asked."""


@dataclass
class Patient:
    """What the checks look at, and what later ones take over from earlier ones.

    now: microseconds. receivers: of the routes file, by name. brokers: number, host and port. clickhouse: open from its login on.
    controls: where each partition of the state stands.
    """

    settings: Settings
    now: Callable[[], int] = wall
    access: Access = field(default_factory=dict)
    receivers: list[str] = field(default_factory=list)
    brokers: list[tuple[int, str, int]] = field(default_factory=list)
    trusted: bool = False
    clickhouse: Client | None = None
    controls: dict[int, Control] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One look. needs: checks that must have found nothing wrong before it makes sense."""

    name: str
    look: Callable[[Patient], Iterable[Said]]
    needs: tuple[str, ...] = ()


def diagnose(options: Mapping[str, object], now: Callable[[], int] = wall) -> list[Finding]:
    """Every finding, in the order of the checks. options: settings that win over the environment."""
    from volvere.doctor import machine
    from volvere.settings import SettingsProblem, load

    try:
        settings = load(**options)
    except SettingsProblem as e:
        return [
            *(Finding("settings", "wrong", line, f"correct {line.partition(':')[0]}") for line in str(e).splitlines()),
            Finding("everything else", "unknown", "not looked at", "correct the settings first"),
        ]
    patient = Patient(settings, now)
    try:
        return [Finding("settings", *machine.given(settings)), *_in_turn(patient)]
    finally:
        if patient.clickhouse is not None:
            patient.clickhouse.close()


def _in_turn(patient: Patient) -> Iterator[Finding]:
    from volvere.doctor import broker, machine, store

    causes: dict[str, str] = {}
    for check in (*machine.CHECKS, *broker.checks(patient.settings), *store.checks(patient.settings)):
        cause = next((causes[need] for need in check.needs if need in causes), None)
        if cause is not None:
            causes[check.name] = cause
            yield Finding(check.name, "unknown", "not looked at", f"see to {cause} first")
            continue
        for verdict, found, remedy in _heard(check, patient):
            if verdict in ("wrong", "unknown"):
                causes[check.name] = check.name
            yield Finding(check.name, verdict, found, remedy)


def _heard(check: Check, patient: Patient) -> Iterator[Said]:
    """What a check says, its errors included: they are written for people, and name a remedy."""
    from aiokafka.errors import KafkaError
    from kafka.errors import KafkaError as AdminError

    from schemas.errors import VolvereError
    from sinks.clickhouse import StoreProblem
    from volvere.settings import SettingsProblem
    from volvere.topics import BrokerProblem

    try:
        yield from check.look(patient)
    except SettingsProblem as e:
        for line in str(e).splitlines():
            yield "wrong", line, f"correct {line.partition(':')[0]}"
    except (BrokerProblem, StoreProblem, VolvereError) as e:
        for line in str(e).splitlines():
            yield told(line)
    except (AdminError, KafkaError) as e:
        yield (
            "wrong",
            f"Kafka says: {type(e).__name__}: {e}",
            "see whether this user may do that, and the brokers' logs",
        )


def told(line: str, verdict: Verdict = "wrong") -> Said:
    """An error's line, which says first what is wrong and then what to do."""
    found, _, remedy = line.partition("; ")
    if not remedy:
        found, _, remedy = line.rpartition(": ")
    return (verdict, found, remedy) if found and remedy else (verdict, line, "see the logs of the server")


def unknown_name(host: str, port: int) -> str | None:
    """Why a host's name has no address; None where it has one."""
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        return f"no address is known for {host} ({getattr(e, 'strerror', None) or e})"
    return None


def silent(host: str, port: int) -> str | None:
    """Why nobody can be reached there; None where somebody listens."""
    try:
        socket.create_connection((host, port), ANSWER_WITHIN).close()
    except OSError as e:
        return f"{host}:{port} cannot be reached ({e.strerror or e})"
    return None


def ends(until: float, now: int, remedy: str) -> Said:
    """Of a certificate that is valid until then (seconds); now: microseconds."""
    days = int(until - now / SECOND) // 86_400
    if days < 0:
        return "wrong", "has expired", remedy
    return ("doubtful" if days < 30 else "ok"), f"is valid for {days} more days", remedy if days < 30 else ""


def parted(address: str) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
