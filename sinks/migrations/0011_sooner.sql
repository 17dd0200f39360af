-- The same answers sooner. Touchpoints that may be there twice are merged while they are read, which is most of what a question
-- costs: so a view reads them once, and whose subject, time or source is asked for, only of those.

-- Which parts of the table something came into lately.
ALTER TABLE volvere_store.touchpoints ADD INDEX IF NOT EXISTS inserted _inserted_at TYPE minmax;

-- All versions of a touchpoint have its subject, time, source and event_id, so these may be looked at before versions are merged.
-- ClickHouse moves no other condition there.
CREATE OR REPLACE VIEW volvere.touchpoints AS
SELECT
    subject, customer_id, source, event_id, occurred_at, kind, channel, direction, automatic,
    contact_id, journey_id, ref, topic, agent_id, queue, product, asset_id, release,
    ended_by, reason, reason_code, wait_ms, handle_ms, hold_ms, outcome,
    score, scale, amount, currency, due_at, element, x, y, attributes, version, appended_at
FROM volvere_store.touchpoints FINAL
WHERE NOT cancelled
SETTINGS optimize_move_to_prewhere_if_final = 1;

CREATE OR REPLACE VIEW volvere.clock AS
SELECT
    maxOrNull(least(occurred_at, appended_at)) AS known_until,
    maxOrNull(appended_at) AS newest_arrival,
    (SELECT maxOrNull(folded_at) FROM volvere_store.contacts) AS contacts_folded_at
FROM volvere_store.touchpoints;

-- As it was, but for where it looks first.
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
        SETTINGS optimize_move_to_prewhere_if_final = 1
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

-- As it was: low scores and complaints with what followed them up. A subject's touchpoints of all kinds that matter are gathered at once.
CREATE OR REPLACE VIEW volvere.recoveries AS
WITH
    (SELECT known_until FROM volvere.clock) AS known_until,
    told AS (
        SELECT
            subject, customer_id,
            arraySort(e -> (e.at, e.closes, e.source, e.event_id), groupArrayIf(
                (occurred_at, closes, source::String, event_id, kind::String, topic, ref, channel::String, queue, agent_id, scale, score)
                ::Tuple(
                    at DateTime64(6, 'UTC'), closes UInt8, source String, event_id String, kind String,
                    topic Nullable(String), ref Nullable(String), channel String, queue Nullable(String),
                    agent_id Nullable(String), scale Nullable(String), score Nullable(Float64)),
                kind IN ('complaint.filed', 'feedback.followed_up') OR low)) AS events,
            arraySort(groupArrayIf(occurred_at, kind IN (
                'page.viewed', 'element.clicked', 'form.started', 'form.failed', 'form.submitted', 'checkout.started', 'search.failed',
                'order.placed', 'purchase.made', 'subscription.renewed', 'referral.made'))) AS visits,
            arraySort(groupArrayIf(occurred_at, valid AND NOT low)) AS better
        FROM (
            SELECT
                *,
                kind = 'feedback.followed_up' AS closes,
                kind = 'survey.answered' AND ifNull(multiIf(
                    scale = 'nps', score BETWEEN 0 AND 10, scale = 'csat5', score BETWEEN 1 AND 5,
                    scale = 'ces7', score BETWEEN 1 AND 7, false), false) AS valid,
                valid AND score <= multiIf(scale = 'nps', 6, scale = 'csat5', 2, 3) AS low
            FROM volvere.touchpoints
            WHERE kind IN (
                'complaint.filed', 'feedback.followed_up', 'survey.answered',
                'page.viewed', 'element.clicked', 'form.started', 'form.failed', 'form.submitted', 'checkout.started', 'search.failed',
                'order.placed', 'purchase.made', 'subscription.renewed', 'referral.made')
        )
        GROUP BY subject, customer_id
        HAVING countIf(kind = 'complaint.filed' OR low) > 0
    ),
    paired AS (
        SELECT
            subject, customer_id, visits, better,
            arrayFilter(e -> NOT e.closes, events) AS hurts,
            arrayFold(
                (found, e) -> if(
                    NOT e.closes,
                    arrayPushBack(found, NULL::Nullable(DateTime64(6, 'UTC'))),
                    arrayMap(
                        (at, n) -> if(
                            at IS NULL AND if(
                                e.ref IS NULL,
                                n = arrayFirstIndex(
                                    (seen, hurt) -> seen IS NULL AND hurt.topic IS NOT DISTINCT FROM e.topic
                                        AND e.at <= hurt.at + toIntervalDay(32),
                                    found, arraySlice(hurts, 1, length(found))),
                                hurts[n].ref IS NOT DISTINCT FROM e.ref),
                            e.at::Nullable(DateTime64(6, 'UTC')), at),
                        found, arrayEnumerate(found))),
                events,
                []::Array(Nullable(DateTime64(6, 'UTC')))) AS followed
        FROM told
    ),
    attempted AS (
        SELECT subject, arraySort(groupArray((started_at, ifNull(topic, '')::String))) AS attempts
        FROM volvere.contacts
        WHERE attempt
        GROUP BY subject
    ),
    arrayFirstOrNull(
        at -> at >= hurt.at + toIntervalDay(1) AND at <= hurt.at + toIntervalDay(90)
            AND (followed_up_at IS NULL OR at > followed_up_at),
        p.visits) AS visited_at,
    arrayFirstOrNull(
        a -> a.1 >= hurt.at + toIntervalDay(1) AND a.1 <= hurt.at + toIntervalDay(90)
            AND (followed_up_at IS NULL OR a.1 > followed_up_at) AND a.2 != ifNull(hurt.topic, ''),
        attempted.attempts).1 AS attempted_at
