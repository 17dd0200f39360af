"""Kafka: found by its name, reached, let in; its brokers, topics, transactions, clock; the state and who works on it."""

from __future__ import annotations

import asyncio
import logging
import operator
import ssl
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from schemas.topics import FACTS, MAX_MESSAGE, TOPICS, TOUCHPOINTS
from streams.restore import BARRIER, Restorer
from volvere import security, topics, worker
from volvere.doctor import ANSWER_WITHIN, Check, Patient, Said, ends, parted, silent, told, unknown_name
from volvere.embedded import has_transactions
from volvere.lag import lag
from volvere.settings import Settings, variable

DAY_MS = 86_400_000
SKEW = 1_000_000
"""Microseconds between two clocks that are kept in time."""
WAITS = 60.0
"""Seconds that a friction may wait for its receiver before somebody is asked to look."""
TOO_LATE = 300_000_000
"""A touchpoint that is dated so long after its arrival is refused; so is what a clock that is so far ahead stamps."""


def checks(settings: Settings) -> tuple[Check, ...]:
    """Those that this Kafka can be asked."""
    if settings.kafka_is_embedded:
        return (Check("kafka", _embedded),)
    return (
        Check("kafka.name", _name),
        Check("kafka.port", _port, ("kafka.name",)),
        Check("kafka.login", _login, ("files", "kafka.port")),
        Check("kafka.certificate", _certificate, ("kafka.login",)),
        Check("kafka.brokers", _brokers, ("kafka.login",)),
        Check("kafka.session", _session, ("kafka.brokers",)),
        Check("kafka.transactions", _transactions, ("kafka.brokers",)),
        Check("kafka.topics", _topics, ("kafka.brokers",)),
        Check("kafka.replicas", _replicas, ("kafka.topics",)),
        Check("kafka.limits", _limits, ("rules", "kafka.topics")),
        Check("kafka.clock", _clock, ("kafka.topics", "kafka.transactions")),
        Check("kafka.state", _state, ("kafka.topics", "kafka.transactions")),
        Check("kafka.workers", _workers, ("kafka.topics", "kafka.transactions")),
        Check("kafka.alerts", _alerts, ("routes", "kafka.topics", "kafka.transactions")),
    )


def _embedded(_: Patient) -> Iterator[Said]:
    from volvere.embedded import _binary

    yield "ok", f"embedded: each command starts one of its own, and ends it ({_binary()})", ""


def _name(patient: Patient) -> Iterator[Said]:
    addresses = patient.settings.kafka.split(",")
    unknown = [why for address in addresses if (why := unknown_name(*parted(address)))]
    yield from _some(unknown, len(addresses), f"correct {variable('kafka')}, or the name service of this machine")


def _port(patient: Patient) -> Iterator[Said]:
    addresses = patient.settings.kafka.split(",")
    away = [why for address in addresses if (why := silent(*parted(address)))]
    yield from _some(
        away,
        len(addresses),
        f"start the broker, open the way to it (firewall, NetworkPolicy), or correct {variable('kafka')}",
    )


def _some(bad: list[str], of: int, remedy: str) -> Iterator[Said]:
    """One address of several is enough to begin with."""
    for why in bad:
        yield "wrong" if len(bad) == of else "doubtful", why, remedy
    if len(bad) < of:
        yield "ok", f"{of - len(bad)} of {of}", ""


def _login(patient: Patient) -> Iterator[Said]:
    settings = patient.settings
    patient.access = security.kafka(settings)
    if (why := asyncio.run(security.refusal(settings.kafka, patient.access))) is not None:
        yield told(why)
        return
    who = f", as {settings.kafka_user} by {settings.kafka_sasl_mechanism}" if settings.kafka_user else ""
    yield "ok", f"{settings.kafka_security}{who}", ""


def _certificate(patient: Patient) -> Iterator[Said]:
    """A broker's certificate does not end soon."""
    context: ssl.SSLContext | None = patient.access.get("ssl_context")
    if context is None:
        yield "ok", "without TLS", ""
        return
    for address in patient.settings.kafka.split(","):
        until = asyncio.run(_valid_until(*parted(address), context))
        if until is None:
            continue
        verdict, left, remedy = ends(until, patient.now(), "renew it on the broker")
        yield verdict, f"that of {address} {left}", remedy


