-- The check-up: eight gauges, composed of the views before them, [since, until), UTC. What those take as parameters is the usual
-- here: 5 s for a short abandon, 20 s for an answer in time, 10 s for a short contact and 1 h for what follows it.
-- A ratio over nothing is null, never nought.

-- Live frictions beside what they are counted by.
CREATE OR REPLACE VIEW volvere_store.frictions_by AS
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(opened_at, {zone:String})),
        {by:String} = 'week', toString(toMonday(opened_at, {zone:String})),
        {by:String} = 'month', toString(toStartOfMonth(opened_at, {zone:String})),
        {by:String} = 'hour', leftPad(toString(toHour(opened_at, {zone:String})), 2, '0'),
        {by:String} = 'weekday', toString(toDayOfWeek(opened_at, 0, {zone:String})),
        {by:String} = 'channel', channel::Nullable(String),
        {by:String} = 'queue', queue::Nullable(String),
        {by:String} = 'topic', topic::Nullable(String),
        {by:String} = 'agent', agent_id::Nullable(String),
        'all') AS value,
    friction_id, kind, severity, state, reason, opened_at, subject, customer_id, contact_id, threshold_unit
FROM volvere.frictions
WHERE mode = 'live'
  AND opened_at >= {since:DateTime64(6, 'UTC')} AND opened_at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {by:String} NOT IN ('day', 'week', 'month', 'hour', 'weekday', 'channel', 'queue', 'topic', 'agent', 'all'),
        'by: expected day, week, month, hour, weekday, channel, queue, topic, agent or all')) = 0
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0;

-- What gauges count of touchpoints, and of channels that the company closed. A promise counts when it falls due.
CREATE OR REPLACE VIEW volvere_store.touchpoints_by AS
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(at, {zone:String})),
        {by:String} = 'week', toString(toMonday(at, {zone:String})),
        {by:String} = 'month', toString(toStartOfMonth(at, {zone:String})),
        {by:String} = 'hour', leftPad(toString(toHour(at, {zone:String})), 2, '0'),
        {by:String} = 'weekday', toString(toDayOfWeek(at, 0, {zone:String})),
        {by:String} = 'channel', channel::Nullable(String),
        {by:String} = 'queue', queue::Nullable(String),
        {by:String} = 'topic', topic::Nullable(String),
        {by:String} = 'agent', agent_id::Nullable(String),
        'all') AS value,
    kind, reason, subject, contact_id
FROM (
    SELECT
        assumeNotNull(if(kind = 'promise.made', due_at, occurred_at)) AS at,
        kind, channel, queue, topic, agent_id, reason, subject, contact_id
    FROM volvere.touchpoints
    WHERE kind IN (
            'promise.made', 'request.granted', 'request.denied', 'case.resolved', 'contact.refused', 'message.received',
            'referral.made', 'subscription.cancelled', 'account.closed')
      AND (kind != 'promise.made' OR ifNull(due_at < (SELECT known_until FROM volvere.clock), false))
    UNION ALL
    SELECT occurred_at, kind, channel, queue, topic, agent_id, reason, '', NULL
    FROM volvere.operations
    WHERE kind = 'channel.closed'
)
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')};

-- Counts of what happened, in rows, so that each gauge takes those that it needs. `what` is a kind of touchpoint; friction. and
-- a kind; or contact, contact.answered, contact.transferred, conversation, conversation.slow.
CREATE OR REPLACE VIEW volvere_store.counts_by AS
SELECT
    value,
    arrayJoin(arrayFilter(w -> w != '', [
        'contact', if(answered_at IS NULL, '', 'contact.answered'), if(transfers > 0, 'contact.transferred', '')])) AS what,
    count() AS n
