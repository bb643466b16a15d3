-- Wallets and keys ---------------------------------------------------------------------------

-- name: insert_wallet :one
-- The wallet, its sealed key, its account row and, for a farmer, the wish to be brought onto the
-- chain: all or nothing. No row when the farmer (or the treasury) has a wallet already.
WITH made AS (
    INSERT INTO wallet.wallets (id, kind, farmer_id, pooler_id, address)
    VALUES ($1, $2::wallet.wallet_kind, $3, $4, $5)
    ON CONFLICT DO NOTHING
    RETURNING id, kind
),
sealed AS (
    INSERT INTO wallet.sealed_keys (wallet_id, kek_id, wrapped_data_key, nonce, sealed_seed)
    SELECT id, $6, $7, $8, $9 FROM made
),
account AS (
    INSERT INTO wallet.accounts (wallet_id)
    SELECT id FROM made
),
onboarding AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index)
    SELECT $10, 'onboard'::wallet.operation_kind, id, 0 FROM made WHERE kind = 'farmer'
)
SELECT id FROM made;

-- name: wallet_by_id :one
SELECT * FROM wallet.wallets_with_accounts WHERE id = $1;

-- name: wallet_by_farmer :one
SELECT * FROM wallet.wallets_with_accounts WHERE farmer_id = $1;

-- name: wallet_by_address :one
SELECT * FROM wallet.wallets_with_accounts WHERE address = $1 AND kind = 'farmer';

-- name: treasury :one
SELECT * FROM wallet.wallets_with_accounts WHERE kind = 'treasury';

-- name: list_wallets :many
SELECT * FROM wallet.wallets_with_accounts
WHERE kind = 'farmer'
  AND ($1::uuid IS NULL OR pooler_id = $1)
  AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3;

-- name: wallets_of_farmers :many
SELECT * FROM wallet.wallets_with_accounts WHERE farmer_id = ANY($1::uuid[]);

-- name: wallets_after :many
-- The next wallets of the endless round that keeps account rows fresh.
SELECT id, address FROM wallet.wallets
WHERE $1::uuid IS NULL OR id > $1
ORDER BY id
LIMIT $2;

-- name: sealed_keys :many
SELECT k.wallet_id, w.address, k.kek_id, k.wrapped_data_key, k.nonce, k.sealed_seed
FROM wallet.sealed_keys AS k
INNER JOIN wallet.wallets AS w ON k.wallet_id = w.id
WHERE k.wallet_id = ANY($1::uuid[]);

-- name: save_accounts :exec
-- What is the same is written once a minute only: a thousand rows a ledger would be mostly bloat.
WITH fresh AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::boolean[], $3::boolean[], $4::bigint[], $5::bigint[], $6::int[]
    ) AS f (wallet_id, is_funded, has_trustline, xlm, kale, reserves)
),
saved AS (
    UPDATE wallet.accounts AS a
    SET is_funded = f.is_funded,
        has_trustline = f.has_trustline,
        xlm_stroops = f.xlm,
        kale_stroops = f.kale,
        reserves = f.reserves,
        ledger = $7,
        refreshed_at = now()
    FROM fresh AS f
    WHERE a.wallet_id = f.wallet_id
      AND a.ledger <= $7
      AND (
          (a.is_funded, a.has_trustline, a.xlm_stroops, a.kale_stroops, a.reserves)
          IS DISTINCT FROM (f.is_funded, f.has_trustline, f.xlm, f.kale, f.reserves)
          OR a.refreshed_at < now() - interval '1 minute'
          OR a.ledger = 0
      )
)
UPDATE wallet.wallets AS w
SET status = 'ready'
FROM fresh AS f
WHERE w.id = f.wallet_id
  AND w.status = 'pending'
  AND f.is_funded
  AND (f.has_trustline OR w.kind = 'treasury');

-- Operations ---------------------------------------------------------------------------------

