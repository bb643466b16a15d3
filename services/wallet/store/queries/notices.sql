-- name: report_conditions :exec
-- What this process sees: names ($1), kinds ($2) and facts ($3) of conditions that stand.
INSERT INTO wallet.conditions AS c (name, kind, facts, stands, since, reported_at)
SELECT n.name, n.kind, n.facts::jsonb, true, now(), now()
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (name, kind, facts)
ORDER BY n.name
ON CONFLICT (name) DO UPDATE
SET stands = true,
    since = CASE WHEN c.stands THEN c.since ELSE excluded.since END,
    reported_at = excluded.reported_at,
    facts = excluded.facts;

-- name: keep_conditions :exec
-- Conditions of which this process cannot tell ($1, kinds) stay as they are.
UPDATE wallet.conditions SET reported_at = now() WHERE stands AND kind = ANY($1::text[]);

-- name: end_conditions :exec
-- What nobody has reported for $1 seconds is over. After now: reported before the clock was set back.
UPDATE wallet.conditions
SET stands = false, since = now()
WHERE stands
  AND (reported_at < now() - make_interval(secs => $1::float8) OR reported_at > now());

-- name: tell_effective_addresses :one
SELECT wallet.tell_effective_addresses() AS told;

-- name: forget_notices :one
SELECT wallet.forget_notices() AS forgotten;
