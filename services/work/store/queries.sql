-- name: head :one
SELECT current_block, plantable_block, ledger FROM chain.head;

-- name: pooler_exists :one
SELECT true AS exists FROM registry.poolers WHERE id = $1;

-- name: batch :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM work.batches
WHERE id = $1;

-- name: batch_by_request :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM work.batches
WHERE pooler_id = $1 AND request_id = $2;

-- name: open_batches :many
SELECT id FROM work.batches WHERE completed_at IS NULL ORDER BY id;

-- name: lock_pooler :exec
-- One plan at a time for a pooler, so that a repeated request finds the first one's batch, also when
-- it comes for another block.
SELECT pg_advisory_xact_lock(hashtextextended('work.batches ' || $1::text, 0));

-- name: known :one
SELECT EXISTS (SELECT 1 FROM registry.poolers WHERE id = $1) AS pooler,
    $2::uuid IS NULL OR EXISTS (
        SELECT 1 FROM registry.farmers WHERE id = $2::uuid AND pooler_id = $1
    ) AS farmer;

-- name: ensure_partition :exec
SELECT work.ensure_partition($1);

-- name: block :one
SELECT index, opened_at, entropy, min_gap, max_gap, min_stake, max_stake, min_zeros, max_zeros,
    staked_total, normalized_total
FROM chain.blocks
WHERE index = $1;

-- name: farmers :many
-- What is known of farmers of a pooler in a block: their pail, the nonces judged before, and the most
-- zeros so far, recorded or on the way.
SELECT f.id AS farmer_id, f.custodial_public_key AS address, p.stake_amount AS stake,
    greatest(
        (
            SELECT max(w.zeros) FROM work.works AS w
            WHERE w.block_index = $2 AND w.farmer_id = f.id AND w.status = 'success'
        ),
        (
            SELECT max(i.zeros) FROM work.batch_items AS i
            INNER JOIN work.batches AS b ON b.id = i.batch_id
            WHERE i.farmer_id = f.id AND b.block_index = $2 AND b.completed_at IS NULL
        )
    ) AS best_zeros,
    ARRAY(
        SELECT s.nonce FROM work.submissions AS s
        INNER JOIN work.batches AS b ON b.id = s.batch_id
        LEFT JOIN work.batch_items AS i ON i.batch_id = b.id AND i.farmer_id = s.farmer_id
        LEFT JOIN work.works AS w ON w.block_index = $2 AND w.id = i.event_id
        WHERE s.farmer_id = f.id AND b.block_index = $2 AND b.pooler_id = $1
            AND s.judgement = 'sent' AND coalesce(w.status = 'success', true)
    ) AS nonces
FROM registry.farmers AS f
LEFT JOIN plant.plantings AS p
    ON p.farmer_id = f.id AND p.block_index = $2 AND p.status = 'success'
WHERE f.pooler_id = $1 AND f.id = ANY($3::uuid[]) AND f.custodial_public_key IS NOT NULL;

-- name: insert_batch :exec
INSERT INTO work.batches (id, request_id, pooler_id, block_index, digest)
VALUES ($1, $2, $3, $4, $5);

-- name: insert_items :exec
INSERT INTO work.batch_items (
    batch_id, farmer_id, id, chunk, custodial_wallet, nonce, hash, zeros
)
SELECT $1, n.farmer_id, n.id, n.chunk, n.address, n.nonce, n.hash, n.zeros
FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::numeric[], $7::bytea[], $8::int[])
AS n (farmer_id, id, chunk, address, nonce, hash, zeros);

-- name: insert_submissions :exec
INSERT INTO work.submissions (
    batch_id, position, farmer_id, nonce, hash, zeros, judgement, reason, message
)
SELECT $1, n.position, n.farmer_id, n.nonce, n.hash, n.zeros, n.judgement::work.judgement,
    n.reason, n.message
