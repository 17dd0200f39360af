"""A state built anew, on Apache Kafka, by the commands that an operator types.

A simulated company is tracked and stored, then its state is replaced. `volvere run` with one touchpoint for every partition
is the worker afterwards: it reads to the end of the topic, stores what came out, and stops.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from schemas.times import HOUR, MINUTE, format_time, parse_time
from schemas.topics import FRICTIONS, partition_of
from sinks.store import STORED
from tests.command import Done, ask, environment, running, volvere
from tests.faults.crew import admin
from tests.kafka import ROOT, ApacheKafka, read_topic
from tests.stories import CLAIMED, CLAIMED_OF_JOURNEYS
from volvere.embedded import die_with_parent
from volvere.simulator import Company
from volvere.worker import wall

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PARTITIONS = 4
Standing = dict[str, dict[str, dict[str, Any]]]
"""By view and id: the columns that must not depend on how it came to be."""


class Town:
    """A company's topics and store, and the commands on them."""

    def __init__(self, kafka: ApacheKafka, prefix: str, folder: Path) -> None:
        self.folder, self.prefix, self.bootstrap = folder, prefix, kafka.bootstrap
        self.store = folder / "store"
        self.settings: dict[str, Any] = {
            "kafka": kafka.bootstrap,
            "topic_prefix": prefix,
            "application": prefix,
            "clickhouse": self.store,
            "session_timeout_s": 4,
            "heartbeat_interval_s": 1,
            "flush_records": 500,
        }
        self.volvere("topics", "create", "--partitions", PARTITIONS)
        self.told = list(Company(seed=5, customers=150, days=16, contacts_per_day=0.5, untidy=0.3).touchpoints())
        self.newest = max(parse_time(t["occurred_at"]) for t in self.told)

    def volvere(self, *args: object, told: list[dict[str, Any]] | None = None, code: int | None = 0) -> Done:
        """A command; `told`: touchpoints for its standard input."""
        lines = "".join(json.dumps(t) + "\n" for t in told or ())
        return volvere(self.folder, *args, stdin=lines, code=code, **self.settings)

    def ends(self, partitions: int = PARTITIONS) -> list[dict[str, Any]]:
        """One touchpoint for every partition, an hour after all others."""
        names = {partition_of(f"nobody {i}", partitions): f"nobody {i}" for i in range(100)}
        return [page(name, self.newest + HOUR) for _, name in sorted(names.items())]

    def work(self, partitions: int = PARTITIONS, code: int = 0) -> Done:
        """The workers, until everything that is in the topics is tracked and stored."""
        done = self.volvere("run", "-", told=self.ends(partitions), code=code)
        if not code and not self.is_stored():  # a run waits for what it wrote itself, not for what a rebuild did
            deadline = time.monotonic() + 120
            with running(self.folder, "worker", "store", **self.settings) as store:
                while not self.is_stored():
                    assert time.monotonic() < deadline
                assert store.terminate().code == 0
        return done

    def is_stored(self) -> bool:
        """Whether the store has taken the last record of every partition."""
        group = f"{self.prefix}-store"
        with admin(self.bootstrap) as client:
            offsets = client.list_group_offsets({group: None})[group]
        ends = {
            TopicPartition(name, r.partition): r.offset
            for name in (self.prefix + topic.name for topic in STORED)
            for r in read_topic(self.bootstrap, name)
        }
        return all(tp in offsets and offsets[tp].offset > last for tp, last in ends.items())

    def standing(self) -> Standing:
        """What the views show, in the columns that must not depend on how it came to be."""
        columns = {
            "frictions": ("friction_id", *CLAIMED),
            "journeys": ("journey_id", "subject", *CLAIMED_OF_JOURNEYS),
        }
        parts = [
            f"SELECT '{view}' AS view, toJSONString([{', '.join(f'toString({name})' for name in names)}]) AS row "
            f"FROM volvere.{view}"
            for view, names in columns.items()
        ]
        rows = ask(self.folder, " UNION ALL ".join(parts), self.store)
        return {
            view: {
                row[0]: dict(zip(names, row, strict=True))
                for r in rows
                if r["view"] == view and (row := json.loads(r["row"]))
            }
            for view, names in columns.items()
        }

    def events(self) -> list[dict[str, Any]]:
        """Every friction event, in the order of its partition, as a consumer sees it."""
        return [json.loads(r.value or b"") for r in read_topic(self.bootstrap, self.prefix + FRICTIONS.name)]

    def generation(self) -> int:
        """The newest generation that anybody was told of."""
        return max(int(e["data"]["generation"]) for e in self.events())

    def killed(self, source: str, nth: int) -> None:
        """A rebuild that is killed before its nth transaction."""
        command = [sys.executable, "-m", "tests.faults.rebuilder", source, str(nth)]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(**self.settings),
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=die_with_parent(),
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-4000:]


def page(customer: str, at: int, **fields: Any) -> dict[str, Any]:
    """A touchpoint that is no difficulty."""
    required = {"source": "site", "event_id": f"{customer}/{at}", "customer_id": customer, "channel": "web"}
    return required | {"kind": "page.viewed", "occurred_at": format_time(at)} | fields


def dropped(customer: str, at: int) -> list[dict[str, Any]]:
    """A call that the network ends."""
    kinds = {"contact.started": 0, "contact.answered": 1, "contact.ended": 2}
    return [
        page(
            customer,
            at + minutes * MINUTE,
            source="pbx",
            event_id=f"{customer}/{kind}",
            kind=kind,
            channel="voice",
            contact_id=f"call of {customer}",
            ended_by="network" if kind == "contact.ended" else None,
        )
        for kind, minutes in kinds.items()
    ]


