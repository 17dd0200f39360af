"""ClickHouse, embedded in a folder or over HTTP: connect, migrate, insert, ask.

One setting says where: a folder (chdb, the same engine inside this process) or an http(s) URL.
A client is used by one thread at a time.

An insert may be sent twice: its token is a digest of its rows, so ClickHouse takes it once. An
error is one of three things: the server is busy or away (Transient, after a few tries), a row is
bad (found by halving, the rest is stored), or the set-up is wrong (StoreProblem, for a person).
"""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from http.client import BadStatusLine
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit
from uuid import UUID

import clickhouse_connect
import lz4.frame
import stamina
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.transform import NativeTransform

from schemas.errors import Transient
from sinks import dictionary, tls
from sinks.cluster import on_cluster
from sinks.rows import COLUMNS, Row

OLDEST = (26, 3)
"""The oldest server that is supported: before it, the settings below mean something else."""

SETTINGS = {
    "async_insert": "0",
    # Rows of a batch that replace each other are left to the merges: that spares half of an insert's work.
    "optimize_on_insert": "0",
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    # A batch of history may span more months than the default of 100; what is then refused as
    # "too many parts" would be refused for ever.
    "max_partitions_per_insert_block": "0",
    # The embedded engine gets each batch as a file of a new name, and would remember of each how many rows it had.
    "use_cache_for_count_from_files": "0",
}
MIGRATIONS = Path(__file__).parent / "migrations"

RETRYABLE = frozenset({3, 75, 107, 159, 164, 202, 203, 209, 210, 241, 242, 243, 252, 285, 319, 425, 999})
"""Codes that pass: busy, away, out of memory, and a disk that is full (75, 243)."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The same for the embedded engine's client, which puts a batch into a temporary file."""
OUR_OWN = 395
"""What a view itself says about a parameter."""
REFUSED_LOGIN = frozenset({192, 193, 194, 516})
BAD_ROW = frozenset(
    {6, 25, 26, 27, 33, 34, 38, 41, 53, 69, 70, 72, 117, 131, 190, 321, 349, 376, 407, 441, 467, 469, 623}
)
"""Codes that a row's own content causes: it is out of range, null, too large, or violates a constraint."""


class StoreProblem(Exception):
    """ClickHouse cannot be used as it is set up, or a question is wrong; the text is for a person."""


def connect(
    where: str | Path,
    user: str | None = None,
    password: str | None = None,
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
) -> Client:
    """A client for a folder (embedded) or an http(s) URL. Raises StoreProblem.

    ca_file: who signed the server's certificate; None: whom the system trusts. cert_file, key_file: our own; without a
    password they are the login.
    """
    text = str(where)
    if text.startswith(("http://", "https://")):
        files = {"ca_cert": ca_file, "client_cert": cert_file, "client_cert_key": key_file}
        return _connect_server(text, user, password, {name: str(file) for name, file in files.items() if file})
    if "://" in text or re.fullmatch(r"[\w.-]+:\d+", text):
        raise StoreProblem(f"ClickHouse at {_shown(text)}: expected a folder, or a URL such as http://localhost:8123")
    return _connect_folder(Path(text))


def _connect_folder(folder: Path) -> Client:
    path = folder.expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreProblem(f"ClickHouse in folder {path}: cannot be created ({e.strerror}); choose another") from None
    try:
        return clickhouse_connect.get_client(interface="chdb", path=str(path), settings=SETTINGS)
    except ImportError:
        raise StoreProblem("the embedded ClickHouse is not installed; expected the package chdb-core") from None
    except ClickHouseError as e:
        raise StoreProblem(
            f"ClickHouse in folder {path} cannot be opened: it is in use by another process, or damaged{_holder(path)}. "
            "Stop that process, or choose another folder, or an http(s) URL of a server"
        ) from e


def _holder(path: Path) -> str:
    """Who holds the folder, as far as ClickHouse's own status file says."""
    try:
        found = re.search(r"PID: (\d+)", (path / "status").read_text())
    except OSError:
        found = None
    return f" (last opened by process {found[1]})" if found else ""


