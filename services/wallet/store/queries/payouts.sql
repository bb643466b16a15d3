-- Payouts of farmers with the fees that are due of them, and payments from poolers' custodial accounts.

-- name: payout_orders :many
-- With the payer that each belongs to, and the newest outside addresses of its wallet, newest first: what
-- is decided by them is told by the same look.
SELECT
    f.operation_id,
    f.wallet_id,
    f.number,
    f.request_id,
    f.amount,
    f.destination,
    f.pooler,
    f.operator,
    f.miners,
    f.pooler_account,
    f.operator_account,
    f.requested_at,
    f.mac,
    p.payer_id,
    p.mac AS payment_mac,
    f.amount > 0
    AND wallet.payout_address(f.wallet_id, f.requested_at) IS DISTINCT FROM f.destination AS is_stopped,
    array(
        SELECT a FROM wallet.payout_addresses AS a
        WHERE a.wallet_id = f.wallet_id
        ORDER BY a.number DESC
        LIMIT 1000
    ) AS addresses
FROM wallet.payouts AS f
LEFT JOIN wallet.payments AS p ON f.operation_id = p.operation_id
WHERE f.operation_id = ANY($1::uuid[]);

-- name: pool_payment_orders :many
-- The same for payments from poolers' accounts: what is not a miner's goes to the pooler's own address.
SELECT
    m.operation_id,
    m.wallet_id,
    m.number,
    m.request_id,
    m.is_miner,
    m.amount,
    m.destination,
    m.requested_at,
    m.mac,
    p.payer_id,
    p.mac AS payment_mac,
    NOT m.is_miner
    AND wallet.payout_address(m.wallet_id, m.requested_at) IS DISTINCT FROM m.destination AS is_stopped,
    array(
        SELECT a FROM wallet.payout_addresses AS a
        WHERE a.wallet_id = m.wallet_id
        ORDER BY a.number DESC
        LIMIT 1000
    ) AS addresses
FROM wallet.pool_payments AS m
LEFT JOIN wallet.payments AS p ON m.operation_id = p.operation_id
WHERE m.operation_id = ANY($1::uuid[]);

-- name: save_opening :exec
-- When a block opened, with an authenticator: what was seen last counts, as a node may have lied before.
INSERT INTO wallet.block_openings AS b (block_index, opened_at, mac) VALUES ($1, $2, $3)
ON CONFLICT (block_index) DO UPDATE SET opened_at = excluded.opened_at, mac = excluded.mac
WHERE (b.opened_at, b.mac) IS DISTINCT FROM (excluded.opened_at, excluded.mac);

-- name: openings_of :many
SELECT block_index, opened_at, mac FROM wallet.block_openings WHERE block_index = ANY($1::int[]);

-- name: fee_marks_of :many
SELECT
    wallet_id, until_block, blocks, pooler, operator, miners, until_number, paid_pooler, paid_operator,
    paid_miners, mac
FROM wallet.fee_marks
WHERE wallet_id = ANY($1::uuid[]);

-- name: rewards_since :many
-- Harvests of these wallets ($1) that are said to have succeeded, with ids from $2 on and of blocks from $3 on,
-- with the authenticators of what they are and how they ended.
SELECT
    o.id, o.id AS operation_id, o.kind, o.wallet_id, o.block_index, o.state, o.amount, o.stake_returned, o.gap,
    o.ledger, o.nonce, o.hash, o.mac, o.end_mac
FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS n (wallet_id, first_id, first_block)
INNER JOIN wallet.operations AS o ON n.wallet_id = o.wallet_id AND o.id >= n.first_id
WHERE o.kind = 'harvest' AND o.state = 'succeeded' AND o.block_index >= n.first_block
ORDER BY o.id;

