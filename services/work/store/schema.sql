-- work: works (append-only events), the submissions that were judged, the batches that sent them.

GRANT USAGE ON SCHEMA work TO kalepool_work, kalepool_harvest;

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN work.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE work.work_status AS ENUM ('success', 'failed');

CREATE TABLE work.works (
    -- wallet's operation, or the batch item when none was made.
    id uuid NOT NULL,
    block_index int NOT NULL CHECK (block_index >= 0),
    farmer_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    -- 64 bits without a sign: more than bigint holds. Neither nonce nor hash is known of a work that
    -- reconciliation found in a pail.
    nonce numeric(20) CHECK (nonce BETWEEN 0 AND 18446744073709551615),
    hash bytea CHECK (octet_length(hash) = 32),
    zeros int NOT NULL CHECK (zeros BETWEEN 0 AND 64),
    gap int NOT NULL CHECK (gap >= 0),
    transaction_hash varchar(64) NOT NULL,
    ledger int NOT NULL,
    fee_charged bigint NOT NULL,
    status work.work_status NOT NULL,
    reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    worked_at work.moment NOT NULL,
    PRIMARY KEY (block_index, id)
) PARTITION BY RANGE (block_index);

CREATE INDEX idx_works_block_pooler ON work.works (block_index, pooler_id);
CREATE INDEX idx_works_block_farmer ON work.works (block_index, farmer_id);
CREATE INDEX idx_works_pooler_block ON work.works (pooler_id, block_index DESC, id DESC);
-- What is to be harvested is found without reading the works themselves.
CREATE INDEX idx_works_done ON work.works (block_index, farmer_id) INCLUDE (pooler_id)
WHERE status = 'success';

