-- What failed is tried again after pauses that grow: each try leaves an event that nothing removes.
ALTER TABLE harvest.pending
ADD COLUMN failures int NOT NULL DEFAULT 0,
ADD COLUMN failed_at timestamptz NOT NULL DEFAULT '-infinity';

CREATE OR REPLACE FUNCTION harvest.note_harvests() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    -- All of them in one order, so that two batches with the same farmers never wait crosswise.
    PERFORM 1
    FROM harvest.pending AS p
    INNER JOIN noted AS n ON n.block_index = p.block_index AND n.farmer_id = p.farmer_id
    ORDER BY p.block_index, p.farmer_id
    FOR UPDATE OF p;
    DELETE FROM harvest.pending AS p
    USING noted AS n
    WHERE n.block_index = p.block_index AND n.farmer_id = p.farmer_id
        AND harvest.is_final(n.status, n.reason);
    UPDATE harvest.pending AS p
    SET failures = p.failures + 1, failed_at = now()
    FROM noted AS n
    WHERE n.block_index = p.block_index AND n.farmer_id = p.farmer_id;
    RETURN NULL;
END $$;
