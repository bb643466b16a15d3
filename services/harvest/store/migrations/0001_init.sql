-- harvest: harvests (append-only events), balances, and the batches that made them.

GRANT USAGE ON SCHEMA harvest TO kalepool_harvest, kalepool_registry;

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN harvest.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE harvest.harvest_status AS ENUM ('success', 'failed');

CREATE TABLE harvest.harvests (
    -- wallet's operation, or the batch item when none was made.
    id uuid NOT NULL,
    block_index int NOT NULL CHECK (block_index >= 0),
    farmer_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    -- What the chain paid, without the stake that came back.
    reward_amount bigint NOT NULL,
    stake_returned bigint NOT NULL CHECK (stake_returned >= 0),
    transaction_hash varchar(64) NOT NULL,
    ledger int NOT NULL,
    fee_charged bigint NOT NULL,
    status harvest.harvest_status NOT NULL,
    reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    harvested_at harvest.moment NOT NULL,
    PRIMARY KEY (block_index, id)
) PARTITION BY RANGE (block_index);

CREATE INDEX idx_harvests_block_farmer ON harvest.harvests (block_index, farmer_id);
CREATE INDEX idx_harvests_pooler_block ON harvest.harvests (pooler_id, block_index DESC, id DESC);
-- A block is harvested once for a farmer.
CREATE UNIQUE INDEX idx_harvests_once ON harvest.harvests (block_index, farmer_id)
WHERE status = 'success';

-- Partitions of 10,000 blocks (about 35 days), made when the first block of each is planned. Nobody who
-- reads or writes the table waits for whoever makes one, however long that transaction is open; and a
-- service makes one at a time as blocks come, since each takes locks and files.
CREATE FUNCTION harvest.ensure_partition(block int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low int := block / 10000 * 10000;
    name text := format('harvests_%s', low);
BEGIN
    IF to_regclass(format('harvest.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    IF session_user <> current_user AND (block < 0 OR block >= 20000 + coalesce(
        (SELECT greatest(h.current_block, h.plantable_block) FROM chain.head AS h), 0
    )) THEN
        RAISE EXCEPTION 'block % is far from where the chain is', block;
    END IF;
    LOCK TABLE harvest.harvests IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(format('harvest.%I', name)) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE harvest.%I (LIKE harvest.harvests INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'ALTER TABLE harvest.harvests ATTACH PARTITION harvest.%I FOR VALUES FROM (%s) TO (%s)',
            name, low, low::bigint + 10000);
    END IF;
END $$;
REVOKE ALL ON FUNCTION harvest.ensure_partition(int) FROM public;
GRANT EXECUTE ON FUNCTION harvest.ensure_partition(int) TO kalepool_harvest;

-- No foreign key to another schema: each is a lock on rows that are another role's.
CREATE TRIGGER trigger_harvests_farmers AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();
CREATE TRIGGER trigger_harvests_poolers AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();

CREATE FUNCTION harvest.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER trigger_harvests_append_only BEFORE UPDATE OR DELETE ON harvest.harvests
FOR EACH ROW EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_harvests_no_truncate BEFORE TRUNCATE ON harvest.harvests
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();

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
    -- Tries that failed, and when the last one did: each leaves an event, so the pauses between grow.
    failures int NOT NULL DEFAULT 0,
    failed_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (block_index, farmer_id)
);

CREATE FUNCTION harvest.note_works() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
        -- What is there is not inserted in vain: that would wait for whoever is changing it.
        AND NOT EXISTS (
            SELECT 1 FROM harvest.pending AS p
            WHERE p.block_index = n.block_index AND p.farmer_id = n.farmer_id
        )
    -- In one order, so that two batches with the same farmers never wait crosswise.
    ORDER BY n.block_index, n.farmer_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION harvest.note_harvests() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
REVOKE ALL ON FUNCTION harvest.note_works(), harvest.note_harvests() FROM public;

CREATE TRIGGER trigger_works_pending AFTER INSERT ON work.works
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_works();
CREATE TRIGGER trigger_harvests_pending AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_harvests();

-- What each farmer has earned; changes in the statement that writes the event.
CREATE TABLE harvest.balances (
    farmer_id uuid PRIMARY KEY,
    current_balance bigint NOT NULL CHECK (current_balance >= 0),
    total_rewards bigint NOT NULL,
    harvests int NOT NULL,
    updated_at harvest.moment NOT NULL
);

