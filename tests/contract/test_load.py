"""`volvere store load`: the same rows as by way of Kafka, and the same however often."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

import schemas
from schemas.errors import Transient
from schemas.times import HOUR, MINUTE, format_time, parse_time
from sinks.clickhouse import connect
from sinks.store import prepare
from tests.contract.chdb_http import ChdbHttp, Fail
from tests.contract.conftest import Table
from volvere.files import Item, read
from volvere.load import NAMED, load
from volvere.simulator import Company

NOW = parse_time("2026-06-01T00:00:00Z")
EXAMPLES = Path(schemas.__file__).parent / "examples"
INSERTED = {"_inserted_at"}
ARRIVED = {"appended_at", "_topic", "_partition", "_offset"} | INSERTED
GOOD: dict[str, Any] = {
    "source": "pbx", "event_id": "1", "customer_id": "ana", "kind": "contact.started", "channel": "voice",
    "occurred_at": "2026-03-01T09:00:00Z",
}  # fmt: skip


def line(**changes: Any) -> bytes:
    """A touchpoint as it is sent."""
    return json.dumps(GOOD | changes).encode()


def told() -> list[bytes]:
    """What a company's systems send: much that is right, with corrections and repetitions, and much that is not."""
    right = [json.loads(path.read_bytes()) for path in sorted((EXAMPLES / "valid" / "touchpoints").glob("*.json"))]
    wrong = [json.loads(path.read_bytes()) for path in sorted((EXAMPLES / "invalid" / "touchpoints").glob("*.json"))]
    lines = [json.dumps(t).encode() for t in right]
    lines += [json.dumps(w["record"]).encode() for w in wrong if "record" in w]
    lines += [json.dumps(t).encode() for t in Company(seed=2, customers=60, days=9).touchpoints()]
    return lines + lines[::7] + [line(occurred_at=format_time(NOW + HOUR)), b"no JSON", b"[1]"]


def items(*lines: bytes) -> Iterator[Item]:
    """Lines as a file's items."""
    return read(BytesIO(b"\n".join(lines)))


def stored(table: Table, without: Collection[str]) -> list[tuple[Any, ...]]:
    """The rows of touchpoints as merged, but for some columns."""
    names = [str(row[0]) for row in table.ask("DESCRIBE TABLE volvere_store.touchpoints")]
    wanted = ", ".join(name for name in names if name not in without)
    return table.ask(f"SELECT {wanted} FROM volvere_store.touchpoints FINAL ORDER BY ALL")


def test_rows_are_those_of_the_worker(table: Table) -> None:
    """Whoever asks cannot tell loaded history from what came over Kafka, but by whence and when it came."""
    lines = told()
    done = load(table.client, [("history", items(*lines))], NOW)
    loaded = stored(table, ARRIVED)
    table.client.command("TRUNCATE TABLE volvere_store.touchpoints")

    place = TopicPartition("touchpoints", 0)
    records = [
        ConsumerRecord(place.topic, 0, n, NOW // 1000, 1, None, value, None, -1, len(value), ())
        for n, value in enumerate(lines)
    ]
    by_worker = prepare("touchpoints", {place: records})
    table.put("touchpoints", by_worker.rows)
    assert loaded == stored(table, ARRIVED)
    assert len(loaded) > 300
    assert done.stored == len(by_worker.rows)
    assert done.refused == Counter(refused.error.reason for refused in by_worker.refused)
    assert {"future", "not_json", "not_an_object", "missing_field", "invalid_field"} <= done.refused.keys()


def test_loading_again_changes_nothing(table: Table, tmp_path: Path) -> None:
    """Who is not sure whether a file was loaded loads it: another day, packed, under another name, in other batches."""
    lines = told()
    file = tmp_path / "again.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines)))
    load(table.client, [("history", items(*lines))], NOW)
    once = stored(table, INSERTED)
    again = load(table.client, [(str(file), read(file))], NOW + MINUTE, batch_rows=97)
    assert again.stored == len(told()) - again.refused.total()
    assert table.ask("SELECT count() FROM volvere_store.touchpoints") > [(len(once),)], (
        "they were not left out as a repetition"
    )
    assert stored(table, INSERTED) == once


def test_lineage_and_arrival(table: Table) -> None:
    """A row leads back to its line; and history arrived, for whoever looks at delays, as it happened."""
    load(
        table.client,
        [("a", items(b"", line(), b"?", line(event_id="2", occurred_at="1999-01-01T00:00:00.000001Z")))],
        NOW,
    )
    assert table.ask(
        "SELECT event_id, _topic, _partition, _offset, appended_at = occurred_at "
        "FROM volvere_store.touchpoints ORDER BY event_id"
    ) == [("1", "load", 0, 2, True), ("2", "load", 0, 4, True)]


def test_what_is_refused_is_told(table: Table) -> None:
    """With file, line, field and reason; the first by name, all by number; and the rest is stored."""
    bad = [line(event_id=str(n), wait_ms=-1) for n in range(NAMED + 5)]
    done = load(table.client, [("a", items(line(), *bad)), ("b", items(line(event_id="x"), b"?"))], NOW)
    assert (done.stored, done.refused) == (2, Counter(invalid_field=NAMED + 5, not_json=1))
    assert len(done.problems) == NAMED
    assert done.problems[0].startswith("a, line 2: wait_ms: ")
    assert done.problems[0].endswith(" (invalid_field)")
    assert load(table.client, [("b", items(line(), b"?"))], NOW).problems[0].startswith("b, line 2: ")


def test_row_that_clickhouse_refuses_is_named(table: Table) -> None:
    """What passes our judgement and not ClickHouse's is one line's loss."""
    table.client.command(
        "ALTER TABLE volvere_store.touchpoints ADD CONSTRAINT odd CHECK toUInt8(if(event_id = '3', 'x', '1')) = 1"
    )
    try:
        done = load(table.client, [("a", items(*(line(event_id=str(n)) for n in range(9))))], NOW, batch_rows=4)
    finally:
        table.client.command("ALTER TABLE volvere_store.touchpoints DROP CONSTRAINT odd")
    assert (done.stored, done.refused) == (8, Counter(unstorable=1))
    assert done.problems[0].startswith("a, line 4: ")


def test_progress(table: Table) -> None:
    """Who loads years sees that it goes on."""
    seen: list[tuple[int, int | None]] = []
    load(
        table.client, [("a", items(*(line(event_id=str(n)) for n in range(10))))], NOW,
        lambda done, total: seen.append((done, total)), batch_rows=4,
    )  # fmt: skip
    assert seen == [(4, None), (8, None), (10, 10)]


def test_clickhouse_that_stays_away(table: Table, front: ChdbHttp) -> None:
    """Who was interrupted reads how far it got, and that it may simply be done again."""
    front.faults.clear()
    client = connect(front.url)
    lines = [line(event_id=str(n)) for n in range(10)]

    def failing() -> Iterator[Item]:
        for item in items(*lines):
            if item.line == 5:
                front.faults.extend([Fail(202)] * 10)
            yield item

    with pytest.raises(Transient, match=r"4 rows are stored, all before a, line 5: load again"):
        load(client, [("a", failing())], NOW, batch_rows=4)
    front.faults.clear()
    load(client, [("a", items(*lines))], NOW, batch_rows=4)
    assert table.ask("SELECT count() FROM volvere.touchpoints") == [(10,)]
    client.close()
