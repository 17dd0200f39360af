"""Troubles of coming back: `repeat_contact`, `channel_hop`, `reopened_case`."""

from __future__ import annotations

from typing import Any

from schemas.times import DAY, HOUR, MINUTE
from volvere.simulator.contact import Contact
from volvere.simulator.stories.tale import Tale


def again_after_an_hour(t: Tale) -> None:
    """Nothing was solved."""
    t.call(0)
    t.repeat(t.call(HOUR), HOUR, "Called, and called again about the same thing an hour later.")


def again_after_seven_days(t: Tale) -> None:
    """The window is closed: its end is inside."""
    t.call(0)
    t.repeat(t.call(7 * DAY), 7 * DAY, "Called again about the same thing exactly seven days later.")


def again_and_again(t: Tale) -> None:
    """A customer who changes the channel still comes back."""
    t.call(0)
    t.repeat(t.call(DAY), DAY, "Called again about the same thing the next day.")
    mail = t.contact("email")
    mail.say(t.begin + 3 * DAY, "message.received")
    t.repeat(mail, 3 * DAY, "Wrote about the same thing after calling twice.")
    mail.say(mail.at + 2 * HOUR, "message.sent", agent_id=t.agent_id)


def again_after_the_window(t: Tale) -> None:
    """The smallest step beyond the window."""
    t.call(0)
    at = 7 * DAY + 1
    t.repeat(t.call(at), at, "Called again one microsecond after seven days.", near_miss=True)


def another_matter(t: Tale) -> None:
    """Two matters are two matters."""
    t.call(0)
    t.repeat(t.call(HOUR, t.other_topic), HOUR, "Called an hour later about something else.", near_miss=True)


def called_by_the_company(t: Tale) -> None:
    """Who is called does not come back."""
    t.call(0)
    outbound = t.call(HOUR, direction="outbound")
    t.repeat(outbound, HOUR, "Was called by the company an hour after calling.", near_miss=True)


def a_case_about_it(t: Tale) -> None:
    """A case is work, not an attempt of the customer."""
    t.call(0)
    case = t.contact("web")
    case.say(t.begin + DAY, "case.opened", ref=case.contact_id)
    case.say(case.at + HOUR, "case.resolved", ref=case.contact_id)
    t.repeat(case, DAY, "A case was opened the day after the call.", near_miss=True)


def strangers(t: Tale) -> None:
    """Without a customer nobody knows whether it is the same one."""
    t.customer_id = None
    t.call(0)
    t.repeat(t.call(HOUR), HOUR, "Two calls about one thing, and nobody knows who called.", near_miss=True)


def three_channels(t: Tale) -> None:
    """Whoever changes the channel repeats everything."""
    t.call(0, channel="chat")
    mail, _ = t.write(2 * HOUR)
    t.repeat(mail, 2 * HOUR, "Wrote about the same thing two hours after chatting.")
    at = 20 * HOUR
    call = t.call(at)
    t.repeat(call, at, "Called about the same thing after chatting and writing.")
    t.truth("channel_hop", call, t.begin + at, "Tried the chat, a mail and the phone within a day.")


def _hop(t: Tale, at: int) -> Contact:
    """Three channels, the last at `at`."""
    t.call(0)
    chat = t.call(DAY, channel="chat")
    t.repeat(chat, DAY, "Chatted about the same thing a day after calling.")
    mail, _ = t.write(at)
    t.repeat(mail, at, "Wrote about the same thing after calling and chatting.")
    return mail


def three_channels_in_72_hours(t: Tale) -> None:
    """The window is closed: its end is inside."""
    mail = _hop(t, 72 * HOUR)
    t.truth("channel_hop", mail, t.begin + 72 * HOUR, "The third channel exactly 72 hours after the first.")


def three_channels_too_slowly(t: Tale) -> None:
    """The smallest step beyond the window."""
    mail = _hop(t, 72 * HOUR + 1)
    at = t.begin + 72 * HOUR + 1
    t.near_miss("channel_hop", mail, at, "The third channel one microsecond after 72 hours.")


def a_fourth_channel(t: Tale) -> None:
    """One restless day is one trouble."""
    mail = _hop(t, 2 * DAY)
    t.truth("channel_hop", mail, t.begin + 2 * DAY, "Called, chatted and wrote within two days.")
    at = 2 * DAY + 6 * HOUR
    text, _ = t.write(at, MINUTE, channel="sms")
    t.repeat(text, at, "Sent a text about the same thing after three attempts.")
    t.near_miss("channel_hop", text, t.begin + at, "A fourth channel: three were too many already.")


def back_and_forth(t: Tale) -> None:
    """Often, but on two channels only."""
    t.call(0)
    for n, channel in enumerate(("chat", "voice", "chat"), 1):
        c = t.call(n * 6 * HOUR, channel=channel)
        t.repeat(c, n * 6 * HOUR, "Called and chatted in turns about the same thing.")
        t.near_miss("channel_hop", c, t.begin + n * 6 * HOUR, "Two channels in turns are two channels.")


def third_channel_for_another_matter(t: Tale) -> None:
    """Two matters are two matters."""
    t.call(0)
    t.repeat(t.call(DAY, channel="chat"), DAY, "Chatted about the same thing a day after calling.")
    mail, _ = t.write(2 * DAY, topic=t.other_topic)
    t.near_miss("channel_hop", mail, t.begin + 2 * DAY, "The third channel was about something else.")


