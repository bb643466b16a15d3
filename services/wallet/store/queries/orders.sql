-- Rows that wallet acts on, with their authenticators. They are walked through page by page: walk_... gives
-- the names of the $1 next rows from a place on, that place included, in the order of an index, and order_...
-- gives rows by their names, as far as wallet acts on them. They are signed anew when the key of rows was
-- replaced, or when an operator has looked at them. Moments that tell a place are texts: a walk goes on
-- beyond a row whose moment has no end.

-- name: order_wallets :many
SELECT id AS key, 0 AS number, id, kind, farmer_id, pooler_id, address, stake_bps, mac
FROM wallet.wallets
WHERE id = ANY($1::uuid[])
ORDER BY id;

-- name: order_operations :many
-- Those that may still be signed for, and payments, which may have to be made good.
SELECT id AS key, 0 AS number, id, kind, wallet_id, block_index, amount, nonce, hash, mac
FROM wallet.operations
WHERE id = ANY($1::uuid[])
  AND (
      state IN ('queued', 'signed', 'sent')
      OR kind IN ('withdraw', 'top_up', 'payout', 'pool_payment')
  )
ORDER BY id;

-- name: order_ends :many
-- How operations ended.
SELECT
    id AS key, 0 AS number, id AS operation_id, kind, wallet_id, block_index, state, amount, stake_returned,
    gap, ledger, end_mac AS mac
FROM wallet.operations
WHERE id = ANY($1::uuid[]) AND settled_at IS NOT NULL
ORDER BY id;

-- name: order_withdrawals :many
SELECT
    operation_id AS key, 0 AS number, operation_id, wallet_id, request_id, asset, amount, destination,
    requested_at, mac
FROM wallet.withdrawals
WHERE operation_id = ANY($1::uuid[])
ORDER BY operation_id;

-- name: order_payouts :many
SELECT
    operation_id AS key, 0 AS number, operation_id, wallet_id, number AS place, request_id, amount, destination,
    pooler, operator, miners, pooler_account, operator_account, requested_at, mac
FROM wallet.payouts
WHERE operation_id = ANY($1::uuid[])
ORDER BY operation_id;

-- name: order_pool_payments :many
SELECT
    operation_id AS key, 0 AS number, operation_id, wallet_id, number AS place, request_id, is_miner, amount,
    destination, requested_at, mac
FROM wallet.pool_payments
WHERE operation_id = ANY($1::uuid[])
ORDER BY operation_id;

-- name: order_fee_marks :many
SELECT
    wallet_id AS key, 0 AS number, wallet_id, until_block, blocks, pooler, operator, miners, until_number,
    paid_pooler, paid_operator, paid_miners, mac
FROM wallet.fee_marks
WHERE wallet_id = ANY($1::uuid[])
ORDER BY wallet_id;

-- name: order_openings :many
-- All of them are of one thing, which has no id.
SELECT n.key, b.block_index AS number, b.block_index, b.opened_at, b.mac
FROM unnest($1::uuid[], $2::bigint[]) AS n (key, number)
INNER JOIN wallet.block_openings AS b ON n.number = b.block_index
ORDER BY b.block_index;

-- name: order_harvests :many
-- Whose harvests were, and of which blocks, as far as wallet sealed that: the fees of their rewards go by it.
SELECT
    id AS key, 0 AS number, id, kind, wallet_id, block_index, 0::bigint AS amount, nonce, hash, mac
FROM wallet.operations
WHERE id = ANY($1::uuid[]) AND kind = 'harvest' AND settled_at IS NOT NULL AND mac IS NOT NULL
ORDER BY id;

-- name: order_payments :many
SELECT operation_id AS key, 0 AS number, operation_id, payer_id, mac
FROM wallet.payments
WHERE operation_id = ANY($1::uuid[])
ORDER BY operation_id;

-- name: order_data_entries :many
SELECT operation_id AS key, 0 AS number, operation_id, day, root, requested_at, mac
FROM wallet.data_entries
WHERE operation_id = ANY($1::uuid[])
ORDER BY operation_id;

-- name: order_addresses :many
SELECT
    a.wallet_id AS key, a.number, a.wallet_id, a.address, a.registered_at, a.effective_at, a.mac
FROM unnest($1::uuid[], $2::int[]) AS n (key, number)
INNER JOIN wallet.payout_addresses AS a ON n.key = a.wallet_id AND n.number = a.number
ORDER BY a.wallet_id, a.number;

