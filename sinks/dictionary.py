"""The data dictionary: what every table, view and column of ClickHouse means.

The comments in the database and the reference for analysts both come from here. A column that
means the same everywhere is described once; what differs in one table or view is said there.
"""

from __future__ import annotations

OBJECTS: dict[str, str] = {
    "volvere.touchpoints": (
        "One row for each thing that happened between a customer and the company: its newest version, "
        "without cancelled ones."
    ),
    "volvere.contacts": (
        "One row for each contact: one attempt to get something done with somebody (a call, a conversation, a case), "
        "folded from all touchpoints of one subject with one contact_id within 30 days. A contact.* touchpoint "
        "without contact_id is a contact of its own. Too-late touchpoints count here, though not in frictions."
    ),
    "volvere.contact_metrics": (
        "Waiting, abandonment, service level, handling and transfers of contacts that started in [since, until), by what "
        "`by` names."
    ),
    "volvere.returns": (
        "Whether contacts solved the matter: for windows of 1 h, 24 h, 7 d and 30 d, start to start and closed, what came "
        "after and before contacts that started in [since, until). Final is what can no longer change, its window having passed "
        "on volvere.clock."
    ),
    "volvere.short_contacts": (
        "Answered contacts of known customers with a handle time below under_ms beside the others, and which of them "
        "were followed by another attempt of the customer, on any topic, within within_s of their start."
    ),
    "volvere.funnel": (
        "One row for each of the steps, kinds of touchpoints in order: how many known customers reached it. From each touchpoint of "
        "the first step in [since, until) runs the earliest chain of the later ones, strictly in order of (occurred_at, source, "
        "event_id), all within within_s of the first; a customer counts by the longest chain, of equally long ones the earliest."
    ),
    "volvere.paths": (
        "Journeys that started in [since, until) as edges of a Sankey diagram: one row for each step (1 to 20) and change from one "
        "channel or kind of touchpoint to the next. Equal neighbours count once; what comes to a step goes on from it, or to (end). A "
        "journey's touchpoints are its subject's from its start to its end, but for those that name another journey."
    ),
    "volvere.retention": (
        "Cohorts of known customers by the period, every_days times 24 hours from since on, in which they first did something of their "
        "own will (a message, click, order, answer, cancellation, ..., by no machine, or an attempt), and who did so in each period "
        "after it. One row for each cohort and period; periods begin before until, and not after volvere.clock.known_until."
    ),
    "volvere.step_times": (
        "How long it takes from one kind of touchpoint to another, by channel of the first: from each touchpoint of from_kind of a known "
        "customer in [since, until) to the customer's next of to_kind, if that comes before the next of from_kind. Where both are one "
        "kind, the time to the next of it."
    ),
    "volvere.customers": (
        "One row for each known customer who has touchpoints: since when, how much, of which frictions, and what models of customer "
        "lifetime value take: recency, frequency, monetary value (amounts) and age. Contacts, journeys and frictions as their views have them."
    ),
    "volvere.clock": "One row: how far the store knows what has happened, and when contacts were folded last.",
    "volvere.journeys": (
        "One row for each journey: a subject's touchpoints unbroken by more than the inactivity gap (7 days by "
        "default), or sharing an explicit journey_id. Only the newest generation of a subject."
    ),
    "volvere.frictions": (
        "One row for each difficulty that a customer met, as last said; retracted ones are not shown. "
        "Only the newest generation of a subject. Count mode = 'live' for what was notified, 'shadow' is on trial."
    ),
    "volvere_store.touchpoints": "Touchpoints as they came, all versions until merged; read volvere.touchpoints.",
    "volvere_store.operations": "Company-side events (channels, releases, agents) as they came, until merged.",
    "volvere_store.journeys": "Journey snapshots as they came, until merged; read volvere.journeys.",
    "volvere_store.frictions": "Friction events as they came, until merged; read volvere.frictions.",
    "volvere_store.contacts": "Contacts as they were folded last; read volvere.contacts, which folds what has changed since.",
    "volvere_store.contacts_folded": "All contacts, folded at the moment of asking; slow where there are many. Read volvere.contacts.",
    "volvere_store.contacts_refresh": "Folds the contacts every five minutes.",
    "volvere_store.contacts_by": "Contacts that started in [since, until), each with the value that it is counted by.",
    "volvere_store.own_touchpoints": "When known customers did something of their own will: kinds that only customers do, and attempts.",
    "volvere_store.generations": "The newest generation of each subject, after merging; use max(generation).",
    "volvere_store.generations_of_journeys": "Feeds generations from journeys.",
    "volvere_store.generations_of_frictions": "Feeds generations from frictions.",
    "volvere_store.migrations": "The migrations that were applied.",
}

