-- What the company does, and the things that touchpoints name, one row each.

CREATE OR REPLACE VIEW volvere.operations AS
SELECT
    source, event_id, occurred_at, kind, channel, queue, agent_id, product, release, topic, ref, reason, reason_code,
    outcome, score, scale, attributes, version, appended_at
FROM volvere_store.operations FINAL
WHERE NOT cancelled;
