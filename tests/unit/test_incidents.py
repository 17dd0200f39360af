"""From friction events to what a receiver is told: tables of stories."""

from __future__ import annotations

import msgspec
import pytest

from schemas.errors import Unacceptable
from schemas.times import MINUTE, SECOND
from sinks.alerts.incidents import MOST_FRICTIONS, Incident, Incidents, Step, StormRule, read
from tests.frictions import START, friction

RULE = StormRule(more_than=3, within=5 * MINUTE)


class Listener:
    """A receiver that reads one partition; told: what it was told, in words."""

    def __init__(self, storms: StormRule | None = None, wanted: str = "") -> None:
        self.incidents = Incidents(lambda f: wanted in f.data.severity, storms)
        self.told: list[str] = []
        self.remembered: dict[str, Incident] = {}
        self.offset = -1

    def hear(self, value: bytes, partition: int = 0, offset: int | None = None) -> list[Step]:
        """Hear an event, at the next offset."""
        self.offset = self.offset + 1 if offset is None else offset
        steps = self.incidents.hear(*read(value), partition, self.offset)
        self.do(steps)
        return steps

    def do(self, steps: list[Step]) -> None:
        """Do what follows."""
        for step in steps:
            self.remembered.update((i.key, i) for i in step.ahead)
            for change in step.tell:
                key = change.incident.key.removeprefix("dropped_call:")
                self.told.append(f"{change.what} {key}")
            for i in step.remember:
                self.remembered[i.key] = i

    def restarted(self, storms: StormRule | None = None) -> Listener:
        """Another, that knows what this one remembered."""
        again = Listener(storms)
        again.incidents.restore(self.remembered.values())
        again.remembered = dict(self.remembered)
        return again


