"""What `volvere rules` says of a rules file, and what a trial of other rules finds, without any process."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from schemas.times import DAY, MINUTE, SECOND, format_time, parse_time
from streams.detectors import DETECTORS
from streams.facts import MAX_ENTRIES
from streams.rules import Rule, Rules, default_text, parse_rules
from tests.stories import MONDAY, at, play
from volvere import files, rules
from volvere.rules_texts import COMMON, MEANINGS, TIME
from volvere.trial import Trial, attempt

NOW = parse_time("2026-06-01T00:00:00Z")
MINE = """
[time]
lateness = "14d"
[long_wait]
limits = { voice = "60s" }
cool_down = "1h"
[repeat_contact]
window = "168h"
effective_from = 2026-03-01T09:30:00+01:00
[[long_wait.override]]
queue = "vip \\" é"
limits.voice = "30s"
[[agent_disconnect.override]]
topic = "loans"
channel = "voice"
after_longer_talk.mode = "live"
[calendars.support]
zone = "Europe/Madrid"
hours = { mon-fri = "09:00-18:00", sat = ["10:00-13:00", "16:00-19:00"] }
closed = [2025-12-24]
[calendars."a.b"]
zone = "UTC"
hours = { mon = "09:00-18:00" }
[slow_reply]
calendar = "support"
"""


def sheet(text: str, folder: Path) -> rules.Sheet:
    """The sheet of a file with this text."""
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return rules.read(file)


def printed(what: Any) -> str:
    """What a person sees of it."""
    console = Console(width=200, record=True, file=Path("/dev/null").open("w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        console.print(what)
    return console.export_text()


# -- texts


def test_every_kind_and_every_value_is_told() -> None:
    """Nothing can be set in a rules file that `explain` does not explain, and nothing is explained that is not there."""
    in_force = parse_rules()
    assert list(MEANINGS) == rules.kinds(in_force)
    assert {d.kind for d in DETECTORS} <= set(MEANINGS)
    assert set(TIME) == set(type(in_force.time).model_fields)
    for kind, meaning in MEANINGS.items():
        rule = getattr(in_force, kind)
        fields = {name for name in type(rule).model_fields if not isinstance(getattr(rule, name), Rule)}
        for name, inner in rule:
            if isinstance(inner, Rule):
                fields |= {f"{name}.{value}" for value in type(inner).model_fields}
        assert set(meaning.values) == fields - set(COMMON), kind


@pytest.mark.parametrize("kind", [d.kind for d in DETECTORS])
def test_every_example_comes_out_as_it_is_told(kind: str) -> None:
    """The story under `explain` is found by default, then and so severe, and is one friction of its kind."""
    told = MEANINGS[kind]
    desk = play("\n".join(f"{when} {touchpoint}" for when, touchpoint, _ in told.example), told.until)
    found = [(d["opened_at"], d["severity"]) for d in desk.standing if d["kind"] == kind]
    assert found == [(format_time(at(told.found[0])), told.found[1])]


@pytest.mark.parametrize("kind", sorted(MEANINGS))
def test_explain_tells_the_values_in_force(kind: str, tmp_path: Path) -> None:
    """What the rule finds, every value with its meaning, and the example."""
    text = printed(rules.explained(sheet(MINE, tmp_path), kind))
    assert MEANINGS[kind].finds in text
    assert text.count("cool_down") >= 1
    for value in rules.values(rules.DEFAULTS, kind):
        assert value.name in text
        assert value.meaning, value.name
    assert all(touchpoint in text for _, touchpoint, _ in MEANINGS[kind].example)


def test_explain_marks_what_differs(tmp_path: Path) -> None:
    """Beside a value that was changed stands what it is by default; overrides are there, too."""
    text = printed(rules.explained(sheet(MINE, tmp_path), "long_wait"))
    assert "*60s [120s]" in text
    assert 'queue vip " é' in text
    assert "*limits.voice 30s [60s]" in text
    assert "[120s]" not in printed(rules.explained(rules.DEFAULTS, "long_wait"))


# -- show and check


def test_show_marks_what_differs_and_nothing_else(tmp_path: Path) -> None:
    """Another spelling of the same length is no difference."""
    text = printed(rules.shown(sheet(MINE, tmp_path)))
    for marked in ("*limits.voice 60s [120s]", "*cool_down 1h [0s]", "*lateness 14d [7d]", "*calendar support [none]"):
        assert marked in text
    assert "window 168h" in text and "*window" not in text
    assert "topic loans, channel voice" in text
    assert "*" not in printed(rules.shown(rules.DEFAULTS))
    assert rules.differences(sheet('[repeat_contact]\nwindow = "168h"', tmp_path)) == []


def test_show_as_json_holds_the_rules(tmp_path: Path) -> None:
    """A program finds every kind, the values as they are written, the digests, and what differs."""
    mine = sheet(MINE, tmp_path)
    told = json.loads(json.dumps(rules.as_json(mine)))
    assert set(told["rules"]) == set(MEANINGS)
    wait = told["rules"]["long_wait"]
    assert (wait["limits"]["voice"], wait["cool_down"], wait["digest"]) == ("60s", "1h", mine.rules.long_wait.digest)
    assert wait["differs"] == ["cool_down", "limits.voice"]
    (override,) = wait["overrides"]
    assert (override["where"], override["values"]) == ({"queue": 'vip " é'}, {"limits.voice": "30s"})
    assert told["rules"]["repeat_contact"]["effective_from"] == "2026-03-01T08:30:00.000000Z"
    assert told["differences"] == rules.differences(mine)


@pytest.mark.parametrize(
    "text",
    ["", MINE, default_text(), '[lemon]\nearly = "1d"  # sooner\n', "[low_score]\nlimits.stars = 2.5\nweight = 1e2\n"],
)
def test_the_written_file_parses_to_the_same_rules(text: str, tmp_path: Path) -> None:
    """`show --toml` is complete, and reading it changes nothing: no value, override, calendar or digest."""
    mine = sheet(text, tmp_path)
    written = rules.toml(mine)
    again = parse_rules(written)
    assert again == mine.rules
    assert again.table_digests == mine.rules.table_digests
    assert [(k, r.overrides) for k, r in again.named.items()] == [(k, r.overrides) for k, r in mine.rules.named.items()]
    assert {*tomllib.loads(default_text())} <= {*tomllib.loads(written)}
    assert "# FCR windows in use" in written
    if text in ("", default_text()):
        assert written == default_text()


def test_differences_are_sentences(tmp_path: Path) -> None:
    """Whoever checks a file reads what it changes, from what, and what that means."""
    said = rules.differences(sheet(MINE, tmp_path))
    assert any(line.startswith("time: lateness is 14d instead of 7d (how late") for line in said)
    assert any(line.startswith('long_wait, queue vip " é: limits.voice is 30s instead of 60s (') for line in said)
    assert (
        "agent_disconnect, topic loans, channel voice: after_longer_talk.mode is live instead of shadow (recorded and notified)"
        in said
    )
    assert any(
        line.startswith("calendar support: mon-fri 09:00-18:00, sat 10:00-13:00 and 16:00-19:00 in Europe/Madrid")
        for line in said
    )
    assert len(said) == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[rage_click]\nmode = "off"', ["rage_click.mode", "shadow"]),
        ('[rage_click]\neffective_from = "2026-06-01T00:00:01Z"', ["rage_click.effective_from", "2026-06-01 00:00", "pages nobody"]),
        ('[long_wait.limits]\nvoise = "60s"', ["long_wait.limits.voise", "no usual channel"]),
        ('[[long_wait.override]]\nchannel = "voise"\nweight = 3', ["long_wait.override.1.channel", "voise"]),
        ('[[long_wait.override]]\nqueue = "a"\nlimits.voice = "2m"', ["long_wait.override.1 (queue a)", "changes nothing"]),
        ('[[low_score.override]]\nqueue = "a"\nlimits.nps = 10', ["low_score.override.1.limits.nps", "every score"]),
        ("[low_score.limits]\ncsat5 = 0", ["low_score.limits.csat5", "from 1 to 5", "no score"]),
        ("[unrecovered.limits]\nstars = 2", ["unrecovered.limits.stars", "nps, csat5, ces7"]),
        ("[low_score.error]\nnps = 6", ["low_score.error.nps", "every low score is an error"]),
        ("[lemon]\nsame_fault = 6", ["lemon.same_fault", "any_fault (5)"]),
        ('[calendars.support]\nzone = "UTC"\nhours.mon = "09:00-10:00"', ["calendars.support", "no rule names it"]),
    ],
)  # fmt: skip
def test_doubts(text: str, words: list[str], tmp_path: Path) -> None:
    """What is legal and hardly meant is asked about, once."""
    (doubt,) = rules.doubts(sheet(text, tmp_path), NOW)
    assert all(word in doubt for word in words), doubt


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[rage_click]\nmode = "shadow"\neffective_from = "2026-06-01T00:00:00Z"',
        '[[rage_click.override]]\ntopic = "game"\nmode = "off"',
        '[long_wait.limits]\nemail = "1d"',
        '[calendars.support]\nzone = "UTC"\nhours.mon = "09:00-10:00"\n[[slow_reply.override]]\nqueue = "a"\ncalendar = "support"',
    ],
)
def test_no_doubts(text: str, tmp_path: Path) -> None:
    """What is plainly meant is not asked about."""
    assert rules.doubts(sheet(text, tmp_path), NOW) == []


# -- try


def call(n: int, start: int, wait: int = 10 * SECOND, customer: str = "maria") -> list[dict[str, Any]]:
    """A call that waits so long, is answered and ends."""
    steps = {"contact.queued": 0, "contact.answered": wait, "contact.ended": wait + 2 * MINUTE}
    told = {
        "source": "pbx",
        "customer_id": customer,
        "channel": "voice",
        "topic": "billing",
        "contact_id": f"{customer}-{n}",
    }
    return [
        told | {"event_id": f"{customer}-{n}-{kind}", "kind": kind, "occurred_at": format_time(MONDAY + start + after)}
        for kind, after in steps.items()
    ]


def items(touchpoints: Iterable[dict[str, Any]]) -> list[files.Item]:
    """Touchpoints as the lines of a file."""
    return [files.Record(n, json.dumps(t).encode(), t["customer_id"]) for n, t in enumerate(touchpoints, 1)]


def trial(lines: Iterable[files.Item], new: str, present: str = "", partitions: int = 4, flush: int = 20_000) -> Trial:
    """Rules tried on lines."""
    return attempt(lines, parse_rules(present), parse_rules(new), partitions, flush, lambda: NOW)


def counts(done: Trial) -> dict[str, tuple[int, int, int, int, int]]:
    """Now, then, new, gone, changed, by kind."""
    return {k: (c.now, c.then, c.new_count, c.gone_count, c.changed_count) for k, c in done.kinds.items()}


def test_a_trial_says_what_is_new_gone_and_changed() -> None:
    """Stricter limits find more and worse, a shorter window fewer; examples say to whom, when and what."""
    lines = items([*call(1, 0, 90 * SECOND), *call(2, 2 * DAY, 400 * SECOND), *call(3, 3 * DAY, 10 * SECOND, "juan")])
    done = trial(lines, '[long_wait.limits]\nvoice = "60s"\n[repeat_contact]\nwindow = "1d"\n')
    assert counts(done) == {"long_wait": (1, 2, 1, 0, 1), "repeat_contact": (1, 0, 0, 1, 0)}
    wait = done.kinds["long_wait"]
    (new,) = wait.new
    assert (new.customer, new.opened_at, new.severity) == ("maria", MONDAY + 60 * SECOND, "warning")
    assert wait.changes == {"warning → error": 1}
    assert [how for how, _ in wait.changed] == ["warning → error"]
    text = printed(rules.tried(done))
    assert "new    2025-01-06 09:01  maria  warning  Waited 90 s on voice" in text
    assert "repeat_contact: 0 new, 1 gone" in text
    assert rules.tried_json(done)["frictions"]["long_wait"]["examples"]["new"][0]["customer_id"] == "maria"


def test_a_trial_of_the_same_rules_finds_no_difference() -> None:
    """And says so."""
    done = trial(items(call(1, 0, 300 * SECOND)), "[long_wait]\nweight = 9\n")
    assert counts(done) == {"long_wait": (1, 1, 0, 0, 0)}
    assert "Both find the same." in printed(rules.tried(done))
    assert "No friction is found" in printed(rules.tried(trial(items(call(1, 0)), "")))


def test_shadow_and_off() -> None:
    """In shadow all are still found, and none notifies; off, all are gone."""
    lines = items(call(1, 0, 300 * SECOND))
    shadow = trial(lines, '[long_wait]\nmode = "shadow"\n').kinds["long_wait"]
    assert (shadow.then, shadow.now_live, shadow.then_live, shadow.changes) == (1, 1, 0, {"live → shadow": 1})
    assert counts(trial(lines, '[long_wait]\nmode = "off"\n')) == {"long_wait": (1, 0, 0, 1, 0)}
    assert counts(trial(lines, "", '[long_wait]\nmode = "off"\n')) == {"long_wait": (0, 1, 1, 0, 0)}


def test_time_passes_up_to_the_newest_touchpoint_and_no_further() -> None:
    """What did not happen counts when the file's last touchpoint, of whomever, shows that its time is over."""
    waiting = call(1, 0)[:1]
    assert counts(trial(items(waiting), "")) == {}
    just = items([*waiting, *call(2, 120 * SECOND, customer="juan")[:1]])
    assert counts(trial(just, "")) == {"long_wait": (1, 1, 0, 0, 0)}
    before = items([*waiting, *call(2, 120 * SECOND - 1, customer="juan")[:1]])
    assert counts(trial(before, "")) == {}


