-- name: insert_batch :exec
INSERT INTO wallet.batches (request_id, kind, block_index, arguments_hash)
VALUES ($1, $2::wallet.operation_kind, $3, $4)
ON CONFLICT DO NOTHING;

-- name: batch_arguments :one
SELECT arguments_hash FROM wallet.batches WHERE request_id = $1;

-- name: insert_operations :exec
-- In the order of the wallets, so that two batches with the same farmers never wait crosswise.
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, amount, nonce, hash, zeros, mac
)
SELECT
    n.id, $1::wallet.operation_kind, n.wallet_id, $2, n.amount, n.nonce, n.hash, n.zeros, n.mac
FROM unnest(
    $3::uuid[], $4::uuid[], $5::bigint[], $6::text[]::numeric[], $7::bytea[], $8::smallint[],
    $9::bytea[]
) AS n (id, wallet_id, amount, nonce, hash, zeros, mac)
ORDER BY n.wallet_id, n.nonce
ON CONFLICT DO NOTHING;

-- name: live_operations :many
-- The operations that stand for what a batch wants: made for it, or before it.
SELECT o.id
FROM wallet.operations AS o
INNER JOIN unnest($3::uuid[], $4::text[]::numeric[]) AS n (wallet_id, nonce)
    ON o.wallet_id = n.wallet_id AND coalesce(o.nonce, -1) = coalesce(n.nonce, -1)
WHERE o.kind = $1::wallet.operation_kind
  AND o.block_index = $2
  AND o.state NOT IN ('failed', 'expired');

-- name: note_terms :exec
-- What operators allow and the network asks for, from now on.
INSERT INTO wallet.operator_terms AS t (mark) VALUES ($1)
ON CONFLICT (singleton) DO UPDATE SET mark = excluded.mark, since = now()
WHERE t.mark <> excluded.mark;

-- name: insert_refusals :exec
-- Operations ($1) that ended for something that somebody has to change, with what they would have
-- cost ($2, 0: not known).
INSERT INTO wallet.refusals (operation_id, mark, bid)
SELECT n.id, t.mark, nullif(n.bid, 0)
FROM wallet.operator_terms AS t
CROSS JOIN unnest($1::uuid[], $2::bigint[]) AS n (id, bid)
ON CONFLICT DO NOTHING;

-- name: refusals_of :many
-- The newest operation of each of these wishes, if it was refused under the terms that still hold and
-- nothing was found to have changed since; and how many seconds ago.
SELECT DISTINCT ON (o.wallet_id, o.nonce)
    o.id, o.wallet_id, o.nonce, o.reason, w.pooler_id, r.bid,
    extract(epoch FROM now() - o.settled_at)::float8 AS age
FROM unnest($3::uuid[], $4::text[]::numeric[]) AS n (wallet_id, nonce)
INNER JOIN wallet.operations AS o
    ON o.block_index = $2 AND o.wallet_id = n.wallet_id AND o.kind = $1::wallet.operation_kind
    AND coalesce(o.nonce, -1) = coalesce(n.nonce, -1)
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
INNER JOIN wallet.refusals AS r ON o.id = r.operation_id
INNER JOIN wallet.operator_terms AS t ON r.mark = t.mark
WHERE r.lifted_at IS NULL
  AND NOT EXISTS (
      SELECT 1 FROM wallet.operations AS l
      WHERE l.block_index = o.block_index AND l.wallet_id = o.wallet_id AND l.kind = o.kind
        AND coalesce(l.nonce, -1) = coalesce(o.nonce, -1)
        AND (l.state NOT IN ('failed', 'expired') OR l.id > o.id)
  )
ORDER BY o.wallet_id, o.nonce, o.id DESC;

-- name: lift_refusals :exec
UPDATE wallet.refusals SET lifted_at = now() WHERE operation_id = ANY($1::uuid[]);

-- name: insert_batch_operations :exec
INSERT INTO wallet.batch_operations (request_id, operation_id)
SELECT $1, operation_id FROM unnest($2::uuid[]) AS n (operation_id);

-- name: batch_operation_ids :many
SELECT operation_id FROM wallet.batch_operations WHERE request_id = $1;

-- name: settled_among :many
SELECT * FROM wallet.all_operations
WHERE operation_id = ANY($1::text::uuid[]) AND settled_at IS NOT NULL
ORDER BY settled_at, operation_id;