-- What a pooler's harvests of a block come to, for reports. Only the database writes it, in the statements
-- that write the harvests, from all harvests of that pooler and block: it is right whatever comes first,
-- twice or at the same time.
CREATE TABLE harvest.block_sums (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    -- Farmers who were paid, and farmers whose harvests have all failed so far.
    harvested int NOT NULL DEFAULT 0,
    not_harvested int NOT NULL DEFAULT 0,
    -- Stroops of KALE.
    rewards bigint NOT NULL DEFAULT 0,
    min_reward bigint,
    max_reward bigint,
    stake_returned bigint NOT NULL DEFAULT 0,
    -- Stroops of XLM, those for harvests that failed included.
    fees bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (block_index, pooler_id)
) WITH (fillfactor = 50);
CREATE INDEX idx_block_sums_pooler ON harvest.block_sums (pooler_id, block_index DESC);

-- The nearest number that a bigint holds: a sum that is at its end keeps no event from being written.
CREATE FUNCTION harvest.fit(amount numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN least(greatest(amount, -9223372036854775808), 9223372036854775807)::bigint;

CREATE FUNCTION harvest.sum_blocks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Events of a block are found by an index, whatever the statistics say: a new partition has none.
SET enable_seqscan = off AS $$
BEGIN
    -- One statement at a time for a pooler's block, so that each sees what those before it have written;
    -- all in one order, so that two statements with the same blocks never wait crosswise.
    INSERT INTO harvest.block_sums (block_index, pooler_id)
    SELECT DISTINCT n.block_index, n.pooler_id FROM added AS n
    ORDER BY n.block_index, n.pooler_id
    ON CONFLICT DO NOTHING;
    PERFORM 1
    FROM harvest.block_sums AS s
    WHERE (s.block_index, s.pooler_id) IN (SELECT n.block_index, n.pooler_id FROM added AS n)
    ORDER BY s.block_index, s.pooler_id
    FOR UPDATE;
    UPDATE harvest.block_sums AS s
    SET harvested = e.harvested,
        not_harvested = e.farmers - e.harvested,
        rewards = harvest.fit(e.rewards),
        min_reward = e.min_reward,
        max_reward = e.max_reward,
        stake_returned = harvest.fit(e.stake_returned),
        fees = harvest.fit(e.fees)
    FROM (SELECT DISTINCT a.block_index, a.pooler_id FROM added AS a) AS n
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE h.status = 'success') AS harvested,
            count(DISTINCT h.farmer_id) AS farmers,
            coalesce(sum(h.reward_amount) FILTER (WHERE h.status = 'success'), 0) AS rewards,
            min(h.reward_amount) FILTER (WHERE h.status = 'success') AS min_reward,
            max(h.reward_amount) FILTER (WHERE h.status = 'success') AS max_reward,
            coalesce(sum(h.stake_returned) FILTER (WHERE h.status = 'success'), 0) AS stake_returned,
            sum(h.fee_charged) AS fees
        FROM harvest.harvests AS h
        WHERE h.block_index = n.block_index AND h.pooler_id = n.pooler_id
    ) AS e
    WHERE s.block_index = n.block_index AND s.pooler_id = n.pooler_id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.sum_blocks() FROM public;
CREATE TRIGGER trigger_harvests_sums AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION harvest.sum_blocks();

-- What was earned by hour, day and month (UTC), and ever: each harvest that was paid counts in the spans
-- in which it was settled. Only the database writes it, in the statements that write the harvests; what
-- is not written a second time does not count a second time. The keys begin with time: what is new is at
-- their ends.
CREATE TYPE harvest.span AS ENUM ('hour', 'day', 'month', 'all');
CREATE TABLE harvest.pooler_earnings (
    span harvest.span NOT NULL,
    starts_at harvest.moment NOT NULL,
    pooler_id uuid NOT NULL,
    -- Stroops of KALE.
    rewards bigint NOT NULL,
    harvests bigint NOT NULL,
    stake_returned bigint NOT NULL,
    PRIMARY KEY (span, starts_at, pooler_id)
) WITH (fillfactor = 50);
-- What a farmer earned ever is in harvest.balances.
CREATE TABLE harvest.farmer_earnings (
    span harvest.span NOT NULL CHECK (span <> 'all'),
    starts_at harvest.moment NOT NULL,
    farmer_id uuid NOT NULL,
    -- Stroops of KALE.
    rewards bigint NOT NULL,
    harvests bigint NOT NULL,
    stake_returned bigint NOT NULL,
    PRIMARY KEY (span, starts_at, farmer_id)
) WITH (fillfactor = 50);

