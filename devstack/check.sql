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
-- Fees are taken off in current_balance alone.
SELECT farmer_id, total_rewards
FROM harvest.balances;

-- name: held :many
-- What the ledger says that each farmer's account holds; what came to it from outside, less what left; and what
-- was moved from it into its pooler's account.
SELECT
    f.id AS farmer_id,
    coalesce(h.amount, 0) AS held,
    coalesce(-sum(e.amount) FILTER (WHERE a.role = 'chain:out'), 0) AS from_outside,
    coalesce(-sum(e.amount) FILTER (WHERE a.role = 'chain:moved'), 0) AS collected
FROM registry.farmers AS f
LEFT JOIN harvest.holdings AS h ON f.id = h.farmer_id
LEFT JOIN harvest.journals AS j ON f.id = j.farmer_id
LEFT JOIN harvest.entries AS e ON j.id = e.journal_id
LEFT JOIN harvest.accounts AS a
    ON e.account_id = a.id AND a.role IN ('chain:out', 'chain:moved') AND a.asset = 'kale'
GROUP BY f.id, h.amount
ORDER BY f.id;

-- name: ledger :many
-- What the accounts of the ledger have together, in stroops of KALE, by what they are for.
SELECT a.role::text AS role, sum(b.amount) AS amount
FROM harvest.accounts AS a
INNER JOIN harvest.account_balances AS b ON a.id = b.account_id
WHERE a.asset = 'kale'
GROUP BY a.role;

-- name: odd_sums :many
-- Sums that are kept for reports and are not those of the records, read at one moment.
SELECT s.what, coalesce(s.kept, 0)::text AS kept, coalesce(s.told, 0)::text AS told
FROM (
    VALUES
    (
        'farmers who planted',
        (SELECT sum(planted)::numeric FROM plant.block_sums),
        (SELECT count(*)::numeric FROM plant.plantings WHERE status = 'success')
    ),
    (
        'stroops planted',
        (SELECT sum(staked) FROM plant.block_sums),
        (SELECT sum(stake_amount) FROM plant.plantings WHERE status = 'success')
    ),
    (
        'farmers who worked',
        (SELECT sum(worked)::numeric FROM work.block_sums),
        (
            SELECT count(DISTINCT (block_index, farmer_id))::numeric FROM work.works
            WHERE status = 'success'
        )
    ),
    (
        'farmers who were paid',
        (SELECT sum(harvested)::numeric FROM harvest.block_sums),
        (SELECT count(*)::numeric FROM harvest.harvests WHERE status = 'success')
    ),
    (
        'stroops paid, by block',
        (SELECT sum(rewards) FROM harvest.block_sums),
        (SELECT sum(reward_amount) FROM harvest.harvests WHERE status = 'success')
    ),
    (
        'farmers who planted, by hours of blocks',
        (SELECT sum(planted)::numeric FROM plant.span_sums WHERE blocks = 12),
        (SELECT count(*)::numeric FROM plant.plantings WHERE status = 'success')
    ),
    (
        'farmers by zeros, by days of blocks',
        (
            SELECT sum(u.farmers)::numeric
            FROM work.span_sums AS s
            CROSS JOIN LATERAL unnest(s.farmers_by_zeros) AS u (farmers)
            WHERE s.blocks = 288
        ),
        (
            SELECT count(DISTINCT (block_index, farmer_id))::numeric FROM work.works
            WHERE status = 'success'
        )
    ),
    (
        'stroops paid, by days of blocks',
        (SELECT sum(rewards) FROM harvest.span_sums WHERE blocks = 288),
        (SELECT sum(reward_amount) FROM harvest.harvests WHERE status = 'success')
    ),
    (
        'stroops paid to poolers'' farmers, by hour',
        (SELECT sum(rewards) FROM harvest.pooler_earnings WHERE span = 'hour'),
        (SELECT sum(reward_amount) FROM harvest.harvests WHERE status = 'success')
    ),
    (
        'stroops paid to farmers, by day',
        (SELECT sum(rewards) FROM harvest.farmer_earnings WHERE span = 'day'),
        (SELECT sum(reward_amount) FROM harvest.harvests WHERE status = 'success')
    ),
    (
        'stroops that the network was paid',
        (SELECT sum(stroops) FROM wallet.fee_sums WHERE span = 'all'),
        (SELECT sum(fee_charged) FROM wallet.transactions)
    )
) AS s (what, kept, told)
WHERE coalesce(s.kept, 0) <> coalesce(s.told, 0);
