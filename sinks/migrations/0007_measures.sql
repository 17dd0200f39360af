-- What customers say and whether they stay. `since` and `until` bound what is counted, [since, until), UTC.

-- What a customer does who comes of their own will: attempts, and these kinds. A cancellation or a complaint is no coming back.
CREATE OR REPLACE VIEW volvere_store.visits AS
SELECT subject, occurred_at, NULL::Nullable(String) AS topic
FROM volvere.touchpoints
WHERE kind IN (
    'page.viewed', 'element.clicked', 'form.started', 'form.failed', 'form.submitted', 'checkout.started', 'search.failed',
    'order.placed', 'purchase.made', 'subscription.renewed', 'referral.made')
UNION ALL
SELECT subject, started_at AS occurred_at, ifNull(topic, '')::Nullable(String) AS topic
FROM volvere.contacts
WHERE attempt;

-- Answers with a score. Low is what the rules call low unless told otherwise: 6 of nps, 2 of csat5, 3 of ces7, or less.
CREATE OR REPLACE VIEW volvere.surveys AS
SELECT
    subject, customer_id, source, event_id, occurred_at, channel, queue, topic, agent_id, ref, scale, score,
    multiIf(scale = 'nps', score BETWEEN 0 AND 10, scale = 'csat5', score BETWEEN 1 AND 5, scale = 'ces7', score BETWEEN 1 AND 7, false)::Bool
        AS valid,
    (valid AND score <= multiIf(scale = 'nps', 6, scale = 'csat5', 2, 3))::Bool AS low
FROM volvere.touchpoints
WHERE kind = 'survey.answered' AND score IS NOT NULL AND scale IS NOT NULL;