-- name: save_fee_mark :exec
INSERT INTO wallet.fee_marks AS m (
    wallet_id, until_block, blocks, pooler, operator, miners, until_number, paid_pooler, paid_operator,
    paid_miners, mac
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (wallet_id) DO UPDATE
SET until_block = excluded.until_block,
    blocks = excluded.blocks,
    pooler = excluded.pooler,
    operator = excluded.operator,
    miners = excluded.miners,
    until_number = excluded.until_number,
    paid_pooler = excluded.paid_pooler,
    paid_operator = excluded.paid_operator,
    paid_miners = excluded.paid_miners,
    made_at = now(),
    mac = excluded.mac;

-- name: wallets_to_mark :many
-- Accounts whose marks were made longer ago than $1 seconds, or have none: of farmers with agreements, and of
-- poolers. The oldest $2 of them.
SELECT w.id, w.kind = 'pooler' AS is_pooler
FROM wallet.wallets AS w
LEFT JOIN wallet.fee_marks AS m ON w.id = m.wallet_id
WHERE (
    w.kind = 'pooler'
    OR (w.kind = 'farmer' AND EXISTS (
        SELECT 1 FROM wallet.agreements AS a WHERE a.wallet_id = w.id
    ))
)
AND (m.made_at IS NULL OR m.made_at < now() - make_interval(secs => $1))
ORDER BY m.made_at NULLS FIRST, w.id
LIMIT $2;

-- name: markable_blocks :many
-- Of these wallets ($1) the last block up to which nothing of rewards can change any more: the chain has
-- forgotten it, and no harvest up to there is on its way.
WITH forgotten AS (
    SELECT coalesce(max(b.index), -1) AS block
    FROM chain.blocks AS b
    CROSS JOIN chain.head AS h
    -- One that was turned back has no ledger any more: it was a node's lie, or will be seen again.
    WHERE b.expires_ledger < h.ledger - 100 AND b.updated_ledger >= 0
)
SELECT
    w.id AS wallet_id,
    -- Without any on its way the least is the first.
    least(
        g.block,
        (
            SELECT min(o.block_index) - 1 FROM wallet.operations AS o
            WHERE o.wallet_id = w.id AND o.kind = 'harvest' AND o.state IN ('queued', 'signed', 'sent')
        )
    )::int AS until_block
FROM wallet.wallets AS w
CROSS JOIN forgotten AS g
WHERE w.id = ANY($1::uuid[]);

-- name: payouts_after :many
-- Payouts of these wallets ($1) with numbers above $2, with how they are said to have ended, and the newest
-- transaction that carried each (none: null).
SELECT
    f.operation_id, f.wallet_id, f.number, f.request_id, f.amount, f.destination, f.pooler, f.operator, f.miners,
    f.pooler_account, f.operator_account, f.requested_at, f.mac,
    o.kind, o.state, o.stake_returned, o.gap, o.ledger, o.end_mac,
    (
        SELECT c.transaction_id FROM wallet.transaction_operations AS c
        WHERE c.operation_id = f.operation_id
        ORDER BY c.transaction_id DESC
        LIMIT 1
    ) AS newest_transaction
FROM unnest($1::uuid[], $2::int[]) AS n (wallet_id, number)
INNER JOIN wallet.payouts AS f ON n.wallet_id = f.wallet_id AND f.number > n.number
LEFT JOIN wallet.operations AS o ON f.operation_id = o.id
ORDER BY f.wallet_id, f.number;

-- name: pool_payments_after :many
-- The same for payments from poolers' accounts.
SELECT
    f.operation_id, f.wallet_id, f.number, f.request_id, f.is_miner, f.amount, f.destination, f.requested_at,
    f.mac, o.kind, o.state, o.stake_returned, o.gap, o.ledger, o.end_mac,
    (
        SELECT c.transaction_id FROM wallet.transaction_operations AS c
        WHERE c.operation_id = f.operation_id
        ORDER BY c.transaction_id DESC
        LIMIT 1
    ) AS newest_transaction
FROM unnest($1::uuid[], $2::int[]) AS n (wallet_id, number)
INNER JOIN wallet.pool_payments AS f ON n.wallet_id = f.wallet_id AND f.number > n.number
LEFT JOIN wallet.operations AS o ON f.operation_id = o.id
ORDER BY f.wallet_id, f.number;

-- name: newest_paid :many
-- The newest record of an action ($1) of each of these subjects ($2) in the audit log.
SELECT r.number, r.at, r.actor, r.action, r.subject, r.details, r.previous, r.hash, r.version, r.mac
FROM unnest($2::text[]) AS s (subject)
CROSS JOIN LATERAL (
    SELECT a.* FROM wallet.audit_log AS a
    WHERE a.action = $1
      AND a.action IN ('pay_farmer', 'pay_from_pooler')
      AND a.subject = s.subject
    ORDER BY a.number DESC
    LIMIT 1
) AS r;

-- name: farmers_to_pay :many
-- Wallets of farmers ($1), with what limits them, as registry and pauses say it.
SELECT
    w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac,
    coalesce(wallet.payout_address(w.id, now()), '') AS outside,
    -- A pooler that is suspended holds back nobody who leaves.
    f.status IS DISTINCT FROM 'leaving' AND f.status IS DISTINCT FROM 'closing' AND EXISTS (
        SELECT 1 FROM registry.poolers AS p
        WHERE p.id IN (w.pooler_id, f.pooler_id) AND NOT p.is_active
    ) AS pooler_suspended,
    coalesce(f.status = 'suspended', false) AS farmer_suspended,
    coalesce(f.status = 'departed', false) AS farmer_departed,
    EXISTS (
        SELECT 1 FROM wallet.pauses AS s
        WHERE s.resumed_at IS NULL AND s.target IN (w.id, w.pooler_id)
    ) AS signing_paused
FROM wallet.wallets AS w
LEFT JOIN registry.farmers AS f ON w.farmer_id = f.id
WHERE w.farmer_id = ANY($1::uuid[]);

-- name: pooler_accounts :many
-- Custodial accounts of poolers ($1), in the same way.
SELECT
    w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac, w.status = 'ready' AS is_ready,
    coalesce(NOT p.is_active, false) AS pooler_suspended,
    false AS farmer_suspended,
    false AS farmer_departed,
    EXISTS (
        SELECT 1 FROM wallet.pauses AS s
        WHERE s.resumed_at IS NULL AND s.target IN (w.id, w.pooler_id)
    ) AS signing_paused
FROM wallet.wallets AS w
LEFT JOIN registry.poolers AS p ON w.pooler_id = p.id
WHERE w.kind = 'pooler' AND w.pooler_id = ANY($1::uuid[]);

-- name: poolers_without_account :many
-- Poolers that registered and have no custodial account, with the addresses that they registered with, from
-- the one after $2 on (NULL: the first).
SELECT p.id AS pooler_id, p.public_key
FROM registry.poolers AS p
WHERE ($2::uuid IS NULL OR p.id > $2) AND NOT EXISTS (
    SELECT 1 FROM wallet.wallets AS w WHERE w.kind = 'pooler' AND w.pooler_id = p.id
)
ORDER BY p.id
LIMIT $1;

-- name: payouts_of_request :many
SELECT operation_id, wallet_id, amount FROM wallet.payouts
WHERE request_id = $1 AND wallet_id = ANY($2::uuid[]);

-- name: pool_payments_of_request :many
SELECT operation_id, amount, destination FROM wallet.pool_payments
WHERE wallet_id = $1 AND request_id = $2 AND is_miner = $3;

-- name: insert_payouts :exec
-- With their operations, which bear the numbers of the wallets' payouts in place of blocks, and with the payers
-- that they belong to for ever (none: nobody's yet).
WITH wanted AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::int[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::text[], $10::text[], $11::uuid[], $12::bytea[], $13::bytea[], $14::bytea[]
    ) AS n (
        id, wallet_id, number, amount, destination, pooler, operator, miners, pooler_account, operator_account,
        payer_id, operation_mac, mac, payment_mac
    )
),
made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, amount, mac)
    SELECT n.id, 'payout', n.wallet_id, n.number, n.amount + n.pooler + n.operator + n.miners, n.operation_mac
    FROM wanted AS n
    RETURNING id
),
assigned AS (
    INSERT INTO wallet.payments (operation_id, payer_id, mac)
    SELECT n.id, n.payer_id, n.payment_mac
    FROM wanted AS n
    INNER JOIN made AS m ON n.id = m.id
    WHERE n.payer_id IS NOT NULL
)
INSERT INTO wallet.payouts (
    operation_id, wallet_id, number, request_id, amount, destination, pooler, operator, miners, pooler_account,
    operator_account, requested_at, mac
)
SELECT
    n.id, n.wallet_id, n.number, $15, n.amount, n.destination, n.pooler, n.operator, n.miners, n.pooler_account,
    n.operator_account, $16, n.mac
