"""The job as the documentation of Quix Streams shows it: a streaming data frame with a stateful function.

State is RocksDB with its changelog in Kafka, exactly once. A checkpoint every second: with the default of five its frictions
are seen after as long, more checkpoints cost it work.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from quixstreams import Application, State

RUN = os.environ["BENCH_RUN"]
WINDOW = GAP = 7 * 86_400.0


def track(t: dict[str, Any], state: State) -> list[dict[str, Any]]:
    """Remember a touchpoint; the frictions that it proves."""
    at = datetime.fromisoformat(t["occurred_at"]).timestamp()
    start, end, number = state.get("journey", (at, at, 0))
    state.set("journey", (start, at, number + 1) if at - end <= GAP else (at, at, 1))
    kind = None
    match t["kind"]:
        case "contact.started":
            starts = state.get("starts", {})
            recent = [s for s in starts.get(t["topic"], ()) if s >= at - WINDOW]
            starts[t["topic"]] = [*recent, at]
            state.set("starts", starts)
            kind = "repeat_contact" if recent else None
        case "contact.answered":
            state.set("answered", [*state.get("answered", []), t["contact_id"]])
        case "contact.ended":
            answered = state.get("answered", [])
            if t["contact_id"] in answered:
                state.set("answered", [c for c in answered if c != t["contact_id"]])
                kind = "dropped_call" if t["channel"] == "voice" and t.get("ended_by") == "network" else None
    if kind is None:
        return []
    data = {"kind": kind, "customer_id": t["customer_id"], "contact_id": t["contact_id"], "opened_at": t["occurred_at"]}
    return [{"type": "opened", "data": data}]


def main() -> None:
    """Until SIGTERM."""
    app = Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=RUN,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        state_dir=os.environ["BENCH_FOLDER"],
        auto_create_topics=True,
        loglevel="WARNING",
    )
    source = app.topic(f"{RUN}-touchpoints", key_deserializer="str", value_deserializer="json")
    target = app.topic(f"{RUN}-frictions", key_serializer="str", value_serializer="json")
    frame = app.dataframe(source)
    frame = frame.apply(track, stateful=True, expand=True)
    frame.to_topic(target)
    app.run()


if __name__ == "__main__":
    main()