-- Low scores and complaints with what followed them up: a follow-up with a ref goes to all that is open under it, one
-- without to the earliest that is open on the topic, for 32 days. At equal times the low score was first.
CREATE OR REPLACE VIEW volvere.recoveries AS
WITH
    (SELECT known_until FROM volvere.clock) AS known_until,
    told AS (
        SELECT
            subject, customer_id,
            arraySort(e -> (e.at, e.closes, e.source, e.event_id), groupArray(
                (occurred_at, closes, source::String, event_id, kind::String, topic, ref, channel::String, queue, agent_id, scale, score)
                ::Tuple(
                    at DateTime64(6, 'UTC'), closes UInt8, source String, event_id String, kind String,
                    topic Nullable(String), ref Nullable(String), channel String, queue Nullable(String),
                    agent_id Nullable(String), scale Nullable(String), score Nullable(Float64)))) AS events
        FROM (
            SELECT
                t.subject, t.customer_id, t.occurred_at, t.kind = 'feedback.followed_up' AS closes, t.source, t.event_id, t.kind,
                t.topic, t.ref, t.channel, t.queue, t.agent_id, t.scale, t.score
            FROM volvere.touchpoints AS t
            WHERE t.kind IN ('complaint.filed', 'feedback.followed_up')
            UNION ALL
            SELECT
                s.subject, s.customer_id, s.occurred_at, 0 AS closes, s.source, s.event_id, 'survey.answered' AS kind,
                s.topic, s.ref, s.channel, s.queue, s.agent_id, s.scale, s.score
            FROM volvere.surveys AS s
            WHERE s.low
        )
        GROUP BY subject, customer_id
        HAVING countIf(NOT closes) > 0
    ),
    paired AS (
        SELECT
            subject, customer_id,
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
    visited AS (
        SELECT subject, arraySort(groupArray((occurred_at, topic))) AS visits
        FROM volvere_store.visits
        WHERE subject IN (SELECT subject FROM told)
        GROUP BY subject
    ),
    scored AS (
        SELECT subject, arraySort(groupArray(occurred_at)) AS better
        FROM volvere.surveys
        WHERE valid AND NOT low
        GROUP BY subject
    )
SELECT
    hurt.source AS source, hurt.event_id AS event_id, p.subject AS subject, p.customer_id AS customer_id,
    hurt.kind AS kind, hurt.at AS occurred_at, hurt.channel AS channel, hurt.queue AS queue, hurt.topic AS topic,
    hurt.agent_id AS agent_id, hurt.scale AS scale, hurt.score AS score,
    followed_up_at,
    ifNull(followed_up_at <= hurt.at + toIntervalHour(48), false)::Bool AS followed_up_in_time,
    arrayFirstOrNull(
        v -> v.1 >= hurt.at + toIntervalDay(1) AND v.1 <= hurt.at + toIntervalDay(90)
            AND (followed_up_at IS NULL OR v.1 > followed_up_at)
            AND (v.2 IS NULL OR v.2 != ifNull(hurt.topic, '')),
        visited.visits).1 AS came_back_at,
    arrayFirstOrNull(
        at -> at > hurt.at AND at <= hurt.at + toIntervalDay(90) AND (followed_up_at IS NULL OR at > followed_up_at),
        scored.better) AS scored_better_at,
    ifNull(hurt.at + toIntervalDay(90) < known_until, false)::Bool AS final,
    (followed_up_in_time AND (came_back_at IS NOT NULL OR scored_better_at IS NOT NULL))::Bool AS recovered
FROM paired AS p
ARRAY JOIN hurts AS hurt, followed AS followed_up_at
LEFT JOIN visited ON visited.subject = p.subject
LEFT JOIN scored ON scored.subject = p.subject;

-- A survey counts where it was sent or answered: by the touchpoint's own channel, queue, topic and agent.
CREATE OR REPLACE VIEW volvere.feedback AS
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(occurred_at, {zone:String})),
        {by:String} = 'week', toString(toMonday(occurred_at, {zone:String})),
        {by:String} = 'month', toString(toStartOfMonth(occurred_at, {zone:String})),
        {by:String} = 'channel', channel::String,
        {by:String} = 'queue', queue::Nullable(String),
        {by:String} = 'topic', topic::Nullable(String),
        {by:String} = 'agent', agent_id::Nullable(String),
        'all') AS value,
    countIf(kind = 'survey.sent') AS sent,
    countIf(kind = 'survey.answered') AS answered,
    if(sent > 0, answered / sent, NULL) AS response_rate,
    countIf(kind = 'survey.answered' AND scale = 'nps' AND score BETWEEN 0 AND 10) AS nps_of,
    if(nps_of > 0,
        100 * (countIf(kind = 'survey.answered' AND scale = 'nps' AND score BETWEEN 9 AND 10)
            - countIf(kind = 'survey.answered' AND scale = 'nps' AND score BETWEEN 0 AND 6)) / nps_of, NULL) AS nps,
    countIf(kind = 'survey.answered' AND scale = 'csat5' AND score BETWEEN 1 AND 5) AS csat_of,
    if(csat_of > 0, countIf(kind = 'survey.answered' AND scale = 'csat5' AND score BETWEEN 4 AND 5) / csat_of, NULL) AS csat,
    countIf(kind = 'survey.answered' AND scale = 'ces7' AND score BETWEEN 1 AND 7) AS ces_of,
    avgIfOrNull(score, kind = 'survey.answered' AND scale = 'ces7' AND score BETWEEN 1 AND 7) AS ces,
    countIf(kind = 'complaint.filed') AS complaints
FROM volvere.touchpoints
WHERE kind IN ('survey.sent', 'survey.answered', 'complaint.filed')
  AND occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {by:String} NOT IN ('day', 'week', 'month', 'channel', 'queue', 'topic', 'agent', 'all'),
        'by: expected day, week, month, channel, queue, topic, agent or all')) = 0
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY value;