FROM unnest(
    $2::int[], $3::uuid[], $4::numeric[], $5::bytea[], $6::int[], $7::text[], $8::text[], $9::text[]
) AS n (position, farmer_id, nonce, hash, zeros, judgement, reason, message);

-- name: verdicts :many
-- Each nonce of a request with what became of it.
SELECT s.farmer_id, s.nonce, s.hash, s.zeros, s.judgement::text AS judgement, s.reason,
    s.message, coalesce(w.status::text, '') AS status, coalesce(w.reason, '') AS work_reason,
    coalesce(w.error_message, '') AS work_message, coalesce(w.gap, 0) AS gap,
    coalesce(w.transaction_hash, '') AS transaction_hash,
    coalesce(w.fee_charged, 0) AS fee_charged, coalesce(p.stake_amount, 0) AS stake
FROM work.submissions AS s
INNER JOIN work.batches AS b ON b.id = s.batch_id
-- One step into an index for each, whatever the statistics say, and not a loop over both.
LEFT JOIN LATERAL (
    SELECT n.event_id FROM work.batch_items AS n
    WHERE n.batch_id = s.batch_id AND n.farmer_id = s.farmer_id
    OFFSET 0
) AS i ON s.judgement = 'sent'
LEFT JOIN work.works AS w ON w.block_index = b.block_index AND w.id = i.event_id
LEFT JOIN plant.plantings AS p
    ON p.block_index = b.block_index AND p.farmer_id = s.farmer_id AND p.status = 'success'
WHERE s.batch_id = $1
ORDER BY s.position;

-- name: items :many
-- Whole chunks that have something open: wallet knows a chunk by all of its items.
SELECT farmer_id, chunk, nonce, hash
FROM work.batch_items
WHERE batch_id = $1
    AND refusal = ''
    AND chunk IN (
        SELECT chunk FROM work.batch_items WHERE batch_id = $1 AND event_id IS NULL
    )
ORDER BY chunk, farmer_id;

-- name: refuse_chunk :exec
UPDATE work.batch_items SET refusal = $3, message = $4
WHERE batch_id = $1 AND chunk = $2 AND event_id IS NULL;

-- name: record :exec
-- Everything of the batch that is settled becomes an event; after a crash this is the recovery.
WITH settled AS (
    SELECT i.batch_id, i.farmer_id, coalesce(o.operation_id, i.id) AS event_id, b.block_index,
        b.pooler_id,
        i.custodial_wallet, i.nonce, i.hash, i.zeros, coalesce(o.gap, 0) AS gap,
        coalesce(o.transaction_hash, '') AS transaction_hash, coalesce(o.ledger, 0) AS ledger,
        coalesce(o.fee_charged, 0) AS fee_charged, coalesce(o.state = 'succeeded', false) AS success,
        coalesce(o.reason, i.refusal) AS reason, coalesce(o.error_message, i.message) AS message,
        coalesce(o.settled_at, now()) AS settled_at
    FROM work.batches AS b
    INNER JOIN work.batch_items AS i ON i.batch_id = b.id
    -- Looked up for each farmer, which takes a few steps into indexes. OFFSET 0 keeps it so, whatever
    -- the statistics say: else all of a chunk is read for each farmer in it, or all of its history.
    LEFT JOIN LATERAL (
        SELECT s.* FROM wallet.settled_operations AS s
        WHERE s.farmer_id = i.farmer_id AND s.block_index = b.block_index
        AND (
            SELECT true FROM wallet.batch_operations AS x
            WHERE x.request_id = format('work-%s-%s', b.id, i.chunk)
                AND x.operation_id = s.operation_id
        )
        OFFSET 0
    ) AS o ON true
    WHERE b.id = $1 AND i.event_id IS NULL AND (o.operation_id IS NOT NULL OR i.refusal <> '')
),
recorded AS (
    INSERT INTO work.works (
        id, block_index, farmer_id, pooler_id, custodial_wallet, nonce, hash, zeros, gap,
        transaction_hash, ledger, fee_charged, status, reason, error_message, worked_at
    )
    SELECT event_id, block_index, farmer_id, pooler_id, custodial_wallet, nonce, hash, zeros, gap,
        transaction_hash, ledger, fee_charged,
        (CASE WHEN success THEN 'success' ELSE 'failed' END)::work.work_status,
        coalesce(reason, ''), coalesce(message, ''), settled_at
    FROM settled
    -- In one order, so that two batches with the same farmers never wait crosswise.
    ORDER BY farmer_id
    ON CONFLICT DO NOTHING
)
UPDATE work.batch_items AS i
SET event_id = s.event_id
FROM settled AS s
-- By the whole key, so that each is one step into its index, and not one of a nested loop over both.
WHERE i.batch_id = s.batch_id AND i.farmer_id = s.farmer_id;

