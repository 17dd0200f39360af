"""Traces of a worker, sent to an OpenTelemetry collector: from the touchpoint to the friction to the row.

    producer's span ◀──child── friction ◀──link── insert
           ▲                      │                  │
           └────────link──────── flush               │
           └─────────────────────────────link────────┘

A span for each flush, for each friction event and for each batch that is stored; none for a touchpoint: ten thousand come a second, and
who wants to see one has its producer record it. A friction continues the trace of the touchpoint that it is about, where that
came in the same flush and is recorded; otherwise it is a child of the flush. What has not been committed is not told.

This module, and with it the libraries, is loaded only where a collector is named. The rest (sampling, headers, certificates,
resource) is in the variables `OTEL_...` that every program with OpenTelemetry reads. No attribute holds a customer.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version

import msgspec
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from schemas.traceparent import TRACEPARENT
from sinks.store import Stored
from streams.partition import Flushed

LINKS = 128
"""Of a span; OpenTelemetry's own default. A flush may have merged thousands of touchpoints."""
SENT_WITHIN = 3.0
"""Seconds that what is left has at the end: a collector that is away keeps no worker from stopping."""


class _Piece(msgspec.Struct):
    source: str
    event_id: str


class _Data(msgspec.Struct):
    friction_id: str
    kind: str
    evidence: list[_Piece]


class _Event(msgspec.Struct):
    id: str
    type: str
    severitytext: str
    data: _Data


_event = msgspec.json.Decoder(_Event).decode


@contextlib.contextmanager
def sending(to: str, worker: str) -> Iterator[Traces]:
    """The traces of a worker, sent from a thread of its own. to: the collector's base URL."""
    named = Resource.create().merge(
        Resource({"service.name": f"volvere-{worker}", "service.version": version("volvere")})
    )
    provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{to.rstrip('/')}/v1/traces")))
    try:
        yield Traces(provider.get_tracer("volvere"))
    finally:
        rest = threading.Thread(target=provider.shutdown, daemon=True)
        rest.start()
        rest.join(SENT_WITHIN)


class Traces:
    """The spans of one worker process."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def flush(self) -> Flush:
        """A flush begins."""
        return Flush(self._tracer)

    def stored(self, done: Stored) -> None:
        """A batch is stored and acknowledged."""
        ahead = time.time_ns() - time.monotonic_ns()
        began, ended = (round(steady * 1e9) + ahead for steady in (done.began, done.ended))
        span = self._tracer.start_span(
            "insert",
            kind=SpanKind.CLIENT,
            links=_links(done.traces),
            start_time=began,
            attributes={
                "db.system.name": "clickhouse",
                "volvere.batch": done.number,
                **{f"volvere.rows.{table}": count for table, count in done.rows.items()},
            },
        )
        span.end(ended)


class Flush:
    """The spans of one flush, from the first look at a customer until it is committed."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._span = tracer.start_span("flush", kind=SpanKind.CONSUMER)
        self._frictions: list[Span] = []
        self._links = 0

    def looked_at(self, traces: Iterable[bytes]) -> None:
        """At a customer, whose touchpoints came with these."""
        for link in _links(traces, LINKS - self._links):
            self._span.add_link(link.context)
            self._links += 1

    def friction(self, value: bytes, touchpoints: Mapping[tuple[str, str], bytes]) -> list[tuple[str, bytes]]:
        """A friction event is going to be published; the headers for it. touchpoints: traces by source and event id."""
        event = _event(value)
        about = ((piece.source, piece.event_id) for piece in reversed(event.data.evidence))
        parent = next((touchpoints[name] for name in about if name in touchpoints), None)
        span = self._tracer.start_span(
            f"{event.data.kind} {event.type.rpartition('.')[2]}",
            set_span_in_context(self._span if parent is None else NonRecordingSpan(_context(parent))),
            SpanKind.PRODUCER,
            {
                "cloudevents.event_id": event.id,
                "cloudevents.event_type": event.type,
                "volvere.friction.id": event.data.friction_id,
                "volvere.friction.kind": event.data.kind,
                "volvere.friction.severity": event.severitytext,
            },
            _links(trace for trace in touchpoints.values() if trace != parent),
        )
        if parent is not None:
            span.add_link(self._span.get_span_context())
        self._frictions.append(span)
        at = span.get_span_context()
        if not at.trace_flags.sampled:
            return []
        told = f"00-{format_trace_id(at.trace_id)}-{format_span_id(at.span_id)}-{at.trace_flags:02x}"
        return [(TRACEPARENT, told.encode())]

    def committed(self, done: Flushed) -> None:
        """The flush is over."""
        for span in self._frictions:
            span.end()
        self._span.set_attributes(
            {
                "messaging.system": "kafka",
                "messaging.destination.partition.id": str(done.partition),
                "messaging.batch.message_count": done.records,
                "volvere.flush": done.number,
                "volvere.generation": done.generation,
                "volvere.offset": done.offset,
                "volvere.frictions": done.frictions,
                "volvere.write_s": done.ended - done.composed,
            }
        )
        self._span.end()


def _context(traceparent: bytes) -> SpanContext:
    _, trace, span, flags = traceparent.decode().split("-")
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _links(traces: Iterable[bytes], most: int = LINKS) -> list[Link]:
    return [Link(_context(trace)) for trace in list(dict.fromkeys(traces))[: max(most, 0)]]
