"""The adapter of the public bank file: single rows with its traps, and the whole week counted twice."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from schemas.adapters import FORMATS
from schemas.adapters.anonymous_bank import COLUMNS, touchpoints
from schemas.decode import decode
from schemas.errors import Unacceptable
from schemas.times import DAY, HOUR, LATEST, SECOND, parse_time
from schemas.touchpoint import Normal
from tests import bank


def row(**changes: str) -> dict[str, Any]:
    """An answered call that queued, with changes."""
    plain = "AA0101,33116,C1,2,PS,1999-06-06,9:00:00,9:00:10,10,9:00:10,9:01:10,60,AGENT,9:01:09,9:03:09,120,A02"
    return next(csv.DictReader([plain], COLUMNS)) | changes


def told(said: list[dict[str, Any]]) -> dict[str, Normal]:
    """Touchpoints by the last word of their kind, each judged by the contract."""
    normal = [decode(json.dumps(t).encode(), LATEST) for t in said]
    assert len({t.event_id for t in normal}) == len(normal)
    return {t.kind.removeprefix("contact."): t for t in normal}


def at(text: str) -> int:
    """Local summer time (UTC+3) of June 1999."""
    return parse_time(text.replace(" ", "T") + "+03:00")


def test_an_answered_call_tells_its_whole_story() -> None:
    """A call that queued and was answered becomes four touchpoints with every value in its place."""
    call = told(touchpoints(row()))
    assert list(call) == ["started", "queued", "answered", "ended"]
    assert [t.occurred_at for t in call.values()] == [
        at("1999-06-06 09:00:00"), at("1999-06-06 09:00:10"), at("1999-06-06 09:01:09"), at("1999-06-06 09:03:09"),
    ]  # fmt: skip
    for t in call.values():
        assert (t.contact_id, t.customer_id, t.topic, t.channel, t.source) == (
            "anonymous-bank/AA0101/33116/1999-06-06", "C1", "PS", "voice", "anonymous-bank",
        )  # fmt: skip
        assert t.attributes == {"priority": 2}
        assert t.ended_by is None
    assert (call["answered"].wait_ms, call["answered"].agent_id) == (60_000, "A02")
    assert (call["ended"].handle_ms, call["ended"].agent_id) == (120_000, "A02")


def test_touchpoints_have_the_same_ids_every_time() -> None:
    """A file that is sent twice doubles nothing: its events keep their ids."""
    assert touchpoints(row()) == touchpoints(row())


def test_a_call_that_hangs_up_unqueued_waited_for_nothing() -> None:
    """Someone who leaves the menu is abandoned, without a queue, agent or service."""
    gone = row(outcome="HANG", server="NO_SERVER", customer_id="", vru_exit="9:00:04", q_time="0", ser_time="0")
    gone |= dict.fromkeys(("q_start", "q_exit", "ser_start", "ser_exit"), "0:00:00")
    call = told(touchpoints(gone))
    assert list(call) == ["started", "abandoned", "ended"]
    assert (call["abandoned"].wait_ms, call["abandoned"].customer_id) == (0, None)
    assert call["abandoned"].occurred_at == call["ended"].occurred_at == at("1999-06-06 09:00:04")


def test_a_hang_with_service_time_is_abandoned_all_the_same() -> None:
    """22 rows of the week were hung up on, and have a service time: nobody was served."""
    call = told(touchpoints(row(outcome="HANG", server="NO_SERVER")))
    assert list(call) == ["started", "queued", "abandoned", "ended"]
    assert all(t.agent_id is None and t.handle_ms is None for t in call.values())
    assert call["ended"].occurred_at == at("1999-06-06 09:01:10")


@pytest.mark.parametrize(
    ("queue", "answered"),
    [({}, "09:01:10"), ({"q_start": "0:00:00", "q_exit": "0:00:00", "q_time": "0"}, "09:00:10")],
)
def test_an_answer_without_service_time_is_when_the_wait_ended(queue: dict[str, str], answered: str) -> None:
    """Without ser_start the answer is at q_exit, without a queue at vru_exit."""
    call = told(touchpoints(row(ser_start="0:00:00", ser_exit="0:00:00", ser_time="0", **queue)))
    assert call["answered"].occurred_at == call["ended"].occurred_at == at(f"1999-06-06 {answered}")


def test_calls_go_on_after_midnight() -> None:
    """Readings after midnight belong to the next day; a step at midnight itself did happen."""
    late = row(vru_entry="23:58:45", vru_exit="23:58:51", q_start="23:58:51", q_exit="0:00:00", q_time="69")
    call = told(touchpoints(late | {"ser_start": "0:00:00", "ser_exit": "0:01:00"}))
    assert call["answered"].occurred_at == at("1999-06-07 00:00:00")
    assert call["ended"].occurred_at == at("1999-06-07 00:01:00")
    assert call["ended"].contact_id == "anonymous-bank/AA0101/33116/1999-06-06"


def test_a_queue_before_the_entry_does_not_move_the_start() -> None:
    """In nine calls the queue's clock runs before the line's; the call starts at vru_entry all the same."""
    early = row(outcome="HANG", vru_entry="16:57:40", vru_exit="16:54:10", q_start="16:54:10", q_exit="16:57:19")
    call = told(touchpoints(early))
    assert call["started"].occurred_at == at("1999-06-06 16:57:40")
    assert call["queued"].occurred_at == at("1999-06-06 16:54:10")
    assert call["started"].occurred_at <= call["abandoned"].occurred_at <= call["ended"].occurred_at


def test_the_hour_that_comes_twice() -> None:
    """The night summer time ends (1999-09-03, 2:00 becomes 1:00) no call lasts minus an hour."""
    night = row(date="1999-09-03", vru_entry="1:59:30", vru_exit="1:59:40", q_start="1:59:40", q_exit="1:00:10")
    call = told(touchpoints(night | {"ser_start": "1:00:09", "ser_exit": "2:05:00"}))
    assert call["answered"].occurred_at - call["started"].occurred_at == 39 * SECOND
    assert call["ended"].occurred_at - call["started"].occurred_at == HOUR + 330 * SECOND


def test_the_hour_that_never_comes() -> None:
    """The night summer time begins (1999-04-02, 2:00 becomes 3:00) does not break a call, whatever its clock says."""
    night = row(date="1999-04-02", vru_entry="1:59:50", vru_exit="2:00:05", q_start="2:00:05", q_exit="3:01:10")
    call = told(touchpoints(night | {"ser_start": "3:01:09", "ser_exit": "3:02:00"}))
    assert call["queued"].occurred_at - call["started"].occurred_at == 15 * SECOND
    assert call["answered"].occurred_at - call["started"].occurred_at == 79 * SECOND


def test_phantoms_are_left_out() -> None:
    """A system's own call is no customer's contact, whatever else its row says."""
    assert touchpoints(row(outcome="PHANTOM", vru_entry="")) == []


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"outcome": "agent"}, "outcome", "AGENT, HANG or PHANTOM"),
        ({"outcome": None}, "outcome", "the row ends before"),
        ({"server": None}, "server", "the row ends before"),
        ({"date": "06/06/1999"}, "date", "1999-06-06"),
        ({"date": "1899-06-06"}, "date", "between 1990 and 2200"),
        ({"date": "0001-01-01"}, "date", "1999-06-06"),
        ({"vru_entry": "25:00:00"}, "vru_entry", "time of day"),
        ({"vru_entry": ""}, "vru_entry", "time of day"),
        ({"q_exit": "9:01"}, "q_exit", "time of day"),
        ({"ser_start": "9:0١:00"}, "ser_start", "time of day"),
        ({"q_time": "-1"}, "q_time", "whole number"),
        ({"q_time": "9" * 12}, "q_time", "whole number"),
        ({"ser_time": "1.5"}, "ser_time", "whole number"),
        ({"priority": "high"}, "priority", "whole number"),
        ({"call_id": ""}, "call_id", "1 to 40 characters"),
        ({"customer_id": "C" * 129}, "customer_id", "at most 128"),
    ],
)
def test_a_wrong_row_names_the_column_and_what_was_expected(changes: dict[str, Any], field: str, expected: str) -> None:
    """Whoever repairs the file is told where to look, and what should stand there."""
    with pytest.raises(Unacceptable) as error:
        touchpoints(row(**changes))
    assert error.value.field == field
    assert expected in str(error.value)


def test_the_format_is_known_by_name() -> None:
    """The names on the command line stay."""
    assert list(FORMATS) == ["touchpoints", "anonymous-bank", "operations-csv"]


@pytest.fixture(scope="module")
def week(data: Path) -> list[dict[str, str]]:
    """The raw rows of the real week."""
    return bank.read(data / bank.WEEK)


def contacts_of(rows: list[dict[str, str]]) -> dict[str, dict[str, Normal]]:
    """What the adapter makes of the rows: the touchpoints of each contact."""
    calls: dict[str, dict[str, Normal]] = {}
    for r in rows:
        if said := touchpoints(r):
            call = told(said)
            (contact_id,) = {t.contact_id or "" for t in call.values()}
            assert contact_id not in calls
            calls[contact_id] = call
    return calls


def counted(calls: Collection[dict[str, Normal]], left_out: int) -> bank.Counts:
    """What the touchpoints say, in the words of the plain count."""
    any_topic: dict[Any, list[int]] = defaultdict(list)
    same_topic: dict[Any, list[int]] = defaultdict(list)
    for c in calls:
        t = c["started"]
        if t.customer_id is not None:
            any_topic[t.customer_id].append(t.occurred_at)
            same_topic[t.customer_id, t.topic].append(t.occurred_at)
    waits = [(c.get("answered") or c["abandoned"]).wait_ms or 0 for c in calls if "queued" in c]
    gone = [c for c in calls if "abandoned" in c]
    return bank.Counts(
        contacts=len(calls),
        left_out=left_out,
        abandoned=len(gone),
        never_queued=sum("queued" not in c for c in gone),
        hour=bank.within(any_topic, HOUR),
        day=bank.within(any_topic, DAY),
        week=bank.within(any_topic, 7 * DAY),
        repeat_contact=bank.within(same_topic, 7 * DAY),
        queue_abandoned=sum("queued" in c and (c["abandoned"].wait_ms or 0) > 5_000 for c in gone),
        long_wait=sum(wait > 120_000 for wait in waits),
    )


def test_the_real_week_counts_as_the_raw_file_does(week: list[dict[str, str]]) -> None:
    """The numbers that the project promises hold for the touchpoints, and for a plain count of the raw rows."""
    calls = contacts_of(week).values()
    assert bank.count(week) == bank.REAL_WEEK
    assert counted(calls, left_out=len(week) - len(calls)) == bank.REAL_WEEK


@pytest.mark.parametrize("seed", range(5))
def test_weeks_that_never_were_count_as_their_rows_do(seed: int, week: list[dict[str, str]]) -> None:
    """Other times, types and customers: the adapter's touchpoints and a plain count of the rows agree."""
    other = bank.perturbed(week, seed, size=1_500)
    calls = contacts_of(other).values()
    assert counted(calls, left_out=len(other) - len(calls)) == bank.count(other)


def test_the_real_week_makes_sense_in_time(week: list[dict[str, str]]) -> None:
    """No call of the week ends before it is answered or begins, and none lasts half a day."""
    for contact_id, call in contacts_of(week).items():
        start, over, end = call["started"], call.get("answered") or call["abandoned"], call["ended"]
        assert start.occurred_at <= over.occurred_at <= end.occurred_at, contact_id
        assert end.occurred_at - start.occurred_at < DAY // 2, contact_id
