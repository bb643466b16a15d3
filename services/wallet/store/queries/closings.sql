-- name: newest_closing :one
-- The operation that closed the account of a wallet ($1), or is to, or was to last.
SELECT o.id
FROM wallet.operations AS o
WHERE o.wallet_id = $1 AND o.kind = 'close_account'
ORDER BY o.id DESC
LIMIT 1;

-- name: busy_wallets :many
-- Which of these wallets ($1) have an operation under way other than their closing, or are the source of a
-- transaction that is in flight.
SELECT w.id
FROM wallet.wallets AS w
WHERE w.id = ANY($1::uuid[])
  AND (
      EXISTS (
          SELECT 1 FROM wallet.operations AS o
          WHERE o.wallet_id = w.id
            AND o.kind <> 'close_account'
            AND o.state NOT IN ('succeeded', 'failed', 'expired')
      )
      OR EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = w.address AND t.state IN ('signed', 'sent')
      )
  );

-- name: unharvested_blocks :many
-- The blocks from one ($2) on in which a wallet ($1) has planted and not harvested, by the records.
SELECT o.block_index
FROM wallet.operations AS o
WHERE o.wallet_id = $1
  AND o.kind = 'plant'
  AND o.state = 'succeeded'
  AND o.block_index >= $2
  AND NOT EXISTS (
      SELECT 1 FROM wallet.operations AS h
      WHERE h.wallet_id = o.wallet_id
        AND h.block_index = o.block_index
        AND h.kind = 'harvest'
        AND h.state = 'succeeded'
  )
ORDER BY o.block_index;

-- name: insert_closing :one
-- The operation ($1) that closes the account of a wallet ($2), with its authenticator ($3), unless one is under way
-- or has done it, or another operation of the wallet is under way.
INSERT INTO wallet.operations (id, kind, wallet_id, block_index, mac)
SELECT $1, 'close_account', $2, 0, $3
WHERE NOT EXISTS (
    SELECT 1 FROM wallet.operations AS o
    WHERE o.wallet_id = $2
      AND o.kind <> 'close_account'
      AND o.state NOT IN ('succeeded', 'failed', 'expired')
)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: unretired_closings :many
-- Wallets whose account is closed by what its row says, and whose key is not known as retired, $1 at most.
SELECT o.wallet_id, o.id AS operation_id
FROM wallet.operations AS o
WHERE o.kind = 'close_account'
  AND o.state = 'succeeded'
  AND NOT EXISTS (SELECT 1 FROM wallet.retired_keys AS r WHERE r.wallet_id = o.wallet_id)
ORDER BY o.wallet_id
LIMIT $1;

-- name: insert_retired_keys :exec
INSERT INTO wallet.retired_keys (wallet_id)
SELECT n.wallet_id FROM unnest($1::uuid[]) AS n (wallet_id)
ORDER BY n.wallet_id
ON CONFLICT DO NOTHING;

-- name: retired_keys :many
-- Keys that are there and have been retired for $1 seconds, from the one after $2 on (none: the first), $3 at most,
-- with the newest closing of each account.
SELECT r.wallet_id, w.address, c.operation_id
FROM wallet.retired_keys AS r
INNER JOIN wallet.wallets AS w ON w.id = r.wallet_id
LEFT JOIN LATERAL (
    SELECT o.id AS operation_id FROM wallet.operations AS o
    WHERE o.wallet_id = r.wallet_id AND o.kind = 'close_account'
    ORDER BY o.id DESC
    LIMIT 1
) AS c ON true
WHERE r.retired_at <= now() - make_interval(secs => $1::float8)
  AND ($2::uuid IS NULL OR r.wallet_id > $2)
  AND EXISTS (SELECT 1 FROM wallet.sealed_keys AS k WHERE k.wallet_id = r.wallet_id)
ORDER BY r.wallet_id
LIMIT $3;

-- name: destroy_key :one
SELECT wallet.destroy_key($1) AS destroyed;
