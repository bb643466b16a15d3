-- harvest: harvests (append-only events), balances, and the batches that made them.

GRANT USAGE ON SCHEMA harvest TO kalepool_harvest, kalepool_registry;

CREATE TYPE harvest.harvest_status AS ENUM ('success', 'failed');

CREATE TABLE harvest.harvests (
    -- wallet's operation, or the batch item when none was made.
    id uuid NOT NULL,
    block_index int NOT NULL CHECK (block_index >= 0),
    farmer_id uuid NOT NULL REFERENCES registry.farmers (id),
    pooler_id uuid NOT NULL REFERENCES registry.poolers (id),
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
    harvested_at timestamptz NOT NULL,
    PRIMARY KEY (block_index, id)
) PARTITION BY RANGE (block_index);

CREATE INDEX idx_harvests_block_farmer ON harvest.harvests (block_index, farmer_id);
CREATE INDEX idx_harvests_pooler_block ON harvest.harvests (pooler_id, block_index DESC, id DESC);
-- A block is harvested once for a farmer.
CREATE UNIQUE INDEX idx_harvests_once ON harvest.harvests (block_index, farmer_id)
WHERE status = 'success';
-- What is still to be harvested is found without reading the harvests themselves.
CREATE INDEX idx_harvests_failed ON harvest.harvests (block_index, farmer_id) INCLUDE (reason)
WHERE status = 'failed';

-- Partitions of 10,000 blocks (about 35 days), made when the first block of each is planned.
CREATE FUNCTION harvest.ensure_partition(block int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    low int := block / 10000 * 10000;
    name text := format('harvests_%s', low);
BEGIN
    IF to_regclass(format('harvest.%I', name)) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('harvest.ensure_partition'));
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS harvest.%I PARTITION OF harvest.harvests FOR VALUES FROM (%s) TO (%s)',
            name, low, low::bigint + 10000);
    END IF;
END $$;
REVOKE ALL ON FUNCTION harvest.ensure_partition(int) FROM public;
GRANT EXECUTE ON FUNCTION harvest.ensure_partition(int) TO kalepool_harvest;

CREATE FUNCTION harvest.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER trigger_harvests_append_only BEFORE UPDATE OR DELETE ON harvest.harvests
FOR EACH ROW EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_harvests_no_truncate BEFORE TRUNCATE ON harvest.harvests
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();

-- What each farmer has earned; changes in the statement that writes the event.
CREATE TABLE harvest.balances (
    farmer_id uuid PRIMARY KEY REFERENCES registry.farmers (id),
    current_balance bigint NOT NULL CHECK (current_balance >= 0),
    total_rewards bigint NOT NULL,
    harvests int NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE harvest.batches (
    id uuid PRIMARY KEY,
    request_id text NOT NULL,
    pooler_id uuid NOT NULL REFERENCES registry.poolers (id),
    block_index int NOT NULL,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    UNIQUE (pooler_id, request_id)
);
CREATE INDEX idx_batches_open ON harvest.batches (id) WHERE completed_at IS NULL;

CREATE TABLE harvest.batch_items (
    batch_id uuid NOT NULL REFERENCES harvest.batches (id),
    farmer_id uuid NOT NULL REFERENCES registry.farmers (id),
    id uuid NOT NULL,
    chunk int NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    -- Why wallet refused the chunk as a whole; empty when it did not.
    refusal text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    event_id uuid,
    PRIMARY KEY (batch_id, farmer_id)
);

GRANT SELECT, INSERT ON harvest.harvests TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (completed_at) ON harvest.batches TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (refusal, message, event_id) ON harvest.batch_items TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE ON harvest.balances TO kalepool_harvest;
GRANT SELECT ON harvest.balances TO kalepool_registry;
