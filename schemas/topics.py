"""Every topic, declared once: its name, key, model, partitions, clean-up, producer and consumers.

The owner of a subject is Kafka's murmur2 of the subject modulo the partition count, computed
from the record's body, so that producers with another partitioner cannot split a customer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from kafka.partitioner import murmur2
from pydantic import BaseModel

from schemas.friction import FrictionEvent
from schemas.journey import JourneySnapshot
from schemas.touchpoint import Touchpoint

DEFAULT_PARTITIONS = 48
EMBEDDED_PARTITIONS = 4
MAX_MESSAGE = 1_048_576 - 4096
"""Largest key + value that is published, bytes: Kafka's default limit less what frames it."""
METADATA_MAX_AGE_MS = 5_000
"""How often members of a group ask which partitions there are: a broker that has just started may not know yet, and
who leads the group then deals out none."""

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """A topic of Volveré. `owned`: has the partition count of `touchpoints`, for good."""

    name: str
    key: str
    value: str
    model: type[BaseModel] | None
    producer: str
    consumers: tuple[str, ...]
    owned: bool = True
    config: dict[str, str] = field(default_factory=dict)


_RETENTION = {"retention.ms": str(30 * _DAY_MS)}

TOUCHPOINTS = Topic(
    "touchpoints", "subject", "Touchpoint as JSON, or as a CloudEvent", Touchpoint,
    "your systems", ("track", "store"), config={**_RETENTION, "message.timestamp.type": "LogAppendTime"},
)  # fmt: skip
FRICTIONS = Topic(
    "frictions", "subject", "CloudEvents 1.0 JSON", FrictionEvent,
    "track", ("store", "alert", "alerting systems"), config=_RETENTION,
)  # fmt: skip
JOURNEYS = Topic(
    "journeys", "subject and journey_id", "JourneySnapshot JSON; null only for erasure", JourneySnapshot,
    "track", ("store",), config={"cleanup.policy": "compact"},
)  # fmt: skip
OPERATIONS = Topic(
    "operations", "subject id", "company-side events as Touchpoint JSON", Touchpoint,
    "your systems", ("store",), owned=False, config=_RETENTION,
)  # fmt: skip
DEAD_LETTERS = Topic(
    "touchpoints.dlq", "as received", "the raw bytes; the reason in headers", None,
    "track", ("operators",), config=_RETENTION,
)  # fmt: skip
STORE_DEAD_LETTERS = Topic(
    "store.dlq", "as received", "the raw bytes; the reason in headers", None,
    "store", ("operators",), owned=False, config=_RETENTION,
)  # fmt: skip
FACTS = Topic(
    "facts", "subject, or the control record's key", "packed facts with a codec byte", None,
    "track", ("track",), config={"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"},
)  # fmt: skip
ALERTS = Topic(
    "alerts", "receiver and dedupkey", "an incident as its receiver knows it, JSON; null: over and forgotten", None,
    "alert", ("alert",), config={"cleanup.policy": "compact"},
)  # fmt: skip
UNDELIVERED = Topic(
    "alerts.dlq", "dedupkey", "the friction event; which receiver refused it, and why, in headers", None,
    "alert", ("operators",), owned=False, config=_RETENTION,
)  # fmt: skip

TOPICS = (
    TOUCHPOINTS, FRICTIONS, JOURNEYS, OPERATIONS, DEAD_LETTERS, STORE_DEAD_LETTERS, FACTS, ALERTS, UNDELIVERED,
)  # fmt: skip


@lru_cache(maxsize=65_536)
def partition_of(subject: str, partitions: int) -> int:
    """The partition that owns a subject, as Kafka's own clients in Java compute it from the key."""
    return int(murmur2(subject.encode()) & 0x7FFFFFFF) % partitions