-- name: order_agreements :many
SELECT
    a.wallet_id AS key, a.number, a.wallet_id, a.stake_bps, a.pooler_bps, a.operator_bps, a.miners_bps,
    a.payout_threshold, a.payout_interval_seconds, a.harvest_blocks, a.given_by, a.proof, a.terms_version,
    a.terms_digest, a.signature, a.registered_at, a.effective_at, a.mac
FROM unnest($1::uuid[], $2::int[]) AS n (key, number)
INNER JOIN wallet.agreements AS a ON n.key = a.wallet_id AND n.number = a.number
ORDER BY a.wallet_id, a.number;

-- name: order_owner_accounts :many
SELECT
    o.wallet_id AS key, o.number, o.wallet_id, o.address, o.registered_at, o.effective_at, o.mac
FROM unnest($1::uuid[], $2::int[]) AS n (key, number)
INNER JOIN wallet.owner_accounts AS o ON n.key = o.wallet_id AND n.number = o.number
ORDER BY o.wallet_id, o.number;

-- name: order_pooler_marks :many
SELECT
    m.pooler_id AS key, m.number, m.pooler_id, m.farms_for_itself, m.registered_at, m.effective_at, m.mac
FROM unnest($1::uuid[], $2::int[]) AS n (key, number)
INNER JOIN wallet.pooler_marks AS m ON n.key = m.pooler_id AND n.number = m.number
ORDER BY m.pooler_id, m.number;

-- name: order_shown_targets :many
SELECT s.payer_id AS key, s.target AS number, w.address, s.target, s.mac
FROM unnest($1::uuid[], $2::bigint[]) AS n (key, number)
INNER JOIN wallet.shown_targets AS s ON n.key = s.payer_id AND n.number = s.target
INNER JOIN wallet.wallets AS w ON s.payer_id = w.id
ORDER BY s.payer_id, s.target;

-- name: order_transactions :many
-- Those in flight, whose bids may be raised, and those of payers, whose numbers prove what was paid.
SELECT
    t.id AS key, 0 AS number, t.id, t.source, t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent,
    t.mac,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids
FROM wallet.transactions AS t
WHERE t.id = ANY($1::uuid[]) AND (t.bump_to IS NOT NULL OR t.state IN ('signed', 'sent'))
ORDER BY t.id;

-- name: order_tokens :many
SELECT
    t.id AS key, 0 AS number, t.id, t.role, t.subject, t.pooler_id, t.name, t.methods, t.is_read_only,
    t.secret_hash, t.created_by, t.created_at, t.expires_at, t.revoked_by, t.revoked_at, t.mac
FROM wallet.tokens AS t
WHERE t.id = ANY($1::uuid[])
ORDER BY t.id;

-- name: order_pauses :many
-- Those that have ended: one in force holds, whoever wrote it.
SELECT
    p.id AS key, 0 AS number, p.id, p.scope, p.target, p.reason, p.paused_by, p.paused_at, p.resumed_by,
    p.resumed_at, p.resume_mac AS mac
FROM wallet.pauses AS p
WHERE p.id = ANY($1::uuid[]) AND p.resumed_at IS NOT NULL
ORDER BY p.id;

-- name: order_approvals :many
SELECT
    a.id AS key, 0 AS number, a.id, a.method, a.digest, a.request, a.asked_by, a.asked_at, a.expires_at,
    a.approved_by, a.approved_at, a.used_at, a.mac
FROM wallet.approvals AS a
WHERE a.id = ANY($1::uuid[])
ORDER BY a.id;

-- name: walk_wallets :many
SELECT id AS key, 0 AS number FROM wallet.wallets WHERE id >= $2 ORDER BY id LIMIT $1;

-- name: walk_open_operations :many
-- What may still be signed for, by kind, block and id from $2, $3 and $4 on ($2 null: from the first kind on):
-- of these kinds ($5; null: of all), with ids below $6 (null: with any).
SELECT o.id AS key, 0 AS number, o.kind AS at_kind, o.block_index AS at_block
FROM wallet.operations AS o
WHERE o.state IN ('queued', 'signed', 'sent')
  AND (o.kind, o.block_index, o.id) >= (
      coalesce($2::wallet.operation_kind, enum_first(NULL::wallet.operation_kind)), $3::int, $4::uuid
  )
  AND ($5::wallet.operation_kind[] IS NULL OR o.kind = ANY($5))
  AND ($6::uuid IS NULL OR o.id < $6)
