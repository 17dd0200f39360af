"""A simulated contact while it is being told, touchpoint by touchpoint."""

from __future__ import annotations

from typing import Any

from schemas.times import format_time

Said = tuple[int, dict[str, Any]]
"""A touchpoint, ready for JSON, and when it reaches us (microseconds)."""

TOPICS = ("billing", "delivery", "repair", "contract", "password", "card", "refund", "appointment")
SOURCES = {
    "voice": "pbx", "chat": "chat", "sms": "sms", "social": "social", "email": "mail", "web": "shop", "store": "till",
}  # fmt: skip


class Contact:
    """One contact; `say` adds a touchpoint to `said`. `at` is the time of the last one (microseconds).

    loose: what is said belongs to no contact (clicks, orders, repairs). `topic` may change on the way.
    """

    __slots__ = ("_count", "_name", "at", "channel", "contact_id", "customer_id", "said", "source", "topic")

    def __init__(
        self, said: list[Said], channel: str, name: str, customer_id: str | None, topic: str | None, loose: bool = False
    ) -> None:
        self.said, self._name, self._count = said, name, 0
        self.channel, self.source = channel, SOURCES[channel]
        self.contact_id = None if loose else f"{self.source}/{name}"
        self.customer_id, self.topic, self.at = customer_id, topic, 0

    def aside(self, tag: str, channel: str = "web", loose: bool = True) -> Contact:
        """What else the same customer does about the same thing. `tag` tells it from the other asides."""
        return Contact(self.said, channel, f"{self._name}{tag}", self.customer_id, self.topic, loose)

    def ref(self, what: str) -> str:
        """A reference that nothing else has."""
        return f"{what}/{self._name}-{self._count}"

    def say(self, at: int, kind: str, **fields: Any) -> str:
        """A touchpoint at a time; its event id, which is unique within its source."""
        self._count += 1
        self.at = at
        event_id = f"{self._name}-{self._count:02d}"
        touchpoint = {
            "source": self.source,
            "event_id": event_id,
            "customer_id": self.customer_id,
            "kind": kind,
            "channel": self.channel,
            "occurred_at": format_time(at),
            "contact_id": self.contact_id,
            "topic": self.topic,
        }
        touchpoint.update(fields)
        self.said.append((at, touchpoint))
        return event_id
