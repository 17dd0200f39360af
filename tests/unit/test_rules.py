"""The rules file: its defaults, its errors and its digests."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

import pytest

from schemas.times import DAY, HOUR, MINUTE, SECOND, parse_time
from streams.detectors import DETECTORS
from streams.facts import MAX_ENTRIES
from streams.rules import MOST, Rules, RulesError, default_text, parse_rules

WEIGHTS = {
    "repeat_contact": 3, "dropped_call": 4, "agent_disconnect": 5, "queue_abandoned": 2, "long_wait": 2, "transfer_loop": 3,
    "channel_hop": 2, "slow_reply": 3, "broken_promise": 5, "reopened_case": 4, "closed_door": 4, "rigid_process": 3,
    "rage_click": 1, "form_struggle": 2, "checkout_abandoned": 1, "lemon": 8, "low_score": 2, "unrecovered": 5, "at_risk": 0,
}  # fmt: skip
"""Points of friction score by kind, as the documentation has them."""
SUPPORT = """
[calendars.support]
zone = "Europe/Madrid"
hours = { mon-fri = "09:00-18:00" }
"""


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
    assert (rules.transfer_loop.transfers, rules.channel_hop.channels, rules.channel_hop.window) == (3, 3, 72 * HOUR)
    assert (rules.broken_promise.grace, rules.reopened_case.window) == (0, 14 * DAY)
    assert (rules.rigid_process.asked, rules.rigid_process.window) == (3, 7 * DAY)
    click = rules.rage_click
    assert (click.clicks, click.apart, click.pixels, click.failure_within) == (3, SECOND, 30, MINUTE)
    assert (rules.form_struggle.failures, rules.form_struggle.window) == (3, 30 * MINUTE)
    assert rules.checkout_abandoned.order_within == HOUR
    lemon = rules.lemon
    assert (lemon.same_fault, lemon.any_fault, lemon.out_of_service, lemon.early) == (3, 5, 30 * DAY, 5 * DAY)
    assert (lemon.more_in_repair_from, lemon.window) == (15 * DAY, 730 * DAY)
    assert rules.low_score.limits == rules.unrecovered.limits == {"nps": 6, "csat5": 2, "ces7": 3}
    assert (rules.low_score.error, rules.unrecovered.within) == ({"nps": 3}, 48 * HOUR)
    assert (rules.at_risk.frictions, rules.at_risk.silence) == (2, 30 * DAY)


def test_what_every_rule_has_by_default() -> None:
    """Weights are those of the documentation; all is live but what is only suspected; lemons alone live for two years."""
    rules = parse_rules()
    plain = {name: rule for name, rule in rules.named.items() if "." not in name}
    assert {name: rule.weight for name, rule in plain.items()} == WEIGHTS
    assert {rule.mode for rule in plain.values()} == {"live"}
    assert {name: rule.expires_after for name, rule in rules.named.items() if rule.expires_after != 30 * DAY} == {
        "lemon": 730 * DAY
    }
    assert {(rule.cool_down, rule.effective_from, rule.overrides) for rule in rules.named.values()} == {(0, None, ())}
    assert rules.calendars == {}


def test_every_detector_has_a_table() -> None:
    """Nothing is found without a rule that can be switched off, and no rule is without a detector."""
    assert {d.kind for d in DETECTORS} == set(WEIGHTS)


def test_no_rule_counts_more_than_is_kept() -> None:
    """A rule that asks for more touchpoints of a family than are kept would never find anything."""
    assert MOST == MAX_ENTRIES


def test_the_default_text_is_a_file_to_start_from() -> None:
    """A copy of the defaults is a valid rules file that changes nothing, and it has a table for every kind."""
    assert parse_rules(default_text()) == parse_rules()
    assert set(tomllib.loads(default_text())) == {"time", *WEIGHTS}


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
        ("[time]\nlateness = \"8000d\"", ["mine.toml:2", "time.lateness", "at most 20 years", "7305d"]),
        ("[time]\nlateness = \"" + "9" * 400 + "d\"", ["mine.toml:2", "time.lateness", "at most 20 years"]),
        ("[rage_click]\nclicks = 513", ["mine.toml:2", "rage_click.clicks", "less than or equal to 512"]),
        ("[rage_click]\nclicks = 1.5", ["mine.toml:2", "rage_click.clicks", "integer"]),
        ("[long_wait]\nerror_factor = inf", ["mine.toml:2", "long_wait.error_factor", "less than or equal to 1000"]),
        ("[low_score.limits]\nnps = nan", ["mine.toml:2", "low_score.limits.nps", "finite"]),
        ("long_wait = 5", ["mine.toml:1", "long_wait"]),
        ("[long_wait.limits]\n\"Big Phone\" = \"1m\"", ["mine.toml:2", "long_wait.limits.Big Phone", "match"]),
        ("[agent_disconnect]\nshort_call = \"soon\"", ["mine.toml:2: agent_disconnect.short_call", "duration"]),
        ("[agent_disconnect.after_longer_talk]\nshort_call = \"5s\"",
         ["mine.toml:2", "agent_disconnect.after_longer_talk.short_call", "unknown key", "return_within"]),
        ("[lemon]\nout_of_service = \"3d\"", ["mine.toml:1: lemon:", "`early`", "less than `out_of_service`"]),
        ("[lemon]\nearly = \"30d\"", ["mine.toml:1: lemon:", "`early`", "less than `out_of_service`"]),
        ("[lemon]\nearly = \"-5d\"", ["mine.toml:2: lemon.early", "duration"]),
        ("[rage_click]\ncool_down = \"-1s\"", ["mine.toml:2: rage_click.cool_down", "duration"]),
        ("[rage_click]\ncool_down = 60", ["mine.toml:2: rage_click.cool_down", "duration"]),
        ("[rage_click]\neffective_from = \"soon\"", ["mine.toml:2: rage_click.effective_from", "RFC 3339"]),
        ("[rage_click]\neffective_from = 2026-03-01", ["mine.toml:2: rage_click.effective_from", "RFC 3339"]),
        ("[rage_click]\neffective_from = 2026-03-01T09:30:00", ["mine.toml:2", "RFC 3339", "with zone"]),
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
        ("[agent_disconnect]\nshort_call = \"2s\"", {"agent_disconnect", "agent_disconnect.after_longer_talk"}),
        ("[agent_disconnect.after_longer_talk]\ncool_down = \"2h\"", set()),
        ("[rage_click]\ncool_down = \"2h\"\neffective_from = \"2026-03-01T09:30:00Z\"", set()),
        (SUPPORT, set()),
        (SUPPORT + "[slow_reply]\ncalendar = \"support\"", {"slow_reply"}),
        ("[[long_wait.override]]\nqueue = \"vip\"\nlimits.voice = \"30s\"", set()),
    ],
)  # fmt: skip
def test_digests(text: str, changed: set[str]) -> None:
    """A digest changes with what a rule finds, and with nothing else: what it costs in points is no rewriting."""
    before, after = parse_rules().named, parse_rules(text).named
    assert {name for name in before if before[name].digest != after[name].digest} == changed


@dataclass(frozen=True)
class Spot:
    """Where something happened."""

    topic: str | None = None
    queue: str | None = None
    channel: str = "voice"


VIP = """[[long_wait.override]]
queue = "vip"
limits.voice = "30s"
"""


def test_an_override_is_the_table_with_some_values_changed() -> None:
    """On the queue it waits 30 s, elsewhere as before; what the override does not name is as in the table."""
    rules = parse_rules('[long_wait]\nweight = 7\nlimits.chat = "9m"\n' + VIP)
    vip, other = rules.long_wait.at(Spot(queue="vip")), rules.long_wait.at(Spot(queue="sales"))
    assert vip.limits == {"voice": 30 * SECOND, "chat": 9 * MINUTE}
    assert (vip.weight, vip.mode) == (7, "live")
    assert other is rules.long_wait
    assert other.limits["voice"] == 120 * SECOND
    assert rules.long_wait.variants == (rules.long_wait, vip)


def test_an_override_can_switch_a_rule_off_or_on_in_one_place() -> None:
    """A mode may differ by topic, queue and channel alike, and by several at once."""
    rules = parse_rules(
        '[[rage_click.override]]\ntopic = "game"\nmode = "off"\n'
        '[[low_score.override]]\nchannel = "sms"\nmode = "shadow"\n'
        '[[closed_door.override]]\nchannel = "chat"\nqueue = "night"\nmode = "off"\n'
    )
    assert rules.rage_click.at(Spot(topic="game")).mode == "off"
    assert rules.rage_click.at(Spot(queue="game")).mode == "live"
    assert rules.low_score.at(Spot(channel="sms")).mode == "shadow"
    both = [rules.closed_door.at(Spot(queue=q, channel=c)).mode for q in ("night", None) for c in ("chat", "voice")]
    assert both == ["off", "live", "live", "live"]


def test_overrides_that_never_meet_stand_side_by_side() -> None:
    """Each has its own values and its own digest; the digest of the whole table tells each from none."""
    one, two = parse_rules(VIP), parse_rules(VIP + VIP.replace("vip", "sales").replace("30s", "60s"))
    table = two.long_wait
    waits = [table.at(Spot(queue=q)).limits["voice"] // SECOND for q in ("vip", "sales", "other", None)]
    assert waits == [30, 60, 120, 120]
    assert len({rule.digest for rule in table.variants}) == 3
    plain = parse_rules().long_wait
    assert plain.digest == one.long_wait.digest == table.digest
    assert len({plain.table_digest, one.long_wait.table_digest, table.table_digest}) == 3
    assert one.table_digests["long_wait"] != parse_rules().table_digests["long_wait"]
    moved = parse_rules(VIP.replace("vip", "gold"))
    assert moved.table_digests["long_wait"] != one.table_digests["long_wait"]
    assert {k for k, d in two.table_digests.items() if d != parse_rules().table_digests[k]} == {"long_wait"}


def test_an_override_reaches_the_rule_inside_a_table() -> None:
    """`agent_disconnect.after_longer_talk` can be made live on one queue."""
    rules = parse_rules('[[agent_disconnect.override]]\nqueue = "vip"\nafter_longer_talk.mode = "live"\n')
    assert rules.agent_disconnect.at(Spot(queue="vip")).after_longer_talk.mode == "live"
    assert rules.agent_disconnect.after_longer_talk.mode == "shadow"
    plain = parse_rules()
    assert rules.table_digests["agent_disconnect"] != plain.table_digests["agent_disconnect"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[long_wait.override]]\nlimits.voice = \"30s\"", ["mine.toml:1: long_wait.override.1:", "a topic, a queue or a channel"]),
        ("[[long_wait.override]]\nqueue = \"vip\"", ["mine.toml:1: long_wait.override.1:", "a value that differs"]),
        (VIP + "\n" + VIP, ["mine.toml:5: long_wait.override.2:", "queue vip", "override 1", "tells them apart"]),
        (VIP + VIP.replace("queue = \"vip\"", "channel = \"voice\""),
         ["mine.toml:4: long_wait.override.2:", "channel voice", "queue vip", "can both be meant"]),
        (VIP + "limit = 3", ["mine.toml:4: long_wait.override.1.limit:", "unknown key", "limits"]),
        (VIP + "limits.chat = \"soon\"", ["mine.toml:4: long_wait.override.1.limits.chat:", "duration"]),
        (VIP + VIP.replace("vip", "sales").replace("30s", "soon"),
         ["mine.toml:6: long_wait.override.2.limits.voice:", "duration"]),
        ("[[long_wait.override]]\nqueue = \"vip\"\n[long_wait.override.limits]\nvoice = \"soon\"",
         ["mine.toml:4: long_wait.override.1.limits.voice:", "duration"]),
        (VIP.replace("\"vip\"", "5"), ["mine.toml:2: long_wait.override.1.queue:", "string"]),
        (VIP + "override = 5", ["mine.toml:4: long_wait.override.1.override:", "unknown key"]),
        ("[long_wait.override]\nqueue = \"vip\"\nmode = \"off\"", ["mine.toml:1: long_wait.override:", "[[long_wait.override]]"]),
        ("[[time.override]]\nqueue = \"vip\"\nlateness = \"9d\"", ["mine.toml:1: time.override:", "unknown key"]),
        ("[[lemon.override]]\ntopic = \"screen\"\nout_of_service = \"3d\"", ["mine.toml:1: lemon.override.1:", "less than `out_of_service`"]),
        ("[slow_reply]\ncalendar = \"support\"", ["mine.toml:2: slow_reply.calendar:", "no calendar \"support\"", "[calendars.support]"]),
        (SUPPORT + "[slow_reply]\ncalendar = \"suport\"", ["mine.toml:6: slow_reply.calendar:", "expected one of support"]),
        (SUPPORT + "[[slow_reply.override]]\nqueue = \"vip\"\ncalendar = \"vip\"",
         ["mine.toml:7: slow_reply.override.1.calendar:", "no calendar \"vip\""]),
        (SUPPORT + "[repeat_contact]\ncalendar = \"support\"", ["mine.toml:6: repeat_contact.calendar:", "unknown key"]),
        (SUPPORT.replace("Madrid", "Madird"), ["mine.toml:3: calendars.support.zone:", "IANA"]),
        (SUPPORT.replace("09:00-18:00", "18:00-09:00"), ["mine.toml:4: calendars.support.hours.mon-fri:", "end after they begin"]),
        ("[calendars.support]\nzone = \"UTC\"\n[calendars.support.hours]\nmon = \"9-5\"",
         ["mine.toml:4: calendars.support.hours.mon:", "09:00-18:00"]),
        (SUPPORT.replace("zone = \"Europe/Madrid\"\n", ""), ["mine.toml:2: calendars.support.zone:", "required"]),
    ],
)  # fmt: skip
def test_errors_of_overrides_and_calendars(text: str, words: list[str]) -> None:
    """Whoever writes an override that cannot be meant, or hours that are none, is told which line and what was expected."""
    test_errors_say_where_and_what(text, words)


def test_a_calendar_is_hung_up_where_it_is_named() -> None:
    """Only open hours count for the rule that names it, the table or one override; whatever the calendar is called."""
    named = SUPPORT.replace("support", "override")
    friday = parse_time("2026-01-09T16:00:00Z")  # 17:00 in Madrid
    rules = parse_rules(named + '[slow_reply]\ncalendar = "override"\n')
    assert rules.slow_reply.after(friday, 2 * HOUR) == parse_time("2026-01-12T09:00:00Z")
    assert rules.slow_reply.between(friday, friday + 5 * HOUR) == HOUR
    assert rules.long_wait.after(friday, 2 * HOUR) == friday + 2 * HOUR
    rules = parse_rules(named + '[[slow_reply.override]]\nqueue = "vip"\ncalendar = "override"\n')
    assert rules.slow_reply.after(friday, 2 * HOUR) == friday + 2 * HOUR
    assert rules.slow_reply.at(Spot(queue="vip")).after(friday, 2 * HOUR) == parse_time("2026-01-12T09:00:00Z")
    assert rules.slow_reply.digest != rules.slow_reply.at(Spot(queue="vip")).digest


def test_the_hours_of_a_calendar_belong_to_the_digest_of_its_rule() -> None:
    """Other hours find other frictions; hours that are only written otherwise do not."""

    def digest(text: str) -> str:
        return parse_rules(text + '[slow_reply]\ncalendar = "support"\n').slow_reply.digest

    assert digest(SUPPORT) != digest(SUPPORT.replace("18:00", "17:00"))
    assert digest(SUPPORT) == digest(SUPPORT.replace('"09:00-18:00"', '["09:00-18:00"]'))


def test_cool_down_and_effective_from() -> None:
    """A pause may be none; a beginning is text or a TOML time, in any zone; both may differ by override."""
    text = (
        '[rage_click]\ncool_down = "0s"\neffective_from = {}\n[[rage_click.override]]\nqueue = "a"\ncool_down = "1h"\n'
    )
    at = parse_time("2026-03-01T09:30:00Z")
    for written in ('"2026-03-01T09:30:00Z"', "2026-03-01T09:30:00Z", "2026-03-01 10:30:00+01:00"):
        rule = parse_rules(text.format(written)).rage_click
        assert (rule.cool_down, rule.effective_from) == (0, at)
        there = rule.at(Spot(queue="a"))
        assert (there.cool_down, there.effective_from, there.digest) == (HOUR, at, rule.digest)


def _listed(rules: Rules) -> dict[str, object]:
    return {name: value for name, value in rules if name != "calendars"}


@pytest.mark.parametrize("name", sorted({"time", *WEIGHTS}))
def test_a_table_alone_is_a_file(name: str) -> None:
    """Any table of the defaults, cut out, parses to the defaults."""
    table = {name: tomllib.loads(default_text())[name]}
    keys = [f"{name}.{key} = {_toml(value)}" for key, value in table[name].items()]
    assert _listed(parse_rules("\n".join(keys))) == _listed(parse_rules())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_a_cool_down_is_found_wherever_it_is_said() -> None:
    """In a table, in a rule inside it, in an override of either: none is overlooked."""
    for text in ('[long_wait]\ncool_down = "1h"', '[agent_disconnect.after_longer_talk]\ncool_down = "1h"',
                 '[[agent_disconnect.override]]\nqueue = "vip"\nafter_longer_talk.cool_down = "1h"'):  # fmt: skip
        assert HOUR in parse_rules(text).each("cool_down"), text
    assert set(parse_rules().each("cool_down")) == {0}