FROM volvere_store.contacts_by(
    by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
GROUP BY value, what

UNION ALL

SELECT
    value,
    arrayJoin(arrayFilter(w -> w != '', [
        if(kind = 'message.received', if(contact_id IS NULL, '', 'conversation'), kind::String),
        if(kind = 'request.denied' AND ifNull(reason, '') = 'policy', 'request.denied.policy', ''),
        if(kind = 'contact.refused' AND ifNull(reason, '') = 'channel_closed', 'contact.refused.closed', '')])) AS what,
    if(what = 'conversation', uniqExactIf((subject, ifNull(contact_id, '')), what = 'conversation'), count()) AS n
FROM volvere_store.touchpoints_by(
    by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
GROUP BY value, what

UNION ALL

SELECT
    value,
    arrayJoin(arrayFilter(w -> w != '', [
        concat('friction.', kind::String),
        if(kind = 'rigid_process' AND ifNull(threshold_unit, '') != 'denials', 'friction.asked_again', ''),
        if(kind = 'slow_reply' AND contact_id IS NOT NULL, 'conversation.slow', ''),
        if(kind = 'slow_reply' AND (state = 'open' OR ifNull(reason, '') != 'replied'), 'friction.unanswered', '')])) AS what,
    if(what = 'conversation.slow', uniqExactIf((subject, ifNull(contact_id, '')), what = 'conversation.slow'), count()) AS n
FROM volvere_store.frictions_by(
    by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
GROUP BY value, what;

-- Does it work the first time, as promised?
CREATE OR REPLACE VIEW volvere.gauge_reliability AS
SELECT
    c.value AS value, contacts, answered,
    fcr_24h_of, fcr_24h, fcr_7d_of, fcr_7d, fcr_30d_of, fcr_30d,
    promises_due, broken_promises, if(promises_due > 0, broken_promises / promises_due, NULL) AS broken_share,
    dropped_calls, if(answered > 0, 100 * dropped_calls / answered, NULL) AS dropped_per_100,
    lemons
FROM (
    SELECT
        value,
        sumIf(n, what = 'contact') AS contacts,
        sumIf(n, what = 'contact.answered') AS answered,
        sumIf(n, what = 'promise.made') AS promises_due,
        sumIf(n, what = 'friction.broken_promise') AS broken_promises,
        sumIf(n, what = 'friction.dropped_call') AS dropped_calls,
        sumIf(n, what = 'friction.lemon') AS lemons
    FROM volvere_store.counts_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
    GROUP BY value
) AS c
LEFT JOIN (
    SELECT
        value,
        maxIf(r.fcr_of, within_s = 86400) AS fcr_24h_of, maxIf(r.fcr, within_s = 86400) AS fcr_24h,
        maxIf(r.fcr_of, within_s = 604800) AS fcr_7d_of, maxIf(r.fcr, within_s = 604800) AS fcr_7d,
        maxIf(r.fcr_of, within_s = 2592000) AS fcr_30d_of, maxIf(r.fcr, within_s = 2592000) AS fcr_30d
    FROM volvere.returns(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String}) AS r
    GROUP BY value
) AS r ON r.value IS NOT DISTINCT FROM c.value;

-- Does the process serve people, or people the process?
CREATE OR REPLACE VIEW volvere.gauge_process AS
SELECT
    value,
    sumIf(n, what = 'contact') AS contacts,
    sumIf(n, what = 'contact.answered') AS answered,
    sumIf(n, what IN ('request.granted', 'request.denied')) AS requests_decided,
    sumIf(n, what = 'request.denied') AS requests_denied,
    if(requests_decided > 0, requests_denied / requests_decided, NULL) AS denial_rate,
    sumIf(n, what = 'request.denied.policy') AS denied_by_policy,
    sumIf(n, what = 'contact.transferred') AS transferred,
    if(answered > 0, transferred / answered, NULL) AS transfer_rate,
    sumIf(n, what = 'friction.transfer_loop') AS loops,
    if(contacts > 0, 100 * loops / contacts, NULL) AS loops_per_100,
    sumIf(n, what = 'friction.asked_again') AS asked_again,
    if(contacts > 0, 100 * asked_again / contacts, NULL) AS asked_again_per_100,
    sumIf(n, what = 'case.resolved') AS cases_resolved,
    sumIf(n, what = 'friction.reopened_case') AS reopened_cases,
    if(cases_resolved > 0, reopened_cases / cases_resolved, NULL) AS reopened_share,
    sumIf(n, what = 'friction.channel_hop') AS hops,
    if(contacts > 0, 100 * hops / contacts, NULL) AS hops_per_100
FROM volvere_store.counts_by(
    by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
GROUP BY value;

-- Are the right things counted? What a customer is worth and who stays stands in volvere.churn, volvere.lifetime_value and
-- volvere.agent_attrition, which are of the whole company.
CREATE OR REPLACE VIEW volvere.gauge_what_matters AS
SELECT
    c.value AS value, contacts, referrals, cancellations,
    s.handle_mean_ms AS handle_mean_ms, short_contacts, other_contacts, short_contacts + other_contacts AS timed_contacts,
    if(timed_contacts > 0, short_contacts / timed_contacts, NULL) AS short_share,
    short_followed, short_return_rate, other_followed, other_return_rate, times_as_often
FROM (
    SELECT
        value,
        sumIf(n, what = 'contact') AS contacts,
        sumIf(n, what = 'referral.made') AS referrals,
        sumIf(n, what IN ('subscription.cancelled', 'account.closed')) AS cancellations
    FROM volvere_store.counts_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
    GROUP BY value
) AS c
LEFT JOIN (
    SELECT
        value, toNullable(handle_mean_ms) AS handle_mean_ms, short_contacts, short_followed, short_return_rate,
        other_contacts, other_followed, other_return_rate, times_as_often
    FROM volvere.short_contacts(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String},
        under_ms = 10000, within_s = 3600)
) AS s ON s.value IS NOT DISTINCT FROM c.value;

-- Does the company abandon its customers?
CREATE OR REPLACE VIEW volvere.gauge_abandonment AS
SELECT
    c.value AS value, contacts,
    queued, abandoned_in_queue, short_abandons, (queued - short_abandons)::UInt64 AS patient, abandonment_rate,
    offered, answered_in_time, service_level_abandons_negative AS service_level,
    closings, refused, if(contacts > 0, 100 * refused / contacts, NULL) AS refused_per_100,
    conversations, slow_conversations, if(conversations > 0, slow_conversations / conversations, NULL) AS slow_share,
    unanswered
FROM (
    SELECT
        value,
        sumIf(n, what = 'contact') AS contacts,
        sumIf(n, what = 'channel.closed') AS closings,
        sumIf(n, what = 'contact.refused.closed') AS refused,
        sumIf(n, what = 'conversation') AS conversations,
        sumIf(n, what = 'conversation.slow') AS slow_conversations,
        sumIf(n, what = 'friction.unanswered') AS unanswered
    FROM volvere_store.counts_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
    GROUP BY value
) AS c
LEFT JOIN (
    SELECT
        value, queued, abandoned_in_queue, short_abandons, abandonment_rate, offered, answered_in_time,
        service_level_abandons_negative
    FROM volvere.contact_metrics(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String},
        short_abandon_ms = 5000, within_ms = 20000)
) AS m ON m.value IS NOT DISTINCT FROM c.value;

-- Are the people kept in tune? Each contact and each live friction that names an agent, by how long before it the agent was
-- trained last.
CREATE OR REPLACE VIEW volvere.gauge_maintenance AS
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(e.at, {zone:String})),
        {by:String} = 'week', toString(toMonday(e.at, {zone:String})),
        {by:String} = 'month', toString(toStartOfMonth(e.at, {zone:String})),
        {by:String} = 'queue', e.queue,
        {by:String} = 'agent', e.agent_id,
        {by:String} = 'training', multiIf(
            days IS NULL, 'never', days <= 30, '0-30', days <= 90, '31-90', days <= 180, '91-180', '181+'),
        'all')::Nullable(String) AS value,
    countIf(e.contact) AS contacts,
    countIf(NOT e.contact) AS frictions,
    if(contacts > 0, 100 * frictions / contacts, NULL) AS frictions_per_100,
    -- Whole microseconds: a sum of fractions depends on their order.
    if(
        countIf(e.contact AND isNotNull(trained_us)) > 0,
        sumIf(trained_us, e.contact) / countIf(e.contact AND isNotNull(trained_us)) / 86400000000, NULL) AS days_since_training,
    countIf(e.contact AND ifNull(days <= 90, false)) AS contacts_trained,
    if(contacts > 0, contacts_trained / contacts, NULL) AS trained_share,
    countIf(NOT e.contact AND ifNull(days <= 90, false)) AS frictions_trained
