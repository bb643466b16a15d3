-- Agreements, owner accounts, and poolers that farm for themselves.

-- name: agreements_of_wallets :many
-- The newest 1,000 agreements of each of these wallets, in the order of their numbers.
SELECT
    a.wallet_id, a.number, a.stake_bps, a.pooler_bps, a.operator_bps, a.miners_bps, a.payout_threshold,
    a.payout_interval_seconds, a.harvest_blocks, a.given_by, a.proof, a.terms_version, a.terms_digest,
    a.signature, a.registered_at, a.effective_at, a.mac,
    a.registered_at > now() - interval '1 day' AS is_late
FROM (SELECT DISTINCT u.id FROM unnest($1::uuid []) AS u (id)) AS w
CROSS JOIN LATERAL (
    SELECT * FROM wallet.agreements AS n
    WHERE n.wallet_id = w.id
    ORDER BY n.number DESC
    LIMIT 1000
) AS a
ORDER BY a.wallet_id, a.number;

-- name: recorded_versions :many
-- The number of the newest row of each of these things ($2: their subjects) by the audit log's records of an
-- action ($1), as text: the newest row has to have it. Whoever deletes that row would have an older one
-- count.
SELECT s.subject, split_part(r.details, ' ', 1) AS number
FROM unnest($2::text []) AS s (subject)
CROSS JOIN LATERAL (
    SELECT a.details FROM wallet.audit_log AS a
    WHERE a.action = $1
      AND a.action IN ('set_agreement', 'set_owner_account', 'mark_pooler')
      AND a.subject = s.subject
    ORDER BY a.number DESC
    LIMIT 1
) AS r;

-- name: version_moment :one
-- The moment of the next row of something, whose newest row is of $1 (null: there is none): when its lock
-- was got, and never before that. And the moment from which on a block is the next one: after the opening
-- of the last one that was seen, whatever the chain's clock, but for one that is an hour ahead.
SELECT
    m.moment,
    least(
        m.moment + interval '1 hour',
        greatest(m.moment, (SELECT max(b.opened_at) + interval '1 microsecond' FROM chain.blocks AS b))
    ) AS next_block
FROM (SELECT greatest(clock_timestamp(), $1::timestamptz) AS moment) AS m;

-- name: insert_agreement :exec
INSERT INTO wallet.agreements (
    wallet_id, number, stake_bps, pooler_bps, operator_bps, miners_bps, payout_threshold,
    payout_interval_seconds, harvest_blocks, given_by, proof, terms_version, terms_digest, signature,
    registered_at, effective_at, mac
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: owner_accounts :many
-- The newest 1,000 owner accounts of a wallet; late are those that were registered within $2 seconds.
WITH newest AS (
    SELECT * FROM wallet.owner_accounts WHERE wallet_id = $1 ORDER BY number DESC LIMIT 1000
),
{which_counts};

-- name: insert_owner_account :exec
INSERT INTO wallet.owner_accounts (wallet_id, number, address, registered_at, effective_at, mac)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: pooler_marks :many
-- The newest 1,000 marks of a pooler, in the order of their numbers.
SELECT m.pooler_id, m.number, m.farms_for_itself, m.registered_at, m.effective_at, m.mac
FROM (
    SELECT * FROM wallet.pooler_marks AS n WHERE n.pooler_id = $1 ORDER BY n.number DESC LIMIT 1000
) AS m
ORDER BY m.number;

-- name: insert_pooler_mark :exec
INSERT INTO wallet.pooler_marks (pooler_id, number, farms_for_itself, registered_at, effective_at, mac)
VALUES ($1, $2, $3, $4, $4, $5);

-- name: newest_leave_wish :one
SELECT w.number, w.signature FROM wallet.leave_wishes AS w WHERE w.wallet_id = $1 ORDER BY w.number DESC LIMIT 1;

-- name: insert_leave_wish :exec
INSERT INTO wallet.leave_wishes (wallet_id, number, farmer_id, signature) VALUES ($1, $2, $3, $4);
