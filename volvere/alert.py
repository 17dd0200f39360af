"""`volvere worker alert` and `volvere alerts check`, wired from the settings: one bridge for each receiver."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.structs import OffsetAndMetadata

from schemas.topics import ALERTS, FRICTIONS
from sinks.alerts.bridge import Bridge, group_of
from sinks.alerts.incidents import Change, Incident
from sinks.alerts.routes import RoutesError, Told, parse_routes
from sinks.alerts.sending import Later, Sender
from volvere.monitor import Monitor
from volvere.reading import records
from volvere.rules_texts import MEANINGS
from volvere.settings import Settings, SettingsProblem, variable
from volvere.topics import administer, of_group
from volvere.vitals import Telling
from volvere.worker import EMBEDDED_SESSION, Broker, wall


def load_routes(path: Path | None) -> list[Told]:
    """The receivers of a routes file, with their secrets. Raises RoutesError, and SettingsProblem where none is named."""
    if path is None:
        raise SettingsProblem(
            f"{variable('alert_routes')}: expected a routes file, or --routes FILE: who is told of what (docs/alerting.md)"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is not text"
        raise RoutesError(f"{path}: cannot be read: {why}; expected a TOML file") from None
    return parse_routes(text, str(path), MEANINGS, os.environ, path.parent)


def begin(settings: Settings, at: Broker, told: Sequence[Told]) -> list[str]:
    """Let receivers that were never told anything begin with what comes from now on; gives their names.

    It is remembered as the offsets of their groups, so that nothing is missed from here on. Raises BrokerProblem.
    """
    topic = settings.topic_prefix + FRICTIONS.name
    new = []
    with administer(at.bootstrap, at.access) as admin:
        for each in told:
            group = group_of(settings.application, each.name)
            if of_group(admin.list_group_offsets, {group: None})[group]:
                continue
            partitions = admin.describe_topics([topic])[0]["partitions"]
            places = [TopicPartition(topic, n) for n in range(len(partitions))]
            ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
            offsets = {tp: OffsetAndMetadata(end.offset, "", -1) for tp, end in ends.items()}
            of_group(admin.alter_group_offsets, group, offsets)
            new.append(each.name)
    return new


def bridges(settings: Settings, at: Broker, told: Sequence[Told]) -> list[Bridge]:
    """A bridge for each receiver."""
    timeout_s = settings.session_timeout_s if at.trusted else EMBEDDED_SESSION
    since = wall()
    return [
        Bridge(
            each,
            at.bootstrap,
            partial(records, at, settings.topic_prefix + ALERTS.name),
            wall,
            since,
            application=settings.application,
            prefix=settings.topic_prefix,
            resend=settings.alert_resend_s,
            access=at.access,
            consumer_options={
                "group_instance_id": settings.instance_id,
                "session_timeout_ms": round(timeout_s * 1000),
                "heartbeat_interval_ms": round(timeout_s * 250),
            },
        )
        for each in told
    ]


async def run(settings: Settings, at: Broker, told: Sequence[Told], stop: asyncio.Event, watch: Monitor) -> None:
    """All bridges until stopped, or until one of them cannot go on."""
    ours = bridges(settings, at, told)
    async with watch.watched(Telling(ours)):
        work = [asyncio.ensure_future(bridge.run(stop)) for bridge in ours]
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await asyncio.gather(*work)


async def try_out(told: Sequence[Told]) -> dict[str, str | None]:
    """Open an incident at each receiver and resolve it at once; by name, what went wrong, or None."""
    outcomes = {}
    for each in told:
        async with Sender(each.name, each.receiver, wall, ca_file=each.ca_file) as sender:
            outcomes[each.name] = await _try_one(each, sender)
    return outcomes


async def _try_one(told: Told, sender: Sender) -> str | None:
    name, now = uuid4(), wall()
    values = {
        "key": f"test:{name}",
        "groupkey": "test:",
        "kind": "test",
        "severity": "info",
        "opened_at": now,
        "at": now,
    }
    summary = "Volveré tries out this receiver; nothing has happened"
    opened = Incident(**values, summary=summary, friction_id=str(name), partition=0, offset=0)  # type: ignore[arg-type]
    over = Incident(**values, summary=summary, friction_id=str(name), partition=0, offset=0, closed_at=now)  # type: ignore[arg-type]
    for change in (Change("opened", opened), Change("resolved", over)):
        try:
            refused = await sender.attempt(partial(told.receiver.request, change, wall()))
        except Later as e:
            return f"{change.what}: {e}"
        if refused is not None:
            return f"{change.what}: refused with {refused.status}: {refused.message}"
    return None
