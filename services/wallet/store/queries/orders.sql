-- Rows that wallet acts on, with their authenticators: looked through page by page, and signed anew
-- when the key of rows was replaced, or when an operator has looked at them.

-- name: order_wallets :many
SELECT id AS key, 0 AS number, id, kind, farmer_id, pooler_id, address, stake_bps, mac
FROM wallet.wallets
WHERE ($1::uuid IS NULL OR id > $1)
ORDER BY id
LIMIT $2;

-- name: order_operations :many
-- Those that may still be signed for, and payments, which may have to be made good.
SELECT id AS key, 0 AS number, id, kind, wallet_id, block_index, amount, nonce, hash, mac
FROM wallet.operations
WHERE (state IN ('queued', 'signed', 'sent') OR kind IN ('withdraw', 'top_up'))
  AND ($1::uuid IS NULL OR id > $1)
ORDER BY id
LIMIT $2;

-- name: order_withdrawals :many
SELECT
    operation_id AS key, 0 AS number, operation_id, wallet_id, request_id, asset, amount, destination,
    requested_at, mac
FROM wallet.withdrawals
WHERE ($1::uuid IS NULL OR operation_id > $1)
ORDER BY operation_id
LIMIT $2;

-- name: order_payments :many
SELECT operation_id AS key, 0 AS number, operation_id, payer_id, mac
FROM wallet.payments
WHERE ($1::uuid IS NULL OR operation_id > $1)
ORDER BY operation_id
LIMIT $2;

-- name: order_addresses :many
-- The next addresses after number $3 of a wallet ($1): one wallet may have any number of them.
SELECT
    a.wallet_id AS key, a.number, a.wallet_id, a.address, a.registered_at, a.effective_at, a.mac
FROM wallet.payout_addresses AS a
WHERE $1::uuid IS NULL OR (a.wallet_id, a.number) > ($1, $3::int)
ORDER BY a.wallet_id, a.number
LIMIT $2;

-- name: order_shown_targets :many
-- The next shown targets after number $3 of a payer ($1).
SELECT s.payer_id AS key, s.target AS number, w.address, s.target, s.mac
FROM wallet.shown_targets AS s
INNER JOIN wallet.wallets AS w ON s.payer_id = w.id
WHERE $1::uuid IS NULL OR (s.payer_id, s.target) > ($1, $3::bigint)
ORDER BY s.payer_id, s.target
LIMIT $2;

-- name: order_transactions :many
-- Those in flight, whose bids may be raised, and those of payers, whose numbers prove what was paid.
SELECT
    t.id AS key, 0 AS number, t.id, t.source, t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent,
    t.mac,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids
FROM wallet.transactions AS t
WHERE (t.bump_to IS NOT NULL OR t.state IN ('signed', 'sent')) AND ($1::uuid IS NULL OR t.id > $1)
ORDER BY t.id
LIMIT $2;

-- name: order_tokens :many
SELECT
    t.id AS key, 0 AS number, t.id, t.role, t.subject, t.pooler_id, t.name, t.methods, t.is_read_only,
    t.secret_hash, t.created_by, t.created_at, t.expires_at, t.revoked_by, t.revoked_at, t.mac
FROM wallet.tokens AS t
WHERE ($1::uuid IS NULL OR t.id > $1)
ORDER BY t.id
LIMIT $2;

-- name: order_ends :many
-- How operations ended: of what was found done on the chain, and of those from the id $3 on (none: null) whose
-- authenticator is of a key below number $4, or that have none.
WITH found AS (
    SELECT o.* FROM wallet.operations AS o
    WHERE o.is_found AND o.settled_at IS NOT NULL AND ($1::uuid IS NULL OR o.id > $1)
    ORDER BY o.id
    LIMIT $2
),
late AS (
    SELECT o.* FROM wallet.operations AS o
    WHERE o.settled_at IS NOT NULL AND ($1::uuid IS NULL OR o.id > $1)
      AND o.id >= $3::uuid
      AND coalesce(get_byte(o.end_mac, 0) * 256 + get_byte(o.end_mac, 1) < $4::int, true)
    ORDER BY o.id
    LIMIT $2
)
SELECT
    e.id AS key, 0 AS number, e.id AS operation_id, e.kind, e.wallet_id, e.block_index, e.state, e.amount,
    e.stake_returned, e.gap, e.ledger, e.end_mac AS mac
FROM (
    SELECT * FROM found
    UNION ALL
    SELECT * FROM late AS l WHERE NOT EXISTS (SELECT 1 FROM found AS f WHERE f.id = l.id)
) AS e
ORDER BY e.id
LIMIT $2;

-- name: sign_order_ends :exec
UPDATE wallet.operations AS o SET end_mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE o.id = n.key AND o.settled_at IS NOT NULL AND o.end_mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_wallets :exec
UPDATE wallet.wallets AS w SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE w.id = n.key AND w.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_operations :exec
UPDATE wallet.operations AS o SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE o.id = n.key AND o.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_withdrawals :exec
UPDATE wallet.withdrawals AS w SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE w.operation_id = n.key AND w.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_payments :exec
UPDATE wallet.payments AS p SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE p.operation_id = n.key AND p.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_addresses :exec
UPDATE wallet.payout_addresses AS a SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::int[]) AS n (key, old, mac, number)
WHERE a.wallet_id = n.key AND a.number = n.number AND a.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_shown_targets :exec
UPDATE wallet.shown_targets AS s SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bigint[]) AS n (key, old, mac, target)
WHERE s.payer_id = n.key AND s.target = n.target AND s.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_transactions :exec
UPDATE wallet.transactions AS t SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE t.id = n.key AND t.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_tokens :exec
UPDATE wallet.tokens AS t SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE t.id = n.key AND t.mac IS NOT DISTINCT FROM n.old;

-- name: order_pauses :many
-- Those that have ended: one in force holds, whoever wrote it.
SELECT
    p.id AS key, 0 AS number, p.id, p.scope, p.target, p.reason, p.paused_by, p.paused_at, p.resumed_by,
    p.resumed_at, p.resume_mac AS mac
FROM wallet.pauses AS p
WHERE p.resumed_at IS NOT NULL AND ($1::uuid IS NULL OR p.id > $1)
ORDER BY p.id
LIMIT $2;

-- name: sign_order_pauses :exec
UPDATE wallet.pauses AS p SET resume_mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE p.id = n.key AND p.resume_mac IS NOT DISTINCT FROM n.old;

-- name: order_approvals :many
SELECT
    a.id AS key, 0 AS number, a.id, a.method, a.digest, a.request, a.asked_by, a.asked_at, a.expires_at,
    a.approved_by, a.approved_at, a.used_at, a.mac
FROM wallet.approvals AS a
WHERE ($1::uuid IS NULL OR a.id > $1)
ORDER BY a.id
LIMIT $2;

-- name: sign_order_approvals :exec
UPDATE wallet.approvals AS a SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE a.id = n.key AND a.mac IS NOT DISTINCT FROM n.old;
