-- name: save_head :exec
-- A node that lags, or another wallet process that does, never turns the clock back.
INSERT INTO chain.head AS h (
    ledger, close_time, current_block, plantable_block, paused, block_seconds
)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (singleton) DO UPDATE
SET ledger = excluded.ledger,
    close_time = excluded.close_time,
    current_block = excluded.current_block,
    plantable_block = excluded.plantable_block,
    paused = excluded.paused,
    block_seconds = excluded.block_seconds,
    updated_at = now()
WHERE h.ledger <= excluded.ledger;

-- name: save_block :exec
INSERT INTO chain.blocks AS b (
    index, opened_ledger, opened_at, entropy, min_gap, max_gap, min_zeros, max_zeros, min_stake,
    max_stake, staked_total, normalized_total, expires_ledger, updated_ledger
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (index) DO UPDATE
SET staked_total = excluded.staked_total,
    normalized_total = excluded.normalized_total,
    expires_ledger = excluded.expires_ledger,
    updated_ledger = excluded.updated_ledger
WHERE b.updated_ledger < excluded.updated_ledger
   OR b.expires_ledger < excluded.expires_ledger;

-- name: head :one
SELECT ledger, close_time, current_block, plantable_block, paused, block_seconds FROM chain.head;

-- name: block :one
SELECT * FROM chain.blocks WHERE index = $1;

-- name: blocks_between :many
SELECT * FROM chain.blocks WHERE index > $1 AND index < $2 ORDER BY index;

-- name: newest_block :one
SELECT max(index) AS index FROM chain.blocks;
