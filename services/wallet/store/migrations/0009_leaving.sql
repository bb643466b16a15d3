-- Farmers sign that they leave; keys of closed accounts are destroyed after a while.
-- Closings among all operations, of one wallet and of all.
CREATE INDEX idx_operations_closings ON wallet.operations (wallet_id, id) WHERE kind = 'close_account';
-- Signed wishes of farmers to leave, numbered: registry carries them out.
CREATE TABLE wallet.leave_wishes (
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    number int NOT NULL CHECK (number >= 1),
    farmer_id uuid NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    signed_at wallet.moment NOT NULL DEFAULT now(),
    PRIMARY KEY (wallet_id, number)
);
CREATE INDEX idx_leave_wishes_signed ON wallet.leave_wishes (signed_at);
GRANT SELECT, INSERT ON wallet.leave_wishes TO kalepool_wallet;
GRANT SELECT ON wallet.leave_wishes TO kalepool_registry;
-- Keys of accounts that are closed, and since when this is known: by the database's clock, which no role sets. They are
-- destroyed later, a day later at the earliest, so that a row that wallet did not mean is told in time.
CREATE TABLE wallet.retired_keys (
    wallet_id uuid PRIMARY KEY REFERENCES wallet.wallets (id),
    retired_at wallet.moment NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT (wallet_id) ON wallet.retired_keys TO kalepool_wallet;
CREATE OR REPLACE FUNCTION wallet.refuse_change_of_seed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT 1 FROM wallet.retired_keys AS r
        WHERE r.wallet_id = OLD.wallet_id AND r.retired_at <= now() - interval '1 day'
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the sealed seed of wallet % never changes and is never deleted', OLD.wallet_id;
END
$$;
-- Destroys the key of a closed account; false: there is none.
CREATE FUNCTION wallet.destroy_key(retired uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM wallet.sealed_keys AS k WHERE k.wallet_id = retired;
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION wallet.destroy_key(uuid) FROM public;
GRANT EXECUTE ON FUNCTION wallet.destroy_key(uuid) TO kalepool_wallet;
