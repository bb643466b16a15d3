-- The key-encryption keys (KEKs) over the data keys, and their rotation.

-- name: kek_uses :many
-- Of data keys, of keys of rows, and of keys of tokens.
SELECT kek_id, count(*) AS keys
FROM (
    SELECT kek_id FROM wallet.sealed_keys
    UNION ALL
    SELECT kek_id FROM wallet.row_keys
    UNION ALL
    SELECT kek_id FROM wallet.token_keys
) AS k
GROUP BY kek_id
ORDER BY kek_id;

-- name: end_other_rotations :exec
UPDATE wallet.key_rotations SET ended_at = now() WHERE ended_at IS NULL AND kek_id <> $1;

-- name: insert_rotation :exec
-- Nothing when it is under way already.
INSERT INTO wallet.key_rotations (id, kek_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: last_rotation :one
SELECT id, kek_id, rewrapped, failed, started_at, ended_at FROM wallet.key_rotations ORDER BY id DESC LIMIT 1;

-- name: open_rotation :one
SELECT id, kek_id, rewrapped, failed, started_at, ended_at FROM wallet.key_rotations WHERE ended_at IS NULL;

-- name: keys_to_rewrap :many
-- Data keys under any other KEK; the seeds are not even read.
SELECT k.wallet_id, w.address, k.kek_id, k.wrapped_data_key
FROM wallet.sealed_keys AS k
INNER JOIN wallet.wallets AS w ON k.wallet_id = w.id
WHERE (k.kek_id < $1 OR k.kek_id > $1) AND ($2::uuid IS NULL OR k.wallet_id > $2)
ORDER BY k.wallet_id
LIMIT $3;

-- name: rewrap_keys :one
-- Guarded: what another process was faster with stays, and is not counted twice.
WITH fresh AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[])
    AS f (wallet_id, old_kek_id, kek_id, wrapped_data_key)
),
changed AS (
    UPDATE wallet.sealed_keys AS k
    SET kek_id = f.kek_id, wrapped_data_key = f.wrapped_data_key
    FROM fresh AS f
    WHERE k.wallet_id = f.wallet_id AND k.kek_id = f.old_kek_id
    RETURNING k.wallet_id
)
UPDATE wallet.key_rotations
SET rewrapped = least(rewrapped + (SELECT count(*) FROM changed), 2147483647)
WHERE id = $1
RETURNING (SELECT count(*) FROM changed) AS changed;

-- name: end_rotation :exec
UPDATE wallet.key_rotations SET ended_at = now(), failed = $2
WHERE id = $1 AND ended_at IS NULL;

-- name: row_keys :many
-- A key is used a minute after it was made: by then every process knows it. The first one is used at
-- once.
SELECT
    number,
    accepts_from,
    kek_id,
    wrapped_key,
    number = 1 OR created_at <= now() - interval '1 minute' AS is_active,
    created_at <= now() - interval '10 minutes' AS is_old
FROM wallet.row_keys
ORDER BY number;

-- name: insert_row_key :exec
-- Nothing when somebody was faster.
INSERT INTO wallet.row_keys (number, accepts_from, kek_id, wrapped_key) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: replace_row_key :exec
-- Another wrapping ($5, $6) of a key that accepts older ones from $7 on, if it is still as it was read.
UPDATE wallet.row_keys SET kek_id = $5, wrapped_key = $6, accepts_from = $7
WHERE number = $1 AND kek_id = $2 AND wrapped_key = $3 AND accepts_from = $4;

-- name: given_up_row_keys :many
SELECT number, subject, hash, mac FROM wallet.audit_log WHERE action = 'give_up_row_keys';

-- name: made_row_keys :many
-- Records which say that a key of rows was made.
SELECT subject, number, hash, mac FROM wallet.audit_log WHERE action = 'replace_row_key';

-- name: replaced_token_keys :many
-- Records which say that a key of tokens was made in place of another one, with the seconds since.
SELECT subject, number, hash, mac, extract(epoch FROM now() - at)::float8 AS age
FROM wallet.audit_log
WHERE action = 'replace_token_key';

-- name: is_empty :one
-- Whether no wallet was ever made here.
SELECT NOT EXISTS (SELECT 1 FROM wallet.wallets) AS is_empty;