async def _valid_until(host: str, port: int, context: ssl.SSLContext) -> float | None:
    """When a server's certificate ends, seconds; None where it cannot be reached."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except OSError:
        return None
    try:
        shown: dict[str, Any] = writer.get_extra_info("peercert") or {}
        return ssl.cert_time_to_seconds(shown["notAfter"]) if "notAfter" in shown else None
    finally:
        writer.transport.abort()


def _brokers(patient: Patient) -> Iterator[Said]:
    """Every broker can be reached under the address that it gives to its clients."""
    settings = patient.settings
    patient.brokers = asyncio.run(security.brokers(settings.kafka, patient.access))
    for number, host, port in patient.brokers:
        if (why := unknown_name(host, port) or silent(host, port)) is not None:
            yield (
                "wrong",
                f"broker {number} sends its clients to {host}:{port}: {why}",
                "set its advertised.listeners to an address that this machine reaches, or open the way to it",
            )
    if patient.brokers:
        yield "ok", f"{len(patient.brokers)} in the cluster", ""
    else:
        yield (
            "wrong",
            f"somebody listens at {settings.kafka}, and does not answer",
            f"see to the broker's load and its log, and whether {variable('kafka')} names a Kafka",
        )


def _session(patient: Patient) -> Iterator[Said]:
    """The brokers let a worker be silent for as long as the settings say, no less and no more."""
    settings = patient.settings
    resources = [ConfigResource(ConfigResourceType.BROKER, str(number)) for number, _, _ in patient.brokers]
    with topics.administer(settings.kafka, patient.access) as admin:
        configs = admin.describe_configs(resources, config_filter="all").get("broker", {})
    if not configs or not all(configs.values()):
        yield (
            "unknown",
            "the brokers do not tell this user their limits",
            "allow DescribeConfigs on the cluster, or compare group.min.session.timeout.ms and group.max.session.timeout.ms by hand",
        )
        return
    wanted, good = round(settings.session_timeout_s * 1000), True
    for number, config in sorted(configs.items()):
        for limit, beyond in (("min", operator.lt), ("max", operator.gt)):
            key = f"group.{limit}.session.timeout.ms"
            value = (config.get(key) or {}).get("value")
            if value is not None and beyond(wanted, int(value)):
                good = False
                yield (
                    "wrong",
                    f"broker {number}: {key}={value}; {variable('session_timeout_s')} is {settings.session_timeout_s:g} s",
                    f"set {variable('session_timeout_s')} within the limits, or the limit on the brokers",
                )
    if good:
        yield "ok", f"{settings.session_timeout_s:g} s, as the brokers allow", ""


def _transactions(patient: Patient) -> Iterator[Said]:
    settings = patient.settings
    patient.trusted = has_transactions(settings.kafka, settings.application, access=patient.access)
    if patient.trusted and settings.transactions == "off":
        yield "doubtful", "the broker has them, and they are turned off", f"set {variable('transactions')}=auto"
    elif patient.trusted:
        yield "ok", "each friction is seen once", ""
    elif settings.transactions == "on":
        yield "wrong", "the broker has none", f"use Apache Kafka, or set {variable('transactions')}=auto"
    else:
        yield "doubtful", "the broker has none: a friction may be seen twice", "use Apache Kafka"


def _topics(patient: Patient) -> Iterator[Said]:
    """As `schemas.topics` declares them."""
    settings = patient.settings
    found = topics.check(settings.kafka, settings.partitions, prefix=settings.topic_prefix, access=patient.access)
    for f in found:
        if not f.good:
            yield "wrong", f"{f.topic}: expected {f.expected}; found {f.found}", _mend(f)
    if all(f.good for f in found):
        yield "ok", f"{len(found)}, {found[0].found.partition(',')[0]}", ""


def _mend(finding: topics.Finding) -> str:
    if finding.state == "missing":
        return "run `volvere topics create`"
    wanted = dict(part.split("=") for part in finding.expected.split(", ") if "=" in part)
    there = dict(part.split("=") for part in finding.found.split(", ") if "=" in part)
    other = {key: value for key, value in wanted.items() if there.get(key) != value}
    if other:
        changes = ",".join(f"{key}={value}" for key, value in other.items())
        return (
            f"run `kafka-configs.sh --alter --entity-type topics --entity-name {finding.topic} --add-config {changes}`"
        )
    return (
        "delete the topic if nothing is in it and run `volvere topics create`; "
        f"or give all the same count: `volvere rebuild --from clickhouse --partitions N`, and unset {variable('partitions')}"
    )


def _replicas(patient: Patient) -> Iterator[Said]:
    """What a broker's end would take along."""
    settings = patient.settings
    brokers = len(patient.brokers)
    with topics.administer(settings.kafka, patient.access) as admin:
        described = admin.describe_topics([settings.topic_prefix + topic.name for topic in TOPICS])
    for t in described:
        parts = t["partitions"]
        if headless := sum(p["leader_id"] < 0 for p in parts):
            yield "wrong", f"{t['name']}: {headless} partitions have no leader", "start the brokers that hold them"
        elif any(len(p["isr_nodes"]) < len(p["replica_nodes"]) for p in parts):
            yield "doubtful", f"{t['name']}: some replicas are not up to date", "see to the brokers that hold them"
        if brokers > 1 and any(len(p["replica_nodes"]) == 1 for p in parts):
            yield (
                "doubtful",
                f"{t['name']}: one replica on {brokers} brokers; with its broker the records would be lost",
                f"reassign it to three; for new topics set {variable('replication')}=3",
            )
    yield "ok", f"{len(described)} topics on {brokers} brokers", ""


