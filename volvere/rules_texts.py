"""What each rule means, in words: for `volvere rules explain`, and for whoever reads a changed rules file.

One table; a test fails when a kind or one of its values is not told here, and when an example does not
come out as it is told.
"""

from __future__ import annotations

from dataclasses import dataclass

MODES = {"live": "recorded and notified", "shadow": "recorded, never notified", "off": "not looked for"}
MODE = "; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items())
COMMON = {
    "mode": MODE,
    "weight": "points that one such friction adds to its journey's friction score",
    "expires_after": "what nothing has resolved ends by itself then",
    "cool_down": "the same incident (kind, customer, cause) notifies once in this time",
    "effective_from": "what opened before is history to this rule and pages nobody; without it, what opened before "
    "the first worker met the rule in its present form",
    "calendar": "the calendar whose open hours alone are counted; without one every hour counts",
}
"""Values that more than one rule has."""

TIME = {
    "disorder": "how far the watermark trails the newest touchpoint, so that what comes a little later is still in time",
    "lateness": "how late a touchpoint may come and still be tracked; later ones are stored and counted only",
    "inactivity_gap": "a longer silence of the customer ends a journey",
    "journey_every": "a journey is published at most this often",
}
"""The values of the table `time`."""


@dataclass(frozen=True)
class Meaning:
    """A kind of friction in words.

    values: what each value of its table means that is not in COMMON; of a rule inside the table as `rule.value`.
    example: when, what was told ("kind channel topic field=value ..."), and what that is in the customer's life.
    until: how far time has come by then. found: when the example's friction opens, and how severe it is.
    """

    finds: str
    opens: str
    anchor: str
    severity: str
    resolves: str
    source: str
    values: dict[str, str]
    example: tuple[tuple[str, str, str], ...]
    until: str
    found: tuple[str, str]


