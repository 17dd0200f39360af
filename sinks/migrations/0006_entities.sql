-- What the company does, and the things that touchpoints name, one row each.

CREATE OR REPLACE VIEW volvere.operations AS
SELECT
    source, event_id, occurred_at, kind, channel, queue, agent_id, product, release, topic, ref, reason, reason_code,
    outcome, score, scale, attributes, version, appended_at
FROM volvere_store.operations FINAL
WHERE NOT cancelled;

-- What names a channel, queue, topic, agent or release, by that name (`of` says which of them). Each part is counted by itself
-- first, so that what is put together is small. Contacts are on no release; of operations only those about a channel name one.
CREATE OR REPLACE VIEW volvere_store.entities AS
SELECT
    value,
    sum(counted.touchpoints) AS touchpoints,
    sum(counted.contacts) AS contacts,
    sum(counted.attempts) AS attempts,
    sum(counted.answered) AS answered,
    sum(counted.abandoned) AS abandoned,
    max(counted.handle_mean_ms) AS handle_mean_ms,
    max(counted.handle_p90_ms) AS handle_p90_ms,
    sum(counted.frictions) AS frictions,
    min(counted.first_at) AS first_at,
    max(counted.last_at) AS last_at,
    min(counted.first_contact_at) AS first_contact_at,
    max(counted.last_contact_at) AS last_contact_at,
    max(counted.closed_at) AS closed_at,
    max(counted.opened_at) AS opened_at,
    max(counted.deployed_at) AS deployed_at,
    max(counted.hired_at) AS hired_at,
    max(counted.left_at) AS left_at,
    max(counted.trained_at) AS trained_at,
    max(counted.surveyed_at) AS surveyed_at,
    max(counted.survey_score) AS survey_score,
    max(counted.survey_scale) AS survey_scale
FROM (
    SELECT
        multiIf(
            {of:String} = 'channel', channel::Nullable(String),
            {of:String} = 'queue', queue::Nullable(String),
            {of:String} = 'topic', topic::Nullable(String),
            {of:String} = 'agent', agent_id::Nullable(String),
            release::Nullable(String)) AS value,
        count() AS touchpoints, 0 AS contacts, 0 AS attempts, 0 AS answered, 0 AS abandoned,
        NULL AS handle_mean_ms, NULL AS handle_p90_ms, 0 AS frictions,
        min(occurred_at) AS first_at, max(occurred_at) AS last_at, NULL AS first_contact_at, NULL AS last_contact_at,
        NULL AS closed_at, NULL AS opened_at, NULL AS deployed_at,
        NULL AS hired_at, NULL AS left_at, NULL AS trained_at, NULL AS surveyed_at, NULL AS survey_score, NULL AS survey_scale
    FROM volvere.touchpoints
    GROUP BY value

    UNION ALL

    SELECT
        multiIf(
            {of:String} = 'channel', channel::Nullable(String),
            {of:String} = 'queue', queue::Nullable(String),
            {of:String} = 'topic', topic::Nullable(String),
            {of:String} = 'agent', agent_id::Nullable(String),
            NULL) AS value,
        0, count(), countIf(attempt), countIf(answered_at IS NOT NULL), countIf(c.abandoned),
        avgOrNull(handle_ms), quantileExactOrNull(0.9)(handle_ms), 0,
        NULL, NULL, min(started_at), max(started_at),
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM volvere.contacts AS c
    GROUP BY value

    UNION ALL

    SELECT
        multiIf(
            {of:String} = 'channel', channel::Nullable(String),
            {of:String} = 'queue', queue::Nullable(String),
            {of:String} = 'topic', topic::Nullable(String),
            {of:String} = 'agent', agent_id::Nullable(String),
            release::Nullable(String)) AS value,
        0, 0, 0, 0, 0, NULL, NULL, count(), NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM volvere.frictions
    WHERE mode = 'live'
    GROUP BY value

    UNION ALL

    SELECT
        multiIf(
            {of:String} = 'channel', if(startsWith(kind, 'channel.'), channel::Nullable(String), NULL),
            {of:String} = 'queue', queue::Nullable(String),
            {of:String} = 'topic', topic::Nullable(String),
            {of:String} = 'agent', agent_id::Nullable(String),
            release::Nullable(String)) AS value,
        0, 0, 0, 0, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL,
        maxOrNullIf(occurred_at, kind = 'channel.closed'),
        maxOrNullIf(occurred_at, kind = 'channel.opened'),
        minOrNullIf(occurred_at, kind = 'release.deployed'),
        maxOrNullIf(occurred_at, kind = 'agent.hired'),
        maxOrNullIf(occurred_at, kind = 'agent.left'),
        maxOrNullIf(occurred_at, kind = 'agent.trained'),
        maxOrNullIf(occurred_at, kind = 'agent.surveyed' AND score IS NOT NULL),
        argMaxOrNullIf(score, (occurred_at, source, event_id), kind = 'agent.surveyed' AND score IS NOT NULL),
        argMaxOrNullIf(
            ifNull(scale, '')::String, (occurred_at, source, event_id), kind = 'agent.surveyed' AND score IS NOT NULL)
    FROM volvere.operations
    GROUP BY value
) AS counted
WHERE value IS NOT NULL
  AND (SELECT throwIf(
        {of:String} NOT IN ('channel', 'queue', 'topic', 'agent', 'release'),
        'of: expected channel, queue, topic, agent or release')) = 0
