"""Sending to one receiver that is busy, slow, broken, or does not like what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from sinks.alerts.incidents import Change, Incidents, read
from sinks.alerts.pagerduty import PagerDuty
from sinks.alerts.sending import Refused, Sender
from tests.frictions import friction
from tests.receivers import ROUTING_KEY, Answer, FakePagerDuty, Fault, Silence, Taken
from volvere.embedded import free_port
from volvere.worker import wall

T = TypeVar("T")


def opened() -> Change:
    """An incident that opens."""
    (step,) = Incidents(lambda _: True).hear(*read(friction()), 0, 0)
    return step.tell[0]


def within(work: Coroutine[Any, Any, T]) -> T:
    """Its result, in a loop of its own."""
    return asyncio.run(asyncio.wait_for(work, 30))


async def sent(receiver: PagerDuty, change: Change, sender: Sender) -> Refused | None:
    """How sending ended."""
    async with sender:
        return await sender.send(lambda: receiver.request(change, wall()), lambda: None)


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Answer(500)] * 3,
        [Answer(429, {"Retry-After": "1"})],
        [Answer(429)],
        [Answer(503), Answer(401), Answer(404), Answer(302, {"Location": "http://127.0.0.1:1/"})],
        [Silence()],
        [Taken(), Taken()],
    ],
    ids=str,
)
def test_until_it_is_taken(faults: list[Fault]) -> None:
    """Busy, slow, away, wrongly set up for a while: it gets the request in the end, and shows one incident."""
    with FakePagerDuty(wall) as pager, stamina.set_testing(True, attempts=20):
        pager.faults.extend(faults)
        receiver = PagerDuty(ROUTING_KEY, f"{pager.url}/v2/enqueue")
        sender = Sender("pager", receiver, wall, answer_within=0.3)
        assert within(sent(receiver, opened(), sender)) is None
        assert pager.requests == len(faults) + 1
        assert sender.counts.retries == len(faults)
        assert pager.paged == {"dropped_call:k1": 1}
        assert pager.wrong == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_is_not_sent_again(status: int) -> None:
    """One wrong record does not hold up the others for ever; the receiver's own words are kept, without the secret."""
    with FakePagerDuty(wall) as pager:
        pager.faults.append(Answer(status, body=f"no service has {ROUTING_KEY}\nat all".encode()))
        receiver = PagerDuty(ROUTING_KEY, f"{pager.url}/v2/enqueue")
        refused = within(sent(receiver, opened(), Sender("pager", receiver, wall)))
        assert refused == Refused("refused", status, "no service has *** at all")
        assert pager.requests == 1


def test_nobody_is_tried_for_ever() -> None:
    """What nobody took within the time is given up, with the last reason; nothing that is said holds the address."""
    port = free_port()
    receiver = PagerDuty(ROUTING_KEY, f"http://127.0.0.1:{port}/v2/enqueue")
    with stamina.set_testing(True, attempts=3):
        refused = within(sent(receiver, opened(), Sender("pager", receiver, wall)))
    assert refused is not None
    assert refused.reason == "gave_up"
    assert str(port) not in refused.message


def test_a_receiver_that_asks_to_wait_is_left_alone() -> None:
    """429 with Retry-After: the next request comes so much later, not by our own pauses."""

    async def asked(sender: Sender, receiver: PagerDuty) -> float:
        waits: asyncio.Queue[float] = asyncio.Queue()

        def hook(details: RetryDetails) -> None:
            waits.put_nowait(details.wait_for)

        set_on_retry_hooks([hook])
        try:
            task = asyncio.ensure_future(sent(receiver, opened(), sender))
            wait = await waits.get()
            task.cancel()
            await asyncio.wait([task])
        finally:
            set_on_retry_hooks(None)
        return wait

    with FakePagerDuty(wall) as pager:
        pager.faults.append(Answer(429, {"Retry-After": "1234"}))
        receiver = PagerDuty(ROUTING_KEY, f"{pager.url}/v2/enqueue")
        assert within(asked(Sender("pager", receiver, wall), receiver)) == 1234.0
