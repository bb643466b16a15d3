-- A farmer's terms are what was agreed.

-- A farmer's terms in a block, in ten-thousandths: the pooler's and the operator's parts of the reward, and
-- the miners' part of the pooler's. The only place that knows them: by the agreement that was in force when
-- the block opened, so that no change is for what is past, nor for the block that is open. Without an
-- agreement, and in a block that nobody saw open, nobody takes a fee.
CREATE OR REPLACE FUNCTION harvest.terms(farmer_id uuid, block_index int)
RETURNS TABLE (pooler_bps int, operator_bps int, miners_bps int)
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT coalesce(f.pooler_bps, 0), coalesce(f.operator_bps, 0), coalesce(f.miners_bps, 0)
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT a.pooler_bps, a.operator_bps, a.miners_bps
    FROM chain.blocks AS b
    INNER JOIN wallet.farmer_agreements AS a ON a.effective_at <= b.opened_at
    WHERE b.index = terms.block_index AND a.farmer_id = terms.farmer_id
    ORDER BY a.number DESC
    LIMIT 1
) AS f ON true;
END;

-- The parts of a reward (services/harvest/domain/ledger.py has the same rule): fees together are never more
-- than was agreed, so that the odd stroop is the farmer's; they are divided by largest remainder, and of
-- equal ones the pooler's goes first, then the operator's.
-- OFFSET 0: each part is reckoned once, and not again wherever it is named.
CREATE OR REPLACE FUNCTION harvest.split(reward bigint, pooler_bps int, operator_bps int, miners_bps int)
RETURNS TABLE (farmer bigint, pooler bigint, operator bigint, miners bigint)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
SELECT
    (reward - n.fee)::bigint,
    (n.pooler + ((n.operator_rest > n.pooler_rest)::int + (n.miners_rest > n.pooler_rest)::int < n.odd)::int)::bigint,
    (n.operator + ((n.pooler_rest >= n.operator_rest)::int + (n.miners_rest > n.operator_rest)::int < n.odd)::int)::bigint,
    (n.miners + ((n.pooler_rest >= n.miners_rest)::int + (n.operator_rest >= n.miners_rest)::int < n.odd)::int)::bigint
FROM (
    SELECT
        p.*,
        div(p.pooler_of, p.whole) AS pooler,
        div(p.operator_of, p.whole) AS operator,
        div(p.miners_of, p.whole) AS miners,
        mod(p.pooler_of, p.whole) AS pooler_rest,
        mod(p.operator_of, p.whole) AS operator_rest,
        mod(p.miners_of, p.whole) AS miners_rest,
        p.fee - div(p.pooler_of, p.whole) - div(p.operator_of, p.whole) - div(p.miners_of, p.whole) AS odd
    FROM (
        SELECT
            f.fee,
            f.fee * pooler_bps * (10000 - miners_bps) AS pooler_of,
            f.fee * operator_bps * 10000 AS operator_of,
            f.fee * pooler_bps * miners_bps AS miners_of,
            greatest((pooler_bps + operator_bps) * 10000::numeric, 1) AS whole
        FROM (SELECT div(reward::numeric * (pooler_bps + operator_bps), 10000) AS fee) AS f
        OFFSET 0
    ) AS p
    OFFSET 0
) AS n;
END;
