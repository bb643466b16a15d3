-- Payouts, the fees that are paid with them, and what is paid from poolers' custodial accounts.

ALTER TABLE wallet.wallets DROP CONSTRAINT wallets_owner;
-- A farmer's wallet belongs to the farmer, and a pooler's custodial account to the pooler.
ALTER TABLE wallet.wallets ADD CONSTRAINT wallets_owner CHECK (
    (kind = 'farmer') = (farmer_id IS NOT NULL)
    AND (kind IN ('farmer', 'pooler')) = (pooler_id IS NOT NULL)
);
CREATE UNIQUE INDEX idx_wallets_one_of_pooler ON wallet.wallets (pooler_id) WHERE kind = 'pooler';
-- The treasury sponsors the reserves of poolers' accounts, too: the pool's budget of a day counts them.
CREATE INDEX idx_wallets_sponsored_poolers ON wallet.wallets (created_at) WHERE kind = 'pooler';

-- What payers carry, and what counts into the sums of a day, is more now.
DROP INDEX wallet.idx_operations_payments;
CREATE INDEX idx_operations_payments ON wallet.operations (id)
WHERE kind IN ('withdraw', 'top_up', 'payout', 'pool_payment');
DROP INDEX wallet.idx_operations_withdrawn;
CREATE INDEX idx_operations_withdrawn ON wallet.operations (settled_at, id)
WHERE kind IN ('withdraw', 'payout') AND state NOT IN ('failed', 'expired');
DROP INDEX wallet.idx_operations_refused;
CREATE INDEX idx_operations_refused ON wallet.operations (settled_at, id)
WHERE kind IN ('withdraw', 'payout', 'pool_payment') AND state IN ('failed', 'expired');

