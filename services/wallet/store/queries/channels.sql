-- name: lock_pool_accounts :one
-- One process at a time adds accounts of the pool; they are counted in a statement of its own, after
-- this one.
INSERT INTO wallet.turns (name) VALUES ('pool accounts')
ON CONFLICT (name) DO UPDATE SET taken_at = now()
RETURNING name;

-- name: count_pool_accounts :one
SELECT count(*)::int AS made FROM wallet.wallets WHERE kind = $1::wallet.wallet_kind;

-- name: insert_pool_account :one
-- A channel or a payer ($8) with the operation ($9) that opens it, and the authenticators of both ($10,
-- $11).
WITH made AS (
    INSERT INTO wallet.wallets (id, kind, address, mac)
    VALUES ($1, $8::wallet.wallet_kind, $2, $10)
    RETURNING id
),
sealed AS (
    INSERT INTO wallet.sealed_keys (wallet_id, kek_id, wrapped_data_key, nonce, sealed_seed)
    SELECT id, $3, $4, $5, $6 FROM made
),
account AS (
    INSERT INTO wallet.accounts (wallet_id) SELECT id FROM made
)
INSERT INTO wallet.operations (id, kind, wallet_id, block_index, mac)
SELECT $7, $9::wallet.operation_kind, id, 0, $11 FROM made
RETURNING id;

-- name: lease_channels :many
-- Up to $1 channels for $2 seconds: on the chain, with XLM beyond their reserve, nothing in flight.
WITH free AS (
    SELECT w.id
    FROM wallet.wallets AS w
    INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
    WHERE w.kind = 'channel'
      AND w.status = 'ready'
      AND wallet.is_due(w.leased_until)
      AND a.xlm_stroops > 15000000
      AND NOT EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = w.address AND t.state IN ('signed', 'sent')
      )
    ORDER BY w.id
    LIMIT $1
    FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE wallet.wallets AS w
SET leased_until = now() + make_interval(secs => $2)
FROM free AS f
WHERE w.id = f.id
RETURNING w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac, w.leased_until;

-- name: return_channels :exec
-- Leases that are over: one whose envelope is committed has that in flight. Nobody else's lease is
-- touched, should this one have run out ($2 is its end).
UPDATE wallet.wallets AS w
SET leased_until = '-infinity'
FROM unnest($1::uuid[], $2::timestamptz[]) AS n (id, leased_until)
WHERE w.id = n.id AND w.leased_until = n.leased_until;

-- name: channel_totals :one
SELECT
    count(*)::int AS made,
    (count(*) FILTER (WHERE w.status = 'ready'))::int AS ready,
    (count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM wallet.transactions AS t
        WHERE t.source = w.address AND t.state IN ('signed', 'sent')
    )))::int AS busy,
    (count(*) FILTER (WHERE w.status = 'ready' AND a.xlm_stroops < $1))::int AS low,
    least(coalesce(sum(a.xlm_stroops), 0), 9223372036854775807)::bigint AS xlm
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
WHERE w.kind = 'channel';

-- name: poor_channels :many
-- Channels below $1 stroops for which no top-up is on its way, the poorest $2 of them, as far as these
-- rows tell: what an account has is read on the chain before it is paid anything.
SELECT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
WHERE w.kind = 'channel'
  AND w.status = 'ready'
  AND a.xlm_stroops < $1
  AND NOT EXISTS (
      SELECT 1 FROM wallet.operations AS o
      WHERE o.wallet_id = w.id
        AND o.kind = 'top_up'
        AND (
            o.state IN ('queued', 'signed', 'sent')
            -- What was sent is not in the account row before the account was read again.
            OR (o.state = 'succeeded' AND o.ledger >= a.ledger)
        )
  )
ORDER BY a.xlm_stroops, w.id
LIMIT $2;

-- name: topped_up_lately :one
-- Stroops of the top-ups that were asked for within 24 hours, by the audit log: rows of operations can
-- be changed while they are open.
SELECT least(
    coalesce(sum(substring(a.details FROM '^([0-9]{1,18}) stroops of XLM, ')::bigint), 0),
    9223372036854775807
)::bigint AS stroops
FROM wallet.audit_log AS a
WHERE a.action = 'top_up' AND a.at > now() - interval '24 hours';

-- name: insert_top_ups :many
-- Top-ups ($1) of channels ($2) of $4 stroops each, with their authenticators ($5); each is named by the
-- ledger ($3) that it was seen to be needed at. None for a channel that has got one since.
INSERT INTO wallet.operations (id, kind, wallet_id, block_index, amount, mac)
SELECT n.id, 'top_up', n.wallet_id, $3, $4, n.mac
FROM unnest($1::uuid[], $2::uuid[], $5::bytea[]) AS n (id, wallet_id, mac)
WHERE NOT EXISTS (
    SELECT 1 FROM wallet.operations AS o
    WHERE o.wallet_id = n.wallet_id
      AND o.kind = 'top_up'
      AND (
          o.state IN ('queued', 'signed', 'sent')
          OR (o.state = 'succeeded' AND o.ledger >= $3)
      )
)
ORDER BY n.id
ON CONFLICT DO NOTHING
RETURNING id, wallet_id;
