-- name: bare_tables :exec
-- Tables of the same shape and indexes, without anything that checks or sums.
CREATE TABLE fill.journals (LIKE harvest.journals INCLUDING ALL);
CREATE TABLE fill.entries (LIKE harvest.entries INCLUDING ALL);

-- name: record_block :exec
-- Harvests of a block ($1) of $2 farmers.
INSERT INTO harvest.harvests
SELECT fill.uid(1000000 + $1::bigint * 3000 + n), $1::int, fill.uid(20000 + n), fill.uid(1),
    'G' || lpad(n::text, 55, 'A'), 20000000 + n, 10000000, md5(n::text) || md5('h' || n), $1 * 60,
    15000, 'success', '', '', now()
FROM generate_series(1, $2::int) AS g (n);

-- name: agreed_blocks :exec
-- Blocks up to $1, opened lately: harvests are divided by what was agreed then.
INSERT INTO chain.blocks (
    index, opened_ledger, opened_at, closes_at, entropy, min_gap, max_gap, min_zeros, max_zeros,
    min_stake, max_stake, staked_total, normalized_total, expires_ledger, updated_ledger
)
SELECT n, n, now(), now(), sha256(''), 0, 0, 0, 0, 0, 0, 0, 0, 0, n
FROM generate_series(0, $1::int) AS g (n)
ON CONFLICT DO NOTHING;

-- name: agreements :exec
-- Three agreements of every farmer, with fees: the newest has counted for a day.
INSERT INTO wallet.agreements (
    wallet_id, number, stake_bps, pooler_bps, operator_bps, miners_bps, payout_threshold,
    payout_interval_seconds, harvest_blocks, given_by, proof, terms_version, terms_digest,
    registered_at, effective_at
)
SELECT w.id, n, 5000, 500 + n, 100, 2000, 0, 0, 1, 'x', 'certificate', 1, sha256(''),
    now() - make_interval(days => 4 - n), now() - make_interval(days => 4 - n)
FROM wallet.wallets AS w
CROSS JOIN generate_series(1, 3) AS g (n)
WHERE w.kind = 'farmer'
ORDER BY w.id, n;

-- name: without_ledger :exec
ALTER TABLE harvest.harvests DISABLE TRIGGER trigger_harvests_ledger;

-- name: with_ledger :exec
ALTER TABLE harvest.harvests ENABLE TRIGGER trigger_harvests_ledger;

-- name: journals_of_block :many
SELECT id, kind::text, source_key, farmer_id, pooler_id, block_index, ledger, transaction_hash,
    happened_at
FROM harvest.journals
WHERE block_index = $1
ORDER BY id;

-- name: entries_of_block :many
SELECT e.journal_id, e.account_id, e.amount
FROM harvest.journals AS j
INNER JOIN harvest.entries AS e ON e.journal_id = j.id
WHERE j.block_index = $1
ORDER BY e.journal_id, e.account_id;

-- name: bare_journals :exec
INSERT INTO fill.journals (
    id, kind, source_key, farmer_id, pooler_id, block_index, ledger, transaction_hash, happened_at
)
SELECT id, kind::harvest.journal_kind, source_key, farmer_id, pooler_id, block_index, ledger,
    transaction_hash, happened_at
FROM unnest(
    $1::bigint[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::int[], $7::int[], $8::text[],
    $9::timestamptz[]
) AS n (
    id, kind, source_key, farmer_id, pooler_id, block_index, ledger, transaction_hash, happened_at
);

-- name: bare_entries :exec
INSERT INTO fill.entries SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::numeric[]);

-- name: fill_journals :exec
-- Journals $1 to $2 of $3 farmers, each with three entries, as harvests leave them.
INSERT INTO harvest.journals (
    id, kind, source_key, farmer_id, pooler_id, block_index, ledger, transaction_hash, happened_at
)
SELECT 1000000000 + n, 'harvest', 'fill ' || n, fill.uid(20000 + 1 + n % $3::int), fill.uid(1),
    100000 + n / $3::int, 1, '', now()
FROM generate_series($1::int, $2::int) AS g (n);

-- name: fill_entries :exec
INSERT INTO harvest.entries (journal_id, account_id, amount)
SELECT 1000000000 + n, a.id, x.amount
FROM generate_series($1::int, $2::int) AS g (n)
CROSS JOIN (
    VALUES ('farmer:available', 30), ('farmer:staked', -10), ('chain:mint', -20)
) AS x (role, amount)
INNER JOIN harvest.accounts AS a
    ON a.role::text = x.role AND a.asset = 'kale' AND a.owner_id = CASE
        WHEN x.role LIKE 'farmer:%' THEN fill.uid(20000 + 1 + n % $3::int)
        ELSE '00000000-0000-0000-0000-000000000000'
    END
ORDER BY 1, 2;

-- name: analyze :exec
ANALYZE harvest.entries, harvest.journals;
