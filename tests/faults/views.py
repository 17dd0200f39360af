"""Store the topics of a prefix into a folder, and print the rows of the views.

python -m tests.faults.views BOOTSTRAP PREFIX '{"touchpoints": 3, ...}' FOLDER
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from clickhouse_connect.driver.client import Client

from sinks.clickhouse import connect, migrate, query
from sinks.store import Store
from tests.stories import CLAIMED, CLAIMED_OF_JOURNEYS

COLUMNS = {
    "frictions": ("friction_id", *CLAIMED),
    "journeys": ("journey_id", "subject", *CLAIMED_OF_JOURNEYS, "first_channel", "last_channel"),
    "contacts": ("*",),
    "touchpoints": ("* EXCEPT appended_at",),
}
"""What does not depend on when and in which batches it came."""


async def fill(client: Client, bootstrap: str, prefix: str, records: dict[str, int]) -> None:
    """Store until so many rows of each table are there."""
    quick = {"session_timeout_ms": 4000, "heartbeat_interval_ms": 1000}
    store = Store(client, bootstrap, application=f"{prefix}views", prefix=prefix, consumer_options=quick)
    stop = asyncio.Event()
    working = asyncio.ensure_future(store.run(stop))
    async with asyncio.timeout(90):
        while not working.done() and any(store.counts.rows[table] < count for table, count in records.items()):
            await asyncio.wait({working}, timeout=0.1)
    stop.set()
    await working
    assert dict(store.counts.rows) == records, (store.counts, records)


def main(bootstrap: str, prefix: str, records: str, folder: str) -> None:
    """As the module says."""
    client = connect(folder)
    migrate(client)
    asyncio.run(fill(client, bootstrap, prefix, json.loads(records)))
    shown: dict[str, list[list[Any]]] = {}
    for view, columns in COLUMNS.items():
        _, rows = query(client, f"SELECT {', '.join(columns)} FROM volvere.{view} ORDER BY ALL")
        shown[view] = [[str(value) for value in row] for row in rows]
    client.close()
    json.dump(shown, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
