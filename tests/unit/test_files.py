"""Reading input files: every line ends somewhere, and a wrong file is told in one line."""

from __future__ import annotations

import gzip
import io
import json
import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.adapters.anonymous_bank import COLUMNS
from tests.missing import missing
from volvere.files import MAX_LINE, FileProblem, Item, LeftOut, Record, Refused, read

WEEK = Path(__file__).resolve().parents[2] / "../shared/data/anonymous_bank/week_1999-06-06_pseudonymised.csv"
CALL = "AA0101,33116,C1,2,PS,1999-06-06,9:00:00,9:00:10,10,9:00:10,9:01:10,60,AGENT,9:01:09,9:03:09,120,A02"
HEADER = ",".join(COLUMNS)


def touchpoint(**changes: Any) -> bytes:
    """A line with a plain touchpoint, with changes."""
    fields = {"source": "pbx", "event_id": "1", "customer_id": "C1", "kind": "contact.started", "channel": "voice"}
    return json.dumps(fields | {"occurred_at": "2025-01-06T09:00:00Z"} | changes).encode()


def items(text: bytes | str, name: str = "touchpoints") -> list[Item]:
    """Everything that is read from a text."""
    return list(read(io.BytesIO(text.encode() if isinstance(text, str) else text), name))


def problem(where: Any, name: str = "touchpoints") -> str:
    """The one line that the user reads."""
    with pytest.raises(FileProblem) as error:
        list(read(io.BytesIO(where) if isinstance(where, bytes) else where, name))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_touchpoints_go_out_as_they_are() -> None:
    """Lines keep their bytes and numbers; blank lines, a byte order mark and Windows' line ends do no harm."""
    one, two = touchpoint(), touchpoint(customer_id=None, contact_id="pbx/7", note="ñ")
    assert items(b"\xef\xbb\xbf" + one + b"\r\n\n  \n" + two) == [
        Record(1, one, "C1"),
        Record(4, two, "~contact/pbx/7"),
    ]


def test_broken_lines_still_go_to_the_dead_letters() -> None:
    """A line that nobody understands is passed on, byte for byte, with its number; the rest goes on."""
    broken = b'{"source": "pbx", \xff'
    deep = b'{"data":' + b"[" * 20_000
    found = items(b"not json\n" + touchpoint() + b"\n" + broken + b"\n[]\n" + deep)
    assert found == [
        Record(1, b"not json", None), Record(2, touchpoint(), "C1"), Record(3, broken, None), Record(4, b"[]", None),
        Record(5, deep, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        (touchpoint(customer_id="~C"), "~~C"),
        (touchpoint(customer_id=""), "~touchpoint/pbx/1"),
        (touchpoint(customer_id=5), "~touchpoint/pbx/1"),
        (touchpoint(customer_id=None, event_id=5), None),
        (b'{"specversion":"1.0","source":"s","id":"9","data":{"customer_id":"C7"}}', "C7"),
        (b'{"specversion":"1.0","source":"s","id":"9","data":{"customer_id":null}}', "~touchpoint/s/9"),
    ],
)
def test_a_record_gets_the_key_of_its_subject(line: bytes, subject: str | None) -> None:
    """Records start out in the partition of their customer, whichever way the customer is named."""
    assert items(line) == [Record(1, line, subject)]


def test_gzip_is_read_as_if_it_were_not_packed(tmp_path: Path) -> None:
    """Whatever its name, a packed file gives the same items as the plain one; so do several packed together."""
    plain = touchpoint() + b"\n" + touchpoint(event_id="2") + b"\n"
    packed = tmp_path / "week.jsonl"
    packed.write_bytes(gzip.compress(plain) + gzip.compress(plain))
    assert list(read(packed)) == items(plain + plain)


