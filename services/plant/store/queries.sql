-- What is plant's own. The rest of what it asks for, and what the parts are, is in
-- libs/batches/queries.sql.

-- name: schema :part
plant

-- name: events :part
plant.plantings

-- name: item :part
farmer_id, stake

-- name: event :part
e.stake_amount, e.planted_at AS settled_at

-- name: of_item :part
coalesce(o.amount, i.stake) AS stake_amount

-- name: of_operation :part
o.amount AS stake_amount

-- name: is_told :part
e.id = o.operation_id OR e.status = 'success'

-- name: recorded :part
recorded AS (
    INSERT INTO plant.plantings (
        id, block_index, farmer_id, pooler_id, custodial_wallet, stake_amount, transaction_hash,
        ledger, fee_charged, status, reason, error_message, planted_at
    )
    SELECT event_id, block_index, farmer_id, pooler_id, custodial_wallet, stake_amount,
        transaction_hash, ledger, fee_charged, status::plant.planting_status, reason, error_message,
        settled_at
    FROM settled
    -- In one order, so that two statements with the same farmers never wait crosswise.
    ORDER BY farmer_id, event_id
    ON CONFLICT DO NOTHING
    RETURNING id
)

-- name: pooler_is_active :one
SELECT is_active FROM registry.poolers WHERE id = $1;

-- name: candidates :many
-- Active farmers who can plant and have not. One who is on the way in another batch is joined there:
-- wallet has one operation for both. One whose signing is paused would keep the batch open. Those in $4 sit the
-- block out.
SELECT f.id AS farmer_id, a.address, a.kale_stroops AS balance,
    (f.stake_percentage * 10000)::int AS stake_bps
FROM registry.farmers AS f
INNER JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
WHERE f.pooler_id = $1
    AND f.status = 'active'
    AND a.is_funded
    AND a.has_trustline
    AND NOT a.is_paused
    AND f.id <> ALL($4::uuid[])
    -- As a hashed list, so that nothing is planned by how many had planted in the blocks before.
    AND f.id NOT IN (
        SELECT p.farmer_id FROM plant.plantings AS p
        WHERE p.block_index = $2 AND p.status = 'success'
    )
ORDER BY f.id
LIMIT $3;

-- name: insert_items :exec
INSERT INTO plant.batch_items (batch_id, farmer_id, id, chunk, custodial_wallet, stake)
SELECT $1, n.farmer_id, n.id, n.chunk, n.address, n.stake
FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::bigint[])
AS n (farmer_id, id, chunk, address, stake);