-- The spans that a moment lies in; all of time begins in 2020, before which no event can be.
CREATE FUNCTION harvest.spans_of(moment timestamptz)
RETURNS TABLE (span harvest.span, starts_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
VALUES
    ('hour'::harvest.span, date_trunc('hour', moment, 'UTC')),
    ('day'::harvest.span, date_trunc('day', moment, 'UTC')),
    ('month'::harvest.span, date_trunc('month', moment, 'UTC')),
    ('all'::harvest.span, '2020-01-01 00:00Z'::timestamptz);
END;

CREATE FUNCTION harvest.sum_earnings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- In one order, so that two statements with the same poolers or farmers never wait crosswise.
    INSERT INTO harvest.pooler_earnings AS e (
        span, starts_at, pooler_id, rewards, harvests, stake_returned
    )
    SELECT s.span, s.starts_at, n.pooler_id, harvest.fit(sum(n.reward_amount)), count(*),
        harvest.fit(sum(n.stake_returned))
    FROM added AS n
    CROSS JOIN LATERAL harvest.spans_of(n.harvested_at) AS s
    WHERE n.status = 'success'
    GROUP BY s.span, s.starts_at, n.pooler_id
    ORDER BY s.span, s.starts_at, n.pooler_id
    ON CONFLICT (span, starts_at, pooler_id) DO UPDATE SET
        rewards = harvest.fit(e.rewards::numeric + excluded.rewards),
        harvests = e.harvests + excluded.harvests,
        stake_returned = harvest.fit(e.stake_returned::numeric + excluded.stake_returned);
    INSERT INTO harvest.farmer_earnings AS e (
        span, starts_at, farmer_id, rewards, harvests, stake_returned
    )
    SELECT s.span, s.starts_at, n.farmer_id, harvest.fit(sum(n.reward_amount)), count(*),
        harvest.fit(sum(n.stake_returned))
    FROM added AS n
    CROSS JOIN LATERAL harvest.spans_of(n.harvested_at) AS s
    WHERE n.status = 'success' AND s.span <> 'all'
    GROUP BY s.span, s.starts_at, n.farmer_id
    ORDER BY s.span, s.starts_at, n.farmer_id
    ON CONFLICT (span, starts_at, farmer_id) DO UPDATE SET
        rewards = harvest.fit(e.rewards::numeric + excluded.rewards),
        harvests = e.harvests + excluded.harvests,
        stake_returned = harvest.fit(e.stake_returned::numeric + excluded.stake_returned);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.sum_earnings() FROM public;
CREATE TRIGGER trigger_harvests_sums_of_time AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION harvest.sum_earnings();

CREATE TABLE harvest.batches (
    id uuid PRIMARY KEY,
    request_id text NOT NULL,
    pooler_id uuid NOT NULL,
    block_index int NOT NULL,
    digest bytea NOT NULL,
    created_at harvest.moment NOT NULL DEFAULT now(),
    completed_at harvest.moment,
    UNIQUE (pooler_id, request_id)
);
CREATE INDEX idx_batches_open ON harvest.batches (id) WHERE completed_at IS NULL;

CREATE TABLE harvest.batch_items (
    batch_id uuid NOT NULL REFERENCES harvest.batches (id),
    farmer_id uuid NOT NULL,
    id uuid NOT NULL,
    chunk int NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    -- Why wallet refused the chunk as a whole; empty when it did not.
    refusal text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    event_id uuid,
    PRIMARY KEY (batch_id, farmer_id)
);

-- Who asks again for what nobody has mended is answered by the operation that failed before. That leaves
-- no event, and is a try all the same.
CREATE FUNCTION harvest.note_repeats() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

CREATE TRIGGER trigger_balances_farmers AFTER INSERT ON harvest.balances
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();
CREATE TRIGGER trigger_batches_poolers AFTER INSERT ON harvest.batches
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();
CREATE TRIGGER trigger_batch_items_farmers AFTER INSERT ON harvest.batch_items
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();

-- The row that a pooler's plans lock, one after the other; nobody else can.
CREATE TABLE harvest.turns (
    pooler_id uuid PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

GRANT SELECT, INSERT ON harvest.harvests TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (taken_at) ON harvest.turns TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (completed_at) ON harvest.batches TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (refusal, message, event_id) ON harvest.batch_items TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (current_balance, total_rewards, harvests, updated_at)
ON harvest.balances TO kalepool_harvest;
GRANT SELECT ON harvest.pending TO kalepool_harvest;
GRANT SELECT ON harvest.block_sums, harvest.pooler_earnings, harvest.farmer_earnings
TO kalepool_harvest;
GRANT SELECT ON harvest.balances TO kalepool_registry;

-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA harvest TO kalepool_wallet;
GRANT SELECT ON harvest.harvests TO kalepool_wallet;
-- It tells what each KALE cost.
GRANT SELECT ON harvest.pooler_earnings TO kalepool_wallet;
