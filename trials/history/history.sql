-- name: prepare :exec
-- Names that follow one another in time, as UUIDv7 do.
CREATE SCHEMA fill;
CREATE FUNCTION fill.uid(number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (
        lpad(to_hex(number >> 8), 12, '0') || '70008' || lpad(to_hex(number & 255), 3, '0')
        || substr(md5(number::text), 1, 12)
    )::uuid
$$;

-- name: indexes :many
-- Those that no constraint needs: a filled table is indexed faster than an indexed one is filled.
SELECT format('%I.%I', n.nspname, c.relname) AS name,
    replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ') AS definition
FROM pg_index AS i
INNER JOIN pg_class AS c ON c.oid = i.indexrelid
INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('wallet', 'plant', 'work', 'harvest')
    AND NOT c.relispartition
    AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = c.oid)
ORDER BY c.oid;

-- name: farmers :exec
-- One pooler with $1 farmers who can do everything, and a treasury.
WITH pooler AS (
    INSERT INTO registry.poolers (id, name, public_key, max_farmers, current_farmers)
    SELECT fill.uid(1), 'history', rpad('GP', 56, 'A'), 1000, $1::int
    RETURNING id
),
numbers AS (SELECT n FROM generate_series(1, $1::int) AS g (n)),
wallets AS (
    INSERT INTO wallet.wallets (id, kind, farmer_id, pooler_id, address, status)
    SELECT fill.uid(10000 + n), 'farmer'::wallet.wallet_kind, fill.uid(20000 + n), fill.uid(1),
        'G' || lpad(n::text, 55, 'A'), 'ready'::wallet.wallet_status
    FROM numbers
    UNION ALL
    SELECT fill.uid(2), 'treasury', NULL, NULL, rpad('GT', 56, 'A'), 'ready'
),
accounts AS (
    INSERT INTO wallet.accounts (wallet_id, is_funded, has_trustline, xlm_stroops, kale_stroops)
    SELECT fill.uid(10000 + n), true, true, 0, 1000000000 FROM numbers
    UNION ALL
    SELECT fill.uid(2), true, true, 1000000000000, 0
)
INSERT INTO registry.farmers (
    id, wallet_id, custodial_public_key, pooler_id, status, request_id, digest
)
SELECT fill.uid(20000 + n), fill.uid(10000 + n), 'G' || lpad(n::text, 55, 'A'), fill.uid(1),
    'active', n::text, '\x00'
FROM numbers, pooler;

-- name: blocks :exec
INSERT INTO chain.blocks
SELECT b, b * 60, now() - make_interval(secs => 300 * ($2 - b)),
    now() - make_interval(secs => 300 * ($2 - b - 1)), decode(repeat('ab', 32), 'hex'),
    0, 60, 0, 9, 0, 1000000000, 0, 0, b * 60 + 17280, b * 60
FROM generate_series($1::int, $2::int - 1) AS g (b);

-- name: transactions :exec
-- Everything of wallet's for blocks $1 to $2 (not included) of $3 farmers: one transaction each.
WITH every AS (
    SELECT b, k, n, 1000000 + (b::bigint * 3 + k) * 1000 + n AS id
    FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(0, 2) AS h (k),
        generate_series(1, $3::int) AS i (n)
)
INSERT INTO wallet.transactions (
    id, state, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger,
    ledger, fee_charged, closed_at
)
SELECT fill.uid(id), 'succeeded', 'G' || lpad(n::text, 55, 'A'), b * 3 + k,
    md5(id::text) || md5('h' || id), md5('l' || id) || md5('m' || id), repeat(md5(id::text), 12),
    (b * 60 + 6) * 5, 20000, b * 60, b * 60 + 1, 15000, now()
FROM every
ORDER BY id;

