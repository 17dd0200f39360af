"""Journeys: what joins, what parts, what is published and when."""

from __future__ import annotations

import pytest

import streams.tracker
from schemas.times import parse_time
from streams.events import friction_score
from tests.stories import Desk, offset, play


def seen(desk: Desk) -> list[str]:
    """The journeys as lines: "J 0m..7d 2" is a journey J of two touchpoints; implicit ids are left out."""
    return [
        f"{j['journey_id'] if len(j['journey_id']) < 16 else '-'} {offset(j['started_at'])}..{offset(j['ended_at'])} "
        f"{j['touchpoints']}"
        for j in desk.journeys
    ]


def _look(desk: Desk, _: int) -> None:
    desk.look(desk.facts.newest if desk.facts else None)


def _restart(desk: Desk, _: int) -> None:
    desk.look()
    desk.restart()


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ("0m page.viewed web\n7d page.viewed web", ["- 0m..7d 2"]),
        ("0m page.viewed web\n7d1us page.viewed web", ["- 0m..0m 1", "- 7d1us..7d1us 1"]),
        ("0m a.b web - journey=J\n60d a.b web - journey=J", ["J 0m..60d 2"]),
        ("0m a.b web - journey=J\n90d a.b web - journey=J", ["J 0m..90d 2"]),
        ("0m a.b web - journey=J\n1m a.b web - journey=K\n2m a.b web", ["J 0m..0m 1", "K 1m..2m 2"]),
        ("0m a.b web\n1m a.b web - journey=J\n2m a.b web", ["J 0m..2m 3"]),
        ("0m a.b web\n8d a.b web - journey=J", ["- 0m..0m 1", "J 8d..8d 1"]),
        ("0m a.b web - journey=J\n1m a.b web - journey=K\n2m a.b web - journey=J\n3m a.b web",
         ["J 0m..3m 3", "K 1m..1m 1"]),
        ("0m a.b web - journey=J\n8d a.b web\n9d a.b web - journey=J", ["J 0m..9d 2", "- 8d..8d 1"]),
        ("0m a.b web cancelled=yes\n1m a.b web", ["- 1m..1m 1"]),
        ("0m a.b web cancelled=yes", []),
    ],
)  # fmt: skip
def test_what_joins_and_what_parts(text: str, expect: list[str]) -> None:
    """A user sees runs of touchpoints, parted by silence, joined by explicit ids and by nothing else."""
    assert seen(play(text, "100d")) == expect
    assert seen(play(text, "100d", order=lambda told: told[::-1])) == expect
    assert seen(play(text, "100d", every=_restart)) == expect


