-- Journeys as analysts ask for them: how far customers get, which way they go, whether they come again, how long a step takes.
-- [since, until) says which beginnings count; what follows from them may lie later. Touchpoints are in the order of their
-- identity (occurred_at, source, event_id), so that equal times have one order, too.

-- From each touchpoint of the first step's kind in [since, until) runs the earliest chain of the later steps, each strictly after
-- the one before it, all within within_s of the first (exactly within_s is inside). A customer counts by one chain: of theirs the
-- longest, of equally long ones the earliest. Chains are found backwards: ahead[k] is the earliest chain of the steps from k on
-- among what comes later, so that a customer's touchpoints are looked at once, however many beginnings there are.
CREATE OR REPLACE VIEW volvere.funnel AS
WITH
    {steps:Array(String)} AS steps,
    chains AS (
        SELECT
            arrayFold(
                (acc, t) -> (
                    arrayMap(
                        k -> if(t.kind = steps[k], arrayPushFront(acc.ahead[k + 1], t.at), acc.ahead[k]),
                        arrayEnumerate(steps)),
                    if(t.kind = steps[1] AND t.at < {until:DateTime64(6, 'UTC')}
                            AND 1 + arrayCount(at -> at <= t.at + toIntervalSecond({within_s:UInt32}), acc.ahead[2]) >= length(acc.chain),
                        arrayPushFront(arrayFilter(at -> at <= t.at + toIntervalSecond({within_s:UInt32}), acc.ahead[2]), t.at),
                        acc.chain)
                )::Tuple(ahead Array(Array(DateTime64(6, 'UTC'))), chain Array(DateTime64(6, 'UTC'))),
                arrayReverseSort(groupArray((occurred_at, source::String, event_id, kind::String)
                    ::Tuple(at DateTime64(6, 'UTC'), source String, event_id String, kind String))),
                (arrayMap(k -> [], steps), [])::Tuple(ahead Array(Array(DateTime64(6, 'UTC'))), chain Array(DateTime64(6, 'UTC')))
            ).chain AS chain
        FROM volvere.touchpoints
        WHERE customer_id IS NOT NULL AND has(steps, kind)
          AND occurred_at >= {since:DateTime64(6, 'UTC')}
          AND occurred_at <= {until:DateTime64(6, 'UTC')} + toIntervalSecond({within_s:UInt32})
          AND (SELECT throwIf(empty({steps:Array(String)}), 'steps: expected at least one kind of touchpoint')) = 0
          AND (SELECT throwIf(
                {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
        GROUP BY subject
        UNION ALL
        SELECT []::Array(DateTime64(6, 'UTC')) AS chain -- a step that nobody reached has its row as well
    )
SELECT
    step,
    steps[step] AS kind,
    countIf(step <= length(chain)) AS customers,
    customers / nullIf(first_value(customers) OVER (ORDER BY step), 0) AS share_of_first,
    customers / nullIf(lagInFrame(customers) OVER (ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0) AS share_of_previous,
    quantileExactIfOrNull(0.5)(
        dateDiff('microsecond', chain[step - 1], chain[step]) / 1000000, step > 1 AND step <= length(chain)) AS seconds_p50
FROM chains
ARRAY JOIN arrayEnumerate(steps) AS step
GROUP BY step;

-- What a journey went through, `what` by `what`, equal neighbours once, and its first 20 steps as edges: from one to the next, or to
-- (end). A journey's touchpoints are those of its subject between its start and its end; one that names a journey is in no other.
CREATE OR REPLACE VIEW volvere.paths AS
SELECT
    step,
    path[step] AS `from`,
    if(step < length(path), path[step + 1], '(end)') AS `to`,
    count() AS journeys
FROM (
    SELECT
        arrayCompact(
            arraySort(groupArray((
                t.occurred_at, t.source::String, t.event_id,
                if({what:String} = 'channel', t.channel::String, t.kind::String)))).4) AS path
    FROM volvere.journeys AS j
    INNER JOIN volvere.touchpoints AS t ON t.subject = j.subject
    WHERE j.started_at >= {since:DateTime64(6, 'UTC')} AND j.started_at < {until:DateTime64(6, 'UTC')}
      AND t.occurred_at >= {since:DateTime64(6, 'UTC')}
      AND t.occurred_at >= j.started_at AND t.occurred_at <= j.ended_at
      AND (t.journey_id IS NULL OR t.journey_id = j.journey_id)
      AND (SELECT throwIf({what:String} NOT IN ('channel', 'kind'), 'what: expected channel or kind')) = 0
      AND (SELECT throwIf(
            {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
    GROUP BY j.subject, j.journey_id
)
ARRAY JOIN range(1, least(length(path), 20) + 1) AS step
GROUP BY step, `from`, `to`;

-- What known customers did of their own will: what only customers do, by no machine, and the beginnings of attempts. A message
-- that begins an attempt is in it twice.
CREATE OR REPLACE VIEW volvere_store.own_touchpoints AS
SELECT subject, occurred_at
FROM volvere.touchpoints
WHERE customer_id IS NOT NULL AND NOT automatic AND ifNull(direction != 'outbound', true) AND kind IN (
    'message.received', 'page.viewed', 'element.clicked', 'form.started', 'form.failed', 'form.submitted', 'checkout.started',
    'search.failed', 'request.made', 'order.placed', 'order.returned', 'repair.opened', 'survey.answered', 'complaint.filed',
    'review.posted', 'purchase.made', 'subscription.renewed', 'subscription.cancelled', 'account.closed', 'referral.made')
UNION ALL
SELECT subject, started_at AS occurred_at
FROM volvere.contacts
WHERE customer_id IS NOT NULL AND attempt;

-- Periods are every_days times 24 hours from since on, whole ones, and begin before until and not after what is known. A cohort is who
-- first did something of their own will in its period, of all that is stored; what was before since makes nobody new.
CREATE OR REPLACE VIEW volvere.retention AS
WITH
    greatest({every_days:UInt32}, 1)::Int64 * 86400000000 AS every, -- 0 is refused below
    (SELECT ifNull(toUnixTimestamp64Micro(known_until), 0) FROM volvere.clock) AS known,
    toUnixTimestamp64Micro({since:DateTime64(6, 'UTC')}) AS origin,
    intDiv(least(known, toUnixTimestamp64Micro({until:DateTime64(6, 'UTC')}) - 1) - origin, every) AS last_period
SELECT
    {since:DateTime64(6, 'UTC')} + toIntervalMicrosecond(cohort_period * every) AS cohort,
    period,
    count() AS cohort_customers,
    countIf(has(periods, cohort_period + period)) AS customers,
    customers / cohort_customers AS share,
    (origin + (cohort_period + period + 1) * every <= known)::Bool AS complete
FROM (
    SELECT
        arrayMin(periods) AS cohort_period,
        groupUniqArray(intDiv(toUnixTimestamp64Micro(occurred_at) - origin, every)) AS periods
    FROM volvere_store.own_touchpoints
    WHERE (SELECT throwIf({every_days:UInt32} = 0, 'every_days: expected at least 1')) = 0
      AND (SELECT throwIf(
            {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
    GROUP BY subject
    HAVING min(occurred_at) >= {since:DateTime64(6, 'UTC')} AND min(occurred_at) < {until:DateTime64(6, 'UTC')}
)
ARRAY JOIN range(toUInt64(greatest(last_period - cohort_period + 1, 0))) AS period
GROUP BY cohort_period, period;

-- What follows a touchpoint of from_kind is the customer's next of the two kinds, if that is of to_kind. Where both are one kind, these are
-- the times between two of it. Means are of whole microseconds, so that they do not depend on the order of adding.
CREATE OR REPLACE VIEW volvere.step_times AS
WITH ifNull(next_kind = {to_kind:String}, false) AS followed
SELECT
    channel,
    count() AS beginnings,
    countIf(NOT followed) AS not_followed,
    sumIf(us, followed) / nullIf(countIf(followed), 0) / 1000000 AS seconds_mean,
    quantileExactIfOrNull(0.5)(us, followed) / 1000000 AS seconds_p50,
    quantileExactIfOrNull(0.9)(us, followed) / 1000000 AS seconds_p90,
    quantileExactIfOrNull(0.99)(us, followed) / 1000000 AS seconds_p99
FROM (
    SELECT
        channel, kind, occurred_at,
        leadInFrame(toNullable(kind::String)) OVER next AS next_kind,
        dateDiff('microsecond', occurred_at, leadInFrame(occurred_at) OVER next) AS us
    FROM volvere.touchpoints
    WHERE customer_id IS NOT NULL AND kind IN ({from_kind:String}, {to_kind:String})
      AND occurred_at >= {since:DateTime64(6, 'UTC')}
      AND (SELECT throwIf(
            {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
    WINDOW next AS (
        PARTITION BY subject ORDER BY occurred_at, source, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
WHERE kind = {from_kind:String} AND occurred_at < {until:DateTime64(6, 'UTC')}
GROUP BY channel;

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
    arrayFirstOrNull(at -> ifNull(at >= t.last_kept_at, true), t.leavings) AS cancelled_at,
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
        countIf(kind IN ('order.placed', 'purchase.made')) AS frequency,
        minIfOrNull(occurred_at, kind IN ('order.placed', 'purchase.made')) AS first_bought_at,
        maxIfOrNull(occurred_at, kind IN ('order.placed', 'purchase.made')) AS last_bought_at,
        sumMapIf(
            map(ifNull(currency, 'XXX')::String, if(kind = 'order.refunded', -1, 1) * assumeNotNull(amount)::Decimal(38, 4)),
            amount IS NOT NULL AND kind IN ('order.placed', 'purchase.made', 'order.refunded')) AS amounts,
        maxIfOrNull(occurred_at, kind IN ('order.placed', 'purchase.made', 'subscription.renewed')) AS last_kept_at,
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
