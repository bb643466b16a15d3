-- plant: plantings (append-only events) and the batches that made them.

GRANT USAGE ON SCHEMA plant TO kalepool_plant, kalepool_work, kalepool_harvest;

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN plant.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE plant.planting_status AS ENUM ('success', 'failed');

CREATE TABLE plant.plantings (
    -- wallet's operation, or the batch item when none was made.
    id uuid NOT NULL,
    block_index int NOT NULL CHECK (block_index >= 0),
    farmer_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    stake_amount bigint NOT NULL CHECK (stake_amount >= 0),
    transaction_hash varchar(64) NOT NULL,
    ledger int NOT NULL,
    fee_charged bigint NOT NULL,
    status plant.planting_status NOT NULL,
    reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    planted_at plant.moment NOT NULL,
    PRIMARY KEY (block_index, id)
) PARTITION BY RANGE (block_index);

CREATE INDEX idx_plantings_block_farmer ON plant.plantings (block_index, farmer_id);
CREATE INDEX idx_plantings_pooler_block ON plant.plantings (pooler_id, block_index DESC, id DESC);
-- A farmer is planted once in a block.
CREATE UNIQUE INDEX idx_plantings_once ON plant.plantings (block_index, farmer_id)
WHERE status = 'success';

-- Partitions of 10,000 blocks (about 35 days), made when the first block of each is planned. Nobody who
-- reads or writes the table waits for whoever makes one, however long that transaction is open; and a
-- service makes one at a time as blocks come, since each takes locks and files.
CREATE FUNCTION plant.ensure_partition(block int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low int := block / 10000 * 10000;
    name text := format('plantings_%s', low);
BEGIN
    IF to_regclass(format('plant.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    IF session_user <> current_user AND (block < 0 OR block >= 20000 + coalesce(
        (SELECT greatest(h.current_block, h.plantable_block) FROM chain.head AS h), 0
    )) THEN
        RAISE EXCEPTION 'block % is far from where the chain is', block;
    END IF;
    LOCK TABLE plant.plantings IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(format('plant.%I', name)) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE plant.%I (LIKE plant.plantings INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'ALTER TABLE plant.plantings ATTACH PARTITION plant.%I FOR VALUES FROM (%s) TO (%s)',
            name, low, low::bigint + 10000);
    END IF;
END $$;
REVOKE ALL ON FUNCTION plant.ensure_partition(int) FROM public;
GRANT EXECUTE ON FUNCTION plant.ensure_partition(int) TO kalepool_plant;

-- No foreign key to another schema: each is a lock on rows that are another role's.
CREATE TRIGGER trigger_plantings_farmers AFTER INSERT ON plant.plantings
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();
CREATE TRIGGER trigger_plantings_poolers AFTER INSERT ON plant.plantings
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();

CREATE FUNCTION plant.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER trigger_plantings_append_only BEFORE UPDATE OR DELETE ON plant.plantings
FOR EACH ROW EXECUTE FUNCTION plant.refuse_change();
CREATE TRIGGER trigger_plantings_no_truncate BEFORE TRUNCATE ON plant.plantings
FOR EACH STATEMENT EXECUTE FUNCTION plant.refuse_change();

-- What a pooler's plantings in a block come to, for reports. Only the database writes it, in the statements
-- that write the plantings, from all plantings of that pooler and block: it is right whatever comes first,
-- twice or at the same time.
CREATE TABLE plant.block_sums (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    -- Farmers who planted, and farmers whose plantings all failed.
    planted int NOT NULL DEFAULT 0,
    not_planted int NOT NULL DEFAULT 0,
    -- Stroops of KALE.
    staked bigint NOT NULL DEFAULT 0,
    min_stake bigint,
    max_stake bigint,
    -- Stroops of XLM, those for plantings that failed included.
    fees bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (block_index, pooler_id)
) WITH (fillfactor = 50);
CREATE INDEX idx_block_sums_pooler ON plant.block_sums (pooler_id, block_index DESC);

-- The nearest number that a bigint holds: a sum that is at its end keeps no event from being written.
CREATE FUNCTION plant.fit(amount numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN least(greatest(amount, -9223372036854775808), 9223372036854775807)::bigint;

CREATE FUNCTION plant.sum_blocks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Events of a block are found by an index, whatever the statistics say: a new partition has none.
SET enable_seqscan = off AS $$
BEGIN
    -- One statement at a time for a pooler's block, so that each sees what those before it have written;
    -- all in one order, so that two statements with the same blocks never wait crosswise.
    INSERT INTO plant.block_sums (block_index, pooler_id)
    SELECT DISTINCT n.block_index, n.pooler_id FROM added AS n
    ORDER BY n.block_index, n.pooler_id
    ON CONFLICT DO NOTHING;
    PERFORM 1
    FROM plant.block_sums AS s
    WHERE (s.block_index, s.pooler_id) IN (SELECT n.block_index, n.pooler_id FROM added AS n)
    ORDER BY s.block_index, s.pooler_id
    FOR UPDATE;
    UPDATE plant.block_sums AS s
    SET planted = e.planted,
        not_planted = e.farmers - e.planted,
        staked = plant.fit(e.staked),
        min_stake = e.min_stake,
        max_stake = e.max_stake,
        fees = plant.fit(e.fees)
    FROM (SELECT DISTINCT a.block_index, a.pooler_id FROM added AS a) AS n
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE p.status = 'success') AS planted,
            count(DISTINCT p.farmer_id) AS farmers,
            coalesce(sum(p.stake_amount) FILTER (WHERE p.status = 'success'), 0) AS staked,
            min(p.stake_amount) FILTER (WHERE p.status = 'success') AS min_stake,
            max(p.stake_amount) FILTER (WHERE p.status = 'success') AS max_stake,
            sum(p.fee_charged) AS fees
        FROM plant.plantings AS p
        WHERE p.block_index = n.block_index AND p.pooler_id = n.pooler_id
    ) AS e
    WHERE s.block_index = n.block_index AND s.pooler_id = n.pooler_id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION plant.sum_blocks() FROM public;
