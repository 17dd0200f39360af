"""The job as Faust's documentation shows it: models, an agent over the stream, a table.

The table is kept in memory with its changelog in Kafka, the one of Faust's two stores that is quicker. At least once:
Faust's own exactly-once does not work with today's brokers.
"""

from __future__ import annotations

import os

import faust

RUN = os.environ["BENCH_RUN"]
PARTITIONS = int(os.environ["BENCH_PARTITIONS"])
WINDOW = GAP = 7 * 86_400.0


class Touchpoint(faust.Record, coerce=True, serializer="json"):
    """What the job reads of a touchpoint."""

    customer_id: str
    kind: str
    channel: str
    occurred_at: str
    contact_id: str
    topic: str
    ended_by: str | None = None


class Customer(faust.Record, serializer="json"):
    """What is remembered of a customer. starts: of contacts by topic; answered: contacts; journey: its start, end and touchpoints."""

    starts: dict[str, list[float]]
    answered: list[str]
    journey: list[float]


app = faust.App(
    RUN,
    broker=f"kafka://{os.environ['BENCH_KAFKA']}",
    store="memory://",
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    topic_replication_factor=1,
    datadir=os.environ["BENCH_FOLDER"],
    web_enabled=False,
)
touchpoints = app.topic(f"{RUN}-touchpoints", key_type=str, value_type=Touchpoint)
frictions = app.topic(f"{RUN}-frictions", key_type=str, value_serializer="json")
customers = app.Table("customers", key_type=str, value_type=Customer, partitions=PARTITIONS)


@app.agent(touchpoints)
async def track(stream: faust.StreamT[Touchpoint]) -> None:
    """One touchpoint after the other."""
    async for t in stream:
        found = customers.get(t.customer_id) or Customer(starts={}, answered=[], journey=[0.0, 0.0, 0.0])
        kind = learn(found, t)
        customers[t.customer_id] = found
        if kind is not None:
            data = {"kind": kind, "customer_id": t.customer_id, "contact_id": t.contact_id, "opened_at": t.occurred_at}
            await frictions.send(key=t.customer_id, value={"type": "opened", "data": data})


def learn(customer: Customer, t: Touchpoint) -> str | None:
    """Remember a touchpoint; the friction that it proves."""
    at = faust.utils.iso8601.parse(t.occurred_at).timestamp()
    start, end, number = customer.journey
    customer.journey = [start if number and at - end <= GAP else at, at, number + 1 if at - end <= GAP else 1]
    match t.kind:
        case "contact.started":
            recent = [s for s in customer.starts.get(t.topic, ()) if s >= at - WINDOW]
            customer.starts[t.topic] = [*recent, at]
            return "repeat_contact" if recent else None
        case "contact.answered":
            customer.answered.append(t.contact_id)
        case "contact.ended":
            if t.contact_id in customer.answered:
                customer.answered.remove(t.contact_id)
                if t.channel == "voice" and t.ended_by == "network":
                    return "dropped_call"
    return None


if __name__ == "__main__":
    app.main()
