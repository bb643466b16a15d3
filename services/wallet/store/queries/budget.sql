-- name: fees_committed :many
-- Stroops by pooler (none: the pool itself): charged within 24 hours, to the full hour, or bid by
-- what is in flight.
WITH charged AS (
    SELECT pooler_id, stroops FROM wallet.fee_hours
    WHERE hour >= date_trunc('hour', now() - interval '24 hours')
),
bid AS (
    SELECT
        w.pooler_id,
        ceil(t.fee_bid::numeric / count(*) OVER (PARTITION BY t.id))::bigint AS stroops
    FROM wallet.transactions AS t
    LEFT JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
    LEFT JOIN wallet.operations AS o ON c.operation_id = o.id
    LEFT JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE t.state IN ('signed', 'sent') AND NOT t.is_rent
),
both_kinds AS (
    SELECT pooler_id, stroops FROM charged
    UNION ALL
    SELECT pooler_id, stroops FROM bid
)
SELECT pooler_id, least(sum(stroops), 9223372036854775807)::bigint AS stroops
FROM both_kinds GROUP BY pooler_id;

-- name: fee_obligations :many
-- Operations by pooler that have to follow what was planted: a harvest for each plant of this block,
-- the next and the one before, a work for those of this and the next that have none, and all that
-- is on its way.
WITH following AS (
    SELECT
        o.wallet_id,
        CASE
            WHEN o.block_index >= h.current_block AND NOT EXISTS (
                SELECT 1 FROM wallet.operations AS w
                WHERE w.wallet_id = o.wallet_id
                  AND w.block_index = o.block_index
                  AND w.kind = 'work'
                  AND w.state = 'succeeded'
            ) THEN 2
            ELSE 1
        END AS count
    FROM chain.head AS h
    INNER JOIN wallet.operations AS o
        ON o.kind = 'plant' AND o.block_index >= h.current_block - 1
    WHERE o.state IN ('signed', 'sent', 'succeeded')
    UNION ALL
    SELECT o.wallet_id, 1 AS count
    FROM wallet.operations AS o
    WHERE o.kind IN ('work', 'harvest') AND o.state IN ('queued', 'signed', 'sent')
)
SELECT w.pooler_id, sum(f.count)::bigint AS operations
FROM following AS f
INNER JOIN wallet.wallets AS w ON f.wallet_id = w.id
GROUP BY w.pooler_id;

-- name: treasury_stroops :one
-- What the treasury can spend, as last read; each of its reserves is 0.5 XLM.
SELECT a.xlm_stroops - (2 + a.reserves::bigint) * 5000000 AS stroops
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
WHERE w.kind = 'treasury';

-- name: book_fees :exec
-- What was charged for operations ($1; none for a deployment) is added to this hour.
INSERT INTO wallet.fee_hours AS f (hour, pooler_id, stroops)
SELECT date_trunc('hour', now()), w.pooler_id, sum(n.fee)
FROM unnest($1::uuid[], $2::bigint[]) AS n (operation_id, fee)
LEFT JOIN wallet.operations AS o ON n.operation_id = o.id
LEFT JOIN wallet.wallets AS w ON o.wallet_id = w.id
GROUP BY w.pooler_id
HAVING sum(n.fee) > 0
ORDER BY w.pooler_id
ON CONFLICT ON CONSTRAINT fee_hours_once DO UPDATE
SET stroops = least(f.stroops::numeric + excluded.stroops, 9223372036854775807);

-- name: rent_committed :one
-- Stroops of rent: charged within 24 hours, or bid by what is in flight.
SELECT least(coalesce(sum(
    CASE WHEN state IN ('signed', 'sent') THEN fee_bid ELSE fee_charged END
), 0), 9223372036854775807)::bigint AS stroops
FROM wallet.transactions
WHERE is_rent AND created_at > now() - interval '24 hours';

-- name: carried_by :many
-- What a transaction bids, once for each operation in it, with the operation's pooler.
SELECT t.fee_bid, w.pooler_id
FROM wallet.transactions AS t
LEFT JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
LEFT JOIN wallet.operations AS o ON c.operation_id = o.id
LEFT JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE t.id = $1;

-- name: sponsored_lately :one
-- Wallets that were made within 24 hours, whatever was given back meanwhile: of a pooler's farmers ($1),
-- and of all farmers and poolers. No role of ours can take one away, or change when and for whom it was made.
WITH lately AS (
    SELECT pooler_id = $1 AS is_of_pooler FROM wallet.wallets
    WHERE kind = 'farmer' AND created_at > now() - interval '24 hours'
    UNION ALL
    SELECT false AS is_of_pooler FROM wallet.wallets
    WHERE kind = 'pooler' AND created_at > now() - interval '24 hours'
)
SELECT count(*) FILTER (WHERE is_of_pooler) AS pooler, count(*) AS pool FROM lately;
