-- The KEK over the data keys can be rotated while the pool runs.

-- Rotation of the key-encryption key (KEK): only how a data key is wrapped ever changes.
GRANT UPDATE (kek_id, wrapped_data_key) ON wallet.sealed_keys TO kalepool_wallet;
CREATE INDEX idx_sealed_keys_kek ON wallet.sealed_keys (kek_id, wallet_id);

-- A lost or changed seed is lost money: nobody does it by mistake, whatever rights they have.
CREATE FUNCTION wallet.refuse_change_of_seed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the sealed seed of wallet % never changes and is never deleted', OLD.wallet_id;
END
$$;
CREATE TRIGGER sealed_keys_seeds_stay BEFORE UPDATE ON wallet.sealed_keys
FOR EACH ROW WHEN (
    (OLD.wallet_id, OLD.nonce, OLD.sealed_seed, OLD.created_at)
    IS DISTINCT FROM (NEW.wallet_id, NEW.nonce, NEW.sealed_seed, NEW.created_at)
) EXECUTE FUNCTION wallet.refuse_change_of_seed();
CREATE TRIGGER sealed_keys_rows_stay BEFORE DELETE ON wallet.sealed_keys
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change_of_seed();

CREATE TABLE wallet.key_rotations (
    id uuid PRIMARY KEY,
    -- The KEK under which all data keys are to be.
    kek_id text NOT NULL,
    rewrapped int NOT NULL DEFAULT 0 CHECK (rewrapped >= 0),
    -- Data keys that did not open; they stayed as they were.
    failed int NOT NULL DEFAULT 0 CHECK (failed >= 0),
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX idx_key_rotations_one_open ON wallet.key_rotations ((ended_at IS NULL))
WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE (rewrapped, failed, ended_at) ON wallet.key_rotations
TO kalepool_wallet;
