-- name: lock_signable :many
-- Those of the operations ($1) in one of these states ($2) that may be signed for, and now are nobody
-- else's to sign, with the payer that a payment belongs to, whose budget pays for them, and by which
-- authenticators wallet knows whose they are. A withdrawal, or a payout, to an address that counts no more may
-- not, nor may a payment to a pooler's.
SELECT o.id, o.kind, w.pooler_id, p.payer_id, w.farmer_id, o.wallet_id, w.address, o.block_index, o.amount,
    o.nonce, o.hash, o.mac, w.kind AS wallet_kind, w.stake_bps, w.mac AS wallet_mac
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
LEFT JOIN wallet.payments AS p ON o.id = p.operation_id
WHERE o.id = ANY($1::uuid[])
  AND o.state = ANY($2::wallet.operation_state[])
  AND NOT wallet.is_paused(w.id, w.pooler_id)
  AND (o.kind <> 'withdraw' OR EXISTS (
      SELECT 1 FROM wallet.withdrawals AS d
      WHERE d.operation_id = o.id
        AND d.destination = wallet.payout_address(w.id, d.requested_at)
  ))
  AND (o.kind <> 'payout' OR EXISTS (
      SELECT 1 FROM wallet.payouts AS d
      WHERE d.operation_id = o.id
        AND (d.amount = 0 OR d.destination = wallet.payout_address(w.id, d.requested_at))
  ))
  AND (o.kind <> 'pool_payment' OR EXISTS (
      SELECT 1 FROM wallet.pool_payments AS d
      WHERE d.operation_id = o.id
        AND (d.is_miner OR d.destination = wallet.payout_address(w.id, d.requested_at))
  ))
ORDER BY o.id
FOR UPDATE OF o SKIP LOCKED;

-- name: insert_transactions :many
-- Envelopes whose source has nothing in flight; the others are not recorded. If a crash hides the
-- sending, they are sent again two ledgers later.
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, ledger_share, bump_to,
    signed_ledger, resend_ledger, is_rent, mac
)
SELECT n.id, n.source, n.sequence, n.hash, n.lookup_hash, n.envelope, n.max_time, n.fee_bid,
    n.ledger_share, n.bump_to, $11, $11 + 2, n.is_rent, n.mac
FROM unnest(
    $1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::bigint[], $9::int[], $10::bigint[], $12::boolean[], $13::bytea[]
) AS n (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, ledger_share, bump_to,
    is_rent, mac
)
ORDER BY n.source
ON CONFLICT DO NOTHING
RETURNING id;

-- name: sign_operations :exec
-- Operations ($3) at their places ($2) in the transactions ($1) that carry them from now on.
WITH carried AS (
    SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::bigint[])
        AS n (transaction_id, position, operation_id, stake_returned)
),
places AS (
    INSERT INTO wallet.transaction_operations (
        transaction_id, position, operation_id, stake_returned
    )
    SELECT transaction_id, position, operation_id, stake_returned FROM carried
)
UPDATE wallet.operations AS o
SET state = 'signed',
    transaction_id = n.transaction_id,
    attempts = least(o.attempts + 1, 32767),
    stake_returned = n.stake_returned
FROM carried AS n
WHERE o.id = n.operation_id;

-- name: note_answers :exec
-- What nodes said to envelopes; from now on they count as sent.
WITH locked AS MATERIALIZED (
    SELECT id FROM wallet.transactions
    WHERE id = ANY($1::uuid[]) AND state IN ('signed', 'sent')
    ORDER BY id
    FOR UPDATE
),
carriers AS (
    UPDATE wallet.transactions AS t
    SET state = 'sent', resend_ledger = n.resend_ledger, last_answer = n.answer
    FROM unnest($1::uuid[], $2::int[], $3::text[]) AS n (id, resend_ledger, answer)
    INNER JOIN locked AS l ON n.id = l.id
    WHERE t.id = n.id
    RETURNING t.id
)
UPDATE wallet.operations AS o
SET state = 'sent'
FROM carriers AS c
WHERE o.transaction_id = c.id AND o.state = 'signed';

-- name: queue :one
-- Millionths of a ledger that everything in flight takes, and whether nothing waits to be signed.
SELECT
    coalesce(sum(ledger_share), 0)::bigint AS share,
    NOT EXISTS (
        SELECT 1 FROM wallet.operations
        WHERE state = 'queued' AND kind IN ('plant', 'work', 'harvest')
    ) AS is_empty
