"""Vendors' formats, translated at the edge.

An adapter is a pure function from one record of a vendor to touchpoints: dicts that can be sent as
JSON. No record at all may come of it (left out on purpose); `Unacceptable` says what is wrong with
one that cannot be understood. A format is one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.adapters import anonymous_bank, operations_csv


@dataclass(frozen=True)
class Format:
    """How the lines of a file become touchpoints.

    `columns`: the file is CSV and its header has at least these; empty: one JSON object a line.
    `convert`: one record to touchpoints; None: a line is a touchpoint (or a CloudEvent) already.
    `left_out`: why a record for which `convert` returns nothing was left out.
    `optional`: further columns that the header may have, and no others; None: others are passed over.
    """

    columns: tuple[str, ...] = ()
    convert: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None
    left_out: str = ""
    optional: tuple[str, ...] | None = None


FORMATS: dict[str, Format] = {
    "touchpoints": Format(),
    "anonymous-bank": Format(anonymous_bank.COLUMNS, anonymous_bank.touchpoints, anonymous_bank.LEFT_OUT),
    "operations-csv": Format(operations_csv.COLUMNS, operations_csv.touchpoints, optional=operations_csv.OPTIONAL),
}
"""Every format that Volveré reads, by the name that the command line knows it by."""
