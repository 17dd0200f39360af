"""`volvere rules try`: what other rules would find in a file, beside the present ones, before anyone is paged.

The kernel alone, without Kafka and ClickHouse, does what `volvere run` does with a file: each partition has a watermark
that its touchpoints move, what comes too late is not tracked, and at the end all time up to the file's greatest `occurred_at`
has passed. Touchpoints are gathered by subject, packed; then a subject at a time is thought through under
both rules and dropped. What is derived is history, so that one look at the end finds what many on the way would have.
Only a subject with more touchpoints than are kept of one is looked at on the way, too: at the flushes of a worker
that has the whole file to catch up with, so that the same is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.kinds import is_operation
from schemas.times import parse_time
from schemas.topics import partition_of
from schemas.touchpoint import digest, subject_of
from streams.entries import Entry, entry_of
from streams.facts import MAX_ENTRIES, Facts
from streams.rules import Rules
from streams.tracker import Tracker
from volvere.files import Item, LeftOut, Record, Refused

EXAMPLES = 3
"""How many of a kind are shown as new, gone or changed."""
SHOWN = 5
"""How many refused lines are shown."""


class _Rule(msgspec.Struct):
    mode: str


class _Data(msgspec.Struct):
    friction_id: str
    kind: str
    state: str
    severity: str
    opened_at: str
    revision: int
    customer_id: str | None
    summary: str
    rule: _Rule


class _Event(msgspec.Struct):
    data: _Data


_event = msgspec.json.Decoder(_Event).decode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Entry).decode


class Found(msgspec.Struct, frozen=True, gc=False):
    """A friction as it was last said. opened_at: microseconds UTC."""

    kind: str
    severity: str
    mode: str
    customer: str | None
    opened_at: int
    summary: str
    revision: int
    retracted: bool


class Under:
    """One set of rules at work on the file."""

    def __init__(self, rules: Rules, partitions: int) -> None:
        self.tracker, self.time = Tracker(rules), rules.time
        self.watermarks = [0] * partitions
        self.too_late = 0
        self.found: dict[str, Found] = {}

    def take(self, partition: int, at: int, arrived: int) -> int | None:
        """The watermark after a touchpoint, microseconds; None if that came too late."""
        mark = max(self.watermarks[partition], min(at, arrived) - self.time.disorder)
        self.watermarks[partition] = mark
        if at < mark - self.time.lateness:
            self.too_late += 1
            return None
        return mark

    def think(self, facts: Facts, told: Sequence[tuple[bytes, int | None, int]], end: int) -> None:
        """One subject: its touchpoints, each with the watermark after it and the flush it is in, and the last watermark."""
        large, looked, mark = len(told) > MAX_ENTRIES, 0, 0
        for packed, now, flush in told:
            if large and flush != looked:
                if facts.size:
                    self._look(facts, mark)
                looked = flush
            if now is not None:
                facts.merge(_unpack(packed))
                mark = now
        if facts.size:
            self._look(facts, end)

    def _look(self, facts: Facts, now: int) -> None:
        for value in self.tracker.look(facts, now, now).frictions:
            d = _event(value).data
            before = self.found.get(d.friction_id)
            if before is None or before.revision < d.revision:
                self.found[d.friction_id] = Found(
                    d.kind,
                    d.severity,
                    d.rule.mode,
                    d.customer_id,
                    parse_time(d.opened_at),
                    d.summary,
                    d.revision,
                    d.state == "retracted",
                )

    def standing(self) -> dict[str, Found]:
        """The frictions by id, without retracted ones."""
        return {name: f for name, f in self.found.items() if not f.retracted}


@dataclass
class Compared:
    """One kind under both rules. `*_live`: those of them that notify. changes: what changed of those in both, and how often.

    new, gone, changed: examples, in order of time; of changed ones what changed, and how they are under the new rules.
    """

    now: int = 0
    then: int = 0
    now_live: int = 0
    then_live: int = 0
    new_count: int = 0
    gone_count: int = 0
    changed_count: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    new: list[Found] = field(default_factory=list)
    gone: list[Found] = field(default_factory=list)
    changed: list[tuple[str, Found]] = field(default_factory=list)


@dataclass
class Trial:
    """What came out. too_late: under the present and the new rules; first, last: occurred_at, microseconds, 0 of nothing."""

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    subjects: int = 0
    first: int = 0
    last: int = 0
    too_late: tuple[int, int] = (0, 0)
    kinds: dict[str, Compared] = field(default_factory=dict)


Told = dict[str, tuple[str | None, int, list[tuple[bytes, int | None, int | None, int]]]]
"""By subject: customer, partition, and its touchpoints: packed, the watermarks after it under both rules, the flush."""


def attempt(
    items: Iterable[Item],
    present: Rules,
    new: Rules,
    partitions: int,
    flush: int,
    arrived: Callable[[], int],
    progress: Callable[[int, int, int], None] = lambda *_: None,
) -> Trial:
    """Both rules over the items of a file. flush: records of a partition between two flushes. arrived: processing time,
    microseconds, asked for each record.
    """
    trial, told = Trial(), Told()
    both = (Under(present, partitions), Under(new, partitions))
    counts = [0] * partitions
    for item in items:
        match item:
            case Record(line=line, value=value):
                trial.read += 1
                try:
                    _gather(value, arrived(), both, told, trial, counts, flush)
                except Unacceptable as e:
                    _refuse(trial, line, e.reason, str(e))
                if trial.read % 1_000 == 0:
                    progress(trial.read, 0, 0)
            case LeftOut(why=why):
                trial.left_out[why] += 1
            case Refused(line=line, field=where, message=message, reason=reason):
                _refuse(trial, line, reason, f"{where}: {message}" if where else message)
    trial.subjects = len(told)
    for n, subject in enumerate(list(told), 1):
        customer, partition, touchpoints = told.pop(subject)
        for i, under in enumerate(both):
            end = max(trial.last, under.watermarks[partition])
            under.think(Facts(subject, customer), [(t[0], (t[1], t[2])[i], t[3]) for t in touchpoints], end)
        if n % 200 == 0 or not told:
            progress(trial.read, n, trial.subjects)
    trial.too_late = (both[0].too_late, both[1].too_late)
    trial.kinds = compare(both[0].standing(), both[1].standing())
    return trial


def _gather(
    value: bytes, arrived: int, both: tuple[Under, Under], told: Told, trial: Trial, counts: list[int], flush: int
) -> None:
    t = decode(value, arrived)
    if is_operation(t):  # no rule reads them
        trial.left_out["operations of the company's own"] += 1
        return
    subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
    known = told.get(subject)
    if known is None:
        known = told[subject] = (t.customer_id, partition_of(subject, len(counts)), [])
    at, (_, partition, touchpoints) = t.occurred_at, known
    trial.last = max(trial.last, at)
    trial.first = min(trial.first or at, at)
    present, new = (under.take(partition, at, arrived) for under in both)
    touchpoints.append((_pack(entry_of(t, digest(t), replay=False)), present, new, counts[partition] // flush))
    counts[partition] += 1


def _refuse(trial: Trial, line: int, reason: str, problem: str) -> None:
    trial.refused[reason] += 1
    if len(trial.problems) < SHOWN:
        trial.problems.append(f"line {line}: {problem}")


def compare(present: dict[str, Found], new: dict[str, Found]) -> dict[str, Compared]:
    """By kind, in order of name: the frictions that two sets of rules found, by id."""
    kinds: dict[str, Compared] = {}
    for name in sorted(present.keys() | new.keys(), key=lambda name: _when(present.get(name) or new[name])):
        before, after = present.get(name), new.get(name)
        one = before or after
        assert one is not None
        c = kinds.setdefault(one.kind, Compared())
        if before is not None:
            c.now += 1
            c.now_live += before.mode == "live"
        if after is not None:
            c.then += 1
            c.then_live += after.mode == "live"
        if before is None:
            c.new_count += 1
            _keep(c.new, one)
        elif after is None:
            c.gone_count += 1
            _keep(c.gone, one)
        elif how := _change(before, after):
            c.changed_count += 1
            c.changes[how] += 1
            if len(c.changed) < EXAMPLES:
                c.changed.append((how, after))
    return dict(sorted(kinds.items()))


def _when(f: Found) -> tuple[int, str, str]:
    return (f.opened_at, f.customer or "", f.summary)


def _keep(examples: list[Found], f: Found) -> None:
    if len(examples) < EXAMPLES:
        examples.append(f)


def _change(before: Found, after: Found) -> str:
    """What a user would notice of a friction that both find; "" if nothing."""
    pairs = ((before.mode, after.mode), (before.severity, after.severity))
    return ", ".join(f"{a} → {b}" for a, b in pairs if a != b)
