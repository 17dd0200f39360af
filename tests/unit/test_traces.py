"""Traces of a flush and of a batch: what they tell, and that nothing else is another for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.traceparent import TRACEPARENT, recorded
from sinks.store import Stored
from tests.command import ROOT
from tests.unit.test_partition import Desk
from volvere.traces import LINKS, Traces

CALL = ("0m contact.started voice billing contact=c1", "1m contact.answered voice contact=c1")
CUT = "2m contact.ended voice contact=c1 by=network"
VIEW = "3m page.viewed web"


class Book:
    """The spans that were told, by name."""

    def __init__(self) -> None:
        self._told = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._told))
        self.traces = Traces(self._provider.get_tracer("test"))

    def __call__(self, name: str) -> ReadableSpan:
        """The only one of this name."""
        (span,) = [span for span in self._told.get_finished_spans() if span.name == name]
        return span

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self._told.get_finished_spans())


def traceparent(trace: int, recording: bool = True) -> bytes:
    """The header of a producer's span."""
    return b"00-%032x-%016x-0%d" % (trace, trace, recording)


Place = tuple[int, int]
"""A trace, and a span in it; a producer's have equal numbers here."""


def place(span: ReadableSpan) -> Place:
    """Where a span is."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def links(span: ReadableSpan) -> set[Place]:
    """What it is linked to."""
    return {(link.context.trace_id, link.context.span_id) for link in span.links}


def afternoon(book: Book | None, *traces: tuple[str, bytes | None]) -> Desk:
    """A call that is cut off, and a page that is viewed then; the last two in one flush, with these traces."""
    desk = Desk()
    desk.partition.spans = book.traces.flush if book is not None else None
    for line in CALL:
        desk.tell(line)
    for line, trace in traces:
        desk.append(line, headers=[(TRACEPARENT, trace)])
    desk.read()
    desk.flush()
    return desk


def told(desk: Desk) -> list[Place | None]:
    """What the friction events say in their headers, each."""
    found: list[Place | None] = []
    for _, _, headers in desk.ledger.topics["frictions"]:
        assert [name for name, _ in headers] in ([], [TRACEPARENT])
        trace = recorded(headers)
        _, *ids, _ = (trace or b"---").split(b"-")
        found.append((int(ids[0], 16), int(ids[1], 16)) if trace is not None else None)
    return found


def test_a_friction_continues_the_trace_of_the_touchpoint_that_it_is_about() -> None:
    """Who follows a call through the systems comes to its friction; what else the customer did in the same moment is a link."""
    book = Book()
    desk = afternoon(book, (CUT, traceparent(1)), (VIEW, traceparent(2)))
    friction, flush = book("dropped_call opened"), list(book)[-1]
    assert friction.parent is not None and friction.parent.trace_id == friction.parent.span_id == 1
    assert links(friction) == {(2, 2), place(flush)}
    assert told(desk) == [place(friction)]
    assert flush.name == "flush" and links(flush) == {(1, 1), (2, 2)}
    assert flush.attributes is not None and flush.attributes["messaging.batch.message_count"] == 2
    (value,) = [value for _, value, _ in desk.ledger.topics["frictions"]]
    assert friction.attributes is not None
    assert friction.attributes["volvere.friction.id"] == msgspec.json.decode(value or b"")["data"]["friction_id"]
    assert not [span for span in book if "maria" in span.to_json()], "a customer's id is in no trace"


@pytest.mark.parametrize("trace", [None, traceparent(1, recording=False), b"00-zz", b""])
def test_what_is_not_recorded_is_followed_from_the_flush_on(trace: bytes | None) -> None:
    """Most producers record one trace in a hundred: the others cost no link, and the friction can be followed all the same."""
    book = Book()
    desk = afternoon(book, (CUT, trace))
    friction, flush = book("dropped_call opened"), list(book)[-1]
    assert friction.parent == flush.context
    assert links(friction) == links(flush) == set()
    assert told(desk) == [place(friction)]


def test_nothing_that_is_kept_is_another_for_a_trace() -> None:
    """A replay has other traces, or none: values, keys, state and position must be the same, to the byte."""
    traced = afternoon(Book(), (CUT, traceparent(1)), (VIEW, traceparent(2)))
    again = afternoon(Book(), (CUT, traceparent(3)), (VIEW, None))
    plain = afternoon(None, (CUT, traceparent(1)), (VIEW, traceparent(2)))
    assert told(plain) == [None] and told(again) != told(traced)
    for other in (again, plain):
        assert other.ledger.state == traced.ledger.state
        assert other.ledger.control == traced.ledger.control
        assert {topic: [record[:2] for record in records] for topic, records in other.ledger.topics.items()} == {
            topic: [record[:2] for record in records] for topic, records in traced.ledger.topics.items()
        }
    assert traced.partition.traces == {}, "and nothing is kept once the customer was looked at"


def test_what_was_not_committed_is_not_told() -> None:
    """A flush that fails is made again by a successor: until then there was none."""
    book = Book()
    desk = Desk()
    desk.partition.spans = book.traces.flush

    async def fail() -> None:
        raise OSError("the broker is gone")

    desk.ledger.during = fail
    with pytest.raises(OSError, match="gone"):
        desk.tell("\n".join([*CALL, CUT]))
    assert list(book) == []


def test_a_batch_is_linked_to_what_it_wrote() -> None:
    """From a friction to its row; of thousands the first, and each once."""
    book = Book()
    many = [traceparent(n) for n in range(1, 1000)]
    book.traces.stored(Stored(7, {"frictions": 999}, [traceparent(1), *many], 10.0, 12.5))
    insert = book("insert")
    assert [link.context.trace_id for link in insert.links] == list(range(1, LINKS + 1))
    assert insert.start_time is not None and insert.end_time == insert.start_time + 2_500_000_000
    assert insert.attributes is not None
    assert insert.attributes["volvere.batch"] == 7 and insert.attributes["volvere.rows.frictions"] == 999


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (traceparent(5), True),
        (traceparent(5)[:-1] + b"3", True),
        (traceparent(5, recording=False), False),
        (traceparent(0), False),
        (traceparent(5).upper().replace(b"5", b"A"), False),
        (traceparent(5) + b"-", False),
        (b"ff" + traceparent(5)[2:], False),
        (None, False),
    ],
)
def test_only_what_is_well_made_and_recorded_is_taken(value: bytes | None, taken: bool) -> None:
    """Anybody may write headers."""
    assert recorded([("other", traceparent(9)), (TRACEPARENT, value)]) == (value if taken else None)


def test_without_a_collector_nothing_of_it_is_loaded() -> None:
    """Who wants no traces pays for none: neither memory nor time at the start."""
    code = "import sys, streams.app, volvere.cli, volvere.worker; assert not [m for m in sys.modules if 'opentelemetry' in m]"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
