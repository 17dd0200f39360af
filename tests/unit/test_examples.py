"""Examples and generated records: one verdict each, whichever of the two decoders gives it.

The fast path (msgspec) may only say yes, and only where the contract (pydantic) says the same
and makes the same touchpoint of it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas import decode as decoding
from schemas.decode import contract, decode
from schemas.errors import REASONS, Unacceptable
from schemas.kinds import OPERATIONS, is_operation
from schemas.times import EARLIEST, LATEST, SECOND, format_time, parse_time
from schemas.touchpoint import MAX_RECORD, MAX_TEXT, Normal, Touchpoint, digest, plain

EXAMPLES = Path(schemas.__file__).parent / "examples"
VALID = sorted(path for name in ("touchpoints", "operations") for path in (EXAMPLES / "valid" / name).glob("*.json"))
INVALID = sorted((EXAMPLES / "invalid" / "touchpoints").glob("*.json"))
ARRIVAL = parse_time("2026-03-10T00:00:00Z")
MINIMAL: dict[str, Any] = json.loads((EXAMPLES / "valid" / "touchpoints" / "minimal.json").read_text("utf-8"))


def _normal(name: str) -> Normal:
    return decode((EXAMPLES / "valid" / "touchpoints" / f"{name}.json").read_bytes(), ARRIVAL)


def _agree(value: bytes) -> Normal | Unacceptable:
    """The verdict on a record, after seeing that no path contradicts the other, and that it can be told."""
    fast, judged = decoding._fast(value), _contract(value)
    if isinstance(judged, Unacceptable):
        assert fast is None, f"the fast path took what the contract refuses: {judged}"
        assert judged.reason in REASONS
        (judged.field + str(judged)).encode()  # goes into headers of the dead letter
    elif fast is not None:
        assert fast == judged
        assert digest(fast) == digest(judged)
    return judged


def _contract(value: bytes) -> Normal | Unacceptable:
    try:
        return contract(value)
    except Unacceptable as e:
        return e


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_examples_are_taken(path: Path) -> None:
    """Every way of writing a touchpoint that the documentation shows is understood, by both paths alike."""
    value = path.read_bytes()
    touchpoint = decode(value, ARRIVAL)
    assert isinstance(_agree(value), Normal)
    again = decode(json.dumps(plain(touchpoint)).encode(), ARRIVAL)
    assert digest(again) == digest(touchpoint), "sent again in normal form it is the same touchpoint"


def test_every_operation_has_an_example() -> None:
    """What a company tells of its own side is shown, kind by kind, and the feed takes each for what it is."""
    paths = [path for path in VALID if path.parent.name == "operations"]
    found = [decode(path.read_bytes(), ARRIVAL) for path in paths]
    assert all(map(is_operation, found))
    assert sorted(t.kind for t in found) == sorted(OPERATIONS)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_examples_are_refused_for_the_reason_given(path: Path) -> None:
    """The dead letter names the reason, the field and what was expected, in words that stay."""
    case = json.loads(path.read_text("utf-8"))
    value = (case["raw"] if "raw" in case else json.dumps(case["record"])).encode()
    if case["reason"] != "future":
        _agree(value)
    with pytest.raises(Unacceptable) as refused:
        decode(value, ARRIVAL)
    assert (refused.value.reason, refused.value.field) == (case["reason"], case["field"])
    assert case["message"] in str(refused.value)


def test_every_reason_of_decoding_has_an_example() -> None:
    """A reason that an operator meets on a dead letter can be looked up; the rest is not decoding."""
    shown = {json.loads(path.read_text("utf-8"))["reason"] for path in INVALID}
    assert shown | {"too_large", "unpublishable", "misplaced", "unstorable"} == set(REASONS)


def test_the_largest_record_is_taken_and_one_byte_more_is_not() -> None:
    """64 KiB is the limit, to the byte, on both paths."""
    value = json.dumps(MINIMAL).encode()
    largest = value + b" " * (MAX_RECORD - len(value))
    assert isinstance(_agree(largest), Normal)
    with pytest.raises(Unacceptable, match="65,537 bytes; expected at most 65,536") as refused:
        decode(largest + b" ", ARRIVAL)
    assert refused.value.reason == "too_large"


def test_a_record_without_a_value_is_refused() -> None:
    """A tombstone on `touchpoints` is somebody's mistake, and no reason to stop."""
    with pytest.raises(Unacceptable, match="no value"):
        decode(None, ARRIVAL)


