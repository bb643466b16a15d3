-- A try that the operation of an earlier one answers counts, too: the pauses between sweeps grow.

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
    WHERE n.block_index = p.block_index AND n.farmer_id = p.farmer_id
        -- Once in a transaction: see note_repeats.
        AND p.failed_at <> now();
    RETURN NULL;
END $$;

-- Who asks again for what nobody has mended is answered by the operation that failed before. That leaves
-- no event, and is a try all the same.
CREATE FUNCTION harvest.note_repeats() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM 1
    FROM harvest.pending AS p
    INNER JOIN harvest.batches AS b ON b.block_index = p.block_index
    INNER JOIN noted AS n ON n.batch_id = b.id AND n.farmer_id = p.farmer_id
    ORDER BY p.block_index, p.farmer_id
    FOR UPDATE OF p;
    UPDATE harvest.pending AS p
    SET failures = p.failures + 1, failed_at = now()
    FROM noted AS n
    INNER JOIN harvest.batches AS b ON b.id = n.batch_id
    WHERE p.block_index = b.block_index AND p.farmer_id = n.farmer_id
        AND n.event_id IS NOT NULL AND p.failed_at <> now();
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.note_repeats() FROM public;
CREATE TRIGGER trigger_items_pending AFTER UPDATE ON harvest.batch_items
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_repeats();