MEANINGS: dict[str, Meaning] = {
    "repeat_contact": Meaning(
        finds="The customer had to come back about the same thing.",
        opens="at an attempt (an inbound contact) of the same customer about the same topic as one in the window before",
        anchor="this attempt",
        severity="warning; error from the number of attempts that `error_from` says",
        resolves="at the next such attempt (superseded, the new one is published first), or when the window has passed",
        source="Windows for first-contact resolution in use: 24 h to 30 d; 14 d and 30 d are observed beside.",
        values={
            "window": "how long ago the attempt before may have begun, start to start; exactly so long ago counts",
            "error_from": "from so many attempts in the window on, this one included, it is an error",
        },
        example=(
            ("0m", "contact.started voice billing contact_id=c1", "asks why the bill is so high"),
            ("5m", "contact.ended voice billing contact_id=c1 ended_by=customer", "and hangs up"),
            ("2d", "contact.started chat billing contact_id=c2", "asks again"),
        ),
        until="2d1h",
        found=("2d", "warning"),
    ),
    "dropped_call": Meaning(
        finds="The line went dead in the middle of a call.",
        opens="when an answered call is ended by the network or the system; Q.850 causes 16, 17 and 31 are normal, "
        "0, 127 and none prove nothing",
        anchor="the contact",
        severity="warning; error when the customer calls again within `call_back`",
        resolves="at the end of a later contact that was answered and not dropped, or at contact.resolved",
        source="Talkdesk: a quarter of call-backs come within 10 minutes.",
        values={"call_back": "how soon after the cut a call is the customer's calling again"},
        example=(
            ("0m", "contact.started voice billing contact_id=c1", "calls"),
            ("1m", "contact.answered voice billing contact_id=c1", "somebody answers"),
            ("3m", "contact.ended voice billing contact_id=c1 ended_by=network", "the line goes dead"),
            ("5m", "contact.started voice billing contact_id=c2", "calls again"),
        ),
        until="1h",
        found=("3m", "error"),
    ),
    "agent_disconnect": Meaning(
        finds="The company's side hung up on the customer. Suspected, never proved.",
        opens="when the agent ends an answered call, neither transferred nor resolved: after less talk than `short_call` "
        "at its end; after longer talk when the customer returns on the topic (the rule `after_longer_talk`)",
        anchor="the contact on which the agent hung up",
        severity="warning; error when the customer returned",
        resolves="at a later contact on the topic that is resolved",
        source="Brown et al. 2005: 7 % of calls under 10 s, agents who simply hung up on customers. After longer talk 14 % of "
        "bank calls return anyway, so that rule is in shadow.",
        values={
            "short_call": "less talk than this is a call that was got rid of",
            "return_within": "how soon after it the customer's next attempt on the topic is a return",
            "after_longer_talk.mode": f"of the rule for longer talk: {MODE}",
            "after_longer_talk.weight": "points of the rule for longer talk",
            "after_longer_talk.expires_after": "what nothing has resolved ends by itself then, after longer talk",
            "after_longer_talk.cool_down": "the same incident notifies once in this time, after longer talk",
            "after_longer_talk.effective_from": "what opened before is history, after longer talk",
            "after_longer_talk.return_within": "how soon after longer talk the customer's next attempt is a return",
        },
        example=(
            ("0m", "contact.started voice billing contact_id=c1", "calls"),
            ("1m", "contact.answered voice billing contact_id=c1", "somebody answers"),
            ("1m4s", "contact.ended voice billing contact_id=c1 ended_by=agent", "and hangs up after 4 seconds"),
        ),
        until="1h",
        found=("1m4s", "warning"),
    ),
    "queue_abandoned": Meaning(
        finds="The customer gave up in the queue.",
        opens="at contact.abandoned after queueing longer than `short_abandon`; who accepted a call-back has not given up",
        anchor="the contact",
        severity="info; warning when the customer's attempt before, within `window`, was abandoned too",
        resolves="when the customer is answered",
        source="Short abandons: Webex 5 s, Cisco 10 s.",
        values={
            "short_abandon": "who gives up no later than this never really waited",
            "window": "how long ago the attempt before may have begun that was abandoned too",
        },
        example=(
            ("0m", "contact.started voice billing contact_id=c1", "calls"),
            ("10s", "contact.queued voice billing contact_id=c1", "is put into the queue"),
            ("4m", "contact.abandoned voice billing contact_id=c1", "hangs up before anybody answers"),
        ),
        until="1h",
        found=("4m", "info"),
    ),
    "long_wait": Meaning(
        finds="Nobody answered in time.",
        opens="when the wait from contact.queued (else from the start) to the first answer is longer than the channel's "
        "limit; the limit itself is not too long",
        anchor="the contact",
        severity="warning; error at `error_factor` times the limit",
        resolves="at the answer, the abandonment or the end",
        source="Ours: 120 s. 80/20 is a convention, not a limit.",
        values={
            "limits": "the longest good wait, by channel; a channel without one is not judged",
            "error_factor": "so many times the limit is an error",
        },
        example=(
            ("0m", "contact.started voice billing contact_id=c1", "calls"),
            ("10s", "contact.queued voice billing contact_id=c1", "is put into the queue"),
            ("3m", "contact.answered voice billing contact_id=c1", "is answered at last"),
        ),
        until="1h",
        found=("2m10s", "warning"),
    ),
    "transfer_loop": Meaning(
        finds="The customer was handed on and on, or back to where they had been.",
        opens="at the transfer that `transfers` says, or at the first return to a queue or an agent already visited",
        anchor="the contact",
        severity="warning; error for a return",
        resolves="when the contact is resolved",
        source="Ours.",
        values={"transfers": "so many transfers of one contact are too many"},
        example=(
            ("0m", "contact.queued voice billing contact_id=c1 queue=billing", "waits for billing"),
            ("2m", "contact.transferred voice billing contact_id=c1 queue=technics", "is handed on"),
            ("6m", "contact.transferred voice billing contact_id=c1 queue=billing", "and is back at billing"),
        ),
        until="1h",
        found=("6m", "error"),
    ),
    "channel_hop": Meaning(
        finds="The customer took the same matter to one channel after another.",
        opens="when the attempts on one topic within the window make so many distinct channels",
        anchor="the attempt on the channel that was one too many",
        severity="warning",
        resolves="when the topic is resolved, or after a whole window without an attempt on it",
        source="Ours: 3 channels in 72 h.",
        values={
            "channels": "so many distinct channels are too many",
            "window": "within which they are counted, and after which silence ends it",
        },
        example=(
            ("0m", "contact.started chat billing contact_id=c1", "asks in the chat"),
            ("3h", "contact.started voice billing contact_id=c2", "calls about it"),
            ("1d", "contact.started email billing contact_id=c3", "and writes"),
        ),
        until="1d1h",
        found=("1d", "warning"),
    ),
    "slow_reply": Meaning(
        finds="The company left the customer's message without a reply.",
        opens="when a turn (messages of the customer with no reply from a person between) is unanswered at its first message + the "
        "channel's limit; after the contact is resolved, or the customer ended it, no turn begins",
        anchor="the turn's first message",
        severity="warning; error at `error_factor` times the limit",
        resolves="when the company replies",
        source="Vendors' published benchmarks.",
        values={
            "limits": "the longest good time to a reply, by channel; a channel without one is not judged",
            "error_factor": "so many times the limit is an error",
        },
        example=(
            ("0m", "message.received chat billing contact_id=c1", "asks in the chat"),
            ("5m", "message.sent chat billing contact_id=c1", "is answered after five minutes"),
        ),
        until="1h",
        found=("2m", "warning"),
    ),
    "broken_promise": Meaning(
        finds="The company said by when, and it was not done by then.",
        opens="when `due_at` and the grace after it have passed and the promise was not kept; kept exactly then is kept. "
        "Postponing is a new promise with the same `ref`",
        anchor="the promise",
        severity="error",
        resolves="when it is kept",
        source="A promise is a promise.",
        values={"grace": "how long after `due_at` keeping it is still in time"},
        example=(
            ("0m", "promise.made voice billing due_at=1d ref=p1", "we call you back by tomorrow"),
            ("3d", "promise.kept voice billing ref=p1", "the call comes two days late"),
        ),
        until="4d",
        found=("1d", "error"),
    ),
    "reopened_case": Meaning(
        finds="A case was resolved, and was not.",
        opens="for each case.resolved: at the earliest case.reopened or attempt with its `ref` (without one: on its topic) "
        "within the window",
        anchor="that reopening or attempt",
        severity="warning; error the second time",
        resolves="at the next case.resolved",
        source="Ours: 14 d.",
        values={"window": "how long after it was resolved its coming back counts"},
        example=(
            ("0m", "case.opened web billing ref=case-1", "a case is opened"),
            ("1d", "case.resolved web billing ref=case-1", "and closed as resolved"),
            ("3d", "case.reopened web billing ref=case-1", "it was not"),
        ),
        until="4d",
        found=("3d", "warning"),
    ),
    "closed_door": Meaning(
        finds="The customer came, and the channel was closed.",
        opens="at contact.refused with the reason channel_closed",
        anchor="the contact",
        severity="warning",
        resolves="when the customer is answered on any channel",
        source="The promise of this project: customers are not abandoned by switching channels off.",
        values={},
        example=(("0m", "contact.refused chat billing contact_id=c1 reason=channel_closed", "the chat is closed"),),
        until="1h",
        found=("0m", "warning"),
    ),
    "rigid_process": Meaning(
        finds="The process came before the person.",
        opens="at request.denied with the reason policy, or when the customer is asked for the same thing (information or "
        "identity, by `element`) so many times in one journey and window",
        anchor="the denial, or the asking that was one too many",
        severity="warning",
        resolves="at request.granted, or at the journey's end",
        source="The promise of this project: people before process. One denial, three askings: ours.",
        values={
            "asked": "so many times for the same thing is too often",
            "window": "within which the askings are counted",
        },
        example=(
            ("0m", "information.requested chat billing element=iban", "please give us your account number"),
            ("10m", "information.requested voice billing element=iban", "and again"),
            ("1d", "information.requested email billing element=iban", "and again"),
        ),
        until="2d",
        found=("1d", "warning"),
    ),
    "rage_click": Meaning(
        finds="The customer hammered on something that did not react.",
        opens="at the click that makes a run of `clicks` on one element, each soon after and near the one before",
        anchor="that click",
        severity="info; warning when a form or a search fails soon after",
        resolves="when the journey goes on past the element",
        source="PostHog: 3 clicks, 30 px, 1 s.",
        values={
            "clicks": "so many clicks are a run",
            "apart": "each less than this after the one before",
            "pixels": "each less than this from the one before, |dx| + |dy|",
            "failure_within": "a form or search that fails within this time makes it a warning",
        },
        example=(
            ("0s", "element.clicked web checkout element=pay x=10 y=10", "clicks on pay"),
            ("500ms", "element.clicked web checkout element=pay x=11 y=10", "again"),
            ("900ms", "element.clicked web checkout element=pay x=12 y=11", "and again"),
        ),
        until="1h",
        found=("900ms", "info"),
    ),
    "form_struggle": Meaning(
        finds="The customer tried a form again and again.",
        opens="at the failure that makes so many of one form (`ref`, else `element`) within the window; a submission "
        "begins anew",
        anchor="that failure",
        severity="warning",
        resolves="when the form is submitted",
        source="Ours: 3 in 30 min.",
        values={"failures": "so many failures are a struggle", "window": "within which they are counted"},
        example=(
            ("0m", "form.failed web address ref=form-1", "the form does not take the address"),
            ("2m", "form.failed web address ref=form-1", "nor then"),
            ("5m", "form.failed web address ref=form-1", "nor then"),
        ),
        until="1h",
        found=("5m", "warning"),
    ),
    "checkout_abandoned": Meaning(
        finds="A checkout was begun, and no order came.",
        opens="when the time has passed since the last start without an order; starts no further apart are one",
        anchor="the last start",
        severity="info; warning after another friction in the journey",
        resolves="when the order is placed",
        source="Wix: 1 h.",
        values={"order_within": "how long after the start an order is still its order"},
        example=(("0m", "checkout.started web shoes", "begins to pay, and leaves"),),
        until="2h",
        found=("1h", "info"),
    ),
    "lemon": Meaning(
        finds="Something was repaired too often or for too long.",
        opens="once an asset: at the repair that is one short of a limit (of one fault, or of any), or `early` before so "
        "long out of service, or at more time in repair than in use, from the second repair on",
        anchor="the repair that crosses first",
        severity="warning; critical at the limit itself",
        resolves="when the asset is replaced or refunded",
        source="US state laws: 3 or 4 repairs, 15 to 30 days, within 24 months.",
        values={
            "same_fault": "so many repairs of one fault (its topic) are the limit; one less warns",
            "any_fault": "so many repairs of any fault are the limit; one less warns",
            "out_of_service": "so long out of service in all is the limit",
            "early": "so long before that limit it warns",
            "more_in_repair_from": "the least time in repair from which more of it than of use warns",
            "window": "within which repairs and days are counted",
        },
        example=(
            ("0d", "repair.opened garage brakes asset_id=car-1 ref=r1", "the brakes are repaired"),
            ("1d", "repair.closed garage brakes asset_id=car-1 ref=r1", ""),
            ("90d", "repair.opened garage brakes asset_id=car-1 ref=r2", "the same brakes again"),
        ),
        until="91d",
        found=("90d", "warning"),
    ),
    "low_score": Meaning(
        finds="The customer said so in a number.",
        opens="at an answer at or below its scale's limit",
        anchor="the answer",
        severity="warning; error at or below the scale's `error`",
        resolves="at feedback.followed_up, or at a later score on the same scale above the limit",
        source="Detractors: NPS 0 to 6; CSAT 1 and 2 of 5; CES 1 to 3 of 7 (7 is easy).",
        values={
            "limits": "the highest low score, by scale; a scale without one is not judged",
            "error": "at or below this, by scale, it is an error",
        },
        example=(("0m", "survey.answered web delivery score=2 scale=nps", "would recommend it to nobody"),),
        until="1h",
        found=("0m", "error"),
    ),
    "unrecovered": Meaning(
        finds="The customer complained, and nobody came back to them.",
        opens="when a low score or a complaint was not followed up in time, whatever the mode of `low_score`",
        anchor="the answer or the complaint",
        severity="error",
        resolves="when it is followed up",
        source="Closed-loop practice; 48 h is ours.",
        values={
            "within": "how soon it must be followed up; exactly then is in time",
            "limits": "the highest score, by scale, that must be followed up",
        },
        example=(
            ("0m", "complaint.filed email delivery ref=comp-1", "complains"),
            ("4d", "feedback.followed_up voice delivery ref=comp-1", "somebody calls four days later"),
        ),
        until="5d",
        found=("2d", "error"),
    ),
    "at_risk": Meaning(
        finds="The customer met friction, was not helped, and has been silent since.",
        opens="when the silence after the customer's own last touchpoint has lasted, and so many frictions opened around it "
        "that no touchpoint resolved until then",
        anchor="the customer's last touchpoint",
        severity="error",
        resolves="when the customer comes back",
        source="The name of this project: ¡Volveré!, I'll be back.",
        values={
            "frictions": "so many frictions that nobody put right",
            "silence": "how long the silence is, and how far around the last touchpoint they count",
        },
        example=(
            ("0m", "promise.made voice billing due_at=1h", "a promise that nobody keeps"),
            ("1d", "complaint.filed email billing", "a complaint that nobody follows up, and then nothing more"),
        ),
        until="32d",
        found=("31d", "error"),
    ),
}
"""By kind."""
