-- Sums of blocks over hours and days of blocks, for the list of poolers.

-- A pooler's sums over hours and days of blocks, so that a month of a pooler is read in a few rows. Only the database
-- writes it, by adding what a statement has changed of the blocks' sums.
CREATE TABLE plant.span_sums (
    -- Blocks of the span, 12 (about an hour) or 288 (about a day), and the first of them, which divides by it.
    blocks int NOT NULL,
    first_block int NOT NULL,
    pooler_id uuid NOT NULL,
    planted bigint NOT NULL,
    not_planted bigint NOT NULL,
    -- Stroops of KALE.
    staked bigint NOT NULL,
    PRIMARY KEY (blocks, first_block, pooler_id)
) WITH (fillfactor = 50);

CREATE FUNCTION plant.sum_spans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The blocks' rows are locked by now. All in one order, so that two statements never wait crosswise.
    INSERT INTO plant.span_sums AS s (blocks, first_block, pooler_id, planted, not_planted, staked)
    SELECT l.blocks, n.block_index / l.blocks * l.blocks, n.pooler_id, sum(n.planted - w.planted),
        sum(n.not_planted - w.not_planted), plant.fit(sum(n.staked::numeric - w.staked))
    FROM became AS n
    INNER JOIN was AS w ON w.block_index = n.block_index AND w.pooler_id = n.pooler_id
    CROSS JOIN (VALUES (12), (288)) AS l (blocks)
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (blocks, first_block, pooler_id) DO UPDATE SET
        planted = s.planted + excluded.planted,
        not_planted = s.not_planted + excluded.not_planted,
        staked = plant.fit(s.staked::numeric + excluded.staked);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION plant.sum_spans() FROM public;
CREATE TRIGGER trigger_block_sums_spans AFTER UPDATE ON plant.block_sums
REFERENCING OLD TABLE AS was NEW TABLE AS became
FOR EACH STATEMENT EXECUTE FUNCTION plant.sum_spans();

-- What was summed by block before. The trigger's lock keeps out who would write meanwhile.
INSERT INTO plant.span_sums (blocks, first_block, pooler_id, planted, not_planted, staked)
SELECT l.blocks, b.block_index / l.blocks * l.blocks, b.pooler_id, sum(b.planted), sum(b.not_planted),
    plant.fit(sum(b.staked))
FROM plant.block_sums AS b
CROSS JOIN (VALUES (12), (288)) AS l (blocks)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
GRANT SELECT ON plant.span_sums TO kalepool_harvest;