-- name: operations :exec
WITH every AS (
    SELECT b, k, n, 1000000 + (b::bigint * 3 + k) * 1000 + n AS id
    FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(0, 2) AS h (k),
        generate_series(1, $3::int) AS i (n)
)
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, nonce, hash, zeros, gap, transaction_id,
    attempts, fee_charged, ledger, settled_at
)
SELECT fill.uid(id), (ARRAY['plant', 'work', 'harvest'])[k + 1]::wallet.operation_kind,
    fill.uid(10000 + n), b, 'succeeded', 10000000, CASE k WHEN 1 THEN id END,
    CASE k WHEN 1 THEN decode(repeat('00', 32), 'hex') END, CASE k WHEN 1 THEN 5 END, 50,
    fill.uid(id), 1, 15000, b * 60 + 1, now()
FROM every
ORDER BY id;

-- name: transaction_operations :exec
INSERT INTO wallet.transaction_operations (transaction_id, position, operation_id)
SELECT fill.uid(id), 1, fill.uid(id)
FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(0, 2) AS h (k),
    generate_series(1, $3::int) AS i (n),
    LATERAL (SELECT 1000000 + (b::bigint * 3 + k) * 1000 + n AS id) AS named
ORDER BY id;

-- name: audit_log :exec
INSERT INTO wallet.audit_log (number, at, actor, action, subject, details, previous, hash)
SELECT number, now(), 'wallet', 'sign', md5(number::text) || md5('h' || number),
    format('source %s, sequence %s, bid 20000', rpad('G', 56, 'A'), number),
    decode(md5(number::text) || md5('p' || number), 'hex'),
    decode(md5(number::text) || md5('q' || number), 'hex')
FROM generate_series(
    $1::bigint * 3 * $3::int + 1, $2::bigint * 3 * $3::int
) AS g (number);

-- name: audit_head :exec
UPDATE wallet.audit_head SET number = h.number, hash = h.hash
FROM (SELECT number, hash FROM wallet.audit_log ORDER BY number DESC LIMIT 1) AS h
WHERE $1::int < $2::int;

-- name: wallet_batches :exec
INSERT INTO wallet.batches (request_id, kind, block_index, arguments_hash)
SELECT format('%s-%s-%s', kind, fill.uid(500000 + b), c), kind::wallet.operation_kind, b,
    decode(repeat('00', 32), 'hex')
FROM generate_series($1::int, $2::int - 1) AS g (b),
    unnest(ARRAY['plant', 'work', 'harvest']) AS h (kind),
    generate_series(0, ($3::int - 1) / 50) AS i (c);

-- name: batch_operations :exec
INSERT INTO wallet.batch_operations (request_id, operation_id)
SELECT
    format(
        '%s-%s-%s', (ARRAY['plant', 'work', 'harvest'])[k + 1], fill.uid(500000 + b), (n - 1) / 50
    ),
    fill.uid(1000000 + (b::bigint * 3 + k) * 1000 + n)
FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(0, 2) AS h (k),
    generate_series(1, $3::int) AS i (n);

-- name: plantings :exec
WITH every AS (
    SELECT b, n, 1000000 + b::bigint * 3000 + n AS id
    FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n)
)
INSERT INTO plant.plantings
SELECT fill.uid(id), b, fill.uid(20000 + n), fill.uid(1), 'G' || lpad(n::text, 55, 'A'), 10000000,
    md5(id::text) || md5('h' || id), b * 60 + 1, 15000, 'success', '', '', now()
FROM every;

-- name: works :exec
WITH every AS (
    SELECT b, n, 1000000 + b::bigint * 3000 + 1000 + n AS id
    FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n)
)
INSERT INTO work.works
SELECT fill.uid(id), b, fill.uid(20000 + n), fill.uid(1), 'G' || lpad(n::text, 55, 'A'), id,
    decode(repeat('00', 32), 'hex'), 5, 50, md5(id::text) || md5('h' || id), b * 60 + 50, 15000,
    'success', '', '', now()
FROM every;