ORDER BY o.kind, o.block_index, o.id
LIMIT $1;

-- name: walk_operations :many
-- Payments that are not open any more.
SELECT o.id AS key, 0 AS number
FROM wallet.operations AS o
WHERE o.kind IN ('withdraw', 'top_up', 'payout', 'pool_payment')
  AND o.state NOT IN ('queued', 'signed', 'sent') AND o.id >= $2
ORDER BY o.id
LIMIT $1;

-- name: walk_ends :many
-- The ends of what was found done on the chain.
SELECT o.id AS key, 0 AS number
FROM wallet.operations AS o
WHERE o.is_found AND o.settled_at IS NOT NULL AND o.id >= $2
ORDER BY o.id
LIMIT $1;

-- name: walk_other_ends :many
-- All other ends.
SELECT o.id AS key, 0 AS number
FROM wallet.operations AS o
WHERE NOT o.is_found AND o.settled_at IS NOT NULL AND o.id >= $2
ORDER BY o.id
LIMIT $1;

-- name: walk_withdrawals :many
SELECT operation_id AS key, 0 AS number FROM wallet.withdrawals
WHERE operation_id >= $2
ORDER BY operation_id
LIMIT $1;

-- name: walk_ended_withdrawals :many
-- Withdrawals and payouts.
-- Those with ids below $4 that have ended within two days, by moment and id from $2 (null: two days ago) and $3
-- on: they waited for long, and count into the sums of a day.
WITH made AS (
    SELECT o.id, o.settled_at
    FROM wallet.operations AS o
    WHERE o.kind IN ('withdraw', 'payout') AND o.state NOT IN ('failed', 'expired')
      AND (o.settled_at, o.id) >= (coalesce($2::text::timestamptz, now() - interval '2 days'), $3::uuid)
      AND o.id < $4::uuid
    ORDER BY o.settled_at, o.id
    LIMIT $1
),
refused AS (
    SELECT o.id, o.settled_at
    FROM wallet.operations AS o
    WHERE o.kind IN ('withdraw', 'payout', 'pool_payment') AND o.state IN ('failed', 'expired')
      AND (o.settled_at, o.id) >= (coalesce($2::text::timestamptz, now() - interval '2 days'), $3::uuid)
      AND o.id < $4::uuid
    ORDER BY o.settled_at, o.id
    LIMIT $1
)
SELECT e.id AS key, 0 AS number, e.settled_at::text AS at_moment
FROM (SELECT * FROM made UNION ALL SELECT * FROM refused) AS e
ORDER BY e.settled_at, e.id
LIMIT $1;

-- name: walk_payouts :many
SELECT operation_id AS key, 0 AS number FROM wallet.payouts
WHERE operation_id >= $2
ORDER BY operation_id
LIMIT $1;

-- name: walk_pool_payments :many
SELECT operation_id AS key, 0 AS number FROM wallet.pool_payments
WHERE operation_id >= $2
ORDER BY operation_id
LIMIT $1;

-- name: walk_fee_marks :many
SELECT wallet_id AS key, 0 AS number FROM wallet.fee_marks WHERE wallet_id >= $2 ORDER BY wallet_id LIMIT $1;

-- name: walk_openings :many
-- By number alone, whatever id a walk begins with ($2).
SELECT '00000000-0000-0000-0000-000000000000'::uuid AS key, block_index AS number
FROM wallet.block_openings
WHERE block_index >= $3::bigint AND $2::uuid IS NOT NULL
ORDER BY block_index
LIMIT $1;

-- name: walk_late_openings :many
-- Those of the last 1,000 blocks, by number from $3 on: three days, and one more.
SELECT '00000000-0000-0000-0000-000000000000'::uuid AS key, b.block_index AS number
FROM wallet.block_openings AS b
WHERE b.block_index >= greatest(
    $3::bigint, (SELECT max(n.block_index) - 1000 FROM wallet.block_openings AS n)
) AND $2::uuid IS NOT NULL
ORDER BY b.block_index
LIMIT $1;

-- name: walk_harvests :many
SELECT o.id AS key, 0 AS number
FROM wallet.operations AS o
WHERE o.kind = 'harvest' AND o.settled_at IS NOT NULL AND o.mac IS NOT NULL AND o.id >= $2
ORDER BY o.id
LIMIT $1;

