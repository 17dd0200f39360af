"""Frictions in plain words: lengths of time, measures with their units, why one ended, what would have prevented it.

Pure, so that whatever shows a friction says the same. The sentences hold places that the event itself fills in; where an
event carries no threshold (the rules that found it are gone) they are said without numbers.
"""

from __future__ import annotations

import re

from schemas.times import SECOND, parse_duration

REASONS = {
    "abandoned": "the customer gave up",
    "answered": "the customer was answered",
    "came_back": "the customer came back",
    "ended": "the contact ended",
    "expired": "nothing put it right, and its time is over",
    "followed_up": "the company followed up",
    "forgotten": "more has happened since than is kept of one customer",
    "granted": "the request was granted",
    "journey_over": "the journey is over",
    "kept": "the promise was kept after all",
    "ordered": "the order was placed",
    "refunded": "the money was given back",
    "replaced": "it was replaced",
    "replied": "the company replied",
    "resolved": "the matter was resolved",
    "rule_changed": "the rules have changed, and no longer call this a friction",
    "scored_better": "the customer gave a better score",
    "submitted": "the form was submitted",
    "superseded": "another contact came, and a friction of its own",
    "went_on": "the customer got past it",
    "went_quiet": "the customer stopped trying",
    "window_passed": "no other contact came in the window",
}
"""Why a friction ended."""

PREVENTED = {
    "repeat_contact": "Settling it at the first contact, so that nobody has to come back within {window}",
    "dropped_call": "A line that holds, or a call back from the company before the customer has to call again",
    "agent_disconnect": "Staying on the line until the matter is resolved or handed on",
    "queue_abandoned": "An answer, or the offer of a call back, before {observed} had passed",
    "long_wait": "An answer within {limit}",
    "transfer_loop": "Somebody who sees it through: fewer than {limit}, and never back to where the customer had been",
    "channel_hop": "An answer on the first channel, instead of {limit} within {window}",
    "slow_reply": "A reply from a person within {limit}",
    "broken_promise": "Keeping the promise by the time it fell due{grace}",
    "reopened_case": "A solution that holds for {limit} after the case is called resolved",
    "closed_door": "An open channel, or one that says where to turn to instead",
    "rigid_process": "Asking once and remembering the answer: fewer than {limit} within {window}",
    "rage_click": "An element that responds at once: fewer than {limit} in a row",
    "form_struggle": "A form that says at the first failure what it expects: fewer than {limit} within {window}",
    "checkout_abandoned": "A checkout that ends in an order within {limit}",
    "lemon": "A repair that lasts, or a replacement, before {limit} within {window}",
    "low_score": "Putting right what went wrong before asking: a score above {limit}",
    "unrecovered": "Following up within {limit}",
    "at_risk": "Putting things right before the customer went silent: fewer than {limit} left as they were",
}
"""What would have prevented a friction of each kind. Places: {limit}, {window}, {observed}, {grace}."""

BY_UNIT = {
    ("transfer_loop", "returns"): "Somebody who sees it through, never back to where the customer had been",
    ("rigid_process", "denials"): "Leave to look at the case instead of the policy",
    ("lemon", "days"): "A quicker repair, or a replacement, before {limit} out of service within {window}",
}
"""The same for kinds that open in several ways, by the threshold's unit."""

LIMITS = {
    "agent_disconnect": "less than {} of talk",
    "checkout_abandoned": "no order within {}",
    "long_wait": "more than {}",
    "low_score": "{} or less",
    "queue_abandoned": "more than {}",
    "reopened_case": "within {}",
    "slow_reply": "more than {}",
    "unrecovered": "more than {}",
}
"""How a threshold is said, by rule, where it is not said by itself."""

_SCALE = re.compile(r"(nps|csat|ces)(\d*)")


def prevented(kind: str, threshold: tuple[float, str, str | None] | None, observed: str = "") -> str | None:
    """What would have prevented it, without a full stop; None for a kind that is not known here.

    threshold: value, unit, window as in the event (None: it carries none); observed: in words.
    """
    sentence = PREVENTED.get(kind)
    if sentence is None:
        return None
    limit, window, grace = "the limit", "the window", ""
    if threshold is not None:
        value, unit, within = threshold
        sentence = BY_UNIT.get((kind, unit), sentence)
        limit = measure(value, unit)
        window = duration(within) if within else window
        grace = f", or at most {limit} later" if value else ""
    return sentence.format(limit=limit, window=window, observed=observed or "so long", grace=grace)


def length(seconds: float) -> str:
    """A length of time, to the millisecond below an hour, to the hour from a day on: "6 min 3 s", "2 days 4 h"."""
    if seconds < 0:
        return "-" + length(-seconds)
    rest = round(seconds, 3) if seconds < 3600 else round(seconds)
    if 0 < rest < 1:
        return f"{rest * 1000:.0f} ms"
    minutes, s = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days:,.0f} day{'s' * (days != 1)}"] if days else []
    parts += [f"{hours:.0f} h"] if hours else []
    if not days:
        parts += [f"{minutes:.0f} min"] if minutes else []
        parts += [f"{round(s, 3):g} s"] if s else []
    return " ".join(parts) or "0 s"


def duration(text: str) -> str:
    """A duration as it is written in rules and events ("7d") in words; as it is if it is none."""
    try:
        return length(parse_duration(text) / SECOND)
    except ValueError:
        return text


def number(value: float) -> str:
    """A number without needless digits."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def measure(value: float, unit: str, window: str | None = None) -> str:
    """What was observed, or a threshold, with its unit: "6 min 3 s", "3 contacts within 7 days", "2 of 5 (CSAT)"."""
    within = f" within {duration(window)}" if window else ""
    if unit == "seconds":
        return length(value) + within
    if scale := _SCALE.fullmatch(unit):
        name, of = scale[1].upper(), scale[2] or ("10" if scale[1] == "nps" else "")
        return f"{number(value)}{f' of {of}' if of else ''} ({name}){within}"
    return f"{number(value)} {unit.removesuffix('s') if value == 1 else unit}{within}"


def limit(rule_id: str, value: float, unit: str, window: str | None = None) -> str:
    """The threshold of a rule in words: "more than 2 min", "3 contacts within 7 days"; 0 of anything is no threshold."""
    return LIMITS.get(rule_id, "{}").format(measure(value, unit, window)) if value else "none"


def ended(reason: str | None) -> str:
    """Why a friction ended; a reason that is not known here is shown as it is."""
    return REASONS.get(reason or "", reason or "no reason was given")
