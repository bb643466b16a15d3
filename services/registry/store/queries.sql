-- name: insert_pooler :one
INSERT INTO registry.poolers (id, name, public_key, api_endpoint, max_farmers)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (public_key) DO NOTHING
RETURNING id;

-- name: pooler :one
SELECT p.id AS pooler_id, p.name, p.public_key, p.api_endpoint, p.max_farmers, p.current_farmers,
    p.is_active, p.last_seen, p.created_at,
    coalesce((
        SELECT m.farms_for_itself FROM wallet.pooler_marks AS m
        WHERE m.pooler_id = p.id
        ORDER BY m.number DESC
        LIMIT 1
    ), false) AS farms_for_itself,
    coalesce((SELECT max(t.version) FROM registry.terms AS t WHERE t.pooler_id = p.id), 0) AS terms_version,
    p.is_listed, p.is_open_to_join,
    p.stage::text AS stage, coalesce(l.waits_for, '') AS waits_for, coalesce(l.message, '') AS waits_message
FROM registry.poolers AS p
LEFT JOIN registry.leavings AS l ON l.owner_id = p.id AND p.stage IN ('leaving', 'closing')
WHERE p.id = $1;

-- name: lock_pooler :one
-- NO KEY: events of the other services point at poolers, and need not wait for a registration.
SELECT p.id AS pooler_id, p.name, p.public_key, p.api_endpoint, p.max_farmers, p.current_farmers,
    p.is_active, p.last_seen, p.created_at,
    coalesce((
        SELECT m.farms_for_itself FROM wallet.pooler_marks AS m
        WHERE m.pooler_id = p.id
        ORDER BY m.number DESC
        LIMIT 1
    ), false) AS farms_for_itself,
    coalesce((SELECT max(t.version) FROM registry.terms AS t WHERE t.pooler_id = p.id), 0) AS terms_version,
    p.is_listed, p.is_open_to_join,
    p.stage::text AS stage, coalesce(l.waits_for, '') AS waits_for, coalesce(l.message, '') AS waits_message
FROM registry.poolers AS p
LEFT JOIN registry.leavings AS l ON l.owner_id = p.id AND p.stage IN ('leaving', 'closing')
WHERE p.id = $1
FOR NO KEY UPDATE OF p;

-- name: list_poolers :many
SELECT p.id AS pooler_id, p.name, p.public_key, p.api_endpoint, p.max_farmers, p.current_farmers,
    p.is_active, p.last_seen, p.created_at,
    coalesce((
        SELECT m.farms_for_itself FROM wallet.pooler_marks AS m
        WHERE m.pooler_id = p.id
        ORDER BY m.number DESC
        LIMIT 1
    ), false) AS farms_for_itself,
    coalesce((SELECT max(t.version) FROM registry.terms AS t WHERE t.pooler_id = p.id), 0) AS terms_version,
    p.is_listed, p.is_open_to_join,
    p.stage::text AS stage, coalesce(l.waits_for, '') AS waits_for, coalesce(l.message, '') AS waits_message
FROM registry.poolers AS p
LEFT JOIN registry.leavings AS l ON l.owner_id = p.id AND p.stage IN ('leaving', 'closing')
WHERE $1::uuid IS NULL OR p.id > $1::uuid
ORDER BY p.id
LIMIT $2;

-- name: update_pooler :exec
-- NULL leaves a column as it is.
UPDATE registry.poolers
SET name = coalesce($2, name),
    api_endpoint = coalesce($3, api_endpoint),
    max_farmers = coalesce($4, max_farmers),
    is_listed = coalesce($5, is_listed),
    is_open_to_join = coalesce($6, is_open_to_join)
WHERE id = $1;

-- name: set_pooler_active :exec
UPDATE registry.poolers SET is_active = $2 WHERE id = $1;

-- name: heartbeat :one
UPDATE registry.poolers SET last_seen = now(), gone_since = NULL WHERE id = $1
RETURNING last_seen;

-- name: mark_gone :exec
-- Poolers whose last heartbeat is more than $1 seconds old; the database tells of each.
UPDATE registry.poolers SET gone_since = now()
WHERE gone_since IS NULL AND last_seen < now() - make_interval(secs => $1::float8);

-- name: count_farmer :exec
UPDATE registry.poolers SET current_farmers = current_farmers + 1 WHERE id = $1;

-- name: insert_farmer :exec
INSERT INTO registry.farmers (
    id, pooler_id, payout_wallet_address, stake_percentage, metadata, request_id, digest, owner_account,
    terms_version, registered_by, proof, joined_itself
)
VALUES ($1, $2, $3, $4::int / 10000.0, $5::jsonb, $6, $7, $8, $9, $10, $11, $12);

-- name: take_join_turn :exec
-- Who joins by itself waits here until nobody else does, so that what has joined is counted once.
UPDATE registry.join_turn SET taken_at = now();

-- name: joined :one
-- How many farmers have joined by themselves within 24 hours: in all, and of an owner account ($1).
SELECT count(*) AS total, count(*) FILTER (WHERE f.owner_account = $1) AS of_owner
FROM registry.farmers AS f
WHERE f.joined_itself AND f.created_at > now() - interval '24 hours';

-- name: farmer :one
SELECT f.id AS farmer_id, coalesce(f.custodial_public_key, '') AS custodial_wallet, f.pooler_id,
    f.status::text AS status, (f.stake_percentage * 10000)::int AS stake_bps,
    coalesce(b.current_balance, 0) AS current_balance,
    coalesce(a.is_funded AND a.has_trustline, false) AS is_funded, f.payout_wallet_address,
    f.metadata::text AS metadata, f.digest, f.created_at, f.owner_account, f.terms_version,
    f.registered_by, f.proof, l.asked_at AS leaving_since, coalesce(l.word::text, '') AS leaving_word,
    coalesce(l.waits_for, '') AS waits_for, coalesce(l.message, '') AS waits_message