-- name: walk_payments :many
SELECT operation_id AS key, 0 AS number FROM wallet.payments
WHERE operation_id >= $2
ORDER BY operation_id
LIMIT $1;

-- name: walk_data_entries :many
SELECT operation_id AS key, 0 AS number FROM wallet.data_entries
WHERE operation_id >= $2
ORDER BY operation_id
LIMIT $1;

-- name: walk_addresses :many
-- One wallet may have any number of them.
SELECT wallet_id AS key, number FROM wallet.payout_addresses
WHERE (wallet_id, number) >= ($2::uuid, $3::int)
ORDER BY wallet_id, number
LIMIT $1;

-- name: walk_addresses_in_force :many
-- The address of each wallet that counts now, as wallet.payout_address finds it, and those after it, by wallet
-- and number from $2 and $3 on.
SELECT w.id AS key, a.number
FROM wallet.wallets AS w
CROSS JOIN LATERAL (
    SELECT b.number
    FROM wallet.payout_addresses AS b
    WHERE b.wallet_id = w.id
      AND (w.id > $2 OR b.number >= $3::int)
      AND b.number >= coalesce(
          (
              SELECT f.number
              FROM wallet.payout_addresses AS f
              WHERE f.wallet_id = w.id
                AND f.effective_at <= least(now(), (
                    SELECT n.registered_at FROM wallet.payout_addresses AS n
                    WHERE n.wallet_id = f.wallet_id AND n.number = f.number + 1
                ))
              ORDER BY f.number DESC
              LIMIT 1
          ),
          1
      )
    ORDER BY b.number
    LIMIT $1
) AS a
WHERE w.id >= $2
ORDER BY w.id, a.number
LIMIT $1;

-- name: walk_agreements :many
SELECT wallet_id AS key, number FROM wallet.agreements
WHERE (wallet_id, number) >= ($2::uuid, $3::int)
ORDER BY wallet_id, number
LIMIT $1;

-- name: walk_agreements_in_force :many
-- The agreement of each wallet that counts now, and those after it, by wallet and number from $2 and $3 on.
SELECT w.id AS key, a.number
FROM wallet.wallets AS w
CROSS JOIN LATERAL (
    SELECT b.number
    FROM wallet.agreements AS b
    WHERE b.wallet_id = w.id
      AND (w.id > $2 OR b.number >= $3::int)
      AND b.number >= coalesce(
          (
              SELECT f.number FROM wallet.agreements AS f
              WHERE f.wallet_id = w.id AND f.effective_at <= now()
              ORDER BY f.number DESC
              LIMIT 1
          ),
          1
      )
    ORDER BY b.number
    LIMIT $1
) AS a
WHERE w.id >= $2
ORDER BY w.id, a.number
LIMIT $1;

-- name: walk_owner_accounts :many
SELECT wallet_id AS key, number FROM wallet.owner_accounts
WHERE (wallet_id, number) >= ($2::uuid, $3::int)
ORDER BY wallet_id, number
LIMIT $1;

-- name: walk_pooler_marks :many
SELECT pooler_id AS key, number FROM wallet.pooler_marks
WHERE (pooler_id, number) >= ($2::uuid, $3::int)
ORDER BY pooler_id, number
LIMIT $1;

-- name: walk_shown_targets :many
SELECT payer_id AS key, target AS number FROM wallet.shown_targets
WHERE (payer_id, target) >= ($2::uuid, $3::bigint)
ORDER BY payer_id, target
LIMIT $1;

-- name: walk_last_shown_targets :many
-- The greatest target of each payer: what stands below it was paid by it.
SELECT w.id AS key, s.target AS number
FROM wallet.wallets AS w
CROSS JOIN LATERAL (
    SELECT g.target FROM wallet.shown_targets AS g
    WHERE g.payer_id = w.id
    ORDER BY g.target DESC
    LIMIT 1
) AS s
WHERE w.kind <> 'farmer' AND w.id >= $2
ORDER BY w.id
LIMIT $1;

-- name: walk_transactions :many
-- Those of payers that are not in flight any more.
SELECT t.id AS key, 0 AS number
FROM wallet.transactions AS t
WHERE t.bump_to IS NOT NULL AND t.state NOT IN ('signed', 'sent') AND t.id >= $2
ORDER BY t.id
LIMIT $1;

