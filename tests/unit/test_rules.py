"""The rules file: its defaults, its errors and its digests."""

from __future__ import annotations

import tomllib

import pytest

from schemas.times import DAY, HOUR, MINUTE, SECOND
from streams.detectors import DETECTORS
from streams.rules import RulesError, default_text, parse_rules


def test_the_defaults() -> None:
    """Without a file the rules are those of the documentation."""
    rules = parse_rules()
    assert (rules.repeat_contact.window, rules.repeat_contact.error_from) == (7 * DAY, 3)
    assert (rules.dropped_call.call_back, rules.queue_abandoned.short_abandon) == (10 * MINUTE, 5 * SECOND)
    assert (rules.agent_disconnect.short_call, rules.agent_disconnect.return_within) == (10 * SECOND, HOUR)
    assert rules.agent_disconnect.after_longer_talk.mode == "shadow"
    assert rules.long_wait.limits == {"voice": 120 * SECOND, "chat": 120 * SECOND}
    assert rules.slow_reply.limits == {"chat": 2 * MINUTE, "sms": 5 * MINUTE, "social": HOUR, "email": 4 * HOUR}
    assert (rules.time.disorder, rules.time.lateness, rules.time.inactivity_gap) == (60 * SECOND, 7 * DAY, 7 * DAY)
    weights = [rules.named[d.kind].weight for d in DETECTORS]
    assert dict(zip([d.kind for d in DETECTORS], weights, strict=True)) == {
        "repeat_contact": 3, "dropped_call": 4, "agent_disconnect": 5, "queue_abandoned": 2, "long_wait": 2,
        "slow_reply": 3,
    }  # fmt: skip
    assert all(rule.expires_after == 30 * DAY for rule in rules.named.values())


def test_the_default_text_is_a_file_to_start_from() -> None:
    """A copy of the defaults is a valid rules file that changes nothing, and it has a table for every detector."""
    assert parse_rules(default_text()) == parse_rules()
    assert set(tomllib.loads(default_text())) == {"time", *(d.kind for d in DETECTORS)}


def test_a_file_says_only_what_differs() -> None:
    """Everything else stays at its default, a limit of another channel included."""
    rules = parse_rules('[long_wait]\nmode = "shadow"\n[long_wait.limits]\nletter = "3d"\n')
    assert (rules.long_wait.mode, rules.long_wait.error_factor) == ("shadow", 5)
    assert rules.long_wait.limits == {"voice": 120 * SECOND, "chat": 120 * SECOND, "letter": 3 * DAY}
    assert rules.slow_reply == parse_rules().slow_reply


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[repeat_contact]\nwindow = \"7d\"\nwindwo = \"8d\"", ["mine.toml:3", "repeat_contact.windwo", "unknown key", "window"]),
        ("\n[repeat_contacts]\nwindow = \"7d\"", ["mine.toml:2", "repeat_contacts", "unknown key", "repeat_contact"]),
        ("[repeat_contact]\nwindow = \"7 fortnights\"", ["mine.toml:2", "repeat_contact.window", "duration", '"7d"']),
        ("[repeat_contact]\nwindow = 7", ["mine.toml:2", "repeat_contact.window", "duration", '"7d"']),
        ("[repeat_contact]\nwindow = \"0s\"", ["mine.toml:2", "repeat_contact.window", "greater than 0"]),
        ("[repeat_contact]\nerror_from = 1", ["mine.toml:2", "repeat_contact.error_from", "greater than or equal to 2"]),
        ("[repeat_contact]\nerror_from = \"three\"", ["mine.toml:2", "repeat_contact.error_from", "integer"]),
        ("[dropped_call]\n\nmode = \"loud\"", ["mine.toml:3", "dropped_call.mode", "'live', 'shadow' or 'off'"]),
        ("[dropped_call]\nweight = -1", ["mine.toml:2", "dropped_call.weight", "greater than or equal to 0"]),
        ("dropped_call.mode = 1", ["mine.toml:1", "dropped_call.mode", "'live', 'shadow' or 'off'"]),
        ("[agent_disconnect.after_longer_talk]\nmod = \"live\"",
         ["mine.toml:2", "agent_disconnect.after_longer_talk.mod", "unknown key", "mode", "return_within"]),
        ("[long_wait.limits]\nvoice = \"soon\"", ["mine.toml:2", "long_wait.limits.voice", "duration"]),
        ("[long_wait]\nlimits = { voice = \"1m\", \"Big Phone\" = \"1m\" }", ["mine.toml:2", "long_wait.limits.Big Phone"]),
        ("[time]\nlateness = \"-7d\"", ["mine.toml:2", "time.lateness", "duration"]),
        ("long_wait = 5", ["mine.toml:1", "long_wait"]),
        ("[long_wait\nmode = 1", ["mine.toml", "not TOML", "line 1"]),
    ],
)  # fmt: skip
def test_errors_say_where_and_what(text: str, words: list[str]) -> None:
    """Whoever mistypes a rule reads the file, the line, the key and what was expected, not a traceback of ours."""
    with pytest.raises(RulesError) as error:
        parse_rules(text, "mine.toml")
    message = str(error.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and "pydantic" not in message


def test_all_errors_are_told_at_once() -> None:
    """Three mistakes are three lines, so that they take one correction."""
    with pytest.raises(RulesError) as error:
        parse_rules('[long_wait]\nmode = "loud"\nwait = 1\n[dropped_call]\ncall_back = "now"\n', "mine.toml")
    lines = str(error.value).splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == ["mine.toml:2", "mine.toml:3", "mine.toml:5"]


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("[slow_reply]\nweight = 99", set()),
        ("[agent_disconnect.after_longer_talk]\nweight = 99", set()),
        ("[time]\nlateness = \"8d\"", set()),
        ("[repeat_contact]\nwindow = \"168h\"", set()),
        ("[repeat_contact]\nwindow = \"8d\"", {"repeat_contact"}),
        ("[slow_reply.limits]\nchat = \"3m\"", {"slow_reply"}),
        ("[slow_reply]\nmode = \"shadow\"", {"slow_reply"}),
        ("[dropped_call]\nexpires_after = \"31d\"", {"dropped_call"}),
        ("[agent_disconnect]\nreturn_within = \"2h\"", {"agent_disconnect"}),
    ],
)  # fmt: skip
def test_digests(text: str, changed: set[str]) -> None:
    """A digest changes with what a rule finds, and with nothing else: what it costs in points is no rewriting."""
    before, after = parse_rules().named, parse_rules(text).named
    assert {name for name in before if before[name].digest != after[name].digest} == changed
