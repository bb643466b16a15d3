-- registry: poolers, farmers, and the requests that made or changed them.

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN registry.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE registry.farmer_status AS ENUM (
    'provisioning', 'active', 'suspended', 'leaving', 'closing', 'departed'
);
-- A pooler on its way out, as a whole.
CREATE TYPE registry.pooler_stage AS ENUM ('farming', 'leaving', 'closing', 'departed');
-- Whose word it is that a farmer leaves, the stronger one later.
CREATE TYPE registry.leaving_word AS ENUM ('pooler', 'owner', 'operator');

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
    -- Since when its heartbeats have stopped; none while they come, or before the first.
    gone_since registry.moment,
    -- Wants to be in the public list, and lets farmers join by themselves.
    is_listed boolean NOT NULL DEFAULT false,
    is_open_to_join boolean NOT NULL DEFAULT false,
    stage registry.pooler_stage NOT NULL DEFAULT 'farming',
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
    -- As given at registration, and never changed here: wallet has its own sealed copy. registry's role has no
    -- right to change these columns.
    owner_account varchar(56) NOT NULL DEFAULT '',
    -- The terms that were in force; 0: none.
    terms_version int NOT NULL DEFAULT 0,
    -- Who registered it, and by what that was known.
    registered_by text NOT NULL DEFAULT '',
    proof text NOT NULL DEFAULT '',
    -- Its owner account registered it.
    joined_itself boolean NOT NULL DEFAULT false,
    UNIQUE (pooler_id, request_id),
    CHECK ((status = 'provisioning') = (custodial_public_key IS NULL)),
    CHECK ((wallet_id IS NULL) = (custodial_public_key IS NULL))
);
CREATE INDEX idx_farmers_pooler_status ON registry.farmers (pooler_id, status);
CREATE INDEX idx_farmers_provisioning ON registry.farmers (id) WHERE status = 'provisioning';
CREATE INDEX idx_farmers_joined ON registry.farmers (created_at) WHERE joined_itself;

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
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
UPDATE (
    name, api_endpoint, max_farmers, current_farmers, is_active, last_seen, gone_since, is_listed, is_open_to_join,
    stage
)
ON registry.poolers TO kalepool_registry;
GRANT SELECT, INSERT, UPDATE (
    wallet_id, custodial_public_key, payout_wallet_address, stake_percentage, status, metadata
) ON registry.farmers TO kalepool_registry;
GRANT SELECT, INSERT ON registry.requests TO kalepool_registry;
GRANT SELECT ON registry.poolers, registry.farmers
TO kalepool_wallet, kalepool_plant, kalepool_work, kalepool_harvest;

-- Who changed what of poolers and farmers, whatever way it came: written by the database itself, and
-- by nobody else. Heartbeats, counts and what became of deliveries are no changes.
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
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    uncounted CONSTANT text[] := ARRAY[
        'last_seen', 'gone_since', 'current_farmers', 'failing_since'
    ];
    -- What was personal is not written once more when it is removed.
    hidden CONSTANT text[] := CASE
        WHEN TG_TABLE_NAME = 'farmers' AND TG_OP = 'UPDATE' AND to_jsonb(NEW) ->> 'status' = 'departed'
            AND to_jsonb(OLD) ->> 'status' <> 'departed'
            THEN ARRAY['owner_account', 'metadata', 'payout_wallet_address']
        ELSE ARRAY[]::text[]
    END;
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - uncounted - hidden END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - uncounted - hidden END;
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
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'registry.changes is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER trigger_changes_append_only BEFORE UPDATE OR DELETE ON registry.changes
FOR EACH ROW EXECUTE FUNCTION registry.refuse_change_of_changes();
CREATE TRIGGER trigger_changes_no_truncate BEFORE TRUNCATE ON registry.changes
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_change_of_changes();

-- Notifications and webhooks ------------------------------------------------------------------------