GROUP BY value;

CREATE OR REPLACE VIEW volvere.channels AS
SELECT
    assumeNotNull(value) AS channel, touchpoints, contacts, attempts, answered, abandoned, frictions, first_at, last_at,
    closed_at, opened_at
FROM volvere_store.entities(of = 'channel');

CREATE OR REPLACE VIEW volvere.queues AS
SELECT
    assumeNotNull(value) AS queue, touchpoints, contacts, attempts, answered, abandoned, frictions, first_at, last_at,
    closed_at, opened_at
FROM volvere_store.entities(of = 'queue');

CREATE OR REPLACE VIEW volvere.topics AS
SELECT
    assumeNotNull(value) AS topic, touchpoints, contacts, attempts, answered, abandoned, frictions, first_at, last_at
FROM volvere_store.entities(of = 'topic');

CREATE OR REPLACE VIEW volvere.agents AS
SELECT
    assumeNotNull(value) AS agent_id, touchpoints, contacts, attempts, answered, abandoned, handle_mean_ms, handle_p90_ms,
    frictions, first_at, last_at, first_contact_at, last_contact_at, hired_at, left_at, trained_at, surveyed_at,
    survey_score, nullIf(survey_scale, '') AS survey_scale
FROM volvere_store.entities(of = 'agent');

-- Contacts and live frictions of the whole company around each deployment: few deployments beside many contacts, so that
-- each contact looks through them instead of being joined.
CREATE OR REPLACE VIEW volvere.releases AS
WITH
    (
        SELECT arraySort(groupArray((release, at)))
        FROM (
            SELECT assumeNotNull(release)::String AS release, min(occurred_at) AS at
            FROM volvere.operations
            WHERE kind = 'release.deployed' AND operations.release IS NOT NULL
            GROUP BY release
        )
    ) AS deployments,
    (SELECT known_until FROM volvere.clock) AS known_until
SELECT
    release,
    sum(parts.touchpoints) AS touchpoints,
    sum(parts.frictions) AS frictions,
    min(parts.first_at) AS first_at,
    max(parts.last_at) AS last_at,
    max(parts.deployed_at) AS deployed_at,
    ifNull(deployed_at + toIntervalDay(14) <= known_until, false)::Bool AS after_passed,
    if(deployed_at IS NULL, NULL, sum(parts.contacts_before)) AS contacts_before,
    if(deployed_at IS NULL, NULL, sum(parts.contacts_after)) AS contacts_after,
    if(deployed_at IS NULL, NULL, sum(parts.frictions_before)) AS frictions_before,
    if(deployed_at IS NULL, NULL, sum(parts.frictions_after)) AS frictions_after,
    if(contacts_before > 0, 1000 * frictions_before / contacts_before, NULL) AS frictions_per_1000_before,
    if(contacts_after > 0, 1000 * frictions_after / contacts_after, NULL) AS frictions_per_1000_after