FROM (
    SELECT
        happened.at AS at, happened.agent_id AS agent_id, happened.queue AS queue, happened.contact AS contact,
        dateDiff('microsecond', arrayLastOrNull(t -> t <= happened.at, trained.times), happened.at) AS trained_us,
        trained_us / 86400000000 AS days
    FROM (
        SELECT started_at AS at, assumeNotNull(agent_id)::String AS agent_id, queue::Nullable(String) AS queue, true AS contact
        FROM volvere.contacts
        WHERE contacts.agent_id IS NOT NULL
        UNION ALL
        SELECT opened_at, assumeNotNull(agent_id)::String, queue::Nullable(String), false
        FROM volvere.frictions
        WHERE mode = 'live' AND frictions.agent_id IS NOT NULL
    ) AS happened
    LEFT JOIN (
        SELECT assumeNotNull(agent_id)::String AS agent_id, arraySort(groupArray(occurred_at)) AS times
        FROM volvere.operations
        WHERE kind = 'agent.trained' AND operations.agent_id IS NOT NULL
        GROUP BY agent_id
    ) AS trained ON trained.agent_id = happened.agent_id
    WHERE happened.at >= {since:DateTime64(6, 'UTC')} AND happened.at < {until:DateTime64(6, 'UTC')}
) AS e
WHERE (SELECT throwIf(
        {by:String} NOT IN ('day', 'week', 'month', 'queue', 'agent', 'training', 'all'),
        'by: expected day, week, month, queue, agent, training or all')) = 0
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY value;