-- What happened that poolers or operators want to be told.
CREATE TABLE registry.notifications (
    number bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    -- By which receivers know a repeat. Of a database that was restored the numbers come again, these do not.
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    -- Whom it concerns; none: operators, or everybody.
    pooler_id uuid,
    farmer_id uuid,
    is_public boolean NOT NULL DEFAULT false,
    -- The only webhook that it is for.
    webhook_id uuid,
    happened_at registry.moment NOT NULL DEFAULT now(),
    facts jsonb NOT NULL DEFAULT '{}',
    -- The row of wallet.notices that it was taken from: each is taken once.
    wallet_notice bigint UNIQUE,
    taken_at registry.moment NOT NULL DEFAULT now()
);
CREATE INDEX idx_notifications_pooler ON registry.notifications (pooler_id, number)
WHERE webhook_id IS NULL;
CREATE INDEX idx_notifications_farmer ON registry.notifications (farmer_id, number)
WHERE webhook_id IS NULL AND farmer_id IS NOT NULL;
CREATE INDEX idx_notifications_public ON registry.notifications (number)
WHERE webhook_id IS NULL AND is_public;
CREATE INDEX idx_notifications_tests ON registry.notifications (webhook_id, number)
WHERE webhook_id IS NOT NULL;
CREATE INDEX idx_notifications_taken ON registry.notifications (taken_at);
GRANT SELECT, INSERT ON registry.notifications TO kalepool_registry;

-- Addresses that notifications are sent to.
CREATE TABLE registry.webhooks (
    id uuid PRIMARY KEY,
    -- Whose it is; none: the operators'.
    pooler_id uuid REFERENCES registry.poolers (id),
    -- Only what concerns this farmer; none: all that the owner sees.
    farmer_id uuid REFERENCES registry.farmers (id),
    url text NOT NULL CHECK (octet_length(url) <= 4096),
    -- The only kinds that are sent; none: all.
    kinds text [] NOT NULL,
    -- Which of the keys (WEBHOOK_KEY) its secret is made from.
    key_name text NOT NULL CHECK (octet_length(key_name) = 16),
    created_by text NOT NULL CHECK (octet_length(created_by) <= 4096),
    created_at registry.moment NOT NULL DEFAULT now(),
    -- Since when every attempt has failed.
    failing_since registry.moment,
    disabled_at registry.moment,
    disabled_reason text NOT NULL DEFAULT '' CHECK (octet_length(disabled_reason) <= 400),
    deleted_at registry.moment,
    CONSTRAINT webhooks_disabled CHECK ((disabled_at IS NULL) = (disabled_reason = ''))
);
CREATE INDEX idx_webhooks_pooler ON registry.webhooks (pooler_id, id) WHERE deleted_at IS NULL;
GRANT SELECT, INSERT, UPDATE (failing_since, disabled_at, disabled_reason, deleted_at)
ON registry.webhooks TO kalepool_registry;
CREATE TRIGGER trigger_webhooks_noted AFTER INSERT OR UPDATE OR DELETE ON registry.webhooks
FOR EACH ROW EXECUTE FUNCTION registry.note_change();

CREATE TYPE registry.delivery_state AS ENUM (
    'queued', 'sending', 'delivered', 'failed', 'cancelled'
);

-- Each notification on its way to each webhook: made with the notification, by the database.
CREATE TABLE registry.deliveries (
    webhook_id uuid NOT NULL REFERENCES registry.webhooks (id),
    notification_number bigint NOT NULL REFERENCES registry.notifications (number),
    state registry.delivery_state NOT NULL DEFAULT 'queued',
    -- Attempts that were begun; the number of the one that is under way.
    attempts int NOT NULL DEFAULT 0,
    -- While queued: when the next attempt may begin. While sending: when the process that has it must be dead.
    due_at timestamptz NOT NULL DEFAULT now(),
    last_status int NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '' CHECK (octet_length(last_error) <= 1000),
    created_at registry.moment NOT NULL DEFAULT now(),
    ended_at registry.moment,
    PRIMARY KEY (webhook_id, notification_number),
    CONSTRAINT deliveries_ended CHECK (
        (ended_at IS NOT NULL) = (state IN ('delivered', 'failed', 'cancelled'))
    )
) WITH (fillfactor = 70);
CREATE INDEX idx_deliveries_open ON registry.deliveries (due_at) WHERE state IN ('queued', 'sending');
CREATE INDEX idx_deliveries_notification ON registry.deliveries (notification_number);
GRANT SELECT, UPDATE (state, attempts, due_at, last_status, last_error, ended_at)
ON registry.deliveries TO kalepool_registry;