def _connect_server(url: str, user: str | None, password: str | None, files: dict[str, Any]) -> Client:
    parts = urlsplit(url)
    shown = _shown(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        raise StoreProblem(f"ClickHouse at {shown}: expected a URL such as http://localhost:8123")
    if parts.username or parts.password:
        raise StoreProblem(f"ClickHouse at {shown}: give user and password by their own settings, not inside the URL")
    try:
        client = clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=port or (8443 if parts.scheme == "https" else 8123),
            proxy_path=parts.path.strip("/"),
            username=user,
            password=password or "",
            connect_timeout=5,
            send_receive_timeout=65,
            autogenerate_session_id=False,
            compress="lz4",
            tls_mode="strict" if password else "mutual",
            **files,
        )
    except ClickHouseError as e:
        raise _connect_problem(e, shown) from None
    version = tuple(int(n) for n in re.findall(r"\d+", str(client.server_version))[:2])
    if version < OLDEST:
        client.close()
        raise StoreProblem(
            f"ClickHouse at {shown} is version {client.server_version}; expected {OLDEST[0]}.{OLDEST[1]} or newer"
        )
    for name, value in SETTINGS.items():
        client.set_client_setting(name, value)
    return client


def _connect_problem(error: ClickHouseError, shown: str) -> StoreProblem:
    code = _code(error)
    if code in REFUSED_LOGIN:
        return StoreProblem(f"ClickHouse at {shown} refuses the login; check user and password, or the certificate")
    if (why := tls.refusal(error, "VOLVERE_CLICKHOUSE")) is not None:
        return StoreProblem(f"ClickHouse at {shown} cannot be used: {why}")
    if any(isinstance(link, BadStatusLine) for link in tls.causes(error)):
        return StoreProblem(
            f"ClickHouse at {shown} closes the connection without an answer; if its port speaks TLS, use an https URL"
        )
    if code is None:
        return StoreProblem(f"ClickHouse at {shown} does not answer; is it running, and is this its HTTP address?")
    return StoreProblem(f"ClickHouse at {shown}: {explain(error)}")


def _shown(url: str) -> str:
    """A URL as it may be shown: without credentials and without parameters."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url.rpartition("@")[2]


def _code(error: ClickHouseError) -> int | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def explain(error: ClickHouseError) -> str:
    """ClickHouse's own words for an error: code, message and position, without the trail behind them."""
    text = str(error)
    found = re.search(r"(?:Code: \d+\. )?DB::Exception: (?!Code: )(.*)", text, re.DOTALL)
    message = found[1] if found else text
    message = re.sub(r"\s*\(for url [^)]*\)$", "", message)
    message = re.sub(r"\s*\(version [^)]*(?:\([^)]*\))?[^)]*\).*$", "", message, flags=re.DOTALL)
    message = re.sub(r": \(in file/uri .*?\): While executing.*?(?= \([A-Z_]+\)|$)", "", message, flags=re.DOTALL)
    message = re.sub(r": while executing (?:'FUNCTION|function) .*?(?= \([A-Z_]+\)$|$)", "", message, flags=re.DOTALL)
    message = re.sub(r"\. Expected one of: .*?(?= \([A-Z_]+\)$|$)", "", message, flags=re.DOTALL)
    message = message.replace("FORMAT Native", "")
    message = " ".join(message.split())
    code = _code(error)
    if code == OUR_OWN:
        return message.removesuffix(" (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)")
    if len(message) > 400:
        message = message[:397] + "..."
    return f"{message} (code {code})" if code is not None else message


# Migrations


