-- Whether nothing of a block is left to harvest for a farmer after a harvest of this kind: it was paid,
-- or no later try can mend it, since the pail was harvested, never worked, or has expired.
CREATE FUNCTION harvest.is_final(status harvest.harvest_status, reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN status = 'success' OR reason IN ('NOT_PLANTED', 'NOT_WORKED', 'BLOCK_EXPIRED');

-- What is worked and not harvested, so that no sweep looks through the events of days. Only the database
-- writes it, in the statements that write the events.
CREATE TABLE harvest.pending (
    block_index int NOT NULL,
    farmer_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    PRIMARY KEY (block_index, farmer_id)
);

CREATE FUNCTION harvest.note_works() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO harvest.pending (block_index, farmer_id, pooler_id)
    SELECT n.block_index, n.farmer_id, n.pooler_id
    FROM noted AS n
    WHERE n.status = 'success'
        -- A farmer may have several works in a block, the last of them recorded after the harvest.
        AND NOT EXISTS (
            SELECT 1 FROM harvest.harvests AS h
            WHERE h.block_index = n.block_index AND h.farmer_id = n.farmer_id
                AND harvest.is_final(h.status, h.reason)
        )
    -- In one order, so that two batches with the same farmers never wait crosswise.
    ORDER BY n.block_index, n.farmer_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION harvest.note_harvests() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    WITH over AS MATERIALIZED (
        SELECT p.block_index, p.farmer_id
        FROM harvest.pending AS p
        INNER JOIN noted AS n ON n.block_index = p.block_index AND n.farmer_id = p.farmer_id
        WHERE harvest.is_final(n.status, n.reason)
        ORDER BY p.block_index, p.farmer_id
        FOR UPDATE OF p
    )
    DELETE FROM harvest.pending AS p
    USING over AS o
    WHERE p.block_index = o.block_index AND p.farmer_id = o.farmer_id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.note_works(), harvest.note_harvests() FROM public;

CREATE TRIGGER trigger_works_pending AFTER INSERT ON work.works
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_works();
CREATE TRIGGER trigger_harvests_pending AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_harvests();

-- The two days that a sweep looks back. Making the triggers has locked both tables against writers, so
-- that nothing is recorded unseen in between.
INSERT INTO harvest.pending (block_index, farmer_id, pooler_id)
SELECT w.block_index, w.farmer_id, w.pooler_id
FROM work.works AS w
WHERE w.status = 'success'
    AND w.block_index >= (SELECT max(block_index) FROM work.works) - 600
    AND NOT EXISTS (
        SELECT 1 FROM harvest.harvests AS h
        WHERE h.block_index = w.block_index AND h.farmer_id = w.farmer_id
            AND harvest.is_final(h.status, h.reason)
    )
ON CONFLICT DO NOTHING;

GRANT SELECT ON harvest.pending TO kalepool_harvest;