def _limits(patient: Patient) -> Iterator[Said]:
    """Records are let in up to the size that is published, and are kept for as long as touchpoints may come late."""
    settings = patient.settings
    names = [settings.topic_prefix + topic.name for topic in TOPICS]
    with topics.administer(settings.kafka, patient.access) as admin:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs = admin.describe_configs(resources, config_filter="all").get("topic", {})
    lateness = worker.load_rules(settings.rules).time.lateness // 1000
    for name, config in configs.items():
        size, kept = (int((config.get(key) or {}).get("value") or -1) for key in ("max.message.bytes", "retention.ms"))
        if 0 <= size < MAX_MESSAGE:
            yield (
                "wrong",
                f"{name}: max.message.bytes={size}; expected {MAX_MESSAGE} or more",
                f"run `kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config max.message.bytes=1048588`",
            )
        if name == settings.topic_prefix + TOUCHPOINTS.name and 0 <= kept < lateness:
            yield (
                "doubtful",
                f"{name}: kept for {kept / DAY_MS:.1f} days, while touchpoints may come {lateness / DAY_MS:.1f} days late",
                "keep them longer (retention.ms): workers that are down for so long would miss some",
            )
    yield "ok", "records of every size that is written, kept long enough", ""


def _clock(patient: Patient) -> Iterator[Said]:
    """By the broker's clock time passes; what it says is read from a record that is taken back."""
    if not patient.trusted:
        yield "unknown", "this broker does not stamp records with its own time", "use Apache Kafka"
        return
    skew = asyncio.run(_skew(patient))
    seconds = abs(skew) / 1_000_000
    way = "ahead of" if skew > 0 else "behind"
    if abs(skew) >= TOO_LATE:
        yield (
            "wrong",
            f"this machine's clock is {seconds:,.0f} s {way} the broker's: what is dated by the later one is refused as `future`",
            "keep both in time (NTP)",
        )
    elif abs(skew) >= SKEW:
        yield "doubtful", f"this machine's clock is {seconds:,.1f} s {way} the broker's", "keep both in time (NTP)"
    else:
        yield "ok", f"{seconds:.1f} s beside the broker's", ""


async def _skew(patient: Patient) -> int:
    """How far this machine's clock is ahead of the broker's, microseconds."""
    settings = patient.settings
    sender = logging.getLogger("aiokafka.producer.sender")
    before = sender.level
    sender.setLevel(logging.CRITICAL)  # what it would log is a finding here
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.split(","),
        transactional_id=f"{settings.application}-doctor",
        transaction_timeout_ms=settings.transaction_timeout_ms,
        request_timeout_ms=5000,
        **patient.access,
    )
    try:
        async with asyncio.timeout(20):
            await producer.start()
            await producer.begin_transaction()
            earliest = patient.now()
            sent = await producer.send_and_wait(settings.topic_prefix + FACTS.name, value=b"", key=BARRIER, partition=0)
            latest = patient.now()
            await producer.abort_transaction()
    except TimeoutError:
        raise topics.BrokerProblem(
            "the broker took more than 20 s for one record; see to its load and its log"
        ) from None
    finally:
        await producer.stop()
        sender.setLevel(before)
    appended = int(sent.timestamp) * 1000
    return max(earliest - appended - 1000, 0) or min(latest - appended, 0)


