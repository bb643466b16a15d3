-- API tokens, and the keys that sign access tokens.

-- name: insert_token :exec
-- Nothing when its maker has named another one's request so.
INSERT INTO wallet.tokens (
    id, role, subject, pooler_id, name, methods, is_read_only, secret_hash, request_id, created_by,
    created_at, expires_at, mac
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (created_by, request_id) WHERE request_id <> '' DO NOTHING;

-- name: token_of_request :one
SELECT id FROM wallet.tokens WHERE created_by = $1 AND request_id = $2;

-- name: token_of_secret :one
-- The token with this hash; whether it has ended, and whether the audit log tells that it was revoked.
SELECT
    id, role, subject, pooler_id, name, methods, is_read_only, secret_hash, created_by, created_at,
    expires_at, revoked_by, revoked_at, mac,
    expires_at <= now() AS has_ended,
    EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.action = 'revoke_token' AND a.subject = format('token %s', t.id)
    ) AS is_told_revoked
FROM wallet.tokens AS t
WHERE secret_hash = $1;

-- name: token :one
-- A token, and the moment of this transaction.
SELECT
    id, role, subject, pooler_id, name, methods, is_read_only, secret_hash, created_by, created_at,
    expires_at, revoked_by, revoked_at, mac, now() AS moment
FROM wallet.tokens
WHERE id = $1;

-- name: tokens :many
-- Newest first, before $2; with $1 those of this pooler only.
SELECT
    id, role, subject, pooler_id, name, methods, is_read_only, secret_hash, created_by, created_at,
    expires_at, revoked_by, revoked_at, mac
FROM wallet.tokens
WHERE ($1::uuid IS NULL OR pooler_id = $1) AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3;

-- name: owners_of_tokens :many
-- These tokens; a row without values for one that is not there.
SELECT DISTINCT
    t.id, t.role, t.subject, t.pooler_id, t.name, t.methods, t.is_read_only, t.secret_hash,
    t.created_by, t.created_at, t.expires_at, t.revoked_by, t.revoked_at, t.mac
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN wallet.tokens AS t ON t.id = asked.id;

-- name: registered_pooler :one
SELECT 1 AS one FROM registry.poolers WHERE id = $1;

-- name: standings_of_poolers :one
-- What limits these poolers ($1), as registry says it, and the pauses that are for them.
SELECT
    coalesce(bool_or(NOT p.is_active), false) AS pooler_suspended,
    coalesce(bool_or(EXISTS (
        SELECT 1 FROM wallet.pauses AS s WHERE s.resumed_at IS NULL AND s.target = p.id
    )), false) AS signing_paused
FROM registry.poolers AS p
WHERE p.id = ANY($1::uuid []);

-- name: revoke_token :exec
UPDATE wallet.tokens SET revoked_by = $2, revoked_at = $3, mac = $4
WHERE id = $1 AND revoked_at IS NULL;

-- name: token_keys :many
-- With the seconds since each was made.
SELECT number, kek_id, wrapped_key, extract(epoch FROM now() - created_at)::float8 AS age
FROM wallet.token_keys
ORDER BY number;

-- name: insert_token_key :exec
-- Nothing when somebody was faster.
INSERT INTO wallet.token_keys (number, kek_id, wrapped_key) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING;

-- name: replace_token_key :exec
-- Another wrapping ($4, $5) of a key, if it is still as it was read.
UPDATE wallet.token_keys SET kek_id = $4, wrapped_key = $5
WHERE number = $1 AND kek_id = $2 AND wrapped_key = $3;