def test_clocks_may_differ_by_five_minutes() -> None:
    """A producer whose clock is a little ahead is not refused; one that is far ahead is."""
    at = parse_time(MINIMAL["occurred_at"])
    value = json.dumps(MINIMAL).encode()
    assert decode(value, at - 300 * SECOND).occurred_at == at
    with pytest.raises(Unacceptable, match="more than 5 minutes after"):
        decode(value, at - 300 * SECOND - 1)


def test_spellings_of_one_thing_have_one_digest() -> None:
    """A replay by another client library must not look like another version of the touchpoint."""
    assert digest(_normal("amount-as-number")) == digest(_normal("amount-as-text"))
    assert _normal("amount-as-text").amount == "129.9"
    assert _normal("nanosecond-time").occurred_at == parse_time("2026-03-02T08:15:00.123456Z")
    assert _normal("contact-abandoned").occurred_at == parse_time("2026-03-02T10:30:00Z")


def test_unknown_fields_are_kept_and_empty_ones_are_absent() -> None:
    """A vendor's new field is neither lost nor a reason to refuse."""
    assert _normal("unknown-fields").attributes == {
        "basket_value": 79.5,
        "browser": "firefox",
        "coupon": "SPRING",
        "steps": '["cart","address"]',
    }
    lenient = _normal("lenient-empty-text")
    assert (lenient.customer_id, lenient.queue, lenient.version) == (None, None, 0)


def test_a_cloudevent_gives_what_its_data_lacks() -> None:
    """Structured and binary mode and plain JSON of one event are one touchpoint."""
    structured = json.loads((EXAMPLES / "valid" / "touchpoints" / "cloudevent-structured.json").read_text("utf-8"))
    headers = [
        ("traceparent", None),  # Kafka allows null
        *((f"ce_{name}", structured[name].encode()) for name in ("specversion", "id", "source", "type", "time")),
    ]
    binary = decode(json.dumps(structured["data"]).encode(), ARRIVAL, headers)
    named = {"source": "ivr", "event_id": "ce-1", "occurred_at": structured["time"]}
    flat = decode(json.dumps({**structured["data"], **named}).encode(), ARRIVAL)
    assert digest(_normal("cloudevent-structured")) == digest(binary) == digest(flat)


ODD = {
    "a line feed at the end": r'"contact.started\n"',
    "half a surrogate pair": r'"\ud800"',
    "a NUL": r'"a\u0000b"',
    "a raw control character": '"a\tb"',
    "minus nought": "-0",
    "a whole float": "1.0",
    "an exponent": "1e0",
    "beyond int64": "9223372036854775808",
    "beyond float": "1e999",
    "400 digits": "1" + "0" * 400,
    "5,000 digits": "1" + "0" * 5000,
    "a leading nought": "01",
    "infinity": "Infinity",
    "infinity as text": '"Infinity"',
    "an enormous exponent as text": '"1e1000000"',
    "128 characters outside the basic plane": '"' + "😀" * 128 + '"',
    "129 characters": '"' + "é" * 129 + '"',
    "true": "true",
    "null": "null",
    "an empty text": '""',
    "an object": '{"a": 1}',
    "1,000 brackets": "[" * 990 + "]" * 990,
    "30,000 brackets": "[" * 30_000 + "]" * 30_000,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_values_have_one_verdict_in_every_field(odd: str) -> None:
    """Where JSON libraries differ, records must not: once taken and once refused is two states after a replay."""
    for field in (*Touchpoint.model_fields, "unheard_of"):
        members = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in MINIMAL.items() if k != field]
        _agree("{{{}}}".format(", ".join([*members, f'"{field}": {odd}'])).encode())
    member = json.dumps(MINIMAL).removesuffix("}")
    _agree(f'{member}, "attributes": {{"a": {odd}}}}}'.encode())
    if odd.startswith('"'):
        _agree(f'{member}, "attributes": {{{odd}: 1}}}}'.encode())
        _agree(f"{member}, {odd}: 1}}".encode())


@pytest.mark.parametrize("depth", range(960, 1000))
def test_nesting_near_the_interpreters_limit_is_a_verdict(depth: int) -> None:
    """A record can never end the worker, however deep it is nested."""
    assert isinstance(
        _agree(json.dumps({**MINIMAL, "deep": 0}).replace("0}", "[" * depth + "]" * depth + "}").encode()), Unacceptable
    )