def test_a_damaged_gzip_file_says_so(tmp_path: Path) -> None:
    """What was read until then was given out; then the user learns that the file breaks off."""
    packed = tmp_path / "week.jsonl.gz"
    packed.write_bytes(
        gzip.compress(b"".join(touchpoint(event_id=os.urandom(40).hex()) + b"\n" for _ in range(9999)))[:-999]
    )
    taken: list[Item] = []
    with pytest.raises(FileProblem, match="breaks off"):
        taken.extend(read(packed))
    assert "gzip" in problem(b"\x1f\x8bno gzip at all")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input ("-") is what another command writes, and reading begins before that command is done."""

    class Pipe(io.RawIOBase):
        """A pipe that must not be read further than needed: its second line never comes."""

        lines: Iterator[bytes] = iter([touchpoint() + b"\n"])

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            line = next(self.lines)  # StopIteration: read too far
            buffer[: len(line)] = line
            return len(line)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Pipe())))
    assert next(read("-")) == Record(1, touchpoint(), "C1")


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    """Lines above 4 MiB are refused by number, without being held; those below are passed whole."""

    class Endless(io.RawIOBase):
        """64 MiB without a line's end, then a proper line."""

        left = 64

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.left -= 1
            chunk = b"{" * len(buffer) if self.left >= 0 else b"\n" + touchpoint() if self.left == -1 else b""
            buffer[: len(chunk)] = chunk
            return len(chunk)

    tracemalloc.start()
    found = list(read(io.BufferedReader(Endless(), 1024 * 1024)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [type(i) for i in found] == [Refused, Record]
    assert (found[0].line, found[1].line) == (1, 2)
    assert isinstance(found[0], Refused)
    assert found[0].reason == "too_large"
    assert peak < 24 * 1024 * 1024
    long = touchpoint(note="x" * (MAX_LINE - 500))
    assert items(long + b"\n" + touchpoint()) == [Record(1, long, "C1"), Record(2, touchpoint(), "C1")]


def test_a_bank_file_becomes_touchpoints() -> None:
    """One call is several records of one line; phantoms and wrong rows are told apart, each by its line."""
    phantom, wrong = CALL.replace("AGENT", "PHANTOM"), CALL.replace("9:01:10", "9:61:10")
    text = "\n".join(
        [HEADER, CALL, "", phantom, wrong, "AA0101,5", CALL + ",x", '"' + CALL, CALL.replace("33116", "2")]
    )
    found = items(text, "anonymous-bank")
    assert [(i.line, type(i)) for i in found] == (
        [(2, Record)] * 4 + [(4, LeftOut)] + [(line, Refused) for line in (5, 6, 7, 8)] + [(9, Record)] * 4
    )
    first = found[0]
    assert isinstance(first, Record)
    assert (json.loads(first.value)["kind"], first.subject) == ("contact.started", "C1")
    assert [(i.field, i.raw.decode()) for i in found if isinstance(i, Refused)] == [
        ("q_exit", wrong), ("outcome", "AA0101,5"), ("", CALL + ",x"), ("", '"' + CALL),
    ]  # fmt: skip


def test_bytes_that_are_no_text_refuse_one_row() -> None:
    """A row in another encoding is refused; its neighbours are read."""
    rows = [HEADER, CALL.replace("C1", "Peña"), CALL]
    found = items("\n".join(rows).encode("latin-1"), "anonymous-bank")
    assert Counter(type(i) for i in found) == {Refused: 1, Record: 4}


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        (b"", "touchpoints", "empty"),
        (b"\n \n", "touchpoints", "empty"),
        (b"", "anonymous-bank", "empty"),
        (gzip.compress(b"", mtime=0), "touchpoints", "empty"),
        ((HEADER + "\n" + CALL).encode(), "touchpoints", "--format anonymous-bank"),
        (b"a;b;c\n1;2;3\n", "touchpoints", "no JSON object"),
        (b"x\n" * 50 + touchpoint(), "touchpoints", "no JSON object"),
        (b"[\n" + touchpoint() + b"]", "touchpoints", "jq -c '.[]'"),
        (b'{\n "source": "pbx"\n}', "touchpoints", "jq -c '.'"),
        (touchpoint(), "anonymous-bank", "--format touchpoints"),
        (HEADER.replace("q_time,", "").encode(), "anonymous-bank", "without q_time"),
        ((HEADER + ",server").encode(), "anonymous-bank", "twice"),
        (CALL.encode(), "anonymous-bank", "expected the columns vru_line, call_id"),
        (touchpoint().decode().encode("utf-16"), "touchpoints", "not text"),
        (b"PK\x03\x04\0\0", "anonymous-bank", "not text"),
        (touchpoint(), "csv", "touchpoints, anonymous-bank, operations-csv"),
        (b"kind,occurred_at,agent_id", "touchpoints", "--format operations-csv"),
        (b"kind,agent_id", "operations-csv", "without occurred_at; expected the columns kind, occurred_at, and any of"),
        (b"kind,occurred_at,agent", "operations-csv", "what is agent?"),
        (b"kind,occurred_at,kind", "operations-csv", "twice"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(text: bytes, name: str, says: str) -> None:
    """Before anything is sent the user learns what is wrong with the whole file, and what to do."""
    assert says in problem(text, name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path and a folder are named, at once and not at the first line."""
    assert f"{tmp_path}/none.csv: no such file" in problem(tmp_path / "none.csv")
    assert f"{tmp_path} is a folder" in problem(str(tmp_path))
    with pytest.raises(FileProblem):
        read(tmp_path / "none.csv")


def test_the_real_week_is_read_whole() -> None:
    """Of the public file's rows 83 are left out, none is refused, and the others are 9,343 calls."""
    if not WEEK.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{WEEK} is absent; the continuous integration must have the data")
        missing(f"{WEEK} is absent: the public bank file is not part of the repository")
    found = list(read(WEEK, "anonymous-bank"))
    assert sum(isinstance(i, LeftOut) for i in found) == 83
    assert not [i for i in found if isinstance(i, Refused)]
    assert len({json.loads(i.value)["contact_id"] for i in found if isinstance(i, Record)}) == 9_343
