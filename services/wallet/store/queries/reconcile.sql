-- name: kept_in_block :many
-- What is recorded of every farmer whose account is there, in block $1, after wallet $2, with its wallet and
-- that row's authenticator.
SELECT
    w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac,
    max(o.amount) FILTER (WHERE o.kind = 'plant' AND o.state = 'succeeded') AS stake,
    max(o.zeros) FILTER (WHERE o.kind = 'work' AND o.state = 'succeeded') AS zeros,
    coalesce(bool_or(o.kind = 'harvest' AND o.state = 'succeeded'), false) AS is_harvested,
    coalesce(bool_or(o.settled_at IS NULL AND o.id IS NOT NULL), false) AS is_moving,
    coalesce(max(o.ledger), 0) AS ledger,
    coalesce(
        max(o.ledger) FILTER (WHERE o.kind = 'plant' AND o.state = 'succeeded'), 0
    ) AS planted_ledger
FROM wallet.wallets AS w
LEFT JOIN wallet.operations AS o
    ON w.id = o.wallet_id AND o.block_index = $1 AND o.kind IN ('plant', 'work', 'harvest')
WHERE w.kind = 'farmer' AND w.status = 'ready' AND ($2::uuid IS NULL OR w.id > $2)
GROUP BY w.id
ORDER BY w.id
LIMIT $3;

-- name: events_in_block :many
-- What events say of the farmers with these wallets ($2) in block $1. What was settled within five
-- minutes may have its event still on its way.
SELECT
    w.id AS wallet_id,
    (
        SELECT max(p.stake_amount) FROM plant.plantings AS p
        WHERE p.block_index = $1 AND p.farmer_id = w.farmer_id AND p.status = 'success'
    ) AS stake,
    (
        SELECT max(k.zeros) FROM work.works AS k
        WHERE k.block_index = $1 AND k.farmer_id = w.farmer_id AND k.status = 'success'
    ) AS zeros,
    EXISTS (
        SELECT 1 FROM harvest.harvests AS h
        WHERE h.block_index = $1 AND h.farmer_id = w.farmer_id AND h.status = 'success'
    ) AS is_harvested,
    EXISTS (
        SELECT 1 FROM wallet.operations AS o
        WHERE o.wallet_id = w.id AND o.block_index = $1
          AND o.kind IN ('plant', 'work', 'harvest')
          AND o.settled_at > now() - interval '5 minutes'
    ) AS is_fresh
FROM wallet.wallets AS w
WHERE w.id = ANY($2::uuid[]);

-- name: balances_since :many
-- Every farmer's KALE at the last look, and what settled operations have moved since, up to now, with its wallet
-- and that row's authenticator.
SELECT
    w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac,
    b.ledger AS since,
    coalesce(b.kale_stroops, 0) AS kale,
    least(greatest(coalesce(m.moved, 0), -9223372036854775808), 9223372036854775807)::bigint AS moved,
    EXISTS (
        SELECT 1 FROM wallet.operations AS o
        WHERE o.wallet_id = w.id AND o.state IN ('queued', 'signed', 'sent')
    ) AS is_moving,
    coalesce(m.ledger, 0) AS ledger
FROM wallet.wallets AS w
LEFT JOIN wallet.reconciled_balances AS b ON w.id = b.wallet_id
LEFT JOIN LATERAL (
    SELECT
        max(o.ledger) AS ledger,
        sum(
            CASE o.kind
                WHEN 'plant' THEN -o.amount
                WHEN 'harvest' THEN o.amount::numeric + o.stake_returned
                WHEN 'withdraw' THEN CASE WHEN d.asset = 'kale' THEN -o.amount ELSE 0 END
                WHEN 'payout' THEN -o.amount
                ELSE 0
            END
        ) FILTER (WHERE o.state = 'succeeded') AS moved
    FROM wallet.operations AS o
    LEFT JOIN wallet.withdrawals AS d ON o.id = d.operation_id
    WHERE o.wallet_id = w.id AND o.ledger > b.ledger
) AS m ON true
WHERE w.kind = 'farmer' AND w.status = 'ready' AND ($1::uuid IS NULL OR w.id > $1)
ORDER BY w.id
LIMIT $2;

-- name: holders :many
-- Farmers' wallets after one ($1), $2 at most: whether anything is on its way, and the newest ledger that settled
-- anything, with what judges that row.
SELECT
    w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac,
    EXISTS (
        SELECT 1 FROM wallet.operations AS o
        WHERE o.wallet_id = w.id AND o.state IN ('queued', 'signed', 'sent')
    ) AS is_moving,
    coalesce((
        SELECT max(o.ledger) FROM wallet.operations AS o
        WHERE o.wallet_id = w.id AND o.ledger IS NOT NULL
    ), 0) AS ledger
FROM wallet.wallets AS w
WHERE w.kind = 'farmer' AND w.status = 'ready' AND ($1::uuid IS NULL OR w.id > $1)
ORDER BY w.id
LIMIT $2;

