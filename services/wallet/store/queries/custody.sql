-- name: lock_audit_log :one
-- One transaction at a time adds to it, or changes what may be signed. Whoever waited here sees what
-- the others have committed. No other role can lock this row.
SELECT number FROM wallet.audit_head FOR NO KEY UPDATE;

-- name: audit_head :one
-- Where the log ends, and the moment of this transaction.
SELECT number, hash, now() AS moment FROM wallet.audit_head;

-- name: insert_audit_records :exec
-- The database itself checks that they follow the head, and moves it.
INSERT INTO wallet.audit_log (
    number, at, actor, action, subject, details, previous, hash, version, mac
)
SELECT * FROM unnest(
    $1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
    $8::bytea[], $9::smallint[], $10::bytea[]
);

-- name: first_vouched_record :one
-- The number of the first record with an authenticator.
SELECT number FROM wallet.audit_log WHERE mac IS NOT NULL ORDER BY number LIMIT 1;

-- name: audit_records :many
-- In the order of their numbers, after $1; $3: of this action only. A row of somebody with all rights
-- is read, whatever is in it, to be told: a moment that cannot be is none, and texts have an end.
SELECT
    number,
    CASE WHEN at >= '0002-01-01' AND at < '9999-01-01' THEN at END AS at,
    left(actor, 4097) AS actor,
    left(action, 4097) AS action,
    left(subject, 4097) AS subject,
    left(details, 4097) AS details,
    substr(previous, 1, 33) AS previous,
    substr(hash, 1, 33) AS hash,
    version,
    substr(mac, 1, 35) AS mac
FROM wallet.audit_log
WHERE number > $1 AND ($3::text IS NULL OR action = $3)
ORDER BY number
LIMIT $2;

-- name: audit_seals :many
-- What tells who wrote records, without their texts: after $1, up to $2, the first $3 of them.
SELECT
    number,
    CASE WHEN at >= '0002-01-01' AND at < '9999-01-01' THEN at END AS at,
    left(action, 4097) AS action,
    substr(hash, 1, 33) AS hash,
    substr(mac, 1, 35) AS mac
FROM wallet.audit_log
WHERE number > $1 AND number <= $2
ORDER BY number
LIMIT $3;

-- name: latest_audit_records :many
-- Newest first, before $1; $3: of this action only. As audit_records reads them.
SELECT
    number,
    CASE WHEN at >= '0002-01-01' AND at < '9999-01-01' THEN at END AS at,
    left(actor, 4097) AS actor,
    left(action, 4097) AS action,
    left(subject, 4097) AS subject,
    left(details, 4097) AS details,
    substr(previous, 1, 33) AS previous,
    substr(hash, 1, 33) AS hash,
    version,
    substr(mac, 1, 35) AS mac
FROM wallet.audit_log
WHERE ($1::bigint IS NULL OR number < $1) AND ($3::text IS NULL OR action = $3)
ORDER BY number DESC
LIMIT $2;

-- name: insert_pause :exec
INSERT INTO wallet.pauses (id, scope, target, reason, paused_by)
VALUES ($1, $2, $3, $4, $5);

-- name: pause :one
SELECT id, scope, target, reason, paused_by, paused_at, resumed_by, resumed_at
FROM wallet.pauses
WHERE id = $1;

-- name: pauses_in_force :many
-- The pauses with this reach that are in force, and the moment of this transaction.
SELECT id, scope, target, reason, paused_by, paused_at, now() AS moment
FROM wallet.pauses
WHERE scope = $1 AND target IS NOT DISTINCT FROM $2 AND resumed_at IS NULL;

-- name: end_pause :exec
UPDATE wallet.pauses SET resumed_by = $2, resumed_at = $3, resume_mac = $4
WHERE id = $1 AND resumed_at IS NULL;

-- name: pauses_to_judge :many
-- Those in force, also where an end was seen before, and those whose end nobody has judged yet (all but $1).
SELECT id, scope, target, reason, paused_by, paused_at, resumed_by, resumed_at, resume_mac
FROM wallet.pauses
WHERE resumed_at IS NULL OR id <> ALL($1::uuid[])
ORDER BY paused_at, id;

-- name: sign_resume :exec
UPDATE wallet.pauses SET resume_mac = $2 WHERE id = $1;

-- name: pauses :many
-- Those in force; with $1 also those that are over. Newest first.
SELECT id, scope, target, reason, paused_by, paused_at, resumed_by, resumed_at
FROM wallet.pauses
WHERE $1 OR resumed_at IS NULL
ORDER BY paused_at DESC, id
LIMIT 1000;

-- name: carried_orders :many
-- The operations that a transaction ($1) carries and the wallets that they are for, with their authenticators.
SELECT o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash, o.mac,
    w.kind AS wallet_kind, w.farmer_id, w.pooler_id, w.stake_bps, w.mac AS wallet_mac
FROM wallet.transaction_operations AS c
INNER JOIN wallet.operations AS o ON c.operation_id = o.id
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE c.transaction_id = $1;

-- name: is_held_apart :one
-- Whether signing is paused for a wallet ($1) or its pooler, whether or not it is for everybody, too.
SELECT EXISTS (
    SELECT 1 FROM wallet.pauses AS p
    INNER JOIN wallet.wallets AS w ON w.id = $1
    WHERE p.resumed_at IS NULL
      AND (
          (p.scope = 'pooler' AND p.target = w.pooler_id)
          OR (p.scope = 'wallet' AND p.target = w.id)
      )
) AS is_held;
