-- Statements: days that are closed, the leaves of their trees, and the roots.

-- Statements -----------------------------------------------------------------------------------------

-- What was booked for a farmer and moves none of its own accounts: payments of fees out of its account.
CREATE INDEX idx_journals_beside ON harvest.journals (farmer_id, id)
WHERE farmer_id IS NOT NULL AND kind NOT IN (
    'harvest', 'plant', 'loss', 'withdrawal', 'withdrawal_return', 'payout', 'late_payout', 'deposit',
    'deposit_return', 'denial', 'cost'
);

-- Days that are closed: what was booked until then belongs to them, and to no later one.
CREATE TABLE harvest.closings (
    -- Days since 1970.
    day int PRIMARY KEY,
    -- The newest journal that it covers; all journals up to it are there.
    last_journal bigint NOT NULL,
    closed_at harvest.moment NOT NULL
);

-- What each owner had then: the leaves of the day's tree.
CREATE TABLE harvest.leaves (
    day int NOT NULL,
    owner_id uuid NOT NULL,
    -- A farmer's custodial account; empty for others.
    address varchar(56) NOT NULL,
    -- Stroops of KALE by what they are for, in order; what is 0 is left out.
    roles text [] NOT NULL,
    amounts numeric [] NOT NULL,
    -- Random: nobody who sees the hash of a leaf can guess whose it is. Its sum stands in its neighbour's path.
    salt bytea NOT NULL CHECK (octet_length(salt) = 32),
    -- What all lines of a farmer came to until then; null until that is worked out.
    history bytea CHECK (octet_length(history) = 32),
    PRIMARY KEY (day, owner_id)
);
CREATE INDEX idx_leaves_open ON harvest.leaves (day, owner_id) WHERE history IS NULL;

-- The roots of the days' trees; each record covers the one before (libs/kale/statements/roots.py).
CREATE TABLE harvest.roots (
    day int PRIMARY KEY REFERENCES harvest.closings (day),
    leaves int NOT NULL CHECK (leaves >= 0),
    -- Owners whose balances are below zero: no tree is made of them.
    refused int NOT NULL CHECK (refused >= 0),
    tree_hash bytea NOT NULL CHECK (octet_length(tree_hash) = 32),
    total numeric(39) NOT NULL CHECK (total >= 0),
    -- The pool's account whose data entry holds the newest record.
    account varchar(56) NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    record bytea NOT NULL CHECK (octet_length(record) = 32),
    -- What wrote it there (empty when it was there already), and by which ledger; 0 until it is there.
    transaction_hash varchar(64) NOT NULL DEFAULT '',
    ledger int NOT NULL DEFAULT 0
);

CREATE TRIGGER trigger_closings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON harvest.closings
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_leaves_append_only BEFORE DELETE OR TRUNCATE ON harvest.leaves
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_leaves_filled_once
BEFORE UPDATE OF day, owner_id, address, roles, amounts, salt, history ON harvest.leaves
FOR EACH ROW WHEN (
    OLD.history IS NOT NULL
    OR (OLD.day, OLD.owner_id, OLD.address, OLD.roles, OLD.amounts, OLD.salt)
    IS DISTINCT FROM (NEW.day, NEW.owner_id, NEW.address, NEW.roles, NEW.amounts, NEW.salt)
) EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_roots_append_only BEFORE DELETE OR TRUNCATE ON harvest.roots
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_roots_stay
BEFORE UPDATE OF day, leaves, refused, tree_hash, total, account, previous, record ON harvest.roots
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_roots_published_once BEFORE UPDATE OF transaction_hash, ledger ON harvest.roots
FOR EACH ROW WHEN (OLD.ledger <> 0) EXECUTE FUNCTION harvest.refuse_change();

-- A root follows the one before it. Of one that is there already the key tells.
CREATE FUNCTION harvest.refuse_odd_root() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    SELECT r.day, r.record INTO last FROM harvest.roots AS r ORDER BY r.day DESC LIMIT 1;
    IF NEW.day < last.day OR (
        NEW.day IS DISTINCT FROM last.day
        AND NEW.previous <> coalesce(last.record, decode(repeat('00', 32), 'hex'))
    ) THEN
        RAISE EXCEPTION 'the root of day % does not follow that of day %', NEW.day, last.day
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trigger_roots_follow BEFORE INSERT ON harvest.roots
FOR EACH ROW EXECUTE FUNCTION harvest.refuse_odd_root();

-- Close a day: keep what every owner has. Nobody books meanwhile, and whoever has begun to is waited for: who
-- has a journal's number has the table, so that no journal of a lower number can come afterwards. False when
-- it, or a later day, is closed already, when it is still to come, or when nothing was ever booked.
CREATE FUNCTION harvest.close_day(closing int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF closing > floor(extract(epoch FROM now()))::bigint / 86400
        OR NOT EXISTS (SELECT 1 FROM harvest.journals)
    THEN
        RETURN false;
    END IF;
    LOCK TABLE harvest.journals IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT 1 FROM harvest.closings AS c WHERE c.day >= closing) THEN
        RETURN false;
    END IF;
    INSERT INTO harvest.closings (day, last_journal, closed_at)
    SELECT closing, max(j.id), clock_timestamp() FROM harvest.journals AS j;
    INSERT INTO harvest.leaves (day, owner_id, address, roles, amounts, salt, history)
    SELECT
        closing,
        a.owner_id,
        coalesce(w.address, ''),
        coalesce(
            array_agg(a.role::text ORDER BY a.role::text COLLATE "C") FILTER (WHERE b.amount <> 0), '{}'
        ),
        coalesce(
            array_agg(b.amount ORDER BY a.role::text COLLATE "C") FILTER (WHERE b.amount <> 0), '{}'
        ),
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
        CASE WHEN w.address IS NULL THEN decode(repeat('00', 32), 'hex') END
    FROM harvest.accounts AS a
    INNER JOIN harvest.account_balances AS b ON a.id = b.account_id
    LEFT JOIN wallet.farmer_accounts AS w ON a.owner_id = w.farmer_id
    -- What lies in a pooler's account is owed already: as its fees, and what its miners earned.
    WHERE a.asset = 'kale' AND a.role::text !~ '^(chain:|treasury:|pooler:held$)'
    GROUP BY a.owner_id, w.address;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION harvest.close_day(int) FROM public;
GRANT EXECUTE ON FUNCTION harvest.close_day(int) TO kalepool_harvest;

GRANT SELECT ON harvest.closings TO kalepool_harvest;
GRANT SELECT, UPDATE (history) ON harvest.leaves TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (transaction_hash, ledger) ON harvest.roots TO kalepool_harvest;
