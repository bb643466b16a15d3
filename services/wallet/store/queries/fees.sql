-- name: add_fees :exec
-- What was charged ($2, stroops) for operations ($1; none for what no operation asked for), rent ($3) apart,
-- is added to the spans that now lies in.
INSERT INTO wallet.fee_sums AS f (span, starts_at, pooler_id, kind, stroops, charges)
SELECT s.span, s.starts_at, c.pooler_id, c.kind,
    least(sum(c.fee), 9223372036854775807)::bigint, count(*)
FROM (
    SELECT
        n.fee,
        w.pooler_id,
        CASE WHEN n.is_rent THEN 'rent' ELSE coalesce(o.kind::text, 'other') END AS kind
    FROM unnest($1::uuid[], $2::bigint[], $3::boolean[]) AS n (operation_id, fee, is_rent)
    LEFT JOIN wallet.operations AS o ON n.operation_id = o.id
    LEFT JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE n.fee > 0
) AS c
CROSS JOIN LATERAL wallet.spans_of(now()) AS s
GROUP BY s.span, s.starts_at, c.pooler_id, c.kind
-- In one order, so that two transactions never wait crosswise; of each span there is one now.
ORDER BY s.span, c.pooler_id, c.kind
ON CONFLICT ON CONSTRAINT fee_sums_once DO UPDATE
SET stroops = least(f.stroops::numeric + excluded.stroops, 9223372036854775807),
    charges = least(f.charges::numeric + excluded.charges, 9223372036854775807);

-- name: fees_began :one
-- Since when the pool, or a pooler ($1), can have paid fees; and the time now.
SELECT
    now() AS now,
    CASE
        WHEN $1::uuid IS NULL THEN (
            SELECT w.created_at FROM wallet.wallets AS w WHERE w.kind = 'treasury'
        )
        ELSE (SELECT p.created_at FROM registry.poolers AS p WHERE p.id = $1)
    END AS registered_at;

-- name: fees_of_spans :many
-- What was charged in spans of one length ($1) that began at these moments ($2), by kind, for the pool or
-- for one pooler's farmers ($3).
SELECT m.starts_at, s.kind, s.stroops, s.charges
FROM unnest($2::timestamptz[]) AS m (starts_at)
CROSS JOIN LATERAL (
    SELECT
        f.kind,
        least(sum(f.stroops), 9223372036854775807)::bigint AS stroops,
        least(sum(f.charges), 9223372036854775807)::bigint AS charges
    FROM wallet.fee_sums AS f
    WHERE f.span = $1::wallet.span
      AND f.starts_at = m.starts_at
      AND ($3::uuid IS NULL OR f.pooler_id = $3)
    GROUP BY f.kind
) AS s
ORDER BY m.starts_at;

-- name: rewards_of_spans :many
-- Stroops of KALE that were harvested in the same spans, newest first.
SELECT m.starts_at, s.rewards
FROM unnest($2::timestamptz[]) AS m (starts_at)
CROSS JOIN LATERAL (
    SELECT least(coalesce(sum(e.rewards), 0), 9223372036854775807)::bigint AS rewards
    FROM harvest.pooler_earnings AS e
    WHERE e.span = $1::harvest.span
      AND e.starts_at = m.starts_at
      AND ($3::uuid IS NULL OR e.pooler_id = $3)
) AS s
ORDER BY m.starts_at DESC;