-- Partitions of 10,000 blocks (about 35 days), made when the first block of each is planned. Nobody who
-- reads or writes the table waits for whoever makes one, however long that transaction is open; and a
-- service makes one at a time as blocks come, since each takes locks and files.
CREATE FUNCTION work.ensure_partition(block int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low int := block / 10000 * 10000;
    name text := format('works_%s', low);
BEGIN
    IF to_regclass(format('work.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    IF session_user <> current_user AND (block < 0 OR block >= 20000 + coalesce(
        (SELECT greatest(h.current_block, h.plantable_block) FROM chain.head AS h), 0
    )) THEN
        RAISE EXCEPTION 'block % is far from where the chain is', block;
    END IF;
    LOCK TABLE work.works IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(format('work.%I', name)) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE work.%I (LIKE work.works INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'ALTER TABLE work.works ATTACH PARTITION work.%I FOR VALUES FROM (%s) TO (%s)',
            name, low, low::bigint + 10000);
    END IF;
END $$;
REVOKE ALL ON FUNCTION work.ensure_partition(int) FROM public;
GRANT EXECUTE ON FUNCTION work.ensure_partition(int) TO kalepool_work;

-- No foreign key to another schema: each is a lock on rows that are another role's.
CREATE TRIGGER trigger_works_farmers AFTER INSERT ON work.works
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();
CREATE TRIGGER trigger_works_poolers AFTER INSERT ON work.works
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();

CREATE FUNCTION work.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER trigger_works_append_only BEFORE UPDATE OR DELETE ON work.works
FOR EACH ROW EXECUTE FUNCTION work.refuse_change();
CREATE TRIGGER trigger_works_no_truncate BEFORE TRUNCATE ON work.works
FOR EACH STATEMENT EXECUTE FUNCTION work.refuse_change();

-- What a pooler's works in a block come to, for reports: of each farmer, the best one. Only the database
-- writes it, in the statements that write the works, from all works of that pooler and block: it is right
-- whatever comes first, twice or at the same time.
CREATE TABLE work.block_sums (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    -- Farmers who worked, and farmers whose works all failed.
    worked int NOT NULL DEFAULT 0,
    not_worked int NOT NULL DEFAULT 0,
    total_zeros bigint NOT NULL DEFAULT 0,
    min_zeros int,
    max_zeros int,
    -- Ledgers between plant and work.
    total_gap bigint NOT NULL DEFAULT 0,
    min_gap int,
    max_gap int,
    -- Farmers by their zeros: those with none, with one, and so on up to the most.
    farmers_by_zeros int [] NOT NULL DEFAULT '{}',
    -- Stroops of XLM, those for works that failed or were surpassed included.
    fees bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (block_index, pooler_id)
) WITH (fillfactor = 50);
CREATE INDEX idx_block_sums_pooler ON work.block_sums (pooler_id, block_index DESC);

-- The nearest number that a bigint holds: a sum that is at its end keeps no event from being written.
CREATE FUNCTION work.fit(amount numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN least(greatest(amount, -9223372036854775808), 9223372036854775807)::bigint;

CREATE FUNCTION work.sum_blocks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Events of a block are found by an index, whatever the statistics say: a new partition has none.
SET enable_seqscan = off AS $$
BEGIN
    -- One statement at a time for a pooler's block, so that each sees what those before it have written;
    -- all in one order, so that two statements with the same blocks never wait crosswise.
    INSERT INTO work.block_sums (block_index, pooler_id)
    SELECT DISTINCT n.block_index, n.pooler_id FROM added AS n
    ORDER BY n.block_index, n.pooler_id
    ON CONFLICT DO NOTHING;
    PERFORM 1
    FROM work.block_sums AS s
    WHERE (s.block_index, s.pooler_id) IN (SELECT n.block_index, n.pooler_id FROM added AS n)
    ORDER BY s.block_index, s.pooler_id
    FOR UPDATE;
    UPDATE work.block_sums AS s
    SET worked = e.worked,
        not_worked = e.farmers - e.worked,
        total_zeros = e.total_zeros,
        min_zeros = e.min_zeros,
        max_zeros = e.max_zeros,
        total_gap = e.total_gap,
        min_gap = e.min_gap,
        max_gap = e.max_gap,
        farmers_by_zeros = e.farmers_by_zeros,
        fees = work.fit(e.fees)
    FROM (SELECT DISTINCT a.block_index, a.pooler_id FROM added AS a) AS n
    CROSS JOIN LATERAL (
        WITH farmers AS (
            SELECT
                max(w.zeros) FILTER (WHERE w.status = 'success') AS zeros,
                -- The gap of the best: a better work comes later, and its gap is the one that counts.
                (
                    array_agg(w.gap ORDER BY w.zeros DESC, w.gap DESC)
                    FILTER (WHERE w.status = 'success')
                )[1] AS gap,
                sum(w.fee_charged) AS fees
            FROM work.works AS w
            WHERE w.block_index = n.block_index AND w.pooler_id = n.pooler_id
            GROUP BY w.farmer_id
        ),
        counted AS (
            SELECT f.zeros, count(*)::int AS farmers FROM farmers AS f GROUP BY f.zeros
        )
        SELECT
            count(f.zeros) AS worked,
            count(*) AS farmers,
            coalesce(sum(f.zeros), 0) AS total_zeros,
            min(f.zeros) AS min_zeros,
            max(f.zeros) AS max_zeros,
            coalesce(sum(f.gap), 0) AS total_gap,
            min(f.gap) AS min_gap,
            max(f.gap) AS max_gap,
            ARRAY(
                SELECT coalesce(c.farmers, 0)
                FROM generate_series(0, (SELECT max(m.zeros) FROM counted AS m)) AS g (zeros)
                LEFT JOIN counted AS c ON c.zeros = g.zeros
                ORDER BY g.zeros
            ) AS farmers_by_zeros,
            sum(f.fees) AS fees
        FROM farmers AS f
    ) AS e
    WHERE s.block_index = n.block_index AND s.pooler_id = n.pooler_id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION work.sum_blocks() FROM public;
CREATE TRIGGER trigger_works_sums AFTER INSERT ON work.works
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION work.sum_blocks();

CREATE TABLE work.batches (
    id uuid PRIMARY KEY,
    request_id text NOT NULL,
    pooler_id uuid NOT NULL,
    block_index int NOT NULL,
    digest bytea NOT NULL,
    created_at work.moment NOT NULL DEFAULT now(),
    completed_at work.moment,
    UNIQUE (pooler_id, request_id)
);
CREATE INDEX idx_batches_open ON work.batches (id) WHERE completed_at IS NULL;
-- What was sent in the current block is found without reading the history.
CREATE INDEX idx_batches_block_pooler ON work.batches (block_index, pooler_id);

-- What goes to wallet: the best nonce of each farmer.
CREATE TABLE work.batch_items (
    batch_id uuid NOT NULL REFERENCES work.batches (id),
    farmer_id uuid NOT NULL,
    id uuid NOT NULL,
    chunk int NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    nonce numeric(20) NOT NULL,
    hash bytea NOT NULL,
    zeros int NOT NULL,
    -- Why wallet refused the chunk as a whole; empty when it did not.
    refusal text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    event_id uuid,
    PRIMARY KEY (batch_id, farmer_id)
);

-- How each nonce of a request was judged. `sent` ones are in batch_items.
CREATE TYPE work.judgement AS ENUM ('sent', 'surpassed', 'rejected');
CREATE TABLE work.submissions (
    batch_id uuid NOT NULL REFERENCES work.batches (id),
    position int NOT NULL,
    -- As it was given: it need not be a farmer's.
    farmer_id uuid NOT NULL,
    nonce numeric(20) NOT NULL,
    hash bytea NOT NULL,
    zeros int NOT NULL,
    judgement work.judgement NOT NULL,
    reason text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    PRIMARY KEY (batch_id, position)
);
-- What was sent in a block is found by its batches, and a farmer in each of them: new rows go to the
-- index's end, whatever the history.
CREATE INDEX idx_submissions_farmer ON work.submissions (batch_id, farmer_id);

CREATE TRIGGER trigger_batches_poolers AFTER INSERT ON work.batches
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();
CREATE TRIGGER trigger_batch_items_farmers AFTER INSERT ON work.batch_items
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();

-- The row that a pooler's plans lock, one after the other; nobody else can.
CREATE TABLE work.turns (
    pooler_id uuid PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

GRANT SELECT, INSERT ON work.works TO kalepool_work;
GRANT SELECT, INSERT, UPDATE (taken_at) ON work.turns TO kalepool_work;
GRANT SELECT, INSERT, UPDATE (completed_at) ON work.batches TO kalepool_work;
GRANT SELECT, INSERT, UPDATE (refusal, message, event_id) ON work.batch_items TO kalepool_work;
GRANT SELECT, INSERT ON work.submissions TO kalepool_work;
GRANT SELECT ON work.works, work.block_sums TO kalepool_harvest;

-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA work TO kalepool_wallet;
GRANT SELECT ON work.works TO kalepool_wallet;

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
GRANT SELECT ON work.span_sums TO kalepool_harvest;