@dataclass(frozen=True)
class Migration:
    """A file of statements, each of which can be run twice. digest: shows whether it was applied as it is now."""

    version: int
    name: str
    text: str
    digest: str


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """The files of a folder, in order."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        digest = blake2b(text.encode(), digest_size=16).hexdigest()
        found.append(Migration(int(file.name.partition("_")[0]), file.name, text, digest))
    return found


def applied(client: Client) -> dict[int, tuple[str, str]]:
    """Name and digest of the migrations that a store has seen, by version; none where there is no store."""
    there = "SELECT count() FROM system.tables WHERE database = 'volvere_store' AND name = 'migrations'"
    if query(client, there)[1] == [(0,)]:
        return {}
    rows: Any = query(client, "SELECT version, name, digest FROM volvere_store.migrations FINAL ORDER BY version")[1]
    return {version: (name, digest) for version, name, digest in rows}


def migrate(client: Client, folder: Path = MIGRATIONS, *, again: bool = False, cluster: str | None = None) -> list[str]:
    """Bring the tables and views up to date; gives the names of the files that were applied.

    Every statement can be run twice, so two workers may do this at once. again: apply all files, also those that were,
    so that what is missing is there again. cluster: where the tables are replicated, by its name (sinks.cluster). Raises StoreProblem when a file that was applied has changed since, or
    when all are to be applied to a store of a newer release; Transient or StoreProblem when a statement fails.
    """
    files = migrations(folder)
    command(client, "CREATE DATABASE IF NOT EXISTS volvere_store", cluster)
    command(
        client,
        "CREATE TABLE IF NOT EXISTS volvere_store.migrations "
        "(version UInt32, name String, digest String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6)) "
        "ENGINE = ReplacingMergeTree(applied_at) ORDER BY version",
        cluster,
    )
    before = applied(client)
    newer = [name for version, (name, _) in before.items() if version not in {file.version for file in files}]
    if again and newer:
        raise StoreProblem(
            f"a newer release has applied {', '.join(newer)}, which would be undone; run this command of that release"
        )
    done = []
    for file in files:
        if file.version in before:
            _, digest = before[file.version]
            if digest != file.digest:
                raise StoreProblem(
                    f"migration {file.name} was applied in another form; expected digest {digest}, got {file.digest}. "
                    "Restore the file and put the change into a new one"
                )
            if not again:
                continue
        for statement in file.text.split(";\n"):
            if statement.strip():
                command(client, statement, cluster)
        command(
            client,
            "INSERT INTO volvere_store.migrations (version, name, digest) "
            f"VALUES ({file.version}, '{file.name}', '{file.digest}')",
        )
        done.append(file.name)
    if not newer:
        _describe(client, cluster)  # not where a newer release has been: its words are the newer ones
    return done


def other_comments(client: Client) -> dict[str, dict[str, str]]:
    """The data dictionary's comments that the database does not have: by table or view, by column ("": of itself).

    Tables that are not ours are left alone, such as the one that ClickHouse fills while it refreshes a view.
    """
    out: dict[str, dict[str, str]] = {}
    tables = query(
        client,
        "SELECT database || '.' || name AS object, comment FROM system.tables "
        "WHERE database IN ('volvere', 'volvere_store') ORDER BY object",
    )[1]
    for name, comment in tables:
        wanted = dictionary.of_object(str(name))
        if wanted and comment != wanted:
            out.setdefault(str(name), {})[""] = wanted
    columns = query(
        client,
        "SELECT database || '.' || table AS object, name, comment FROM system.columns "
        "WHERE database IN ('volvere', 'volvere_store') ORDER BY object, position",
    )[1]
    for name, column, comment in columns:
        wanted = dictionary.of_column(str(name), str(column)) if dictionary.of_object(str(name)) else ""
        if wanted and comment != wanted:
            out.setdefault(str(name), {})[str(column)] = wanted
    return out


def _describe(client: Client, cluster: str | None) -> None:
    """Write the data dictionary's comments to where they differ."""
    for name, comments in other_comments(client).items():
        if "" in comments:
            command(client, f"ALTER TABLE {name} MODIFY COMMENT {quoted(comments.pop(''))}", cluster)
        if comments:
            changes = [f"COMMENT COLUMN `{column}` {quoted(wanted)}" for column, wanted in comments.items()]
            command(client, f"ALTER TABLE {name} {', '.join(changes)}", cluster)


def drop(client: Client, cluster: str | None = None) -> None:
    """Remove both databases and all that is in them."""
    for database in ("volvere", "volvere_store"):
        command(client, f"DROP DATABASE IF EXISTS {database} SYNC", cluster)


def newest_generation(client: Client) -> int:
    """The greatest generation in the store, 0 when it is empty."""
    found: Any = query(client, "SELECT max(generation) FROM volvere_store.generations")[1][0][0]
    return int(found)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def command(client: Client, statement: str, cluster: str | None = None) -> None:
    """Run a statement that changes something, on all of a cluster if there is one. Raises Transient or StoreProblem."""
    # Less than a client waits for an answer: a replica that is down is then told of, and the statement waits for it.
    settings = {"distributed_ddl_task_timeout": "60"} if cluster else None
    try:
        client.command(on_cluster(statement, cluster), settings=settings)
    except ClickHouseError as e:
        raise verdict(e) from e