def test_what_is_too_late_is_told_for_both_rules() -> None:
    """A file in which an old touchpoint stands after newer ones: with more lateness it is tracked, in its own partition."""
    lines = items([*call(1, 10 * DAY), *call(2, 0, 300 * SECOND)])
    done = trial(lines, '[time]\nlateness = "30d"\n', partitions=1)
    assert done.too_late == (3, 0)
    assert counts(done) == {"long_wait": (0, 1, 1, 0, 0)}
    assert "too late for the present rules" in printed(rules.tried(done))


def test_refused_and_left_out_lines_are_counted() -> None:
    """A wrong line costs itself only; the first are shown with their numbers."""
    lines: list[files.Item] = [
        files.LeftOut(1, "a call of the system"),
        files.Refused(2, "date", "expected a date", "invalid_field"),
        files.Record(3, b"{", None),
        *[files.Record(i, json.dumps(t).encode(), "maria") for i, t in enumerate(call(1, 0, 300 * SECOND), 4)],
        *[files.Record(n, b"[]", None) for n in range(7, 17)],
    ]
    done = trial(lines, "")
    assert (done.read, done.left_out, done.refused.total()) == (14, {"a call of the system": 1}, 12)
    assert [line.split(":")[0] for line in done.problems] == ["line 2", "line 3", "line 7", "line 8", "line 9"]
    assert counts(done) == {"long_wait": (1, 1, 0, 0, 0)}


