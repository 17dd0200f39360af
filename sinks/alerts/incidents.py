"""From friction events to incidents: what one receiver is to be told. Values in, values out.

    hear(friction) ─▶ steps          tick(now) ─▶ steps          settled(committed) ─▶ forgotten

- **An incident** is one `dedupkey`. It opens with a friction that may page (open and live, neither replayed nor
  suppressed) and that a route wants; it is over when `group_open` is 0, whatever the event that says so. What is
  replayed ends it only when nothing is left open of what was told: while a history is read again, `group_open` is
  0 between its frictions, although the one that paged is still to come.
- **A storm** stands for the incidents of one `groupkey` as long as more than `more_than` of them opened `within` a time.
  Those that open meanwhile go into it and are not told one by one. Time is that of detection, so that it does
  not matter when an event is heard.
- **A step** is done in order: remember `ahead`, `tell`, `remember`. Steps that share a key wait for each other. What is heard
  again after a crash is known by its offset. Whether an incident is told by itself or goes into a storm depends on
  what else was heard before it, which may be another order then; so that is remembered ahead, as not yet told, and
  told first when the bridge starts again, under the same key.

What is known is bounded by the incidents that are open; one that is over is forgotten as soon as Kafka holds an
offset after it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec.structs import replace

from schemas.errors import Unacceptable
from schemas.friction import SEVERITY_NUMBER
from schemas.times import format_duration, parse_time

Severity = Literal["info", "warning", "error", "critical"]
MOST_FRICTIONS = 64
"""Of one incident, how many open frictions are remembered by name: the newest."""


class _Rule(msgspec.Struct, gc=False):
    mode: Literal["live", "shadow"]


class _Data(msgspec.Struct, gc=False):
    friction_id: str
    kind: str
    state: Literal["open", "resolved", "retracted"]
    severity: Severity
    opened_at: str
    group_open: int
    rule: _Rule
    summary: str
    suppressed: bool = False
    replay: bool = False
    customer_id: str | None = None
    channel: str | None = None
    queue: str | None = None
    topic: str | None = None
    product: str | None = None
    asset_id: str | None = None
    release: str | None = None


class Friction(msgspec.Struct, gc=False):
    """A friction event, reduced to what is read here; `schemas.friction` is the contract."""

    time: str
    recordedtime: str
    dedupkey: str
    groupkey: str
    data: _Data

    @property
    def pages(self) -> bool:
        """Whether it may open an incident."""
        d = self.data
        return d.state == "open" and d.group_open >= 1 and d.rule.mode == "live" and not (d.suppressed or d.replay)


_decode = msgspec.json.Decoder(Friction).decode


def read(value: bytes | None) -> tuple[Friction, int, int]:
    """A friction event, when what it says happened, and when it was detected. Raises Unacceptable."""
    try:
        friction = _decode(value or b"")
        return friction, parse_time(friction.time), parse_time(friction.recordedtime)
    except (msgspec.DecodeError, ValueError, RecursionError) as e:
        raise Unacceptable("unreadable", f"no friction event: {e}") from None


class Incident(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """An incident, or a storm, as its receiver knows it. Times in microseconds.

    at: when it was detected. partition, offset: the last event that changed it. frictions: those that were told open and
    not over. storm: the key of the storm that it went into; it is not told itself. refused: its receiver refused
    the opening, so it is told no more. Of a storm, took: how many went into it; recent: when the latest
    opened. told: whether its receiver has heard of it, or else may not have.
    """

    key: str
    groupkey: str
    kind: str
    severity: Severity
    summary: str
    opened_at: int
    at: int
    partition: int
    offset: int
    friction_id: str
    customer_id: str | None = None
    channel: str | None = None
    queue: str | None = None
    topic: str | None = None
    product: str | None = None
    asset_id: str | None = None
    release: str | None = None
    frictions: tuple[str, ...] = ()
    closed_at: int | None = None
    storm: str | None = None
    refused: bool = False
    took: int = 0
    recent: tuple[int, ...] = ()
    told: bool = True

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.closed_at is None

    @property
    def stands_alone(self) -> bool:
        """Whether its receiver knows it as open."""
        return self.closed_at is None and self.storm is None and not self.refused and self.told


@dataclass(frozen=True)
class Change:
    """One thing to tell. before: what the receiver knew, where that differs in more than being open."""

    what: Literal["opened", "updated", "resolved"]
    incident: Incident
    before: Incident | None = None


@dataclass(frozen=True)
class Step:
    """What follows from one event, in this order: remember, tell, remember. keys: other steps with one of them wait."""

    keys: tuple[str, ...]
    tell: tuple[Change, ...] = ()
    remember: tuple[Incident, ...] = ()
    ahead: tuple[Incident, ...] = ()


@dataclass(frozen=True)
class StormRule:
    """There is a storm while more than so many incidents of a group opened within a time (microseconds)."""

    more_than: int
    within: int


def storm_key(groupkey: str) -> str:
    """The dedupkey of a group's storm."""
    return f"storm:{groupkey}"


