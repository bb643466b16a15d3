-- name: head :one
SELECT current_block, plantable_block, ledger FROM chain.head;

-- name: pooler_exists :one
SELECT true AS exists FROM registry.poolers WHERE id = $1;

-- name: batch :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM harvest.batches
WHERE id = $1;

-- name: batch_by_request :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM harvest.batches
WHERE pooler_id = $1 AND request_id = $2;

-- name: open_batches :many
SELECT id FROM harvest.batches WHERE completed_at IS NULL ORDER BY id;

-- name: lock_pooler :exec
-- One plan at a time for a pooler, so that a repeated request finds the first one's batch, also when
-- it comes for another block.
SELECT pg_advisory_xact_lock(hashtextextended('harvest.batches ' || $1::text, 0));

-- name: known :one
SELECT EXISTS (SELECT 1 FROM registry.poolers WHERE id = $1) AS pooler,
    $2::uuid IS NULL OR EXISTS (
        SELECT 1 FROM registry.farmers WHERE id = $2::uuid AND pooler_id = $1
    ) AS farmer;

-- name: ensure_partition :exec
SELECT harvest.ensure_partition($1);

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

-- name: pending_blocks :many
-- Closed blocks with something worked, not harvested and not on the way in an open batch, the one that
-- expires first going first. With a pause ($5, seconds), what has failed waits 1, 2, 4 ... 32 of them; a
-- failure that a wrong clock has put into the future does not count.
SELECT p.pooler_id, p.block_index, count(*)::int AS farmers
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
ORDER BY p.block_index, p.pooler_id
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

-- name: insert_batch :exec
INSERT INTO harvest.batches (id, request_id, pooler_id, block_index, digest)
VALUES ($1, $2, $3, $4, $5);

-- name: insert_items :exec
INSERT INTO harvest.batch_items (batch_id, farmer_id, id, chunk, custodial_wallet)
SELECT $1, n.farmer_id, n.id, n.chunk, n.address
FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[])
AS n (farmer_id, id, chunk, address);

-- name: items :many
-- Whole chunks that have something open: wallet knows a chunk by all of its items.
SELECT farmer_id, chunk
FROM harvest.batch_items
WHERE batch_id = $1
    AND refusal = ''
    AND chunk IN (
        SELECT chunk FROM harvest.batch_items WHERE batch_id = $1 AND event_id IS NULL
    )
ORDER BY chunk, farmer_id;

-- name: refuse_chunk :exec
UPDATE harvest.batch_items SET refusal = $3, message = $4
WHERE batch_id = $1 AND chunk = $2 AND event_id IS NULL;

-- name: record :exec
-- Everything of the batch that is settled becomes an event, and each new success changes the balance
-- in the same statement; after a crash this is the recovery.
WITH settled AS (
    SELECT i.batch_id, i.farmer_id, coalesce(o.operation_id, i.id) AS event_id, b.block_index,
        b.pooler_id,
        i.custodial_wallet,
        CASE WHEN o.state = 'succeeded' THEN o.amount ELSE 0 END AS reward_amount,
        CASE WHEN o.state = 'succeeded' THEN o.stake_returned ELSE 0 END AS stake_returned,
        coalesce(o.transaction_hash, '') AS transaction_hash, coalesce(o.ledger, 0) AS ledger,
        coalesce(o.fee_charged, 0) AS fee_charged, coalesce(o.state = 'succeeded', false) AS success,
        coalesce(o.reason, i.refusal) AS reason, coalesce(o.error_message, i.message) AS message,
        coalesce(o.settled_at, now()) AS settled_at
    FROM harvest.batches AS b
    INNER JOIN harvest.batch_items AS i ON i.batch_id = b.id
    -- Looked up for each farmer, which takes a few steps into indexes. OFFSET 0 keeps it so, whatever
    -- the statistics say: else all of a chunk is read for each farmer in it, or all of its history.
    LEFT JOIN LATERAL (
        SELECT s.* FROM wallet.settled_operations AS s
        WHERE s.farmer_id = i.farmer_id AND s.block_index = b.block_index
        AND (
            SELECT true FROM wallet.batch_operations AS x
            WHERE x.request_id = format('harvest-%s-%s', b.id, i.chunk)
                AND x.operation_id = s.operation_id
        )
        OFFSET 0
    ) AS o ON true
    WHERE b.id = $1 AND i.event_id IS NULL AND (o.operation_id IS NOT NULL OR i.refusal <> '')
),
recorded AS (
    INSERT INTO harvest.harvests (
        id, block_index, farmer_id, pooler_id, custodial_wallet, reward_amount, stake_returned,
        transaction_hash, ledger, fee_charged, status, reason, error_message, harvested_at
    )
    SELECT event_id, block_index, farmer_id, pooler_id, custodial_wallet, reward_amount,
        stake_returned, transaction_hash, ledger, fee_charged,
        (CASE WHEN success THEN 'success' ELSE 'failed' END)::harvest.harvest_status,
        coalesce(reason, ''), coalesce(message, ''), settled_at
    FROM settled
    -- In one order, so that two batches with the same farmers never wait crosswise.
    ORDER BY farmer_id
    ON CONFLICT DO NOTHING
    RETURNING farmer_id, reward_amount, status, harvested_at
),
booked AS (
    INSERT INTO harvest.balances AS b (
        farmer_id, current_balance, total_rewards, harvests, updated_at
    )
    SELECT farmer_id, reward_amount, reward_amount, 1, harvested_at
    FROM recorded
    WHERE status = 'success'
    ORDER BY farmer_id
    ON CONFLICT (farmer_id) DO UPDATE SET
        current_balance = b.current_balance + excluded.current_balance,
        total_rewards = b.total_rewards + excluded.total_rewards,
        harvests = b.harvests + 1,
        updated_at = excluded.updated_at
)
UPDATE harvest.batch_items AS i
SET event_id = s.event_id
FROM settled AS s
-- By the whole key, so that each is one step into its index, and not one of a nested loop over both.
WHERE i.batch_id = s.batch_id AND i.farmer_id = s.farmer_id;