-- name: complete :one
UPDATE work.batches AS b
SET completed_at = now()
WHERE b.id = $1 AND b.completed_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM work.batch_items AS i WHERE i.batch_id = b.id AND i.event_id IS NULL
    )
RETURNING b.id;

-- name: found_blocks :many
-- Blocks from $1 on with works that reconciliation recorded and no event tells of.
SELECT DISTINCT o.block_index
FROM wallet.settled_operations AS o
INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
WHERE o.is_found AND o.kind = 'work' AND o.block_index >= $1
    AND NOT EXISTS (
        SELECT 1 FROM work.works AS e
        WHERE e.block_index = o.block_index AND e.farmer_id = o.farmer_id
            AND (e.id = o.operation_id OR (e.status = 'success' AND e.zeros >= o.zeros))
    )
ORDER BY o.block_index;

-- name: record_found :one
-- Everything of a block ($1) that reconciliation recorded and no batch asked for becomes an event. Of
-- one that was found in a pail nonce and hash are not known.
WITH recorded AS (
    INSERT INTO work.works (
        id, block_index, farmer_id, pooler_id, custodial_wallet, nonce, hash, zeros, gap,
        transaction_hash, ledger, fee_charged, status, reason, error_message, worked_at
    )
    SELECT o.operation_id, o.block_index, o.farmer_id, o.pooler_id, o.address, o.nonce, o.hash,
        o.zeros, coalesce(o.gap, 0),
        coalesce(o.transaction_hash, ''), coalesce(o.ledger, 0), o.fee_charged,
        (CASE WHEN o.state = 'succeeded' THEN 'success' ELSE 'failed' END)::work.work_status,
        coalesce(o.reason, ''), o.error_message, o.settled_at
    FROM wallet.settled_operations AS o
    INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
    WHERE o.is_found AND o.kind = 'work' AND o.block_index = $1
        AND NOT EXISTS (
            SELECT 1 FROM work.works AS e
            WHERE e.block_index = $1 AND e.farmer_id = o.farmer_id
                AND (e.id = o.operation_id OR (e.status = 'success' AND e.zeros >= o.zeros))
        )
    -- In one order, so that two processes with the same farmers never wait crosswise.
    ORDER BY o.farmer_id, o.operation_id
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT count(*)::int AS recorded FROM recorded;

-- name: list_works :many
SELECT w.id AS work_id, w.farmer_id, w.block_index, w.custodial_wallet, w.nonce,
    w.hash, w.zeros, w.gap, w.status::text AS status, w.reason, w.error_message,
    w.transaction_hash, w.ledger, w.fee_charged, w.worked_at
FROM work.works AS w
WHERE w.pooler_id = $1
    AND ($2::int IS NULL OR w.block_index = $2::int)
    AND ($3::uuid IS NULL OR w.farmer_id = $3::uuid)
    AND ($4::int IS NULL OR (w.block_index, w.id) < ($4::int, $5::uuid))
ORDER BY w.block_index DESC, w.id DESC
LIMIT $6;
