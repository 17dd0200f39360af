"""Records that nobody expected, on Apache Kafka: each ends where somebody finds it, and the rest goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from schemas.letters import MAX_LETTER_KEY
from schemas.times import DAY, HOUR, MINUTE, format_time
from schemas.topics import DEAD_LETTERS, FRICTIONS, MAX_MESSAGE, TOUCHPOINTS, partition_of
from streams.rules import parse_rules
from tests.command import ask, running, volvere
from tests.faults.crew import admin
from tests.faults.week import (
    PARTITIONS,
    config,
    expected,
    found,
    must_be_there_once,
    published,
    track,
    values,
    week,
)
from tests.kafka import ApacheKafka, read_topic
from volvere import files
from volvere.feed import feed
from volvere.topics import create
from volvere.worker import tracking, wall

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

Headers = list[tuple[str, bytes | None]]
CUSTOMERS = {partition_of(name, PARTITIONS): name for name in map(str, range(100, 200))}
"""One for each partition."""


def call(customer: str, at: int) -> list[dict[str, Any]]:
    """A call that the network ends: one `dropped_call`, which takes all three touchpoints to see."""
    contact = f"{customer}/{at}"
    told = {"source": "pbx", "customer_id": customer, "channel": "voice", "contact_id": contact, "topic": "billing"}
    steps = [("contact.started", {}), ("contact.answered", {}), ("contact.ended", {"ended_by": "network"})]
    return [
        told | {"event_id": f"{contact}/{n}", "kind": kind, "occurred_at": format_time(at + n * MINUTE), **more}
        for n, (kind, more) in enumerate(steps)
    ]


def lines(told: list[dict[str, Any]]) -> list[files.Record]:
    """As a file has them."""
    return [files.Record(n, json.dumps(t).encode(), t["customer_id"]) for n, t in enumerate(told, 1)]


def poison() -> list[tuple[bytes | None, bytes | None, Headers, str]]:
    """Values, keys and headers that make programs stumble, each with the reason for which it must be refused."""
    dice = Random(5)
    good = call("nobody", wall() - HOUR)[0]
    noise, pieces = dice.randbytes(1_000_000), []
    while noise:
        size = dice.randint(1, 60_000)
        pieces.append(noise[:size])
        noise = noise[size:]
    return [
        (json.dumps(good | {"note": "x" * 2 * 1024 * 1024}).encode(), b"nobody", [], "too_large"),
        (dice.randbytes(1_000_000), None, [], "too_large"),
        *((piece, dice.randbytes(8), [], "not_json") for piece in pieces),
        (json.dumps(good | {"source": "atención"}, ensure_ascii=False).encode("latin-1"), b"a", [], "not_json"),
        (b"{", dice.randbytes(300_000), [], "not_json"),
        (b"[" * 60_000, b"", [], "not_json"),
        (b'{"a":' * 12_000, b"a", [], "not_json"),
        (b"", b"a", [], "not_json"),
        (None, b"a", [], "not_json"),
        (b"null", b"a", [], "not_an_object"),
        (b"{}", b"a", [("ce_specversion", b"\xff"), ("ce_id", None), ("ce_source", b"\xc3\x28")], "missing_field"),
        (b'{"specversion":"1.0","data":"e30="}', None, [("", b""), ("forwarded", b"-1")], "invalid_field"),
        (json.dumps(good | {"customer_id": "\ud800"}).encode(), None, [], "invalid_field"),
        (json.dumps(good | {"occurred_at": "2199-12-31T23:59:59Z"}).encode(), None, [], "future"),
    ]


def allow(bootstrap: str, topic: str, size: int) -> None:
    """Let producers send records as large as this."""
    with admin(bootstrap) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})])


def test_poison_stops_nobody(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> None:
    """What no program can read lies among the dead letters, whole where it fits; whoever stands behind it is served."""
    bootstrap, store = apache_kafka.bootstrap, tmp_path / "store"
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=topic_prefix))
    source = topic_prefix + TOUCHPOINTS.name
    allow(bootstrap, source, 4 * 1024 * 1024)
    bad, began = poison(), wall() - HOUR

    async def send() -> dict[tuple[int, int], tuple[bytes | None, bytes | None, str]]:
        """Half of a call, the poison, the other half, in every partition; gives where the poison lies."""
        places = {}
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=8 * 1024 * 1024) as producer:
            for partition, customer in CUSTOMERS.items():
                first, *rest = call(customer, began)
                await producer.send(source, json.dumps(first).encode(), partition=partition)
                sent = [
                    await producer.send(source, value, key, partition, headers=headers)
                    for value, key, headers, _ in bad
                ]
                for at, (value, key, _, reason) in zip(await asyncio.gather(*sent), bad, strict=True):
                    places[partition, at.offset] = value, key, reason
                for told in rest:
                    await producer.send(source, json.dumps(told).encode(), partition=partition)
        return places

    where: dict[str, Any] = {
        "kafka": bootstrap,
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
        "session_timeout_s": 4,
        "clickhouse": store,
    }
    with running(tmp_path, "worker", "all", **where) as worker:
        worker.line(lambda text: "claimed partitions" in text)
        places = asyncio.run(send())
        told = PARTITIONS * len(call("", 0))
        groups = {f"{where['application']}-{name}" for name in ("track", "store")}
        deadline = time.monotonic() + 90
        with admin(bootstrap) as client:
            while groups:
                if time.monotonic() > deadline:
                    worker.line(lambda _: False, within=1)  # fails, and shows what it said
                for group, at in client.list_group_offsets(dict.fromkeys(groups)).items():
                    if sum(found.offset for tp, found in at.items() if tp.topic == source) == told + len(places):
                        groups.remove(group)
        done = worker.terminate()
    assert done.code == 0 and "Traceback" not in done.out
    letters = read_topic(bootstrap, topic_prefix + DEAD_LETTERS.name)
    assert len(letters) == len(places)
    for letter in letters:
        headers = {name: text.decode("utf-8", "replace") for name, text in letter.headers}
        value, key, reason = places.pop((int(headers["partition"]), int(headers["offset"])))
        assert headers["reason"] == reason
        if value is not None and len(value) > MAX_MESSAGE:
            assert headers["truncated"] == str(len(value))
            assert letter.value is not None and len(letter.value) > 1_000_000 and value.startswith(letter.value)
        else:
            assert letter.value == value
        assert letter.key == (key and key[:MAX_LETTER_KEY])
    rows = ask(tmp_path, "SELECT customer_id, kind FROM volvere.frictions ORDER BY customer_id", store)
    assert rows == [{"customer_id": name, "kind": "dropped_call"} for name in sorted(CUSTOMERS.values())]


def test_a_record_that_is_too_large_to_send(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> None:
    """A line of 2 MiB, which Kafka does not take, is a dead letter; the lines behind it are sent."""
    where: dict[str, Any] = {"kafka": apache_kafka.bootstrap, "topic_prefix": topic_prefix}
    volvere(tmp_path, "topics", "create", "--partitions", PARTITIONS, **where)
    told = [json.dumps(t).encode() for t in call("ana", wall() - HOUR)]
    large = told[0][:-1] + b', "note": "' + b"x" * 2 * 1024 * 1024 + b'"}'
    done = volvere(tmp_path, "send", "-", stdin=b"\n".join([told[0], large, *told[1:]]), **where)
    assert "3 records sent, 0 left out, 1 refused" in done.out
    assert f"line 2: {len(large):,} bytes; expected at most 65,536" in done.said
    sent = read_topic(apache_kafka.bootstrap, topic_prefix + TOUCHPOINTS.name)
    assert [r.value for r in sent] == told
    (letter,) = read_topic(apache_kafka.bootstrap, topic_prefix + DEAD_LETTERS.name)
    assert dict(letter.headers)["reason"] == b"too_large"
    assert dict(letter.headers)["truncated"] == str(len(large)).encode()
    assert letter.value and large.startswith(letter.value)


def test_a_touchpoint_from_the_future(apache_kafka: ApacheKafka, topic_prefix: str) -> None:
    """One clock that is years ahead must not make everybody else's touchpoints too late, nor let their time pass."""
    bootstrap = apache_kafka.bootstrap
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=topic_prefix))
    now = wall()
    early = [t | {"event_id": f"early {t['event_id']}"} for t in call("ana", now + 365 * DAY)]
    tolerated = call("ana", now + 4 * MINUTE)[0] | {"kind": "page.viewed", "channel": "web", "contact_id": None}
    usual = call("ana", now - 6 * DAY)
    silence = usual[0] | {"topic": "delivery", "kind": "message.received", "channel": "chat", "contact_id": "chat"}
    asked = silence | {"occurred_at": format_time(now - MINUTE), "event_id": "asks now"}

    async def work() -> tuple[Counter[str], int, int]:
        failed: list[BaseException] = []
        settings = config(bootstrap, topic_prefix)
        settings.fatal = failed.append
        async with asyncio.timeout(90), tracking(parse_rules(), settings) as app:
            fed = await feed(bootstrap, lines([*early, tolerated, *usual, asked]), topic_prefix)
            await app.host.finish(fed.ends, 0)
            assert not failed
            held = app.host.partitions[partition_of("ana", PARTITIONS)]
            return app.host.tally.refused, app.host.tally.too_late, held.watermark

    refused, too_late, watermark = asyncio.run(work())
    assert refused == {"future": len(early)}
    assert too_late == 0
    assert watermark < now + MINUTE
    kinds = [json.loads(r.value or b"")["data"]["kind"] for r in read_topic(bootstrap, topic_prefix + FRICTIONS.name)]
    assert kinds == ["dropped_call"], "nobody has waited for a reply yet"
    reasons = [dict(r.headers)["reason"] for r in read_topic(bootstrap, topic_prefix + DEAD_LETTERS.name)]
    assert reasons == [b"future"] * len(early)