CREATE OR REPLACE FUNCTION wallet.free_payers() RETURNS TABLE (id uuid, place bigint, count bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT
    w.id,
    row_number() OVER (
        ORDER BY
            w.status = 'pending',
            coalesce(b.is_busy::int + b.payments / 19, 0),
            coalesce(b.payments, 0),
            w.id
    ) AS place,
    count(*) OVER () AS count
FROM wallet.wallets AS w
LEFT JOIN (
    SELECT p.payer_id, count(*) AS payments, bool_or(o.state <> 'queued') AS is_busy
    FROM wallet.operations AS o
    INNER JOIN wallet.payments AS p ON o.id = p.operation_id
    WHERE o.state IN ('queued', 'signed', 'sent')
      AND o.kind IN ('withdraw', 'top_up', 'payout', 'pool_payment')
    GROUP BY p.payer_id
) AS b ON w.id = b.payer_id
WHERE w.kind = 'payer' AND w.stopped = '';
END;

CREATE OR REPLACE FUNCTION wallet.refuse_foreign_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    foreign_payment uuid;
BEGIN
    SELECT n.operation_id INTO foreign_payment
    FROM added AS n
    INNER JOIN wallet.operations AS o ON n.operation_id = o.id
    INNER JOIN wallet.transactions AS t ON n.transaction_id = t.id
    LEFT JOIN wallet.payments AS p ON n.operation_id = p.operation_id
    LEFT JOIN wallet.wallets AS w ON p.payer_id = w.id
    WHERE o.kind IN ('withdraw', 'top_up', 'payout', 'pool_payment')
      AND (t.bump_to IS NULL OR w.address IS DISTINCT FROM t.source)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is not one of this payer', foreign_payment;
    END IF;
    RETURN NULL;
END
$$;

-- A farmer's own part of its KALE (to its payout address; none: fees alone) and the fees that are paid with it:
-- the pooler's and its miners' to the pooler's custodial account, the operator's to the operator's address.
-- One operation makes all of them, or none. What became of it is in its operation.
CREATE TABLE wallet.payouts (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    -- From 1 on, without gaps, of each wallet: by that one that is gone is noticed.
    number int NOT NULL CHECK (number >= 1),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    amount bigint NOT NULL CHECK (amount >= 0),
    destination varchar(56) NOT NULL,
    pooler bigint NOT NULL CHECK (pooler >= 0),
    operator bigint NOT NULL CHECK (operator >= 0),
    miners bigint NOT NULL CHECK (miners >= 0),
    pooler_account varchar(56) NOT NULL,
    operator_account varchar(56) NOT NULL,
    requested_at wallet.moment NOT NULL DEFAULT now(),
    mac bytea CHECK (octet_length(mac) = 34),
    UNIQUE (wallet_id, number),
    UNIQUE (wallet_id, request_id),
    CONSTRAINT payouts_something CHECK (amount > 0 OR pooler > 0 OR operator > 0 OR miners > 0),
    CONSTRAINT payouts_places CHECK (
        (amount > 0) = (destination <> '')
        AND (pooler > 0 OR miners > 0) = (pooler_account <> '')
        AND (operator > 0) = (operator_account <> '')
    )
);
CREATE INDEX idx_payouts_requested ON wallet.payouts (requested_at, operation_id);

-- What is paid from a pooler's custodial account: to a miner, or to the pooler itself.
CREATE TABLE wallet.pool_payments (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    number int NOT NULL CHECK (number >= 1),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    is_miner boolean NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    destination varchar(56) NOT NULL,
    requested_at wallet.moment NOT NULL DEFAULT now(),
    mac bytea CHECK (octet_length(mac) = 34),
    UNIQUE (wallet_id, number),
    UNIQUE (wallet_id, request_id, is_miner, destination)
);
CREATE INDEX idx_pool_payments_requested ON wallet.pool_payments (requested_at, operation_id);

-- A number that leaves no room for the next one would keep an account from ever paying again.
CREATE FUNCTION wallet.refuse_odd_number() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last int;
BEGIN
    EXECUTE format(
        'SELECT max(p.number) FROM %I.%I AS p WHERE p.wallet_id = $1', TG_TABLE_SCHEMA, TG_TABLE_NAME
    ) INTO last USING NEW.wallet_id;
    IF NEW.number <> coalesce(last, 0) + 1 OR NEW.requested_at > greatest(now(), clock_timestamp()) THEN
        RAISE EXCEPTION 'payment % of a wallet does not follow payment %', NEW.number, last
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER payouts_follow BEFORE INSERT ON wallet.payouts
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_number();
CREATE TRIGGER pool_payments_follow BEFORE INSERT ON wallet.pool_payments
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_number();

-- When blocks opened, as wallet itself saw it: by that a block goes by one agreement or another.
CREATE TABLE wallet.block_openings (
    block_index int PRIMARY KEY CHECK (block_index >= 0),
    opened_at timestamptz NOT NULL,
    mac bytea CHECK (octet_length(mac) = 34),
    CONSTRAINT block_openings_told CHECK (
        opened_at BETWEEN '1970-01-01 00:00:00Z' AND '9999-12-31 23:59:59Z'
    )
);

-- Sums of the fees that are agreed of a farmer's rewards, and of what was paid of them, up to a block and a
-- payout, so that not everything is counted anew each time; of a pooler's account what was paid from it.
CREATE TABLE wallet.fee_marks (
    wallet_id uuid PRIMARY KEY REFERENCES wallet.wallets (id),
    until_block int NOT NULL CHECK (until_block >= -1),
    -- Which of the 2,016 blocks up to that one are in the sums, a bit each.
    blocks bytea NOT NULL CHECK (octet_length(blocks) = 252),
    pooler bigint NOT NULL CHECK (pooler >= 0),
    operator bigint NOT NULL CHECK (operator >= 0),
    miners bigint NOT NULL CHECK (miners >= 0),
    until_number int NOT NULL CHECK (until_number >= 0),
    paid_pooler bigint NOT NULL CHECK (paid_pooler >= 0),
    paid_operator bigint NOT NULL CHECK (paid_operator >= 0),
    paid_miners bigint NOT NULL CHECK (paid_miners >= 0),
    made_at wallet.moment NOT NULL DEFAULT now(),
    mac bytea CHECK (octet_length(mac) = 34)
) WITH (fillfactor = 50);
-- Whose sums are the oldest.
CREATE INDEX idx_fee_marks_made ON wallet.fee_marks (made_at, wallet_id);

-- The newest payment of an account by the log: whoever deletes its row would have it made again.
CREATE INDEX idx_audit_log_payouts ON wallet.audit_log (action, subject, number)
WHERE action IN ('pay_farmer', 'pay_from_pooler');

GRANT SELECT, INSERT, UPDATE (mac) ON wallet.payouts, wallet.pool_payments TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (opened_at, mac) ON wallet.block_openings TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (
    until_block, blocks, pooler, operator, miners, until_number, paid_pooler, paid_operator, paid_miners,
    made_at, mac
) ON wallet.fee_marks TO kalepool_wallet;

-- What a farmer was paid, or was to be paid by a payout; fees alone are told to nobody.
CREATE FUNCTION wallet.tell_farmer_payout() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, facts)
    SELECT
        format('payout %s %s', NEW.id, NEW.state),
        CASE WHEN NEW.state = 'succeeded' THEN 'payout.made' ELSE 'payout.failed' END,
        w.pooler_id,
        w.farmer_id,
        jsonb_strip_nulls(jsonb_build_object(
            'payoutId', NEW.id::text,
            'asset', 'kale',
            'amountStroops', d.amount::text,
            'destination', d.destination,
            'transactionHash', t.hash,
            'ledger', CASE WHEN NEW.state = 'succeeded' THEN NEW.ledger::text END,
            'reason', NEW.reason,
            'message', nullif(NEW.error_message, '')
        ))
    FROM wallet.payouts AS d
    INNER JOIN wallet.wallets AS w ON d.wallet_id = w.id
    LEFT JOIN wallet.transactions AS t ON t.id = NEW.transaction_id AND NEW.state = 'succeeded'
    WHERE d.operation_id = NEW.id AND d.amount > 0
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.tell_farmer_payout() FROM public;
CREATE TRIGGER operations_farmer_payouts_told AFTER UPDATE OF state ON wallet.operations
FOR EACH ROW WHEN (
    NEW.kind = 'payout' AND NEW.state IN ('succeeded', 'failed', 'expired')
    AND OLD.state IS DISTINCT FROM NEW.state
) EXECUTE FUNCTION wallet.tell_farmer_payout();
