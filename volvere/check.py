"""`volvere demo --check`: the main job over a large simulated company, every friction held to the truth.

Two judges who know nothing of the tracker: the plan says of some customers what must be found and what must
not; the oracle (tests/oracle.py, written from the definitions alone) says of every customer all that is true. The
oracle reads what the company said a second time, never what the store holds.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from clickhouse_connect.driver import Client
from rich.progress import track
from rich.table import Table
from rich.text import Text

import schemas
from schemas.decode import decode
from schemas.times import DAY, format_time, parse_time
from schemas.touchpoint import Normal, subject_of
from sinks.clickhouse import query
from volvere.files import FileProblem, Record
from volvere.run import run
from volvere.settings import load
from volvere.show import RunBars, err, heading, out
from volvere.simulator import Company, Planted
from volvere.simulator.company import MONDAY
from volvere.worker import broker, load_rules, open_store, wall

EXAMPLES = 10
"""How many disagreements are shown."""

Oracle = Callable[[str, list[Normal], int], list[Any]]


class Friction(NamedTuple):
    """What both must say alike of a friction. Times: microseconds UTC."""

    kind: str
    subject: str
    opened_at: int
    severity: str
    resolved_at: int | None


@dataclass
class Truth:
    """What was planted of one kind, and what came of it."""

    planted: int = 0
    found: int = 0
    near_misses: int = 0
    silent: int = 0


@dataclass
class Count(Truth):
    """One kind. `besides`: stored, though not planted; `confirmed`: those of them that the oracle knows, and knows alike.

    `not_confirmed`: stored, planted or not, but unknown to the oracle or otherwise; `missed`: known to the oracle alone.
    """

    besides: int = 0
    confirmed: int = 0
    not_confirmed: int = 0
    missed: int = 0


@dataclass(frozen=True)
class Disagreement:
    """A friction that the store, the oracle and the plan do not all see alike; None: there is none."""

    kind: str
    subject: str
    friction_id: UUID
    stored: Friction | None
    known: Friction | None
    plan: str = ""


@dataclass
class Verdict:
    """What came out, by kind in order of name. `agreed`: how many frictions the store and the oracle see alike."""

    kinds: dict[str, Count] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    agreed: int = 0


def truth(planted: Iterable[Planted], stored: Iterable[UUID]) -> dict[str, Truth]:
    """By kind, in order of name: the planted troubles that are stored, and the near misses that are not."""
    there, kinds = set(stored), defaultdict[str, Truth](Truth)
    for p in planted:
        kind, found = kinds[p.kind], p.friction_id in there
        if p.near_miss:
            kind.near_misses += 1
            kind.silent += not found
        else:
            kind.planted += 1
            kind.found += found
    return dict(sorted(kinds.items()))


def compare(planted: Iterable[Planted], stored: dict[UUID, Friction], known: dict[UUID, Friction]) -> Verdict:
    """Every friction of the store beside the same one of the oracle, and both beside the plan."""
    plan = {p.friction_id: p for p in planted}
    verdict = Verdict()
    planned = truth(plan.values(), stored)
    for kind in sorted(planned.keys() | {f.kind for f in stored.values()} | {f.kind for f in known.values()}):
        t = planned.get(kind, Truth())
        verdict.kinds[kind] = Count(t.planted, t.found, t.near_misses, t.silent)
    troubles = {name for name, p in plan.items() if not p.near_miss}
    for name in sorted(stored.keys() | known.keys() | plan.keys()):
        one, other, p = stored.get(name), known.get(name), plan.get(name)
        told = one or other or p
        assert told is not None
        count = verdict.kinds[told.kind]
        count.besides += one is not None and name not in troubles
        count.confirmed += one is not None and name not in troubles and one == other
        count.not_confirmed += one is not None and one != other
        count.missed += one is None and other is not None
        verdict.agreed += one is not None and one == other
        if one != other or (p is not None and p.near_miss == (one is not None)):
            says = "" if p is None else "near miss" if p.near_miss else "planted"
            verdict.disagreements.append(Disagreement(told.kind, told.subject, name, one, other, says))
    return verdict


def examples(disagreements: Iterable[Disagreement]) -> list[Disagreement]:
    """The first few, of as many kinds as there are."""
    seen, ranked = Counter[str](), []
    for d in disagreements:
        ranked.append((seen[d.kind], d.kind, str(d.friction_id), d))
        seen[d.kind] += 1
    return [d for *_, d in sorted(ranked, key=lambda r: r[:3])[:EXAMPLES]]


def oracle(path: Path = Path(schemas.__file__).parents[1] / "tests/oracle.py") -> Oracle:
    """The oracle of the checkout that the package lies in. Raises FileProblem where there is none."""
    spec = importlib.util.spec_from_file_location("volvere_oracle", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileProblem(
            f"{path}: no such file; the oracle is a part of the tests, which are not installed: "
            "run `volvere demo --check` from a checkout"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    judge: Oracle = module.oracle
    return judge


async def check(seed: int, customers: int, days: int) -> bool:
    """Do the main job over a company and judge what it found; True when the store, the oracle and the plan agree."""
    judge = oracle()
    # A beginning of its own choice, not today's, so that what a seed brings to light can be looked at again.
    company = Company(seed=seed, customers=customers, days=days, start=min(MONDAY, wall() - (days + 1) * DAY))
    heading(f"A company with {customers:,} customers over {days} days")
    with tempfile.TemporaryDirectory(prefix="volvere-check-") as folder:
        settings = load(kafka="embedded", clickhouse=str(Path(folder) / "clickhouse"))
        client = open_store(settings)
        with broker(settings) as at, RunBars() as bars:
            done = await run(settings, load_rules(None), at, client, _records(company), bars.show)
        stored = _stored(client)
        client.close()
    out.print(f"{done.rows['touchpoints']:,} touchpoints tracked and stored in {done.seconds:.1f} s.", highlight=False)
    known = _known(judge, company)
    verdict = compare(company.planted, stored, known)
    _print(verdict)
    return not verdict.disagreements


def _told(company: Company) -> Iterator[tuple[dict[str, Any], str]]:
    """Every touchpoint, and whom it is about."""
    for t in company.touchpoints():
        yield t, subject_of(t["customer_id"], t.get("contact_id"), t["source"], t["event_id"])


def _records(company: Company) -> Iterator[Record]:
    for n, (t, subject) in enumerate(_told(company), 1):
        yield Record(n, msgspec.json.encode(t), subject)


def _stored(client: Client) -> dict[UUID, Friction]:
    _, rows = query(
        client,
        "SELECT toString(friction_id), kind, subject, toUnixTimestamp64Micro(opened_at), severity, "
        "toUnixTimestamp64Micro(resolved_at) FROM volvere.frictions",
    )
    return {UUID(str(name)): Friction(*row) for name, *row in rows}  # type: ignore[arg-type]  # as they were asked for


def _known(judge: Oracle, company: Company) -> dict[UUID, Friction]:
    """All that the oracle knows when the last touchpoint has happened, as no more time passes in a run."""
    told, end = defaultdict[str, bytearray](bytearray), 0  # JSON lines: a million touchpoints take little room
    for t, subject in track(_told(company), "told again", total=None, **_bar()):
        told[subject] += msgspec.json.encode(t) + b"\n"
        end = max(end, parse_time(t["occurred_at"]))
    known: dict[UUID, Friction] = {}
    now = wall()
    for subject in track(list(told), "judged", **_bar()):
        life = [decode(line, now) for line in bytes(told.pop(subject)).splitlines()]
        # In order of opening: of a contact id that begins again after 30 days the later friction stands.
        for f in sorted(judge(subject, life, end), key=lambda f: int(f.opened_at)):
            known[f.friction_id] = Friction(f.kind, subject, f.opened_at, f.severity, f.resolved_at)
    return known


def _bar() -> dict[str, Any]:
    return {"console": err, "transient": True, "disable": not err.is_terminal}


def _print(verdict: Verdict) -> None:
    table = Table(
        *("kind", "planted", "found", "near misses", "silent"),
        *("found besides", "confirmed", "not confirmed", "missed"),
        header_style="bold",
        title="Ground truth, and the oracle",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, c in verdict.kinds.items():
        table.add_row(
            *(kind, str(c.planted), _judged(c.found, c.planted), str(c.near_misses), _judged(c.silent, c.near_misses)),
            *(str(c.besides), _judged(c.confirmed, c.besides), _judged(c.not_confirmed, 0), _judged(c.missed, 0)),
        )
    out.print(table)
    for d in examples(verdict.disagreements):
        plan = f"{d.plan}; " if d.plan else ""
        line = f"{d.subject}  {d.kind}  {d.friction_id}: {plan}stored: {_spelt(d.stored)}; oracle: {_spelt(d.known)}"
        out.print(Text(line), soft_wrap=True)
    kinds = verdict.kinds.values()
    if wrong := len(verdict.disagreements):
        out.print(
            f"[red]{wrong:,} disagreements[/red]; {verdict.agreed:,} frictions are as the oracle says.", highlight=False
        )
    else:
        out.print(
            f"[green]No disagreement[/green]: {sum(c.planted for c in kinds):,} planted troubles found, "
            f"{sum(c.near_misses for c in kinds):,} near misses silent, "
            f"all {verdict.agreed:,} frictions as the oracle says, and none missed.",
            highlight=False,
            soft_wrap=True,
        )


def _judged(count: int, expected: int) -> str:
    return f"[{'green' if count == expected else 'red'}]{count}"


def _spelt(friction: Friction | None) -> str:
    if friction is None:
        return "none"
    ended = "open" if friction.resolved_at is None else f"resolved {format_time(friction.resolved_at)}"
    return f"{friction.severity}, opened {format_time(friction.opened_at)}, {ended}"
