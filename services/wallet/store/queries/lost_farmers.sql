-- name: lost_farmers :many
-- Farmers' wallets ($1 at most) that were on the chain, and whose account or KALE line is gone by what was
-- last read: those that farm, may be signed for, were not closed, and were not brought onto the chain within 24 hours.
SELECT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
INNER JOIN registry.farmers AS f ON w.farmer_id = f.id
WHERE w.kind = 'farmer'
  AND w.status = 'ready'
  AND a.ledger > 0
  AND NOT (a.is_funded AND a.has_trustline)
  AND f.status = 'active'
  AND NOT wallet.is_paused(w.id, w.pooler_id)
  AND NOT EXISTS (
      SELECT 1 FROM wallet.operations AS c
      WHERE c.wallet_id = w.id AND c.kind = 'close_account' AND c.state NOT IN ('failed', 'expired')
  )
  AND NOT EXISTS (
      SELECT 1 FROM wallet.operations AS o
      WHERE o.wallet_id = w.id
        AND o.kind = 'onboard'
        AND (
            o.state NOT IN ('succeeded', 'failed', 'expired')
            OR o.created_at > now() - interval '24 hours'
        )
  )
ORDER BY w.id
LIMIT $1;

-- name: insert_returns :many
-- Operations ($1) that bring farmers ($2) back onto the chain, with their authenticators ($4); each is named
-- by the ledger ($3) at which the account or its line was gone. A farmer who is on the way gets no other.
WITH made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, mac)
    SELECT n.id, 'onboard', n.wallet_id, $3, n.mac
    FROM unnest($1::uuid[], $2::uuid[], $4::bytea[]) AS n (id, wallet_id, mac)
    WHERE NOT EXISTS (
        SELECT 1 FROM wallet.operations AS o
        WHERE o.wallet_id = n.wallet_id
          AND o.kind = 'onboard'
          AND o.state NOT IN ('succeeded', 'failed', 'expired')
    )
    ORDER BY n.id
    ON CONFLICT DO NOTHING
    RETURNING wallet_id
)
UPDATE wallet.wallets AS w
SET status = 'pending'
FROM made AS m
WHERE w.id = m.wallet_id AND w.status = 'ready'
RETURNING w.id;