FROM (
    SELECT
        assumeNotNull(value) AS release, touchpoints, frictions, first_at, last_at, deployed_at,
        0 AS contacts_before, 0 AS contacts_after, 0 AS frictions_before, 0 AS frictions_after
    FROM volvere_store.entities(of = 'release')

    UNION ALL

    SELECT
        deployment.1, 0, 0, NULL, NULL, NULL,
        countIf(started_at < deployment.2), countIf(started_at >= deployment.2), 0, 0
    FROM volvere.contacts
    ARRAY JOIN arrayFilter(
        d -> started_at >= d.2 - toIntervalDay(14) AND started_at < d.2 + toIntervalDay(14), deployments) AS deployment
    GROUP BY deployment.1

    UNION ALL

    SELECT
        deployment.1, 0, 0, NULL, NULL, NULL,
        0, 0, countIf(opened_at < deployment.2), countIf(opened_at >= deployment.2)
    FROM volvere.frictions
    ARRAY JOIN arrayFilter(
        d -> opened_at >= d.2 - toIntervalDay(14) AND opened_at < d.2 + toIntervalDay(14), deployments) AS deployment
    WHERE mode = 'live'
    GROUP BY deployment.1
) AS parts
GROUP BY release;

-- The kinds that are known, as schemas/kinds.py lists them; a test holds the two together.
CREATE OR REPLACE VIEW volvere_store.kinds AS
SELECT known.1 AS family, known.2 AS kind
FROM (
    SELECT arrayJoin([
        ('contact', 'contact.started'), ('contact', 'contact.queued'), ('contact', 'contact.answered'),
        ('contact', 'contact.held'), ('contact', 'contact.transferred'), ('contact', 'contact.ended'),
        ('contact', 'contact.abandoned'), ('contact', 'contact.refused'), ('contact', 'contact.resolved'),
        ('message', 'message.received'), ('message', 'message.sent'),
        ('case', 'case.opened'), ('case', 'case.updated'), ('case', 'case.reopened'), ('case', 'case.resolved'),
        ('process', 'request.made'), ('process', 'request.granted'), ('process', 'request.denied'),
        ('process', 'identity.verified'), ('process', 'information.requested'), ('process', 'promise.made'),
        ('process', 'promise.kept'),
        ('digital', 'page.viewed'), ('digital', 'element.clicked'), ('digital', 'form.started'),
        ('digital', 'form.failed'), ('digital', 'form.submitted'), ('digital', 'checkout.started'),
        ('digital', 'search.failed'),
        ('order', 'order.placed'), ('order', 'order.delivered'), ('order', 'order.returned'),
        ('order', 'order.refunded'),
        ('asset', 'asset.sold'), ('asset', 'asset.replaced'), ('asset', 'repair.opened'), ('asset', 'repair.closed'),
        ('feedback', 'survey.sent'), ('feedback', 'survey.answered'), ('feedback', 'complaint.filed'),
        ('feedback', 'review.posted'), ('feedback', 'feedback.followed_up'),
        ('relationship', 'purchase.made'), ('relationship', 'subscription.renewed'),
        ('relationship', 'subscription.cancelled'), ('relationship', 'account.closed'),
        ('relationship', 'referral.made'),
        ('operations', 'channel.closed'), ('operations', 'channel.opened'), ('operations', 'release.deployed'),
        ('operations', 'agent.hired'), ('operations', 'agent.left'), ('operations', 'agent.trained'),
        ('operations', 'agent.surveyed')
    ]) AS known
);

CREATE OR REPLACE VIEW volvere.data_quality AS
SELECT
    source,
    countIf(NOT t.cancelled) AS touchpoints,
    countIf(t.cancelled) AS cancelled,
    countIf(NOT t.cancelled AND kind::String NOT IN (SELECT kind FROM volvere_store.kinds)) AS unknown_kinds,
    countIf(NOT t.cancelled AND customer_id IS NULL) AS without_customer,
    countIf(NOT t.cancelled AND topic IS NULL) AS without_topic,
    countIf(NOT t.cancelled AND startsWith(kind, 'contact.') AND contact_id IS NULL) AS without_contact,
    quantileExactIfOrNull(0.5)(dateDiff('microsecond', occurred_at, appended_at) / 1000000, NOT t.cancelled) AS delay_p50_s,
    quantileExactIfOrNull(0.99)(dateDiff('microsecond', occurred_at, appended_at) / 1000000, NOT t.cancelled) AS delay_p99_s,
    minOrNullIf(occurred_at, NOT t.cancelled) AS first_at,
    maxOrNullIf(occurred_at, NOT t.cancelled) AS last_at
FROM volvere_store.touchpoints AS t FINAL
GROUP BY source;
