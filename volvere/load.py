"""`volvere store load`: touchpoints of files straight into ClickHouse, years of them, without Kafka.

    lines ─▶ rows ─▶ one insert for each 50,000

The rows are those that the worker `store` makes of the same touchpoints, but for where they came from and when. The
lineage is `load`, partition 0 and the line for an offset; and each touchpoint is taken to have arrived when it happened. So a row
is made of its line alone, whenever it is loaded, and loading a file again changes nothing. Of a touchpoint that came over
Kafka as well, the row that was stored last says whence and when it came; nothing else differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from clickhouse_connect.driver.client import Client

from schemas.errors import Transient, Unacceptable
from schemas.topics import TOUCHPOINTS
from sinks import rows
from sinks.clickhouse import Inserter
from sinks.store import BATCH_ROWS
from volvere.files import Item, LeftOut, Record, Refused

TOPIC = "load"
NAMED = 20
"""How many of the lines that are refused are named."""


@dataclass
class Loaded:
    """What a load did. stored: rows; refused: lines by reason, as in `schemas.errors.REASONS`.

    problems: the first that were refused: file, line, field, what was expected, reason.
    """

    stored: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def refuse(self, place: str, reason: str, message: str) -> None:
        """Count a line, and name it if it is one of the first."""
        self.refused[reason] += 1
        if len(self.problems) < NAMED:
            self.problems.append(f"{place}: {message} ({reason})")


def load(
    client: Client,
    files: Iterable[tuple[str, Iterable[Item]]],
    now: int,
    show: Callable[[int, int | None], None] = lambda *_: None,
    batch_rows: int = BATCH_ROWS,
) -> Loaded:
    """Store the touchpoints of files, each a name and its items. The client must be migrated.

    now: what happens later is refused, microseconds. show: called with how many are stored.
    Raises FileProblem, StoreProblem, and Transient when ClickHouse stays away; then what came before is stored.
    """
    done, work = Loaded(), _Work(client)
    tail = rows.lineage(TOPIC, 0)
    for name, items in files:
        for item in items:
            place = f"{name}, line {item.line}"
            match item:
                case Record(line=line, value=value):
                    try:
                        row = rows.loaded(value, now, partial(tail, line))
                    except Unacceptable as e:
                        done.refuse(place, e.reason, str(e))
                        continue
                    work.rows.append(row)
                    work.places.append(place)
                case LeftOut(why=why):
                    done.left_out[why] += 1
                case Refused(field=where, message=message, reason=reason):
                    done.refuse(place, reason, f"{where}: {message}" if where else message)
            if len(work.rows) >= batch_rows:
                work.store(done)
                show(done.stored, None)
    work.store(done)
    show(done.stored, done.stored)
    return done


class _Work:
    """The batch at hand: rows, and where each came from."""

    def __init__(self, client: Client) -> None:
        self.inserter = Inserter(client)
        self.rows: list[rows.Row] = []
        self.places: list[str] = []

    def store(self, done: Loaded) -> None:
        try:
            bad = self.inserter.insert(TOUCHPOINTS.name, self.rows)
        except Transient as e:
            raise Transient(
                f"{e}; {done.stored:,} rows are stored, all before {self.places[0]}: load again, what is there stays as it is"
            ) from e
        for at, message in bad:
            done.refuse(self.places[at], "unstorable", message)
        done.stored += len(self.rows) - len(bad)
        self.rows.clear()
        self.places.clear()
