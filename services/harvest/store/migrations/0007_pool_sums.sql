-- Sums of blocks over hours and days of blocks, for the list of poolers.

-- A pooler's sums over hours and days of blocks, so that a month of a pooler is read in a few rows. Only the database
-- writes it, by adding what a statement has changed of the blocks' sums.
CREATE TABLE harvest.span_sums (
    -- Blocks of the span, 12 (about an hour) or 288 (about a day), and the first of them, which divides by it.
    blocks int NOT NULL,
    first_block int NOT NULL,
    pooler_id uuid NOT NULL,
    harvested bigint NOT NULL,
    not_harvested bigint NOT NULL,
    -- Stroops of KALE.
    rewards bigint NOT NULL,
    PRIMARY KEY (blocks, first_block, pooler_id)
) WITH (fillfactor = 50);

CREATE FUNCTION harvest.sum_spans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The blocks' rows are locked by now. All in one order, so that two statements never wait crosswise.
    INSERT INTO harvest.span_sums AS s (
        blocks, first_block, pooler_id, harvested, not_harvested, rewards
    )
    SELECT l.blocks, n.block_index / l.blocks * l.blocks, n.pooler_id, sum(n.harvested - w.harvested),
        sum(n.not_harvested - w.not_harvested), harvest.fit(sum(n.rewards::numeric - w.rewards))
    FROM became AS n
    INNER JOIN was AS w ON w.block_index = n.block_index AND w.pooler_id = n.pooler_id
    CROSS JOIN (VALUES (12), (288)) AS l (blocks)
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (blocks, first_block, pooler_id) DO UPDATE SET
        harvested = s.harvested + excluded.harvested,
        not_harvested = s.not_harvested + excluded.not_harvested,
        rewards = harvest.fit(s.rewards::numeric + excluded.rewards);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.sum_spans() FROM public;
CREATE TRIGGER trigger_block_sums_spans AFTER UPDATE ON harvest.block_sums
REFERENCING OLD TABLE AS was NEW TABLE AS became
FOR EACH STATEMENT EXECUTE FUNCTION harvest.sum_spans();

-- What was summed by block before. The trigger's lock keeps out who would write meanwhile.
INSERT INTO harvest.span_sums (blocks, first_block, pooler_id, harvested, not_harvested, rewards)
SELECT l.blocks, b.block_index / l.blocks * l.blocks, b.pooler_id, sum(b.harvested),
    sum(b.not_harvested), harvest.fit(sum(b.rewards))
FROM harvest.block_sums AS b
CROSS JOIN (VALUES (12), (288)) AS l (blocks)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
GRANT SELECT ON harvest.span_sums TO kalepool_harvest;
