"""What happens on the company's side, as a table: channels that close, releases, agents hired, trained and surveyed.

    kind,occurred_at,channel,agent_id,queue,product,release,score,scale,reason
    release.deployed,2026-03-02T05:00:00Z,,,,shop,2026.9,,,
    agent.surveyed,2026-03-06T16:00:00Z,,a-12,billing-1,,,4,csat5,

Kind and time are needed, and of the others what the kind is about (NEEDED). A row without an event_id gets one from what
it says, so that a file which is sent twice doubles nothing; a row that may be corrected later needs one of its own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from schemas.decode import contract
from schemas.errors import Unacceptable
from schemas.kinds import KINDS
from schemas.touchpoint import plain

COLUMNS = ("kind", "occurred_at")
OPTIONAL = ("channel", "agent_id", "queue", "product", "release", "score", "scale", "reason", "event_id", "source")
SOURCE = "operations-csv"
CHANNEL = "internal"
"""The channel of what happens on none."""
NEEDED: dict[str, tuple[str, ...]] = {
    "channel.closed": ("channel",),
    "channel.opened": ("channel",),
    "release.deployed": ("release",),
    "agent.hired": ("agent_id",),
    "agent.left": ("agent_id",),
    "agent.trained": ("agent_id",),
    "agent.surveyed": ("agent_id", "score", "scale"),
}
"""By kind the columns that must say something."""


def touchpoints(row: dict[str, Any]) -> list[dict[str, Any]]:
    """One row, as csv.DictReader gives it, to one touchpoint without a customer.

    Raises Unacceptable, which names the column and what was expected.
    """
    given = {name: text for name in COLUMNS + OPTIONAL if (text := (row.get(name) or "").strip())}
    kind = given.get("kind", "")
    if kind not in NEEDED:
        shown = kind if len(kind) <= 80 else kind[:77] + "..."
        raise Unacceptable("invalid_field", f'expected {" or ".join(KINDS["operations"])}; got "{shown}"', "kind")
    for name in ("occurred_at", *NEEDED[kind]):
        if name not in given:
            raise Unacceptable("missing_field", f"expected the {name} of every {kind}; the column is empty", name)
    said: dict[str, Any] = {"source": SOURCE, "channel": CHANNEL, "customer_id": None, "event_id": "-"} | given
    if "score" in given:
        said["score"] = _number(given["score"])
    told = plain(contract(msgspec.json.encode(said)))  # one judge, and one spelling of times
    if "event_id" not in given:
        told["event_id"] = blake2b(msgspec.json.encode(told, order="sorted"), digest_size=16).hexdigest()
    return [told]


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number - number != 0:  # infinity is none, either
        raise Unacceptable("invalid_field", f'expected a number such as 4 or 3.5; got "{text[:80]}"', "score")
    return number