-- Do employee and customer experience point the same way? Scores of all scales are 0 (worst) to 1 (best), so that they can
-- stand beside each other. An agent's team is the queue that the survey names, else the one with most of the agent's contacts.
CREATE OR REPLACE VIEW volvere.gauge_alignment AS
WITH teams AS (
    SELECT agent_id, argMax(queue, (n, queue)) AS team
    FROM (
        SELECT assumeNotNull(agent_id)::String AS agent_id, assumeNotNull(queue)::String AS queue, count() AS n
        FROM volvere.contacts
        WHERE contacts.agent_id IS NOT NULL AND contacts.queue IS NOT NULL
        GROUP BY agent_id, queue
    )
    GROUP BY agent_id
)
SELECT
    assumeNotNull(told.team) AS queue,
    toMonday(told.at, {zone:String}) AS week,
    countIf(what = 'employee' AND part IS NOT NULL) AS employee_of,
    avgIf(part, what = 'employee') AS employee_score,
    countIf(what = 'customer' AND part IS NOT NULL) AS customer_of,
    avgIf(part, what = 'customer') AS customer_score,
    countIf(what = 'contact') AS contacts,
    countIf(what = 'friction') AS frictions,
    if(contacts > 0, 100 * frictions / contacts, NULL) AS frictions_per_100
FROM (
    SELECT
        at, team, what,
        multiIf(
            scale = 'nps' AND score BETWEEN 0 AND 10, score / 10,
            scale = 'csat5' AND score BETWEEN 1 AND 5, (score - 1) / 4,
            scale = 'ces7' AND score BETWEEN 1 AND 7, (score - 1) / 6,
            NULL) AS part
    FROM (
        SELECT
            o.occurred_at AS at, coalesce(o.queue::Nullable(String), nullIf(teams.team, '')) AS team, 'employee' AS what,
            o.scale::Nullable(String) AS scale, o.score AS score
        FROM (SELECT *, ifNull(agent_id, '')::String AS agent FROM volvere.operations WHERE kind = 'agent.surveyed') AS o
        LEFT JOIN teams ON teams.agent_id = o.agent
        UNION ALL
        SELECT occurred_at, queue::Nullable(String), 'customer', scale::Nullable(String), score FROM volvere.surveys
        UNION ALL
        SELECT started_at, queue::Nullable(String), 'contact', NULL, NULL FROM volvere.contacts
        UNION ALL
        SELECT opened_at, queue::Nullable(String), 'friction', NULL, NULL FROM volvere.frictions WHERE mode = 'live'
    )
) AS told
WHERE told.team IS NOT NULL
  AND told.at >= {since:DateTime64(6, 'UTC')} AND told.at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY queue, week;

