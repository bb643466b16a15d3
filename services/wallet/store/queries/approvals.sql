-- name: approval_of :many
-- The newest of one request, and the moment of this transaction.
SELECT
    m.moment, a.id, a.method, a.digest, a.request, a.asked_by, a.asked_at, a.expires_at,
    a.approved_by, a.approved_at, a.used_at, a.mac
FROM (SELECT now() AS moment) AS m
LEFT JOIN (
    SELECT * FROM wallet.approvals
    WHERE digest = $1 AND asked_by = $2 AND method = $3
    ORDER BY asked_at DESC, id DESC
    LIMIT 1
) AS a ON true;

-- name: insert_approval :exec
INSERT INTO wallet.approvals (id, method, digest, request, asked_by, asked_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: approve :one
-- Only while it can still be used, and not by who asked.
UPDATE wallet.approvals SET approved_by = $2, approved_at = now()
WHERE id = $1 AND approved_at IS NULL AND used_at IS NULL AND expires_at > now() AND asked_by <> $2
RETURNING
    id, method, digest, request, asked_by, asked_at, expires_at, approved_by, approved_at, used_at;

-- name: use_approval :exec
UPDATE wallet.approvals SET used_at = now()
WHERE id = $1 AND approved_at IS NOT NULL AND used_at IS NULL AND expires_at > now();

-- name: approval :one
SELECT
    id, method, digest, request, asked_by, asked_at, expires_at, approved_by, approved_at, used_at
FROM wallet.approvals
WHERE id = $1;

-- name: approvals :many
-- Those that can be approved or used; with $1 also those that are over. Newest first.
SELECT
    id, method, digest, request, asked_by, asked_at, expires_at, approved_by, approved_at, used_at
FROM wallet.approvals
WHERE $1 OR (used_at IS NULL AND expires_at > now())
ORDER BY asked_at DESC, id DESC
LIMIT 1000;

-- name: sign_approval :exec
UPDATE wallet.approvals SET mac = $2 WHERE id = $1;
