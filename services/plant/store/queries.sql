-- name: head :one
SELECT current_block, plantable_block, ledger FROM chain.head;

-- name: pooler_is_active :one
SELECT is_active FROM registry.poolers WHERE id = $1;

-- name: batch :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM plant.batches
WHERE id = $1;

-- name: batch_by_request :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM plant.batches
WHERE pooler_id = $1 AND request_id = $2;

-- name: open_batches :many
SELECT id FROM plant.batches WHERE completed_at IS NULL ORDER BY id;

-- name: lock_pooler :exec
-- One plan at a time for a pooler, so that a repeated request finds the first one's batch, also when
-- it comes for another block.
SELECT pg_advisory_xact_lock(hashtextextended('plant.batches ' || $1::text, 0));

-- name: known :one
SELECT EXISTS (SELECT 1 FROM registry.poolers WHERE id = $1) AS pooler,
    $2::uuid IS NULL OR EXISTS (
        SELECT 1 FROM registry.farmers WHERE id = $2::uuid AND pooler_id = $1
    ) AS farmer;

-- name: ensure_partition :exec
SELECT plant.ensure_partition($1);

-- name: candidates :many
-- Active farmers who can plant and have not. One who is on the way in another batch is joined there:
-- wallet has one operation for both. One whose signing is paused would keep the batch open.
SELECT f.id AS farmer_id, a.address, a.kale_stroops AS balance,
    (f.stake_percentage * 10000)::int AS stake_bps
FROM registry.farmers AS f
INNER JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
WHERE f.pooler_id = $1
    AND f.status = 'active'
    AND a.is_funded
    AND a.has_trustline
    AND NOT a.is_paused
    -- As a hashed list, so that nothing is planned by how many had planted in the blocks before.
    AND f.id NOT IN (
        SELECT p.farmer_id FROM plant.plantings AS p
        WHERE p.block_index = $2 AND p.status = 'success'
    )
ORDER BY f.id
LIMIT $3;

-- name: insert_batch :exec
INSERT INTO plant.batches (id, request_id, pooler_id, block_index, digest)
VALUES ($1, $2, $3, $4, $5);

-- name: insert_items :exec
INSERT INTO plant.batch_items (batch_id, farmer_id, id, chunk, custodial_wallet, stake)
SELECT $1, n.farmer_id, n.id, n.chunk, n.address, n.stake
FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::bigint[])
AS n (farmer_id, id, chunk, address, stake);

-- name: items :many
-- Whole chunks that have something open: wallet knows a chunk by all of its items.
SELECT farmer_id, chunk, stake
FROM plant.batch_items
WHERE batch_id = $1
    AND refusal = ''
    AND chunk IN (
        SELECT chunk FROM plant.batch_items WHERE batch_id = $1 AND event_id IS NULL
    )
ORDER BY chunk, farmer_id;

-- name: refuse_chunk :exec
UPDATE plant.batch_items SET refusal = $3, message = $4
WHERE batch_id = $1 AND chunk = $2 AND event_id IS NULL;

-- name: record :exec
-- Everything of the batch that is settled becomes an event; after a crash this is the recovery.
WITH settled AS (
    SELECT i.batch_id, i.farmer_id, coalesce(o.operation_id, i.id) AS event_id, b.block_index,
        b.pooler_id,
        i.custodial_wallet, coalesce(o.amount, i.stake) AS stake_amount,
        coalesce(o.transaction_hash, '') AS transaction_hash, coalesce(o.ledger, 0) AS ledger,
        coalesce(o.fee_charged, 0) AS fee_charged, coalesce(o.state = 'succeeded', false) AS success,
        coalesce(o.reason, i.refusal) AS reason, coalesce(o.error_message, i.message) AS message,
        coalesce(o.settled_at, now()) AS settled_at
    FROM plant.batches AS b
    INNER JOIN plant.batch_items AS i ON i.batch_id = b.id
    -- Looked up for each farmer, which takes a few steps into indexes. OFFSET 0 keeps it so, whatever
    -- the statistics say: else all of a chunk is read for each farmer in it, or all of its history.
    LEFT JOIN LATERAL (
        SELECT s.* FROM wallet.settled_operations AS s
        WHERE s.farmer_id = i.farmer_id AND s.block_index = b.block_index
        AND (
            SELECT true FROM wallet.batch_operations AS x
            WHERE x.request_id = format('plant-%s-%s', b.id, i.chunk)
                AND x.operation_id = s.operation_id
        )
        OFFSET 0
    ) AS o ON true
    WHERE b.id = $1 AND i.event_id IS NULL AND (o.operation_id IS NOT NULL OR i.refusal <> '')
),
recorded AS (
    INSERT INTO plant.plantings (
        id, block_index, farmer_id, pooler_id, custodial_wallet, stake_amount, transaction_hash,
        ledger, fee_charged, status, reason, error_message, planted_at
    )
    SELECT event_id, block_index, farmer_id, pooler_id, custodial_wallet, stake_amount,
        transaction_hash, ledger, fee_charged,
        (CASE WHEN success THEN 'success' ELSE 'failed' END)::plant.planting_status,
        coalesce(reason, ''), coalesce(message, ''), settled_at
    FROM settled
    -- In one order, so that two batches with the same farmers never wait crosswise.
    ORDER BY farmer_id
    ON CONFLICT DO NOTHING
)
UPDATE plant.batch_items AS i
SET event_id = s.event_id
FROM settled AS s
-- By the whole key, so that each is one step into its index, and not one of a nested loop over both.
WHERE i.batch_id = s.batch_id AND i.farmer_id = s.farmer_id;

