-- Whose signing is paused is told to plant, which leaves them out of its batches.

CREATE OR REPLACE VIEW wallet.farmer_accounts AS
SELECT
    w.farmer_id,
    w.pooler_id,
    w.id AS wallet_id,
    w.address,
    a.is_funded,
    a.has_trustline,
    a.kale_stroops,
    a.xlm_stroops,
    a.ledger,
    a.refreshed_at,
    -- As wallet.is_paused, which its readers may not ask: pauses are wallet's own.
    EXISTS (
        SELECT 1 FROM wallet.pauses AS p
        WHERE p.resumed_at IS NULL
          AND (
              p.scope = 'everything'
              OR (p.scope = 'pooler' AND p.target = w.pooler_id)
              OR (p.scope = 'wallet' AND p.target = w.id)
          )
    ) AS is_paused
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
WHERE w.kind = 'farmer';