FROM registry.farmers AS f
LEFT JOIN registry.leavings AS l ON l.owner_id = f.id AND f.status IN ('leaving', 'closing')
LEFT JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
LEFT JOIN harvest.balances AS b ON b.farmer_id = f.id
WHERE f.id = $1;

-- name: farmer_of_request :one
SELECT id FROM registry.farmers WHERE pooler_id = $1 AND request_id = $2;

-- name: list_farmers :many
SELECT f.id AS farmer_id, coalesce(f.custodial_public_key, '') AS custodial_wallet, f.pooler_id,
    f.status::text AS status, (f.stake_percentage * 10000)::int AS stake_bps,
    coalesce(b.current_balance, 0) AS current_balance,
    coalesce(a.is_funded AND a.has_trustline, false) AS is_funded, f.payout_wallet_address,
    f.metadata::text AS metadata, f.digest, f.created_at, f.owner_account, f.terms_version,
    f.registered_by, f.proof, l.asked_at AS leaving_since, coalesce(l.word::text, '') AS leaving_word,
    coalesce(l.waits_for, '') AS waits_for, coalesce(l.message, '') AS waits_message
FROM registry.farmers AS f
LEFT JOIN registry.leavings AS l ON l.owner_id = f.id AND f.status IN ('leaving', 'closing')
LEFT JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
LEFT JOIN harvest.balances AS b ON b.farmer_id = f.id
WHERE ($1::uuid IS NULL OR f.pooler_id = $1::uuid) AND ($2::uuid IS NULL OR f.id > $2::uuid)
    AND (
        $4::text = ''
        OR f.id IN (SELECT o.farmer_id FROM wallet.farmer_owners AS o WHERE o.owner_account = $4)
    )
ORDER BY f.id
LIMIT $3;

-- name: provisioning :many
SELECT id AS farmer_id, pooler_id
FROM registry.farmers
WHERE status = 'provisioning'
    -- After now: made before the clock was set back.
    AND (created_at < now() - make_interval(secs => $1::float8) OR created_at > now())
    AND ($2::uuid IS NULL OR id > $2::uuid)
ORDER BY id
LIMIT $3;

-- name: activate_farmer :exec
UPDATE registry.farmers
SET wallet_id = $2, custodial_public_key = $3, status = $4::registry.farmer_status
WHERE id = $1 AND status = ANY($5::registry.farmer_status[]);

-- name: set_farmer_status :one
UPDATE registry.farmers
SET status = $2::registry.farmer_status
WHERE id = $1 AND status = ANY($3::registry.farmer_status[])
RETURNING id;

-- name: update_farmer :exec
-- NULL leaves a column as it is.
UPDATE registry.farmers
SET stake_percentage = coalesce($2::int / 10000.0, stake_percentage),
    metadata = coalesce($3::jsonb, metadata),
    payout_wallet_address = coalesce($4, payout_wallet_address)
WHERE id = $1;

-- name: request :one
SELECT digest, subject_id FROM registry.requests WHERE request_id = $1 AND method = $2;

-- name: insert_request :one
INSERT INTO registry.requests (request_id, method, digest, subject_id)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING request_id;

-- name: owners_of_farmers :many
-- Whose farmers these are; '' for one that there is not.
SELECT DISTINCT coalesce(f.pooler_id::text, '') AS pooler_id
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN registry.farmers AS f ON f.id = asked.id;

-- name: accounts_of_farmers :many
-- Owner accounts of these farmers; '' for one that has none, or that there is not.
SELECT DISTINCT coalesce(o.owner_account, '') AS owner_account
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN wallet.farmer_owners AS o ON o.farmer_id = asked.id;

-- name: standings_of_poolers :one
-- What limits these poolers ($1).
SELECT coalesce(bool_or(NOT p.is_active), false) AS pooler_suspended
FROM registry.poolers AS p
WHERE p.id = ANY($1::uuid []);

-- name: standings_of_farmers :one
-- What limits these farmers ($1), or their poolers.
SELECT
    coalesce(bool_or(NOT p.is_active), false) AS pooler_suspended,
    coalesce(bool_or(f.status = 'suspended'), false) AS farmer_suspended,
    coalesce(bool_or(f.status IN ('leaving', 'closing')), false) AS farmer_leaving,
    coalesce(bool_or(f.status = 'departed'), false) AS farmer_departed,
    coalesce(bool_or(a.is_held_apart), false) AS signing_paused
FROM registry.farmers AS f
INNER JOIN registry.poolers AS p ON p.id = f.pooler_id
LEFT JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
WHERE f.id = ANY($1::uuid []);

-- name: insert_terms :one
-- The next version of a pooler's terms; the pooler's row is locked.
INSERT INTO registry.terms (
    pooler_id, version, stake_bps, pooler_bps, miners_bps, payout_threshold, payout_interval_seconds,
    harvest_blocks, text, digest, published_by
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING version;

-- name: terms :one
-- A version ($2; 0: the newest) of a pooler's terms.
SELECT pooler_id, version, stake_bps, pooler_bps, miners_bps, payout_threshold, payout_interval_seconds,
    harvest_blocks, text, digest, published_by, published_at
FROM registry.terms
WHERE pooler_id = $1 AND ($2::int = 0 OR version = $2)
ORDER BY version DESC
LIMIT 1;
