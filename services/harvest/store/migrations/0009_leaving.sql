-- Farmers and poolers that leave are paid whatever their terms; registry sees what is left of them.
ALTER TYPE harvest.payout_cause ADD VALUE 'leaving';

-- What is left of farmers, and of poolers themselves: while there is any of it, nobody has left. Rows of nothing
-- are among it.
CREATE VIEW harvest.leftovers AS
SELECT a.owner_id, a.role::text AS what, b.amount
FROM harvest.accounts AS a
INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
WHERE a.asset = 'kale' AND a.role IN ('farmer:available', 'farmer:pending_out', 'pooler:fee', 'miner:earned')
UNION ALL
SELECT m.pooler_id, 'miners', b.amount
FROM harvest.miners AS m
INNER JOIN harvest.accounts AS a ON a.owner_id = m.id AND a.role = 'miner:earned' AND a.asset = 'kale'
INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
UNION ALL
SELECT c.farmer_id, 'fees', c.pooler + c.miners + c.operator
FROM harvest.fee_claims AS c
UNION ALL
SELECT i.payee_id, 'payouts', 1
FROM harvest.payout_items AS i
WHERE i.state = 'open'
UNION ALL
SELECT p.farmer_id, 'unharvested', 1
FROM harvest.pending AS p
UNION ALL
SELECT f.pooler_id, 'funds', f.pooler_in + f.miners_in - f.pooler_out - f.miners_out
FROM harvest.pooler_funds AS f;
GRANT SELECT ON harvest.leftovers TO kalepool_registry;