CREATE OR REPLACE VIEW volvere.recovery AS
SELECT
    uniqExactIf(customer_id, final) AS recovery_of,
    uniqExactIf(customer_id, final AND recovered) AS recovered_customers,
    if(recovery_of > 0, recovered_customers / recovery_of, NULL) AS recovery_rate,
    count() AS low_scores_and_complaints,
    countIf(followed_up_in_time) AS followed_up
FROM volvere.recoveries
WHERE occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0;

-- Who met friction, by the first live one that opened in the time, beside who met none, by their first touchpoint in it.
CREATE OR REPLACE VIEW volvere.came_back AS
WITH
    (SELECT known_until FROM volvere.clock) AS known_until,
    met AS (
        SELECT subject, argMin((opened_at, topic::Nullable(String)), (opened_at, toString(friction_id))) AS first
        FROM volvere.frictions
        WHERE mode = 'live' AND customer_id IS NOT NULL
          AND opened_at >= {since:DateTime64(6, 'UTC')} AND opened_at < {until:DateTime64(6, 'UTC')}
        GROUP BY subject
    ),
    began AS (
        SELECT subject, true AS with_friction, first.1 AS at, ifNull(first.2, '')::Nullable(String) AS topic FROM met
        UNION ALL
        SELECT subject, false AS with_friction, min(occurred_at) AS at, NULL::Nullable(String) AS topic
        FROM volvere.touchpoints
        WHERE customer_id IS NOT NULL AND subject NOT IN (SELECT subject FROM met)
          AND occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')}
        GROUP BY subject
    ),
    visited AS (
        SELECT subject, groupArray((occurred_at, topic)) AS visits
        FROM volvere_store.visits
        WHERE occurred_at >= {since:DateTime64(6, 'UTC')} + toIntervalDay(1)
          AND occurred_at < {until:DateTime64(6, 'UTC')} + toIntervalDay(91)
        GROUP BY subject
    )
SELECT
    with_friction::Bool AS with_friction,
    count() AS customers,
    countIf(arrayExists(
        v -> v.1 >= b.at + toIntervalDay(1) AND v.1 <= b.at + toIntervalDay(90)
            AND (b.topic IS NULL OR v.2 IS NULL OR v.2 != b.topic),
        visited.visits)) AS came_back,
    came_back / customers AS came_back_rate
FROM began AS b
LEFT JOIN visited ON visited.subject = b.subject
WHERE b.at + toIntervalDay(90) < known_until AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY with_friction;

