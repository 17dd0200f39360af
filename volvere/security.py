"""How Kafka and ClickHouse let us in: the settings made into what each client takes, and refusals into words.

Whoever makes a client of Kafka gives it `**access`: aiokafka and kafka-python name these options
alike, and Faust's are made of them. Passwords are read here and nowhere else. Hosts' names are always checked.

Clients of Kafka tell badly why they are not let in: they try until a deadline and then speak of
the network. So before they start, `refusal` opens one connection by hand and listens to the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from sinks import tls
from volvere.settings import Settings, SettingsProblem, variable

Access = Mapping[str, Any]
"""Keyword arguments for a client of Kafka: what it needs to be let in."""

OPEN: Access = MappingProxyType({})
"""Nothing is asked for: neither TLS nor a login."""

ANSWER_WITHIN_MS = 3_000
"""For `refusal`: who says nothing by then refuses nothing, and is left to the client and its deadline."""
_TLS_ALERT = 0x1503
"""How the answer of a TLS port to plain bytes begins; read as a length it is 352 million."""


class Password(str):
    """A password as clients take it; what is printed of the dictionaries and objects that hold it shows nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class _Parting(ssl.SSLObject):
    """A TLS connection that says goodbye when it is closed, and does not wait for an answer.

    Kafka gives none while it prepares a response, and uvloop waits 30 s for it: longer than a claim may take.
    """

    def unwrap(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            super().unwrap()


def kafka(settings: Settings) -> Access:
    """What every client of this Kafka needs. Raises SettingsProblem: a file that cannot be used."""
    if settings.kafka_is_embedded or settings.kafka_security == "plaintext":
        return OPEN
    access: dict[str, Any] = {"security_protocol": settings.kafka_security.upper()}
    if settings.kafka_security.endswith("ssl"):
        access["ssl_context"] = _context(settings, "kafka", settings.secret("kafka_key_password"))
    if settings.kafka_security.startswith("sasl"):
        access["sasl_mechanism"] = settings.kafka_sasl_mechanism
        access["sasl_plain_username"] = settings.kafka_user
        access["sasl_plain_password"] = Password(settings.secret("kafka_password"))
    return access


def clickhouse(settings: Settings) -> dict[str, Any]:
    """What `sinks.clickhouse.connect` needs beside the address. Raises SettingsProblem: a file that cannot be used."""
    login = {"user": settings.clickhouse_user, "password": Password(settings.secret("clickhouse_password"))}
    if not settings.clickhouse.startswith("https://"):
        return login
    _context(settings, "clickhouse", "")  # whether the files fit: the client says nothing of use about that
    files = ("ca_file", "cert_file", "key_file")
    return login | {file: getattr(settings, f"clickhouse_{file}") for file in files}


def _context(settings: Settings, server: Literal["kafka", "clickhouse"], password: str) -> ssl.SSLContext:
    ca, cert, key = (_readable(settings, f"{server}_{file}") for file in ("ca_file", "cert_file", "key_file"))
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise SettingsProblem(f"{variable(f'{server}_ca_file')}: expected certificates (PEM); {ca} has none") from None
    context.sslobject_class = _Parting
    if cert is None:
        return context
    asked = False

    def unlock() -> str:
        nonlocal asked
        asked = True
        if password:
            return password
        how = f"set {variable('kafka_key_password')}" if server == "kafka" else "expected one without (`openssl pkey`)"
        raise SettingsProblem(f"{name}: the private key in {key or cert} needs a password; {how}")

    name = variable(f"{server}_key_file" if key else f"{server}_cert_file")
    try:
        context.load_cert_chain(cert, key, unlock)
    except ssl.SSLError as e:
        if asked:
            name, why = variable("kafka_key_password"), f"does not open the private key in {key or cert}"
        elif e.reason == "KEY_VALUES_MISMATCH":
            why = f"expected the private key of the certificate in {cert}; {key or cert} holds another"
        else:
            why = f"expected a certificate and its private key (PEM) in {cert}{f' and {key}' if key else ''}"
        raise SettingsProblem(f"{name}: {why}") from None
    return context


def _readable(settings: Settings, name: str) -> Path | None:
    path: Path | None = getattr(settings, name)
    try:
        if path is not None:
            path.open("rb").close()
    except OSError as e:
        raise SettingsProblem(f"{variable(name)}: expected a readable file; {path}: {e.strerror}") from None
    return path


async def refusal(bootstrap: str, access: Access) -> str | None:
    """Why no broker lets us in, and what to do, in one line; None when one does, or when nobody says anything."""
    knocks = (_knock(address, access) for address in bootstrap.split(","))
    answers = await asyncio.gather(*knocks, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(refused) < len(answers):
        return None
    told = (_words(answer, access) for answer in refused)
    return next((words for words in told if words is not None), None)


async def brokers(bootstrap: str, access: Access) -> list[tuple[int, str, int]]:
    """The brokers that clients are sent to: number, host and port of each; none where nobody answers."""
    knocks = (_knock(address, access) for address in bootstrap.split(","))
    answers = await asyncio.gather(*knocks, return_exceptions=True)
    told = (answer for answer in answers if not isinstance(answer, BaseException))
    return [(int(b[0]), str(b[1]), int(b[2])) for b in next(told, [])]


async def _knock(address: str, access: Access) -> list[Any]:
    """One connection, and one question that only who is let in may ask: which brokers there are."""
    host, _, port = address.rpartition(":")
    connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=ANSWER_WITHIN_MS, **access)
    try:
        answer = await connection.send(MetadataRequest([]))
    finally:
        connection.close()
    return list(answer.brokers)


def _words(error: BaseException, access: Access) -> str | None:
    security, encrypted, login = variable("kafka_security"), "ssl_context" in access, "sasl_mechanism" in access
    if login and isinstance(error, errors.SaslAuthenticationFailed):
        return (
            f"it refuses the login of user {access['sasl_plain_username']!r} by {access['sasl_mechanism']} ({error}); "
            f"check {variable('kafka_user')} and {variable('kafka_password')}, and that the user exists for this mechanism"
        )
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        mechanism = variable("kafka_sasl_mechanism")
        return f"it does not take logins by {access['sasl_mechanism']}; set {mechanism} to one that it takes"
    if isinstance(error, errors.IllegalSaslStateError):
        return f"it asks for no login; set {security} to {'ssl' if encrypted else 'plaintext'}"
    if (why := tls.refusal(error, variable("kafka"))) is not None:
        return why
    if encrypted and isinstance(error, ConnectionResetError):
        return f"it does not speak TLS; set {security} to {'sasl_plaintext' if login else 'plaintext'}"
    broken = error.__cause__
    if not encrypted and isinstance(broken, asyncio.IncompleteReadError) and (broken.expected or 0) >> 16 == _TLS_ALERT:
        return f"it speaks TLS; set {security} to {'sasl_ssl' if login else 'ssl or sasl_ssl'}"
    if not login and isinstance(broken, asyncio.IncompleteReadError | ConnectionResetError):
        asked = (
            f"it closes the connection at the first question; if it asks for a login, set {security} to "
            f"{'sasl_ssl' if encrypted else 'sasl_plaintext'}, with {variable('kafka_sasl_mechanism')}, "
            f"{variable('kafka_user')} and {variable('kafka_password')}"
        )
        return f"{asked}; if for a certificate of ours, {variable('kafka_cert_file')}" if encrypted else asked
    return None
