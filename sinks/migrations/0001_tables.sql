-- What came over Kafka, one table a topic. Rows carry a version made of their content, and a
-- ReplacingMergeTree keeps the greatest, so that repeats and disorder change nothing. Analysts read
-- the views in `volvere`, which apply FINAL; these tables hold rows that merges have not removed yet.

CREATE DATABASE IF NOT EXISTS volvere_store;

CREATE DATABASE IF NOT EXISTS volvere;

-- A cancelled touchpoint stays as a row with cancelled = 1: it is the newest thing said about the
-- event and must go on beating older versions that arrive late; the views leave it out. So there is
-- no `_deleted` here. Months as partitions: occurred_at is part of a touchpoint's identity.
CREATE TABLE IF NOT EXISTS volvere_store.touchpoints
(
    subject      String,
    occurred_at  DateTime64(6, 'UTC'),
    source       LowCardinality(String),
    event_id     String,
    alias        String DEFAULT subject,
    customer_id  Nullable(String),
    kind         LowCardinality(String),
    channel      LowCardinality(String),
    version      UInt64,
    cancelled    Bool,
    direction    LowCardinality(Nullable(String)),
    automatic    Bool,
    ref          Nullable(String),
    contact_id   Nullable(String),
    journey_id   Nullable(String),
    topic        LowCardinality(Nullable(String)),
    agent_id     LowCardinality(Nullable(String)),
    queue        LowCardinality(Nullable(String)),
    product      LowCardinality(Nullable(String)),
    asset_id     Nullable(String),
    release      LowCardinality(Nullable(String)),
    ended_by     LowCardinality(Nullable(String)),
    reason       LowCardinality(Nullable(String)),
    reason_code  LowCardinality(Nullable(String)),
    wait_ms      Nullable(UInt64),
    handle_ms    Nullable(UInt64),
    hold_ms      Nullable(UInt64),
    outcome      LowCardinality(Nullable(String)),
    score        Nullable(Float64),
    scale        LowCardinality(Nullable(String)),
    amount       Nullable(Decimal(18, 4)),
    currency     LowCardinality(Nullable(String)),
    due_at       Nullable(DateTime64(6, 'UTC')),
    element      Nullable(String),
    x            Nullable(Float64),
    y            Nullable(Float64),
    attributes   Map(LowCardinality(String), String),
    appended_at  DateTime64(6, 'UTC'),
    _version     UInt128,
    _topic       LowCardinality(String),
    _partition   UInt32,
    _offset      UInt64
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (subject, occurred_at, source, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS volvere_store.operations AS volvere_store.touchpoints
ENGINE = ReplacingMergeTree(_version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (subject, occurred_at, source, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- A friction's times may change as evidence comes in, so there are no partitions to move between.
CREATE TABLE IF NOT EXISTS volvere_store.frictions
(
    kind             LowCardinality(String),
    friction_id      UUID,
    subject          String,
    state            LowCardinality(String),
    reason           LowCardinality(Nullable(String)),
    severity         LowCardinality(String),
    opened_at        DateTime64(6, 'UTC'),
    resolved_at      Nullable(DateTime64(6, 'UTC')),
    provisional      Bool,
    final_at         DateTime64(6, 'UTC'),
    customer_id      Nullable(String),
    journey_id       Nullable(String),
    contact_id       Nullable(String),
    channel          LowCardinality(Nullable(String)),
    queue            LowCardinality(Nullable(String)),
    agent_id         LowCardinality(Nullable(String)),
    topic            LowCardinality(Nullable(String)),
    product          LowCardinality(Nullable(String)),
    asset_id         Nullable(String),
    release          LowCardinality(Nullable(String)),
    observed_value   Nullable(Float64),
    observed_unit    LowCardinality(Nullable(String)),
    observed_window  LowCardinality(Nullable(String)),
    observed_also    Map(LowCardinality(String), Float64),
    threshold_value  Nullable(Float64),
    threshold_unit   LowCardinality(Nullable(String)),
    threshold_window LowCardinality(Nullable(String)),
    rule_id          LowCardinality(String),
    rule_digest      LowCardinality(String),
    mode             LowCardinality(String),
    generation       UInt64,
    revision         UInt64,
    group_open       UInt64,
    corrected        Bool,
    suppressed       Bool,
    replay           Bool,
    dedupkey         String,
    groupkey         String,
    summary          String,
    evidence         Array(Tuple(
                         source String,
                         event_id String,
                         occurred_at DateTime64(6, 'UTC'),
                         role LowCardinality(String))),
    detected_at      DateTime64(6, 'UTC'),
    appended_at      DateTime64(6, 'UTC'),
    _version         UInt128,
    _deleted         UInt8,
    _topic           LowCardinality(String),
    _partition       UInt32,
    _offset          UInt64
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (kind, friction_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS volvere_store.journeys
(
    subject       String,
    journey_id    String,
    customer_id   Nullable(String),
    state         LowCardinality(String),
    merged_into   Nullable(String),
    started_at    DateTime64(6, 'UTC'),
    ended_at      DateTime64(6, 'UTC'),
    touchpoints   UInt64,
    contacts      UInt64,
    first_channel LowCardinality(String),
    last_channel  LowCardinality(String),
    frictions     UInt64,
    score         Float64,
    generation    UInt64,
    revision      UInt64,
    replay        Bool,
    appended_at   DateTime64(6, 'UTC'),
    _version      UInt128,
    _deleted      UInt8,
    _topic        LowCardinality(String),
    _partition    UInt32,
    _offset       UInt64
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (subject, journey_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- The newest generation of each subject. A maximum may be taken twice without harm, so materialized
-- views may feed it. Frictions feed it as well as journeys: a friction is published at once, a
-- journey a few seconds later.
CREATE TABLE IF NOT EXISTS volvere_store.generations
(
    subject    String,
    generation UInt64
)
ENGINE = ReplacingMergeTree(generation)
ORDER BY subject
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS volvere_store.generations_of_journeys
TO volvere_store.generations AS
SELECT journeys.subject AS subject, max(journeys.generation) AS generation
FROM volvere_store.journeys AS journeys
GROUP BY subject;

CREATE MATERIALIZED VIEW IF NOT EXISTS volvere_store.generations_of_frictions
TO volvere_store.generations AS
SELECT frictions.subject AS subject, max(frictions.generation) AS generation
FROM volvere_store.frictions AS frictions
GROUP BY subject;
