-- What is work's own. The rest of what it asks for, and what the parts are, is in
-- libs/batches/queries.sql.

-- name: schema :part
work

-- name: events :part
work.works

-- name: item :part
farmer_id, nonce, hash

-- name: event :part
e.nonce, e.hash, e.zeros, e.gap, e.worked_at AS settled_at

-- name: of_item :part
i.nonce, i.hash, i.zeros, coalesce(o.gap, 0) AS gap

-- name: of_operation :part
-- Of one that was found in a pail nonce and hash are not known.
o.nonce, o.hash, o.zeros, coalesce(o.gap, 0) AS gap

-- name: is_told :part
e.id = o.operation_id OR (e.status = 'success' AND e.zeros >= o.zeros)

-- name: recorded :part
recorded AS (
    INSERT INTO work.works (
        id, block_index, farmer_id, pooler_id, custodial_wallet, nonce, hash, zeros, gap,
        transaction_hash, ledger, fee_charged, status, reason, error_message, worked_at
    )
    SELECT event_id, block_index, farmer_id, pooler_id, custodial_wallet, nonce, hash, zeros, gap,
        transaction_hash, ledger, fee_charged, status::work.work_status, reason, error_message,
        settled_at
    FROM settled
    -- In one order, so that two statements with the same farmers never wait crosswise.
    ORDER BY farmer_id, event_id
    ON CONFLICT DO NOTHING
    RETURNING id
)

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