-- name: insert_batch :exec
INSERT INTO wallet.batches (request_id, kind, block_index, arguments_hash)
VALUES ($1, $2::wallet.operation_kind, $3, $4)
ON CONFLICT DO NOTHING;

-- name: batch_arguments :one
SELECT arguments_hash FROM wallet.batches WHERE request_id = $1;

-- name: insert_operations :exec
-- In the order of the wallets, so that two batches with the same farmers never wait crosswise.
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, amount, nonce, hash, zeros
)
SELECT n.id, $1::wallet.operation_kind, n.wallet_id, $2, n.amount, n.nonce, n.hash, n.zeros
FROM unnest(
    $3::uuid[], $4::uuid[], $5::bigint[], $6::numeric[], $7::bytea[], $8::smallint[]
) AS n (id, wallet_id, amount, nonce, hash, zeros)
ORDER BY n.wallet_id, n.nonce
ON CONFLICT DO NOTHING;

-- name: live_operations :many
-- The operations that stand for what a batch wants: made for it, or before it.
SELECT o.id
FROM wallet.operations AS o
INNER JOIN unnest($3::uuid[], $4::numeric[]) AS n (wallet_id, nonce)
    ON o.wallet_id = n.wallet_id AND coalesce(o.nonce, -1) = coalesce(n.nonce, -1)
WHERE o.kind = $1::wallet.operation_kind
  AND o.block_index = $2
  AND o.state NOT IN ('failed', 'expired');

-- name: insert_batch_operations :exec
INSERT INTO wallet.batch_operations (request_id, operation_id)
SELECT $1, operation_id FROM unnest($2::uuid[]) AS n (operation_id);

-- name: batch_operation_ids :many
SELECT operation_id FROM wallet.batch_operations WHERE request_id = $1;

-- name: settled_among :many
SELECT * FROM wallet.all_operations
WHERE operation_id = ANY($1::uuid[]) AND settled_at IS NOT NULL
ORDER BY settled_at, operation_id;

-- name: operation :one
SELECT * FROM wallet.all_operations WHERE operation_id = $1;

-- name: list_operations :many
SELECT * FROM wallet.all_operations
WHERE ($1::uuid IS NULL OR farmer_id = $1)
  AND ($2::wallet.operation_state IS NULL OR state = $2)
  AND ($3::wallet.operation_kind IS NULL OR kind = $3)
  AND ($4::uuid IS NULL OR operation_id < $4)
ORDER BY operation_id DESC
LIMIT $5;

