-- Contacts are folded once in a while into a table, and the subjects that have changed since are folded when
-- somebody asks: so volvere.contacts is exact at any moment, and quick.

-- When a row came in. Rows that were there before count as new until the mutation has gone through them.
ALTER TABLE volvere_store.touchpoints
    ADD COLUMN IF NOT EXISTS _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') AFTER _offset;

ALTER TABLE volvere_store.touchpoints MATERIALIZE COLUMN _inserted_at;

-- Touchpoints are gathered by subject and contact_id, sorted by their identity, cut where they span
-- more than 30 days (each part takes what lies up to 30 days after its first), and each part is
-- folded by array functions. A contact.* without contact_id is gathered under its own identity.
-- arrayFold runs over an empty array, at no cost, unless the span exceeds 30 days. A subject has one
-- customer_id; it is named beside it so that a question about one customer reads that customer only.
-- The windows look back and ahead by growing frames only, since a frame that shrinks is computed anew for each row.
CREATE OR REPLACE VIEW volvere_store.contacts_folded AS
WITH
    entries AS (
        SELECT
            subject,
            contact_id,
            if(contact_id IS NULL, (source::String, event_id), ('', '')) AS itself,
            customer_id,
            arraySort(groupArray((
                occurred_at, source::String, event_id, kind::String, channel::String,
                topic::Nullable(String), queue::Nullable(String), agent_id::Nullable(String),
                direction::Nullable(String), ended_by::Nullable(String), reason_code::Nullable(String),
                outcome::Nullable(String), wait_ms, handle_ms
            )::Tuple(
                at DateTime64(6, 'UTC'), source String, event_id String, kind String, channel String,
                topic Nullable(String), queue Nullable(String), agent_id Nullable(String),
                direction Nullable(String), ended_by Nullable(String), reason_code Nullable(String),
                outcome Nullable(String), wait_ms Nullable(UInt64), handle_ms Nullable(UInt64)))) AS sorted
        FROM volvere_store.touchpoints FINAL
        WHERE NOT cancelled AND (contact_id IS NOT NULL OR startsWith(kind, 'contact.'))
        GROUP BY subject, customer_id, contact_id, itself
    ),
    parts AS (
        SELECT
            subject, contact_id, customer_id,
            arrayJoin(arraySplit(
                (entry, begins) -> begins,
                sorted,
                if(empty(cuts), arrayWithConstant(length(sorted), 0::UInt8), cuts))) AS part
        FROM (
            SELECT
                subject, contact_id, customer_id, sorted,
                arrayFold(
                    (acc, at) -> if(
                        at > acc.1 + toIntervalDay(30),
                        (at, arrayPushBack(acc.2, 1::UInt8)),
                        (acc.1, arrayPushBack(acc.2, 0::UInt8))),
                    if(sorted.at[-1] > sorted.at[1] + toIntervalDay(30), sorted.at, []),
                    (sorted.at[1], []::Array(UInt8))).2 AS cuts
            FROM entries
        )
    ),
    folded AS (
        SELECT
            subject, contact_id, customer_id,
            part.kind AS kinds,
            part.at AS times,
            greatest(indexOf(kinds, 'contact.started'), 1) AS start,
            times[start] AS started_at,
            part.source[start] AS start_source,
            part.event_id[start] AS start_event_id,
            part.channel[start] AS channel,
            ifNull(part.direction[start], 'inbound') AS direction,
            arrayLast(v -> v IS NOT NULL, part.topic) AS topic,
            arrayLast(v -> v IS NOT NULL, part.queue) AS queue,
            arrayLast(v -> v IS NOT NULL, part.agent_id) AS agent_id,
            direction = 'inbound'
                AND (startsWith(kinds[start], 'contact.') OR kinds[start] = 'message.received') AS attempt,
            arrayFirstOrNull((t, k) -> k = 'contact.queued', times, kinds) AS queued_at,
            indexOf(kinds, 'contact.answered') AS answer,
            if(answer > 0, times[answer], NULL) AS answered_at,
            indexOf(kinds, 'contact.abandoned') AS abandonment,
            abandonment > 0 AS abandoned,
            if(abandoned, times[abandonment], NULL) AS abandoned_at,
            if(abandoned, if(queued_at IS NULL, 'ivr', 'queue'), NULL) AS abandoned_in,
            coalesce(
                arrayFirstOrNull((t, k) -> k = 'contact.ended', times, kinds),
                abandoned_at,
                arrayFirstOrNull((t, k) -> k = 'contact.refused', times, kinds)) AS ended_at,
            arrayLast(
                (v, k) -> v IS NOT NULL AND k IN ('contact.ended', 'contact.abandoned'),
                part.ended_by, kinds) AS ended_by,
            arrayLast(
                (v, k) -> v IS NOT NULL AND k IN ('contact.ended', 'contact.abandoned'),
                part.reason_code, kinds) AS reason_code,
            arrayFirstOrNull((t, k) -> k = 'contact.resolved', times, kinds) AS resolved_at,
            coalesce(
                arrayLast(v -> v IS NOT NULL, part.outcome),
                if(resolved_at IS NULL, NULL, 'resolved')) AS outcome,
            countEqual(kinds, 'contact.transferred') AS transfers,
            coalesce(answered_at, abandoned_at) AS waited_until,
            coalesce(
                part.wait_ms[answer],
                part.wait_ms[abandonment],
                if(queued_at <= waited_until,
                    intDiv(dateDiff('microsecond', queued_at, waited_until), 1000)::Nullable(UInt64),
                    NULL)) AS wait_ms,
            coalesce(
                arrayLast(v -> v IS NOT NULL, part.handle_ms),
                if(answered_at <= ended_at,
                    intDiv(dateDiff('microsecond', answered_at, ended_at), 1000)::Nullable(UInt64),
                    NULL)) AS handle_ms,
            length(kinds) AS touchpoints
        FROM parts
    ),
    chained AS (
        SELECT
            *,
            lagInFrame(toNullable(started_at)) OVER back AS before,
            lagInFrame(toNullable(started_at)) OVER back_on_topic AS before_on_topic,
            max(if(attempt, started_at, NULL)) OVER back_to_attempt AS attempt_before,
            max(if(attempt, started_at, NULL)) OVER back_to_attempt_on_topic AS attempt_before_on_topic,
            min(if(attempt, started_at, NULL)) OVER ahead AS attempt_after,
            min(if(attempt, started_at, NULL)) OVER ahead_on_topic AS attempt_after_on_topic
        FROM folded
        WINDOW
            back AS (
                PARTITION BY subject, customer_id
                ORDER BY started_at, ifNull(contact_id, ''), start_source, start_event_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
            back_on_topic AS (
                PARTITION BY subject, customer_id, topic
                ORDER BY started_at, ifNull(contact_id, ''), start_source, start_event_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
            back_to_attempt AS (
                PARTITION BY subject, customer_id
                ORDER BY started_at, ifNull(contact_id, ''), start_source, start_event_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            back_to_attempt_on_topic AS (
                PARTITION BY subject, customer_id, topic
                ORDER BY started_at, ifNull(contact_id, ''), start_source, start_event_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            ahead AS (
                PARTITION BY subject, customer_id
                ORDER BY started_at DESC, ifNull(contact_id, '') DESC, start_source DESC, start_event_id DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            ahead_on_topic AS (
                PARTITION BY subject, customer_id, topic
                ORDER BY started_at DESC, ifNull(contact_id, '') DESC, start_source DESC, start_event_id DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
SELECT
    contact_id, subject, customer_id, channel, topic, queue, agent_id, direction, attempt::Bool AS attempt,
    started_at, queued_at, answered_at, ended_at, ended_by, reason_code, outcome, resolved_at,
    abandoned::Bool AS abandoned, abandoned_in, transfers, wait_ms, handle_ms, touchpoints,
    if(customer_id IS NULL, NULL, before) AS previous_contact_at,
    if(customer_id IS NULL, NULL, dateDiff('microsecond', before, started_at) / 1000000)
        AS seconds_since_previous,
    if(customer_id IS NULL, NULL, dateDiff('microsecond', before_on_topic, started_at) / 1000000)
        AS seconds_since_previous_same_topic,
    if(customer_id IS NULL, NULL, dateDiff('microsecond', attempt_before, started_at) / 1000000)
        AS seconds_since_attempt,
    if(customer_id IS NULL, NULL, dateDiff('microsecond', attempt_before_on_topic, started_at) / 1000000)
        AS seconds_since_attempt_same_topic,
    if(customer_id IS NULL, NULL, dateDiff('microsecond', started_at, attempt_after) / 1000000)
        AS seconds_to_attempt,
    if(customer_id IS NULL, NULL, dateDiff('microsecond', started_at, attempt_after_on_topic) / 1000000)
        AS seconds_to_attempt_same_topic,
    start_source AS source,
    start_event_id AS event_id
FROM chained;

CREATE TABLE IF NOT EXISTS volvere_store.contacts
(
    contact_id                        Nullable(String),
    subject                           String,
    customer_id                       Nullable(String),
    channel                           LowCardinality(String),
    topic                             LowCardinality(Nullable(String)),
    queue                             LowCardinality(Nullable(String)),
    agent_id                          LowCardinality(Nullable(String)),
    direction                         LowCardinality(String),
    attempt                           Bool,
    started_at                        DateTime64(6, 'UTC'),
    queued_at                         Nullable(DateTime64(6, 'UTC')),
    answered_at                       Nullable(DateTime64(6, 'UTC')),
    ended_at                          Nullable(DateTime64(6, 'UTC')),
    ended_by                          LowCardinality(Nullable(String)),
    reason_code                       LowCardinality(Nullable(String)),
    outcome                           LowCardinality(Nullable(String)),
    resolved_at                       Nullable(DateTime64(6, 'UTC')),
    abandoned                         Bool,
    abandoned_in                      LowCardinality(Nullable(String)),
    transfers                         UInt64,
    wait_ms                           Nullable(UInt64),
    handle_ms                         Nullable(UInt64),
    touchpoints                       UInt64,
    previous_contact_at               Nullable(DateTime64(6, 'UTC')),
    seconds_since_previous            Nullable(Float64),
    seconds_since_previous_same_topic Nullable(Float64),
    seconds_since_attempt             Nullable(Float64),
    seconds_since_attempt_same_topic  Nullable(Float64),
    seconds_to_attempt                Nullable(Float64),
    seconds_to_attempt_same_topic     Nullable(Float64),
    source                            LowCardinality(String),
    event_id                          String,
    folded_at                         DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (subject, started_at);

CREATE MATERIALIZED VIEW IF NOT EXISTS volvere_store.contacts_refresh
REFRESH EVERY 5 MINUTE TO volvere_store.contacts AS
SELECT
    contact_id, subject, customer_id, channel, topic, queue, agent_id, direction, attempt,
    started_at, queued_at, answered_at, ended_at, ended_by, reason_code, outcome, resolved_at,
    abandoned, abandoned_in, transfers, wait_ms, handle_ms, touchpoints,
    previous_contact_at, seconds_since_previous, seconds_since_previous_same_topic,
    seconds_since_attempt, seconds_since_attempt_same_topic,
    seconds_to_attempt, seconds_to_attempt_same_topic,
    source, event_id,
    now64(3, 'UTC') AS folded_at
FROM volvere_store.contacts_folded;

-- An insert under way when the fold began may have had its rows' time before: hence the two minutes,
-- longer than an insert may take.
CREATE OR REPLACE VIEW volvere.contacts AS
WITH (SELECT max(folded_at) - toIntervalMinute(2) FROM volvere_store.contacts) AS folded_until
SELECT
    contact_id, subject, customer_id, channel, topic, queue, agent_id, direction, attempt,
    started_at, queued_at, answered_at, ended_at, ended_by, reason_code, outcome, resolved_at,
    abandoned, abandoned_in, transfers, wait_ms, handle_ms, touchpoints,
    previous_contact_at, seconds_since_previous, seconds_since_previous_same_topic,
    seconds_since_attempt, seconds_since_attempt_same_topic,
    seconds_to_attempt, seconds_to_attempt_same_topic,
    source, event_id
FROM volvere_store.contacts
WHERE subject NOT IN (SELECT subject FROM volvere_store.touchpoints WHERE _inserted_at >= folded_until)
UNION ALL
SELECT
    contact_id, subject, customer_id, channel, topic, queue, agent_id, direction, attempt,
    started_at, queued_at, answered_at, ended_at, ended_by, reason_code, outcome, resolved_at,
    abandoned, abandoned_in, transfers, wait_ms, handle_ms, touchpoints,
    previous_contact_at, seconds_since_previous, seconds_since_previous_same_topic,
    seconds_since_attempt, seconds_since_attempt_same_topic,
    seconds_to_attempt, seconds_to_attempt_same_topic,
    source, event_id
FROM volvere_store.contacts_folded
WHERE subject IN (SELECT subject FROM volvere_store.touchpoints WHERE _inserted_at >= folded_until);
