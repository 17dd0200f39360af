-- Measures of service, each by what the question names: `by` is day, week, month, hour (of the day), weekday, channel,
-- queue, topic, agent or all; days and hours are those of `zone`. A ratio over nothing is null, never nought.

-- The moment up to which something is known of everything that happened: what lies after it may still change an answer.
CREATE OR REPLACE VIEW volvere.clock AS
SELECT
    (SELECT maxOrNull(least(occurred_at, appended_at)) FROM volvere_store.touchpoints) AS known_until,
    (SELECT maxOrNull(appended_at) FROM volvere_store.touchpoints) AS newest_arrival,
    (SELECT maxOrNull(folded_at) FROM volvere_store.contacts) AS contacts_folded_at;

-- Contacts beside what they are counted by. Whatever groups contacts reads this one view.
CREATE OR REPLACE VIEW volvere_store.contacts_by AS
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(started_at, {zone:String})),
        {by:String} = 'week', toString(toMonday(started_at, {zone:String})),
        {by:String} = 'month', toString(toStartOfMonth(started_at, {zone:String})),
        {by:String} = 'hour', leftPad(toString(toHour(started_at, {zone:String})), 2, '0'),
        {by:String} = 'weekday', toString(toDayOfWeek(started_at, 0, {zone:String})),
        {by:String} = 'channel', channel::String,
        {by:String} = 'queue', queue::Nullable(String),
        {by:String} = 'topic', topic::Nullable(String),
        {by:String} = 'agent', agent_id::Nullable(String),
        'all') AS value,
    attempt, customer_id, queued_at, answered_at, abandoned, abandoned_in, wait_ms, handle_ms, transfers, started_at,
    seconds_since_attempt, seconds_since_attempt_same_topic, seconds_to_attempt, seconds_to_attempt_same_topic
FROM volvere.contacts
WHERE started_at >= {since:DateTime64(6, 'UTC')} AND started_at < {until:DateTime64(6, 'UTC')}
  AND (SELECT throwIf(
        {by:String} NOT IN ('day', 'week', 'month', 'hour', 'weekday', 'channel', 'queue', 'topic', 'agent', 'all'),
        'by: expected day, week, month, hour, weekday, channel, queue, topic, agent or all')) = 0
  AND (SELECT throwIf(
        {since:DateTime64(6, 'UTC')} >= {until:DateTime64(6, 'UTC')}, 'since: expected a time before until')) = 0;

-- Service levels as Cisco defines the three: of what was queued and has been answered or abandoned, the share answered in
-- time, where abandonments in time are left out, count as missed, or count as served.
CREATE OR REPLACE VIEW volvere.contact_metrics AS
SELECT
    value,
    count() AS contacts,
    countIf(attempt) AS attempts,
    uniqExact(customer_id) AS customers,
    countIf(answered_at IS NOT NULL) AS answered,
    countIf(queued_at IS NOT NULL) AS queued,
    countIf(abandoned_in = 'ivr') AS abandoned_in_ivr,
    countIf(abandoned_in = 'queue') AS abandoned_in_queue,
    countIf(abandoned_in = 'queue' AND wait_ms <= {short_abandon_ms:UInt64}) AS short_abandons,
    if(queued > short_abandons, (abandoned_in_queue - short_abandons) / (queued - short_abandons), NULL) AS abandonment_rate,
    countIf(queued_at IS NOT NULL AND answered_at IS NOT NULL AND wait_ms <= {within_ms:UInt64}) AS answered_in_time,
    countIf(abandoned_in = 'queue' AND answered_at IS NULL AND wait_ms <= {within_ms:UInt64}) AS abandoned_in_time,
    countIf(queued_at IS NOT NULL AND (answered_at IS NOT NULL OR abandoned_in = 'queue')) AS offered,
    if(offered > abandoned_in_time, answered_in_time / (offered - abandoned_in_time), NULL) AS service_level_abandons_ignored,
    if(offered > 0, answered_in_time / offered, NULL) AS service_level_abandons_negative,
    if(offered > 0, (answered_in_time + abandoned_in_time) / offered, NULL) AS service_level_abandons_positive,
    avgIfOrNull(wait_ms, answered_at IS NOT NULL) AS speed_of_answer_ms,
    quantileExactIfOrNull(0.5)(wait_ms, answered_at IS NOT NULL) AS wait_p50_ms,
    quantileExactIfOrNull(0.9)(wait_ms, answered_at IS NOT NULL) AS wait_p90_ms,
    avgOrNull(handle_ms) AS handle_mean_ms,
    quantileExactOrNull(0.5)(handle_ms) AS handle_p50_ms,
    quantileExactOrNull(0.9)(handle_ms) AS handle_p90_ms,
    quantileExactOrNull(0.95)(handle_ms) AS handle_p95_ms,
    sum(c.transfers) AS transfers,
    countIf(c.transfers > 0) AS transferred
