"""Topics on a broker: created as `schemas.topics` declares them, and checked against it.

Nothing that exists is changed. The partition count decides who owns a subject, so that
adding partitions to living topics would split customers: growth is a new generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import stamina
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic, OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotCoordinatorError,
    for_code,
)

from schemas.topics import DEFAULT_PARTITIONS, TOPICS, TOUCHPOINTS, Topic
from volvere.security import OPEN, Access, refusal

_T = TypeVar("_T")

DEADLINE_MS = 5_000
"""How long a broker may take to answer the first call."""
LED_WITHIN_MS = 60_000
"""How long until all new partitions, which may be hundreds, have leaders that know it."""

_ALREADY_EXISTS = 36
_CHECKED = ("cleanup.policy", "message.timestamp.type")
"""Settings that correctness rests on; retention is the operator's own business."""


class BrokerProblem(Exception):
    """The broker is not there, or refuses. One line: its address, what was tried, what to do."""


@dataclass(frozen=True)
class Finding:
    """What was found of one topic. `missing` and `wrong` keep workers from starting."""

    topic: str
    state: Literal["ok", "created", "missing", "wrong"]
    expected: str
    found: str

    @property
    def good(self) -> bool:
        """Whether a worker may start with it."""
        return self.state in ("ok", "created")


async def not_started(bootstrap: str, access: Access, error: object) -> BrokerProblem:
    """What to tell of a client that did not start: why the broker does not let us in, or else that none answers."""
    why = await refusal(bootstrap, access)
    return _refused(bootstrap, why) if why is not None else _silent(bootstrap, error)


def _refused(bootstrap: str, why: str) -> BrokerProblem:
    return BrokerProblem(f"Kafka at {bootstrap} cannot be used: {why}")


def _silent(bootstrap: str, error: object) -> BrokerProblem:
    return BrokerProblem(
        f"no Kafka broker answers at {bootstrap} ({error}); start it, or set VOLVERE_KAFKA to its address, "
        'or to "embedded" to do without one'
    )


def create(
    bootstrap: str,
    partitions: int | None = None,
    *,
    prefix: str = "",
    replication: int | None = None,
    access: Access = OPEN,
) -> list[Finding]:
    """Create the topics that are missing, then check all. One finding a topic.

    `partitions` None: as many as `touchpoints` has, or the default for new ones;
    `replication` None: the broker's default. Raises BrokerProblem.
    """
    with administer(bootstrap, access) as admin:
        there = _describe(admin, prefix)
        count = partitions or there.get(prefix + TOUCHPOINTS.name) or DEFAULT_PARTITIONS
        absent = [topic for topic in TOPICS if prefix + topic.name not in there]
        new = [NewTopic(prefix + t.name, count, replication or -1, topic_configs=dict(t.config)) for t in absent]
        answer = admin.create_topics(new, raise_errors=False)["topics"] if new else []
        refused = {
            a["name"]: a["error_message"] or for_code(a["error_code"]).__name__
            for a in answer
            if a["error_code"] not in (0, _ALREADY_EXISTS)
        }
        made = {a["name"] for a in answer if a["error_code"] == 0}
        if made:
            await_leaders(admin, made, count)
        return _judge(admin, count, prefix, made, refused)


def check(bootstrap: str, partitions: int | None = None, *, prefix: str = "", access: Access = OPEN) -> list[Finding]:
    """Compare the broker's topics with the declared ones. One finding a topic; changes nothing.

    `partitions` None: as many as `touchpoints` has. Raises BrokerProblem.
    """
    with administer(bootstrap, access) as admin:
        return _judge(admin, partitions, prefix, set(), {})


@contextmanager
def administer(bootstrap: str, access: Access) -> Iterator[Any]:
    """Kafka's admin client. Raises BrokerProblem, also for what the broker refuses while it is used."""
    # The admin client tries a wrong password until its deadline and then says that nobody answers: ask before it does.
    with ThreadPoolExecutor(1) as thread:  # who calls may have an event loop of its own
        why = thread.submit(asyncio.run, refusal(bootstrap, access)).result()
    if why is not None:
        raise _refused(bootstrap, why)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","),
            bootstrap_timeout_ms=DEADLINE_MS,
            request_timeout_ms=DEADLINE_MS,
            client_id="volvere-topics",
            **access,
        )
    except (KafkaError, OSError) as e:
        raise _silent(bootstrap, f"{type(e).__name__} after {DEADLINE_MS // 1000} s") from None
    try:
        yield admin
    except KafkaConnectionError as e:
        raise _silent(bootstrap, f"any more: {e}") from None
    except KafkaError as e:
        raise BrokerProblem(
            f"the broker at {bootstrap} refused: {e}; check that this user may describe and create topics"
        ) from None
    finally:
        admin.close()


@stamina.retry(
    on=(CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError), timeout=15.0, attempts=None
)
def of_group(question: Callable[..., _T], *arguments: Any) -> _T:
    """Ask the admin client about a group: a new Kafka has no coordinator for the first seconds, which is no error."""
    return question(*arguments)


def await_leaders(admin: Any, names: set[str], partitions: int) -> None:
    """Until every partition answers: a leader that has been named may take a moment to know it. Raises BrokerProblem."""
    places = [TopicPartition(name, n) for name in names for n in range(partitions)]
    try:
        admin.wait_for_topics(sorted(names), timeout_ms=LED_WITHIN_MS)
        admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST), timeout_ms=LED_WITHIN_MS)
    except KafkaTimeoutError:
        raise BrokerProblem(
            f"{', '.join(sorted(names))}: made with {_partitions(partitions)} each, but after {LED_WITHIN_MS // 1000} s not all of "
            "them have a leader; the broker is busy or too small, so wait, then run volvere topics check"
        ) from None


def _describe(admin: Any, prefix: str) -> dict[str, int]:
    """Partition counts of the topics that exist."""
    described = admin.describe_topics([prefix + topic.name for topic in TOPICS])
    return {t["name"]: len(t["partitions"]) for t in described if t["error_code"] == 0}


def _judge(admin: Any, count: int | None, prefix: str, made: set[str], refused: dict[str, str]) -> list[Finding]:
    there = _describe(admin, prefix)
    count = count or there.get(prefix + TOUCHPOINTS.name)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    configs = admin.describe_configs(resources, config_filter="all").get("topic", {}) if resources else {}
    return [_finding(topic, prefix + topic.name, there, configs, count, made, refused) for topic in TOPICS]


def _finding(
    topic: Topic,
    name: str,
    there: dict[str, int],
    configs: dict[str, dict[str, Any]],
    count: int | None,
    made: set[str],
    refused: dict[str, str],
) -> Finding:
    reported = {key: value["value"] for key, value in configs.get(name, {}).items()}
    wanted = {"cleanup.policy": "delete", **topic.config}
    # The embedded broker reports only some of what it was given: what is not reported cannot be judged.
    settings = {key: wanted[key] for key in _CHECKED if key in wanted and key in reported}
    exact = topic.owned and count is not None
    expected = ", ".join(
        [_partitions(count) if exact else "any partitions", *(f"{k}={v}" for k, v in settings.items())]
    )
    if name not in there:
        return Finding(name, "wrong" if name in refused else "missing", expected, refused.get(name, "not there"))
    found = ", ".join([_partitions(there[name]), *(f"{key}={reported[key]}" for key in settings)])
    right = (not exact or there[name] == count) and all(reported[key] == value for key, value in settings.items())
    state: Literal["ok", "created", "wrong"] = "wrong" if not right else "created" if name in made else "ok"
    return Finding(name, state, expected, found)


def _partitions(count: int | None) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
