"""Dead letters can be looked at, and sent again when they can be read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.decode import decode
from schemas.times import MINUTE, format_time
from schemas.topics import DEAD_LETTERS, OPERATIONS, TOUCHPOINTS, partition_of
from tests.command import volvere
from tests.kafka import Record, read_topic
from volvere.worker import wall

GOOD: dict[str, Any] = {
    "source": "pbx",
    "event_id": "1",
    "customer_id": "ana",
    "kind": "contact.started",
    "channel": "voice",
    "occurred_at": "2025-01-06T05:03:20Z",
}
PARTITIONS = 3
Headers = dict[str, str]


class Desk:
    """Topics on a broker, and an operator's commands on them."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.bootstrap, self.prefix, self.folder = bootstrap, prefix, folder
        self.settings: dict[str, Any] = {"kafka": bootstrap, "topic_prefix": prefix, "application": prefix}
        volvere(folder, "topics", "create", "--partitions", PARTITIONS, **self.settings)

    def letters(self, *letters: tuple[bytes, Headers]) -> None:
        """Dead letters as an earlier release may have left them."""

        async def send() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
            await producer.start()
            for n, (value, told) in enumerate(letters):
                headers = [(name, text.encode()) for name, text in told.items()]
                await producer.send_and_wait(
                    self.prefix + DEAD_LETTERS.name, value, headers=headers, partition=n % PARTITIONS
                )
            await producer.stop()

        asyncio.run(send())

    def show(self, *options: object) -> dict[str, Any]:
        """What `volvere dlq show` tells programs."""
        told: dict[str, Any] = json.loads(
            volvere(self.folder, "dlq", "show", "--format", "json", *options, **self.settings).out
        )
        return told

    def replay(self, *options: object) -> tuple[str, str]:
        """What `volvere dlq replay` says: what it did, and what is left."""
        done = volvere(self.folder, "dlq", "replay", *options, **self.settings)
        return done.out.splitlines()[0], done.err

    def touchpoints(self) -> list[Record]:
        """What lies in `touchpoints`."""
        return read_topic(self.bootstrap, self.prefix + TOUCHPOINTS.name, quiet_ms=300)


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def desk(request: pytest.FixtureRequest, topic_prefix: str, tmp_path: Path) -> Desk:
    """A desk on each broker in turn."""
    broker = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "apache_kafka")
    return Desk(broker.bootstrap, topic_prefix, tmp_path)


def refused(
    offset: int, reason: str, field: str = "", message: str = "expected something else", **more: str
) -> Headers:
    """Headers as `track` writes them."""
    place = {"topic": "touchpoints", "partition": "2", "offset": str(offset)}
    told = {"reason": reason, "field": field, "message": message, "time": format_time(wall() - MINUTE)}
    return told | place | more


def test_what_track_refuses_can_be_seen(desk: Desk) -> None:
    """Who looks after the input finds what was wrong, where it lay, and what it looked like."""
    lines = [json.dumps(GOOD), '{"source": "pbx"}', "\u001b[31mred", json.dumps(GOOD | {"kind": "Nonsense"})]
    volvere(desk.folder, "run", "-", stdin="\n".join(lines) + "\n", clickhouse=desk.folder / "store", **desk.settings)
    told = desk.show()
    assert told["reasons"] == {"invalid_field": 1, "missing_field": 1, "not_json": 1}
    by_reason = {letter["reason"]: letter for letter in told["letters"]}
    assert by_reason["missing_field"]["field"] == "event_id"
    assert by_reason["missing_field"]["beginning"] == lines[1]
    assert by_reason["invalid_field"]["place"].startswith(f"{desk.prefix}touchpoints/")
    assert by_reason["not_json"]["beginning"] == "·[31mred", "what a sender wrote must not steer a terminal"
    assert [letter["reason"] for letter in desk.show("--reason", "missing_field")["letters"]] == ["missing_field"]
    assert len(desk.show("--limit", 2)["letters"]) == 2
    shown = volvere(desk.folder, "dlq", "show", **desk.settings).out
    assert "a required field is absent" in shown
    assert lines[1] in shown


