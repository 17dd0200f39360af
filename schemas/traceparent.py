"""Which trace a record is part of, as its header `traceparent` says (W3C Trace Context).

    00-<the trace: 32 hex digits>-<the span that sent it: 16>-<flags: 2; the last bit: it is recorded>

Many producers put the header on every record, and record one trace in a hundred: only those are of interest. A trace is a matter
of the envelope: nothing of it enters facts, frictions, ids or rows, which would be others after a replay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TRACEPARENT = "traceparent"
_recorded = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][13579bdf]").fullmatch


def recorded(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The `traceparent` of a record whose producer records its trace; None of all others, and of what is malformed."""
    for name, value in headers:
        if name == TRACEPARENT and value is not None and _recorded(value):
            return value
    return None
