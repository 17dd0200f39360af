-- Money in one definition, everywhere: purchases, orders and renewals less refunds. Journeys bring theirs from `track`, which counts the same
-- kinds; a test holds the three together.

-- Who has left has cancelled or closed and not bought or renewed later; when is the first time of those after the last of these.
CREATE OR REPLACE VIEW volvere.customers AS
WITH assumeNotNull((SELECT known_until FROM volvere.clock)) AS known_until
SELECT
    t.customer_id AS customer_id,
    t.subject AS subject,
    t.first_at AS first_at,
    t.last_at AS last_at,
    o.last_own_at AS last_own_at,
    t.touchpoints AS touchpoints,
    ifNull(c.contacts, 0) AS contacts,
    ifNull(j.journeys, 0) AS journeys,
    ifNull(f.frictions, 0) AS frictions,
    ifNull(f.open, 0) AS open_frictions,
    dateDiff('microsecond', first_at, known_until) / 86400000000 AS age_days,
    dateDiff('microsecond', last_bought_at, known_until) / 86400000000 AS recency_days,
    t.frequency AS frequency,
    t.amounts AS amounts,
    t.first_bought_at AS first_bought_at,
    t.last_bought_at AS last_bought_at,
    arrayFirstOrNull(at -> ifNull(at >= t.last_bought_at, true), t.leavings) AS cancelled_at,
    t.referrals AS referrals,
    t.answer.1 AS last_score,
    t.answer.2 AS last_scale
FROM (
    SELECT
        subject,
        assumeNotNull(customer_id) AS customer_id,
        min(occurred_at) AS first_at,
        max(occurred_at) AS last_at,
        count() AS touchpoints,
        countIf(kind IN ('order.placed', 'purchase.made', 'subscription.renewed')) AS frequency,
        minIfOrNull(occurred_at, kind IN ('order.placed', 'purchase.made', 'subscription.renewed')) AS first_bought_at,
        maxIfOrNull(occurred_at, kind IN ('order.placed', 'purchase.made', 'subscription.renewed')) AS last_bought_at,
        sumMapIf(
            map(ifNull(currency, 'XXX')::String, if(kind = 'order.refunded', -1, 1) * assumeNotNull(amount)::Decimal(38, 4)),
            amount IS NOT NULL AND kind IN ('order.placed', 'purchase.made', 'subscription.renewed', 'order.refunded')) AS amounts,
        arraySort(groupArrayIf(occurred_at, kind IN ('subscription.cancelled', 'account.closed'))) AS leavings,
        countIf(kind = 'referral.made') AS referrals,
        argMaxIf((score, scale::Nullable(String)), (occurred_at, source, event_id), score IS NOT NULL) AS answer
    FROM volvere.touchpoints AS told
    WHERE told.customer_id IS NOT NULL
    GROUP BY subject, customer_id
) AS t
LEFT JOIN (
    SELECT subject, max(toNullable(occurred_at)) AS last_own_at FROM volvere_store.own_touchpoints GROUP BY subject
) AS o ON o.subject = t.subject
LEFT JOIN (SELECT subject, count() AS contacts FROM volvere.contacts GROUP BY subject) AS c ON c.subject = t.subject
LEFT JOIN (SELECT subject, count() AS journeys FROM volvere.journeys GROUP BY subject) AS j ON j.subject = t.subject
LEFT JOIN (
    SELECT subject, count() AS frictions, countIf(state = 'open') AS open
    FROM volvere.frictions
    WHERE mode = 'live'
    GROUP BY subject
) AS f ON f.subject = t.subject;

