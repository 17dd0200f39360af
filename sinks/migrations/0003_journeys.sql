-- What a journey amounts to. Journeys that were stored before have an empty path, no outcome, no amounts.

ALTER TABLE volvere_store.journeys
    ADD COLUMN IF NOT EXISTS path Array(LowCardinality(String)) DEFAULT [] AFTER last_channel,
    ADD COLUMN IF NOT EXISTS outcome LowCardinality(Nullable(String)) DEFAULT NULL AFTER path,
    ADD COLUMN IF NOT EXISTS amounts Map(LowCardinality(String), Decimal(38, 4)) DEFAULT map() AFTER outcome,
    ADD COLUMN IF NOT EXISTS came_back Bool DEFAULT false AFTER amounts;

-- Only the list of columns differs from what stood before.
CREATE OR REPLACE VIEW volvere.journeys AS
SELECT
    journey_id, subject, customer_id, started_at, ended_at, touchpoints, contacts,
    first_channel, last_channel, path, outcome, amounts, came_back, frictions, score, generation, revision, replay
FROM volvere_store.journeys FINAL
WHERE generation >= (SELECT max(generation) FROM volvere_store.generations)
   OR (subject, generation) IN (
        SELECT subject, max(generation) FROM volvere_store.generations
        WHERE (SELECT min(generation) < max(generation) FROM volvere_store.generations)
        GROUP BY subject);
