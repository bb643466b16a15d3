-- What the pool recorded of payments, read with all rights (trials/payments.py).

-- name: payments_by_wallet :many
-- Payments that wallet has on record as made: from, to, stroops, and whether harvest asked for them.
SELECT m.source, m.destination, m.amount, o.kind <> 'withdraw' AS is_payout
FROM (
    SELECT w.operation_id, s.address AS source, w.destination, w.amount
    FROM wallet.withdrawals AS w
    INNER JOIN wallet.wallets AS s ON w.wallet_id = s.id
    WHERE w.asset = 'kale'
    UNION ALL
    SELECT p.operation_id, s.address, q.destination, q.amount
    FROM wallet.payouts AS p
    INNER JOIN wallet.wallets AS s ON p.wallet_id = s.id
    CROSS JOIN LATERAL (
        VALUES
        (p.destination, p.amount),
        (p.pooler_account, p.pooler + p.miners),
        (p.operator_account, p.operator)
    ) AS q (destination, amount)
    WHERE q.amount > 0
    UNION ALL
    SELECT p.operation_id, s.address, p.destination, p.amount
    FROM wallet.pool_payments AS p
    INNER JOIN wallet.wallets AS s ON p.wallet_id = s.id
) AS m
INNER JOIN wallet.operations AS o ON m.operation_id = o.id
WHERE o.state = 'succeeded';

-- name: payments_by_harvest :many
-- Payments of the payouts that harvest has on record as paid, by their runs: from, to, stroops.
SELECT i.run_id, m.source, m.destination, m.amount
FROM harvest.payout_items AS i
INNER JOIN wallet.wallets AS c ON i.pooler_id = c.pooler_id AND c.kind = 'pooler'
LEFT JOIN registry.farmers AS f ON i.kind = 'farmer' AND i.payee_id = f.id
LEFT JOIN wallet.payouts AS p ON i.operation_id = p.operation_id
CROSS JOIN LATERAL (
    VALUES
    (coalesce(f.custodial_public_key, c.address), i.address, i.amount),
    (f.custodial_public_key, c.address, i.pooler_fee),
    (f.custodial_public_key, p.operator_account, i.operator_fee)
) AS m (source, destination, amount)
WHERE i.state = 'paid' AND m.amount > 0;

-- name: pooler_accounts :many
-- Poolers' accounts, and what the ledger says that each holds.
SELECT w.pooler_id, w.address, coalesce(b.amount, 0) AS held
FROM wallet.wallets AS w
LEFT JOIN harvest.accounts AS a
    ON w.pooler_id = a.owner_id AND a.role = 'pooler:held' AND a.asset = 'kale'
LEFT JOIN harvest.account_balances AS b ON a.id = b.account_id
WHERE w.kind = 'pooler'
ORDER BY w.pooler_id;

-- name: count_open_payouts :one
-- Payouts of which nobody knows yet how they end.
SELECT count(*) AS open FROM harvest.payout_items WHERE state = 'open';

-- name: payouts_made :many
-- What became of payouts, by the cause of farmers' and by who else is paid, and stroops that reached them.
SELECT
    CASE WHEN i.kind = 'farmer' THEN i.cause::text ELSE i.kind::text END AS what,
    i.state::text AS state,
    i.reason,
    count(*) AS payouts,
    sum(i.amount + i.operator_fee) AS stroops
FROM harvest.payout_items AS i
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: farmers :many
-- All farmers that have accounts.
SELECT id AS farmer_id, custodial_public_key AS address
FROM registry.farmers
WHERE custodial_public_key IS NOT NULL
ORDER BY id;
