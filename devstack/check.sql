-- What the pool recorded, for the comparison with the chain (devstack/check.py).

-- name: farmers :many
SELECT id AS farmer_id, custodial_public_key AS address
FROM registry.farmers
WHERE custodial_public_key IS NOT NULL
ORDER BY id;

-- name: plantings :many
SELECT custodial_wallet AS address, block_index, stake_amount, ledger
FROM plant.plantings
WHERE status = 'success';

-- name: works :many
-- A farmer may work again with a better hash: the last one counts, as on the chain.
SELECT DISTINCT ON (custodial_wallet, block_index)
    custodial_wallet AS address, block_index, zeros, gap
FROM work.works
WHERE status = 'success'
ORDER BY custodial_wallet, block_index, zeros DESC;

-- name: harvests :many
SELECT custodial_wallet AS address, block_index, reward_amount, stake_returned
FROM harvest.harvests
WHERE status = 'success';

-- name: without_kale :one
-- Farmers whose KALE the pool has not seen yet.
SELECT count(*)::int AS farmers FROM wallet.farmer_accounts WHERE kale_stroops = 0;

-- name: balances :many
SELECT farmer_id, current_balance
FROM harvest.balances;
