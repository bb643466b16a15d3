-- name: save_head :exec
-- A node that lags, or another wallet process that does, never turns the clock back; turn_head does.
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

-- name: save_block :one
-- The ledger of the first sight; nothing when what is kept is newer.
INSERT INTO chain.blocks AS b (
    index, opened_ledger, opened_at, closes_at, entropy, min_gap, max_gap, min_zeros, max_zeros,
    min_stake, max_stake, staked_total, normalized_total, expires_ledger, updated_ledger
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (index) DO UPDATE
SET opened_at = excluded.opened_at,
    -- The first sight, unless that was a lie.
    opened_ledger = CASE
        WHEN b.updated_ledger < 0 THEN excluded.opened_ledger ELSE b.opened_ledger
    END,
    -- Once the block is over, only its opening can be read, and what that tells may be too late.
    closes_at = CASE
        WHEN b.updated_ledger < 0 THEN excluded.closes_at
        ELSE least(b.closes_at, excluded.closes_at)
    END,
    entropy = excluded.entropy,
    min_gap = excluded.min_gap,
    max_gap = excluded.max_gap,
    min_zeros = excluded.min_zeros,
    max_zeros = excluded.max_zeros,
    min_stake = excluded.min_stake,
    max_stake = excluded.max_stake,
    staked_total = excluded.staked_total,
    normalized_total = excluded.normalized_total,
    expires_ledger = excluded.expires_ledger,
    updated_ledger = excluded.updated_ledger
WHERE b.updated_ledger < excluded.updated_ledger
   OR b.expires_ledger < excluded.expires_ledger
RETURNING opened_ledger;

-- name: head :one
SELECT ledger, close_time, current_block, plantable_block, paused, block_seconds FROM chain.head;

-- name: block :one
SELECT
    index, opened_ledger, opened_at, closes_at, entropy, min_gap, max_gap, min_stake, max_stake, min_zeros,
    max_zeros, staked_total, normalized_total, expires_ledger
FROM chain.blocks WHERE index = $1;

-- name: blocks_between :many
SELECT
    index, opened_ledger, opened_at, closes_at, entropy, min_gap, max_gap, min_stake, max_stake, min_zeros,
    max_zeros, staked_total, normalized_total, expires_ledger
FROM chain.blocks WHERE index > $1 AND index < $2 ORDER BY index;

-- name: newest_block :one
SELECT max(index) AS index FROM chain.blocks WHERE updated_ledger >= 0;

-- name: newest_blocks :many
-- Up to $2 that were seen, none after $1, newest first.
SELECT index, entropy FROM chain.blocks
WHERE index <= $1 AND updated_ledger >= 0
ORDER BY index DESC
LIMIT $2;

-- name: taken_transactions :many
-- The newest $2 of ours that a ledger up to $1 has, by what they are looked up by.
SELECT lookup_hash, ledger FROM wallet.transactions
WHERE ledger <= $1
ORDER BY ledger DESC
LIMIT $2;

-- name: first_taken :one
-- The first ledger that has a transaction of ours; none: there is no such.
SELECT min(ledger) AS ledger FROM wallet.transactions WHERE ledger IS NOT NULL;

-- name: turn_head :exec
-- Down to what several nodes show now, if no process has seen the higher one for a while and these
-- are no nodes that lag: their clock is the database's. The higher one was a lie.
UPDATE chain.head
SET ledger = $1,
    close_time = $2,
    current_block = $3,
    plantable_block = $4,
    paused = $5,
    block_seconds = $6,
    updated_at = now()
WHERE ledger > $1
  AND updated_at < now() - make_interval(secs => $7)
  AND $2 > now() - interval '2 minutes';

-- name: turn_blocks :exec
-- What was seen of blocks at a ledger that is not there is overwritten by the next sight.
UPDATE chain.blocks
SET updated_ledger = -1, expires_ledger = -1
WHERE updated_ledger > $1 OR index > $2;

-- name: turn_transactions :exec
-- Those in flight that were signed, or are to be sent again, at a ledger that is not there. Four
-- ledgers a second are more than there were since, so the true ledger was not before that one.
UPDATE wallet.transactions
SET signed_ledger = greatest(
        0, least(signed_ledger, $1 - 10 - 4 * extract(epoch FROM now() - created_at)::int)
    ),
    resend_ledger = least(resend_ledger, $1)
WHERE state IN ('signed', 'sent') AND (signed_ledger > $1 OR resend_ledger > $1 + 4);

-- name: turn_taken :exec
UPDATE wallet.transactions SET ledger = $1 WHERE ledger > $1;

-- name: turned_operations :many
-- The next $3 operations after $2 that are said to have ended in a ledger that is not there, with the
-- authenticators of their ends.
SELECT
    o.id AS operation_id, o.kind, o.state, o.amount, o.stake_returned, o.gap, o.ledger, o.end_mac
FROM wallet.operations AS o
WHERE o.ledger > $1 AND ($2::uuid IS NULL OR o.id > $2)
ORDER BY o.id
LIMIT $3
FOR NO KEY UPDATE;

-- name: turn_operations :exec
-- These ($2) to the ledger $1, with the authenticators that their ends have then ($3).
UPDATE wallet.operations AS o
SET ledger = $1, end_mac = n.end_mac
FROM unnest($2::uuid[], $3::bytea[]) AS n (id, end_mac)
WHERE o.id = n.id AND o.ledger > $1;

-- name: turn_accounts :exec
UPDATE wallet.accounts SET ledger = $1 WHERE ledger > $1;

-- name: turn_balances :exec
UPDATE wallet.reconciled_balances SET ledger = $1 WHERE ledger > $1;
