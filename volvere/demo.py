"""`volvere demo`: a simulated company, its frictions live, then its truth, then three questions."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from pathlib import Path
from uuid import UUID

import msgspec
from clickhouse_connect.driver import Client
from rich.table import Table

import schemas
from schemas.errors import REASONS
from schemas.times import DAY, HOUR
from schemas.touchpoint import subject_of
from sinks.clickhouse import query
from volvere.check import truth
from volvere.files import Record
from volvere.run import run
from volvere.settings import load
from volvere.show import answer, friction_line, heading, out
from volvere.simulator import Company, Planted
from volvere.watch import watch
from volvere.worker import Broker, broker, load_rules, open_store, wall

QUESTIONS = {
    "Which queues make people give up, and how long had they waited?": """\
SELECT queue, count() AS contacts, round(100 * avg(abandoned), 1) AS abandoned_percent,
       round(avgIf(wait_ms, abandoned) / 1000, 1) AS waited_s
FROM volvere.contacts WHERE queue IS NOT NULL
GROUP BY queue ORDER BY abandoned_percent DESC, queue LIMIT 5""",
    "What do customers have to come back about?": """\
SELECT topic, count() AS came_back, countIf(severity = 'error') AS three_times_or_more
FROM volvere.frictions WHERE kind = 'repeat_contact' AND mode = 'live'
GROUP BY topic ORDER BY came_back DESC, topic LIMIT 5""",
    "Whose journeys hurt most?": """\
SELECT customer_id, score, frictions, contacts, started_at, ended_at
FROM volvere.journeys WHERE customer_id IS NOT NULL
ORDER BY score DESC, customer_id LIMIT 5""",
}


async def demo(seed: int, customers: int, days: int, seconds: float) -> bool:
    """Show the main job at work; True when everything planted was found and every near miss was silent."""
    start = (wall() - (days + 1) * DAY) // HOUR * HOUR
    company = Company(seed=seed, customers=customers, days=days, start=start)
    lines = [
        Record(n, msgspec.json.encode(t), subject_of(t["customer_id"], t.get("contact_id"), t["source"], t["event_id"]))
        for n, t in enumerate(company.touchpoints(), 1)
    ]
    heading(f"A company with {customers:,} customers over {days} days: {len(lines):,} touchpoints")
    with tempfile.TemporaryDirectory(prefix="volvere-demo-") as folder:
        settings = load(kafka="embedded", clickhouse=str(Path(folder) / "clickhouse"))
        client = open_store(settings)
        with broker(settings) as at:
            watching = asyncio.ensure_future(_watch(at))
            try:
                pace = seconds / max(1, len(lines) / 100)
                items = [*_broken(), *lines]
                done = await run(settings, load_rules(None), at, client, items, pace=pace)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
        out.print(f"\n{done.rows['touchpoints']:,} touchpoints tracked and stored in {done.seconds:.1f} s.")
        out.print(f"{done.refused.total()} broken records came with them; the dead-letter topic has each, and why:")
        for reason, count in sorted(done.refused.items()):
            out.print(f"  {count:>3}  {REASONS[reason]}", style="dim", highlight=False)
        out.print()
        good = _truth(client, company.planted)
        for title, sql in QUESTIONS.items():
            heading(title)
            out.print(sql, style="dim", highlight=False, soft_wrap=True)
            out.print(answer(*query(client, sql), "table"))
        client.close()
    out.print("\nNext: [bold]volvere run FILE[/bold] on touchpoints of your own, and [bold]volvere --help[/bold].")
    return good


def _broken() -> list[Record]:
    """The invalid examples: what a bad day's producers send."""
    found = []
    for n, path in enumerate(sorted((Path(schemas.__file__).parent / "examples/invalid/touchpoints").glob("*.json"))):
        example = msgspec.json.decode(path.read_bytes())
        raw = example["raw"].encode() if "raw" in example else msgspec.json.encode(example["record"])
        found.append(Record(n, raw, None))
    return found


async def _watch(at: Broker) -> None:
    """Print what opens, but not every line of a busy hour."""
    shown: Counter[str] = Counter()
    async for event in watch(at.bootstrap, beginning=True, access=at.access):
        kind = event["data"]["kind"]
        shown[kind] += 1
        if shown[kind] <= 3 or shown[kind] % 10 == 0:
            out.print(friction_line(event), no_wrap=True, overflow="ellipsis", crop=True)


def _truth(client: Client, planted: list[Planted]) -> bool:
    """The planted troubles beside the found ones."""
    _, rows = query(client, "SELECT toString(friction_id), kind FROM volvere.frictions")
    kinds = Counter(str(kind) for _, kind in rows)
    table = Table(
        "kind", "planted", "found", "near misses", "silent", "found besides", header_style="bold", title="Ground truth"
    )
    good = True
    for kind, t in truth(planted, (UUID(str(name)) for name, _ in rows)).items():
        good &= t.found == t.planted and t.silent == t.near_misses
        table.add_row(
            kind,
            str(t.planted),
            f"[{'green' if t.found == t.planted else 'red'}]{t.found}",
            str(t.near_misses),
            f"[{'green' if t.silent == t.near_misses else 'red'}]{t.silent}",
            str(kinds[kind] - t.found),
        )
    for column in table.columns[1:]:
        column.justify = "right"
    out.print(table)
    return good
