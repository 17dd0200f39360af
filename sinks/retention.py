"""How long rows are kept, and when they move to a cheaper volume: the settings say it, `volvere store migrate` makes it so.

Touchpoints go by when they happened: all versions of one go at once. Journeys and frictions go by when they arrived: their
versions arrive in order, so that the newest goes last and no older one is seen again. Operations stay: they are few, and who is there
today may have been hired long ago. ClickHouse removes and moves rows as it merges, hours later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from schemas.topics import FRICTIONS, JOURNEYS, TOUCHPOINTS
from sinks.clickhouse import command, query
from sinks.rows import REFUSED

GOES_BY = {
    TOUCHPOINTS.name: "occurred_at",
    JOURNEYS.name: "appended_at",
    FRICTIONS.name: "appended_at",
    REFUSED: "appended_at",
}
"""Tables whose rows are not kept for ever if the settings say so, and the time that they go by."""

_TTL = re.compile(r" TTL (.*?)(?= SETTINGS |$)")
_KEPT = re.compile(r"toDateTime\(\w+\) \+ toIntervalDay\((\d+)\)(?:,|$)")


@dataclass(frozen=True)
class Retention:
    """keep_days: how long rows are kept, None: for ever. cold_after_days: when they move to `cold_volume` of `policy`."""

    keep_days: int | None = None
    cold_after_days: int | None = None
    policy: str | None = None
    cold_volume: str = "cold"

    def ttl(self, column: str) -> str:
        """As ClickHouse writes it; empty for none."""
        parts = [f"toDateTime({column}) + toIntervalDay({self.keep_days})"] * (self.keep_days is not None)
        if self.cold_after_days is not None:
            parts.append(f"toDateTime({column}) + toIntervalDay({self.cold_after_days}) TO VOLUME '{self.cold_volume}'")
        return ", ".join(parts)

    @property
    def words(self) -> str:
        """For a person."""
        kept = "for ever" if self.keep_days is None else f"for {self.keep_days} days"
        cold = f", on volume {self.cold_volume} after {self.cold_after_days} days" * (self.cold_after_days is not None)
        return f"kept {kept}{cold}"


def apply(client: Client, wanted: Retention, cluster: str | None = None) -> list[str]:
    """Make it so where it is not; a line for each table that was changed. Raises Transient or StoreProblem.

    A storage policy stays when it is no longer named: ClickHouse lets a table not go back to one without
    the disks of its own, and without moves it makes no difference.
    """
    done = []
    for table, column in GOES_BY.items():
        (engine, policy), *_ = _engines(client, table)
        ttl, changed = wanted.ttl(column), False
        if wanted.policy is not None and policy != wanted.policy:
            command(
                client, f"ALTER TABLE volvere_store.{table} MODIFY SETTING storage_policy = '{wanted.policy}'", cluster
            )
            changed = True
        if _ttl(engine) != ttl:
            command(
                client, f"ALTER TABLE volvere_store.{table} {f'MODIFY TTL {ttl}' if ttl else 'REMOVE TTL'}", cluster
            )
            changed = True
        if changed:
            done.append(f"volvere_store.{table}: {wanted.words}")
    return done


def kept_days(client: Client, table: str) -> int | None:
    """How long rows of a table are kept by what the database says of itself; None: for ever."""
    for engine, _ in _engines(client, table):
        found = _KEPT.search(_ttl(engine))
        return int(found[1]) if found else None
    return None


def _engines(client: Client, table: str) -> list[tuple[str, str]]:
    found: Any = query(
        client,
        "SELECT engine_full, storage_policy FROM system.tables WHERE database = 'volvere_store' AND name = {table:String}",
        {"table": table},
    )[1]
    return list(found)


def _ttl(engine: str) -> str:
    found = _TTL.search(engine)
    return found[1] if found else ""
