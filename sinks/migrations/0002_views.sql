-- What analysts read. FINAL is inside, so that every answer is exact whether or not merges have run.

CREATE VIEW IF NOT EXISTS volvere.touchpoints AS
SELECT
    subject, customer_id, source, event_id, occurred_at, kind, channel, direction, automatic,
    contact_id, journey_id, ref, topic, agent_id, queue, product, asset_id, release,
    ended_by, reason, reason_code, wait_ms, handle_ms, hold_ms, outcome,
    score, scale, amount, currency, due_at, element, x, y, attributes, version, appended_at
FROM volvere_store.touchpoints FINAL
WHERE NOT cancelled;

-- A view shows of each subject only its newest generation: what a rebuild did not find again no
-- longer stands. Rows of the newest generation of all pass without a look-up, and as long as there
-- is one generation only, the condition inside the subquery is false and it reads nothing.
CREATE VIEW IF NOT EXISTS volvere.journeys AS
SELECT
    journey_id, subject, customer_id, started_at, ended_at, touchpoints, contacts,
    first_channel, last_channel, frictions, score, generation, revision, replay
FROM volvere_store.journeys FINAL
WHERE generation >= (SELECT max(generation) FROM volvere_store.generations)
   OR (subject, generation) IN (
        SELECT subject, max(generation) FROM volvere_store.generations
        WHERE (SELECT min(generation) < max(generation) FROM volvere_store.generations)
        GROUP BY subject);

CREATE VIEW IF NOT EXISTS volvere.frictions AS
SELECT
    friction_id, kind, state, reason, severity, opened_at, resolved_at, provisional, final_at,
    subject, customer_id, journey_id, contact_id, channel, queue, agent_id, topic, product, asset_id, release,
    observed_value, observed_unit, observed_window, observed_also,
    threshold_value, threshold_unit, threshold_window,
    rule_id, rule_digest, mode, generation, revision, group_open, corrected, suppressed, replay,
    dedupkey, groupkey, summary, evidence, detected_at
FROM volvere_store.frictions FINAL
WHERE generation >= (SELECT max(generation) FROM volvere_store.generations)
   OR (subject, generation) IN (
        SELECT subject, max(generation) FROM volvere_store.generations
        WHERE (SELECT min(generation) < max(generation) FROM volvere_store.generations)
        GROUP BY subject);

-- Touchpoints are gathered by subject and contact_id, sorted by their identity, cut where they span
-- more than 30 days (each part takes what lies up to 30 days after its first), and each part is
-- folded by array functions. A contact.* without contact_id is gathered under its own identity.
-- arrayFold runs over an empty array, at no cost, unless the span exceeds 30 days. A subject has one
-- customer_id; it is named beside it so that a question about one customer reads that customer only.
CREATE VIEW IF NOT EXISTS volvere.contacts AS
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
            lagInFrame(toNullable(started_at)) OVER (
                PARTITION BY subject, customer_id
                ORDER BY started_at, ifNull(contact_id, ''), start_source, start_event_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before,
            lagInFrame(toNullable(started_at)) OVER (
                PARTITION BY subject, customer_id, topic
                ORDER BY started_at, ifNull(contact_id, ''), start_source, start_event_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before_on_topic
        FROM folded
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
    start_source AS source,
    start_event_id AS event_id
FROM chained;