-- name: harvests :exec
-- Each settled when the next block opened, so that its hours, days and months differ.
WITH every AS (
    SELECT b, n, 1000000 + b::bigint * 3000 + 2000 + n AS id
    FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n)
)
INSERT INTO harvest.harvests
SELECT fill.uid(id), b, fill.uid(20000 + n), fill.uid(1), 'G' || lpad(n::text, 55, 'A'), 20000000,
    10000000, md5(id::text) || md5('h' || id), b * 60 + 70, 15000, 'success', '', '',
    c.opened_at + interval '300 seconds'
FROM every
INNER JOIN chain.blocks AS c ON c.index = b;

-- name: plant_batches :exec
INSERT INTO plant.batches (id, request_id, pooler_id, block_index, digest, completed_at)
SELECT fill.uid(500000 + b), b::text, fill.uid(1), b, '\x00', now()
FROM generate_series($1::int, $2::int - 1) AS g (b);

-- name: plant_items :exec
INSERT INTO plant.batch_items (batch_id, farmer_id, id, chunk, custodial_wallet, stake, event_id)
SELECT fill.uid(500000 + b), fill.uid(20000 + n), fill.uid(1000000 + b::bigint * 3000 + n),
    (n - 1) / 50, 'G' || lpad(n::text, 55, 'A'), 10000000,
    fill.uid(1000000 + b::bigint * 3000 + n)
FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n);

-- name: harvest_batches :exec
INSERT INTO harvest.batches (id, request_id, pooler_id, block_index, digest, completed_at)
SELECT fill.uid(500000 + b), b::text, fill.uid(1), b, '\x00', now()
FROM generate_series($1::int, $2::int - 1) AS g (b);

-- name: harvest_items :exec
INSERT INTO harvest.batch_items (batch_id, farmer_id, id, chunk, custodial_wallet, event_id)
SELECT fill.uid(500000 + b), fill.uid(20000 + n), fill.uid(1000000 + b::bigint * 3000 + n),
    (n - 1) / 50, 'G' || lpad(n::text, 55, 'A'), fill.uid(1000000 + b::bigint * 3000 + n)
FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n);

-- name: work_batches :exec
INSERT INTO work.batches (id, request_id, pooler_id, block_index, digest, completed_at)
SELECT fill.uid(500000 + b), b::text, fill.uid(1), b, '\x00', now()
FROM generate_series($1::int, $2::int - 1) AS g (b);

-- name: work_items :exec
INSERT INTO work.batch_items (
    batch_id, farmer_id, id, chunk, custodial_wallet, nonce, hash, zeros, event_id
)
SELECT fill.uid(500000 + b), fill.uid(20000 + n), fill.uid(1000000 + b::bigint * 3000 + n),
    (n - 1) / 50, 'G' || lpad(n::text, 55, 'A'), n, decode(repeat('00', 32), 'hex'), 5,
    fill.uid(1000000 + b::bigint * 3000 + 1000 + n)
FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n);

-- name: submissions :exec
INSERT INTO work.submissions (
    batch_id, position, farmer_id, nonce, hash, zeros, judgement, reason, message
)
SELECT fill.uid(500000 + b), n, fill.uid(20000 + n), n, decode(repeat('00', 32), 'hex'), 5, 'sent',
    '', ''
FROM generate_series($1::int, $2::int - 1) AS g (b), generate_series(1, $3::int) AS i (n);

-- name: plant_sums :exec
-- Sums as the triggers leave them, which are off while tables are filled.
INSERT INTO plant.block_sums (
    block_index, pooler_id, planted, staked, min_stake, max_stake, fees
)
SELECT block_index, pooler_id, count(*), sum(stake_amount), min(stake_amount), max(stake_amount),
    sum(fee_charged)
FROM plant.plantings
GROUP BY block_index, pooler_id
ORDER BY block_index, pooler_id;

-- name: work_sums :exec
INSERT INTO work.block_sums (
    block_index, pooler_id, worked, total_zeros, min_zeros, max_zeros, total_gap, min_gap, max_gap,
    farmers_by_zeros, fees
)
SELECT block_index, pooler_id, count(*), sum(zeros), min(zeros), max(zeros), sum(gap), min(gap),
    max(gap), array_fill(0, ARRAY[max(zeros)]) || count(*)::int, sum(fee_charged)
