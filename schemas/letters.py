"""A dead letter: a record as it came, with the reason and its place in headers, small enough to be published.

What does not fit is cut off and said: `truncated` how many bytes the value had, `truncated_key` and `truncated_headers` likewise.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.errors import Unacceptable
from schemas.times import format_time
from schemas.topics import MAX_MESSAGE

MAX_LETTER_KEY = 64 * 1024

Letter = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value, headers."""


def letter(
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
    place: tuple[str, int, int],
    arrived: int,
    error: Unacceptable,
) -> Letter:
    """The letter of a record that was refused. place: topic, partition, offset. arrived: microseconds."""
    topic, partition, offset = place
    told = [
        ("reason", error.reason.encode()),
        ("field", error.field.encode()),
        ("message", error.message.encode()),
        ("topic", topic.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(offset).encode()),
        ("time", format_time(arrived).encode()),
    ]
    envelope = [(name, value) for name, value in headers if name.startswith("ce_") and value is not None]
    if (size := sum(len(name.encode()) + len(value) for name, value in envelope)) <= MAX_LETTER_KEY:
        told += envelope  # half of what a CloudEvent says in binary mode
    else:
        told.append(("truncated_headers", str(size).encode()))
    if key is not None and len(key) > MAX_LETTER_KEY:
        told.append(("truncated_key", str(len(key)).encode()))
        key = key[:MAX_LETTER_KEY]
    room = MAX_MESSAGE - len(key or b"") - sum(len(k.encode()) + len(v) for k, v in told) - 1024
    if value is not None and len(value) > room:
        told.append(("truncated", str(len(value)).encode()))
        value = value[:room]
    return key, value, told