-- How long customers wait for an answer in writing. A turn is a run of messages of the customer in one contact; it ends with the first
-- message that no machine sent. None begins once the contact or a case in it was resolved or the customer has ended it, until it is opened
-- again: as the detector slow_reply has it. A turn counts by its first message; queue and topic are the contact's latest known, the agent
-- is who replied.
CREATE OR REPLACE VIEW volvere.replies AS
WITH turned AS (
    SELECT
        events,
        arrayFold(
            (acc, e, n) -> multiIf(
                e.kind = 'message.received' AND acc.open = 0 AND NOT acc.over, (n, acc.over, acc.turns),
                e.kind = 'message.sent' AND acc.open > 0 AND NOT e.automatic, (0, acc.over, arrayPushBack(acc.turns, (acc.open, n))),
                e.ends, (acc.open, 1, acc.turns),
                e.kind IN ('contact.started', 'case.reopened'), (acc.open, 0, acc.turns),
                acc)::Tuple(open UInt32, over UInt8, turns Array(Tuple(UInt32, UInt32))),
            events, arrayEnumerate(events),
            (0, 0, [])::Tuple(open UInt32, over UInt8, turns Array(Tuple(UInt32, UInt32)))) AS folded,
        arrayLast(v -> v IS NOT NULL, events.queue) AS queue,
        arrayLast(v -> v IS NOT NULL, events.topic) AS topic
    FROM (
        SELECT
            arraySort(groupArray((
                occurred_at, source::String, event_id, kind::String, automatic, channel::String, queue::Nullable(String),
                topic::Nullable(String), agent_id::Nullable(String),
                kind IN ('contact.resolved', 'case.resolved')
                    OR (kind = 'contact.ended' AND (ifNull(ended_by = 'customer', false) OR ifNull(outcome = 'resolved', false)))
            )::Tuple(
                at DateTime64(6, 'UTC'), source String, event_id String, kind String, automatic Bool, channel String,
                queue Nullable(String), topic Nullable(String), agent_id Nullable(String), ends UInt8))) AS events
        FROM volvere.touchpoints
        WHERE contact_id IS NOT NULL
        GROUP BY subject, customer_id, contact_id
        HAVING countIf(kind = 'message.received') > 0
    )
)
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(events.at[turn.1], {zone:String})),
        {by:String} = 'week', toString(toMonday(events.at[turn.1], {zone:String})),
        {by:String} = 'month', toString(toStartOfMonth(events.at[turn.1], {zone:String})),
        {by:String} = 'hour', leftPad(toString(toHour(events.at[turn.1], {zone:String})), 2, '0'),
        {by:String} = 'weekday', toString(toDayOfWeek(events.at[turn.1], 0, {zone:String})),
        {by:String} = 'channel', events.channel[turn.1],
        {by:String} = 'queue', queue,
        {by:String} = 'topic', topic,
        {by:String} = 'agent', if(turn.2 > 0, events.agent_id[turn.2], NULL),
        'all') AS value,
    count() AS turns,
    countIf(turn.2 > 0) AS replied,
    countIf(turn.2 > 0 AND seconds <= {within_s:UInt32}) AS replied_in_time,
    replied_in_time / turns AS reply_level,
    quantileExactIfOrNull(0.5)(seconds, turn.2 > 0) AS reply_p50_s,
    quantileExactIfOrNull(0.9)(seconds, turn.2 > 0) AS reply_p90_s
FROM (
    SELECT
        events, queue, topic,
        arrayJoin(arrayConcat(folded.turns, if(folded.open > 0, [(folded.open, 0)], []))::Array(Tuple(UInt32, UInt32))) AS turn,
        dateDiff('microsecond', events.at[turn.1], events.at[turn.2]) / 1000000 AS seconds
    FROM turned
)
WHERE events.at[turn.1] >= {since:DateTime64(6, 'UTC')} AND events.at[turn.1] < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {by:String} NOT IN ('day', 'week', 'month', 'hour', 'weekday', 'channel', 'queue', 'topic', 'agent', 'all'),
        'by: expected day, week, month, hour, weekday, channel, queue, topic, agent or all')) = 0
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY value;

-- An asset is a lemon as the rules have it: a live friction says so, and the limit is reached. A repair's closing goes by ref, else to the earliest open repair of the asset of the last 730 days; days that overlap count
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
    (asset_id IN (SELECT assumeNotNull(asset_id) FROM volvere.frictions WHERE kind = 'lemon' AND mode = 'live' AND severity = 'critical' AND asset_id IS NOT NULL))::Bool
        AS lemon,
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

-- Late is what came more than a week after it happened: where the rules leave `lateness` as it is, too late for frictions.
CREATE OR REPLACE VIEW volvere.data_quality AS
SELECT
    source,
    countIf(NOT t.cancelled) AS touchpoints,
    countIf(t.cancelled) AS cancelled,
    countIf(NOT t.cancelled AND kind::String NOT IN (SELECT kind FROM volvere_store.kinds)) AS unknown_kinds,
    countIf(NOT t.cancelled AND customer_id IS NULL) AS without_customer,
    countIf(NOT t.cancelled AND topic IS NULL) AS without_topic,
    countIf(NOT t.cancelled AND startsWith(kind, 'contact.') AND contact_id IS NULL) AS without_contact,
    countIf(NOT t.cancelled AND appended_at > occurred_at + toIntervalDay(7)) AS late,
    quantileExactIfOrNull(0.5)(dateDiff('microsecond', occurred_at, appended_at) / 1000000, NOT t.cancelled) AS delay_p50_s,
    quantileExactIfOrNull(0.99)(dateDiff('microsecond', occurred_at, appended_at) / 1000000, NOT t.cancelled) AS delay_p99_s,
    minOrNullIf(occurred_at, NOT t.cancelled) AS first_at,
    maxOrNullIf(occurred_at, NOT t.cancelled) AS last_at
FROM volvere_store.touchpoints AS t FINAL
GROUP BY source;