def test_a_cloudevent_in_binary_mode_is_sent_with_its_envelope(desk: Desk) -> None:
    """Half of such a record is in its headers, and a dead letter keeps them."""
    body = {name: value for name, value in GOOD.items() if name not in ("source", "event_id", "occurred_at")}
    envelope = {"ce_specversion": "1.0", "ce_source": "pbx", "ce_id": "7", "ce_time": "2025-01-06T09:00:00Z"}
    desk.letters((json.dumps(body).encode(), refused(0, "invalid_field", **envelope)))
    desk.replay()
    (record,) = desk.touchpoints()
    t = decode(record.value, wall(), record.headers)
    assert (t.source, t.event_id) == ("pbx", "7")


def test_what_can_be_read_now_is_sent_once(desk: Desk) -> None:
    """After an upgrade nothing that was refused is lost, nothing is sent twice, and what is left says why."""
    mended = [json.dumps(GOOD | {"event_id": str(n), "customer_id": f"c-{n}"}).encode() for n in range(4)]
    desk.letters(
        *((value, refused(n, "missing_field")) for n, value in enumerate(mended)),
        (b"{still broken", refused(4, "not_json")),
        (b'{"source": "pbx", "element": "', refused(5, "too_large", truncated="2000000")),
    )
    would, _ = desk.replay("--dry-run")
    assert would == "4 would be sent again, 2 left"
    assert desk.touchpoints() == []
    sent, left = desk.replay()
    assert sent == "4 sent again, 2 left"
    assert "touchpoints/2/4: expected a JSON object" in left
    assert "touchpoints/2/5: only the first 30 of 2,000,000 bytes were kept" in left
    there = desk.touchpoints()
    assert sorted(r.value or b"" for r in there) == mended
    assert {partition_of((r.key or b"").decode(), PARTITIONS) == r.partition for r in there} == {True}
    assert desk.replay()[0] == "0 sent again, 0 left"
    assert len(desk.touchpoints()) == 4
    assert desk.replay("--again")[0] == "4 sent again, 2 left"


def test_an_operation_is_sent_where_it_belongs(desk: Desk) -> None:
    """What only the company does has a topic of its own, also after it could not be read."""
    hired = GOOD | {"customer_id": None, "kind": "agent.hired", "agent_id": "a-1"}
    desk.letters((json.dumps(hired).encode(), refused(0, "future")), (json.dumps(GOOD).encode(), refused(1, "future")))
    assert desk.replay()[0] == "2 sent again, 0 left"
    (record,) = read_topic(desk.bootstrap, desk.prefix + OPERATIONS.name, quiet_ms=300)
    assert json.loads(record.value or b"") == hired
    assert [json.loads(r.value or b"") for r in desk.touchpoints()] == [GOOD]


@pytest.mark.parametrize("desk", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)
def test_one_reason_after_the_other(desk: Desk) -> None:
    """What was ahead of its time is sent when it has happened; the others wait for their turn, and none goes twice.

    On the embedded broker, which keeps no metadata of offsets, they would.
    """
    values = [json.dumps(GOOD | {"event_id": str(n)}).encode() for n in range(6)]
    reasons = ["future", "missing_field", "future", "invalid_field", "future", "future"]
    desk.letters(*((value, refused(n, reason)) for n, (value, reason) in enumerate(zip(values, reasons, strict=True))))
    assert desk.replay("--reason", "future")[0] == "4 sent again, 0 left"
    assert desk.replay("--reason", "future")[0] == "0 sent again, 0 left"
    assert desk.replay()[0] == "2 sent again, 0 left"
    assert sorted(r.value or b"" for r in desk.touchpoints()) == values


def test_personal_data_is_announced(tmp_path: Path) -> None:
    """Whoever looks into dead letters is told before what they hold."""
    assert "personal data" in " ".join(volvere(tmp_path, "dlq", "show", "--help").out.replace("│", " ").split())