def third_channel_from_the_company(t: Tale) -> None:
    """Who is written to has not hopped."""
    t.call(0)
    t.repeat(t.call(DAY, channel="chat"), DAY, "Chatted about the same thing a day after calling.")
    mail = t.contact("email")
    mail.say(t.begin + 2 * DAY, "message.sent", direction="outbound", agent_id=t.agent_id)
    t.near_miss("channel_hop", mail, mail.at, "The mail came from the company.")


def _case(t: Tale, at: int = 0, **fields: Any) -> Contact:
    """A case, opened `at` after the story's beginning and resolved an hour later."""
    c = t.contact("web")
    c.say(t.begin + at, "case.opened", **fields)
    c.say(c.at + HOUR, "case.resolved", **fields)
    return c


def reopened(t: Tale) -> None:
    """Resolved on paper."""
    c = _case(t, ref=(ref := f"case/{t.name}"))
    again = c.say(c.at + DAY, "case.reopened", ref=ref)
    t.truth("reopened_case", c, c.at, "A resolved case was reopened the next day.", event=again)


def reopened_twice(t: Tale) -> None:
    """Once for each time that it was called resolved."""
    c = _case(t, ref=(ref := f"case/{t.name}"))
    again = c.say(c.at + DAY, "case.reopened", ref=ref)
    t.truth("reopened_case", c, c.at, "A resolved case was reopened.", event=again)
    c.say(c.at + DAY, "case.resolved", ref=ref)
    again = c.say(c.at + 3 * DAY, "case.reopened", ref=ref)
    t.truth("reopened_case", c, c.at, "The case was resolved and reopened a second time.", event=again)


def reopened_after_14_days(t: Tale) -> None:
    """The window is closed: its end is inside."""
    c = _case(t, ref=(ref := f"case/{t.name}"))
    again = c.say(c.at + 14 * DAY, "case.reopened", ref=ref)
    t.truth("reopened_case", c, c.at, "A resolved case was reopened exactly 14 days later.", event=again)


def reopened_too_late(t: Tale) -> None:
    """The smallest step beyond the window."""
    c = _case(t, ref=(ref := f"case/{t.name}"))
    again = c.say(c.at + 14 * DAY + 1, "case.reopened", ref=ref)
    t.near_miss("reopened_case", c, c.at, "A case was reopened one microsecond after 14 days.", event=again)


def reopened_again_without_work(t: Tale) -> None:
    """The earliest reopening is the one."""
    c = _case(t, ref=(ref := f"case/{t.name}"))
    again = c.say(c.at + DAY, "case.reopened", ref=ref)
    t.truth("reopened_case", c, c.at, "A resolved case was reopened.", event=again)
    more = c.say(c.at + DAY, "case.reopened", ref=ref)
    t.near_miss("reopened_case", c, c.at, "It was reopened once more, and not resolved in between.", event=more)


def reopened_before_it_was_resolved(t: Tale) -> None:
    """What was never called resolved cannot come back."""
    c = t.contact("web")
    c.say(t.begin, "case.opened", ref=(ref := f"case/{t.name}"))
    again = c.say(c.at + DAY, "case.reopened", ref=ref)
    t.near_miss("reopened_case", c, c.at, "A case was reopened that had not been resolved.", event=again)
    c.say(c.at + DAY, "case.resolved", ref=ref)


def called_about_the_case(t: Tale) -> None:
    """Who must call has a case that is not resolved."""
    _case(t, ref=(ref := f"case/{t.name}"))
    call = t.call(2 * DAY, ref=ref)
    t.truth("reopened_case", call, t.begin + 2 * DAY, "Called about a case that was resolved two days before.")


def wrote_about_what_was_resolved(t: Tale) -> None:
    """Without a reference the topic says what it is about."""
    _case(t)
    mail, _ = t.write(3 * DAY)
    t.truth("reopened_case", mail, t.begin + 3 * DAY, "Wrote about what was called resolved three days before.")


def called_about_another_case(t: Tale) -> None:
    """Two cases are two cases."""
    _case(t, ref=f"case/{t.name}")
    call = t.call(2 * DAY, ref=f"case/{t.name}/other")
    t.near_miss("reopened_case", call, t.begin + 2 * DAY, "Called about another case than the resolved one.")


def called_about_another_matter(t: Tale) -> None:
    """Nothing says that it is about the case."""
    _case(t)
    call = t.call(2 * DAY, t.other_topic)
    t.near_miss("reopened_case", call, t.begin + 2 * DAY, "Called about something else than the resolved case.")


def called_while_it_was_open(t: Tale) -> None:
    """Before, not after."""
    ref = f"case/{t.name}"
    c = t.contact("web")
    c.say(t.begin, "case.opened", ref=ref)
    call = t.call(HOUR, ref=ref)
    t.near_miss("reopened_case", call, t.begin + HOUR, "Called about a case while it was open.")
    c.say(t.begin + DAY, "case.resolved", ref=ref)


STORIES = (
    again_after_an_hour, again_after_seven_days, again_and_again, again_after_the_window, another_matter,
    called_by_the_company, a_case_about_it, strangers,
    three_channels, three_channels_in_72_hours, three_channels_too_slowly, a_fourth_channel, back_and_forth,
    third_channel_for_another_matter, third_channel_from_the_company,
    reopened, reopened_twice, reopened_after_14_days, reopened_too_late, reopened_again_without_work,
    reopened_before_it_was_resolved, called_about_the_case, wrote_about_what_was_resolved,
    called_about_another_case, called_about_another_matter, called_while_it_was_open,
)  # fmt: skip