COLUMNS: dict[str, str] = {
    "abandoned": "True when the customer gave up before an answer (contact.abandoned)",
    "abandoned_in": "Where the customer gave up: ivr (before queueing) or queue; null when not abandoned",
    "abandoned_in_ivr": "Contacts abandoned before they were queued",
    "abandoned_in_queue": "Contacts abandoned in the queue, short abandons among them",
    "abandoned_in_time": "Contacts abandoned in the queue within within_ms and never answered",
    "abandonment_rate": "Abandoned in the queue, over queued; short abandons are in neither; null where nothing remains",
    "age_days": "Days (of 24 hours) from first_at to volvere.clock.known_until",
    "agent_id": "The agent",
    "alias": "The subject as it was when the record was sent; stays when identities are joined",
    "amount": "Money, exact decimal, in `currency`",
    "amounts": "Orders and purchases less refunds: currency -> exact decimal; XXX is money without a currency",
    "answered": "Contacts that were answered",
    "answered_at": "First contact.answered, UTC; null when never answered",
    "answered_in_time": "Queued contacts answered within within_ms",
    "appended_at": "When the record arrived in Kafka, UTC",
    "applied_at": "When the migration was applied, UTC",
    "asset_id": "The asset (vehicle, device, ...) that it was about",
    "attempt": "True for an inbound contact begun by contact.* or message.received; never a case or an outbound contact",
    "attempts": "Contacts that are attempts: inbound, begun by contact.* or message.received",
    "attributes": "Further fields as they were sent, as text",
    "automatic": "True when a machine sent it: no reply, no answer",
    "beginnings": "Touchpoints of from_kind of known customers",
    "came_back": "True when the journey begins of the customer's own will, 1 to 90 days after a friction in an earlier journey",
    "cancelled": "True when the event was withdrawn",
    "cancelled_at": "When the customer left: the first subscription.cancelled or account.closed since the newest order, purchase or renewal (the same moment is not later), UTC; null for who has not left",
    "channel": "voice, chat, sms, email, social, web, store, ...",
    "cohort": "Where the period begins in which the cohort first did something of their own will, UTC",
    "cohort_customers": "Known customers in the cohort",
    "complete": "True when the period has ended by volvere.clock.known_until; else the share may still rise",
    "contact_id": "The call, conversation or case, prefixed with its system's name; null when none was given",
    "contacts": "Number of contacts that begin in the journey",
    "contacts_folded_at": "When contacts were folded last, UTC; null before the first time. What came since is folded when asked for",
    "corrected": "True when late evidence changed what an earlier revision said",
    "currency": "Currency of `amount`, ISO 4217",
    "customer_id": "The customer; null when unknown",
    "customers": "Known customers, each once",
    "dedupkey": "One incident: kind and a hash of subject and stable cause; never an event, count or time",
    "detected_at": "When this revision was detected, UTC",
    "digest": "Digest of the migration's text",
    "direction": "inbound or outbound; null is inbound",
    "due_at": "When a promise falls due, UTC",
    "element": "What was clicked, asked or filled in",
    "ended_at": "When it ended, UTC",
    "ended_by": "Who ended it: customer, agent, network or system; null when unknown",
    "event_id": "Id of the event, unique within its source",
    "evidence": "Up to 20 touchpoints that prove the friction: source, event_id, occurred_at (UTC) and the role of each",
    "fcr": "First-contact resolution: of inbound, answered attempts of known customers the share without a further attempt of the customer on the topic within the window; final ones; null where there are none (SQM, ICMI)",
    "fcr_of": "Contacts that fcr is a share of",
    "fcr_provisional": "The same of contacts whose window has not passed: what it would be if nobody came any more",
    "fcr_provisional_of": "Contacts that fcr_provisional is a share of",
    "final_at": "From here on time alone cannot change the friction, UTC",
    "first_at": "First touchpoint, UTC",
    "first_bought_at": "First order or purchase, UTC; null when there is none",
    "first_channel": "Channel of the journey's first touchpoint",
    "folded_at": "When the contacts were folded, UTC",
    "frequency": "Number of orders and purchases (order.placed, purchase.made)",
    "friction_id": "Stable id: from the kind and the one contact or touchpoint without which there would be no friction",
    "frictions": "Number of frictions anchored in the journey, shadow ones not counted",
    "from": "Where the edge begins: a channel or a kind of touchpoint",
    "generation": "Which building of the state from the touchpoints found it; a rebuild raises it",
    "group_open": "Open live frictions under the same dedupkey when this was said",
    "groupkey": "One storm: kind and queue or release, without the customer",
    "handle_mean_ms": "Mean handle time (talk, hold and after-work), milliseconds; null where none is known",
    "handle_ms": "Talk, hold and after-work together, milliseconds; null when unknown",
    "handle_p50_ms": "Half of the known handle times are no longer than this, milliseconds; null where none is known",
    "handle_p90_ms": "Nine of ten known handle times are no longer than this, milliseconds; null where none is known",
    "handle_p95_ms": "95 of 100 known handle times are no longer than this, milliseconds; null where none is known",
    "hold_ms": "Time on hold, milliseconds; null when unknown",
    "issue_fcr": "First-contact resolution by issue, a chain of attempts on one topic, each within the window of the one before: of issues whose first attempt was answered the share that had no other; final ones; null where there are none",
    "issue_fcr_of": "Issues that issue_fcr is a share of",
    "journey_id": "The journey",
    "journeys": "Number of journeys",
    "kind": "What it is, such as contact.started",
    "known_until": "The newest thing that happened and has come in, UTC; null in an empty store",
    "last_at": "Newest touchpoint, UTC",
    "last_bought_at": "Newest order or purchase, UTC; null when there is none",
    "last_channel": "Channel of the journey's newest touchpoint",
    "last_own_at": "When the customer last did something of their own will (a message, click, order, answer, ..., by no machine, or an attempt), UTC; null when never",
    "last_scale": "Scale of last_score: nps, csat5, ces7, ...; null when there is no score, or none was named",
    "last_score": "The newest score that the customer gave, on last_scale; null when none",
    "merged_into": "The journey that took this one in, when merged",
    "mode": "live, or shadow (recorded, never notified)",
    "name": "File name of the migration",
    "newest_arrival": "When the newest touchpoint arrived in Kafka, UTC; null in an empty store",
    "not_followed": "Those of beginnings that were not followed, or not yet",
    "observed_also": "The same value in other windows: window such as 14d -> value",
    "observed_unit": "Unit of observed_value: contacts, seconds, ...",
    "observed_value": "What was observed, in observed_unit; null when the detector measures nothing",
    "observed_window": "The window that observed_value was counted in, such as 7d; null where there is none",
    "occurred_at": "When it happened, UTC, microseconds",
    "offered": "Queued contacts that were answered, or abandoned in the queue",
    "open_frictions": "Those of frictions that are open",
    "opened_at": "When the friction began, UTC",
    "other_contacts": "Answered contacts of known customers that were not short",
    "other_followed": "Those of other_contacts that were followed",
    "other_return_rate": "other_followed over other_contacts; null where there are none",
    "outcome": "ok, fail, resolved, unresolved, denied or escalated; null when unknown",
    "path": "Channels in order, equal neighbours once; the first 20",
    "period": "Number of the period since the cohort's own, which is 0",
    "previous_contact_at": "Start of the same customer's contact before this one, any topic or channel, UTC; null for the first and for unknown customers",
    "product": "The product",
    "provisional": "True while time alone can still change the friction, see final_at",
    "queue": "The queue",
    "queued": "Contacts that were queued",
    "queued_at": "First contact.queued, UTC; null when never queued",
    "reason": "Why, in Volveré's words: policy, callback_accepted, channel_closed, ...; null when unknown",
    "reason_code": "Why, in the vendor's own word; null when unknown",
    "recency_days": "Days (of 24 hours) from last_bought_at to volvere.clock.known_until; null for who never bought",
    "ref": "The promise, case, order, form, survey, complaint or request that it belongs to",
    "referrals": "Number of referrals (referral.made)",
    "release": "The software release in use",
    "repeat_rate": "Repeat rate: of attempts of known customers the share with an earlier attempt, on any topic, at most the window before; null where there are none",
    "repeats": "Attempts with an earlier one of the customer, on any topic, at most the window before",
    "repeats_of": "Attempts of known customers",
    "replay": "True when it was found in history or a backfill, which never pages anybody",
    "resolved_at": "When it was resolved, UTC; null when it was not",
    "return_rate": "Return rate: of contacts of known customers the share followed by an attempt on the same topic within the window; final ones; null where there are none",
    "return_rate_any_topic": "The same with attempts on any topic",
    "returns": "Contacts followed by an attempt on the same topic within the window; final ones",
    "returns_any_topic": "The same with attempts on any topic",
    "returns_of": "Contacts of known customers whose window has passed",
    "revision": "How many times something was said about it in this generation, from 1",
    "rule_digest": "Digest of the rule's settings at the time",
    "rule_id": "The rule under which the friction was found",
    "scale": "Scale of `score`: nps, csat5, ces7, ...",
    "score": "The score that the customer gave, on `scale`; null when none",
    "seconds_mean": "Mean of the seconds to what followed; null where nothing did",
    "seconds_p50": "Half took no longer than this, seconds; null where nothing followed",
    "seconds_p90": "Nine of ten took no longer than this, seconds; null where nothing followed",
    "seconds_p99": "99 of 100 took no longer than this, seconds; null where nothing followed",
    "seconds_since_attempt": "Seconds from the start of the same customer's attempt before this contact, any topic, to this start; null where there is none and for unknown customers",
    "seconds_since_attempt_same_topic": "The same among attempts with the same topic; having no topic counts as a topic of its own",
    "seconds_since_previous": "Seconds from the start of the same customer's contact before this one, any topic, to this start; 0 for equal starts; null for the first and for unknown customers",
    "seconds_since_previous_same_topic": "The same among contacts with the same topic; having no topic counts as a topic of its own",
    "seconds_to_attempt": "Seconds from this start to the start of the same customer's next attempt, any topic; null where there is none yet and for unknown customers",
    "seconds_to_attempt_same_topic": "The same among attempts with the same topic; having no topic counts as a topic of its own",
    "service_level_abandons_ignored": "Answered in time, over offered; who abandoned in time is left out (Cisco: abandoned calls ignored)",
    "service_level_abandons_negative": "Answered in time, over offered; who abandoned counts as missed (Cisco: abandoned calls count negatively)",
    "service_level_abandons_positive": "Answered or abandoned in time, over offered (Cisco: abandoned calls count positively)",
    "severity": "info, warning, error or critical",
    "share": "customers over cohort_customers",
    "share_of_first": "customers, over those of the first step; null where there are none",
    "share_of_previous": "customers, over those of the step before; null for the first and where there are none",
    "short_abandons": "Contacts abandoned in the queue within short_abandon_ms",
    "short_contacts": "Answered contacts of known customers with a handle time below under_ms",
    "short_followed": "Those of short_contacts that were followed",
    "short_return_rate": "short_followed over short_contacts; null where there are none",
    "source": "Who reported it",
    "speed_of_answer_ms": "Mean wait of those who were answered, milliseconds; null where none is known",
    "started_at": "When it began, UTC",
    "state": "open or resolved",
    "step": "Number of the step, from 1",
    "subject": "Whom it is about: the customer_id; where unknown ~contact/ and the contact_id; else ~touchpoint/, source and event_id",
    "summary": "One line that a person can read",
    "suppressed": "True when it was recorded without notifying anybody",
    "threshold_unit": "Unit of threshold_value",
    "threshold_value": "The limit that was crossed, in threshold_unit; null where there is none",
    "threshold_window": "The window that the limit applies to, such as 7d; null where there is none",
    "times_as_often": "short_return_rate over other_return_rate; null where either is missing or nobody of the others returned",
    "to": "Where the edge leads: a channel or a kind of touchpoint, or (end) where the journey has ended or not gone on",
    "topic": "What it was about; null when not known",
    "touchpoints": "Number of touchpoints in it",
    "transferred": "Contacts with at least one transfer",
    "transfers": "Number of transfers (contact.transferred)",
    "value": "What is counted here, by the parameter `by`: 2026-01-31, a queue, ...; null where a contact has none",
    "version": "Version of the event as its source counts it; the newest is shown",
    "wait_ms": "Time in queue before the answer or the giving up, milliseconds; null when unknown",
    "wait_p50_ms": "Half of those answered waited no longer than this, milliseconds; null where no wait is known",
    "wait_p90_ms": "Nine of ten of those answered waited no longer than this, milliseconds; null where no wait is known",
    "within_s": "The window, seconds: 3,600, 86,400, 604,800 or 2,592,000",
    "x": "Horizontal position of a click, pixels",
    "y": "Vertical position of a click, pixels",
    "_deleted": "1: the newest row says that there is no such thing (retracted, or merged away)",
    "_inserted_at": "When the row was stored, UTC",
    "_offset": "Offset of the Kafka record that the row came from",
    "_partition": "Partition of the Kafka record that the row came from",
    "_topic": "Topic of the Kafka record that the row came from",
    "_version": "Which row wins: made from the content, greatest wins",
}

