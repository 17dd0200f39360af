"""The doctor's judgement of memory, on file systems that say it in each of the usual ways, and of our own certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.times import DAY, parse_time
from tests.certificates import Certificates
from volvere.doctor import Patient, told
from volvere.doctor.machine import MIB, files, judged_memory, memory_limit
from volvere.settings import load

MEMINFO = "MemTotal:        8388608 kB\nMemFree:          123 kB\n"


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"proc/meminfo": MEMINFO}, 8192 * MIB),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "max\n"}, 8192 * MIB),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "536870912\n"}, 512 * MIB),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/kubepods/pod7\n",
                "sys/fs/cgroup/kubepods/pod7/memory.max": "268435456\n",
            },
            256 * MIB,
        ),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 1024 * MIB),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8192 * MIB),
    ],
)
def test_the_least_limit_holds(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    """A container's limit, in either version of control groups, else the machine's memory."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_limit(tmp_path) == limit


@pytest.mark.parametrize(("mib", "verdict"), [(100, "wrong"), (512, "doubtful"), (2048, "ok")])
def test_too_little_memory_is_told(mib: int, verdict: str) -> None:
    """A worker that is killed for its memory says nothing itself."""
    said, found, remedy = judged_memory(mib * MIB)
    assert said == verdict
    assert f"{mib:,} MiB" in found
    assert bool(remedy) == (verdict != "ok")


@pytest.mark.parametrize(
    ("line", "found", "remedy"),
    [
        (
            "its certificate has expired; renew it on the server",
            "its certificate has expired",
            "renew it on the server",
        ),
        ("a rebuild was interrupted: run it again", "a rebuild was interrupted", "run it again"),
        ("nobody answers", "nobody answers", "see the logs of the server"),
    ],
)
def test_an_error_is_parted_from_its_remedy(line: str, found: str, remedy: str) -> None:
    """Errors say what is wrong and then what to do; where one does not, there is still something to do."""
    assert told(line) == ("wrong", found, remedy)


@pytest.mark.parametrize(("days", "verdict"), [(-31, "ok"), (-29, "doubtful"), (1, "wrong")])
def test_our_own_certificate_is_told_before_it_ends(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, days: int, verdict: str
) -> None:
    """Brokers that do not let us in any more say little about why, and every worker of a company has its certificate of the same day."""
    monkeypatch.chdir(tmp_path)
    ends = parse_time("2020-01-01T00:00:00Z")
    settings = load(kafka="kafka:9092", kafka_security="ssl", kafka_cert_file=certificates.old_client)
    found = [said for said in files(Patient(settings, lambda: ends + days * DAY)) if said[0] != "ok"]
    assert [said[0] for said in found] == ([verdict] if verdict != "ok" else [])
    assert all("old.pem" in what and remedy for _, what, remedy in found)