FROM wallet.transactions WHERE state IN ('signed', 'sent');

-- name: is_busy :one
SELECT EXISTS (
    SELECT 1 FROM wallet.transactions WHERE source = $1 AND state IN ('signed', 'sent')
) AS busy;

-- name: backlog :one
SELECT
    (SELECT count(*)::int FROM wallet.operations WHERE state = 'queued') AS queued,
    (
        SELECT count(*)::int FROM wallet.operations WHERE state = 'queued' AND unproven >= 2
    ) AS held,
    count(*)::int AS open,
    coalesce(sum(ledger_share), 0)::bigint AS share
FROM wallet.transactions WHERE state IN ('signed', 'sent');

-- name: overdue_transactions :many
-- Those in flight that were signed at ledger $1 or before, without those that are known ($2). A ledger
-- far ahead was a node's invention: what was signed then is followed, too.
SELECT id, least(signed_ledger, $1) AS signed_ledger
FROM wallet.transactions
WHERE state IN ('signed', 'sent')
  AND (signed_ledger <= $1 OR signed_ledger > $1 + 100)
  AND id <> ALL($2::uuid[]);

-- name: last_sequences :many
-- The newest sequence number that a ledger after $2 is known to have taken, of sources that have one.
-- Nodes are not that many ledgers apart: what is further ahead was a lie.
SELECT DISTINCT ON (source) source, sequence
FROM wallet.transactions
WHERE ledger > $2 AND ledger <= $2 + 64 AND source = ANY($1::text[])
ORDER BY source, sequence DESC;

-- name: replace_envelope :exec
-- The same inner transaction under a higher bid; $2 is the envelope that it replaces.
UPDATE wallet.transactions
SET envelope = $3, hash = $4, fee_bid = $5
WHERE id = $1 AND envelope = $2 AND state IN ('signed', 'sent');

-- name: open_transactions :many
-- Those of these ($1) that are in flight.
SELECT
    t.id, t.state, t.source, t.sequence, t.hash, t.lookup_hash, t.envelope, t.max_time, t.fee_bid,
    t.signed_ledger, t.resend_ledger, t.last_answer, t.bump_to, t.is_rent, t.mac,
    o.id AS operation_id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.zeros,
    o.attempts, c.stake_returned,
    coalesce((f.pooler + f.miners > 0)::int + (f.operator > 0)::int, 0) AS fees,
    coalesce((f.amount > 0)::int + (f.pooler + f.miners > 0)::int + (f.operator > 0)::int, 1) AS payments
FROM wallet.transactions AS t
LEFT JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
LEFT JOIN wallet.operations AS o ON c.operation_id = o.id
LEFT JOIN wallet.wallets AS w ON o.wallet_id = w.id
LEFT JOIN wallet.payouts AS f ON o.id = f.operation_id
WHERE t.state IN ('signed', 'sent') AND t.id = ANY($1::uuid[])
ORDER BY t.id, c.position;

-- name: grown :many
-- What was planted and worked for the harvests ($1), as recorded.
SELECT DISTINCT ON (h.id) h.id, p.amount AS stake, w.gap, w.zeros
FROM wallet.operations AS h
INNER JOIN wallet.operations AS p
    ON h.wallet_id = p.wallet_id AND h.block_index = p.block_index AND p.kind = 'plant'
    AND p.state = 'succeeded'
INNER JOIN wallet.operations AS w
    ON h.wallet_id = w.wallet_id AND h.block_index = w.block_index AND w.kind = 'work'
    AND w.state = 'succeeded'
WHERE h.id = ANY($1::uuid[])
ORDER BY h.id, w.zeros DESC;

-- name: close_transactions :many
-- By one event; those that were closed before stay as they are. Locked in one order, so that two
-- processes that found out the same never wait crosswise.
WITH locked AS MATERIALIZED (
    SELECT id FROM wallet.transactions
    WHERE id = ANY($3::uuid[]) AND state = ANY($2::wallet.transaction_state[])
    ORDER BY id
    FOR UPDATE
)
UPDATE wallet.transactions AS t
SET state = $1::wallet.transaction_state,
    ledger = nullif(n.ledger, 0),
    fee_charged = n.fee,
    error = n.error,
    closed_at = now()
FROM unnest($3::uuid[], $4::int[], $5::bigint[], $6::text[]) AS n (id, ledger, fee, error)
INNER JOIN locked AS l ON n.id = l.id
WHERE t.id = n.id
RETURNING t.id, t.is_rent;