PARAMETERS: dict[str, tuple[str, str]] = {
    "by": ("'day'", "day, week, month, hour (of the day), weekday (1 is Monday), channel, queue, topic, agent or all"),
    "every_days": ("7", "how long a period is, days of 24 hours, at least 1"),
    "from_kind": ("'contact.queued'", "the kind of touchpoint that times are taken from"),
    "since": ("'2026-01-01'", "from when on, inclusive, UTC"),
    "short_abandon_ms": ("5000", "who gives up in the queue within so many milliseconds is not counted as abandoned"),
    "under_ms": ("10000", "handle times below so many milliseconds are short"),
    "steps": ("['page.viewed', 'order.placed']", "kinds of touchpoints in order, at least one"),
    "to_kind": ("'contact.answered'", "the kind of touchpoint that times are taken to"),
    "until": ("'2026-02-01'", "until when, exclusive, UTC"),
    "what": ("'channel'", "what the steps are: channel or kind"),
    "within_ms": ("20000", "an answer within so many milliseconds is in time"),
    "zone": ("'Europe/Madrid'", "whose days and hours `by` means, a name of the time zone database such as UTC"),
    "within_s": ("3600", "what comes later counts up to so many seconds after the first, inclusive"),
}
"""What a parametrised view takes: an example, and what it means. All of a view's parameters must be given."""

