-- registry: poolers, farmers, and the requests that made or changed them.

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN registry.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE registry.farmer_status AS ENUM (
    'provisioning', 'active', 'suspended', 'leaving', 'departed'
);

CREATE TABLE registry.poolers (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL,
    public_key varchar(56) NOT NULL UNIQUE,
    api_endpoint varchar(512) NOT NULL DEFAULT '',
    max_farmers int NOT NULL CHECK (max_farmers BETWEEN 1 AND 1000),
    -- Kept in the transaction that adds or removes a farmer, under the row's lock.
    current_farmers int NOT NULL DEFAULT 0,
    is_active boolean NOT NULL DEFAULT true,
    last_seen registry.moment,
    created_at registry.moment NOT NULL DEFAULT now(),
    CHECK (current_farmers BETWEEN 0 AND max_farmers)
);

CREATE TABLE registry.farmers (
    id uuid PRIMARY KEY,
    -- Empty until wallet has made it.
    wallet_id uuid,
    custodial_public_key varchar(56) UNIQUE,
    pooler_id uuid NOT NULL REFERENCES registry.poolers (id),
    payout_wallet_address varchar(56) NOT NULL DEFAULT '',
    stake_percentage numeric(5, 4) NOT NULL DEFAULT 0.1
    CHECK (stake_percentage BETWEEN 0 AND 1),
    status registry.farmer_status NOT NULL DEFAULT 'provisioning',
    metadata jsonb NOT NULL DEFAULT '{}',
    -- The caller's request id, or a fresh one when it gave none.
    request_id text NOT NULL,
    -- SHA-256 of the request's arguments.
    digest bytea NOT NULL,
    created_at registry.moment NOT NULL DEFAULT now(),
    UNIQUE (pooler_id, request_id),
    CHECK ((status = 'provisioning') = (custodial_public_key IS NULL)),
    CHECK ((wallet_id IS NULL) = (custodial_public_key IS NULL))
);
CREATE INDEX idx_farmers_pooler_status ON registry.farmers (pooler_id, status);
CREATE INDEX idx_farmers_provisioning ON registry.farmers (id) WHERE status = 'provisioning';

-- What a request id has done, for requests that do not make a farmer. A change's method names what it
-- changes, so that one pooler's ids are not another's.
CREATE TABLE registry.requests (
    request_id text NOT NULL,
    method text NOT NULL,
    digest bytea NOT NULL,
    -- The pooler or farmer that it made or changed.
    subject_id uuid NOT NULL,
    created_at registry.moment NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id, method)
);

-- What names farmers, poolers or wallets in another schema is checked by these, not by foreign keys: a
-- foreign key takes a lock on the row that it names, so that one role could hold up what another one
-- has to do. Nothing of it is ever deleted.
CREATE FUNCTION registry.refuse_unknown_farmers() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added AS n
        WHERE NOT EXISTS (SELECT 1 FROM registry.farmers AS f WHERE f.id = n.farmer_id)
    ) THEN
        RAISE EXCEPTION '%.% names a farmer that there is not', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION registry.refuse_unknown_poolers() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added AS n
        WHERE NOT EXISTS (SELECT 1 FROM registry.poolers AS p WHERE p.id = n.pooler_id)
    ) THEN
        RAISE EXCEPTION '%.% names a pooler that there is not', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;
-- registry itself sees farmers' wallets only.
CREATE FUNCTION registry.refuse_unknown_wallet() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM wallet.wallets AS w WHERE w.id = NEW.wallet_id) THEN
        RAISE EXCEPTION 'there is no wallet %', NEW.wallet_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION registry.refuse_unknown_wallet() FROM public;
CREATE TRIGGER trigger_farmers_wallets AFTER INSERT OR UPDATE OF wallet_id ON registry.farmers
FOR EACH ROW WHEN (NEW.wallet_id IS NOT NULL) EXECUTE FUNCTION registry.refuse_unknown_wallet();

