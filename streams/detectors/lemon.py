"""`lemon`: a thing that is repaired again and again, or is hardly ever out of repair.

A repair crosses a limit at the moment from which the repairs of the window before it, itself included, are too many
(of one fault, which is its topic, or of any), have kept the asset out of service for too long, or have kept it longer
in repair than it was in use. A repair without a topic is of no fault that another could share. Days out of service are
counted once where repairs overlap; no closing, no end of them. What depends on days can be crossed while the repair
goes on, and only then.

When the asset is replaced or refunded it begins anew: what is in repair then comes to its end, and no repair before
counts after. At equal times the repair was first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.times import DAY, format_duration
from streams.entries import Entry
from streams.facts import NEVER
from streams.friction import Clock, Friction, View, ending, pair
from streams.rules import Lemon

Measured = tuple[float, str, int | None]


@dataclass
class _Asset:
    """What is known of one asset, in order of identity; `anew`: what replaced or refunded it."""

    opened: list[Entry] = field(default_factory=list)
    closed: list[Entry] = field(default_factory=list)
    sold: list[int] = field(default_factory=list)
    anew: list[Entry] = field(default_factory=list)


@dataclass
class _Repair:
    """One repair: `out` is when it came back, NEVER if that is not known; `life`: which life of the asset."""

    entry: Entry
    out: int
    life: int

    @property
    def at(self) -> int:
        return self.entry.at


@dataclass(frozen=True)
class _Crossed:
    """When a limit was crossed, what was observed, and the limit."""

    at: int
    observed: Measured
    threshold: Measured
    says: str


def lemon_pairs(view: View, table: Lemon) -> Iterable[tuple[Entry, Entry | None]]:
    """Each repair with its closing, asset by asset; one without a `ref` closes what was opened at most `window` before."""
    for asset in _assets(view).values():
        yield from _pairs(asset, table)


def lemon(view: View, table: Lemon, clock: Clock) -> Iterator[Friction]:
    """Opens when a repair crosses a limit less one repair (or less `early`), if none at most `window` before it did.

    So there is one friction as long as the asset does not recover. Critical when a limit itself is crossed while it
    lasts; resolved when the asset is replaced or refunded.
    """
    for name, asset in _assets(view).items():
        repairs = _repairs(asset, table)
        ways = [(e.at, "replaced" if e.kind == "asset.replaced" else "refunded") for e in asset.anew]
        for i, first in _frictions(asset, repairs, table, clock):
            if first.at < view.since:
                continue
            anchor, rule = repairs[i], table.at(repairs[i].entry)
            ends_at = first.at + rule.expires_after
            resolved_at, reason = ending(first.at, ends_at, ways, clock)
            over = ends_at if resolved_at is None else resolved_at
            worst = _worst(asset, repairs, i, rule, first.at, over, clock)
            last, crossed = worst or (i, first)
            evidence = [("repaired", r.entry) for r in repairs[_low(repairs, max(i, last), rule) : max(i, last) + 1]]
            yield Friction(
                rule_id="lemon",
                rule=rule,
                contact=None,
                entry=anchor.entry,
                opened_at=first.at,
                severity="critical" if worst else "warning",
                ends_at=ends_at,
                resolved_at=resolved_at,
                reason=reason,
                observed=crossed.observed,
                threshold=crossed.threshold,
                summary=f"{name}: {crossed.says}",
                evidence=evidence,
                cause=repairs[last].entry,
                crossed=2 if worst else 1,
            )


def _frictions(asset: _Asset, repairs: list[_Repair], table: Lemon, clock: Clock) -> Iterator[tuple[int, _Crossed]]:
    """The repairs that cross first, and how; in order of time."""
    crossings: list[tuple[int, int, _Crossed]] = []
    for i, repair in enumerate(repairs):
        if crossed := _crossed(asset, repairs, i, table.at(repair.entry), limit=False):
            crossings.append((crossed.at, i, crossed))
    crossings.sort(key=lambda x: x[:2])
    for n, (_, i, crossed) in enumerate(crossings):
        repair = repairs[i]
        if not _known(crossed, repair, clock):
            return  # whether what crosses later is the first depends on this one
        since = repair.at - table.at(repair.entry).window
        if not any(repairs[j].life == repair.life and repairs[j].at >= since for _, j, _ in crossings[:n]):
            yield i, crossed


def _worst(
    asset: _Asset, repairs: list[_Repair], anchor: int, rule: Lemon, since: int, until: int, clock: Clock
) -> tuple[int, _Crossed] | None:
    """The first limit itself that a repair reached in that time, and which repair."""
    best: tuple[int, _Crossed] | None = None
    for i, repair in enumerate(repairs):
        if repair.life != repairs[anchor].life or repair.at > until:
            continue
        crossed = _crossed(asset, repairs, i, rule, limit=True)
        if crossed is None or not since <= crossed.at <= until or (best and best[1].at <= crossed.at):
            continue
        if _known(crossed, repair, clock):
            best = i, crossed
    return best


def _known(crossed: _Crossed, repair: _Repair, clock: Clock) -> bool:
    """Whether it came to that: it did if the repair is known to have lasted so long, else the clock must say so."""
    return crossed.at <= repair.at or repair.out != NEVER or clock.passed(crossed.at)


def _crossed(asset: _Asset, repairs: list[_Repair], i: int, rule: Lemon, *, limit: bool) -> _Crossed | None:
    """When repair `i` crosses a limit (`limit`), or what warns of it, if it goes on for long enough; None: never."""
    repair = repairs[i]
    members = repairs[_low(repairs, i, rule) : i + 1]
    less = 0 if limit else 1
    fault = repair.entry.topic
    same = sum(fault is not None and r.entry.topic == fault for r in members)
    for count, most, what in (
        (same, rule.same_fault, "for the same fault"),
        (len(members), rule.any_fault, "in all"),
    ):
        if count >= most - less:
            says = f"repaired {count} times {what} within {format_duration(rule.window)}"
            return _Crossed(repair.at, (count, "repairs", rule.window), (most - less, "repairs", rule.window), says)
    so_far = _out_of_service(members, repair.at)
    days = rule.out_of_service - (0 if limit else rule.early)
    at = repair.at + max(0, days - so_far)
    found = _Crossed(
        at,
        (max(days, so_far) / DAY, "days", rule.window),
        (days / DAY, "days", rule.window),
        f"{max(days, so_far) / DAY:.3g} days out of service within {format_duration(rule.window)}",
    )
    if not limit and len(members) > 1:
        used = _used(asset, repair, rule, so_far)
        least = max(used + 1, rule.more_in_repair_from, so_far)
        if (sooner := repair.at + least - so_far) < at:
            found = _Crossed(
                sooner,
                (least / DAY, "days", rule.window),
                (max(used, rule.more_in_repair_from) / DAY, "days", rule.window),
                f"{least / DAY:.3g} days in repair, {max(used, 0) / DAY:.3g} in use",
            )
    return found if found.at <= repair.out else None


def _used(asset: _Asset, repair: _Repair, rule: Lemon, so_far: int) -> int:
    """How long it was in use when it came to this repair, since it was sold, or became another, or the window began."""
    begin = repair.at - rule.window
    before = bisect_right(asset.sold, repair.at)
    if before:
        begin = max(begin, asset.sold[before - 1])
    if repair.life:
        begin = max(begin, asset.anew[repair.life - 1].at)
    return repair.at - begin - so_far


def _out_of_service(members: list[_Repair], until: int) -> int:
    """How long the asset was in repair, overlaps once; microseconds."""
    total = reached = 0
    for r in members:
        begin, end = max(r.at, reached), min(r.out, until)
        if end > begin:
            total += end - begin
            reached = end
    return total


def _low(repairs: list[_Repair], i: int, rule: Lemon) -> int:
    """The first repair of the window of `i`, within its life of the asset."""
    return bisect_left(repairs, (repairs[i].life, repairs[i].at - rule.window), 0, i, key=lambda r: (r.life, r.at))


def _repairs(asset: _Asset, table: Lemon) -> list[_Repair]:
    anew = [e.at for e in asset.anew]
    repairs = []
    for opener, closer in _pairs(asset, table):
        life = bisect_left(anew, opener.at)
        out = NEVER if closer is None else closer.at
        repairs.append(_Repair(opener, min(out, anew[life]) if life < len(anew) else out, life))
    return repairs


def _pairs(asset: _Asset, table: Lemon) -> list[tuple[Entry, Entry | None]]:
    return pair(asset.opened, asset.closed, lambda e: e.at + table.at(e).window)


def _assets(view: View) -> dict[str, _Asset]:
    """What is known of each asset by its id; what names none is nothing to this detector."""
    assets: dict[str, _Asset] = {}
    for e in view.of("repair.opened", "repair.closed", "asset.sold", "asset.replaced", "order.refunded"):
        if e.details is None or e.details.asset_id is None:
            continue
        asset = assets.setdefault(e.details.asset_id, _Asset())
        match e.kind:
            case "repair.opened":
                asset.opened.append(e)
            case "repair.closed":
                asset.closed.append(e)
            case "asset.sold":
                asset.sold.append(e.at)
            case _:
                asset.anew.append(e)
    return assets