OWN: dict[str, dict[str, str]] = {
    "volvere.contact_metrics": {
        "contacts": "Contacts, whichever",
        "transfers": "Number of transfers",
    },
    "volvere.funnel": {
        "customers": "Known customers who reached the step, each once",
        "kind": "The step's kind of touchpoint",
        "seconds_p50": "Median of the seconds from the step before, of those who made it; null for the first and where nobody did",
    },
    "volvere.paths": {"journeys": "Journeys that take the edge", "step": "Number of the edge in the journey, 1 to 20"},
    "volvere.retention": {"customers": "Those of the cohort who did something of their own will in the period"},
    "volvere.step_times": {"channel": "Channel of the touchpoint of from_kind"},
    "volvere.customers": {
        "contacts": "Number of the customer's contacts",
        "customer_id": "The customer",
        "frictions": "Number of the customer's frictions, shadow ones not counted",
        "journeys": "Number of the customer's journeys",
        "subject": "The customer_id; where that begins with ~, another ~ before it",
        "touchpoints": "Number of the customer's touchpoints",
    },
    "volvere.short_contacts": {"handle_mean_ms": "Mean handle time of both, milliseconds"},
    "volvere.contacts": {
        "agent_id": "Latest known agent of the contact",
        "channel": "Channel on which the contact started",
        "direction": "inbound or outbound, as the contact started; inbound where not said",
        "ended_at": "First contact.ended, else first contact.abandoned, else first contact.refused, UTC; null while open",
        "ended_by": "Latest known of contact.ended and contact.abandoned: customer, agent, network or system",
        "event_id": "Id of the touchpoint that started the contact, unique within `source`",
        "handle_ms": "Latest reported handle time, else answer to end, milliseconds; null when neither is known",
        "outcome": "Latest known outcome, else resolved when there is a contact.resolved, else null",
        "queue": "Latest known queue of the contact",
        "reason_code": "Latest known of contact.ended and contact.abandoned, in the vendor's own word",
        "resolved_at": "First contact.resolved, UTC; null when there is none",
        "source": "Who reported the touchpoint that started the contact",
        "started_at": "Time of the first contact.started, else of the earliest touchpoint, UTC",
        "topic": "Latest known topic of the contact; null when none is known",
        "touchpoints": "Number of touchpoints of the contact",
        "wait_ms": (
            "Reported wait of the first answer, else of the first abandonment, else first contact.queued to whichever "
            "came, milliseconds; null when unknown"
        ),
    },
    "volvere.journeys": {
        "ended_at": "Time of its newest touchpoint so far, UTC",
        "outcome": "Latest known outcome in the journey: ok, resolved, denied, ...; null when none is known",
        "score": "Friction score, 0 (none) to 100; not the effort score that customers answer",
        "started_at": "Time of its first touchpoint, UTC",
        "touchpoints": "Number of touchpoints of the journey",
    },
    "volvere.frictions": {
        "contact_id": "The contact that the friction is anchored in; null where it is none",
        "kind": "Kind of friction: repeat_contact, dropped_call, queue_abandoned, ...",
        "reason": "Why it resolved: answered, superseded, expired, rule_changed, ...; null while open",
        "resolved_at": "When the friction was resolved, UTC; null while open",
    },
    "volvere_store.generations": {"generation": "Its newest generation once merged"},
    "volvere_store.migrations": {"version": "Number of the migration"},
}
OWN["volvere_store.journeys"] = OWN["volvere.journeys"] | {"state": "active, or merged into another (see merged_into)"}
OWN["volvere_store.frictions"] = OWN["volvere.frictions"] | {"state": "open, resolved or retracted"}


def of_object(name: str) -> str:
    """The comment of a table or view, by database.name; empty when there is none."""
    return OBJECTS.get(name, "")


def of_column(name: str, column: str) -> str:
    """The comment of a column of a table or view; empty when there is none."""
    return OWN.get(name, {}).get(column) or COLUMNS.get(column, "")
