"""The touchpoints that the store holds, read back for a rebuild of the state.

Of each touchpoint the winning version, cancelled ones as well, in order of `occurred_at`; a month and a
partition at a time, since the server must sort what it hands out in order. Rows are streamed: no more than a
page of them is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from schemas.errors import Transient
from sinks.clickhouse import query, verdict
from sinks.rows import STORED_COLUMNS, Stored, stored

_T = TypeVar("_T")

PAGE = 2_000
CHUNK = 256 * 1024
_SETTINGS = {"do_not_merge_across_partitions_select_final": "1", "output_format_json_quote_64bit_integers": "0"}
"""A row's key holds its time, so that no touchpoint has versions in two months."""


def count(client: Client) -> int:
    """About how many touchpoints there are: versions that are not merged yet count, too. Raises Transient or StoreProblem."""
    return _number(client, "SELECT count() FROM volvere_store.touchpoints")


def touchpoints(client: Client, partition: int, partitions: int) -> Iterator[list[Stored]]:
    """Those of the subjects that a partition owns, in pages. Raises Transient or StoreProblem.

    The client may not be asked anything else before the last page.
    """
    months = query(
        client, "SELECT DISTINCT toYYYYMM(occurred_at) AS month FROM volvere_store.touchpoints ORDER BY month"
    )
    for (month,) in months[1]:
        rows = lines(
            client,
            f"SELECT {STORED_COLUMNS} FROM volvere_store.touchpoints AS t FINAL "
            f"WHERE toYYYYMM(t.occurred_at) = {month} AND kafkaMurmurHash(t.subject) % {partitions} = {partition} "
            "ORDER BY t.occurred_at, t.subject, t.source, t.event_id",
            stored,
        )
        while page := list(islice(rows, PAGE)):
            yield page


def lines(client: Client, sql: str, read: Callable[[bytes], _T], fmt: str = "JSONEachRow") -> Iterator[_T]:
    """An answer as it comes, each line of it read; numbers unquoted. Raises Transient, also in its midst, or StoreProblem."""
    try:
        stream: Any = client.raw_stream(sql, fmt=fmt, settings=_SETTINGS)
        with closing(stream):
            rest = b""
            while chunk := stream.read(CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from map(read, whole)
            if rest:
                yield read(rest)
    except ClickHouseError as e:
        raise verdict(e) from e
    except (
        msgspec.DecodeError,
        HTTPError,
        OSError,
    ) as e:  # what goes wrong in the midst of an answer is said inside it
        raise Transient(f"ClickHouse: the answer broke off or is damaged: {e}; run the command again") from e


def close_older(client: Client, generation: int) -> None:
    """Let nothing stand of subjects of whom no touchpoint stands: a new generation has nothing to say about them."""
    try:
        client.command(
            f"INSERT INTO volvere_store.generations SELECT DISTINCT subject, {generation} FROM volvere_store.generations "
            "WHERE subject NOT IN (SELECT subject FROM volvere_store.touchpoints FINAL WHERE NOT cancelled)"
        )
    except ClickHouseError as e:
        raise verdict(e) from e


def _number(client: Client, sql: str) -> int:
    found: Any = query(client, sql)[1][0][0]
    return int(found)