-- name: movements :many
-- Operations that ended, and withdrawals, payouts and payments from poolers' accounts that were asked for, after a
-- moment ($1) and an operation ($2), $3 at most, in the order of both.
WITH told AS (
    (
        SELECT o.id, o.settled_at AS at, false AS is_request
        FROM wallet.operations AS o
        WHERE o.settled_at IS NOT NULL AND (o.settled_at, o.id) > ($1::timestamptz, $2::uuid)
        ORDER BY o.settled_at, o.id
        LIMIT $3
    )
    UNION ALL
    (
        SELECT d.operation_id, d.requested_at, true
        FROM wallet.withdrawals AS d
        WHERE d.requested_at >= $1 AND (d.requested_at, d.operation_id) > ($1, $2)
        ORDER BY d.requested_at, d.operation_id
        LIMIT $3
    )
    UNION ALL
    (
        SELECT f.operation_id, f.requested_at, true
        FROM wallet.payouts AS f
        WHERE f.requested_at >= $1 AND (f.requested_at, f.operation_id) > ($1, $2)
        ORDER BY f.requested_at, f.operation_id
        LIMIT $3
    )
    UNION ALL
    (
        SELECT m.operation_id, m.requested_at, true
        FROM wallet.pool_payments AS m
        WHERE m.requested_at >= $1 AND (m.requested_at, m.operation_id) > ($1, $2)
        ORDER BY m.requested_at, m.operation_id
        LIMIT $3
    )
    ORDER BY 2, 1
    LIMIT $3
)
SELECT t.at, t.is_request, o.*, d.wallet_id, d.request_id, d.asset, d.amount AS withdrawn, d.destination,
    d.requested_at, d.mac AS withdrawal_mac, f AS payout, m AS pool_payment
FROM told AS t
-- Looked up one by one, whatever the statistics say.
CROSS JOIN LATERAL (
    SELECT a.* FROM wallet.all_operations AS a WHERE a.operation_id = t.id OFFSET 0
) AS o
LEFT JOIN wallet.withdrawals AS d ON d.operation_id = t.id
LEFT JOIN wallet.payouts AS f ON f.operation_id = t.id
LEFT JOIN wallet.pool_payments AS m ON m.operation_id = t.id
ORDER BY t.at, t.id;

-- name: operation :one
SELECT * FROM wallet.all_operations WHERE operation_id = $1;

-- name: list_operations :many
SELECT * FROM wallet.all_operations
WHERE ($1::uuid IS NULL OR farmer_id = $1)
  AND ($2::wallet.operation_state IS NULL OR state = $2)
  AND ($3::wallet.operation_kind IS NULL OR kind = $3)
  AND ($4::uuid IS NULL OR operation_id < $4)
ORDER BY operation_id DESC
LIMIT $5;

