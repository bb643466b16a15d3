-- name: insert_wallet :one
-- The wallet, its sealed key, its account row and, for a farmer or a pooler, the wish to be brought onto the
-- chain and where it pays out to ($11, unless empty) from $12 on, with the authenticators of all three
-- ($13, $14, $15): all or nothing. No row when the farmer or pooler (or the treasury) has a wallet already.
WITH made AS (
    INSERT INTO wallet.wallets (id, kind, farmer_id, pooler_id, address, mac, stake_bps)
    VALUES ($1, $2::wallet.wallet_kind, $3, $4, $5, $13, $16)
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
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, mac)
    SELECT $10, 'onboard'::wallet.operation_kind, id, 0, $14 FROM made WHERE kind IN ('farmer', 'pooler')
),
payout AS (
    INSERT INTO wallet.payout_addresses (
        wallet_id, number, address, registered_at, effective_at, mac
    )
    SELECT id, 1, $11::text, $12, $12, $15 FROM made WHERE $11::text <> ''
)
SELECT id FROM made;

-- name: lock_wallet_of_farmer :one
-- One change of what a wallet may stake at a time.
SELECT id, kind, farmer_id, pooler_id, address, stake_bps, mac
FROM wallet.wallets WHERE farmer_id = $1 FOR NO KEY UPDATE;

-- name: set_stake_limit :exec
-- What a wallet ($1) may stake at most ($2), with the row's new authenticator ($3).
UPDATE wallet.wallets SET stake_bps = $2, mac = $3 WHERE id = $1;

-- name: moment :one
-- The moment of this transaction, for rows whose authenticators cover it.
SELECT now() AS moment;

-- name: wallet_by_id :one
SELECT * FROM wallet.wallets_with_accounts WHERE id = $1;

-- name: wallet_by_farmer :one
SELECT * FROM wallet.wallets_with_accounts WHERE farmer_id = $1;

-- name: wallet_by_pooler :one
SELECT * FROM wallet.wallets_with_accounts WHERE pooler_id = $1 AND kind = 'pooler';

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

-- name: wallet_ids_of_farmers :many
SELECT id, farmer_id FROM wallet.wallets WHERE farmer_id = ANY($1::uuid[]);

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
      -- A row that is far ahead is of a node that lied about the height.
      AND (a.ledger <= $7 OR a.ledger > $7 + 64)
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
  AND (f.has_trustline OR w.kind NOT IN ('farmer', 'pooler'));

-- name: owners_of_farmers :many
-- Wallets of these farmers; a row without values for one that has no wallet.
SELECT DISTINCT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN wallet.wallets AS w ON w.farmer_id = asked.id;

-- name: owners_of_wallets :many
-- These wallets; a row without values for one that is not there.
SELECT DISTINCT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN wallet.wallets AS w ON w.id = asked.id;

-- name: owners_of_operations :many
-- Wallets of these operations; a row without values for an operation that is not there.
SELECT DISTINCT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN wallet.operations AS o ON o.id = asked.id
LEFT JOIN wallet.wallets AS w ON w.id = o.wallet_id;

-- name: standings_of_farmers :one
-- What limits these farmers ($1), or their poolers: as registry says it, of a pooler that is theirs here
-- or there, and the pauses that are not for everybody. One that registry does not know is limited by none
-- of its own.
SELECT
    coalesce(bool_or(EXISTS (
        SELECT 1 FROM registry.poolers AS p
        WHERE p.id IN (w.pooler_id, f.pooler_id) AND NOT p.is_active
    )), false) AS pooler_suspended,
    coalesce(bool_or(f.status = 'suspended'), false) AS farmer_suspended,
    coalesce(bool_or(f.status IN ('leaving', 'closing')), false) AS farmer_leaving,
    coalesce(bool_or(f.status = 'departed'), false) AS farmer_departed,
    coalesce(bool_or(EXISTS (
        SELECT 1 FROM wallet.pauses AS s
        WHERE s.resumed_at IS NULL AND s.target IN (w.id, w.pooler_id)
    )), false) AS signing_paused
FROM wallet.wallets AS w
LEFT JOIN registry.farmers AS f ON f.id = w.farmer_id
WHERE w.farmer_id = ANY($1::uuid []);

-- name: sent_plants :many
-- The plants of these wallets that a transaction carried, by how they are said to have ended.
SELECT
    o.wallet_id, o.id AS operation_id, o.kind, o.state, o.amount, o.stake_returned, o.gap, o.ledger, o.end_mac
FROM wallet.operations AS o
WHERE o.wallet_id = ANY($1::uuid[])
  AND o.kind = 'plant'
  AND EXISTS (SELECT 1 FROM wallet.transaction_operations AS c WHERE c.operation_id = o.id);

-- name: idle_wallets :many
-- Wallets of farmers of a pooler ($1; of these, $2, unless that is empty) made $3 hours ago or earlier,
-- who never planted, have nothing open, and are not paused; as far as their accounts were there.
SELECT v.*
FROM wallet.wallets_with_accounts AS v
WHERE v.kind = 'farmer'
  AND v.pooler_id = $1
  AND (cardinality($2::uuid[]) = 0 OR v.farmer_id = ANY($2::uuid[]))
  AND v.created_at <= now() - make_interval(hours => $3)
  AND v.is_funded
  AND NOT wallet.is_paused(v.id, v.pooler_id)
  AND NOT EXISTS (
      SELECT 1 FROM wallet.operations AS o
      WHERE o.wallet_id = v.id
        AND (
            o.state NOT IN ('succeeded', 'failed', 'expired')
            OR (o.kind = 'plant' AND (o.state = 'succeeded' OR o.is_found))
        )
  )
  AND NOT EXISTS (
      SELECT 1 FROM wallet.transactions AS t
      WHERE t.source = v.address AND t.state IN ('signed', 'sent')
  )
ORDER BY v.id
LIMIT $4;
