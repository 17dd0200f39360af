"""A webhook: a CloudEvent in structured mode, signed.

CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, its
body is `schemas.incident`. The signature is that of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): HMAC-SHA256 over
id, time of sending and body, so that a receiver knows who sent it, and refuses what is old. What is told again
has the same id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from schemas.times import SECOND, format_time
from sinks.alerts.incidents import Change, Incident
from sinks.alerts.request import Request

SOURCE = "volvere/alert"
SCHEMA = "urn:volvere:incident:1"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
PREFIX = "whsec_"
"""How a secret in Standard Webhooks' own form begins; base64 follows. Any other text is taken as it is."""
_NAMESPACE = uuid5(NAMESPACE_URL, "https://volvere.example/incident")


@dataclass(frozen=True)
class Webhook:
    """One endpoint, and the secret that it shares with us."""

    url: str
    secret: str = field(repr=False)

    def request(self, change: Change, now: int) -> Request:
        """How a change is told."""
        name, seconds, body = str(event_id(change)), str(now // SECOND), written(change)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "webhook-id": name,
            "webhook-timestamp": seconds,
            "webhook-signature": f"v1,{signature(self.secret, name, seconds, body)}",
        }
        return Request(self.url, headers, body)

    def again(self, open_still: Iterable[Incident], now: int) -> None:
        """Once is enough."""


def event_id(change: Change) -> UUID:
    """The same for the same thing, however often it is told."""
    i = change.incident
    return uuid5(_NAMESPACE, f"{i.key}/{i.friction_id}/{i.at}/{change.what}/{i.severity}")


def written(change: Change) -> bytes:
    """A change as a CloudEvent; see schemas.incident."""
    i = change.incident
    resolved = None if i.closed_at is None else format_time(i.closed_at)
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": str(event_id(change)),
            "source": SOURCE,
            "type": f"volvere.incident.{change.what}",
            "subject": i.key,
            "time": resolved or format_time(i.opened_at),
            "datacontenttype": "application/json",
            "dataschema": SCHEMA,
            "data": {
                "dedupkey": i.key,
                "groupkey": i.groupkey,
                "state": "open" if i.is_open else "resolved",
                "kind": i.kind,
                "severity": i.severity,
                "summary": i.summary,
                "opened_at": format_time(i.opened_at),
                "resolved_at": resolved,
                "storm": i.took > 0,
                "incidents": max(i.took, 1),
                "friction_id": i.friction_id,
                "customer_id": i.customer_id,
                "channel": i.channel,
                "queue": i.queue,
                "topic": i.topic,
                "product": i.product,
                "asset_id": i.asset_id,
                "release": i.release,
            },
        }
    )


def signature(secret: str, event: str, seconds: str, body: bytes) -> str:
    """HMAC-SHA256 in base64, over `id.seconds.body`."""
    signed = b".".join((event.encode(), seconds.encode(), body))
    return base64.b64encode(hmac.new(key(secret), signed, hashlib.sha256).digest()).decode()


def key(secret: str) -> bytes:
    """The bytes that a secret stands for. Raises ValueError: it begins with `whsec_`, and the rest is no base64."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"expected base64 after {PREFIX}") from None
