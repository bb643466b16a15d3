-- Classic payments belong to payer accounts, so that the ledger itself refuses to make one twice.

-- A payment of a payer ends with a BumpSequence to this number: the account stands there if, and only
-- if, the transaction succeeded. Null for all other transactions.
ALTER TABLE wallet.transactions ADD COLUMN bump_to bigint;
ALTER TABLE wallet.transactions
ADD CONSTRAINT transactions_bump_to CHECK (bump_to > sequence);
CREATE INDEX idx_transactions_payers ON wallet.transactions (source, bump_to)
WHERE bump_to IS NOT NULL;

-- Why a payer may not sign: its number and the records do not agree. Empty: it may.
ALTER TABLE wallet.wallets ADD COLUMN stopped text NOT NULL DEFAULT '';

-- The payer that a payment (withdraw, top_up) belongs to, for ever: by the number of that account the
-- ledger tells which of all its envelopes was paid.
CREATE TABLE wallet.payments (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    payer_id uuid NOT NULL REFERENCES wallet.wallets (id)
);
CREATE INDEX idx_payments_payer ON wallet.payments (payer_id, operation_id);

-- Payers that may be given payments, the one with the fewest first: its place, and how many there are.
CREATE FUNCTION wallet.free_payers() RETURNS TABLE (id uuid, place bigint, count bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT
    w.id,
    row_number() OVER (ORDER BY w.status = 'pending', count(b.payer_id), w.id) AS place,
    count(*) OVER () AS count
FROM wallet.wallets AS w
LEFT JOIN (
    SELECT p.payer_id
    FROM wallet.operations AS o
    INNER JOIN wallet.payments AS p ON o.id = p.operation_id
    WHERE o.state IN ('queued', 'signed', 'sent') AND o.kind IN ('withdraw', 'top_up')
) AS b ON w.id = b.payer_id
WHERE w.kind = 'payer' AND w.stopped = ''
GROUP BY w.id;
END;

-- Numbers that payers were shown to stand at, as far as these are targets of payments that no
-- succeeded envelope tells of: what was settled by them counts as made, and is made good when the
-- number turns out to have been a lie.
CREATE TABLE wallet.shown_targets (
    payer_id uuid NOT NULL REFERENCES wallet.wallets (id),
    target bigint NOT NULL,
    PRIMARY KEY (payer_id, target)
);

CREATE FUNCTION wallet.refuse_change_of_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'a payment belongs to its payer for ever';
END
$$;
CREATE TRIGGER payments_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet.payments
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change_of_payment();

-- No envelope carries a payment but one of the payer that the payment belongs to.
CREATE FUNCTION wallet.refuse_foreign_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    foreign_payment uuid;
BEGIN
    SELECT n.operation_id INTO foreign_payment
    FROM added AS n
    INNER JOIN wallet.operations AS o ON n.operation_id = o.id
    INNER JOIN wallet.transactions AS t ON n.transaction_id = t.id
    LEFT JOIN wallet.payments AS p ON n.operation_id = p.operation_id
    LEFT JOIN wallet.wallets AS w ON p.payer_id = w.id
    WHERE o.kind IN ('withdraw', 'top_up')
      AND (t.bump_to IS NULL OR w.address IS DISTINCT FROM t.source)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is not one of this payer', foreign_payment;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER transaction_operations_payers AFTER INSERT ON wallet.transaction_operations
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_foreign_payment();

GRANT SELECT, INSERT ON wallet.payments, wallet.shown_targets TO kalepool_wallet;
GRANT UPDATE (stopped) ON wallet.wallets TO kalepool_wallet;
