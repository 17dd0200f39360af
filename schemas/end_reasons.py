"""What vendors and networks give as the reason of an end, in our words.

One table, a block a vendor, each with its source. An entry says who ended the contact (`ended_by`),
where that is known, and whether nothing went wrong (`normal`). What only says *that* it ended, or
that it went on elsewhere, proves nobody: `ended_by` is None, so that no detector opens on a guess.
Codes are written as adapters put them into `reason_code`: the vendor, a colon and the vendor's own
word; a bare number up to 127 is a Q.850 cause. Words that an adapter never sees at an end are not here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from schemas.touchpoint import EndedBy


@dataclass(frozen=True, slots=True)
class EndReason:
    """Who ended it (None: the code does not say), whether nothing went wrong, and what the code means."""

    ended_by: EndedBy | None
    normal: bool
    says: str


# ITU-T Recommendation Q.850 (05/2018), https://www.itu.int/rec/T-REC-Q.850; names as in its table 1.
# Which of them are normal and which prove nothing is our reading, for calls that had been answered:
# there every other cause means that the call was cleared before its time.
Q850_NORMAL = {16: "normal call clearing", 17: "user busy", 31: "normal, unspecified"}
Q850_SILENT = {0: "no cause given", 127: "interworking, unspecified"}
Q850 = {
    1: "unallocated number",
    2: "no route to specified transit network",
    3: "no route to destination",
    4: "send special information tone",
    5: "misdialled trunk prefix",
    6: "channel unacceptable",
    7: "call awarded and being delivered in an established channel",
    8: "preemption",
    9: "preemption, circuit reserved for reuse",
    14: "query on release, ported number",
    18: "no user responding",
    19: "no answer from user",
    20: "subscriber absent",
    21: "call rejected",
    22: "number changed",
    23: "redirection to new destination",
    24: "call rejected due to feature at the destination",
    25: "exchange routing error",
    26: "non-selected user clearing",
    27: "destination out of order",
    28: "invalid number format",
    29: "facility rejected",
    30: "response to status enquiry",
    34: "no circuit or channel available",
    38: "network out of order",
    39: "permanent frame mode connection out of service",
    40: "permanent frame mode connection operational",
    41: "temporary failure",
    42: "switching equipment congestion",
    43: "access information discarded",
    44: "requested circuit or channel not available",
    46: "precedence call blocked",
    47: "resource unavailable, unspecified",
    49: "quality of service not available",
    50: "requested facility not subscribed",
    53: "outgoing calls barred within closed user group",
    55: "incoming calls barred within closed user group",
    57: "bearer capability not authorized",
    58: "bearer capability not presently available",
    62: "inconsistency in outgoing access information and subscriber class",
    63: "service or option not available, unspecified",
    65: "bearer capability not implemented",
    66: "channel type not implemented",
    69: "requested facility not implemented",
    70: "only restricted digital information bearer capability available",
    79: "service or option not implemented, unspecified",
    81: "invalid call reference value",
    82: "identified channel does not exist",
    83: "a suspended call exists, but this call identity does not",
    84: "call identity in use",
    85: "no call suspended",
    86: "call having the requested call identity has been cleared",
    87: "user not member of closed user group",
    88: "incompatible destination",
    90: "non-existent closed user group",
    91: "invalid transit network selection",
    95: "invalid message, unspecified",
    96: "mandatory information element missing",
    97: "message type non-existent or not implemented",
    98: "message not compatible with call state, or not implemented",
    99: "information element non-existent or not implemented",
    100: "invalid information element contents",
    101: "message not compatible with call state",
    102: "recovery on timer expiry",
    103: "parameter non-existent, passed on",
    110: "message with unrecognized parameter discarded",
    111: "protocol error, unspecified",
}

_Block = dict[str, tuple[EndedBy | None, bool, str]]

# DisconnectReason of voice, chat, task and email contacts and of outbound campaigns:
# https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html
_AMAZON_CONNECT: _Block = {
    "CUSTOMER_DISCONNECT": ("customer", True, "the customer's side ended it; poor reception looks the same"),
    "AGENT_DISCONNECT": ("agent", True, "the agent ended it"),
    "AGENT_COMPLETED": ("agent", True, "the agent completed the task"),
    "DISCARDED": ("agent", True, "the agent discarded the draft"),
    "THIRD_PARTY_DISCONNECT": (None, True, "a third party left, or was taken off"),
    "BARGED": (None, True, "a supervisor took the agent off"),
    "TRANSFERRED": (None, True, "transferred"),
    "CONTACT_FLOW_DISCONNECT": (None, True, "a flow ended it, as it was built to"),
    "API": (None, True, "ended through the API"),
    "OTHER": (None, False, "another reason, ends through the API among them"),
    "TELECOM_PROBLEM": ("network", False, "a problem of the telephone network"),
    "TELECOM_NUMBER_INVALID": ("network", False, "the number does not exist"),
    "TELECOM_POTENTIAL_BLOCKING": ("network", False, "networks seem to block the number"),
    "TELECOM_BUSY": (None, True, "busy"),
    "TELECOM_UNANSWERED": (None, True, "could not be delivered"),
    "TELECOM_TIMEOUT": (None, True, "rang for a minute without an answer"),
    "TELECOM_ORIGINATOR_CANCEL": (None, True, "the caller gave up before the connection"),
    "AGENT_NETWORK_DISCONNECT": ("network", False, "the agent's connection was lost"),
    "CUSTOMER_CONNECTION_NOT_ESTABLISHED": ("network", False, "the customer's connection never came about"),
    "CUSTOMER_NEVER_ARRIVED": ("system", False, "given up waiting for the customer to connect"),
    "IDLE_DISCONNECT": ("system", False, "ended because a side was idle"),
    "EXPIRED": ("system", False, "its time ran out"),
    "SYSTEM_ERROR": ("system", False, "an error of the system"),
    "OUTBOUND_DESTINATION_ENDPOINT_ERROR": ("system", False, "the destination may not be dialled"),
    "OUTBOUND_RESOURCE_ERROR": ("system", False, "permissions or resources for the call are missing"),
    "OUTBOUND_ATTEMPT_FAILED": ("system", False, "the attempt to call failed"),
    "OUTBUND_PREVIEW_DISCARDED": (None, True, "taken off the list before any call"),  # spelt so by the vendor
}

# disconnectType, https://help.mypurecloud.com/articles/disconnect-reasons/ and the SDKs' DisconnectTypeEnum
# (https://developer.genesys.cloud/devapps/sdk/). "Descriptions are relative to the participant", so three of
# the types name somebody only together with the participant's purpose: "genesys:agent:peer".
_GENESYS_ANYBODY: _Block = {
    "system": ("system", False, "the cloud or the provider ended it"),
    "error": ("system", False, "an error in the provider"),
    "timeout": ("system", False, "a timeout of the system"),
    "inactivity": ("system", False, "ended because a side was inactive"),
    "session.expired": ("system", False, "the session expired"),
    "spam": ("system", False, "taken for spam or a virus"),
    "uncallable": ("system", False, "the number may not be called"),
    "transport.failure": ("network", False, "the media connection failed (ICE)"),
    "transfer": (None, True, "transferred"),
    "transfer.conference": (None, True, "transferred to a conference"),
    "transfer.consult": (None, True, "transferred after a consultation"),
    "transfer.forward": (None, True, "forwarded"),
    "transfer.noanswer": (None, True, "passed on after an alert without an answer"),
    "transfer.notavailable": (None, True, "passed on, not available"),
    "transfer.donotdisturb": (None, True, "passed on, not to be disturbed"),
    "other": (None, False, "another reason"),
}
_GENESYS_STAFF: _Block = {
    "client": ("agent", True, "the agent ended it in the user interface"),
    "endpoint": ("agent", True, "the agent's phone hung up, or the browser closed"),
    "peer": ("customer", True, "the other side ended it"),
}
_GENESYS_CUSTOMER: _Block = {
    "client": (None, False, "a user interface ended it"),
    "endpoint": ("customer", True, "the customer's phone hung up"),
    "peer": (None, False, "a participant other than the customer ended it"),
}
_GENESYS: _Block = {
    **_GENESYS_ANYBODY,
    "client": ("agent", True, "ended in the user interface of Genesys Cloud"),
    "endpoint": (None, False, "a participant's phone hung up"),
    "peer": (None, False, "another participant ended it"),
    **{f"{p}:{t}": e for p in ("agent", "user") for t, e in (_GENESYS_ANYBODY | _GENESYS_STAFF).items()},
    **{f"{p}:{t}": e for p in ("customer", "external") for t, e in (_GENESYS_ANYBODY | _GENESYS_CUSTOMER).items()},
}

# Final responses: RFC 3261 §21, https://www.rfc-editor.org/rfc/rfc3261#section-21. In a call that is up, 408 and
# 481 end it (§12.2.1.2); classes 5 and most of 4 map to Q.850 causes of failure (RFC 3398 §8.2.6.1).
_SIP: _Block = {
    "200": (None, False, "OK"),
    "403": ("network", False, "forbidden"),
    "404": ("network", False, "not found"),
    "408": ("network", False, "request timeout"),
    "410": ("network", False, "gone"),
    "480": (None, True, "temporarily unavailable"),
    "481": ("network", False, "call does not exist"),
    "484": ("network", False, "address incomplete"),
    "486": (None, True, "busy here"),
    "487": (None, True, "request terminated before the answer"),
    "488": ("network", False, "not acceptable here"),
    "500": ("network", False, "server internal error"),
    "502": ("network", False, "bad gateway"),
    "503": ("network", False, "service unavailable"),
    "504": ("network", False, "server time-out"),
    "600": (None, True, "busy everywhere"),
    "603": (None, True, "decline"),
    "604": ("network", False, "does not exist anywhere"),
    "606": ("network", False, "not acceptable"),
}

# CallStatus, https://www.twilio.com/docs/voice/api/call-resource#call-status-values, and SipResponseCode.
# "completed" is every answered call, cut off or not.
_TWILIO: _Block = {
    **_SIP,
    "completed": (None, False, "was answered and is over"),
    "busy": (None, True, "busy"),
    "no-answer": (None, True, "not answered"),
    "canceled": (None, True, "cancelled before the answer"),
    "failed": ("network", False, "the carriers could not connect the call"),
}

# queue_log events that end a call's stay in a queue: https://docs.asterisk.org/Operation/Logging/Queue-Logs/
_ASTERISK: _Block = {
    "COMPLETEAGENT": ("agent", True, "the agent hung up"),
    "COMPLETECALLER": ("customer", True, "the caller hung up"),
    "ABANDON": ("customer", True, "the caller hung up in the queue"),
    "RINGCANCELED": ("customer", True, "the caller hung up while an agent's phone rang"),
    "AGENTDUMP": ("agent", False, "the agent dropped the caller during the announcement"),
    "SYSCOMPAT": ("system", False, "dropped, the channels were not compatible"),
    "TRANSFER": (None, True, "transferred"),
    "BLINDTRANSFER": (None, True, "transferred"),
    "ATTENDEDTRANSFER": (None, True, "transferred after a consultation"),
    "EXITWITHKEY": (None, True, "the caller left the queue with a key"),
    "EXITWITHTIMEOUT": (None, False, "left the queue after its longest wait"),
    "EXITEMPTY": (None, False, "put out of the queue, which had nobody to answer"),
}

# Talk's completion_status: https://developer.zendesk.com/api-reference/voice/talk-api/incremental_exports/,
# meanings in https://support.zendesk.com/hc/en-us/articles/4408881766938. Tickets have no end reason.
_ZENDESK: _Block = {
    "completed": (None, False, "was answered and is over"),
    "abandoned_in_queue": ("customer", True, "the caller hung up in the queue"),
    "abandoned_in_ivr": ("customer", True, "the caller hung up in the menu"),
    "abandoned_on_hold": ("customer", True, "the caller hung up on hold"),
    "abandoned_in_voicemail": ("customer", True, "the caller hung up in voicemail"),
    "pending_voicemail": (None, True, "went to voicemail"),
    "not_answered": (None, True, "not answered"),
    "failed": ("system", False, "the call failed"),
}

TABLE: dict[str, EndReason] = {
    f"{vendor}:{word}".lower(): EndReason(*entry)
    for vendor, block in {
        "amazon_connect": _AMAZON_CONNECT,
        "genesys": _GENESYS,
        "sip": _SIP,
        "twilio": _TWILIO,
        "asterisk": _ASTERISK,
        "zendesk": _ZENDESK,
    }.items()
    for word, entry in block.items()
}
"""Every known vendor's code, in lower case."""