-- Active: has had a touchpoint of their own, has not cancelled since a purchase or renewal, and was not silent for too long.
CREATE OR REPLACE VIEW volvere.churn AS
WITH own AS (
    SELECT subject, occurred_at AS at, 'own' AS what
    FROM volvere.touchpoints
    WHERE customer_id IS NOT NULL AND NOT automatic AND kind IN (
        'message.received', 'page.viewed', 'element.clicked', 'form.started', 'form.failed', 'form.submitted', 'checkout.started',
        'search.failed', 'request.made', 'order.placed', 'order.returned', 'repair.opened', 'survey.answered', 'complaint.filed',
        'review.posted', 'purchase.made', 'subscription.renewed', 'subscription.cancelled', 'account.closed', 'referral.made')
    UNION ALL
    SELECT subject, started_at AS at, 'own' AS what FROM volvere.contacts WHERE attempt AND customer_id IS NOT NULL
    UNION ALL
    SELECT subject, occurred_at AS at, if(kind IN ('subscription.cancelled', 'account.closed'), 'left', 'stayed') AS what
    FROM volvere.touchpoints
    WHERE customer_id IS NOT NULL
      AND kind IN ('subscription.cancelled', 'account.closed', 'subscription.renewed', 'purchase.made', 'order.placed')
),
customers AS (
    SELECT
        subject,
        maxIfOrNull(at, what = 'own' AND at < {since:DateTime64(6, 'UTC')}) AS own_before,
        arraySort(groupArrayIf(at, what = 'own' AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')})) AS own_within,
        maxIfOrNull(at, what = 'left' AND at < {since:DateTime64(6, 'UTC')}) AS left_before,
        maxIfOrNull(at, what = 'stayed' AND at < {since:DateTime64(6, 'UTC')}) AS stayed_before,
        countIf(what = 'left' AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}) > 0 AS left_within
    FROM own
    GROUP BY subject
)
SELECT
    count() AS active,
    countIf(left_within) AS cancelled,
    if(active > 0, cancelled / active, NULL) AS contractual_churn,
    countIf(silent) AS fell_silent,
    if(active > 0, fell_silent / active, NULL) AS silent_churn
FROM (
    SELECT
        left_within,
        arrayExists(
            (at, next) -> next - at > {churn_after_days:UInt32} * 86400 * 1000000,
            arrayMap(t -> toUnixTimestamp64Micro(t), arrayPushFront(own_within, assumeNotNull(own_before))),
            arrayMap(t -> toUnixTimestamp64Micro(t), arrayPushBack(own_within, {until:DateTime64(6, 'UTC')}))) AS silent
    FROM customers
    WHERE own_before IS NOT NULL
      AND own_before + toIntervalDay({churn_after_days:UInt32}) >= {since:DateTime64(6, 'UTC')}
      AND (left_before IS NULL OR ifNull(stayed_before > left_before, false))
      AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
      AND (SELECT throwIf({churn_after_days:UInt32} = 0, 'churn_after_days: expected a day at least')) = 0
);

-- Agents who left, over the mean of those there at the beginning and at the end, a year.
CREATE OR REPLACE VIEW volvere.agent_attrition AS
WITH staff AS (
    SELECT
        agent_id,
        argMaxIf(kind, (occurred_at, source, event_id), occurred_at < {since:DateTime64(6, 'UTC')}) = 'agent.hired' AS there_before,
        argMax(kind, (occurred_at, source, event_id)) = 'agent.hired' AS there_after,
        countIf(kind = 'agent.left' AND occurred_at >= {since:DateTime64(6, 'UTC')}) AS leavings
    FROM volvere_store.operations FINAL
    WHERE NOT cancelled AND agent_id IS NOT NULL AND kind IN ('agent.hired', 'agent.left')
      AND occurred_at < {until:DateTime64(6, 'UTC')}
    GROUP BY agent_id
)
SELECT
    countIf(there_before) AS headcount_before,
    countIf(there_after) AS headcount_after,
    sum(leavings) AS leavers,
    if(headcount_before + headcount_after > 0,
        leavers / ((headcount_before + headcount_after) / 2)
            / (dateDiff('second', {since:DateTime64(6, 'UTC')}, {until:DateTime64(6, 'UTC')}) / 31557600), NULL) AS attrition_a_year
FROM staff
WHERE (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0;

-- A repair's closing goes by ref, else to the earliest open repair of the asset of the last 730 days; days that overlap count
-- once, and a repair without a closing goes on until now.
CREATE OR REPLACE VIEW volvere.assets AS
WITH
    (SELECT known_until FROM volvere.clock) AS known_until,
    told AS (
        SELECT
            asset_id,
            arraySort(e -> (e.at, e.closes, e.source, e.event_id), groupArrayIf(
                (occurred_at, kind = 'repair.closed', source::String, event_id, ref)
                ::Tuple(at DateTime64(6, 'UTC'), closes UInt8, source String, event_id String, ref Nullable(String)),
                kind IN ('repair.opened', 'repair.closed'))) AS events,
            argMaxIf(product, (occurred_at, source, event_id), product IS NOT NULL) AS product,
            argMaxIf(customer_id, (occurred_at, source, event_id), customer_id IS NOT NULL) AS customer_id,
            minIfOrNull(occurred_at, kind = 'asset.sold') AS sold_at,
            maxIfOrNull(occurred_at, kind IN ('asset.replaced', 'order.refunded')) AS replaced_at,
            min(occurred_at) AS first_at,
            max(occurred_at) AS last_at
        FROM volvere.touchpoints
        WHERE asset_id IS NOT NULL
        GROUP BY asset_id
    ),
    paired AS (
        SELECT
            *,
            arrayFilter(e -> NOT e.closes, events) AS repaired,
            arrayFold(
                (found, e) -> if(
                    NOT e.closes,
                    arrayPushBack(found, NULL::Nullable(DateTime64(6, 'UTC'))),
                    arrayMap(
                        (at, n) -> if(
                            at IS NULL AND if(
                                e.ref IS NULL,
                                n = arrayFirstIndex(
                                    (seen, repair) -> seen IS NULL AND e.at <= repair.at + toIntervalDay(730),
                                    found, arraySlice(repaired, 1, length(found))),
                                repaired[n].ref IS NOT DISTINCT FROM e.ref),
                            e.at::Nullable(DateTime64(6, 'UTC')), at),
                        found, arrayEnumerate(found))),
                events,
                []::Array(Nullable(DateTime64(6, 'UTC')))) AS closed
        FROM told
    )
SELECT
    asset_id::String AS asset_id, product, customer_id, sold_at, replaced_at, first_at, last_at,
    length(repaired) AS repairs,
    countEqual(closed, NULL) AS open_repairs,
    if(repairs > 0, repaired.at[-1], NULL) AS last_repair_at,
    arrayFold(
        (acc, repair, out) -> (
            acc.1 + greatest(0, toUnixTimestamp64Micro(out) - greatest(acc.2, toUnixTimestamp64Micro(repair.at))),
            greatest(acc.2, toUnixTimestamp64Micro(out))),
        repaired, arrayMap(at -> greatest(ifNull(at, assumeNotNull(known_until)), toDateTime64(0, 6, 'UTC')), closed),
        (0::Int64, -9223372036854775808::Int64)).1 / 86400000000 AS days_out_of_service
FROM paired;

-- Gupta, Lehmann: margin times r over 1 + i - r, r being the share of those who bought in the period before and did again.
CREATE OR REPLACE VIEW volvere.lifetime_value AS
WITH bought AS (
    SELECT
        subject,
        countIf(occurred_at < {since:DateTime64(6, 'UTC')} AND kind != 'order.refunded') > 0 AS before,
        countIf(occurred_at >= {since:DateTime64(6, 'UTC')} AND kind != 'order.refunded') > 0 AS within,
        sumIf(if(kind = 'order.refunded', -amount, amount), occurred_at >= {since:DateTime64(6, 'UTC')}) AS revenue
    FROM volvere.touchpoints
    WHERE customer_id IS NOT NULL AND kind IN ('purchase.made', 'order.placed', 'subscription.renewed', 'order.refunded')
      AND amount IS NOT NULL AND currency = {currency:String}
      AND occurred_at >= {since:DateTime64(6, 'UTC')}
            - toIntervalMicrosecond(dateDiff('microsecond', {since:DateTime64(6, 'UTC')}, {until:DateTime64(6, 'UTC')}))
      AND occurred_at < {until:DateTime64(6, 'UTC')}
    GROUP BY subject
)
SELECT
    countIf(before) AS bought_before,
    countIf(before AND within) AS bought_again,
    if(bought_before > 0, bought_again / bought_before, NULL) AS retention,
    countIf(within) AS buyers,
    sum(b.revenue) AS revenue,
    if(buyers > 0, {margin:Float64} * revenue / buyers, NULL) AS margin_a_period,
    margin_a_period * retention / (1 + {discount:Float64} - retention) AS lifetime_value
FROM bought AS b
WHERE (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
  AND (SELECT throwIf({discount:Float64} <= 0, 'discount: expected more than 0 a period, such as 0.02')) = 0
  AND (SELECT throwIf({margin:Float64} <= 0 OR {margin:Float64} > 1, 'margin: expected a share of the revenue, such as 0.4')) = 0;