@pytest.fixture
def town(apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Town:
    """A town whose first two weeks are tracked and stored."""
    town = Town(apache_kafka, topic_prefix, tmp_path)
    town.volvere("run", "-", told=town.told + town.ends())
    return town


@pytest.mark.parametrize("source", ["topic", "clickhouse"])
def test_what_stands_afterwards_is_what_stood_before(town: Town, source: str) -> None:
    """A rebuild is safe: with the same rules nothing changes for analysts, and nobody is paged; new events page."""
    town.newest = wall() - 2 * HOUR
    # Which lets everything else expire and be forgotten, too.
    town.volvere("run", "-", told=dropped("ana", town.newest) + town.ends())
    before = town.standing()
    assert len(before["frictions"]) > 300
    assert {e["data"]["replay"] for e in town.events() if e["data"]["customer_id"] == "ana"} == {False}

    said = town.volvere("rebuild", "--from", source, "--yes").out
    assert "generation 2 in 4 partitions" in said
    town.work()

    assert town.standing() == before
    anew = [e["data"] for e in town.events() if e["data"]["generation"] == 2]
    assert before["frictions"].keys() <= {d["friction_id"] for d in anew}
    assert {d["replay"] for d in anew} == {True}

    town.volvere("run", "-", told=dropped("eva", wall() - HOUR))
    live = [e["data"] for e in town.events() if e["data"]["customer_id"] == "eva"]
    assert {(d["kind"], d["replay"], d["generation"]) for d in live} == {("dropped_call", False, 2)}


@pytest.mark.parametrize(("source", "nth"), [("topic", 11), ("clickhouse", 12)])
def test_a_rebuild_that_is_killed_is_seen_and_made_whole(town: Town, source: str, nth: int) -> None:
    """A machine that fails in the midst leaves half a state: no worker goes on with it, and the next run ends equal."""
    before = town.standing()
    town.killed(source, nth)
    refused = town.work(code=4)
    assert "run `volvere rebuild` again" in refused.err
    town.volvere("rebuild", "--from", source, "--yes")
    town.work()
    assert town.standing() == before
    assert town.generation() >= 3


@pytest.mark.parametrize("source", ["topic", "clickhouse"])
def test_what_new_rules_do_not_find_is_gone(town: Town, source: str) -> None:
    """The reason to rebuild: the past is judged by the new rules, and the views show that alone."""
    before = Counter(f["kind"] for f in town.standing()["frictions"].values())
    assert before["repeat_contact"] > 20
    mine = town.folder / "mine.toml"
    mine.write_text('[repeat_contact]\nmode = "off"\n\n[queue_abandoned]\nshort_abandon = "10m"\n')
    town.settings["rules"] = mine
    town.volvere("rebuild", "--from", source, "--yes")
    town.work()
    after = Counter(f["kind"] for f in town.standing()["frictions"].values())
    assert after["repeat_contact"] == 0
    assert after["queue_abandoned"] < before["queue_abandoned"]
    assert after["slow_reply"] == before["slow_reply"] > 0


def test_open_incidents_that_are_not_found_again_are_closed(town: Town) -> None:
    """Whoever opened an incident is told that it is over, although the rule that found it is no more."""
    events = town.events()
    last = {e["data"]["friction_id"]: e["data"] for e in events}
    open_before = {name for name, d in last.items() if d["state"] == "open" and d["kind"] == "repeat_contact"}
    assert open_before
    mine = town.folder / "mine.toml"
    mine.write_text('[repeat_contact]\nmode = "off"\n')
    town.settings["rules"] = mine
    town.volvere("rebuild", "--from", "clickhouse", "--yes")
    told = {e["data"]["friction_id"]: e["data"] for e in town.events()[:] if e["data"]["generation"] == 2}
    assert open_before <= told.keys()
    assert {told[name]["state"] for name in open_before} == {"retracted"}
    assert {told[name]["group_open"] for name in open_before} == {0}
    assert all(d["state"] == "retracted" for d in told.values() if d["kind"] == "repeat_contact")


def test_more_partitions(town: Town) -> None:
    """A company that grows keeps its history, though customers move; what was on its way meanwhile is found, too."""
    before = town.standing()
    late = dropped("late", town.newest)
    town.volvere("send", "-", told=late)
    assert "6 partitions" in town.volvere("rebuild", "--from", "clickhouse", "--partitions", 6, "--yes").out
    town.work(6)
    after = town.standing()
    found = [f["kind"] for f in after["frictions"].values() if f["subject"] == "late"]
    assert found == ["dropped_call"]
    assert after["frictions"] | before["frictions"] == after["frictions"]
    assert len(after["frictions"]) == len(before["frictions"]) + 1
    assert after["journeys"] | before["journeys"] == after["journeys"]
    places = {
        (e["subject"], r.partition)
        for r in read_topic(town.bootstrap, town.prefix + FRICTIONS.name)
        if (e := json.loads(r.value or b""))["data"]["generation"] == 2
    }
    assert {partition_of(subject, 6) == partition for subject, partition in places} == {True}


def test_workers_that_run_are_told_of(town: Town) -> None:
    """Two who write one state would corrupt it: a rebuild under running workers is refused before it does anything."""
    with running(town.folder, "worker", "track", **town.settings) as worker:
        worker.line(lambda line: "claimed" in line)
        refused = town.volvere("rebuild", "--from", "topic", "--yes", code=2)
    assert "stop all of them first" in refused.err
    assert town.generation() == 1