CREATE FUNCTION registry.queue_deliveries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO registry.deliveries (webhook_id, notification_number)
    SELECT w.id, n.number
    FROM added AS n
    INNER JOIN registry.webhooks AS w ON
        (n.webhook_id IS NULL OR n.webhook_id = w.id)
        AND (w.pooler_id IS NULL OR w.pooler_id = n.pooler_id OR n.is_public)
        AND (w.farmer_id IS NULL OR w.farmer_id = n.farmer_id OR n.webhook_id = w.id)
        AND (cardinality(w.kinds) = 0 OR n.kind = ANY(w.kinds) OR n.webhook_id = w.id)
    WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL
    ORDER BY w.id, n.number;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION registry.queue_deliveries() FROM public;
CREATE TRIGGER trigger_notifications_queued AFTER INSERT ON registry.notifications
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.queue_deliveries();

-- registry's own notifications, in the statements that make the change.
CREATE FUNCTION registry.told_moment(moment timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

CREATE FUNCTION registry.tell_pooler() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO registry.notifications (kind, pooler_id, facts)
    VALUES (
        CASE WHEN NEW.gone_since IS NULL THEN 'pooler.back' ELSE 'pooler.gone' END,
        NEW.id,
        jsonb_strip_nulls(jsonb_build_object(
            'name', NEW.name,
            'lastSeen', registry.told_moment(NEW.last_seen),
            'goneSince', registry.told_moment(OLD.gone_since)
        ))
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION registry.tell_pooler() FROM public;
CREATE TRIGGER trigger_poolers_told AFTER UPDATE OF gone_since ON registry.poolers
FOR EACH ROW WHEN ((OLD.gone_since IS NULL) IS DISTINCT FROM (NEW.gone_since IS NULL))
EXECUTE FUNCTION registry.tell_pooler();

CREATE FUNCTION registry.tell_disabled_webhook() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE registry.deliveries AS d SET state = 'cancelled', ended_at = now()
    WHERE d.webhook_id = NEW.id AND d.state IN ('queued', 'sending');
    IF NEW.deleted_at IS NULL THEN
        INSERT INTO registry.notifications (kind, pooler_id, farmer_id, facts)
        VALUES (
            'webhook.disabled', NEW.pooler_id, NEW.farmer_id,
            jsonb_build_object('webhookId', NEW.id::text, 'reason', NEW.disabled_reason)
        );
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION registry.tell_disabled_webhook() FROM public;
CREATE TRIGGER trigger_webhooks_ended AFTER UPDATE OF disabled_at, deleted_at ON registry.webhooks
FOR EACH ROW WHEN (
    (OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL)
    OR (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
) EXECUTE FUNCTION registry.tell_disabled_webhook();

-- What was told longer ago than a number of seconds, never less than 31 days: wallet's notices are gone by
-- then, so that none is taken twice. Tests are forgotten after a day, and webhooks that were deleted with
-- their last delivery. Only this function deletes; it takes one page, and tells how many went.
CREATE FUNCTION registry.forget_notifications(seconds float8) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaving bigint[];
BEGIN
    SELECT array_agg(n.number) INTO leaving
    FROM (
        SELECT m.number FROM registry.notifications AS m
        WHERE m.taken_at < now() - make_interval(secs => greatest(seconds, 2678400))
           OR (m.webhook_id IS NOT NULL AND m.taken_at < now() - interval '1 day')
        ORDER BY m.number LIMIT 1000
    ) AS n;
    DELETE FROM registry.deliveries AS d WHERE d.notification_number = ANY(leaving);
    DELETE FROM registry.notifications AS m WHERE m.number = ANY(leaving);
    DELETE FROM registry.webhooks AS w
    WHERE w.deleted_at < now() - interval '1 day'
      AND NOT EXISTS (SELECT 1 FROM registry.deliveries AS d WHERE d.webhook_id = w.id);
    RETURN coalesce(cardinality(leaving), 0);
END
$$;
REVOKE ALL ON FUNCTION registry.forget_notifications(float8) FROM public;
GRANT EXECUTE ON FUNCTION registry.forget_notifications(float8) TO kalepool_registry;

-- Terms ---------------------------------------------------------------------------------------------

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
-- The public list of poolers shows their terms.
GRANT SELECT ON registry.terms TO kalepool_harvest;

-- The lock of this row is the turn of who joins a pooler by itself: one at a time, so that what has joined within
-- a day is counted once.
CREATE TABLE registry.join_turn (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO registry.join_turn DEFAULT VALUES;
GRANT SELECT, UPDATE (taken_at) ON registry.join_turn TO kalepool_registry;

-- Leaving -------------------------------------------------------------------------------------------

-- Who asked that a farmer, or a pooler as a whole, leaves, and what it still waits for. The statuses say how far it
-- is; the row stays when the leaving is called off, or done.
CREATE TABLE registry.leavings (
    -- The farmer, or the pooler.
    owner_id uuid PRIMARY KEY,
    is_pooler boolean NOT NULL,
    word registry.leaving_word NOT NULL,
    asked_by text NOT NULL CHECK (octet_length(asked_by) <= 4096),
    asked_at registry.moment NOT NULL DEFAULT now(),
    -- It leaves because its pooler does.
    with_pooler boolean NOT NULL DEFAULT false,
    -- Number of the newest signed wish that was carried out: each is once.
    wish int NOT NULL DEFAULT 0,
    -- Why it has not left yet, for machines and for people; empty: that was not looked at.
    waits_for text NOT NULL DEFAULT '' CHECK (octet_length(waits_for) <= 100),
    message text NOT NULL DEFAULT '' CHECK (octet_length(message) <= 4000),
    -- When it is looked at next; while a process does, when that must be dead.
    due_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_leavings_due ON registry.leavings (due_at);
GRANT SELECT, INSERT, UPDATE (word, asked_by, asked_at, with_pooler, wish, waits_for, message, due_at)
ON registry.leavings TO kalepool_registry;

-- What is personal of a farmer goes with it, in the statement by which it has left: nobody leaves otherwise.
CREATE FUNCTION registry.forget_who_left() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.status <> 'closing' THEN
        RAISE EXCEPTION 'farmer % has not closed its account', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.owner_account := '';
    NEW.metadata := '{}';
    NEW.payout_wallet_address := '';
    RETURN NEW;
END
$$;
CREATE TRIGGER trigger_farmers_forgotten BEFORE UPDATE OF status ON registry.farmers
FOR EACH ROW WHEN (NEW.status = 'departed' AND OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION registry.forget_who_left();

CREATE FUNCTION registry.tell_leaving() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO registry.notifications (kind, pooler_id, farmer_id, facts)
    VALUES (
        CASE WHEN NEW.status = 'departed' THEN 'farmer.left' ELSE 'farmer.leaving' END,
        NEW.pooler_id, NEW.id, jsonb_build_object('address', NEW.custodial_public_key)
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION registry.tell_leaving() FROM public;
CREATE TRIGGER trigger_farmers_leaving_told AFTER UPDATE OF status ON registry.farmers
FOR EACH ROW WHEN (
    (NEW.status = 'leaving' AND OLD.status IN ('active', 'suspended'))
    OR (NEW.status = 'departed' AND OLD.status IS DISTINCT FROM NEW.status)
) EXECUTE FUNCTION registry.tell_leaving();
