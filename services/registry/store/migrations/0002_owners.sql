-- Terms that poolers publish, and what farmers said when they joined.

-- What a pooler offers, a version for each change: shown before a farmer joins, and never changed.
-- Parts are in ten-thousandths. What a farmer has agreed to is sealed in wallet.
CREATE TABLE registry.terms (
    pooler_id uuid NOT NULL REFERENCES registry.poolers (id),
    version int NOT NULL CHECK (version >= 1),
    stake_bps int NOT NULL CHECK (stake_bps BETWEEN 0 AND 10000),
    pooler_bps int NOT NULL CHECK (pooler_bps BETWEEN 0 AND 10000),
    -- The miners' part of the pooler's.
    miners_bps int NOT NULL CHECK (miners_bps BETWEEN 0 AND 10000),
    payout_threshold bigint NOT NULL CHECK (payout_threshold >= 0),
    payout_interval_seconds int NOT NULL CHECK (payout_interval_seconds >= 0),
    harvest_blocks int NOT NULL CHECK (harvest_blocks BETWEEN 1 AND 20),
    -- What the pooler says besides.
    text text NOT NULL CHECK (octet_length(text) <= 32768),
    -- SHA-256 of all of it.
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    published_by text NOT NULL CHECK (octet_length(published_by) <= 4096),
    published_at registry.moment NOT NULL DEFAULT now(),
    PRIMARY KEY (pooler_id, version)
);
CREATE FUNCTION registry.refuse_change_of_terms() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'registry.terms is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER trigger_terms_append_only BEFORE UPDATE OR DELETE ON registry.terms
FOR EACH ROW EXECUTE FUNCTION registry.refuse_change_of_terms();
CREATE TRIGGER trigger_terms_no_truncate BEFORE TRUNCATE ON registry.terms
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_change_of_terms();
GRANT SELECT, INSERT ON registry.terms TO kalepool_registry;

-- As given at registration, and never changed here: wallet has its own sealed copy. registry's role has no
-- right to change these columns.
ALTER TABLE registry.farmers ADD COLUMN owner_account varchar(56) NOT NULL DEFAULT '';
-- The terms that were in force; 0: none.
ALTER TABLE registry.farmers ADD COLUMN terms_version int NOT NULL DEFAULT 0;
-- Who registered it, and by what that was known.
ALTER TABLE registry.farmers ADD COLUMN registered_by text NOT NULL DEFAULT '';
ALTER TABLE registry.farmers ADD COLUMN proof text NOT NULL DEFAULT '';