-- name: walk_open_transactions :many
-- Those in flight, by their sources, of which each has one at most.
SELECT t.id AS key, 0 AS number, t.source AS at_source
FROM wallet.transactions AS t
WHERE t.state IN ('signed', 'sent') AND t.source >= $2::text
ORDER BY t.source
LIMIT $1;

-- name: walk_tokens :many
SELECT id AS key, 0 AS number FROM wallet.tokens WHERE id >= $2 ORDER BY id LIMIT $1;

-- name: walk_tokens_in_force :many
-- Those that have not expired, by moment and id from $2 (null: now) and $3 on.
SELECT t.id AS key, 0 AS number, t.expires_at::text AS at_moment
FROM wallet.tokens AS t
WHERE (t.expires_at, t.id) >= (coalesce($2::text::timestamptz, now()), $3::uuid)
ORDER BY t.expires_at, t.id
LIMIT $1;

-- name: walk_pauses :many
SELECT p.id AS key, 0 AS number FROM wallet.pauses AS p
WHERE p.resumed_at IS NOT NULL AND p.id >= $2
ORDER BY p.id
LIMIT $1;

-- name: walk_late_pauses :many
-- Those that have ended within three days, by moment and id from $2 (null: three days ago) and $3 on.
SELECT p.id AS key, 0 AS number, p.resumed_at::text AS at_moment
FROM wallet.pauses AS p
WHERE (p.resumed_at, p.id) >= (coalesce($2::text::timestamptz, now() - interval '3 days'), $3::uuid)
ORDER BY p.resumed_at, p.id
LIMIT $1;

-- name: walk_approvals :many
SELECT id AS key, 0 AS number FROM wallet.approvals WHERE id >= $2 ORDER BY id LIMIT $1;

-- name: walk_open_approvals :many
-- Those that can still be approved or used, by moment and id from $2 (null: now) and $3 on.
SELECT a.id AS key, 0 AS number, a.expires_at::text AS at_moment
FROM wallet.approvals AS a
WHERE a.used_at IS NULL AND (a.expires_at, a.id) >= (coalesce($2::text::timestamptz, now()), $3::uuid)
ORDER BY a.expires_at, a.id
LIMIT $1;

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

-- name: sign_order_payouts :exec
UPDATE wallet.payouts AS t SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE t.operation_id = n.key AND t.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_pool_payments :exec
UPDATE wallet.pool_payments AS t SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE t.operation_id = n.key AND t.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_fee_marks :exec
UPDATE wallet.fee_marks AS t SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE t.wallet_id = n.key AND t.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_openings :exec
UPDATE wallet.block_openings AS b SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bigint[]) AS n (key, old, mac, number)
WHERE b.block_index = n.number AND b.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_harvests :exec
UPDATE wallet.operations AS t SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE t.id = n.key AND t.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_payments :exec
UPDATE wallet.payments AS p SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE p.operation_id = n.key AND p.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_data_entries :exec
UPDATE wallet.data_entries AS d SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE d.operation_id = n.key AND d.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_addresses :exec
UPDATE wallet.payout_addresses AS a SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::int[]) AS n (key, old, mac, number)
WHERE a.wallet_id = n.key AND a.number = n.number AND a.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_agreements :exec
UPDATE wallet.agreements AS a SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::int[]) AS n (key, old, mac, number)
WHERE a.wallet_id = n.key AND a.number = n.number AND a.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_owner_accounts :exec
UPDATE wallet.owner_accounts AS o SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::int[]) AS n (key, old, mac, number)
WHERE o.wallet_id = n.key AND o.number = n.number AND o.mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_pooler_marks :exec
UPDATE wallet.pooler_marks AS m SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::int[]) AS n (key, old, mac, number)
WHERE m.pooler_id = n.key AND m.number = n.number AND m.mac IS NOT DISTINCT FROM n.old;

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

-- name: sign_order_pauses :exec
UPDATE wallet.pauses AS p SET resume_mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE p.id = n.key AND p.resume_mac IS NOT DISTINCT FROM n.old;

-- name: sign_order_approvals :exec
UPDATE wallet.approvals AS a SET mac = n.mac
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (key, old, mac)
WHERE a.id = n.key AND a.mac IS NOT DISTINCT FROM n.old;
