"""`volvere run FILE`: the whole job over a file, in one process.

A file is the whole history of its customers. Played into an empty broker (the embedded one always
is) it makes a new generation, so that what an earlier run found under other rules no longer stands; played again
into a broker that remembers, it changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from clickhouse_connect.driver import Client

from schemas.topics import OPERATIONS, TOUCHPOINTS
from sinks.clickhouse import query
from sinks.store import Store
from streams.rules import Rules
from volvere.feed import Fed, feed
from volvere.files import Item
from volvere.settings import Settings
from volvere.worker import Broker, generation, store, track_config, tracking

if TYPE_CHECKING:  # Faust takes a while; who runs has it
    from streams.app import TrackApp

T = TypeVar("T")


@dataclass
class Progress:
    """How far a run is, for whoever shows it."""

    fed: int = 0
    tracked: int = 0
    stored: int = 0
    feeding: bool = True


@dataclass
class Summary:
    """What a run did. frictions: those standing in the store, by kind; rows: written by this run, by table."""

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    too_late: int = 0
    repeated: int = 0
    forwarded: int = 0
    frictions: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


async def run(
    settings: Settings,
    rules: Rules,
    at: Broker,
    client: Client,
    items: Iterable[Item],
    show: Callable[[Progress], None] = lambda _: None,
    pace: float = 0.0,
) -> Summary:
    """Feed, track and store the items; ends when the last row is stored, or when a worker cannot go on: then with its error.

    pace: seconds to rest after every 100 records, for those who watch.
    """
    started = time.monotonic()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fatal(error: BaseException) -> None:
        if not failed.done():
            failed.set_exception(error)

    config = track_config(settings, at, generation=generation(client), fatal=fatal)
    worker, stop = store(settings, at, client), asyncio.Event()
    storing = asyncio.ensure_future(worker.run(stop))
    ends = (failed, storing)
    progress = Progress()
    try:
        async with tracking(rules, config) as app:
            shown = asyncio.ensure_future(_show(app, worker, progress, show))
            try:

                async def pause(fed: Fed) -> None:
                    progress.fed = fed.records - fed.operations
                    await asyncio.sleep(pace)

                every = 100 if pace else 5_000
                feeding = feed(at.bootstrap, items, settings.topic_prefix, pause, every, access=at.access)
                fed = await _first(feeding, *ends)
                progress.fed, progress.feeding = fed.records - fed.operations, False
                await _first(app.host.finish(fed.ends, fed.newest), *ends)
                wanted = {(settings.topic_prefix + TOUCHPOINTS.name, q): end for q, end in fed.ends.items()}
                wanted |= {(settings.topic_prefix + OPERATIONS.name, q): end for q, end in fed.operations_ends.items()}
                wanted |= {tp: end for tp, end in app.host.topics.ends.items() if tp[0] in app.host.stored_topics}
                await _first(worker.drain(wanted), *ends)
            finally:
                shown.cancel()
    finally:
        stop.set()
        failed.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
    show(progress)
    return _summary(fed, app, worker, client, time.monotonic() - started)


async def _first(work: Coroutine[object, object, T], *others: asyncio.Future[None]) -> T:
    """What the work gives, unless one of the others ends: then its error is the one to tell."""
    task = asyncio.ensure_future(work)
    both: list[asyncio.Future[Any]] = [task, *others]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait({task})
    for other in others:
        if other.done():
            other.result()
    return await task


async def _show(app: TrackApp, worker: Store, progress: Progress, show: Callable[[Progress], None]) -> None:
    while True:
        progress.tracked = app.host.tally.read
        progress.stored = worker.counts.rows[TOUCHPOINTS.name]
        show(progress)
        await asyncio.sleep(0.1)


def _summary(fed: Fed, app: TrackApp, worker: Store, client: Client, seconds: float) -> Summary:
    tally = app.host.tally
    _, standing = query(client, "SELECT kind, count() FROM volvere.frictions GROUP BY kind ORDER BY kind")
    return Summary(
        read=tally.read,
        left_out=fed.left_out,
        refused=fed.refused + tally.refused,
        problems=fed.problems,
        too_late=tally.too_late,
        repeated=tally.repeated,
        forwarded=tally.forwarded,
        frictions={str(kind): int(str(count)) for kind, count in standing},
        rows=dict(worker.counts.rows),
        seconds=seconds,
    )