-- name: claim_operations :many
-- Takes up to $1 operations for $2 seconds: one per farmer whose account has nothing in flight (of
-- two that are taken up one after the other, only one is committed); plants before works before
-- harvests, the best work and the oldest harvest first; of each kind, the first of each pooler before
-- the second of any. A farmer's harvests come together, up to $7, as they may share a transaction; none of
-- them comes before $8 seconds have passed since the youngest was recorded. Of plants, those up to block
-- $4; of works, up to $5; of harvests, before $6; so what has to wait for its block is not looked at in
-- vain. What a pause forbids, or waits for a person (two envelopes without a proof), is taken up only when
-- its block is over, to be settled as that: nothing of it can be signed.
WITH due AS MATERIALIZED (
    SELECT
        o.id,
        o.kind,
        o.block_index,
        w.pooler_id,
        row_number() OVER farmer AS place,
        first_value(o.kind) OVER farmer AS first_kind,
        first_value(o.block_index) OVER farmer AS first_block,
        first_value(o.id) OVER farmer AS first_id,
        max(o.created_at) FILTER (WHERE o.kind = 'harvest') OVER (PARTITION BY o.wallet_id) AS harvests_since
    FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.state = 'queued'
      AND wallet.is_due(o.due_at)
      AND wallet.is_due_at(o.due_ledger, $3)
      AND (
          (o.kind = 'plant' AND o.block_index <= $4)
          OR (o.kind = 'work' AND o.block_index <= $5)
          OR (o.kind = 'harvest' AND o.block_index < $6)
      )
      AND (
          (o.unproven < 2 AND NOT wallet.is_paused(w.id, w.pooler_id))
          OR (o.kind IN ('plant', 'work') AND o.block_index < $5)
      )
      AND NOT EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = w.address AND t.state IN ('signed', 'sent')
      )
    WINDOW farmer AS (PARTITION BY o.wallet_id ORDER BY o.kind, o.block_index, o.zeros DESC, o.id)
),
candidates AS MATERIALIZED (
    SELECT
        d.id,
        d.kind,
        d.first_block,
        d.first_id,
        d.place,
        dense_rank() OVER (PARTITION BY d.pooler_id, d.kind ORDER BY d.first_block, d.first_id) AS turn
    FROM due AS d
    WHERE (d.place = 1 OR (d.first_kind = 'harvest' AND d.place <= $7))
      AND NOT (
          d.first_kind = 'harvest'
          AND d.harvests_since > now() - make_interval(secs => $8) AND d.harvests_since <= now()
      )
),
locked AS (
    SELECT o.id
    FROM wallet.operations AS o
    INNER JOIN candidates AS c ON o.id = c.id
    -- As text, so that each is looked up by its id: after months of settled operations PostgreSQL
    -- thinks that hardly any is queued, and would go through all of those for each candidate.
    WHERE o.state::text = 'queued' AND wallet.is_due(o.due_at)
    ORDER BY c.kind, c.turn, c.first_block, c.first_id, c.place
    LIMIT $1
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE wallet.operations AS o
SET due_at = now() + make_interval(secs => $2)
FROM locked AS l, wallet.wallets AS w
WHERE o.id = l.id AND w.id = o.wallet_id
RETURNING o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash,
    o.attempts, o.pack_limit, o.mac, w.kind AS wallet_kind, w.farmer_id, w.pooler_id,
    w.stake_bps, w.mac AS wallet_mac;

-- name: withdrawn_of :many
-- Withdrawals of KALE of these wallets ($1) that were asked for within an hour and have left, or may have, by
-- what their rows say: with their authenticators, and those of their ends, or of the payers' transactions
-- that carry them now and that a ledger may still take.
SELECT
    d.operation_id, d.wallet_id, d.request_id, d.asset, d.amount AS withdrawn, d.destination,
    d.requested_at, d.mac AS withdrawal_mac, o.kind, o.state, o.amount, o.stake_returned, o.gap, o.ledger,
    o.end_mac, t.id, t.source, t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent, t.mac,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids
FROM wallet.withdrawals AS d
INNER JOIN wallet.operations AS o ON d.operation_id = o.id
LEFT JOIN wallet.transactions AS t
    ON o.transaction_id = t.id AND t.state IN ('signed', 'sent')
    AND to_timestamp(t.max_time) > now() - interval '1 minute'
WHERE d.wallet_id = ANY($1::uuid[])
  AND d.asset = 'kale'
  AND d.requested_at > now() - interval '1 hour'
  AND (o.state = 'succeeded' OR (o.state IN ('signed', 'sent') AND t.id IS NOT NULL));

-- name: paid_out_of :many
-- Payouts of these wallets ($1) in the same way: with their rows, of which the whole counts.
SELECT
    f.operation_id, f.wallet_id, f.number, f.request_id, f.amount, f.destination, f.pooler, f.operator, f.miners,
    f.pooler_account, f.operator_account, f.requested_at, f.mac,
    o.kind, o.state, o.amount AS whole, o.stake_returned, o.gap, o.ledger, o.end_mac, t.id, t.source,
    t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent, t.mac AS transaction_mac,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids
FROM wallet.payouts AS f
INNER JOIN wallet.operations AS o ON f.operation_id = o.id
LEFT JOIN wallet.transactions AS t
    ON o.transaction_id = t.id AND t.state IN ('signed', 'sent')
    AND to_timestamp(t.max_time) > now() - interval '1 minute'
WHERE f.wallet_id = ANY($1::uuid[])
  AND f.requested_at > now() - interval '1 hour'
  AND (o.state = 'succeeded' OR (o.state IN ('signed', 'sent') AND t.id IS NOT NULL));

-- name: claim_for_treasury :many
-- Takes up to $1 operations of one kind ($5) for $2 seconds, unless the treasury ($4) has a
-- transaction in flight: the oldest of each pooler, then the second oldest of each.
WITH due AS MATERIALIZED (
    SELECT o.id, row_number() OVER (PARTITION BY w.pooler_id ORDER BY o.id) AS turn
    FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.state = 'queued'
      AND o.unproven < 2
      AND NOT wallet.is_paused(w.id, w.pooler_id)
      AND o.kind = $5::wallet.operation_kind
      AND wallet.is_due(o.due_at)
      AND wallet.is_due_at(o.due_ledger, $3)
      AND NOT EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = $4 AND t.state IN ('signed', 'sent')
      )
),
locked AS (
    SELECT o.id
    FROM wallet.operations AS o
    INNER JOIN due AS d ON o.id = d.id
    WHERE o.state = 'queued' AND wallet.is_due(o.due_at)
    ORDER BY d.turn, o.id
    LIMIT $1
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE wallet.operations AS o
SET due_at = now() + make_interval(secs => $2)
FROM locked AS l, wallet.wallets AS w
WHERE o.id = l.id AND w.id = o.wallet_id
RETURNING o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash,
    o.attempts, o.pack_limit, o.mac, w.kind AS wallet_kind, w.farmer_id, w.pooler_id,
    w.stake_bps, w.mac AS wallet_mac;

-- name: release_operations :exec
-- Gives back what was taken up and not used.
UPDATE wallet.operations SET due_at = now()
WHERE id = ANY($1::uuid[]) AND state = 'queued';

-- name: has_urgent :one
-- Whether plants up to block $1 or works up to block $2 are waiting or in flight: they go first. What
-- a pause holds back is not waited for.
SELECT EXISTS (
    SELECT 1 FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.state IN ('queued', 'signed', 'sent')
      AND ((o.kind = 'plant' AND o.block_index <= $1) OR (o.kind = 'work' AND o.block_index <= $2))
      AND (
          o.state <> 'queued'
          OR (o.unproven < 2 AND NOT wallet.is_paused(w.id, w.pooler_id))
      )
) AS urgent;

-- name: settle_operations :many
-- Operations with the transactions that carry them ($2; none for those in the queue), all by the
-- same event. What did not end yet has no authenticator of its end.
UPDATE wallet.operations AS o
SET state = $1::wallet.operation_state,
    amount = coalesce(n.amount, o.amount),
    stake_returned = CASE WHEN $1 = 'succeeded' THEN n.stake_returned ELSE o.stake_returned END,
    gap = coalesce(n.gap, o.gap),
    ledger = nullif(n.ledger, 0),
    fee_charged = least(o.fee_charged::numeric + n.fee, 9223372036854775807),
    reason = n.reason,
    error_message = n.message,
    transaction_id = CASE WHEN $1 = 'queued' THEN NULL ELSE o.transaction_id END,
    due_ledger = n.due_ledger,
    due_at = now() + make_interval(secs => n.pause),
    pack_limit = coalesce(n.pack_limit, o.pack_limit),
    unproven = least(o.unproven + n.is_unproven::int, 32767),
    settled_at = CASE WHEN $1 = 'queued' THEN NULL ELSE now() END,
    end_mac = n.end_mac
FROM unnest(
    $4::uuid[], $5::bigint[], $6::int[], $7::int[], $8::bigint[], $9::text[], $10::text[],
    $11::int[], $12::float8[], $13::smallint[], $14::boolean[], $2::uuid[], $15::bigint[],
    $16::bytea[]
) AS n (
    id, amount, gap, ledger, fee, reason, message, due_ledger, pause, pack_limit, is_unproven, carrier,
    stake_returned, end_mac
)
WHERE o.id = n.id
  AND o.transaction_id IS NOT DISTINCT FROM n.carrier
  AND o.state = ANY($3::wallet.operation_state[])
RETURNING o.id, o.kind, o.wallet_id, o.block_index, o.state, o.reason, o.ledger, o.fee_charged,
    o.transaction_id, o.unproven;

-- name: release_held :exec
-- What waits for a person ($1) may be signed for again.
UPDATE wallet.operations SET unproven = 0, due_at = now()
WHERE id = $1 AND state = 'queued' AND unproven >= 2;