def verdict(error: ClickHouseError) -> Transient | StoreProblem:
    """What an error means: the server is busy or away, or the set-up is wrong."""
    if _transient(error):
        return Transient(f"ClickHouse: {explain(error)}")
    if _code(error) in REFUSED_LOGIN:
        return StoreProblem("ClickHouse refuses the login; check user and password")
    return StoreProblem(f"ClickHouse: {explain(error)}")


def _transient(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    if not isinstance(error, ClickHouseError):
        return False
    code = _code(error)
    return code in RETRYABLE or (code is None and isinstance(error, OperationalError))


# Inserts


class Inserter:
    """Puts rows into tables of `volvere_store`. `retries` counts inserts that were sent again.

    Rows are turned into columns and sent as one block in ClickHouse's Native format: of all formats it takes, those by
    row cost it five times as much.
    """

    def __init__(self, client: Client, attempts: int = 5, wait_max: float = 5.0) -> None:
        self._client = client
        self._attempts, self._wait_max = attempts, wait_max
        self._compress = client.write_compression == "lz4"
        self._types: dict[str, list[ClickHouseType]] = {}
        self.retries = 0

    def insert(self, table: str, rows: Sequence[Row]) -> list[tuple[int, str]]:
        """Insert rows as `sinks.rows` makes them; gives positions and reasons of those that cannot be stored.

        Raises Transient when the server stays away, StoreProblem when it will not take any row.
        """
        if not rows:
            return []
        try:
            names, block = self._block(table, rows)
            self._send(table, names, block)
        except _Unfit as e:
            if len(rows) == 1:
                return [(0, str(e))]
        except ClickHouseError as e:
            if _code(e) not in BAD_ROW:
                raise verdict(e) from e
            if len(rows) == 1:
                return [(0, explain(e))]
        except OSError as e:
            if not _transient(e):
                raise
            raise Transient(f"ClickHouse: no room for a batch in {tempfile.gettempdir()}: {e.strerror}") from e
        else:
            return []
        half = len(rows) // 2
        refused = self.insert(table, rows[:half])
        return refused + [(half + at, reason) for at, reason in self.insert(table, rows[half:])]

    def _block(self, table: str, rows: Sequence[Row]) -> tuple[list[str], bytes]:
        """The columns that hold anything, and their block. Raises _Unfit when a column cannot hold a value."""
        if table not in self._types:
            described = self._client.query(f"DESCRIBE TABLE volvere_store.{table}").result_rows
            declared = {str(row[0]): str(row[1]) for row in described}
            self._types[table] = [get_from_name(declared[name]) for name in COLUMNS[table]]
        filled = [
            (name, type_, column)
            for name, type_, column in zip(COLUMNS[table], self._types[table], _columns(rows), strict=True)
            if not type_.nullable or column.count(None) < len(rows)
        ]
        names, types, columns = (list(part) for part in zip(*filled, strict=True))
        context = InsertContext(table, names, types, columns, column_oriented=True, block_size=len(rows))
        block = b"".join(NativeTransform.build_insert(context, _unfit))
        return names, block[block.index(b"\n") + 1 :]  # without the statement

    def _send(self, table: str, names: Sequence[str], block: bytes) -> None:
        # The token names the rows: one token with other rows would be dropped in silence.
        settings = {"insert_deduplication_token": blake2b(block, digest_size=16).hexdigest()}
        compression = None
        if self._compress:
            block, compression = lz4.frame.compress(block), "lz4"
        for attempt in stamina.retry_context(
            on=_transient, attempts=self._attempts, wait_max=self._wait_max, timeout=None
        ):
            with attempt:
                self.retries += attempt.num > 1
                self._client.raw_insert(
                    f"volvere_store.{table}",
                    column_names=names,
                    insert_block=block,
                    fmt="Native",
                    compression=compression,
                    settings=settings,
                )


class _Unfit(Exception):
    """A value that its column cannot hold."""


def _unfit(error: Exception) -> NoReturn:
    raise _Unfit(str(error)) from error


def _columns(rows: Sequence[Row], at_once: int = 256) -> list[list[Any]]:
    """Rows turned into columns, so many at once as stay in the processor's cache."""
    columns: list[list[Any]] = [[] for _ in rows[0]]
    for at in range(0, len(rows), at_once):
        for column, part in zip(columns, zip(*rows[at : at + at_once], strict=True), strict=True):
            column.extend(part)
    return columns


# Questions

_NO_CODE = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_CALL = re.compile(r"\b(volvere(?:_store)?\.\w+)\s*\(([^()]*)\)")
_QUESTION = re.compile(r"[\s(]*(select|with|show|describe|desc|explain|exists|from)\b", re.IGNORECASE)


def query(
    client: Client, sql: str, parameters: Mapping[str, object] | None = None
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Ask one read-only question: the column names and the rows. Raises Transient or StoreProblem.

    parameters: values for the places such as `{name:String}`; ClickHouse binds them, they are never part of the text.
    """
    given = dict(parameters or {})
    question = sql.strip().rstrip("; \t\r\n")
    code = _NO_CODE.sub(" ", question)
    # The embedded engine takes several statements at once, and writes files.
    if not _QUESTION.match(code) or ";" in code or re.search(r"\binto\s+outfile\b", code, re.IGNORECASE):
        raise StoreProblem("expected one question (SELECT, WITH, SHOW, DESCRIBE, EXPLAIN or EXISTS)")
    try:
        with _read_only(client) as (reader, settings):
            _check_parameters(reader, settings, code)
            result = reader.query(question, parameters=given, settings=settings)
            names = list(result.column_names)
            if not names and re.match(r"[\s(]*(select|with)\b", code, re.IGNORECASE):
                # An answer without rows comes without names.
                described = reader.query(f"DESCRIBE TABLE ({question}\n)", parameters=given, settings=settings)
                names = [str(row[0]) for row in described.result_rows]
    except ClickHouseError as e:
        if _code(e) == 164:  # retryable for an insert, whose table may be read-only for a while
            raise StoreProblem("only questions are answered here; the statement would change something") from e
        raise verdict(e) from e
    return names, [tuple(row) for row in result.result_rows]


def parameters_of(create_query: str) -> list[str]:
    """The parameters of a view, by how it was made."""
    return sorted(set(re.findall(r"\{(\w+):", create_query)))


def _check_parameters(client: Client, settings: dict[str, str], code: str) -> None:
    """StoreProblem where a view is not given just what it takes; ClickHouse would pass over a name that it does not know."""
    for view, arguments in _CALL.findall(code):
        found = client.query(
            "SELECT create_table_query FROM system.tables WHERE database || '.' || name = {view:String}",
            parameters={"view": view},
            settings=settings,
        ).result_rows
        takes = set(parameters_of(str(found[0][0]))) if found else set()
        given = set(re.findall(r"(\w+)\s*=", arguments))
        if takes and given != takes:
            wrong = [f"missing: {', '.join(sorted(takes - given))}"] * bool(takes - given)
            wrong += [f"unknown: {', '.join(sorted(given - takes))}"] * bool(given - takes)
            raise StoreProblem(f"{view} takes {', '.join(sorted(takes))}; {'; '.join(wrong)}")


@contextmanager
def _read_only(client: Client) -> Iterator[tuple[Client, dict[str, str]]]:
    """A client that cannot change anything, and the settings to ask it with.

    Over HTTP a setting goes with its request. In the embedded engine it belongs to the handle, and
    stays on it after some errors, so that questions get a handle of their own (10 ms).
    """
    folder = getattr(client, "path", None)
    if folder is None:
        yield client, {"readonly": "2"}
        return
    reader = clickhouse_connect.get_client(interface="chdb", path=folder, settings={"readonly": "2"})
    try:
        yield reader, {}
    finally:
        reader.close()


def jsonable(value: object) -> Any:
    """A value of an answer as JSON can hold it; times as RFC 3339 in UTC, large and exact numbers as text."""
    match value:
        case datetime():
            at = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return at.isoformat() + "Z"
        case bool() | None | str():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case float():
            return value if value - value == 0 else None
        case Decimal():
            return format(value, "f")
        case UUID() | IPv4Address() | IPv6Address():
            return str(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {str(k): jsonable(v) for k, v in value.items()}
        case list() | tuple() | set():
            return [jsonable(v) for v in value]
    return str(value)