FROM work.works
GROUP BY block_index, pooler_id
ORDER BY block_index, pooler_id;

-- name: harvest_sums :exec
INSERT INTO harvest.block_sums (
    block_index, pooler_id, harvested, rewards, min_reward, max_reward, stake_returned, fees
)
SELECT block_index, pooler_id, count(*), sum(reward_amount), min(reward_amount),
    max(reward_amount), sum(stake_returned), sum(fee_charged)
FROM harvest.harvests
GROUP BY block_index, pooler_id
ORDER BY block_index, pooler_id;

-- name: plant_spans :exec
INSERT INTO plant.span_sums (blocks, first_block, pooler_id, planted, not_planted, staked)
SELECT l.blocks, b.block_index / l.blocks * l.blocks, b.pooler_id, sum(b.planted), sum(b.not_planted),
    sum(b.staked)
FROM plant.block_sums AS b
CROSS JOIN (VALUES (12), (288)) AS l (blocks)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: work_spans :exec
-- Every work of the history has as many zeros as the others.
INSERT INTO work.span_sums (
    blocks, first_block, pooler_id, worked, not_worked, worked_blocks, farmers_by_zeros
)
SELECT l.blocks, b.block_index / l.blocks * l.blocks, b.pooler_id, sum(b.worked), sum(b.not_worked),
    count(*), array_fill(0::bigint, ARRAY[max(b.max_zeros)]) || sum(b.worked)
FROM work.block_sums AS b
CROSS JOIN (VALUES (12), (288)) AS l (blocks)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: harvest_spans :exec
INSERT INTO harvest.span_sums (blocks, first_block, pooler_id, harvested, not_harvested, rewards)
SELECT l.blocks, b.block_index / l.blocks * l.blocks, b.pooler_id, sum(b.harvested),
    sum(b.not_harvested), sum(b.rewards)
FROM harvest.block_sums AS b
CROSS JOIN (VALUES (12), (288)) AS l (blocks)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: pooler_earnings :exec
INSERT INTO harvest.pooler_earnings (
    span, starts_at, pooler_id, rewards, harvests, stake_returned
)
SELECT s.span, s.starts_at, h.pooler_id, sum(h.reward_amount), count(*), sum(h.stake_returned)
FROM harvest.harvests AS h
CROSS JOIN LATERAL harvest.spans_of(h.harvested_at) AS s
GROUP BY s.span, s.starts_at, h.pooler_id
ORDER BY s.span, s.starts_at, h.pooler_id;

-- name: farmer_earnings :exec
INSERT INTO harvest.farmer_earnings (
    span, starts_at, farmer_id, rewards, harvests, stake_returned
)
SELECT s.span, s.starts_at, h.farmer_id, sum(h.reward_amount), count(*), sum(h.stake_returned)
FROM harvest.harvests AS h
CROSS JOIN LATERAL harvest.spans_of(h.harvested_at) AS s
WHERE s.span <> 'all'
GROUP BY s.span, s.starts_at, h.farmer_id
ORDER BY s.span, s.starts_at, h.farmer_id;

-- name: fee_sums :exec
INSERT INTO wallet.fee_sums (span, starts_at, pooler_id, kind, stroops, charges)
SELECT s.span, s.starts_at, p.pooler_id, k.kind, sum(p.fees), sum(p.planted)
FROM plant.block_sums AS p
INNER JOIN chain.blocks AS c ON c.index = p.block_index
CROSS JOIN unnest(ARRAY['plant', 'work', 'harvest']) AS k (kind)
CROSS JOIN LATERAL wallet.spans_of(c.opened_at) AS s
GROUP BY s.span, s.starts_at, p.pooler_id, k.kind
ORDER BY s.span, s.starts_at, p.pooler_id, k.kind;