-- name: complete :one
UPDATE harvest.batches AS b
SET completed_at = now()
WHERE b.id = $1 AND b.completed_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM harvest.batch_items AS i WHERE i.batch_id = b.id AND i.event_id IS NULL
    )
RETURNING b.id;

-- name: found_blocks :many
-- Blocks from $1 on with harvests that reconciliation recorded and no event tells of.
SELECT DISTINCT o.block_index
FROM wallet.settled_operations AS o
INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
WHERE o.is_found AND o.kind = 'harvest' AND o.block_index >= $1
    AND NOT EXISTS (
        SELECT 1 FROM harvest.harvests AS e
        WHERE e.block_index = o.block_index AND e.farmer_id = o.farmer_id
            AND (e.id = o.operation_id OR e.status = 'success')
    )
ORDER BY o.block_index;

-- name: record_found :one
-- Everything of a block ($1) that reconciliation recorded and no batch asked for becomes an event,
-- and each new success changes the balance in the same statement. A batch may record it, too: it is
-- the same operation, and counts once.
WITH recorded AS (
    INSERT INTO harvest.harvests (
        id, block_index, farmer_id, pooler_id, custodial_wallet, reward_amount, stake_returned,
        transaction_hash, ledger, fee_charged, status, reason, error_message, harvested_at
    )
    SELECT o.operation_id, o.block_index, o.farmer_id, o.pooler_id, o.address,
        CASE WHEN o.state = 'succeeded' THEN o.amount ELSE 0 END,
        CASE WHEN o.state = 'succeeded' THEN o.stake_returned ELSE 0 END,
        coalesce(o.transaction_hash, ''), coalesce(o.ledger, 0), o.fee_charged,
        (CASE WHEN o.state = 'succeeded' THEN 'success' ELSE 'failed' END)::harvest.harvest_status,
        coalesce(o.reason, ''), o.error_message, o.settled_at
    FROM wallet.settled_operations AS o
    INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
    WHERE o.is_found AND o.kind = 'harvest' AND o.block_index = $1
        AND NOT EXISTS (
            SELECT 1 FROM harvest.harvests AS e
            WHERE e.block_index = $1 AND e.farmer_id = o.farmer_id
                AND (e.id = o.operation_id OR e.status = 'success')
        )
    -- In one order, so that two processes with the same farmers never wait crosswise.
    ORDER BY o.farmer_id, o.operation_id
    ON CONFLICT DO NOTHING
    RETURNING farmer_id, reward_amount, status, harvested_at
),
booked AS (
    INSERT INTO harvest.balances AS b (
        farmer_id, current_balance, total_rewards, harvests, updated_at
    )
    SELECT farmer_id, reward_amount, reward_amount, 1, harvested_at
    FROM recorded
    WHERE status = 'success'
    ORDER BY farmer_id
    ON CONFLICT (farmer_id) DO UPDATE SET
        current_balance = b.current_balance + excluded.current_balance,
        total_rewards = b.total_rewards + excluded.total_rewards,
        harvests = b.harvests + 1,
        updated_at = excluded.updated_at
)
SELECT count(*)::int AS recorded FROM recorded;

-- name: events_of_batch :many
SELECT h.id AS harvest_id, h.farmer_id, h.block_index, h.custodial_wallet, h.reward_amount,
    h.stake_returned, h.status::text AS status, h.reason, h.error_message, h.transaction_hash,
    h.ledger, h.fee_charged, h.harvested_at
FROM harvest.batch_items AS i
INNER JOIN harvest.batches AS b ON b.id = i.batch_id
INNER JOIN harvest.harvests AS h ON h.block_index = b.block_index AND h.id = i.event_id
WHERE i.batch_id = $1
ORDER BY h.farmer_id;

-- name: list_harvests :many
SELECT h.id AS harvest_id, h.farmer_id, h.block_index, h.custodial_wallet, h.reward_amount,
    h.stake_returned, h.status::text AS status, h.reason, h.error_message, h.transaction_hash,
    h.ledger, h.fee_charged, h.harvested_at
FROM harvest.harvests AS h
WHERE h.pooler_id = $1
    AND ($2::int IS NULL OR h.block_index = $2::int)
    AND ($3::uuid IS NULL OR h.farmer_id = $3::uuid)
    AND ($4::int IS NULL OR (h.block_index, h.id) < ($4::int, $5::uuid))
ORDER BY h.block_index DESC, h.id DESC
LIMIT $6;

-- name: owners_of_farmers :many
-- Whose farmers these are; '' for one that there is not.
SELECT DISTINCT coalesce(f.pooler_id::text, '') AS pooler_id
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN registry.farmers AS f ON f.id = asked.id;