SELECT
    hurt.source AS source, hurt.event_id AS event_id, p.subject AS subject, p.customer_id AS customer_id,
    hurt.kind AS kind, hurt.at AS occurred_at, hurt.channel AS channel, hurt.queue AS queue, hurt.topic AS topic,
    hurt.agent_id AS agent_id, hurt.scale AS scale, hurt.score AS score,
    followed_up_at,
    ifNull(followed_up_at <= hurt.at + toIntervalHour(48), false)::Bool AS followed_up_in_time,
    least(ifNull(visited_at, attempted_at), ifNull(attempted_at, visited_at)) AS came_back_at,
    arrayFirstOrNull(
        at -> at > hurt.at AND at <= hurt.at + toIntervalDay(90) AND (followed_up_at IS NULL OR at > followed_up_at),
        p.better) AS scored_better_at,
    ifNull(hurt.at + toIntervalDay(90) < known_until, false)::Bool AS final,
    (followed_up_in_time AND (came_back_at IS NOT NULL OR scored_better_at IS NOT NULL))::Bool AS recovered
FROM paired AS p
ARRAY JOIN hurts AS hurt, followed AS followed_up_at
LEFT JOIN attempted ON attempted.subject = p.subject;

-- As it was: who met friction, by the first live one that opened in the time, beside who met none, by their first touchpoint in it.
CREATE OR REPLACE VIEW volvere.came_back AS
WITH (SELECT known_until FROM volvere.clock) AS known_until
SELECT
    (met IS NOT NULL)::Bool AS with_friction,
    count() AS customers,
    countIf(
        arrayExists(at -> at >= began_at + toIntervalDay(1) AND at <= began_at + toIntervalDay(90), visits)
        OR arrayExists(
            a -> a.1 >= began_at + toIntervalDay(1) AND a.1 <= began_at + toIntervalDay(90)
                AND (met_topic IS NULL OR a.2 != met_topic),
            attempts)) AS came_back,
    came_back / customers AS came_back_rate
FROM (
    SELECT
        subject,
        max(met_at) AS met,
        max(on_topic) AS met_topic,
        ifNull(met, max(first_at)) AS began_at,
        groupArrayArray(visited) AS visits,
        groupArrayArray(attempted) AS attempts
    FROM (
        SELECT
            subject,
            minIfOrNull(occurred_at, customer_id IS NOT NULL AND occurred_at < {until:DateTime64(6, 'UTC')}) AS first_at,
            NULL::Nullable(DateTime64(6, 'UTC')) AS met_at,
            NULL::Nullable(String) AS on_topic,
            groupArrayIf(occurred_at, kind IN (
                'page.viewed', 'element.clicked', 'form.started', 'form.failed', 'form.submitted', 'checkout.started', 'search.failed',
                'order.placed', 'purchase.made', 'subscription.renewed', 'referral.made')) AS visited,
            []::Array(Tuple(DateTime64(6, 'UTC'), String)) AS attempted
        FROM volvere.touchpoints
        WHERE occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')} + toIntervalDay(91)
        GROUP BY subject
        UNION ALL
        SELECT
            subject,
            NULL,
            min(opened_at) AS met_at,
            ifNull(argMin((topic::Nullable(String), 1), (opened_at, toString(friction_id))).1, '') AS on_topic,
            [],
            []
        FROM volvere.frictions
        WHERE mode = 'live' AND customer_id IS NOT NULL
          AND opened_at >= {since:DateTime64(6, 'UTC')} AND opened_at < {until:DateTime64(6, 'UTC')}
        GROUP BY subject
        UNION ALL
        SELECT subject, NULL, NULL, NULL, [], groupArray((started_at, ifNull(topic, '')::String))
        FROM volvere.contacts
        WHERE attempt
          AND started_at >= {since:DateTime64(6, 'UTC')} + toIntervalDay(1)
          AND started_at < {until:DateTime64(6, 'UTC')} + toIntervalDay(91)
        GROUP BY subject
    )
    GROUP BY subject
)
WHERE began_at + toIntervalDay(90) < known_until AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY with_friction;

-- As it was; a subject's touchpoints are gathered once and dealt out to its journeys.
CREATE OR REPLACE VIEW volvere.paths AS
SELECT
    step,
    path[step] AS `from`,
    if(step < length(path), path[step + 1], '(end)') AS `to`,
    count() AS journeys
FROM (
    SELECT
        arrayCompact(arrayMap(
            e -> e.what,
            arrayFilter(
                e -> e.at >= j.started_at AND e.at <= j.ended_at AND (e.journey_id IS NULL OR e.journey_id = j.journey_id),
                t.entries))) AS path
    FROM volvere.journeys AS j
    INNER JOIN (
        SELECT
            subject,
            arraySort(e -> (e.at, e.source, e.event_id), groupArray(
                (occurred_at, source::String, event_id, if({what:String} = 'channel', channel::String, kind::String), journey_id)
                ::Tuple(
                    at DateTime64(6, 'UTC'), source String, event_id String, what String, journey_id Nullable(String)))) AS entries
        FROM volvere.touchpoints
        WHERE occurred_at >= {since:DateTime64(6, 'UTC')}
        GROUP BY subject
    ) AS t ON t.subject = j.subject
    WHERE j.started_at >= {since:DateTime64(6, 'UTC')} AND j.started_at < {until:DateTime64(6, 'UTC')}
      AND notEmpty(path)
      AND (SELECT throwIf({what:String} NOT IN ('channel', 'kind'), 'what: expected channel or kind')) = 0
      AND (SELECT throwIf(
            {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
)
ARRAY JOIN range(1, least(length(path), 20) + 1) AS step
GROUP BY step, `from`, `to`;
