-- What came as a touchpoint and is none: where it stood, who sent it and what was wrong, and nothing that it said.
CREATE TABLE IF NOT EXISTS volvere_store.refused
(
    source      LowCardinality(String),
    reason      LowCardinality(String),
    field       LowCardinality(String),
    appended_at DateTime64(6, 'UTC'),
    _topic      LowCardinality(String),
    _partition  UInt32,
    _offset     UInt64
)
ENGINE = ReplacingMergeTree()
PARTITION BY toYYYYMM(appended_at)
ORDER BY (_topic, _partition, _offset, appended_at)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE OR REPLACE VIEW volvere.refusals AS
SELECT
    source, reason, field,
    count() AS refused,
    min(appended_at) AS first_refused_at,
    max(appended_at) AS last_refused_at
FROM volvere_store.refused FINAL
GROUP BY source, reason, field;

-- As it was, and what was refused: of a source all of it may have been.
CREATE OR REPLACE VIEW volvere.data_quality AS
SELECT
    source, touchpoints, cancelled, refused, unknown_kinds, without_customer, without_topic, without_contact, late,
    delay_p50_s, delay_p99_s, first_at, last_at
FROM (
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
    GROUP BY source
) AS told
FULL JOIN (SELECT source, sum(refused) AS refused FROM volvere.refusals GROUP BY source) AS refusals USING (source)
SETTINGS join_use_nulls = 0;