def _state(patient: Patient) -> Iterator[Said]:
    """What the last worker left can be read by this release, and fits the topics."""
    settings = patient.settings
    source = settings.topic_prefix + TOUCHPOINTS.name
    with topics.administer(settings.kafka, patient.access) as admin:
        count = len(admin.describe_topics([source])[0]["partitions"])
        places = [TopicPartition(source, n) for n in range(count)]
        begins, ends = (
            {
                tp.partition: found.offset
                for tp, found in admin.list_partition_offsets(dict.fromkeys(places, at)).items()
            }
            for at in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
    patient.controls = asyncio.run(_controls(patient, count)) if patient.trusted else {}
    for n, control in sorted(patient.controls.items()):
        if control.offset > ends[n]:
            yield (
                "wrong",
                f"partition {n}: the state goes to offset {control.offset}, {source} ends at {ends[n]}: was the topic made anew?",
                f"run `volvere rebuild`, or set {variable('application')} to another name",
            )
        elif control.offset < begins[n]:
            yield (
                "doubtful",
                f"partition {n}: records {control.offset} to {begins[n]} expired before anybody read them",
                "keep `touchpoints` longer; what ClickHouse has of them comes back by `volvere rebuild --from clickhouse`",
            )
    if patient.controls:
        left = sum(ends[n] - control.offset for n, control in patient.controls.items())
        newest = max(control.generation for control in patient.controls.values())
        yield (
            "ok",
            f"generation {newest} in {len(patient.controls)} of {count} partitions, at most {left:,} records behind",
            "",
        )
    else:
        yield "ok", "there is none yet; the first worker begins it", ""


async def _controls(patient: Patient, count: int) -> dict[int, Any]:
    settings = patient.settings

    def reader() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            **patient.access,
        )

    async def barrier(_: int) -> int:
        raise NotImplementedError("only where ends cannot be trusted")

    prefix = settings.topic_prefix
    restorer = Restorer(reader, prefix + TOUCHPOINTS.name, prefix + FACTS.name, True, 1, barrier)
    return await restorer.examine(range(count))


def _workers(patient: Patient) -> Iterator[Said]:
    """Nobody waits in vain for a partition."""
    settings = patient.settings
    if not patient.trusted:
        yield "unknown", "this broker cannot be asked who is in which group", "use Apache Kafka"
        return
    groups = [f"{settings.application}-{stage}" for stage in ("track", "store")]
    with topics.administer(settings.kafka, patient.access) as admin:
        count = len(admin.describe_topics([settings.topic_prefix + TOUCHPOINTS.name])[0]["partitions"])
        members = {group: len(topics.of_group(admin.describe_groups, [group])[group]["members"]) for group in groups}
    for group, number in members.items():
        if number > count:
            yield (
                "doubtful",
                f"{number} in the group {group}, {count} partitions: {number - count} have nothing to do",
                f"run {count} at most, or give the topics more: `volvere rebuild --from clickhouse --partitions N`",
            )
    yield "ok", ", ".join(f"{number} in the group {group}" for group, number in members.items()), ""


def _alerts(patient: Patient) -> Iterator[Said]:
    """Each receiver has a group, somebody is in it, and nothing waits for long."""
    if not patient.receivers:
        yield "ok", "nobody is to be told", ""
        return
    if not patient.trusted:
        yield "unknown", "this broker cannot be asked who is in which group", "use Apache Kafka"
        return
    settings = patient.settings
    lines = asyncio.run(lag(settings, worker.Broker(settings.kafka, True, patient.access)))
    for name in patient.receivers:
        ours = [line for line in lines if line.group == f"alert-{name}"]
        records = sum(line.records for line in ours)
        longest = max((line.seconds or 0.0 for line in ours), default=0.0)
        if not ours:
            yield "doubtful", f"{name} was never told of anything", "start `volvere worker alert`"
        elif not any(line.owner for line in ours):
            yield (
                "doubtful",
                f"nobody tells {name}, and {records:,} friction events wait at most",
                "start `volvere worker alert`",
            )
        elif longest > WAITS:
            yield (
                "doubtful",
                f"{records:,} friction events wait for {name}, the first for {longest:,.0f} s",
                "see whether it answers: the log of `volvere worker alert`, `volvere_alert_receiver_away`",
            )
        else:
            yield "ok", f"{name} is told", ""
