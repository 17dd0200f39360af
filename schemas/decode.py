"""Bytes to a touchpoint in normal form: the one place where records are judged.

Most records are plain and well made: msgspec reads them in one pass. Whatever it refuses,
and whatever is not plain (a CloudEvent, a field that we do not know, an amount as a number,
empty text for "none"), is judged by the contract, the pydantic model, which also words the
error. So the fast path may only ever say yes; a test holds its yes to the contract's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

import msgspec
from pydantic import ValidationError

from schemas.errors import Unacceptable
from schemas.times import FUTURE_TOLERANCE, format_time, parse_time
from schemas.touchpoint import KIND_PATTERN, MAX_ID, MAX_RECORD, MAX_TEXT, WORD_PATTERN, Normal, Touchpoint

Headers = Iterable[tuple[str, bytes | None]]

_decode = msgspec.json.Decoder(Normal).decode
_kind = re.compile(KIND_PATTERN).fullmatch
_word = re.compile(WORD_PATTERN).fullmatch
_FIELDS = frozenset(Touchpoint.model_fields)
_REQUIRED = frozenset(name for name, field in Touchpoint.model_fields.items() if field.is_required())


def decode(value: bytes | None, appended_at: int, headers: Headers = ()) -> Normal:
    """One Kafka record to a touchpoint; `appended_at` in microseconds.

    Takes plain JSON and CloudEvents 1.0 in structured and binary mode.
    Raises Unacceptable, which names the field and what was expected.
    """
    touchpoint = None
    if value is not None and len(value) <= MAX_RECORD and not (headers and _binary(headers)):
        touchpoint = _fast(value)
    if touchpoint is None:
        touchpoint = contract(value, headers)
    if touchpoint.occurred_at > appended_at + FUTURE_TOLERANCE:
        raise Unacceptable(
            "future",
            f"{format_time(touchpoint.occurred_at)} is more than 5 minutes after the record's arrival "
            f"({format_time(appended_at)}); expected the time at which it happened",
            "occurred_at",
        )
    return touchpoint


def _binary(headers: Headers) -> bool:
    """Whether they are half of a CloudEvent; others, such as those of traces, say nothing about a touchpoint."""
    return any(name == "ce_specversion" for name, _ in headers)


def _fast(value: bytes) -> Normal | None:
    """The touchpoint if the record is plain and right; None: let the contract judge."""
    try:
        t = _decode(value)
        t.occurred_at = parse_time(t.occurred_at)
        if t.due_at is not None:
            t.due_at = parse_time(t.due_at)
    except (msgspec.MsgspecError, ValueError):
        return None
    if not _well_named(t.kind, t.channel):
        return None
    return t if t.attributes is None and t.amount is None else _settle(t)


@lru_cache(maxsize=4096)
def _well_named(kind: str, channel: str) -> bool:
    """Whether these are a kind and a channel; there are few of them."""
    return _kind(kind) is not None and _word(channel) is not None


def _settle(t: Normal) -> Normal:
    """One spelling for what can be spelt in several ways, so that equal content has one digest."""
    if t.attributes is not None:
        t.attributes = {k: v for k, v in sorted(t.attributes.items()) if v is not None} or None
    if t.amount is not None:
        amount = format(Decimal(t.amount).normalize(), "f")
        t.amount = "0" if amount == "-0" else amount
    return t


def contract(value: bytes | None, headers: Headers = ()) -> Normal:
    """The verdict of the contract on a record's bytes: a touchpoint in normal form, or Unacceptable."""
    if value is None:
        raise Unacceptable("not_json", "the record has no value; expected a JSON object")
    if len(value) > MAX_RECORD:
        raise Unacceptable("too_large", f"{len(value):,} bytes; expected at most {MAX_RECORD:,}")
    try:
        body = json.loads(value.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as e:
        raise Unacceptable("not_json", f"expected UTF-8; byte {e.start} is not") from None
    except (ValueError, RecursionError) as e:
        raise Unacceptable("not_json", f"expected a JSON object; {e}") from None
    if not isinstance(body, dict):
        raise Unacceptable("not_an_object", f"expected a JSON object; got {_json_type(body)}")
    fields = _gather_unknown(_unwrap(body, dict(headers)))
    try:
        model = Touchpoint.model_validate(fields)
    except ValidationError as e:
        _refuse(e)
    values = dict(model)
    values["attributes"] = model.attributes or None
    values["amount"] = None if model.amount is None else format(model.amount, "f")
    return _settle(Normal(**values))


def source_of(value: bytes | None, headers: Headers = ()) -> str:
    """The source that a record names which was refused; empty where it names none that could be one."""
    try:
        body = json.loads(value or b"")
    except (ValueError, RecursionError):
        body = None
    data = body if isinstance(body, dict) else {}  # the envelope may be in the headers
    if not isinstance(data.get("data"), dict):
        data["data"] = {}
    found = _unwrap(data, dict(headers)).get("source")
    return _printable(found) if isinstance(found, str) and len(found) <= MAX_ID else ""


def _unwrap(body: dict[str, Any], headers: dict[str, bytes | None]) -> dict[str, Any]:
    """The touchpoint inside a CloudEvent; what its data lacks comes from the envelope."""
    if "specversion" in body:
        envelope, data = body, body.get("data")
        if not isinstance(data, dict):
            raise Unacceptable("invalid_field", "expected the touchpoint as a JSON object", "data")
    elif "ce_specversion" in headers:
        envelope = {k[3:]: v.decode("utf-8", "replace") for k, v in headers.items() if k.startswith("ce_") and v}
        data = body
    else:
        return body
    data = dict(data)
    for name, attribute in (("source", "source"), ("event_id", "id"), ("occurred_at", "time")):
        if name not in data and attribute in envelope:
            data[name] = envelope[attribute]
    return data


def _gather_unknown(body: dict[str, Any]) -> dict[str, Any]:
    """Unknown fields go to `attributes`; empty text and null are absence, except for `customer_id`."""
    known = {k: v for k, v in body.items() if k in _FIELDS and (k in _REQUIRED or (v is not None and v != ""))}
    unknown = {k: _scalar(k, v) for k, v in body.items() if k not in _FIELDS}
    if known.get("customer_id") == "":
        known["customer_id"] = None
    if unknown:
        given = known.get("attributes", {})
        if isinstance(given, dict):
            known["attributes"] = {**unknown, **given}
    return known


def _scalar(name: str, value: object) -> object:
    if not isinstance(value, dict | list):
        return value
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except RecursionError:
        raise Unacceptable("invalid_field", "unknown field, nested too deeply", _printable(name)) from None
    if len(text) > MAX_TEXT:
        raise Unacceptable(
            "invalid_field",
            f"unknown field with {len(text):,} characters of JSON; expected {MAX_TEXT:,} at most",
            _printable(name),
        )
    return text


_EXPECTED = {
    "string_type": "expected text",
    "string_unicode": "expected text; half of a surrogate pair is none",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "dict_type": "expected an object",
}
"""Our words for pydantic's types of error; for the rest its own are good enough."""

_EXPECTED_SCALAR = f"expected text of at most {MAX_TEXT:,} characters, a number, true, false or null"


def _refuse(error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"][:2])
    if first["type"] == "missing":
        raise Unacceptable("missing_field", "is required (customer_id may be null)", field)
    if field.startswith("attributes.") and first["loc"][-1] != "[key]":
        message = _EXPECTED_SCALAR
    else:
        message = _EXPECTED.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "expected", 1)
    given = first["input"]
    if isinstance(given, str | int | float | bool | None):
        shown = json.dumps(given, ensure_ascii=False)
        message += f"; got {shown if len(shown) <= 80 else shown[:77] + '...'}"
    raise Unacceptable("invalid_field", _printable(message[0].lower() + message[1:]), _printable(field))


def _printable(text: str) -> str:
    """What a sender wrote may hold halves of surrogate pairs; what we say about it must fit into UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _json_type(value: object) -> str:
    names = {list: "an array", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
