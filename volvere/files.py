"""Input files, line by line: what goes to Kafka, what is left out, what is refused.

A line is a record: nothing is held but the line at hand, and the few at the beginning that show
whether the file is what its format says. A wrong file is one error (`FileProblem`), before anything
is sent; a wrong line is one item, and the rest goes on. A touchpoint is not judged here: the line
goes out as it is, broken or not, so that there is one judge and the dead letters have every byte.
Gzip is known by its first bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from schemas.adapters import FORMATS, Format
from schemas.errors import Unacceptable
from schemas.touchpoint import subject_of

MAX_LINE = 4 * 1024 * 1024
"""Longest line that is read, bytes; longer ones are skipped and refused by their number."""
LOOKED_AT = 20
"""How many lines may come before the first JSON object until the file counts as none of ours."""
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class FileProblem(Exception):
    """The file cannot be used at all; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record for the topic `touchpoints` or `operations`. `subject`: for its key; None if the value does not tell."""

    line: int
    value: bytes
    subject: str | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line that its format leaves out on purpose."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that cannot be understood. `reason`: one of `schemas.errors.REASONS`; `raw`: the line, if it was read."""

    line: int
    field: str
    message: str
    reason: str
    raw: bytes = b""


Item = Record | LeftOut | Refused
Line = tuple[int, bytes | None]  # None: longer than MAX_LINE


def read(where: str | Path | BinaryIO, name: str = "touchpoints") -> Iterator[Item]:
    """The items of a file ("-": standard input) in a format of `schemas.adapters.FORMATS`.

    The file is opened and looked at before this returns; it is closed when the iterator ends.
    Raises FileProblem; while iterating, too, when the file breaks off.
    """
    if name not in FORMATS:
        raise FileProblem(f'there is no format "{name}"; use one of: {", ".join(FORMATS)}')
    with ExitStack() as opened:
        label, stream = _open(where, opened)
        lines = _lines(label, stream)
        items = _rows(label, lines, FORMATS[name]) if FORMATS[name].columns else _records(label, lines)
        return _closing(opened.pop_all(), items)


def _closing(opened: ExitStack, items: Iterator[Item]) -> Iterator[Item]:
    with opened:
        yield from items


