"""End reasons: the network's causes to the letter, and every vendor's word that real records show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.end_reasons import Q850, Q850_NORMAL, Q850_SILENT, TABLE, end_reason, q850, who_ended
from schemas.touchpoint import EndedBy

ENDERS = get_args(EndedBy)


@pytest.mark.parametrize("cause", range(128))
def test_causes_to_the_letter(cause: int) -> None:
    """16, 17 and 31 are normal, 0 and 127 prove nothing, and every other cause is the network's doing."""
    reason = end_reason(f"Q.850:{cause}")
    assert reason is not None
    assert reason.normal == (cause in (16, 17, 31))
    assert reason.ended_by == (None if cause in (0, 16, 17, 31, 127) else "network")
    assert end_reason(str(cause)) == reason
    assert reason.says


@pytest.mark.parametrize(
    ("given", "code", "expected"),
    [
        (None, None, None),
        (None, "16", None),
        (None, "17", None),
        (None, "31", None),
        (None, "0", None),
        (None, "127", None),
        (None, "38", "network"),
        (None, "Q.850:41", "network"),
        (None, "HANG", None),
        # What is given wins, except over a network that says it cleared the call as calls are cleared.
        ("customer", "38", "customer"),
        ("agent", "16", "agent"),
        ("customer", "16", "customer"),
        ("network", "16", None),
        ("system", "31", None),
        ("network", "0", "network"),
        ("system", "127", "system"),
        ("network", None, "network"),
        ("system", "41", "system"),
        # Vendors' words fill in what is not given, and never overrule.
        (None, "amazon_connect:TELECOM_PROBLEM", "network"),
        (None, "amazon_connect:CUSTOMER_DISCONNECT", "customer"),
        (None, "amazon_connect:CONTACT_FLOW_DISCONNECT", None),
        (None, "amazon_connect:SYSTEM_ERROR", "system"),
        ("network", "amazon_connect:CUSTOMER_DISCONNECT", "network"),
        ("system", "amazon_connect:CONTACT_FLOW_DISCONNECT", "system"),
        ("agent", "amazon_connect:TELECOM_PROBLEM", "agent"),
        # Who that was depends on whose side is looked at.
        (None, "genesys:transport.failure", "network"),
        (None, "genesys:customer:transport.failure", "network"),
        (None, "genesys:agent:peer", "customer"),
        (None, "genesys:customer:peer", None),
        (None, "genesys:peer", None),
        (None, "genesys:customer:endpoint", "customer"),
        (None, "genesys:agent:client", "agent"),
        (None, "genesys:ivr:client", None),
        (None, "genesys:agent:transfer", None),
        (None, "twilio:completed", None),
        (None, "twilio:failed", "network"),
        (None, "twilio:486", None),
        (None, "sip:503", "network"),
        (None, "asterisk:COMPLETEAGENT", "agent"),
        (None, "asterisk:COMPLETECALLER", "customer"),
        (None, "asterisk:ABANDON", "customer"),
        (None, "asterisk:EXITWITHTIMEOUT", None),
        (None, "asterisk:SYSCOMPAT", "system"),
        (None, "zendesk:abandoned_on_hold", "customer"),
        (None, "zendesk:completed", None),
        (None, "unheard_of:COMPLETEAGENT", None),
    ],
)  # fmt: skip
def test_who_ended_it(given: str | None, code: str | None, expected: str | None) -> None:
    """A dropped call is one that the network or the system ended, and nobody is blamed on a word that does not say."""
    assert who_ended(given, code) == expected


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("38", 38), ("Q.850:38", 38), ("q.850=38", 38), ("Q.850 38", 38), (":016", 16), ("127", 127),
        ("Q.850;cause=16", 16), ('Q.850 ;cause=41 ;text="Temporary failure"', 41), ("Q850;cause=41", 41),
        (None, None), ("", None), ("Q.850", None), ("128", None), ("1000", None), ("3.8", None), ("38 ", None),
        ("-1", None), ("²", None), ("٣٨", None), ("38;cause=16", None), ("SIP;cause=486", None), ("DENY-12", None),
    ],
)  # fmt: skip
def test_what_is_a_cause(code: str | None, cause: int | None) -> None:
    """Causes come bare, named, and as a SIP Reason header has them; another vendor's number is not taken for one."""
    assert q850(code) == cause


@given(st.text(max_size=128) | st.sampled_from(sorted(TABLE)))
def test_any_code_has_an_answer(code: str) -> None:
    """A vendor's new word is no error and proves nothing; letters' case does not matter."""
    reason = end_reason(code)
    assert who_ended(None, code) in (*ENDERS, None)
    assert reason == end_reason(code.upper()) or not code.isascii()
    for ender in ENDERS:
        assert who_ended(ender, code) in (ender, None)


def test_the_table_says_what_detectors_may_believe() -> None:
    """No entry calls the network's or the system's doing normal, and every entry can be put into a sentence."""
    for code, reason in TABLE.items():
        assert not (reason.normal and reason.ended_by in ("network", "system")), code
        assert reason.says.strip(" .") == reason.says != "", code
    assert not (Q850.keys() & Q850_NORMAL.keys() | Q850.keys() & Q850_SILENT.keys())
    assert all(0 < cause < 127 for cause in Q850)


def _found(value: Any, purpose: str | None = None) -> Iterator[str]:
    if isinstance(value, dict):
        purpose = value.get("purpose", purpose)
        if isinstance(value.get("disconnectType"), str):
            yield (
                f"genesys:{purpose}:{value['disconnectType']}"
                if purpose != "acd"
                else f"genesys:{value['disconnectType']}"
            )
        if isinstance(value.get("DisconnectReason"), str):
            yield f"amazon_connect:{value['DisconnectReason']}"
        if value.get("CallbackSource") == "call-progress-events":
            yield f"twilio:{value['CallStatus']}"
        for inner in value.values():
            yield from _found(inner, purpose)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, purpose)


def test_every_end_reason_in_real_records_is_known(data: Path) -> None:
    """The published records of four vendors hold no end that the table has nothing to say about."""
    payloads = data / "vendor_payloads"
    codes: set[str] = set()
    for path in payloads.rglob("*.json*"):
        text = path.read_text("utf-8")
        for part in text.splitlines() if path.suffix == ".jsonl" else [text]:
            codes.update(_found(json.loads(part)))
    for path in payloads.glob("asterisk/*.txt"):
        lines = [line.split("|") for line in path.read_text("utf-8").splitlines()]
        codes.update(
            f"asterisk:{x[4]}" for x in lines if len(x) > 4 and x[4].startswith(("COMPLETE", "ABANDON", "EXIT"))
        )
    assert {code.split(":")[0] for code in codes} == {"amazon_connect", "genesys", "twilio", "asterisk"}
    assert len(codes) >= 12
    assert [code for code in sorted(codes) if end_reason(code) is None] == []