def test_a_touchpoint_twice_and_a_newer_version() -> None:
    """Repeated lines add nothing, and a correction replaces, wherever it stands."""
    once = call(1, 0, 300 * SECOND)
    assert counts(trial(items([*once, *once]), "")) == {"long_wait": (1, 1, 0, 0, 0)}
    gone = [t | {"version": 1, "cancelled": True} for t in once]
    assert counts(trial(items([*gone, *once]), "")) == {}


def test_a_customer_with_thousands_of_touchpoints() -> None:
    """What was found on the way stays found, although the kernel forgets the oldest of so many; as it does in a worker."""
    n = MAX_ENTRIES
    lines = items(t for i in range(n) for t in call(i, i * 10 * MINUTE, 300 * SECOND))
    whole = counts(trial(lines, '[long_wait.limits]\nvoice = "10m"\n'))
    assert (whole["long_wait"], whole["repeat_contact"]) == ((n, 0, 0, n, 0), (n - 1, n - 1, 0, 0, 0))
    parts = counts(trial(lines, '[long_wait.limits]\nvoice = "10m"\n', flush=300))
    assert parts["long_wait"] == (n, 0, 0, n, 0)
    assert 0 < parts["repeat_contact"][0] < n - 1  # what reaches far back is not found behind what is forgotten


def _all_off() -> Rules:
    return parse_rules("".join(f'[{kind}]\nmode = "off"\n' for kind in MEANINGS))


def test_progress_is_told() -> None:
    """Whoever waits sees reading, then looking, up to all of the subjects."""
    seen: list[tuple[int, int, int]] = []
    lines = items(t for i in range(400) for t in call(1, i * MINUTE, customer=f"c{i}"))
    attempt(lines, _all_off(), _all_off(), 4, 20_000, lambda: NOW, lambda *told: seen.append(told))
    assert seen == [(1000, 0, 0), (1200, 200, 400), (1200, 400, 400)]
