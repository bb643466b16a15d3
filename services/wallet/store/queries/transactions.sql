-- name: insert_transaction :exec
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING;

-- name: insert_transaction_operations :exec
INSERT INTO wallet.transaction_operations (transaction_id, position, operation_id)
SELECT $1, n.position, n.operation_id
FROM unnest($2::uuid[]) WITH ORDINALITY AS n (operation_id, position);

-- name: sign_operations :exec
UPDATE wallet.operations AS o
SET state = 'signed',
    transaction_id = $1,
    attempts = o.attempts + 1,
    stake_returned = n.stake_returned
FROM unnest($2::uuid[], $3::bigint[]) AS n (id, stake_returned)
WHERE o.id = n.id AND o.state = ANY($4::wallet.operation_state[]);

-- name: note_answer :exec
-- What a node said to the envelope; from now on it counts as sent.
WITH carrier AS (
    UPDATE wallet.transactions
    SET state = 'sent', resend_ledger = $2, last_answer = $3
    WHERE id = $1 AND state IN ('signed', 'sent')
    RETURNING id
)
UPDATE wallet.operations AS o
SET state = 'sent'
FROM carrier AS c
WHERE o.transaction_id = c.id AND o.state = 'signed';

-- name: replace_envelope :exec
-- The same inner transaction under a higher bid; $2 is the envelope that it replaces.
UPDATE wallet.transactions
SET envelope = $3, hash = $4, fee_bid = $5
WHERE id = $1 AND envelope = $2 AND state IN ('signed', 'sent');

-- name: open_transactions :many
SELECT
    t.id, t.state, t.source, t.sequence, t.lookup_hash, t.envelope, t.max_time, t.fee_bid,
    t.signed_ledger, t.resend_ledger, t.last_answer,
    o.id AS operation_id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.attempts
FROM wallet.transactions AS t
INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
INNER JOIN wallet.operations AS o ON c.operation_id = o.id
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE t.state IN ('signed', 'sent')
ORDER BY t.id, c.position;

-- name: close_transaction :exec
UPDATE wallet.transactions
SET state = $2::wallet.transaction_state,
    ledger = $3,
    fee_charged = $4,
    error = $5,
    closed_at = now()
WHERE id = $1 AND state = ANY($6::wallet.transaction_state[]);
