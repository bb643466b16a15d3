-- What farmers have agreed to, the accounts that speak for them, and poolers that farm for themselves.

-- Rows of one thing are numbered without gaps, in the order of time: a number that leaves no room for the
-- next one would keep it from ever changing, and what counts from a moment before it was recorded would
-- change what is past. The trigger's argument is the column that says what a row is of.
CREATE FUNCTION wallet.refuse_odd_version() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    EXECUTE format(
        'SELECT v.number, v.registered_at FROM wallet.%I AS v WHERE v.%I = ($1 ->> %L)::uuid '
        'ORDER BY v.number DESC LIMIT 1',
        TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[0]
    ) INTO last USING to_jsonb(NEW);
    IF NEW.number <> coalesce(last.number, 0) + 1
        OR NEW.registered_at < last.registered_at
        OR NEW.registered_at > greatest(now(), clock_timestamp(), last.registered_at)
        OR NEW.effective_at < NEW.registered_at
    THEN
        RAISE EXCEPTION '% % does not follow %', TG_TABLE_NAME, NEW.number, last.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

-- What a farmer has agreed to, a row for each change: the newest that is effective counts. Parts are in
-- ten-thousandths; the miners' part is a part of the pooler's.
CREATE TABLE wallet.agreements (
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    number int NOT NULL CHECK (number >= 1),
    -- What a plant stakes of the balance at most.
    stake_bps int NOT NULL CHECK (stake_bps BETWEEN 0 AND 10000),
    pooler_bps int NOT NULL CHECK (pooler_bps >= 0),
    operator_bps int NOT NULL CHECK (operator_bps >= 0),
    miners_bps int NOT NULL CHECK (miners_bps BETWEEN 0 AND 10000),
    -- Stroops of KALE from which on it is paid out; 0: whatever there is.
    payout_threshold bigint NOT NULL CHECK (payout_threshold >= 0),
    -- Seconds after which it is paid out at the latest; 0: by the threshold alone.
    payout_interval_seconds int NOT NULL CHECK (payout_interval_seconds >= 0),
    -- Blocks that are harvested together.
    harvest_blocks int NOT NULL CHECK (harvest_blocks BETWEEN 1 AND 20),
    given_by text NOT NULL CHECK (octet_length(given_by) <= 4096),
    -- By what whoever gave it was known; of those, only a signature is the farmer's own.
    proof text NOT NULL CHECK (proof IN ('certificate', 'token', 'signature', 'operator', 'plaintext')),
    -- The pooler's terms as registry published them; 0: none.
    terms_version int NOT NULL CHECK (terms_version >= 0),
    terms_digest bytea NOT NULL CHECK (octet_length(terms_digest) = 32),
    signature bytea CHECK (octet_length(signature) = 64),
    registered_at wallet.moment NOT NULL DEFAULT now(),
    effective_at wallet.moment NOT NULL,
    mac bytea CHECK (octet_length(mac) = 34),
    PRIMARY KEY (wallet_id, number),
    -- No setting allows more; what is agreed to is held against MAX_FEE_BPS before.
    CONSTRAINT agreements_fees CHECK (pooler_bps + operator_bps <= 5000),
    CONSTRAINT agreements_signed CHECK ((proof = 'signature') = (signature IS NOT NULL))
);
CREATE TRIGGER agreements_follow BEFORE INSERT ON wallet.agreements
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_version('wallet_id');

-- The account (strkey G...) whose signature is the farmer's own word, a row for each change; an empty one:
-- none.
CREATE TABLE wallet.owner_accounts (
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    number int NOT NULL CHECK (number >= 1),
    address varchar(56) NOT NULL,
    registered_at wallet.moment NOT NULL DEFAULT now(),
    effective_at wallet.moment NOT NULL,
    mac bytea CHECK (octet_length(mac) = 34),
    PRIMARY KEY (wallet_id, number)
);
CREATE TRIGGER owner_accounts_follow BEFORE INSERT ON wallet.owner_accounts
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_version('wallet_id');

-- Whether a pooler farms for itself, by operators' word, a row for each change: then it says where the
-- money of farmers without an owner account goes.
CREATE TABLE wallet.pooler_marks (
    pooler_id uuid NOT NULL,
    number int NOT NULL CHECK (number >= 1),
    farms_for_itself boolean NOT NULL,
    registered_at wallet.moment NOT NULL DEFAULT now(),
    effective_at wallet.moment NOT NULL,
    mac bytea CHECK (octet_length(mac) = 34),
    PRIMARY KEY (pooler_id, number)
);
CREATE TRIGGER pooler_marks_follow BEFORE INSERT ON wallet.pooler_marks
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_version('pooler_id');

-- The newest of each by the log: whoever deletes a row would have an older one count.
CREATE INDEX idx_audit_log_versions ON wallet.audit_log (action, subject, number)
WHERE action IN ('set_agreement', 'set_owner_account', 'mark_pooler');

GRANT SELECT, INSERT, UPDATE (mac) ON wallet.agreements, wallet.owner_accounts, wallet.pooler_marks
TO kalepool_wallet;

-- Agreements by farmers, for who books and shows: wallet itself pays by what it has judged.
CREATE VIEW wallet.farmer_agreements AS
SELECT
    w.farmer_id,
    w.pooler_id,
    a.wallet_id,
    a.number,
    a.stake_bps,
    a.pooler_bps,
    a.operator_bps,
    a.miners_bps,
    a.payout_threshold,
    a.payout_interval_seconds,
    a.harvest_blocks,
    a.terms_version,
    a.proof,
    a.registered_at,
    a.effective_at
FROM wallet.agreements AS a
INNER JOIN wallet.wallets AS w ON a.wallet_id = w.id;
GRANT SELECT ON wallet.farmer_agreements TO kalepool_harvest;
GRANT SELECT ON wallet.pooler_marks TO kalepool_registry;

-- Changes of what was agreed, and of who speaks for a farmer: told with the moment from which they count. What is
-- registered with a farmer changes nothing.
CREATE FUNCTION wallet.tell_agreement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, facts)
    SELECT
        format('agreement %s %s', NEW.wallet_id, NEW.number),
        'agreement.changed',
        w.pooler_id,
        w.farmer_id,
        jsonb_build_object(
            'number', NEW.number::text,
            'poolerBps', NEW.pooler_bps::text,
            'operatorBps', NEW.operator_bps::text,
            'stakeBps', NEW.stake_bps::text,
            'proof', NEW.proof,
            'effectiveAt', wallet.told_moment(NEW.effective_at)
        )
    FROM wallet.wallets AS w
    WHERE w.id = NEW.wallet_id AND w.created_at <> now()
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.tell_agreement() FROM public;
CREATE TRIGGER agreements_told AFTER INSERT ON wallet.agreements
FOR EACH ROW EXECUTE FUNCTION wallet.tell_agreement();

CREATE FUNCTION wallet.tell_owner_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, facts)
    SELECT
        format('owner account %s %s', NEW.wallet_id, NEW.number),
        'owner_account.changed',
        w.pooler_id,
        w.farmer_id,
        jsonb_build_object(
            'address', NEW.address, 'effectiveAt', wallet.told_moment(NEW.effective_at)
        )
    FROM wallet.wallets AS w
    WHERE w.id = NEW.wallet_id AND w.created_at <> now()
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.tell_owner_account() FROM public;
CREATE TRIGGER owner_accounts_told AFTER INSERT ON wallet.owner_accounts
FOR EACH ROW EXECUTE FUNCTION wallet.tell_owner_account();
