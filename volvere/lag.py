"""How far the workers are behind, by consumer group and partition, as Kafka tells it: they themselves are not asked.

A record is waiting if it lies after what its group has acknowledged, and is committed; markers of transactions take offsets, and are none. So
where something may be waiting its first record is fetched, and its age is the lag in seconds. What counts for `track` is the position in the
state, not the group's offsets; the state has the watermark, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from kafka.errors import KafkaError as AdminError

from schemas.errors import Impossible
from schemas.times import SECOND
from schemas.topics import FACTS, FRICTIONS, TOUCHPOINTS
from sinks.store import STORED
from streams.partition import Control
from streams.restore import Restorer
from volvere.settings import Settings
from volvere.topics import BrokerProblem, administer, not_started, of_group
from volvere.worker import Broker, wall

READ = {
    "track": (TOUCHPOINTS.name,),
    "store": tuple(topic.name for topic in STORED),
    "alert": (FRICTIONS.name,),
}
"""What each kind of worker reads; its group is called after it, that of `alert` after each of its receivers as well."""
FETCHED_WITHIN = 10.0
"""Seconds for the first waiting records of all partitions."""

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True)
class Lag:
    """Of one group in one partition.

    records, seconds: what is waiting, and for how long the first of it; seconds None: it could not be fetched. owner: the worker that has the
    partition, as Kafka calls it, or nothing. watermark_age: of `track`, seconds, where there is a watermark.
    """

    group: str
    topic: str
    partition: int
    owner: str
    position: int
    end: int
    records: int
    seconds: float | None
    watermark_age: float | None = None


@dataclass
class _Group:
    worker: str
    name: str
    positions: dict[Place, int] = field(default_factory=dict)
    owners: dict[Place, str] = field(default_factory=dict)


async def lag(settings: Settings, at: Broker) -> list[Lag]:
    """Of `track`, and of each group that has ever read something. Raises BrokerProblem."""
    counts, groups = await asyncio.to_thread(_known, settings, at)
    reader = _reader(at)
    try:
        await reader.start()
    except KafkaError as e:
        await reader.stop()
        raise await not_started(at.bootstrap, at.access, e) from None
    try:
        controls = await _controls(settings, at, counts)
        return [line for group in groups for line in await _of(group, reader, settings, counts, controls)]
    finally:
        await reader.stop()


def _known(settings: Settings, at: Broker) -> tuple[dict[str, int], list[_Group]]:
    """Partitions of the topics, and what Kafka knows of the groups."""
    with administer(at.bootstrap, at.access) as admin:
        names = sorted({settings.topic_prefix + name for read in READ.values() for name in read})
        counts = {t["name"]: len(t["partitions"]) for t in admin.describe_topics(names) if t["error_code"] == 0}
        ours = f"{settings.application}-"
        listed = sorted(g["group_id"] for g in of_group(admin.list_groups) if g["group_id"].startswith(f"{ours}alert-"))
        groups = [_Group(name.removeprefix(ours), name) for name in (f"{ours}track", f"{ours}store", *listed)]
        for group in groups:
            try:
                offsets = of_group(admin.list_group_offsets, {group.name: None})[group.name]
                members = of_group(admin.describe_groups, [group.name])[group.name]["members"]
            except AdminError as e:
                if not getattr(e, "retriable", False) and type(e).__name__ != "GroupIdNotFoundError":
                    raise
                continue
            group.positions = {(tp.topic, tp.partition): o.offset for tp, o in offsets.items() if o.offset >= 0}
            for member in members:
                for topic in (member["member_assignment"] or {}).get("assigned_partitions", ()):
                    owner = f"{member['client_id']} {member['client_host'].lstrip('/')}"
                    group.owners |= {(topic["topic"], n): owner for n in topic["partitions"]}
    return counts, [g for g in groups if g.worker == "track" or g.positions or g.owners]


def _reader(at: Broker) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=at.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=64 * 1024,
        fetch_max_wait_ms=100,
        **at.access,
    )


async def _controls(settings: Settings, at: Broker, counts: Mapping[str, int]) -> dict[int, Control]:
    """The control records of the state; none where it cannot be read, such as in the middle of a rebuild."""

    async def barrier(_: int) -> int:
        raise Impossible("only looked at")

    source = settings.topic_prefix + TOUCHPOINTS.name
    state = settings.topic_prefix + FACTS.name
    if not at.trusted:
        return {}
    try:
        return await Restorer(lambda: _reader(at), source, state, True, 0, barrier).examine(range(counts[source]))
    except Impossible:
        return {}


async def _of(
    group: _Group,
    reader: AIOKafkaConsumer,
    settings: Settings,
    counts: Mapping[str, int],
    controls: Mapping[int, Control],
) -> list[Lag]:
    names = [settings.topic_prefix + name for name in READ[group.worker.partition("-")[0]]]
    if missing := [name for name in names if name not in counts]:
        raise BrokerProblem(f"no topic {', '.join(missing)}; run `volvere topics create` first")
    places = [TopicPartition(name, n) for name in names for n in range(counts[name])]
    reader.assign(places)
    reader.pause(*places)
    begins, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    track = group.worker == "track"
    if track:
        group.positions |= {(names[0], n): control.offset for n, control in controls.items()}
    since = {tp: max(begins[tp], group.positions.get((tp.topic, tp.partition), 0)) for tp in places}
    firsts = await _firsts(reader, {tp: at for tp, at in since.items() if at < ends[tp]}, ends)
    now = wall()
    lines = []
    for tp in places:
        waits = tp in firsts
        first = firsts.get(tp)
        control = controls.get(tp.partition) if track else None
        lines.append(
            Lag(
                group.worker,
                tp.topic,
                tp.partition,
                group.owners.get((tp.topic, tp.partition), ""),
                since[tp],
                ends[tp],
                max(0, ends[tp] - since[tp]) if waits else 0,
                (None if first is None else max(0.0, (now - first) / SECOND)) if waits else 0.0,
                (now - control.watermark) / SECOND if control is not None and control.clock else None,
            )
        )
    return lines


async def _firsts(
    reader: AIOKafkaConsumer, since: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int | None]:
    """When the first record since then came, of partitions that have one, microseconds; None where it did not come in time."""
    found: dict[TopicPartition, int | None] = {}
    left = set(since)
    for tp, offset in since.items():
        reader.seek(tp, offset)
    reader.resume(*left)
    deadline = time.monotonic() + FETCHED_WITHIN
    while left and time.monotonic() < deadline:
        for tp, records in (await reader.getmany(timeout_ms=100)).items():
            if records[0].offset < ends[tp]:
                found[tp] = records[0].timestamp * 1000
                reader.pause(tp)
                left.discard(tp)
        left -= {tp for tp in left if await reader.position(tp) >= ends[tp]}
    return found | dict.fromkeys(left)