CREATE TRIGGER trigger_plantings_sums AFTER INSERT ON plant.plantings
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION plant.sum_blocks();

CREATE TABLE plant.batches (
    id uuid PRIMARY KEY,
    request_id text NOT NULL,
    pooler_id uuid NOT NULL,
    block_index int NOT NULL,
    digest bytea NOT NULL,
    created_at plant.moment NOT NULL DEFAULT now(),
    completed_at plant.moment,
    UNIQUE (pooler_id, request_id)
);
CREATE INDEX idx_batches_open ON plant.batches (id) WHERE completed_at IS NULL;

CREATE TABLE plant.batch_items (
    batch_id uuid NOT NULL REFERENCES plant.batches (id),
    farmer_id uuid NOT NULL,
    id uuid NOT NULL,
    chunk int NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    stake bigint NOT NULL CHECK (stake >= 0),
    -- Why wallet refused the chunk as a whole; empty when it did not.
    refusal text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    event_id uuid,
    PRIMARY KEY (batch_id, farmer_id)
);

CREATE TRIGGER trigger_batches_poolers AFTER INSERT ON plant.batches
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();
CREATE TRIGGER trigger_batch_items_farmers AFTER INSERT ON plant.batch_items
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();

-- The row that a pooler's plans lock, one after the other; nobody else can.
CREATE TABLE plant.turns (
    pooler_id uuid PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

GRANT SELECT, INSERT ON plant.plantings TO kalepool_plant;
GRANT SELECT, INSERT, UPDATE (taken_at) ON plant.turns TO kalepool_plant;
GRANT SELECT, INSERT, UPDATE (completed_at) ON plant.batches TO kalepool_plant;
GRANT SELECT, INSERT, UPDATE (refusal, message, event_id) ON plant.batch_items TO kalepool_plant;
GRANT SELECT ON plant.plantings TO kalepool_work, kalepool_harvest;
GRANT SELECT ON plant.block_sums TO kalepool_harvest;

-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA plant TO kalepool_wallet;
GRANT SELECT ON plant.plantings TO kalepool_wallet;

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
GRANT SELECT ON plant.span_sums TO kalepool_harvest;
