-- Sums of blocks over hours and days of blocks, for the list of poolers.

-- A pooler's sums over hours and days of blocks, so that a month of a pooler is read in a few rows. Only the database
-- writes it, by adding what a statement has changed of the blocks' sums.
CREATE TABLE work.span_sums (
    -- Blocks of the span, 12 (about an hour) or 288 (about a day), and the first of them, which divides by it.
    blocks int NOT NULL,
    first_block int NOT NULL,
    pooler_id uuid NOT NULL,
    worked bigint NOT NULL,
    not_worked bigint NOT NULL,
    -- Blocks in which somebody worked.
    worked_blocks int NOT NULL,
    farmers_by_zeros bigint [] NOT NULL,
    PRIMARY KEY (blocks, first_block, pooler_id)
) WITH (fillfactor = 50);

-- Counts added place by place; where one has fewer places, the other's stand.
CREATE FUNCTION work.add_counts(counts bigint [], added bigint []) RETURNS bigint []
LANGUAGE sql IMMUTABLE
RETURN ARRAY(
    SELECT coalesce(u.one, 0) + coalesce(u.other, 0)
    FROM unnest(counts, added) WITH ORDINALITY AS u (one, other, place)
    ORDER BY u.place
);

CREATE FUNCTION work.sum_spans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The blocks' rows are locked by now. All in one order, so that two statements never wait crosswise.
    INSERT INTO work.span_sums AS s (
        blocks, first_block, pooler_id, worked, not_worked, worked_blocks, farmers_by_zeros
    )
    WITH changed AS (
        SELECT l.blocks, n.block_index / l.blocks * l.blocks AS first_block, n.pooler_id,
            n.worked - w.worked AS worked, n.not_worked - w.not_worked AS not_worked,
            (n.worked > 0)::int - (w.worked > 0)::int AS worked_blocks,
            n.farmers_by_zeros AS is_now, w.farmers_by_zeros AS was
        FROM became AS n
        INNER JOIN was AS w ON w.block_index = n.block_index AND w.pooler_id = n.pooler_id
        CROSS JOIN (VALUES (12), (288)) AS l (blocks)
    )
    SELECT c.blocks, c.first_block, c.pooler_id, sum(c.worked), sum(c.not_worked), sum(c.worked_blocks),
        ARRAY(
            SELECT sum(coalesce(u.is_now, 0) - coalesce(u.was, 0))
            FROM changed AS d
            CROSS JOIN LATERAL unnest(d.is_now, d.was) WITH ORDINALITY AS u (is_now, was, place)
            WHERE d.blocks = c.blocks AND d.first_block = c.first_block AND d.pooler_id = c.pooler_id
            GROUP BY u.place
            ORDER BY u.place
        )
    FROM changed AS c
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (blocks, first_block, pooler_id) DO UPDATE SET
        worked = s.worked + excluded.worked,
        not_worked = s.not_worked + excluded.not_worked,
        worked_blocks = s.worked_blocks + excluded.worked_blocks,
        farmers_by_zeros = work.add_counts(s.farmers_by_zeros, excluded.farmers_by_zeros);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION work.sum_spans() FROM public;
CREATE TRIGGER trigger_block_sums_spans AFTER UPDATE ON work.block_sums
REFERENCING OLD TABLE AS was NEW TABLE AS became
FOR EACH STATEMENT EXECUTE FUNCTION work.sum_spans();

-- What was summed by block before. The trigger's lock keeps out who would write meanwhile.
INSERT INTO work.span_sums (
    blocks, first_block, pooler_id, worked, not_worked, worked_blocks, farmers_by_zeros
)
WITH placed AS (
    SELECT l.blocks, b.block_index / l.blocks * l.blocks AS first_block, b.pooler_id, u.place,
        sum(u.farmers) AS farmers
    FROM work.block_sums AS b
    CROSS JOIN (VALUES (12), (288)) AS l (blocks)
    CROSS JOIN LATERAL unnest(b.farmers_by_zeros) WITH ORDINALITY AS u (farmers, place)
    GROUP BY 1, 2, 3, 4
),
counted AS (
    SELECT p.blocks, p.first_block, p.pooler_id, array_agg(p.farmers ORDER BY p.place) AS farmers_by_zeros
    FROM placed AS p
    GROUP BY 1, 2, 3
),
summed AS (
    SELECT l.blocks, b.block_index / l.blocks * l.blocks AS first_block, b.pooler_id,
        sum(b.worked) AS worked, sum(b.not_worked) AS not_worked,
        count(*) FILTER (WHERE b.worked > 0) AS worked_blocks
    FROM work.block_sums AS b
    CROSS JOIN (VALUES (12), (288)) AS l (blocks)
    GROUP BY 1, 2, 3
)
SELECT s.blocks, s.first_block, s.pooler_id, s.worked, s.not_worked, s.worked_blocks,
    coalesce(c.farmers_by_zeros, '{}')
FROM summed AS s
LEFT JOIN counted AS c USING (blocks, first_block, pooler_id)
ORDER BY 1, 2, 3;
GRANT SELECT ON work.span_sums TO kalepool_harvest;