-- name: save_balances :exec
INSERT INTO wallet.reconciled_balances AS b (wallet_id, ledger, kale_stroops)
SELECT n.wallet_id, $1, n.kale FROM unnest($2::uuid[], $3::bigint[]) AS n (wallet_id, kale)
ON CONFLICT (wallet_id) DO UPDATE
SET ledger = excluded.ledger, kale_stroops = excluded.kale_stroops
WHERE b.ledger < excluded.ledger OR b.ledger > excluded.ledger + 64;

-- name: insert_differences :many
-- Those that are not open already.
INSERT INTO wallet.differences (id, kind, wallet_id, block_index, recorded, on_chain, ledger)
SELECT n.id, n.kind, n.wallet_id, n.block_index, n.recorded, n.on_chain, $7
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::text[])
AS n (id, kind, wallet_id, block_index, recorded, on_chain)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: differing_blocks :many
-- Blocks from $1 to before $2 with a difference that is not settled, the oldest $3 of them.
SELECT DISTINCT block_index
FROM wallet.differences
WHERE settled_at IS NULL AND block_index >= $1 AND block_index < $2
ORDER BY block_index
LIMIT $3;

-- name: settle_differences :exec
-- Those of a block that were open and were not found ($3) any more, or by an act ($4).
UPDATE wallet.differences AS d
SET settled = $4, settled_at = now()
WHERE d.settled_at IS NULL
  AND d.block_index = $1
  AND d.wallet_id = ANY($2::uuid[])
  AND NOT EXISTS (
      SELECT 1 FROM unnest($3::text[]) AS n (found)
      WHERE n.found = d.kind || ' ' || d.wallet_id::text
  );

-- name: denied_operations :many
-- Operations that are recorded as done in a block ($1), with the difference ($3) that denies operations
-- of such a kind ($4) of a wallet ($2), if it was noted by an earlier run: each with the source and the
-- number of the transaction that is recorded to have done it, or with none, where only a pail told that
-- it was done. Of works, those that show more zeros than the pail has ($5; none: all).
SELECT o.id, t.source, t.sequence, coalesce(o.ledger, 0) AS ledger
FROM unnest($2::uuid[], $3::text[], $4::wallet.operation_kind[], $5::smallint[])
AS n (wallet_id, difference, kind, zeros)
INNER JOIN wallet.differences AS d
    ON n.wallet_id = d.wallet_id
    AND n.difference = d.kind
    AND d.block_index = $1
    AND d.settled_at IS NULL
INNER JOIN wallet.operations AS o
    ON n.wallet_id = o.wallet_id
    AND n.kind = o.kind
    AND o.block_index = $1
    AND o.state = 'succeeded'
LEFT JOIN wallet.transactions AS t ON o.transaction_id = t.id AND t.state = 'succeeded'
WHERE o.kind <> 'work' OR n.zeros IS NULL OR o.zeros > n.zeros;

-- name: deny_operations :many
-- Operations ($1) that are recorded as done ($2) and never were: to the state $3, with an authenticator of
-- the end ($4) each.
UPDATE wallet.operations AS o
SET state = $3::wallet.operation_state,
    reason = 'REFUSED',
    error_message = 'nodes said that it worked, and the chain has no trace of it',
    settled_at = now(),
    end_mac = n.end_mac
FROM unnest($1::uuid[], $4::bytea[]) AS n (id, end_mac)
WHERE o.id = n.id AND o.state = ANY($2::wallet.operation_state[])
RETURNING o.id, o.kind, o.wallet_id, o.block_index, o.state, o.reason, o.ledger, o.fee_charged,
    o.transaction_id, o.unproven;

-- name: insert_found_plant :exec
-- A plant that the chain has and no record, settled as what it is there.
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, ledger, settled_at, is_found, end_mac
)
VALUES ($1, 'plant', $2, $3, 'succeeded', $4, $5, now(), true, $6)
ON CONFLICT DO NOTHING;

-- name: insert_found_work :exec
-- The work that a pail shows and no record, settled as what it is there.
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, zeros, gap, ledger, settled_at, is_found, end_mac
)
VALUES ($1, 'work', $2, $3, 'succeeded', $4, $5, $6, now(), true, $7)
ON CONFLICT DO NOTHING;

-- name: queue_found_harvest :exec
INSERT INTO wallet.operations (id, kind, wallet_id, block_index, is_found, mac)
VALUES ($1, 'harvest', $2, $3, true, $4)
ON CONFLICT DO NOTHING;

-- name: insert_found_harvest :exec
-- A harvest that somebody else made, unless one of our own is recorded or on its way. Whose it is, and of
-- which block, has an authenticator ($9), too: fees go by it.
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, stake_returned, ledger, found_hash, settled_at,
    is_found, end_mac, mac
)
VALUES ($1, 'harvest', $2, $3, 'succeeded', $4, $5, $6, $7, now(), true, $8, $9)
ON CONFLICT DO NOTHING;

-- name: differences :many
-- Newest first, before $1; with $2 also those that are settled.
SELECT d.id, d.kind, w.farmer_id, d.block_index, d.recorded, d.on_chain, d.ledger, d.found_at,
    d.settled, d.settled_at
FROM wallet.differences AS d
INNER JOIN wallet.wallets AS w ON d.wallet_id = w.id
WHERE ($1::uuid IS NULL OR d.id < $1) AND ($2 OR d.settled_at IS NULL)
ORDER BY d.id DESC
LIMIT $3;
