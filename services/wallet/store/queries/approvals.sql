-- name: approval_of :many
-- The newest of one request, whether the log has a use of it, and the moment of this transaction.
SELECT
    m.moment, a.id, a.method, a.digest, a.request, a.asked_by, a.asked_at, a.expires_at,
    a.approved_by, a.approved_at, a.used_at, a.mac,
    EXISTS (
        SELECT 1 FROM wallet.audit_log AS l
        WHERE l.action = 'use_approval' AND l.subject = format('approval %s', a.id)
    ) AS is_used_by_log
FROM (SELECT now() AS moment) AS m
LEFT JOIN (
    SELECT * FROM wallet.approvals
    WHERE digest = $1 AND asked_by = $2 AND method = $3
    ORDER BY asked_at DESC, id DESC
    LIMIT 1
) AS a ON true;

-- name: insert_approval :exec
INSERT INTO wallet.approvals (id, method, digest, request, asked_by, asked_at, expires_at, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: approve :exec
-- Only while it can still be used, and not by who asked.
UPDATE wallet.approvals SET approved_by = $2, approved_at = $3, mac = $4
WHERE id = $1 AND approved_at IS NULL AND used_at IS NULL AND expires_at > $3 AND asked_by <> $2;

-- name: use_approval :exec
UPDATE wallet.approvals SET used_at = $2, mac = $3
WHERE id = $1 AND approved_at IS NOT NULL AND used_at IS NULL AND expires_at > $2;

-- name: approval :one
-- With the moment of this transaction.
SELECT
    id, method, digest, request, asked_by, asked_at, expires_at, approved_by, approved_at, used_at, mac,
    now() AS moment
FROM wallet.approvals
WHERE id = $1;

-- name: approvals :many
-- Those that can be approved or used; with $1 also those that are over. Newest first, from before $2 on.
SELECT
    id, method, digest, request, asked_by, asked_at, expires_at, approved_by, approved_at, used_at, mac
FROM wallet.approvals
WHERE ($1 OR (used_at IS NULL AND expires_at > now())) AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3;

-- name: open_approvals :one
-- What waits for a second person: of wallet's methods by one operator ($1), and of other services' by anybody.
SELECT
    count(*) FILTER (WHERE starts_with(method, '/kalepool.wallet.') AND asked_by = $1) AS own,
    count(*) FILTER (WHERE NOT starts_with(method, '/kalepool.wallet.')) AS brought
FROM wallet.approvals
WHERE used_at IS NULL AND expires_at > now();

-- name: withdrawal_named :one
-- The withdrawal of a farmer ($1) by its request id ($2), with its payer.
SELECT
    d.operation_id, d.wallet_id, d.request_id, d.asset, d.amount, d.destination, d.requested_at, d.mac,
    p.payer_id, p.mac AS payment_mac
FROM wallet.withdrawals AS d
INNER JOIN wallet.wallets AS w ON d.wallet_id = w.id
INNER JOIN wallet.payments AS p ON d.operation_id = p.operation_id
WHERE w.farmer_id = $1 AND d.request_id = $2;
