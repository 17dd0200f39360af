"""What alerting systems are sent, held to what each of them publishes, and what their answers mean."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from schemas.incident import IncidentEvent
from schemas.times import MINUTE, SECOND, parse_time
from sinks.alerts.alertmanager import FIRES_FOR, Alertmanager
from sinks.alerts.incidents import Change, Incidents, StormRule, read
from sinks.alerts.pagerduty import PagerDuty
from sinks.alerts.request import LONGEST_WAIT_S, retry_after, verdict
from sinks.alerts.webhook import Webhook, key
from tests.frictions import START, friction
from tests.receivers import ROUTING_KEY, WEBHOOK_KEY, WEBHOOK_SECRET, vendor_schema

NOW = START + 30 * SECOND


def changes() -> list[Change]:
    """Everything that can be told: an incident that opens, gets worse and ends, and a storm of the longest names."""
    incidents, told, long = Incidents(lambda _: True, StormRule(2, 5 * MINUTE)), list[Change](), "q" * 128
    story = [
        friction(),
        friction(severity="error", what="updated"),
        friction(state="resolved", group=0, at=START + 20 * SECOND),
        *(friction(f"f{n}", key=f"k{n}", queue=long, summary="é" * 2000) for n in range(2, 6)),
        friction("f6", key="k6", queue=long, severity="critical"),
        friction("g", key="k9", queue=None, channel=None, agent_id=None, topic=None, journey_id=None),
    ]
    for offset, event in enumerate(story):
        for step in incidents.hear(*read(event), 0, offset):
            told += step.tell
    for step in incidents.tick(START + 60 * MINUTE):
        told += step.tell
    return told


CHANGES = changes()
NAMES = [f"{n}-{c.what}-{c.incident.key[:24]}" for n, c in enumerate(CHANGES)]


def test_the_table_has_everything() -> None:
    """Each kind of change, of an incident and of a storm."""
    assert {(c.what, c.incident.took > 0) for c in CHANGES} == {
        (what, storm) for what in ("opened", "updated", "resolved") for storm in (False, True)
    }


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_pagerduty(change: Change) -> None:
    """What PagerDuty documents, it gets: fields, limits, one dedup_key from the opening to the end, no personal data."""
    request = PagerDuty(ROUTING_KEY).request(change, NOW)
    assert request.url == "https://events.pagerduty.com/v2/enqueue"
    event = json.loads(request.body)
    vendor_schema("pagerduty_events_v2").validate(event)
    assert event["event_action"] == ("resolve" if change.what == "resolved" else "trigger")
    assert event["dedup_key"] == change.incident.key
    assert "c-100" not in request.body.decode()
    if change.what != "resolved":
        assert event["payload"]["severity"] == change.incident.severity


def test_a_key_that_is_too_long_for_pagerduty() -> None:
    """Another key that is the same every time, rather than a refusal."""
    from sinks.alerts.pagerduty import dedup_key

    assert dedup_key("k" * 255) == "k" * 255
    assert dedup_key("k" * 256) == dedup_key("k" * 256) != dedup_key("k" * 257)
    assert len(dedup_key("k" * 256)) <= 255


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_alertmanager(change: Change) -> None:
    """What its API describes: what goes on ends in the future, what is over in the past, what got worse as another alert."""
    request = Alertmanager("http://am:9093/", "token").request(change, NOW)
    assert request.url == "http://am:9093/api/v2/alerts"
    assert request.headers["Authorization"] == "Bearer token"
    alerts = json.loads(request.body)
    vendor_schema("alertmanager_v2").validate(alerts)
    assert all(parse_time(a["startsAt"]) <= parse_time(a["endsAt"]) for a in alerts)
    assert alerts[-1]["labels"]["dedupkey"] == change.incident.key
    assert alerts[-1]["labels"]["severity"] == change.incident.severity
    if change.what == "resolved":
        assert parse_time(alerts[-1]["endsAt"]) <= NOW
    else:
        assert parse_time(alerts[-1]["endsAt"]) == NOW + FIRES_FOR
    assert len(alerts) == (2 if change.what == "updated" else 1)
    if change.what == "updated":
        assert alerts[0]["labels"] != alerts[1]["labels"]
        assert parse_time(alerts[0]["endsAt"]) == NOW
    assert "c-100" not in request.body.decode()


def test_the_labels_are_those_that_fire() -> None:
    """Alertmanager finds what is over by all its labels, and what is told again is the same alert."""
    opened, worse, over, *_ = CHANGES
    receiver = Alertmanager("http://am:9093")

    def labels(change: Change) -> Any:
        return json.loads(receiver.request(change, NOW).body)[-1]["labels"]

    again = json.loads(receiver.again([worse.incident], NOW + 45 * SECOND).body)
    assert labels(worse) == labels(over) == again[0]["labels"] != labels(opened)
    assert parse_time(again[0]["endsAt"]) == NOW + 45 * SECOND + FIRES_FOR


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_webhook(change: Change, data: Path) -> None:
    """A CloudEvent by the official schema, and an incident by ours; signed as Standard Webhooks says."""
    request = Webhook("https://crm.example/hook", WEBHOOK_SECRET).request(change, NOW)
    official = json.loads((data / "vendor_payloads/cloudevents/cloudevents.schema.json").read_text(encoding="utf-8"))
    event = json.loads(request.body)
    Draft7Validator(official).validate(event)
    IncidentEvent.model_validate(event)
    assert request.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert request.headers["webhook-id"] == event["id"]
    signed = f"{event['id']}.{NOW // SECOND}.".encode() + request.body
    expected = base64.b64encode(hmac.digest(WEBHOOK_KEY, signed, hashlib.sha256)).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert event["type"] == f"volvere.incident.{change.what}"


def test_a_webhook_can_tell_repetitions() -> None:
    """Told again it has the same id and body, and only the time of sending is new; different things have different ids."""
    receiver = Webhook("https://crm.example/hook", WEBHOOK_SECRET)
    assert len({receiver.request(c, NOW).headers["webhook-id"] for c in CHANGES}) == len(CHANGES)
    first, again = receiver.request(CHANGES[0], NOW), receiver.request(CHANGES[0], NOW + MINUTE)
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]


def test_the_example_of_standard_webhooks() -> None:
    """The signature that the specification's own libraries test themselves with."""
    from sinks.alerts.webhook import signature

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert made == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert key("any text") == b"any text"
    with pytest.raises(ValueError, match="base64"):
        key("whsec_no base64")


@pytest.mark.parametrize(
    "receiver", [Alertmanager("http://a", "s3cret"), PagerDuty("s3cret"), Webhook("http://a", "s3cret")]
)
def test_a_secret_is_not_printed(receiver: object) -> None:
    """Whatever prints a receiver shows no secret."""
    assert "s3cret" not in repr(receiver)


@pytest.mark.parametrize(
    ("status", "means"),
    [(200, "taken"), (202, "taken"), (204, "taken"), (400, "refused"), (413, "refused"), (422, "refused")]
    + [(status, "later") for status in (301, 307, 401, 403, 404, 408, 409, 410, 429, 500, 502, 503, 504)],
)
def test_what_an_answer_means(status: int, means: str) -> None:
    """Only what is wrong with the request itself is given up; a wrong password loses nothing."""
    assert verdict(status) == means


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("17", 17.0),
        ("999999", LONGEST_WAIT_S),
        ("Mon, 02 Mar 2026 09:01:00 GMT", 30.0),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
    ],
)
def test_how_long_a_receiver_asks_to_wait(header: str | None, seconds: float | None) -> None:
    """Seconds or a date; what cannot be read is as if it did not ask."""
    assert retry_after(header, NOW) == seconds
