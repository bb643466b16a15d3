-- Roots of the pool's claims, and the kind of operation that writes the newest one to the chain.

ALTER TYPE wallet.operation_kind ADD VALUE 'data_entry';

-- Roots of the pool's claims, which harvest asks for by the day: the newest one stands in a data entry of the
-- treasury's account. What became of each is in its operation.
CREATE TABLE wallet.data_entries (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    -- Days since 1970.
    day int NOT NULL UNIQUE CHECK (day >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    requested_at wallet.moment NOT NULL DEFAULT now(),
    mac bytea CHECK (octet_length(mac) = 34)
);

-- A day that is still to come would keep every later root from being asked for.
CREATE FUNCTION wallet.refuse_odd_data_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.day > floor(extract(epoch FROM now()))::bigint / 86400
        OR NEW.requested_at > greatest(now(), clock_timestamp())
        OR EXISTS (SELECT 1 FROM wallet.data_entries AS d WHERE d.day > NEW.day)
    THEN
        RAISE EXCEPTION 'the root of day % does not follow, or is still to come', NEW.day
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER data_entries_follow BEFORE INSERT ON wallet.data_entries
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_data_entry();

CREATE FUNCTION wallet.refuse_change_of_data_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a root that was asked for stays';
END
$$;
CREATE TRIGGER data_entries_stay
BEFORE UPDATE OF operation_id, day, root, requested_at OR DELETE OR TRUNCATE ON wallet.data_entries
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change_of_data_entry();
GRANT SELECT, INSERT, UPDATE (mac) ON wallet.data_entries TO kalepool_wallet;