CREATE FUNCTION registry.refuse_loss() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%.% is never deleted from', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'foreign_key_violation';
END
$$;
CREATE TRIGGER trigger_poolers_stay BEFORE DELETE ON registry.poolers
FOR EACH ROW EXECUTE FUNCTION registry.refuse_loss();
CREATE TRIGGER trigger_farmers_stay BEFORE DELETE ON registry.farmers
FOR EACH ROW EXECUTE FUNCTION registry.refuse_loss();
CREATE TRIGGER trigger_poolers_no_truncate BEFORE TRUNCATE ON registry.poolers
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_loss();
CREATE TRIGGER trigger_farmers_no_truncate BEFORE TRUNCATE ON registry.farmers
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_loss();

GRANT USAGE ON SCHEMA registry
TO kalepool_registry, kalepool_wallet, kalepool_plant, kalepool_work, kalepool_harvest;
-- Of columns: the right to change a whole table is the right to lock it against everybody who reads it.
GRANT SELECT, INSERT,
UPDATE (name, api_endpoint, max_farmers, current_farmers, is_active, last_seen)
ON registry.poolers TO kalepool_registry;
GRANT SELECT, INSERT, UPDATE (
    wallet_id, custodial_public_key, payout_wallet_address, stake_percentage, status, metadata
) ON registry.farmers TO kalepool_registry;
GRANT SELECT, INSERT ON registry.requests TO kalepool_registry;
GRANT SELECT ON registry.poolers, registry.farmers
TO kalepool_wallet, kalepool_plant, kalepool_work, kalepool_harvest;

-- Who changed what of poolers and farmers, whatever way it came: written by the database itself, and
-- by nobody else. Heartbeats and counts are no changes.
CREATE TABLE registry.changes (
    number bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at registry.moment NOT NULL DEFAULT clock_timestamp(),
    -- The name in the caller's certificate; "loop" for what registry does by itself; empty for who
    -- came to the database another way.
    actor text NOT NULL,
    -- Who was logged in to the database.
    role text NOT NULL,
    relation text NOT NULL,
    row_id uuid NOT NULL,
    -- Of an update, the columns that differ; of an insert or a delete, all.
    before jsonb,
    after jsonb
);
CREATE INDEX idx_changes_row ON registry.changes (row_id, number);

CREATE FUNCTION registry.note_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    uncounted CONSTANT text[] := ARRAY['last_seen', 'current_farmers'];
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - uncounted END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - uncounted END;
    was jsonb := old_row;
    is_now jsonb := new_row;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF old_row = new_row THEN
            RETURN NULL;
        END IF;
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, new_row -> o.key)
        INTO was, is_now
        FROM jsonb_each(old_row) AS o WHERE o.value IS DISTINCT FROM new_row -> o.key;
    END IF;
    INSERT INTO registry.changes (actor, role, relation, row_id, before, after)
    VALUES (
        left(coalesce(current_setting('kalepool.actor', true), ''), 4096), session_user, TG_TABLE_NAME,
        (coalesce(new_row, old_row) ->> 'id')::uuid, was, is_now
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION registry.note_change() FROM public;
CREATE TRIGGER trigger_poolers_noted AFTER INSERT OR UPDATE OR DELETE ON registry.poolers
FOR EACH ROW EXECUTE FUNCTION registry.note_change();
CREATE TRIGGER trigger_farmers_noted AFTER INSERT OR UPDATE OR DELETE ON registry.farmers
FOR EACH ROW EXECUTE FUNCTION registry.note_change();

CREATE FUNCTION registry.refuse_change_of_changes() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'registry.changes is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER trigger_changes_append_only BEFORE UPDATE OR DELETE ON registry.changes
FOR EACH ROW EXECUTE FUNCTION registry.refuse_change_of_changes();
CREATE TRIGGER trigger_changes_no_truncate BEFORE TRUNCATE ON registry.changes
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_change_of_changes();