def test_what_comes_twice_and_in_any_order(apache_kafka: ApacheKafka, topic_prefix: str) -> None:
    """Two producers that send the same week, each in an order of its own and with a part again, tell one truth."""
    bootstrap = apache_kafka.bootstrap
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=topic_prefix))
    told = week(seed=13, customers=300)
    items = [item for part in told.chunks for item in part if item.subject is not None]
    truth = expected([*items, *told.last])

    def disordered(seed: int) -> list[files.Record]:
        dice, size = Random(seed), len(items) // 5
        out = []
        for i in range(0, len(items), size):
            part = items[i : i + size]
            part += dice.choices(part, k=size // 2)
            dice.shuffle(part)
            out += part
        return out

    async def send() -> tuple[dict[int, int], int]:
        sent = await asyncio.gather(*(feed(bootstrap, disordered(seed), topic_prefix) for seed in (1, 2)))
        ends = {n: max(fed.ends[n] for fed in sent) for n in range(PARTITIONS)}
        return ends, sent[0].newest

    ends, newest = asyncio.run(send())
    assert sum(ends.values()) > 2.5 * len(items)
    asyncio.run(track(config(bootstrap, topic_prefix), told.last, ends, newest))
    frictions, journeys = asyncio.run(published(bootstrap, topic_prefix))
    must_be_there_once(frictions)
    ended = found(values(frictions), values(journeys))
    assert ended.said["retracted"] >= 5, "nothing was said too early: this would be true of any code"
    assert ended.frictions == truth.frictions
    assert ended.journeys == truth.journeys
