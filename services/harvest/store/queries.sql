-- What is harvest's own. The rest of what it asks for, and what the parts are, is in
-- libs/batches/queries.sql.

-- name: schema :part
harvest

-- name: events :part
harvest.harvests

-- name: item :part
farmer_id

-- name: event :part
e.reward_amount, e.stake_returned, e.harvested_at AS settled_at

-- name: of_item :part
CASE WHEN o.state = 'succeeded' THEN o.amount ELSE 0 END AS reward_amount,
CASE WHEN o.state = 'succeeded' THEN o.stake_returned ELSE 0 END AS stake_returned

-- name: of_operation :part
CASE WHEN o.state = 'succeeded' THEN o.amount ELSE 0 END AS reward_amount,
CASE WHEN o.state = 'succeeded' THEN o.stake_returned ELSE 0 END AS stake_returned

-- name: is_told :part
e.id = o.operation_id OR e.status = 'success'

-- name: recorded :part
-- The database books each in the same statement: the ledger and what the farmer has earned.
recorded AS (
    INSERT INTO harvest.harvests (
        id, block_index, farmer_id, pooler_id, custodial_wallet, reward_amount, stake_returned,
        transaction_hash, ledger, fee_charged, status, reason, error_message, harvested_at
    )
    SELECT event_id, block_index, farmer_id, pooler_id, custodial_wallet, reward_amount,
        stake_returned, transaction_hash, ledger, fee_charged, status::harvest.harvest_status,
        reason, error_message, settled_at
    FROM settled
    -- In one order, so that two statements with the same farmers never wait crosswise.
    ORDER BY farmer_id, event_id
    ON CONFLICT DO NOTHING
    RETURNING id
)

-- name: candidates :many
-- Farmers who worked in the block and were not harvested, nor in vain. One who is on the way in
-- another batch is joined there: wallet has one operation for both.
SELECT DISTINCT w.farmer_id, w.custodial_wallet AS address
FROM work.works AS w
WHERE w.block_index = $2
    AND w.pooler_id = $1
    AND w.status = 'success'
    AND NOT EXISTS (
        SELECT 1 FROM harvest.harvests AS h
        WHERE h.block_index = $2 AND h.farmer_id = w.farmer_id
            AND harvest.is_final(h.status, h.reason)
    )
ORDER BY w.farmer_id;

-- name: insert_items :exec
INSERT INTO harvest.batch_items (batch_id, farmer_id, id, chunk, custodial_wallet)
SELECT $1, n.farmer_id, n.id, n.chunk, n.address
FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[])
AS n (farmer_id, id, chunk, address);

-- name: pending_blocks :many
-- Closed blocks with something worked, not harvested and not on the way in an open batch, the one that
-- expires first going first. With a pause ($5, seconds), what has failed waits 1, 2, 4 ... 32 of them; a
-- failure that a wrong clock has put into the future does not count. A pooler's blocks come together, once
-- its oldest one is $6 blocks old (1: it is closed).
WITH due AS (
    SELECT
        p.pooler_id,
        p.block_index,
        count(*)::int AS farmers,
        min(p.block_index) OVER (PARTITION BY p.pooler_id) AS oldest
    FROM harvest.pending AS p
    WHERE p.block_index < $2
        AND p.block_index >= $3
        AND ($1::uuid IS NULL OR p.pooler_id = $1::uuid)
        AND (
            $5::float8 IS NULL OR p.failures = 0 OR p.failed_at > now()
            OR p.failed_at + make_interval(secs => $5::float8 * 2 ^ (least(p.failures, 6) - 1)) <= now()
        )
        -- A work that was recorded while its block was harvested may have left a row behind.
        AND NOT EXISTS (
            SELECT 1 FROM harvest.harvests AS h
            WHERE h.block_index = p.block_index AND h.farmer_id = p.farmer_id
                AND harvest.is_final(h.status, h.reason)
        )
        AND NOT EXISTS (
            SELECT 1 FROM harvest.batches AS b
            INNER JOIN harvest.batch_items AS i ON i.batch_id = b.id
            WHERE b.completed_at IS NULL AND b.block_index = p.block_index
                AND i.farmer_id = p.farmer_id AND i.event_id IS NULL
        )
    GROUP BY p.block_index, p.pooler_id
)
SELECT pooler_id, block_index, farmers
FROM due
WHERE oldest <= $2 - $6
ORDER BY block_index, pooler_id
LIMIT $4;

-- name: count_pending :one
SELECT count(*)::int AS harvests
FROM harvest.pending AS p
WHERE p.block_index < $2
    AND p.block_index >= $3
    AND ($1::uuid IS NULL OR p.pooler_id = $1::uuid)
    -- A work that was recorded while its block was harvested may have left a row behind.
    AND NOT EXISTS (
        SELECT 1 FROM harvest.harvests AS h
        WHERE h.block_index = p.block_index AND h.farmer_id = p.farmer_id
            AND harvest.is_final(h.status, h.reason)
    );

-- name: balance :one
SELECT farmer_id, current_balance, total_rewards, harvests, updated_at
FROM harvest.balances
WHERE farmer_id = $1;

-- name: farmer_exists :one
SELECT true AS exists FROM registry.farmers WHERE id = $1;

-- name: owners_of_farmers :many
-- Whose farmers these are; '' for one that there is not.
SELECT DISTINCT coalesce(f.pooler_id::text, '') AS pooler_id
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN registry.farmers AS f ON f.id = asked.id;