def _open(where: str | Path | BinaryIO, opened: ExitStack) -> tuple[str, BinaryIO]:
    """What to call the file in messages, and its bytes, unpacked."""
    if not isinstance(where, str | Path):
        label, plain = "the input", where
    elif str(where) == "-":
        label, plain = "standard input", cast("BinaryIO", sys.stdin.buffer)
    else:
        label = str(where)
        try:
            plain = opened.enter_context(Path(where).open("rb"))  # noqa: SIM115 - `opened` closes it
        except FileNotFoundError:
            raise FileProblem(f"{label}: no such file; check the name, and the folder that it is in") from None
        except IsADirectoryError:
            raise FileProblem(f"{label} is a folder; name one file in it") from None
        except (OSError, ValueError) as e:
            raise FileProblem(f"{label} cannot be opened ({e}); check the name and your permissions") from None
    stream = plain if isinstance(plain, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", plain))
    with _reading(label):
        if stream.peek(2)[:2] != _GZIP:
            _must_be_text(label, stream.peek())
            return label, cast("BinaryIO", stream)
        unpacked = opened.enter_context(gzip.GzipFile(fileobj=stream))
        _must_be_text(label, unpacked.peek(1))
        return label, cast("BinaryIO", unpacked)


def _must_be_text(label: str, beginning: bytes) -> None:
    if b"\0" in beginning:
        raise FileProblem(f"{label} is not text; expected UTF-8 text, plain or packed with gzip")


@contextmanager
def _reading(label: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise FileProblem(f"{label}: the gzip data is damaged or breaks off ({e}); pack or fetch the file again") from e
    except OSError as e:
        raise FileProblem(f"{label} cannot be read ({e}); check the disk and your permissions") from e


def _lines(label: str, stream: BinaryIO) -> Iterator[Line]:
    """Lines that are not blank, with their numbers and without their ends."""
    number = 0
    with _reading(label):
        while line := stream.readline(MAX_LINE + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) > MAX_LINE and line[-1:] != b"\n":
                while line and line[-1:] != b"\n":
                    line = stream.readline(MAX_LINE)
                yield number, None
            elif line := line.strip():
                yield number, line


def _too_long(number: int) -> Refused:
    return Refused(number, "", f"the line is longer than {MAX_LINE:,} bytes", "too_large")


def _records(label: str, lines: Iterator[Line]) -> Iterator[Item]:
    """JSON lines as they are, once one of the first is an object."""
    seen: list[Line] = []
    for number, line in lines:
        seen.append((number, line))
        if line is not None and line[:1] == b"{" and line != b"{":
            break
        _must_be_records(label, len(seen), line)
    else:
        _must_be_records(label, LOOKED_AT, None, empty=not seen)
    return _each_record(chain(seen, lines))


def _must_be_records(label: str, count: int, line: bytes | None, *, empty: bool = False) -> None:
    if empty:
        raise FileProblem(f"{label} is empty; expected one touchpoint a line, as JSON")
    if line is not None and count == 1:
        if line[:1] == b"[" or line == b"{":
            what = "a JSON array" if line[:1] == b"[" else "JSON spread over lines"
            each = ".[]" if line[:1] == b"[" else "."
            raise FileProblem(f"{label} is {what}; expected one touchpoint a line: make it so with jq -c '{each}'")
        columns = {c.strip().strip('"') for c in line.decode("utf-8", "replace").split(",")}
        for name, known in FORMATS.items():
            if known.columns and columns.issuperset(known.columns):
                raise FileProblem(f"{label} is CSV with the columns of {name}; read it with --format {name}")
    if count >= LOOKED_AT:
        others = " or ".join(f"--format {name}" for name, known in FORMATS.items() if known.columns)
        raise FileProblem(
            f"{label}: there is no JSON object on its first lines; expected one touchpoint a line, as JSON "
            f"(for other formats say so: {others})"
        )


def _each_record(lines: Iterable[Line]) -> Iterator[Item]:
    for number, line in lines:
        yield _too_long(number) if line is None else Record(number, line, _subject(line))


class _Envelope(msgspec.Struct, gc=False):
    """What names the subject of a touchpoint, in itself or as a CloudEvent."""

    customer_id: Any = None
    contact_id: Any = None
    source: Any = None
    event_id: Any = None
    id: Any = None
    data: Any = None


_envelope = msgspec.json.Decoder(_Envelope).decode


def _subject(line: bytes) -> str | None:
    """Whom the record is about, as far as it can be told; the owner of a record checks it again."""
    try:
        e = _envelope(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    customer, contact, source, event = e.customer_id, e.contact_id, e.source, e.event_id
    if isinstance(e.data, dict):
        customer, contact = e.data.get("customer_id"), e.data.get("contact_id")
        source, event = e.data.get("source", source), e.data.get("event_id", e.id)
    if isinstance(customer, str) and customer:
        return subject_of(customer, None, "", "")
    if isinstance(contact, str) and contact:
        return subject_of(None, contact, "", "")
    return subject_of(None, None, source, event) if isinstance(source, str) and isinstance(event, str) else None


def _rows(label: str, lines: Iterator[Line], form: Format) -> Iterator[Item]:
    """CSV: a header, then a record a line; no field holds a line's end."""
    first = next(lines, None)
    if first is None:
        raise FileProblem(f"{label} is empty; expected CSV with the columns {', '.join(form.columns)}")
    header = (first[1] or b"").decode("utf-8", "replace")
    if header[:1] in ("{", "["):
        raise FileProblem(f"{label} is JSON, not CSV; read it with --format touchpoints")
    columns = [c.strip() for c in next(csv.reader([header]), [])]
    missing = [c for c in form.columns if c not in columns]
    unknown = [c for c in columns if form.optional is not None and c not in form.columns + form.optional]
    if missing or unknown or len(set(columns)) < len(columns):
        wrong = "a column is there twice"
        if missing or unknown:
            wrong = f"without {', '.join(missing)}" if missing else f"what is {', '.join(unknown)[:200]}?"
        further = f", and any of {', '.join(form.optional)}" if form.optional else ""
        raise FileProblem(
            f"{label}: line {first[0]} is not the header of this format: {wrong}; "
            f"expected the columns {', '.join(form.columns)}{further}"
        )
    return _each_row(lines, columns, form)


def _each_row(lines: Iterator[Line], columns: list[str], form: Format) -> Iterator[Item]:
    assert form.convert is not None
    for number, line in lines:
        if line is None:
            yield _too_long(number)
            continue
        try:
            touchpoints = form.convert(_row(line, columns))
        except Unacceptable as e:
            yield Refused(number, e.field, e.message, e.reason, line)
            continue
        if not touchpoints:
            yield LeftOut(number, form.left_out)
        for t in touchpoints:
            subject = subject_of(t["customer_id"], t.get("contact_id"), t["source"], t["event_id"])
            yield Record(number, msgspec.json.encode(t), subject)


def _row(line: bytes, columns: list[str]) -> dict[str, Any]:
    """One line of CSV by its columns; those that it lacks are absent."""
    try:
        values = next(csv.reader([line.decode()], strict=True))
    except UnicodeDecodeError as e:
        raise Unacceptable("invalid_field", f"expected UTF-8; byte {e.start} of the line is not") from None
    except (csv.Error, StopIteration) as e:
        raise Unacceptable("invalid_field", f"expected a line of CSV; {e}") from None
    if len(values) > len(columns):
        raise Unacceptable("invalid_field", f"expected {len(columns)} columns; got {len(values)}")
    return dict(zip(columns, values, strict=False))