STORIES = {
    "one friction": ([friction(), friction(state="resolved", group=0)], ["opened k1", "resolved k1"]),
    "two frictions under one key: opened once, over when both are over": (
        [
            friction("f1", group=1),
            friction("f2", group=2),
            friction("f1", "resolved", group=1),
            friction("f2", "resolved", group=0),
        ],
        ["opened k1", "resolved k1"],
    ),
    "the same said twice": ([friction(), friction()], ["opened k1"]),
    "it comes again after it was over": (
        [friction(), friction(state="resolved", group=0), friction("f2")],
        ["opened k1", "resolved k1", "opened k1"],
    ),
    "retracted": ([friction(), friction(state="retracted", group=0)], ["opened k1", "resolved k1"]),
    "what is replayed pages nobody": ([friction(replay=True), friction(state="resolved", group=0, replay=True)], []),
    "what is suppressed pages nobody": ([friction(suppressed=True)], []),
    "until the cool-down is over": (
        [friction(suppressed=True), friction(what="updated", suppressed=False)],
        ["opened k1"],
    ),
    "shadow pages nobody": ([friction(mode="shadow", group=0)], []),
    "shadow beside what is live": ([friction("f2", mode="shadow", group=1)], []),
    "what was over when it was told pages nobody": ([friction(state="resolved", group=0)], []),
    "the end of another, while one is suppressed": (
        [friction("f2", suppressed=True), friction("f1", "resolved", group=1)],
        [],
    ),
    "what is suppressed ends what was opened": (
        [friction(), friction(state="resolved", group=0, suppressed=True)],
        ["opened k1", "resolved k1"],
    ),
    "and so does what is replayed": (
        [friction(), friction(state="resolved", group=0, replay=True)],
        ["opened k1", "resolved k1"],
    ),
    "and what is in shadow now": ([friction(), friction(group=0, mode="shadow")], ["opened k1", "resolved k1"]),
    "a rebuild tells the past again, while one is open": (
        [
            friction("f9"),
            friction("f1", group=1, replay=True),
            friction("f1", "resolved", group=0, replay=True),
            friction("f9", group=1, replay=True),
            friction("f9", "resolved", group=0, replay=True),
        ],
        ["opened k1", "resolved k1"],
    ),
    "it gets worse, and better, which is not told": (
        [friction(), friction(severity="error", what="updated"), friction(severity="warning", what="updated")],
        ["opened k1", "updated k1"],
    ),
    "another friction under the key is worse": (
        [friction(), friction("f2", group=2, severity="critical")],
        ["opened k1", "updated k1"],
    ),
    "customers do not meet": (
        [friction(), friction("f2", key="k2"), friction(state="resolved", group=0)],
        ["opened k1", "opened k2", "resolved k1"],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_what_is_told(story: str) -> None:
    """An alerting system gets each trouble once, and hears when it is over."""
    events, expected = STORIES[story]
    listener = Listener()
    for event in events:
        listener.hear(event)
    assert listener.told == expected


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("cut", range(6))
def test_a_restart_at_any_event_and_from_any_offset(story: str, cut: int) -> None:
    """Whatever had been remembered when it ended is not told again, though everything is heard again."""
    events, expected = STORIES[story]
    listener = Listener()
    for event in events[:cut]:
        listener.hear(event)
    again = listener.restarted()
    for offset, event in enumerate(events):
        again.hear(event, offset=offset)
    assert listener.told + again.told == expected


def test_routes_hold_back_openings_only() -> None:
    """What a receiver was told of it hears the end of, though the route would not let it through any more."""
    listener = Listener(wanted="error")
    listener.hear(friction())
    assert listener.told == []
    listener.hear(friction(severity="error", what="updated"))
    listener.hear(friction(severity="warning", what="updated"))
    listener.hear(friction(severity="warning", state="resolved", group=0))
    assert listener.told == ["opened k1", "resolved k1"]


def test_a_customer_who_moved_to_another_partition() -> None:
    """With a new generation of more partitions an offset may be smaller than the last one, and is still new."""
    listener = Listener()
    listener.hear(friction(), partition=3, offset=1000)
    listener.hear(friction(state="resolved", group=0), partition=7, offset=2)
    assert listener.told == ["opened k1", "resolved k1"]


def test_what_is_over_is_forgotten_when_it_is_acknowledged() -> None:
    """The memory is bounded by what is open, and nothing is forgotten that may be heard again."""
    listener = Listener()
    listener.hear(friction())
    listener.hear(friction("f2", key="k2"))
    listener.hear(friction(state="resolved", group=0))
    assert listener.incidents.settled({0: 2}) == []
    assert listener.incidents.settled({1: 99}) == []
    (gone,) = listener.incidents.settled({0: 3})
    assert gone.key == "dropped_call:k1"
    assert list(listener.incidents.known) == ["dropped_call:k2"]
    assert listener.incidents.settled({0: 99}) == []


def test_the_frictions_of_one_incident_are_bounded() -> None:
    """A switchboard's number cannot make a record that no message holds."""
    listener = Listener()
    for n in range(3 * MOST_FRICTIONS):
        listener.hear(friction(f"f{n}", group=n + 1))
    assert len(listener.incidents.known["dropped_call:k1"].frictions) == MOST_FRICTIONS
    assert len(msgspec.json.encode(listener.incidents.known["dropped_call:k1"])) < 8192


def crowd(listener: Listener, count: int, begin: int = 0, every: int = SECOND, at: int = START) -> None:
    """So many customers, one after another, on one queue."""
    for n in range(count):
        listener.hear(friction(f"f{begin + n}", key=f"k{begin + n}", at=at + n * every))


STORM = "storm:dropped_call:billing-2"


def test_a_storm_is_told_once() -> None:
    """A fallen line pages for the first customers and for the storm, not for each of a hundred customers; then that it is over."""
    listener = Listener(RULE)
    crowd(listener, 100)
    assert listener.told == ["opened k0", "opened k1", "opened k2", f"opened {STORM}"]
    assert listener.remembered[STORM].took == 97
    listener.do(listener.incidents.tick(START + 96 * SECOND + 5 * MINUTE - 1))
    assert len(listener.told) == 4
    listener.do(listener.incidents.tick(START + 96 * SECOND + 5 * MINUTE))
    assert listener.told[4:] == [f"resolved {STORM}"]
    assert STORM not in listener.incidents.known


def test_who_went_into_a_storm_is_not_told_to_be_well() -> None:
    """Nobody hears the end of what they were never told; those who were told do."""
    listener = Listener(RULE)
    crowd(listener, 10)
    for n in range(10):
        listener.hear(friction(f"f{n}", "resolved", group=0, key=f"k{n}", at=START + MINUTE))
    assert listener.told[4:] == ["resolved k0", "resolved k1", "resolved k2"]


def test_few_at_a_time_are_no_storm() -> None:
    """A day's ordinary troubles are told one by one, however many they are; so are those of other queues."""
    listener = Listener(RULE)
    crowd(listener, 30, every=2 * MINUTE)
    assert listener.told == [f"opened k{n}" for n in range(30)]
    listener = Listener(RULE)
    for n in range(30):
        listener.hear(friction(f"f{n}", key=f"k{n}", at=START + n, queue=f"q-{n}"))
    assert len(listener.told) == 30


def test_the_next_storm_is_another() -> None:
    """What comes when the storm is over is told by itself again, also when no silence was noticed between."""
    listener = Listener(RULE)
    crowd(listener, 10)
    crowd(listener, 5, begin=100, at=START + 60 * MINUTE)
    assert listener.told[4:] == [f"resolved {STORM}", "opened k100", "opened k101", "opened k102", f"opened {STORM}"]


def test_a_storm_gets_worse() -> None:
    """One critical incident in a storm of warnings is heard; after the storm it is told by itself."""
    listener = Listener(RULE)
    crowd(listener, 10)
    listener.hear(friction("f50", key="k50", at=START + 20 * SECOND, severity="critical"))
    assert listener.told[4:] == [f"updated {STORM}"]
    listener.do(listener.incidents.tick(START + 60 * MINUTE))
    listener.hear(friction("f9", key="k9", at=START + 61 * MINUTE, severity="error", what="updated"))
    assert listener.told[5:] == [f"resolved {STORM}", "opened k9"]


def test_a_storm_survives_a_restart() -> None:
    """A bridge that starts again in a storm tells nobody one by one, and the end."""
    listener = Listener(RULE)
    crowd(listener, 10)
    again = listener.restarted(RULE)
    again.offset = listener.offset
    crowd(again, 10, begin=10, at=START + 10 * SECOND)
    assert again.told == []
    again.do(again.incidents.tick(START + 60 * MINUTE))
    assert again.told == [f"resolved {STORM}"]


def test_a_storm_that_was_not_told_before_the_end_is_told_after_it() -> None:
    """Ended between deciding for a storm and telling it: those who go into it are not lost."""
    listener = Listener(RULE)
    crowd(listener, 3)
    (step,) = listener.incidents.hear(*read(friction("f3", key="k3", at=START + 3 * SECOND)), 0, 3)
    (ahead,) = step.ahead
    assert not ahead.told
    again = Listener(RULE)
    again.do(again.incidents.restore([*listener.remembered.values(), ahead]))
    assert again.told == [f"opened {STORM}"]
    assert again.remembered[STORM].told
    again.hear(friction("f3", key="k3", at=START + 3 * SECOND), offset=3)
    assert again.told == [f"opened {STORM}"]


def test_what_was_decided_stays_decided() -> None:
    """Ended between deciding to tell one by itself and noting that it was told: it is told again, and its end, storm or not."""
    listener = Listener(RULE)
    (step,) = listener.incidents.hear(*read(friction("f0", key="k0")), 1, 0)
    again = Listener(RULE)
    untold = again.incidents.restore(step.ahead)
    crowd(again, 10, begin=50)
    assert f"opened {STORM}" in again.told
    again.do(untold)
    assert again.told[-1] == "opened k0"
    assert again.incidents.hear(*read(friction("f0", key="k0")), 1, 0) == []
    again.hear(friction("f0", "resolved", group=0, key="k0", at=START + MINUTE), partition=1, offset=1)
    assert again.told[-1] == "resolved k0"


def test_the_end_of_a_storm_stays_decided() -> None:
    """Ended between deciding that a storm is over and telling it: that is told, and what comes then is no part of it."""
    listener = Listener(RULE)
    crowd(listener, 10)
    (step,) = listener.incidents.tick(START + 60 * MINUTE)
    again = Listener(RULE)
    again.do(again.incidents.restore([*listener.remembered.values(), *step.ahead][-1:]))
    assert again.told == [f"resolved {STORM}"]
    assert again.incidents.known == {}


def test_groups_are_forgotten_in_silence() -> None:
    """Queues that come and go do not pile up."""
    listener = Listener(RULE)
    for n in range(100):
        listener.hear(friction(f"f{n}", key=f"k{n}", at=START, queue=f"q-{n}"))
    listener.incidents.tick(START + 5 * MINUTE)
    assert listener.incidents._recent == {}


@pytest.mark.parametrize(
    "value", [None, b"", b"no", b"[]", b"{}", friction().replace(b'"warning"', b'"grave"'), friction()[:-40], b"\xff"]
)
def test_what_is_no_friction_event(value: bytes | None) -> None:
    """It goes to the dead letters, and the rest goes on."""
    with pytest.raises(Unacceptable, match="no friction event"):
        read(value)
