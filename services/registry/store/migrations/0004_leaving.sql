-- Farmers and poolers leave: what that takes, step by step.
ALTER TYPE registry.farmer_status ADD VALUE 'closing' BEFORE 'departed';
CREATE TYPE registry.pooler_stage AS ENUM ('farming', 'leaving', 'closing', 'departed');
CREATE TYPE registry.leaving_word AS ENUM ('pooler', 'owner', 'operator');
ALTER TABLE registry.poolers ADD COLUMN stage registry.pooler_stage NOT NULL DEFAULT 'farming';
GRANT UPDATE (stage) ON registry.poolers TO kalepool_registry;

CREATE OR REPLACE FUNCTION registry.note_change() RETURNS trigger
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