def test_an_explicit_journey_begins_anew_after_ninety_days() -> None:
    """An id that comes again after more than 90 days of silence names the later journey from then on."""
    desk = play("0m a.b web - journey=J\n91d a.b web - journey=J", "92d")
    assert seen(desk) == ["J 91d..91d 1"]
    assert [s["revision"] for s in desk.snapshots] == [parse_time("2025-04-07T09:00:00Z") // 10**6]


def test_an_earlier_journey_of_an_id_does_not_come_back() -> None:
    """A car's repair is remembered for years, and the journey that it is in; the later one of the same id stands all the same."""
    text = (
        "0m repair.opened voice - asset_id=car\n1m page.viewed web - journey=J\n"
        "400d page.viewed chat - journey=J\n500d page.viewed web\n600d page.viewed web"
    )
    desk = play(text, "600d", every=_restart)
    assert "J 400d..400d 1" in seen(desk)


def test_a_late_touchpoint_joins_two_journeys() -> None:
    """What was two is one: the absorbed one says into which, and is gone for analysts."""
    desk = play("0m page.viewed web\n8d page.viewed web", "8d")
    first, second = (j["journey_id"] for j in desk.journeys)
    desk.tell("4d page.viewed web - id=late")
    desk.look("9d", settle=True)
    assert seen(desk) == ["- 0m..8d 3"] and desk.journeys[0]["journey_id"] == first
    gone = desk.snapshots[-1]
    assert (gone["journey_id"], gone["state"], gone["merged_into"]) == (second, "merged", first)
    assert gone["touchpoints"] == 0


def test_an_explicit_id_that_comes_late_renames() -> None:
    """The journey goes on under the id that it was given; the one we made up points to it."""
    desk = play("0m page.viewed web\n1m page.viewed web", "2m")
    desk.tell("30s page.viewed web - journey=J id=late")
    desk.look("3m", settle=True)
    assert seen(desk) == ["J 0m..1m 3"]
    assert desk.snapshots[-1]["merged_into"] == "J"


def test_a_journey_whose_touchpoints_are_withdrawn_is_gone() -> None:
    """Nothing is left standing, and nothing is named that it would have gone into."""
    desk = play("0m page.viewed web", "1m")
    desk.tell("0m page.viewed web - id=e1 version=1 cancelled=yes")
    desk.look("2m")
    assert seen(desk) == []
    assert (desk.snapshots[-1]["state"], desk.snapshots[-1]["merged_into"]) == ("merged", None)


def test_published_at_most_every_few_seconds() -> None:
    """A busy customer costs one snapshot in five seconds; the timer brings the last one."""
    desk = Desk()
    for second in range(10):
        desk.tell(f"{second}s page.viewed web - id=p{second}")
        desk.look(f"{second}s")
    assert [s["touchpoints"] for s in desk.snapshots] == [1, 6]
    assert desk.last is not None and offset(desk.last.due) == "10s"
    desk.look("10s")
    assert seen(desk) == ["- 0m..9s 10"]


def test_counts_survive_forgetting() -> None:
    """A journey of a year, one touchpoint every five days, still knows when it began and how much there was."""
    desk = Desk()
    for day in range(0, 366, 5):
        desk.tell(f"{day}d contact.started voice topic{day} contact=c{day}")
        desk.look(f"{day}d")
        desk.restart()
    (journey,) = desk.journeys
    assert seen(desk) == ["- 0m..365d 74"]
    assert (journey["contacts"], journey["first_channel"], journey["last_channel"]) == (74, "voice", "voice")
    assert desk.facts is not None and len(list(desk.facts.ordered())) < 45


def test_when_it_is_sealed_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Customers hear the same whether what is final is sealed at once, now and then, or only before it is forgotten."""
    heard = []
    for number in (1, streams.tracker.SEAL_AT, 10**6):
        monkeypatch.setattr(streams.tracker, "SEAL_AT", number)
        desk, sealed = Desk(), 0
        for n in range(90):
            day, voice = 3 * n + 6 * (n // 10), "voice" if n % 3 else "chat"
            journey = f" journey=J{n // 25}" if n % 7 == 5 else ""
            desk.tell(
                f"{day}d contact.started {voice} t{n % 2} contact=c{n}{journey}\n{day}d5m page.viewed web - id=p{n}"
            )
            desk.tell(
                f"{day}d1m contact.answered {voice} - contact=c{n}\n{day}d9m contact.ended {voice} - contact=c{n} by=network"
            )
            desk.look(f"{day}d10m")
            assert desk.facts is not None
            sealed += desk.facts.sealed_to > 0
            if n % 4 == 0:
                desk.restart()
        heard.append((desk.events, desk.snapshots, sealed))
    assert len({sealed for *_, sealed in heard}) == 3, "they were sealed at other times"
    (first, *others) = [said[:2] for said in heard]
    assert first[0] and len(first[1]) >= 90 and all(other == first for other in others)


def test_frictions_make_the_score() -> None:
    """Live frictions count by their weights, those in shadow do not, and a score survives what was forgotten."""
    text = """
        0m message.received chat billing contact=c1
        3m message.sent     chat billing contact=c1
        1d contact.started  voice billing contact=c2
    """
    (journey,) = play(text, "2d").journeys
    assert (journey["frictions"], journey["score"]) == (2, friction_score(3 + 3))
    (journey,) = play(text, "2d", 'slow_reply.mode = "shadow"\nrepeat_contact.weight = 8').journeys
    assert (journey["frictions"], journey["score"]) == (1, friction_score(8))
    pages = "".join(f"{day}d page.viewed web\n" for day in range(6, 366, 6))
    (journey,) = play(text + pages, "366d", every=_look).journeys
    assert (journey["frictions"], journey["score"]) == (2, friction_score(3 + 3))


def test_what_a_journey_amounts_to() -> None:
    """An analyst reads the way through the channels, how it ended, and the money less what was paid back."""
    text = """
        0m  contact.started  voice billing  contact=c1
        5m  contact.ended    voice -        contact=c1 outcome=unresolved
        1h  message.received email billing  contact=c2
        2h  message.sent     email -        contact=c2
        1d  order.placed     web   -        amount=49.90 currency=EUR
        2d  purchase.made    store -        amount=10.10 currency=EUR
        3d  purchase.made    store -        amount=5
        3d  subscription.renewed web -      amount=1.50 currency=EUR
        4d  order.refunded   web   -        amount=9.90  currency=EUR
        5d  contact.resolved email -        contact=c2
    """
    for told in (play(text, "6d"), play(text, "6d", every=_restart), play(text, "6d", order=lambda t: t[::-1])):
        (journey,) = told.journeys
        assert (journey["path"], journey["outcome"]) == (["voice", "email", "web", "store", "web", "email"], "resolved")
        assert journey["amounts"] == {"EUR": "51.60", "XXX": "5"}


def test_a_path_is_bounded() -> None:
    """A customer who goes to and fro for ever costs twenty words."""
    text = "\n".join(f"{n}m page.viewed {('web', 'app')[n % 2]}" for n in range(50))
    (journey,) = play(text, "1h").journeys
    assert journey["path"] == ["web", "app"] * 10 and journey["last_channel"] == "app"


TROUBLE = "0m contact.queued voice billing contact=c1\n3m contact.answered voice billing contact=c1\n"


@pytest.mark.parametrize(
    ("back", "came_back"),
    [
        ("8d contact.started voice delivery", True),
        ("8d contact.started voice billing", False),  # about the same: not of their own will
        ("8d page.viewed web", True),
        ("8d message.sent email", False),
        ("8d contact.started voice delivery direction=outbound", False),
        ("8d message.sent email\n9d purchase.made store", True),
        ("90d2m page.viewed web", True),
        ("90d2m1us page.viewed web", False),
        ("6d page.viewed web", False),  # still the same journey
    ],
)
def test_who_came_back(back: str, came_back: bool) -> None:
    """A journey of one's own will, a day to 90 days after trouble in an earlier one; and it stays so when that is forgotten."""
    assert [j["came_back"] for j in play(TROUBLE + back, "91d").journeys][-1] is came_back
    late = "\n".join(f"{day}d message.sent email" for day in range(92, 400, 6))
    desk = play(f"{TROUBLE}{back}\n{late}", "400d", every=_look)
    start = back.split(maxsplit=1)[0]
    assert [j["came_back"] for j in desk.journeys if offset(j["started_at"]) == start] in ([came_back], [])


@pytest.mark.parametrize(("weight", "score"), [(0, 0), (1, 9.52), (10, 63.21), (1000, 100)])
def test_friction_score(weight: float, score: float) -> None:
    """100 x (1 - exp(-weight / 10)), as the column's comment says."""
    assert friction_score(weight) == score