-- Is every complaint a chance to repair? Who scored low is followed up in 48 h or not when those have passed.
CREATE OR REPLACE VIEW volvere.gauge_feedback AS
SELECT
    f.value AS value, sent, answered, response_rate, nps_of, nps, csat_of, csat, ces_of, ces, complaints,
    low_scores, low_scores_due, followed_up_in_time,
    if(low_scores_due > 0, followed_up_in_time / low_scores_due, NULL) AS followed_up_share,
    recovery_of, recovered_customers, if(recovery_of > 0, recovered_customers / recovery_of, NULL) AS recovery_rate
FROM volvere.feedback(
    by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String}) AS f
LEFT JOIN (
    WITH (SELECT known_until FROM volvere.clock) AS known_until
    SELECT
        multiIf(
            {by:String} = 'day', toString(toDate(occurred_at, {zone:String})),
            {by:String} = 'week', toString(toMonday(occurred_at, {zone:String})),
            {by:String} = 'month', toString(toStartOfMonth(occurred_at, {zone:String})),
            {by:String} = 'channel', channel::Nullable(String),
            {by:String} = 'queue', queue::Nullable(String),
            {by:String} = 'topic', topic::Nullable(String),
            {by:String} = 'agent', agent_id::Nullable(String),
            'all') AS value,
        countIf(r.kind = 'survey.answered') AS low_scores,
        countIf(r.kind = 'survey.answered'
            AND (r.followed_up_in_time OR ifNull(occurred_at + toIntervalHour(48) < known_until, false))) AS low_scores_due,
        countIf(r.kind = 'survey.answered' AND r.followed_up_in_time) AS followed_up_in_time,
        uniqExactIf(customer_id, r.final) AS recovery_of,
        uniqExactIf(customer_id, r.final AND r.recovered) AS recovered_customers
    FROM volvere.recoveries AS r
    WHERE occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')}
    GROUP BY value
) AS low ON low.value IS NOT DISTINCT FROM f.value;

-- Did the new version make it better? What is named after a release tells less than what happened to the whole company.
CREATE OR REPLACE VIEW volvere.gauge_upgrade AS
SELECT
    release, assumeNotNull(deployed_at) AS deployed_at, after_passed,
    assumeNotNull(r.contacts_before) AS contacts_before, assumeNotNull(r.contacts_after) AS contacts_after,
    assumeNotNull(r.frictions_before) AS frictions_before, assumeNotNull(r.frictions_after) AS frictions_after,
    frictions_per_1000_before, frictions_per_1000_after,
    if(frictions_per_1000_before > 0, frictions_per_1000_after / frictions_per_1000_before, NULL) AS rate_ratio
FROM volvere.releases AS r
WHERE r.deployed_at >= {since:DateTime64(6, 'UTC')} AND r.deployed_at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0;

-- How many frictions there were for each 1,000 contacts.
CREATE OR REPLACE VIEW volvere.friction_rates AS
SELECT
    value,
    sum(counted.contacts) AS contacts,
    sum(counted.frictions) AS frictions,
    if(contacts > 0, 1000 * frictions / contacts, NULL) AS frictions_per_1000
FROM (
    SELECT value, count() AS contacts, 0 AS frictions
    FROM volvere_store.contacts_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
    GROUP BY value
    UNION ALL
    SELECT value, 0, count()
    FROM volvere_store.frictions_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
    GROUP BY value
) AS counted
GROUP BY value;

-- The kinds of live frictions that there were, with some to look at: the worst, and of those the newest.
CREATE OR REPLACE VIEW volvere.friction_kinds AS
SELECT
    kind::String AS kind,
    count() AS frictions,
    countIf(state = 'open') AS open_frictions,
    uniqExact(customer_id) AS customers,
    groupArraySorted(5)((
        -indexOf(['info', 'warning', 'error', 'critical'], severity::String)::Int8,
        -toUnixTimestamp64Micro(opened_at),
        toString(friction_id))).3 AS examples
FROM volvere.frictions
WHERE mode = 'live'
  AND multiIf({naming:String} = 'agent', agent_id IS NOT NULL, {naming:String} = 'queue', queue IS NOT NULL, true)
  AND opened_at >= {since:DateTime64(6, 'UTC')} AND opened_at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {naming:String} NOT IN ('agent', 'queue', 'all'), 'naming: expected agent, queue or all')) = 0
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0
GROUP BY kind;
