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