class Incidents:
    """What one receiver knows, and is to be told. wanted: whether a route leads a friction to it."""

    def __init__(self, wanted: Callable[[Friction], bool], storms: StormRule | None = None) -> None:
        self.known: dict[str, Incident] = {}
        self._wanted, self._storms = wanted, storms
        self._over: dict[str, None] = {}
        self._recent: dict[str, list[int]] = {}

    def restore(self, remembered: Iterable[Incident]) -> list[Step]:
        """Know again what was remembered; gives what was to be told then, and may not have been."""
        untold = []
        for i in sorted(remembered, key=lambda i: i.at):
            told = replace(i, told=True)
            if not i.told:
                untold.append(Step((i.key,), (Change("opened" if i.is_open else "resolved", told),), (told,)))
            if i.is_open or not i.took:
                self._know(told)
            if not i.took:
                self._note(i.groupkey, i.at)
        for i in self.known.values():
            if i.took:
                self._recent[i.groupkey] = list(i.recent)
        return untold

    def hear(self, friction: Friction, happened: int, at: int, partition: int, offset: int) -> list[Step]:
        """What follows from an event. happened: when what it says did; at: when it was detected."""
        before = self.known.get(friction.dedupkey)
        if before is not None and before.partition == partition and offset <= before.offset:
            return []  # heard before a restart
        if before is None or not before.is_open:
            if not friction.pages or not self._wanted(friction):
                return []
            return [*self._calmed(friction.groupkey, at), self._open(friction, at, partition, offset)]
        data = friction.data
        open_still = tuple(f for f in before.frictions if f != data.friction_id)
        if data.state == "open" and data.rule.mode == "live":
            open_still = (*open_still, data.friction_id)[-MOST_FRICTIONS:]
        after = replace(before, partition=partition, offset=offset, frictions=open_still)
        if data.group_open == 0 and not (data.replay and open_still):
            return [self._close(replace(after, frictions=(), closed_at=happened))]
        if friction.pages and SEVERITY_NUMBER[data.severity] > SEVERITY_NUMBER[before.severity]:
            return [self._worsen(before, replace(after, severity=data.severity, summary=data.summary))]
        if open_still == before.frictions:
            return []
        self._know(after)
        return [Step((after.key,), remember=(after,))]

    def tick(self, now: int) -> list[Step]:
        """What follows from the time alone, when nothing is left to hear: storms that are over."""
        if self._storms is None:
            return []
        for group in [g for g, times in self._recent.items() if times[-1] <= now - self._storms.within]:
            if storm_key(group) not in self.known:
                del self._recent[group]
        return [step for i in list(self.known.values()) if i.took for step in self._calmed(i.groupkey, now)]

    def settled(self, committed: Mapping[int, int]) -> list[Incident]:
        """Forget what is over and will not be heard again. committed: by partition, the offset that is read next."""
        gone = [self.known[key] for key in self._over]
        gone = [i for i in gone if i.offset < committed.get(i.partition, 0)]
        for i in gone:
            del self.known[i.key], self._over[i.key]
        return gone

    def _know(self, i: Incident) -> None:
        self.known[i.key] = i
        if i.is_open:
            self._over.pop(i.key, None)
        else:
            self._over[i.key] = None

    def _open(self, friction: Friction, at: int, partition: int, offset: int) -> Step:
        d = friction.data
        i = Incident(
            key=friction.dedupkey,
            groupkey=friction.groupkey,
            kind=d.kind,
            severity=d.severity,
            summary=d.summary,
            opened_at=parse_time(d.opened_at),
            at=at,
            partition=partition,
            offset=offset,
            friction_id=d.friction_id,
            customer_id=d.customer_id,
            channel=d.channel,
            queue=d.queue,
            topic=d.topic,
            product=d.product,
            asset_id=d.asset_id,
            release=d.release,
            frictions=(d.friction_id,),
        )
        recent = self._note(i.groupkey, at)
        storm = self.known.get(storm_key(i.groupkey))
        if storm is not None:
            i = replace(i, storm=storm.key)
            grown = _raised(replace(storm, took=storm.took + 1, recent=recent), i)
            told = (Change("updated", grown, storm),) if grown.severity != storm.severity else ()
            self._know(i)
            self._know(grown)
            return Step((storm.key, i.key), told, (grown, i))
        if self._storms is not None and self._is_storm(recent, at):
            storm = replace(
                i,
                key=storm_key(i.groupkey),
                summary=f"Storm: more than {self._storms.more_than} incidents of {i.groupkey} "
                f"within {format_duration(self._storms.within)}",
                customer_id=None,
                topic=None,
                product=None,
                asset_id=None,
                frictions=(),
                took=1,
                recent=recent,
            )
            i = replace(i, storm=storm.key)
            self._know(i)
            self._know(storm)
            return Step((storm.key, i.key), (Change("opened", storm),), (storm, i), ahead=(_untold(storm),))
        return self._alone(i)

    def _alone(self, i: Incident) -> Step:
        self._know(i)
        return Step((i.key,), (Change("opened", i),), (i,), ahead=(_untold(i),))

    def _close(self, i: Incident) -> Step:
        self._know(i)
        return Step((i.key,), () if i.storm else (Change("resolved", i),), (i,))

    def _worsen(self, before: Incident, i: Incident) -> Step:
        if i.storm is None:
            self._know(i)
            return Step((i.key,), (Change("updated", i, before),), (i,))
        storm = self.known.get(i.storm)
        if storm is None:  # which is over: from now on it is told by itself
            return self._alone(replace(i, storm=None))
        raised = _raised(storm, i)
        told = (Change("updated", raised, storm),) if raised != storm else ()
        self._know(i)
        self._know(raised)
        return Step((storm.key, i.key), told, (raised, i))

    def _note(self, groupkey: str, at: int) -> tuple[int, ...]:
        """When the latest of a group opened: one more than make no storm."""
        if self._storms is None:
            return ()
        recent = self._recent.setdefault(groupkey, [])
        insort(recent, at)
        del recent[: -self._storms.more_than - 1]
        return tuple(recent)

    def _is_storm(self, recent: tuple[int, ...], now: int) -> bool:
        rule = self._storms
        return rule is not None and len(recent) > rule.more_than and recent[0] > now - rule.within

    def _calmed(self, groupkey: str, now: int) -> list[Step]:
        """The end of a group's storm, if it is over at that time."""
        storm = self.known.get(storm_key(groupkey))
        if storm is None or self._is_storm(storm.recent, now):
            return []
        del self.known[storm.key]
        over = replace(storm, closed_at=now)
        return [Step((over.key,), (Change("resolved", over),), (over,), ahead=(_untold(over),))]


def _untold(i: Incident) -> Incident:
    return replace(i, told=False)


def _raised(storm: Incident, member: Incident) -> Incident:
    higher = SEVERITY_NUMBER[member.severity] > SEVERITY_NUMBER[storm.severity]
    return replace(storm, severity=member.severity) if higher else storm
