-- The limits of a day are held against what is still to leave and what has left lately, whenever it was
-- asked for.
DROP INDEX wallet.idx_withdrawals_recent;
CREATE INDEX idx_operations_withdrawn ON wallet.operations (settled_at)
WHERE kind = 'withdraw' AND state NOT IN ('failed', 'expired');

-- DELETE was refused to everybody, TRUNCATE was not.
CREATE FUNCTION wallet.refuse_loss_of_seeds() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'sealed seeds are never deleted';
END
$$;
CREATE TRIGGER sealed_keys_stay BEFORE TRUNCATE ON wallet.sealed_keys
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_loss_of_seeds();

-- The outside address of a wallet that counts now; empty or null: withdrawals have stopped. `since` is
-- a moment that was before now: what has counted by then counts, also when the clock was set back.
CREATE FUNCTION wallet.payout_address(wallet_id uuid, since timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT a.address
    FROM (
        SELECT
            p.number,
            p.address,
            p.effective_at,
            lead(p.registered_at) OVER (ORDER BY p.number) AS replaced_at,
            max(p.registered_at) OVER () AS newest
        FROM wallet.payout_addresses AS p
        WHERE p.wallet_id = payout_address.wallet_id
    ) AS a
    WHERE a.effective_at <= least(a.replaced_at, greatest(now(), a.newest, since))
    ORDER BY a.number DESC
    LIMIT 1
);