FROM volvere_store.contacts_by(
    by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String}) AS c
GROUP BY value;

-- What came after, and before, each contact, in four windows; windows are closed and run from start to start. A contact is final
-- when its window has passed on volvere.clock. An issue is a chain of attempts on one topic, each within the window of the one before.
CREATE OR REPLACE VIEW volvere.returns AS
WITH (SELECT known_until FROM volvere.clock) AS known_until
SELECT
    value,
    within_s,
    countIf(of_resolution AND final) AS fcr_of,
    if(fcr_of > 0, countIf(of_resolution AND final AND NOT followed_same) / fcr_of, NULL) AS fcr,
    countIf(of_resolution AND NOT final) AS fcr_provisional_of,
    if(fcr_provisional_of > 0, countIf(of_resolution AND NOT final AND NOT followed_same) / fcr_provisional_of, NULL) AS fcr_provisional,
    countIf(begins_issue AND final) AS issue_fcr_of,
    if(issue_fcr_of > 0, countIf(begins_issue AND final AND NOT followed_same) / issue_fcr_of, NULL) AS issue_fcr,
    countIf(attempt AND customer_id IS NOT NULL) AS repeats_of,
    countIf(attempt AND customer_id IS NOT NULL AND seconds_since_attempt <= within_s) AS repeats,
    if(repeats_of > 0, repeats / repeats_of, NULL) AS repeat_rate,
    countIf(customer_id IS NOT NULL AND final) AS returns_of,
    countIf(final AND followed_same) AS returns,
    if(returns_of > 0, returns / returns_of, NULL) AS return_rate,
    countIf(final AND followed) AS returns_any_topic,
    if(returns_of > 0, returns_any_topic / returns_of, NULL) AS return_rate_any_topic
FROM (
    SELECT
        *,
        arrayJoin([3600, 86400, 604800, 2592000]::Array(UInt32)) AS within_s,
        ifNull(started_at + toIntervalSecond(within_s) < known_until, false) AS final,
        ifNull(seconds_to_attempt <= within_s, false) AS followed,
        ifNull(seconds_to_attempt_same_topic <= within_s, false) AS followed_same,
        attempt AND answered_at IS NOT NULL AND customer_id IS NOT NULL AS of_resolution,
        of_resolution AND NOT ifNull(seconds_since_attempt_same_topic <= within_s, false) AS begins_issue
    FROM volvere_store.contacts_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String})
)
GROUP BY value, within_s;

-- Short answered contacts of known customers beside the others, and what came after both: where an average is protected by
-- hanging up, the short ones come back.
CREATE OR REPLACE VIEW volvere.short_contacts AS
SELECT
    value,
    countIf(short) AS short_contacts,
    countIf(short AND followed) AS short_followed,
    if(short_contacts > 0, short_followed / short_contacts, NULL) AS short_return_rate,
    countIf(NOT short) AS other_contacts,
    countIf(NOT short AND followed) AS other_followed,
    if(other_contacts > 0, other_followed / other_contacts, NULL) AS other_return_rate,
    if(other_followed > 0 AND short_contacts > 0, short_return_rate / other_return_rate, NULL) AS times_as_often,
    avg(handle_ms) AS handle_mean_ms
FROM (
    SELECT
        value, assumeNotNull(c.handle_ms) AS handle_ms,
        handle_ms < {under_ms:UInt64} AS short,
        ifNull(c.seconds_to_attempt <= {within_s:UInt32}, false) AS followed
    FROM volvere_store.contacts_by(
        by = {by:String}, since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}, zone = {zone:String}) AS c
    WHERE c.customer_id IS NOT NULL AND c.answered_at IS NOT NULL AND c.handle_ms IS NOT NULL
)
GROUP BY value;
