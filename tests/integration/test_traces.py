"""A real worker that sends its traces to a collector: from the producer's span to the friction to the row."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.times import SECOND, format_time
from schemas.topics import FRICTIONS, TOUCHPOINTS, partition_of
from tests.command import running
from tests.kafka import read_topic
from tests.scrape import address, get, until
from volvere.embedded import EmbeddedBroker
from volvere.topics import create
from volvere.worker import wall

PARTITIONS = 2
TRACE, SENDER = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
"""Of the producer; the example of the specification."""


class Collector:
    """Takes spans as a collector does: OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces", self.path
                assert self.headers["Content-Type"] == "application/x-protobuf"
                with outer.came:
                    for told in ExportTraceServiceRequest.FromString(body).resource_spans:
                        names = {a.key: a.value.string_value for a in told.resource.attributes}
                        outer.spans += [(names["service.name"], span) for s in told.scope_spans for span in s.spans]
                    outer.came.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def named(self, name: str) -> list[Span]:
        """The spans of this name so far."""
        return [span for _, span in self.spans if span.name == name]

    def linked(self) -> bool:
        """Whether a friction's row is there."""
        rows = {(link.trace_id, link.span_id) for insert in self.named("insert") for link in insert.links}
        return any((f.trace_id, f.span_id) in rows for f in self.named("dropped_call opened"))


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that listens."""
    made = Collector()
    with made.server:
        thread = threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.server.shutdown()


def number(part: bytes) -> int:
    """An id."""
    return int.from_bytes(part, "big")


async def call(bootstrap: str, topic: str) -> None:
    """A call that the network cuts off, in one batch; only its end is recorded by the producer."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=500)
    await producer.start()
    try:
        sent = []
        for n, (kind, more) in enumerate(
            [("contact.started", {}), ("contact.answered", {}), ("contact.ended", {"ended_by": "network"})]
        ):
            told = {"source": "pbx", "event_id": f"e-{n}", "customer_id": "c-100", "kind": kind, "channel": "voice"}
            told |= {"contact_id": "c1", "occurred_at": format_time(wall() - (60 - n) * SECOND)} | more
            header = f"00-{TRACE:032x}-{SENDER:016x}-0{int(kind == 'contact.ended')}".encode()
            owner = partition_of("c-100", PARTITIONS)
            sent.append(
                await producer.send(
                    topic, json.dumps(told).encode(), partition=owner, headers=[("traceparent", header)]
                )
            )
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def test_a_call_can_be_followed_from_its_producer_to_its_row(
    embedded_broker: EmbeddedBroker,
    collector: Collector,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One trace leads from the switchboard to the friction, which tells it on; the flush and the insert are linked to it. A
    collector that takes nothing any more keeps no worker from stopping.
    """
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # milliseconds until spans are sent; usually 5 s
    bootstrap = embedded_broker.bootstrap
    assert all(f.good for f in create(bootstrap, PARTITIONS, prefix=topic_prefix))
    settings = {
        "kafka": bootstrap,
        "clickhouse": tmp_path / "store",
        "topic_prefix": topic_prefix,
        "application": topic_prefix.rstrip("."),
        "traces_to": f"http://127.0.0.1:{collector.server.server_address[1]}",
        "metrics_listen": "0",
    }
    with running(tmp_path, "worker", "all", **settings) as worker:
        at = address(worker)
        until(lambda: get(f"{at}/health/ready")[0] == 200)
        asyncio.run(call(bootstrap, topic_prefix + TOUCHPOINTS.name))
        with collector.came:
            assert collector.came.wait_for(collector.linked, timeout=60)
        (friction,) = collector.named("dropped_call opened")
        assert (number(friction.trace_id), number(friction.parent_span_id)) == (TRACE, SENDER)
        (record,) = read_topic(bootstrap, topic_prefix + FRICTIONS.name)
        told = f"00-{friction.trace_id.hex()}-{friction.span_id.hex()}-01".encode()
        assert record.headers == (("traceparent", told),)
        producers = {"flush": 0, "insert": 0}
        for name in producers:
            for span in collector.named(name):
                assert not span.parent_span_id and number(span.trace_id) != TRACE
                producers[name] += sum(number(link.span_id) == SENDER for link in span.links)
        assert producers == {"flush": 1, "insert": 1}, "the one recorded touchpoint, and none of the others"
        assert {service for service, _ in collector.spans} == {"volvere-all"}
        assert b"c-100" not in b"".join(span.SerializeToString() for _, span in collector.spans)
        collector.server.shutdown()
        done = worker.terminate(within=30)
        assert done.code == 0, done.said
