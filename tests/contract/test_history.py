"""What is read back from the store is what was sent, in every shape of ClickHouse."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import schemas
from schemas.decode import contract, decode
from schemas.errors import Transient
from schemas.times import EARLIEST, format_time
from schemas.topics import partition_of
from schemas.touchpoint import Normal, digest, subject_of
from sinks import history, rows
from sinks.clickhouse import Inserter
from sinks.rows import Stored
from streams.entries import Entry, entry_of
from tests.contract.conftest import ARRIVED, Table, tail

EXAMPLES = sorted((Path(schemas.__file__).parent / "examples/valid/touchpoints").glob("*.json"))


def everything(client: Client, partitions: int = 1) -> list[Stored]:
    """All touchpoints, partition by partition."""
    return [t for n in range(partitions) for page in history.touchpoints(client, n, partitions) for t in page]


def entries(sent: Sequence[Normal]) -> dict[tuple[int, str, str, str], Entry]:
    """What `track` remembers of each when it comes over Kafka: the winning version."""
    out: dict[tuple[int, str, str, str], Entry] = {}
    for t in sent:
        subject = subject_of(t.customer_id, t.contact_id, t.source, t.event_id)
        entry = entry_of(t, digest(t), replay=True)
        key = (t.occurred_at, subject, t.source, t.event_id)
        if key not in out or (out[key].version, out[key].digest) < (entry.version, entry.digest):
            out[key] = entry
    return out


def remembered(found: Sequence[Stored]) -> dict[tuple[int, str, str, str], Entry]:
    """What a rebuild remembers of each."""
    return {(t.occurred_at, t.subject, t.source, t.event_id): entry_of(t, t.content, replay=True) for t in found}


def test_every_example_comes_back(client: Client) -> None:
    """A rebuilt state remembers what the old one did, digest included, so that what is read again is known."""
    values = [path.read_bytes() for path in EXAMPLES]
    assert (
        Inserter(client).insert("touchpoints", [rows.touchpoint(v, ARRIVED, (), tail("touchpoints")) for v in values])
        == []
    )
    assert remembered(everything(client)) == entries([decode(v, ARRIVED) for v in values])


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
optional: dict[str, Any] = {
    **dict.fromkeys(["ref", "contact_id", "journey_id", "topic", "agent_id", "queue", "product", "asset_id"], text),
    **dict.fromkeys(["release", "reason", "reason_code", "element"], text),
    **dict.fromkeys(["wait_ms", "handle_ms", "hold_ms"], st.integers(0, 10**12)),
    **dict.fromkeys(["cancelled", "automatic"], st.booleans()),
    "version": st.integers(0, 2**63 - 1),
    "direction": st.sampled_from(["inbound", "outbound"]),
    "ended_by": st.sampled_from(["customer", "agent", "network", "system"]),
    "outcome": st.sampled_from(["ok", "fail", "resolved", "unresolved", "denied", "escalated"]),
    **dict.fromkeys(["score", "x", "y"], st.floats(allow_nan=False, allow_infinity=False)),
    "scale": st.sampled_from(["nps", "csat5"]),
    "amount": st.decimals(-(10**13), 10**13, places=4).map(lambda d: format(d, "f")),
    "currency": st.just("EUR"),
    "due_at": st.sampled_from(["1990-01-01T00:00:00Z", "2030-02-28T23:59:59.999999Z", "2199-12-31T23:59:59.5Z"]),
    "attributes": st.dictionaries(
        text, st.one_of(text, st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(-1e9, 1e9))
    ),
    "more": st.one_of(text, st.booleans(), st.lists(text)),
}
touchpoints = st.fixed_dictionaries(
    {
        "source": text,
        "event_id": text,
        "customer_id": st.one_of(st.none(), text),
        "kind": st.sampled_from(["contact.started", "message.received", "page.viewed"]),
        "channel": st.sampled_from(["voice", "chat"]),
        "occurred_at": st.integers(EARLIEST, ARRIVED).map(format_time),
    },
    optional=optional,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(touchpoints, min_size=1, max_size=40))
def test_any_touchpoint_comes_back(client: Client, sent: list[dict[str, Any]]) -> None:
    """Odd ids, extreme numbers and times, cancelled and older versions: nothing of it is told otherwise by the store."""
    client.command("TRUNCATE TABLE volvere_store.touchpoints")
    values = [json.dumps(t).encode() for t in sent]
    normal = [decode(v, ARRIVED) for v in values]
    assert normal == [contract(v) for v in values]
    assert (
        Inserter(client).insert("touchpoints", [rows.touchpoint(v, ARRIVED, (), tail("touchpoints")) for v in values])
        == []
    )
    assert remembered(everything(client)) == entries(normal)


def test_a_partition_gets_its_own_in_order_of_time(client: Client) -> None:
    """What the server takes for a subject's partition is what the workers take for it; time never runs backwards."""
    sent = [
        {
            "source": "pbx",
            "event_id": f"e{i}",
            "customer_id": f"añ {i % 97}" if i % 3 else None,
            "kind": "page.viewed",
            "channel": "web",
            "occurred_at": f"2026-{i * 7 % 12 + 1:02}-{i * 5 % 28 + 1:02}T09:00:00Z",
        }
        for i in range(2 * history.PAGE + 500)
    ]
    values = [json.dumps(t).encode() for t in sent]
    lines = [rows.touchpoint(v, ARRIVED, (), tail("touchpoints")) for v in values]
    assert Inserter(client).insert("touchpoints", lines) == []
    seen = 0
    for n in range(3):
        pages = list(history.touchpoints(client, n, 3))
        assert all(0 < len(page) <= history.PAGE for page in pages)
        found = [t for page in pages for t in page]
        assert {partition_of(t.subject, 3) for t in found} == {n}
        assert [t.occurred_at for t in found] == sorted(t.occurred_at for t in found)
        seen += len(found)
    assert seen == len(sent) == history.count(client)


def test_whose_touchpoints_are_all_withdrawn_has_no_frictions(table: Table, client: Client) -> None:
    """What an earlier generation found of them goes; of those who have touchpoints it stays until there is more to say."""
    for n, who in enumerate(("ana", "eva")):
        table.touchpoints({"customer_id": who, "event_id": who})
        client.command(
            "INSERT INTO volvere_store.journeys (subject, journey_id, generation, _version) "
            f"VALUES ('{who}', 'j{n}', 1, bitShiftLeft(toUInt128(1), 64))"
        )
    table.touchpoints({"customer_id": "ana", "event_id": "ana", "version": 1, "cancelled": True})
    assert table.ask("SELECT subject FROM volvere.journeys ORDER BY subject") == [("ana",), ("eva",)]
    history.close_older(client, 2)
    assert table.ask("SELECT subject FROM volvere.journeys ORDER BY subject") == [("eva",)]


class Cut:
    """A server whose answer breaks off."""

    def raw_stream(self, *_: object, **__: object) -> io.BytesIO:
        """Half a row, and what ClickHouse writes there when it runs out of memory."""
        return io.BytesIO(b'{"source":"pbx","event_id":Code: 241. DB::Exception: memory limit exceeded\n')


def test_an_answer_that_breaks_off_is_no_end() -> None:
    """Half a history taken for the whole would rebuild half a state, and nobody would know."""
    with pytest.raises(Transient, match="run the command again"):
        list(history.lines(cast(Client, Cut()), "SELECT 1", rows.stored))