FROM wanted AS n
INNER JOIN made AS m ON n.id = m.id
ORDER BY n.wallet_id, n.number;

-- name: insert_pool_payments :exec
-- The same for payments from a pooler's account ($1).
WITH wanted AS (
    SELECT * FROM unnest(
        $2::uuid[], $3::int[], $4::bigint[], $5::text[], $6::boolean[], $7::uuid[], $8::bytea[], $9::bytea[],
        $10::bytea[]
    ) AS n (id, number, amount, destination, is_miner, payer_id, operation_mac, mac, payment_mac)
),
made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, amount, mac)
    SELECT n.id, 'pool_payment', $1, n.number, n.amount, n.operation_mac
    FROM wanted AS n
    RETURNING id
),
assigned AS (
    INSERT INTO wallet.payments (operation_id, payer_id, mac)
    SELECT n.id, n.payer_id, n.payment_mac
    FROM wanted AS n
    INNER JOIN made AS m ON n.id = m.id
    WHERE n.payer_id IS NOT NULL
)
INSERT INTO wallet.pool_payments (
    operation_id, wallet_id, number, request_id, is_miner, amount, destination, requested_at, mac
)
SELECT n.id, $1, n.number, $11, n.is_miner, n.amount, n.destination, $12, n.mac
FROM wanted AS n
INNER JOIN made AS m ON n.id = m.id
ORDER BY n.number;

-- name: payouts_by_ids :many
SELECT
    f.request_id, f.amount AS own_amount, f.destination, f.pooler, f.operator, f.miners, f.pooler_account,
    f.operator_account, f.requested_at, o.*
FROM wallet.payouts AS f
INNER JOIN wallet.all_operations AS o ON f.operation_id = o.operation_id
WHERE f.operation_id = ANY($1::uuid[]);

-- name: pool_payments_by_ids :many
SELECT m.request_id, m.is_miner, m.destination, m.requested_at, o.*
FROM wallet.pool_payments AS m
INNER JOIN wallet.all_operations AS o ON m.operation_id = o.operation_id
WHERE m.operation_id = ANY($1::uuid[]);

-- name: wallets_of_pooler :many
-- Farmers of a pooler that were ever paid out, or of whom sums are kept, by their wallets' rows.
SELECT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM wallet.wallets AS w
WHERE w.pooler_id = $1 AND w.kind = 'farmer'
  AND (
      EXISTS (SELECT 1 FROM wallet.payouts AS f WHERE f.wallet_id = w.id)
      OR EXISTS (SELECT 1 FROM wallet.fee_marks AS m WHERE m.wallet_id = w.id)
  );
