"""What can go wrong, and whose turn it is then.

    VolvereError
    ├── Transient      the other side is not there or is busy: try again, with backoff
    ├── Unacceptable   this one record is wrong: dead-letter it, go on
    └── Impossible     our own assumptions are broken: stop the process, Kafka redelivers

There is no fourth: the type is the instruction.
"""

from __future__ import annotations


class VolvereError(Exception):
    """Root of the errors that Volveré raises on purpose."""


class Transient(VolvereError):
    """A server is unreachable, slow or busy; the same call may succeed later."""


class Unacceptable(VolvereError):
    """One record cannot be understood or may not be taken.

    `reason` is a short word for counters and headers (see REASONS), `field` the path of
    the offending field ("" for the whole record), `message` says what was expected.
    """

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(reason, message, field)
        self.reason, self.message, self.field = reason, message, field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Impossible(VolvereError):
    """Something that the design rules out has happened; going on would corrupt data."""


REASONS = {
    "too_large": "the record is larger than a touchpoint may be",
    "not_json": "the value is not JSON (UTF-8)",
    "not_an_object": "the value is JSON, but no object",
    "missing_field": "a required field is absent",
    "invalid_field": "a field has a wrong type or value",
    "future": "occurred_at lies after the time of arrival",
    "misplaced": "the record was forwarded again and again, and is not with its owner",
    "unpublishable": "what follows from the record does not fit into one Kafka message",
    "unstorable": "ClickHouse does not take the row that was made of the record",
}
"""Every reason for which a record is refused, with its meaning."""