_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
_word = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True)
_millis = st.integers(0, 10**12)
_number = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
_time = st.builds(
    lambda micros, fraction, zone: (
        datetime.fromtimestamp(micros // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone
    ),
    st.integers(EARLIEST + 86_400 * SECOND, LATEST - 86_400 * SECOND),
    st.sampled_from(["", ".5", ".123456", ".123456789"]),
    st.sampled_from(["Z", "z", "+00:00", "-05:30", "+14:00"]),
)
_amount = st.decimals(min_value=-(10**13), max_value=10**13, places=4, allow_nan=False, allow_infinity=False)
_scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    _number,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_TEXT),
)
_required: dict[str, st.SearchStrategy[Any]] = {
    "source": _text,
    "event_id": _text,
    "customer_id": st.none() | _text,
    "kind": st.from_regex(r"[a-z][a-z0-9_]{0,20}\.[a-z][a-z0-9_]{0,20}", fullmatch=True),
    "channel": _word,
    "occurred_at": _time,
}
_optional: dict[str, st.SearchStrategy[Any]] = {
    "version": st.integers(0, 2**63 - 1),
    "cancelled": st.booleans(),
    "direction": st.sampled_from(["inbound", "outbound", None]),
    "automatic": st.booleans(),
    **dict.fromkeys(
        "ref contact_id journey_id topic agent_id queue product asset_id release reason reason_code".split(),
        st.none() | _text,
    ),
    "ended_by": st.sampled_from(["customer", "agent", "network", "system", None]),
    "wait_ms": st.none() | _millis,
    "handle_ms": st.none() | _millis,
    "hold_ms": st.none() | _millis,
    "outcome": st.sampled_from(["ok", "fail", "resolved", "unresolved", "denied", "escalated", None]),
    "score": st.none() | _number,
    "scale": st.none() | _word,
    "amount": st.none()
    | _amount.map(str)
    | _amount.map(lambda amount: format(amount, "f"))
    | st.integers(-(10**13), 10**13),
    "currency": st.none() | st.from_regex(r"[A-Z]{3}", fullmatch=True),
    "due_at": st.none() | _time,
    "element": st.none() | _text,
    "x": st.none() | _number,
    "y": st.none() | _number,
    "attributes": st.dictionaries(_text, _scalar, max_size=5),
}
_records = st.fixed_dictionaries(_required, optional=_optional)
_anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=140),
        _time,
        _word,
        st.sampled_from(
            ["", "\n", "contact.started\n", "EUR\n", "voice\n", "12.5", "1e3", "-0", "NaN", " 1 ", "1_0", "\ud800"]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def test_the_generated_records_know_every_field() -> None:
    """A new field is generated too, or the properties below would be silent about it."""
    assert _required.keys() | _optional.keys() == set(Touchpoint.model_fields)


@given(_records)
def test_both_paths_take_every_right_record_alike(record: dict[str, Any]) -> None:
    """Whichever path a record takes, the same touchpoint comes out, and once more from its normal form."""
    value = json.dumps(record).encode()
    judged = _agree(value)
    assert isinstance(judged, Normal), f"refused: {judged}"
    plainly = json.dumps(plain(judged)).encode()
    assert digest(contract(plainly)) == digest(judged)
    assert decoding._fast(plainly) is not None, "the normal form is what the fast path reads"


@given(_records, st.sampled_from([*Touchpoint.model_fields, "unheard_of"]), _anything)
def test_one_wrong_field_has_one_verdict(record: dict[str, Any], field: str, value: Any) -> None:
    """Any value in any field: the fast path never takes what the contract refuses or reads otherwise."""
    _agree(json.dumps({**record, field: value}).encode())


@given(_records, st.sampled_from([*Touchpoint.model_fields]))
def test_one_missing_field_has_one_verdict(record: dict[str, Any], field: str) -> None:
    """Without a required field it is refused by that name; without another one it is taken."""
    verdict = _agree(json.dumps({k: v for k, v in record.items() if k != field}).encode())
    if field in _required:
        assert isinstance(verdict, Unacceptable)
        assert (verdict.reason, verdict.field) == ("missing_field", field)
    else:
        assert isinstance(verdict, Normal)


@given(_records, st.binary(max_size=3), st.floats(0, 1), st.integers(0, 3))
def test_broken_bytes_have_one_verdict(record: dict[str, Any], junk: bytes, where: float, cut: int) -> None:
    """Cut, overwritten, not even text: a verdict, never an exception of another kind."""
    value = json.dumps(record, ensure_ascii=False).encode()
    at = int(where * len(value))
    _agree(value[:at] + junk + value[at + cut :])


@given(st.integers(EARLIEST, LATEST - 1))
def test_times_come_back_as_they_were_sent(micros: int) -> None:
    """Microseconds are exact over the whole range."""
    assert parse_time(format_time(micros)) == micros