-- name: claim_operations :many
-- Takes up to $1 operations for $2 seconds: one per farmer whose account has nothing in flight and
-- is not among those busy here ($4); plants before works before harvests, the best work first.
WITH candidates AS (
    SELECT DISTINCT ON (o.wallet_id) o.id, o.kind
    FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.state = 'queued'
      AND o.kind <> 'onboard'
      AND o.due_at <= now()
      AND o.due_ledger <= $3
      AND NOT (o.wallet_id = ANY($4::uuid[]))
      AND NOT EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = w.address AND t.state IN ('signed', 'sent')
      )
    ORDER BY o.wallet_id, o.kind, o.block_index, o.zeros DESC, o.id
),
locked AS (
    SELECT o.id
    FROM wallet.operations AS o
    INNER JOIN candidates AS c ON o.id = c.id
    WHERE o.state = 'queued' AND o.due_at <= now()
    ORDER BY c.kind, o.id
    LIMIT $1
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE wallet.operations AS o
SET due_at = now() + make_interval(secs => $2)
FROM locked AS l, wallet.wallets AS w
WHERE o.id = l.id AND w.id = o.wallet_id
RETURNING o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash,
    o.attempts;

-- name: claim_onboardings :many
-- Takes up to $1 farmers for $2 seconds, unless the treasury ($4) has a transaction in flight.
WITH locked AS (
    SELECT o.id
    FROM wallet.operations AS o
    WHERE o.state = 'queued'
      AND o.kind = 'onboard'
      AND o.due_at <= now()
      AND o.due_ledger <= $3
      AND NOT EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = $4 AND t.state IN ('signed', 'sent')
      )
    ORDER BY o.id
    LIMIT $1
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE wallet.operations AS o
SET due_at = now() + make_interval(secs => $2)
FROM locked AS l, wallet.wallets AS w
WHERE o.id = l.id AND w.id = o.wallet_id
RETURNING o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash,
    o.attempts;

-- name: settle_operations :exec
-- Operations of one transaction ($2, or none for those in the queue), all by the same event.
UPDATE wallet.operations AS o
SET state = $1::wallet.operation_state,
    amount = coalesce(n.amount, o.amount),
    gap = coalesce(n.gap, o.gap),
    ledger = nullif(n.ledger, 0),
    fee_charged = o.fee_charged + n.fee,
    reason = n.reason,
    error_message = n.message,
    transaction_id = CASE WHEN $1 = 'queued' THEN NULL ELSE o.transaction_id END,
    due_ledger = n.due_ledger,
    due_at = now() + make_interval(secs => n.pause),
    settled_at = CASE WHEN $1 = 'queued' THEN NULL ELSE now() END
FROM unnest(
    $4::uuid[], $5::bigint[], $6::int[], $7::int[], $8::bigint[], $9::text[], $10::text[],
    $11::int[], $12::float8[]
) AS n (id, amount, gap, ledger, fee, reason, message, due_ledger, pause)
WHERE o.id = n.id
  AND o.transaction_id IS NOT DISTINCT FROM $2::uuid
  AND o.state = ANY($3::wallet.operation_state[]);

-- Transactions -------------------------------------------------------------------------------

-- name: insert_transaction :exec
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING;

-- name: insert_transaction_operations :exec
INSERT INTO wallet.transaction_operations (transaction_id, position, operation_id)
SELECT $1, n.position, n.operation_id
FROM unnest($2::uuid[]) WITH ORDINALITY AS n (operation_id, position);

-- name: sign_operations :exec
UPDATE wallet.operations AS o
SET state = 'signed',
    transaction_id = $1,
    attempts = o.attempts + 1,
    stake_returned = n.stake_returned
FROM unnest($2::uuid[], $3::bigint[]) AS n (id, stake_returned)
WHERE o.id = n.id AND o.state = ANY($4::wallet.operation_state[]);

-- name: note_answer :exec
-- What a node said to the envelope; from now on it counts as sent.
WITH carrier AS (
    UPDATE wallet.transactions
    SET state = 'sent', resend_ledger = $2, last_answer = $3
    WHERE id = $1 AND state IN ('signed', 'sent')
    RETURNING id
)
UPDATE wallet.operations AS o
SET state = 'sent'
FROM carrier AS c
WHERE o.transaction_id = c.id AND o.state = 'signed';

-- name: replace_envelope :exec
-- The same inner transaction under a higher bid; $2 is the envelope that it replaces.
UPDATE wallet.transactions
SET envelope = $3, hash = $4, fee_bid = $5
WHERE id = $1 AND envelope = $2 AND state IN ('signed', 'sent');

-- name: open_transactions :many
SELECT
    t.id, t.state, t.source, t.sequence, t.lookup_hash, t.envelope, t.max_time, t.fee_bid,
    t.signed_ledger, t.resend_ledger, t.last_answer,
    o.id AS operation_id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.attempts
FROM wallet.transactions AS t
INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
INNER JOIN wallet.operations AS o ON c.operation_id = o.id
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE t.state IN ('signed', 'sent')
ORDER BY t.id, c.position;

-- name: close_transaction :exec
UPDATE wallet.transactions
SET state = $2::wallet.transaction_state,
    ledger = $3,
    fee_charged = $4,
    error = $5,
    closed_at = now()
WHERE id = $1 AND state = ANY($6::wallet.transaction_state[]);

-- The chain ----------------------------------------------------------------------------------

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