-- name: complete :one
UPDATE plant.batches AS b
SET completed_at = now()
WHERE b.id = $1 AND b.completed_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM plant.batch_items AS i WHERE i.batch_id = b.id AND i.event_id IS NULL
    )
RETURNING b.id;

-- name: found_blocks :many
-- Blocks from $1 on with plants that reconciliation recorded and no event tells of.
SELECT DISTINCT o.block_index
FROM wallet.settled_operations AS o
INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
WHERE o.is_found AND o.kind = 'plant' AND o.block_index >= $1
    AND NOT EXISTS (
        SELECT 1 FROM plant.plantings AS e
        WHERE e.block_index = o.block_index AND e.farmer_id = o.farmer_id
            AND (e.id = o.operation_id OR e.status = 'success')
    )
ORDER BY o.block_index;

-- name: record_found :one
-- Everything of a block ($1) that reconciliation recorded and no batch asked for becomes an event.
WITH recorded AS (
    INSERT INTO plant.plantings (
        id, block_index, farmer_id, pooler_id, custodial_wallet, stake_amount, transaction_hash,
        ledger, fee_charged, status, reason, error_message, planted_at
    )
    SELECT o.operation_id, o.block_index, o.farmer_id, o.pooler_id, o.address, o.amount,
        coalesce(o.transaction_hash, ''), coalesce(o.ledger, 0), o.fee_charged,
        (CASE WHEN o.state = 'succeeded' THEN 'success' ELSE 'failed' END)::plant.planting_status,
        coalesce(o.reason, ''), o.error_message, o.settled_at
    FROM wallet.settled_operations AS o
    INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
    WHERE o.is_found AND o.kind = 'plant' AND o.block_index = $1
        AND NOT EXISTS (
            SELECT 1 FROM plant.plantings AS e
            WHERE e.block_index = $1 AND e.farmer_id = o.farmer_id
                AND (e.id = o.operation_id OR e.status = 'success')
        )
    -- In one order, so that two processes with the same farmers never wait crosswise.
    ORDER BY o.farmer_id, o.operation_id
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT count(*)::int AS recorded FROM recorded;

-- name: events_of_batch :many
SELECT p.id AS planting_id, p.farmer_id, p.block_index, p.custodial_wallet, p.stake_amount,
    p.status::text AS status, p.reason, p.error_message, p.transaction_hash, p.ledger,
    p.fee_charged, p.planted_at
FROM plant.batch_items AS i
INNER JOIN plant.batches AS b ON b.id = i.batch_id
INNER JOIN plant.plantings AS p ON p.block_index = b.block_index AND p.id = i.event_id
WHERE i.batch_id = $1
ORDER BY p.farmer_id;

-- name: list_plantings :many
SELECT p.id AS planting_id, p.farmer_id, p.block_index, p.custodial_wallet, p.stake_amount,
    p.status::text AS status, p.reason, p.error_message, p.transaction_hash, p.ledger,
    p.fee_charged, p.planted_at
FROM plant.plantings AS p
WHERE p.pooler_id = $1
    AND ($2::int IS NULL OR p.block_index = $2::int)
    AND ($3::uuid IS NULL OR p.farmer_id = $3::uuid)
    AND ($4::int IS NULL OR (p.block_index, p.id) < ($4::int, $5::uuid))
ORDER BY p.block_index DESC, p.id DESC
LIMIT $6;