_CAUSE = re.compile(
    r"[:;= ]*([0-9]{1,3})|Q\.?850[:;= ]*(?:cause *= *)?([0-9]{1,3})(?: *;.*)?", re.ASCII | re.IGNORECASE | re.DOTALL
)


def q850(reason_code: str | None) -> int | None:
    """The Q.850 cause in a reason code, if it is one: "38", "Q.850:38", "Q.850;cause=38;text=…" (RFC 3326)."""
    match = _CAUSE.fullmatch(reason_code) if reason_code else None
    cause = int(match[1] or match[2]) if match else 128
    return cause if cause <= 127 else None


@lru_cache(maxsize=4096)
def end_reason(reason_code: str | None) -> EndReason | None:
    """What a reason code says, in any case of letters; None if it is not in the table."""
    if reason_code is None:
        return None
    cause = q850(reason_code)
    if cause is None:
        return TABLE.get(reason_code.lower())
    if cause in Q850_NORMAL:
        return EndReason(None, True, Q850_NORMAL[cause])
    if cause in Q850_SILENT:
        return EndReason(None, False, Q850_SILENT[cause])
    return EndReason("network", False, Q850.get(cause, f"Q.850 cause {cause}"))


def who_ended(given: str | None, reason_code: str | None) -> str | None:
    """Who ended a contact, from its `ended_by` and `reason_code`.

    What is given wins; the code fills in what is not. But a network that clears a call with a
    normal cause has not cut it off, whoever says so.
    """
    if given is None:
        reason = end_reason(reason_code)
        return reason.ended_by if reason else None
    return None if given in ("network", "system") and q850(reason_code) in Q850_NORMAL else given
