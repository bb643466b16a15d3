-- Schemas `wallet` (custody, operations) and `chain` (what was seen on the chain).
-- The schema `wallet` itself is made by the migration runner.

CREATE SCHEMA chain;

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN wallet.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE wallet.wallet_kind AS ENUM ('farmer', 'treasury', 'channel', 'payer', 'pooler');
CREATE TYPE wallet.wallet_status AS ENUM ('pending', 'ready');
-- In the order in which the engine prefers them.
CREATE TYPE wallet.operation_kind AS ENUM (
    'onboard', 'plant', 'work', 'harvest', 'open_channel', 'top_up', 'withdraw', 'open_payer', 'payout',
    'pool_payment', 'data_entry', 'close_account'
);
CREATE TYPE wallet.operation_state AS ENUM (
    'queued', 'signed', 'sent', 'succeeded', 'failed', 'expired'
);
CREATE TYPE wallet.transaction_state AS ENUM (
    'signed', 'sent', 'succeeded', 'failed', 'excluded'
);

-- Custody ------------------------------------------------------------------------------------

CREATE TABLE wallet.wallets (
    id uuid PRIMARY KEY,
    kind wallet.wallet_kind NOT NULL,
    farmer_id uuid UNIQUE,
    pooler_id uuid,
    address varchar(56) NOT NULL UNIQUE,
    -- Ten-thousandths of the balance that a plant may stake at most, as agreed with the farmer's pooler.
    stake_bps int NOT NULL DEFAULT 10000 CHECK (stake_bps BETWEEN 0 AND 10000),
    status wallet.wallet_status NOT NULL DEFAULT 'pending',
    created_at wallet.moment NOT NULL DEFAULT now(),
    -- Until when a wallet process has a channel or payer account to itself.
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    -- Why a payer may not sign: its number and the records do not agree. Empty: it may.
    stopped text NOT NULL DEFAULT '',
    -- Authenticator of the order: who may write this row may not therefore give it.
    mac bytea CHECK (octet_length(mac) = 34),
    -- A farmer's wallet belongs to the farmer, and a pooler's custodial account to the pooler.
    CONSTRAINT wallets_owner CHECK (
        (kind = 'farmer') = (farmer_id IS NOT NULL)
        AND (kind IN ('farmer', 'pooler')) = (pooler_id IS NOT NULL)
    )
);
CREATE UNIQUE INDEX idx_wallets_one_treasury ON wallet.wallets (kind) WHERE kind = 'treasury';
CREATE UNIQUE INDEX idx_wallets_one_of_pooler ON wallet.wallets (pooler_id) WHERE kind = 'pooler';
CREATE INDEX idx_wallets_pooler ON wallet.wallets (pooler_id, id);
CREATE INDEX idx_wallets_kind ON wallet.wallets (kind, id) WHERE kind <> 'farmer';
-- The treasury sponsors the reserves of new farmers: budgets are held against those of a day.
CREATE INDEX idx_wallets_sponsored ON wallet.wallets (created_at, pooler_id) WHERE kind = 'farmer';
-- The treasury sponsors the reserves of poolers' accounts, too: the pool's budget of a day counts them.
CREATE INDEX idx_wallets_sponsored_poolers ON wallet.wallets (created_at) WHERE kind = 'pooler';

-- Nobody but the service's own role may read it; a row is never deleted, a seed never changed.
CREATE TABLE wallet.sealed_keys (
    wallet_id uuid PRIMARY KEY REFERENCES wallet.wallets (id),
    kek_id text NOT NULL,
    wrapped_data_key bytea NOT NULL,
    nonce bytea NOT NULL CHECK (octet_length(nonce) = 12),
    sealed_seed bytea NOT NULL,
    created_at wallet.moment NOT NULL DEFAULT now()
);

-- What each wallet's address has on the chain, as last read.
CREATE TABLE wallet.accounts (
    wallet_id uuid PRIMARY KEY REFERENCES wallet.wallets (id),
    is_funded boolean NOT NULL DEFAULT false,
    has_trustline boolean NOT NULL DEFAULT false,
    xlm_stroops bigint NOT NULL DEFAULT 0 CHECK (xlm_stroops >= 0),
    kale_stroops bigint NOT NULL DEFAULT 0 CHECK (kale_stroops >= 0),
    reserves int NOT NULL DEFAULT 0,
    ledger int NOT NULL DEFAULT 0,
    refreshed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

-- The rows that are locked by what happens one at a time; no other role can.
CREATE TABLE wallet.turns (
    name text PRIMARY KEY CHECK (name IN ('withdrawals', 'pool accounts')),
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Operations ---------------------------------------------------------------------------------

-- One signed envelope = one source account + one sequence number + one time bound.
CREATE TABLE wallet.transactions (
    id uuid PRIMARY KEY,
    state wallet.transaction_state NOT NULL DEFAULT 'signed',
    source varchar(56) NOT NULL,
    sequence bigint NOT NULL,
    hash varchar(64) NOT NULL,
    -- What it is looked up by: a fee bump's inner hash, which stays when the bid is raised.
    lookup_hash varchar(64) NOT NULL,
    envelope text NOT NULL,
    -- Close time (unix seconds) after which no ledger may take it.
    max_time bigint NOT NULL,
    fee_bid bigint NOT NULL,
    signed_ledger int NOT NULL,
    -- From this ledger on it is to be sent again if no ledger has it.
    resend_ledger int NOT NULL DEFAULT 0,
    last_answer text NOT NULL DEFAULT '',
    ledger int,
    fee_charged bigint NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    created_at wallet.moment NOT NULL DEFAULT now(),
    closed_at wallet.moment,
    -- Millionths of a ledger that it takes: what is open must fit into the nodes' queue.
    ledger_share int NOT NULL DEFAULT 0 CHECK (ledger_share >= 0),
    -- A payment of a payer ends with a BumpSequence to this number: the account stands there if, and
    -- only if, the transaction succeeded. Null for all other transactions.
    bump_to bigint,
    CONSTRAINT transactions_bump_to CHECK (bump_to > sequence),
    -- It pays for longer lives of the farm's entries and others: booked apart from fees.
    is_rent boolean NOT NULL DEFAULT false,
    -- Authenticator of its numbers, of its inner hash and of what it carries.
    mac bytea CHECK (octet_length(mac) = 34),
    CONSTRAINT transactions_closed CHECK (
        (closed_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'excluded'))
    ),
    CONSTRAINT transactions_included CHECK (
        (ledger IS NOT NULL) = (state IN ('succeeded', 'failed'))
    )
);
-- A source account has at most one transaction in flight.
CREATE UNIQUE INDEX idx_transactions_one_open ON wallet.transactions (source)
WHERE state IN ('signed', 'sent');
-- Most indexes here begin with something that grows with time: new rows go to their ends, and months of
-- history cost them nothing. A hash covers its time bound, so that the same one comes with the same
-- bound, if ever; and a fee bump's covers the inner transaction: two of one hash have one inner hash.
CREATE UNIQUE INDEX idx_transactions_lookup_hash ON wallet.transactions (max_time, lookup_hash);
CREATE INDEX idx_transactions_ledger ON wallet.transactions (ledger) WHERE ledger IS NOT NULL;
CREATE INDEX idx_transactions_payers ON wallet.transactions (source, bump_to)
WHERE bump_to IS NOT NULL;
-- What a payer signed since a payment was asked for, without reading all that it ever signed.
CREATE INDEX idx_transactions_payers_ages ON wallet.transactions (source, id)
WHERE bump_to IS NOT NULL;
-- Those of all payers, one after the other, for the look at who wrote them.
CREATE INDEX idx_transactions_payers_ids ON wallet.transactions (id) WHERE bump_to IS NOT NULL;
-- What rent has cost lately, without reading what else was sent.
CREATE INDEX idx_transactions_rent ON wallet.transactions (created_at) WHERE is_rent;

CREATE TABLE wallet.operations (
    id uuid PRIMARY KEY,
    kind wallet.operation_kind NOT NULL,
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    block_index int NOT NULL CHECK (block_index >= 0),
    state wallet.operation_state NOT NULL DEFAULT 'queued',
    -- Stake of a plant; reward of a harvest once it has succeeded.
    amount bigint NOT NULL DEFAULT 0 CHECK (amount >= 0),
    -- What a harvest gives back besides the reward.
    stake_returned bigint NOT NULL DEFAULT 0 CHECK (stake_returned >= 0),
    nonce numeric(20) CHECK (nonce BETWEEN 0 AND 18446744073709551615),
    hash bytea CHECK (octet_length(hash) = 32),
    zeros smallint CHECK (zeros BETWEEN 0 AND 64),
    gap int,
    -- The transaction that carries it now, or that settled it.
    transaction_id uuid REFERENCES wallet.transactions (id),
    attempts smallint NOT NULL DEFAULT 0,
    fee_charged bigint NOT NULL DEFAULT 0,
    ledger int,
    reason text,
    error_message text NOT NULL DEFAULT '',
    -- While queued: not to be taken up before this moment (the lease of who has it) ...
    due_at timestamptz NOT NULL DEFAULT now(),
    -- ... nor before this ledger.
    due_ledger int NOT NULL DEFAULT 0,
    created_at wallet.moment NOT NULL DEFAULT now(),
    settled_at wallet.moment,
    -- Operations that it may share a transaction with, itself included; less after each that failed
    -- as a whole, and 1 means: alone, and simulated for itself.
    pack_limit smallint CHECK (pack_limit >= 1),
    -- Reconciliation recorded it, by what the chain says; no batch asked for it.
    is_found boolean NOT NULL DEFAULT false,
    -- Hash of somebody else's transaction that did it.
    found_hash varchar(64),
    -- Envelopes after which another one was signed without a proof that they were excluded or had
    -- failed: the chain's state was all that there was to go by.
    unproven smallint NOT NULL DEFAULT 0 CHECK (unproven >= 0),
    -- Authenticator of the order; none for what was found done on the chain.
    mac bytea CHECK (octet_length(mac) = 34),
    -- Authenticator of how it ended: who may write this row may not therefore say that.
    end_mac bytea CHECK (octet_length(end_mac) = 34),
    CONSTRAINT operations_settled CHECK (
        (settled_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'expired'))
    ),
    CONSTRAINT operations_reason CHECK (
        (reason IS NOT NULL) = (state IN ('failed', 'expired'))
    ),
    CONSTRAINT operations_carried CHECK (
        state NOT IN ('signed', 'sent') OR transaction_id IS NOT NULL
    ),
    -- A pail shows zeros only: of a work that was found there nobody knows the nonce.
    CONSTRAINT operations_work CHECK (
        (kind = 'work') = (
            zeros IS NOT NULL AND (is_found OR (nonce IS NOT NULL AND hash IS NOT NULL))
        )
    )
) WITH (fillfactor = 70);
-- The same thing is never done twice: what did not fail is joined.
CREATE UNIQUE INDEX idx_operations_once ON wallet.operations (
    block_index, wallet_id, kind, coalesce(nonce, -1)
) WHERE state NOT IN ('failed', 'expired');
CREATE INDEX idx_operations_queue ON wallet.operations (kind, wallet_id) WHERE state = 'queued';
CREATE INDEX idx_operations_open ON wallet.operations (kind, block_index, id)
WHERE state IN ('queued', 'signed', 'sent');
-- Payments among all operations, one after the other, for the look at who wrote them.
CREATE INDEX idx_operations_payments ON wallet.operations (id)
WHERE kind IN ('withdraw', 'top_up', 'payout', 'pool_payment');
CREATE INDEX idx_operations_wallet ON wallet.operations (wallet_id, id);
CREATE INDEX idx_operations_transaction ON wallet.operations (transaction_id);
CREATE INDEX idx_operations_block ON wallet.operations (block_index, wallet_id, kind);
-- What moved a farmer's balance since a ledger is found without reading all that it ever did.
CREATE INDEX idx_operations_ledger ON wallet.operations (wallet_id, ledger)
WHERE ledger IS NOT NULL;
-- What no batch asked for is found by plant, work and harvest without reading all that was.
CREATE INDEX idx_operations_found ON wallet.operations (block_index) WHERE is_found;
CREATE INDEX idx_operations_found_ends ON wallet.operations (id) WHERE is_found;
CREATE INDEX idx_operations_held ON wallet.operations (id)
WHERE state = 'queued' AND unproven >= 2;
-- Closings among all operations, of one wallet and of all.
CREATE INDEX idx_operations_closings ON wallet.operations (wallet_id, id) WHERE kind = 'close_account';
-- What has ended, in the order of the ends: harvest books it.
CREATE INDEX idx_operations_ends ON wallet.operations (settled_at, id) WHERE settled_at IS NOT NULL;

-- Every envelope that ever carried an operation.
CREATE TABLE wallet.transaction_operations (
    transaction_id uuid NOT NULL REFERENCES wallet.transactions (id),
    position smallint NOT NULL,
    operation_id uuid NOT NULL REFERENCES wallet.operations (id),
    -- What a harvest gives back besides the reward; nobody may change it afterwards.
    stake_returned bigint NOT NULL DEFAULT 0 CHECK (stake_returned >= 0),
    PRIMARY KEY (transaction_id, position)
);
CREATE INDEX idx_transaction_operations_operation
ON wallet.transaction_operations (operation_id);

-- What a request_id stands for.
CREATE TABLE wallet.batches (
    request_id text PRIMARY KEY CHECK (length(request_id) BETWEEN 1 AND 128),
    kind wallet.operation_kind NOT NULL,
    block_index int NOT NULL,
    arguments_hash bytea NOT NULL CHECK (octet_length(arguments_hash) = 32),
    created_at wallet.moment NOT NULL DEFAULT now()
);
-- A batch's operations; some may have been made by an earlier batch.
CREATE TABLE wallet.batch_operations (
    request_id text NOT NULL REFERENCES wallet.batches (request_id),
    operation_id uuid NOT NULL REFERENCES wallet.operations (id),
    PRIMARY KEY (request_id, operation_id)
);
CREATE INDEX idx_batch_operations_operation ON wallet.batch_operations (operation_id);

-- Whether nothing of a row changes but its ledger, down to the head's, and the authenticator over that: a
-- head that was a lie has been turned back, and what named a ledger above the head names the head's instead.
CREATE FUNCTION wallet.is_turned_back(before jsonb, after jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN before - 'ledger' - 'end_mac' = after - 'ledger' - 'end_mac'
        AND (before ->> 'ledger')::int > (after ->> 'ledger')::int
        AND (after ->> 'ledger')::int = (SELECT h.ledger FROM chain.head AS h);
END
$$;

-- What is closed stays as it is, whoever asks: the last line of defence behind the guarded updates.
CREATE FUNCTION wallet.refuse_change_of_settled() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND wallet.is_turned_back(to_jsonb(OLD), to_jsonb(NEW)) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.mac IS DISTINCT FROM NEW.mac
        AND to_jsonb(OLD) - 'mac' = to_jsonb(NEW) - 'mac'
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% % is settled (%) and never changes', TG_TABLE_NAME, OLD.id, OLD.state;
END
$$;
CREATE TRIGGER transactions_closed_stay BEFORE UPDATE OR DELETE ON wallet.transactions
FOR EACH ROW WHEN (OLD.state IN ('succeeded', 'failed', 'excluded'))
EXECUTE FUNCTION wallet.refuse_change_of_settled();

-- Payments -----------------------------------------------------------------------------------

-- The payer that a payment (withdraw, top_up, payout, pool_payment) belongs to, for ever: by the number of that account the
-- ledger tells which of all its envelopes was paid.
CREATE TABLE wallet.payments (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    payer_id uuid NOT NULL REFERENCES wallet.wallets (id),
    mac bytea CHECK (octet_length(mac) = 34)
);
CREATE INDEX idx_payments_payer ON wallet.payments (payer_id, operation_id);

-- Payers that may be given payments, the one that is soonest free first, then the one with the fewest:
-- its place, and how many there are. One transaction carries 19 payments.
CREATE FUNCTION wallet.free_payers() RETURNS TABLE (id uuid, place bigint, count bigint)
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

-- Numbers that payers were shown to stand at, as far as these are targets of payments that no
-- succeeded envelope tells of: what was settled by them counts as made, and is made good when the
-- number turns out to have been a lie.
CREATE TABLE wallet.shown_targets (
    payer_id uuid NOT NULL REFERENCES wallet.wallets (id),
    target bigint NOT NULL,
    mac bytea CHECK (octet_length(mac) = 34),
    PRIMARY KEY (payer_id, target)
);

CREATE FUNCTION wallet.refuse_change_of_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a payment belongs to its payer for ever';
END
$$;
CREATE TRIGGER payments_stay
BEFORE UPDATE OF operation_id, payer_id OR DELETE OR TRUNCATE ON wallet.payments
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change_of_payment();

-- No envelope carries a payment but one of the payer that the payment belongs to.
CREATE FUNCTION wallet.refuse_foreign_payment() RETURNS trigger
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
CREATE TRIGGER transaction_operations_payers AFTER INSERT ON wallet.transaction_operations
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_foreign_payment();

-- What is settled stays as it is, but for a payment that was given up on the word of nodes and that
-- its payer's number shows to have been made, and for a call that nodes said had worked and of which
-- reconciliation found no trace on the chain. Even then nothing changes but how it ended, and it ended now.
-- Who may write what this asks for may not therefore say how it ended: that has an authenticator.
CREATE FUNCTION wallet.refuse_change_of_operation() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    denied CONSTANT text [] := ARRAY ['state', 'reason', 'error_message', 'settled_at', 'end_mac'];
    macs CONSTANT text [] := ARRAY ['mac', 'end_mac'];
    corrected CONSTANT text [] := denied || ARRAY ['transaction_id', 'ledger'];
BEGIN
    IF TG_OP = 'UPDATE' AND wallet.is_turned_back(to_jsonb(OLD), to_jsonb(NEW)) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE'
        AND (OLD.mac, OLD.end_mac) IS DISTINCT FROM (NEW.mac, NEW.end_mac)
        AND to_jsonb(OLD) - macs = to_jsonb(NEW) - macs
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE'
        AND OLD.state IN ('failed', 'expired')
        AND NEW.state = 'succeeded'
        AND NEW.settled_at = now()
        AND to_jsonb(OLD) - corrected = to_jsonb(NEW) - corrected
        AND EXISTS (
            SELECT 1
            FROM wallet.transactions AS t
            INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
            INNER JOIN wallet.payments AS p ON c.operation_id = p.operation_id
            INNER JOIN wallet.shown_targets AS s ON p.payer_id = s.payer_id AND t.bump_to = s.target
            WHERE t.id = NEW.transaction_id AND c.operation_id = OLD.id
        )
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE'
        AND OLD.state = 'succeeded'
        AND NEW.state = 'failed'
        AND NEW.settled_at = now()
        AND to_jsonb(OLD) - denied = to_jsonb(NEW) - denied
        AND EXISTS (
            SELECT 1 FROM wallet.differences AS d
            WHERE d.wallet_id = OLD.wallet_id
              AND d.block_index = OLD.block_index
              AND d.settled_at IS NULL
              AND (d.kind, OLD.kind) IN (
                  ('record_without_plant', 'plant'),
                  ('record_without_plant', 'work'),
                  ('record_without_work', 'work'),
                  ('record_without_harvest', 'harvest')
              )
        )
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% % is settled (%) and never changes', TG_TABLE_NAME, OLD.id, OLD.state;
END
$$;
-- What an operation moves changes only by its success, and it ends at the moment when that is written: who
-- dates an end back would take a withdrawal out of the sum of a day.
CREATE FUNCTION wallet.refuse_odd_end() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'operation % changes by its success alone, and ends now', OLD.id
        USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER operations_end_now BEFORE UPDATE OF amount, gap, settled_at ON wallet.operations
FOR EACH ROW WHEN (
    OLD.settled_at IS NULL AND (
        NEW.settled_at <> now()
        OR (
            (OLD.amount, OLD.gap) IS DISTINCT FROM (NEW.amount, NEW.gap)
            AND (NEW.state <> 'succeeded' OR NEW.kind NOT IN ('plant', 'work', 'harvest'))
        )
    )
) EXECUTE FUNCTION wallet.refuse_odd_end();

CREATE TRIGGER operations_settled_stay BEFORE UPDATE OR DELETE ON wallet.operations
FOR EACH ROW WHEN (OLD.state IN ('succeeded', 'failed', 'expired'))
EXECUTE FUNCTION wallet.refuse_change_of_operation();

-- Withdrawals ------------------------------------------------------------------------------

-- Every outside address that a farmer ever had; the newest that is effective counts. An empty one
-- means: none.
CREATE TABLE wallet.payout_addresses (
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    number int NOT NULL CHECK (number >= 1),
    address varchar(56) NOT NULL,
    registered_at wallet.moment NOT NULL DEFAULT now(),
    effective_at wallet.moment NOT NULL,
    mac bytea CHECK (octet_length(mac) = 34),
    PRIMARY KEY (wallet_id, number)
);

-- Whether a record of the log tells of an address that is there, however many a wallet has.
CREATE INDEX idx_payout_addresses_address ON wallet.payout_addresses (wallet_id, address);

-- A number that leaves no room for the next one would keep a farmer from ever changing the address, and
-- a moment that is still to come would be before every later one.
CREATE FUNCTION wallet.refuse_odd_address() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    SELECT a.number, a.registered_at INTO last
    FROM wallet.payout_addresses AS a
    WHERE a.wallet_id = NEW.wallet_id
    ORDER BY a.number DESC
    LIMIT 1;
    IF NEW.number <> coalesce(last.number, 0) + 1
        OR NEW.registered_at > greatest(now(), clock_timestamp(), last.registered_at)
    THEN
        RAISE EXCEPTION 'address % of a wallet does not follow address %', NEW.number, last.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER payout_addresses_follow BEFORE INSERT ON wallet.payout_addresses
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_address();

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
        FROM (
            SELECT n.number, n.address, n.registered_at, n.effective_at
            FROM wallet.payout_addresses AS n
            WHERE n.wallet_id = payout_address.wallet_id
            ORDER BY n.number DESC
            LIMIT 1000
        ) AS p
    ) AS a
    WHERE a.effective_at <= least(a.replaced_at, greatest(now(), a.newest, since))
    ORDER BY a.number DESC
    LIMIT 1
);

-- What a farmer wanted sent; what became of it is in its operation.
CREATE TABLE wallet.withdrawals (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    -- 'kale' or 'xlm'.
    asset text NOT NULL CHECK (asset IN ('kale', 'xlm')),
    amount bigint NOT NULL CHECK (amount > 0),
    destination varchar(56) NOT NULL,
    requested_at wallet.moment NOT NULL DEFAULT now(),
    mac bytea CHECK (octet_length(mac) = 34),
    UNIQUE (wallet_id, request_id)
);

-- By this moment addresses count: none that is to come makes one count early.
CREATE FUNCTION wallet.refuse_request_to_come() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.requested_at > greatest(now(), clock_timestamp()) THEN
        RAISE EXCEPTION 'a withdrawal was asked for in the future'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER withdrawals_were_asked_for BEFORE INSERT ON wallet.withdrawals
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_request_to_come();
CREATE INDEX idx_withdrawals_requested ON wallet.withdrawals (requested_at);
-- What is still to leave, and what has left lately.
CREATE INDEX idx_operations_withdrawn ON wallet.operations (settled_at, id)
WHERE kind IN ('withdraw', 'payout') AND state NOT IN ('failed', 'expired');
-- What ledgers refused lately, and what is said to have failed.
CREATE INDEX idx_operations_refused ON wallet.operations (settled_at, id)
WHERE kind IN ('withdraw', 'payout', 'pool_payment') AND state IN ('failed', 'expired');

-- Payouts and fees -----------------------------------------------------------------------------

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

-- Data entries ---------------------------------------------------------------------------------

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

-- Audit log and kill switch -------------------------------------------------------------------

-- What was done with keys and money, chained by hashes: each row's hash covers the row and the hash
-- before it. Rows are added only, by one transaction at a time.
CREATE TABLE wallet.audit_log (
    number bigint PRIMARY KEY CHECK (number BETWEEN 1 AND 1000000000000000),
    at wallet.moment NOT NULL,
    actor text NOT NULL CHECK (octet_length(actor) <= 4096),
    action text NOT NULL CHECK (octet_length(action) <= 64),
    subject text NOT NULL CHECK (octet_length(subject) <= 4096),
    details text NOT NULL CHECK (octet_length(details) <= 4096),
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    -- How the hash is made of the rest.
    version smallint NOT NULL DEFAULT 1 CHECK (version = 1),
    -- Authenticator over number and hash, and so over all of it: none of a record from before the first key of
    -- rows. It is not hashed.
    mac bytea CHECK (octet_length(mac) = 34)
);
-- What was recorded at one moment is found beside what was written at that moment.
CREATE INDEX idx_audit_log_at ON wallet.audit_log (at);
-- What a wallet's newest payout address is by the log.
CREATE INDEX idx_audit_log_addresses ON wallet.audit_log (subject, number)
WHERE action = 'set_payout_address';

-- The newest payment of an account by the log: whoever deletes its row would have it made again.
CREATE INDEX idx_audit_log_payouts ON wallet.audit_log (action, subject, number)
WHERE action IN ('pay_farmer', 'pay_from_pooler');

-- What the treasury was asked to pay to channel accounts within a day.
CREATE INDEX idx_audit_log_top_ups ON wallet.audit_log (at) WHERE action = 'top_up';

-- Where the log ends. Its lock is the turn of whoever adds to it; only the database moves it.
CREATE TABLE wallet.audit_head (
    number bigint NOT NULL,
    hash bytea NOT NULL,
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton)
);
INSERT INTO wallet.audit_head (number, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- The hash of a record of version 1 (services/wallet/domain/audit.py).
CREATE FUNCTION wallet.audit_hash(record wallet.audit_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN sha256(
    (record).previous
    || int8send((record).number)
    || int8send((extract(epoch FROM (record).at) * 1000000)::bigint)
    || int4send(octet_length((record).actor)) || convert_to((record).actor, 'UTF8')
    || int4send(octet_length((record).action)) || convert_to((record).action, 'UTF8')
    || int4send(octet_length((record).subject)) || convert_to((record).subject, 'UTF8')
    || int4send(octet_length((record).details)) || convert_to((record).details, 'UTF8')
);

-- Who may add records can add none that does not follow the last one, was not made now, or has
-- another hash than its own: no number that leaves no room for the next, and no time that nobody can
-- read.
CREATE FUNCTION wallet.extend_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head record;
    wrong bigint;
BEGIN
    SELECT h.number, h.hash INTO STRICT head FROM wallet.audit_head AS h FOR NO KEY UPDATE;
    SELECT n.number INTO wrong
    FROM (
        SELECT
            a.number,
            a.number = head.number + row_number() OVER w
                AND a.previous = lag(a.hash, 1, head.hash) OVER w
                AND a.hash = wallet.audit_hash(a)
                AND a.at = now() AS is_next
        FROM added AS a
        WINDOW w AS (ORDER BY a.number)
    ) AS n
    WHERE n.is_next IS NOT TRUE
    ORDER BY n.number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'record % does not follow record %', wrong, head.number
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE wallet.audit_head AS h
    SET number = n.number, hash = n.hash
    FROM (SELECT a.number, a.hash FROM added AS a ORDER BY a.number DESC LIMIT 1) AS n;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.extend_audit_log() FROM public;
CREATE TRIGGER audit_log_grows AFTER INSERT ON wallet.audit_log
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION wallet.extend_audit_log();

CREATE FUNCTION wallet.refuse_change_of_audit_log() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit log never changes';
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet.audit_log
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_change_of_audit_log();

-- Where nothing is signed: everywhere, for one pooler, or for one wallet.
CREATE TABLE wallet.pauses (
    id uuid PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('everything', 'pooler', 'wallet')),
    target uuid,
    reason text NOT NULL CHECK (octet_length(reason) <= 4096),
    paused_by text NOT NULL CHECK (octet_length(paused_by) <= 4096),
    paused_at wallet.moment NOT NULL DEFAULT now(),
    resumed_by text CHECK (octet_length(resumed_by) <= 4096),
    resumed_at wallet.moment,
    -- Authenticator of its beginning and its end: else it is in force.
    resume_mac bytea CHECK (octet_length(resume_mac) = 34),
    CONSTRAINT pauses_target CHECK ((scope = 'everything') = (target IS NULL)),
    CONSTRAINT pauses_resumed CHECK ((resumed_by IS NULL) = (resumed_at IS NULL))
);
-- Not unique: an order is a row of its own, and waits for nobody who writes another one.
CREATE INDEX idx_pauses_in_force ON wallet.pauses (scope, target) WHERE resumed_at IS NULL;
-- Whether a record of the log tells of a pause, or of an end, that is there.
CREATE INDEX idx_pauses_begun ON wallet.pauses (paused_at);
CREATE INDEX idx_pauses_ended ON wallet.pauses (resumed_at, id);

-- An end stays: who could take it back for a moment would put it there again around a later order.
CREATE FUNCTION wallet.refuse_return_of_pause() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'pause % has ended, for good', OLD.id;
END
$$;
CREATE TRIGGER pauses_stay_ended BEFORE UPDATE ON wallet.pauses
FOR EACH ROW WHEN (
    OLD.resumed_at IS NOT NULL
    AND (OLD.resumed_by, OLD.resumed_at) IS DISTINCT FROM (NEW.resumed_by, NEW.resumed_at)
) EXECUTE FUNCTION wallet.refuse_return_of_pause();

-- Orders of one operator that another one has to agree to: what was asked, who agreed, and that it was
-- used, once.
CREATE TABLE wallet.approvals (
    id uuid PRIMARY KEY,
    method text NOT NULL,
    -- SHA-256 over the method and the request's bytes: what is agreed to.
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    -- The request for people, as JSON.
    request text NOT NULL,
    asked_by text NOT NULL,
    asked_at wallet.moment NOT NULL,
    expires_at wallet.moment NOT NULL,
    approved_by text,
    approved_at wallet.moment,
    used_at wallet.moment,
    -- Authenticator of the whole row as it stands: asked for, approved or used.
    mac bytea CHECK (octet_length(mac) = 34),
    CONSTRAINT approvals_approved CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CONSTRAINT approvals_by_another CHECK (approved_by <> asked_by),
    CONSTRAINT approvals_used CHECK (used_at IS NULL OR approved_at IS NOT NULL)
);
CREATE INDEX idx_approvals_request ON wallet.approvals (digest, asked_at);
-- What waits for a second person.
CREATE INDEX idx_approvals_open ON wallet.approvals (expires_at, id) WHERE used_at IS NULL;
-- Whether an approval was used, by the log.
CREATE INDEX idx_audit_log_used_approvals ON wallet.audit_log (subject) WHERE action = 'use_approval';

-- Whoever puts an earlier state of a row back would have its authenticator count again.
CREATE FUNCTION wallet.refuse_return_of_approval() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'approval % was given or used, for good', OLD.id;
END
$$;
CREATE TRIGGER approvals_stay_given BEFORE UPDATE ON wallet.approvals
FOR EACH ROW WHEN (
    (OLD.approved_at IS NOT NULL
        AND (OLD.approved_by, OLD.approved_at) IS DISTINCT FROM (NEW.approved_by, NEW.approved_at))
    OR (OLD.used_at IS NOT NULL AND OLD.used_at IS DISTINCT FROM NEW.used_at)
) EXECUTE FUNCTION wallet.refuse_return_of_approval();

-- Whether nothing may be signed for a wallet of this pooler (none for those of the pool itself).
CREATE FUNCTION wallet.is_paused(wallet_id uuid, pooler_id uuid) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT 1 FROM wallet.pauses AS p
    WHERE p.resumed_at IS NULL
      AND (
          p.scope = 'everything'
          OR (p.scope = 'pooler' AND p.target = is_paused.pooler_id)
          OR (p.scope = 'wallet' AND p.target = is_paused.wallet_id)
      )
);

-- Whether a moment that was waited for has come. Nothing waits for longer than two minutes: a moment
-- further ahead was set by a clock that has been set back since, and is not waited for.
CREATE FUNCTION wallet.is_due(moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN moment <= now() OR moment > now() + interval '2 minutes';

-- Whether a ledger that was waited for has come. Nothing waits for more than 60 ledgers: one further
-- ahead was told by a node that lied about the height, and is not waited for.
CREATE FUNCTION wallet.is_due_at(due int, ledger int) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN due <= ledger OR due > ledger + 64;

-- What the network was paid, by hour and pooler: the fee budgets are held against it.
CREATE TABLE wallet.fee_hours (
    hour wallet.moment NOT NULL,
    -- None for what the pool does for itself.
    pooler_id uuid,
    stroops bigint NOT NULL CHECK (stroops >= 0),
    CONSTRAINT fee_hours_once UNIQUE NULLS NOT DISTINCT (hour, pooler_id)
);

-- What the network was paid by hour, day and month (UTC), and ever, for whom and for what, for reports:
-- rent and what only the chain knew included, which no budget is held against. Added to in the
-- transactions that record what a ledger took. The key begins with time: what is new is at its end.
CREATE TYPE wallet.span AS ENUM ('hour', 'day', 'month', 'all');
CREATE TABLE wallet.fee_sums (
    span wallet.span NOT NULL,
    starts_at wallet.moment NOT NULL,
    -- None for what the pool does for itself.
    pooler_id uuid,
    -- A kind of operation, 'rent', or 'other' for what no operation asked for.
    kind text NOT NULL,
    stroops bigint NOT NULL CHECK (stroops >= 0),
    -- How often something was charged: once for each operation of a transaction.
    charges bigint NOT NULL,
    CONSTRAINT fee_sums_once UNIQUE NULLS NOT DISTINCT (span, starts_at, pooler_id, kind)
) WITH (fillfactor = 50);

-- The spans that a moment lies in; all of time begins in 2020, before which nothing can be.
CREATE FUNCTION wallet.spans_of(moment timestamptz)
RETURNS TABLE (span wallet.span, starts_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
VALUES
    ('hour'::wallet.span, date_trunc('hour', moment, 'UTC')),
    ('day'::wallet.span, date_trunc('day', moment, 'UTC')),
    ('month'::wallet.span, date_trunc('month', moment, 'UTC')),
    ('all'::wallet.span, '2020-01-01 00:00Z'::timestamptz);
END;

-- What operators allow, and what the network asks for, as last seen; refusals stand while it stays.
CREATE TABLE wallet.operator_terms (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    mark text NOT NULL,
    since wallet.moment NOT NULL DEFAULT now()
);

-- Operations that ended because of something that an operator has to change: the same wish is answered
-- by the same operation until that has happened.
CREATE TABLE wallet.refusals (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    -- The terms under which it was refused.
    mark text NOT NULL,
    -- Stroops that its envelope would have had to bid; none when nobody knows.
    bid bigint,
    -- When it was found that what was in its way is gone.
    lifted_at wallet.moment
);

-- What reconciliation found: records and chain that do not say the same.
CREATE TABLE wallet.differences (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    -- 0 for a balance.
    block_index int NOT NULL,
    recorded text NOT NULL,
    on_chain text NOT NULL,
    -- Ledger that the chain was read at.
    ledger int NOT NULL,
    found_at wallet.moment NOT NULL DEFAULT now(),
    -- How it was settled; empty while it is open.
    settled text NOT NULL DEFAULT '',
    settled_at wallet.moment,
    CONSTRAINT differences_settled CHECK ((settled <> '') = (settled_at IS NOT NULL))
);
CREATE UNIQUE INDEX idx_differences_open ON wallet.differences (wallet_id, block_index, kind)
WHERE settled_at IS NULL;

-- The KALE that a farmer's account had when it was last reconciled.
CREATE TABLE wallet.reconciled_balances (
    wallet_id uuid PRIMARY KEY REFERENCES wallet.wallets (id),
    ledger int NOT NULL,
    kale_stroops bigint NOT NULL
);

-- The chain ----------------------------------------------------------------------------------

CREATE TABLE chain.blocks (
    index int PRIMARY KEY CHECK (index >= 0),
    opened_ledger int NOT NULL,
    opened_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    entropy bytea NOT NULL CHECK (octet_length(entropy) = 32),
    min_gap int NOT NULL,
    max_gap int NOT NULL,
    min_zeros int NOT NULL,
    max_zeros int NOT NULL,
    min_stake bigint NOT NULL,
    max_stake bigint NOT NULL,
    staked_total numeric(39) NOT NULL,
    normalized_total numeric(39) NOT NULL,
    expires_ledger int NOT NULL,
    updated_ledger int NOT NULL,
    -- Nodes may lie, but every service reads these: they are numbers, and moments that can be told.
    CONSTRAINT blocks_told CHECK (
        'NaN' NOT IN (staked_total, normalized_total)
        AND opened_at BETWEEN '1970-01-01 00:00:00Z' AND '9999-12-31 23:59:59Z'
        AND closes_at BETWEEN '1970-01-01 00:00:00Z' AND '9999-12-31 23:59:59Z'
    )
);

CREATE TABLE chain.head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    ledger int NOT NULL,
    close_time timestamptz NOT NULL,
    current_block int,
    plantable_block int NOT NULL,
    paused boolean NOT NULL,
    block_seconds int NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT head_told CHECK (
        close_time BETWEEN '1970-01-01 00:00:00Z' AND '9999-12-31 23:59:59Z'
        AND updated_at BETWEEN '1970-01-01 00:00:00Z' AND '9999-12-31 23:59:59Z'
    )
);

-- Rows as the service reads them ------------------------------------------------------------

CREATE VIEW wallet.wallets_with_accounts AS
SELECT
    w.id,
    w.kind,
    w.farmer_id,
    w.pooler_id,
    w.address,
    w.status = 'ready' AS is_ready,
    a.is_funded,
    a.has_trustline,
    a.xlm_stroops,
    a.kale_stroops,
    a.reserves,
    a.ledger,
    w.created_at,
    w.stake_bps,
    w.mac
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id;

CREATE VIEW wallet.all_operations AS
SELECT
    o.id AS operation_id,
    o.kind,
    w.farmer_id,
    w.pooler_id,
    w.address,
    o.block_index,
    o.state,
    o.amount,
    o.stake_returned,
    o.nonce,
    o.hash,
    o.gap,
    coalesce(t.hash, o.found_hash)::text AS transaction_hash,
    o.ledger,
    o.fee_charged,
    o.attempts,
    o.reason,
    o.error_message,
    o.created_at,
    o.settled_at,
    o.zeros,
    o.is_found,
    o.end_mac
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
LEFT JOIN wallet.transactions AS t ON o.transaction_id = t.id;

-- What others may read -----------------------------------------------------------------------

CREATE VIEW wallet.farmer_accounts AS
SELECT
    w.farmer_id,
    w.pooler_id,
    w.id AS wallet_id,
    w.address,
    a.is_funded,
    a.has_trustline,
    a.kale_stroops,
    a.xlm_stroops,
    a.ledger,
    a.refreshed_at,
    -- As wallet.is_paused, which its readers may not ask: pauses are wallet's own.
    EXISTS (
        SELECT 1 FROM wallet.pauses AS p
        WHERE p.resumed_at IS NULL
          AND (
              p.scope = 'everything'
              OR (p.scope = 'pooler' AND p.target = w.pooler_id)
              OR (p.scope = 'wallet' AND p.target = w.id)
          )
    ) AS is_paused,
    -- The same without a pause of everything.
    EXISTS (
        SELECT 1 FROM wallet.pauses AS p
        WHERE p.resumed_at IS NULL
          AND (
              (p.scope = 'pooler' AND p.target = w.pooler_id)
              OR (p.scope = 'wallet' AND p.target = w.id)
          )
    ) AS is_held_apart
FROM wallet.wallets AS w
INNER JOIN wallet.accounts AS a ON w.id = a.wallet_id
WHERE w.kind = 'farmer';

CREATE VIEW wallet.settled_operations AS
SELECT
    o.operation_id,
    o.kind::text AS kind,
    o.farmer_id,
    o.pooler_id,
    o.address,
    o.block_index,
    o.state::text AS state,
    o.amount,
    o.stake_returned,
    o.nonce,
    o.hash,
    o.gap,
    o.transaction_hash,
    o.ledger,
    o.fee_charged,
    o.reason,
    o.error_message,
    o.created_at,
    o.settled_at,
    o.zeros,
    o.is_found
FROM wallet.all_operations AS o
WHERE o.settled_at IS NOT NULL;

GRANT USAGE ON SCHEMA wallet, chain TO
kalepool_wallet, kalepool_registry, kalepool_plant, kalepool_work, kalepool_harvest;

GRANT SELECT, INSERT, UPDATE (stake_bps, status, leased_until, stopped, mac) ON wallet.wallets
TO kalepool_wallet;
GRANT SELECT, INSERT ON wallet.sealed_keys TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE ON wallet.accounts TO kalepool_wallet;
-- What makes an order, or binds it to an account's number, no role ever changes.
GRANT SELECT, INSERT, UPDATE (
    state, hash, envelope, fee_bid, signed_ledger, resend_ledger, last_answer, ledger, fee_charged, error,
    closed_at, mac
) ON wallet.transactions TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (
    state, amount, stake_returned, gap, transaction_id, attempts, fee_charged, ledger, reason, error_message,
    due_at, due_ledger, settled_at, pack_limit, unproven, mac, end_mac
) ON wallet.operations TO kalepool_wallet;
GRANT SELECT, INSERT ON wallet.transaction_operations TO kalepool_wallet;
GRANT SELECT, INSERT ON wallet.batches, wallet.batch_operations TO kalepool_wallet;
GRANT SELECT, INSERT ON wallet.audit_log TO kalepool_wallet;
-- To lock the row takes the right to change some column, and this one has one value.
GRANT SELECT, UPDATE (singleton) ON wallet.audit_head TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (taken_at) ON wallet.turns TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (resumed_by, resumed_at, resume_mac) ON wallet.pauses TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (approved_by, approved_at, used_at, mac) ON wallet.approvals
TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (stroops) ON wallet.fee_hours TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (stroops, charges) ON wallet.fee_sums TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE ON wallet.operator_terms TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (lifted_at) ON wallet.refusals TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (settled, settled_at) ON wallet.differences TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE ON wallet.reconciled_balances TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (mac) ON wallet.payout_addresses, wallet.withdrawals, wallet.payments
TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (mac) ON wallet.shown_targets TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (mac) ON wallet.payouts, wallet.pool_payments TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (opened_at, mac) ON wallet.block_openings TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (
    until_block, blocks, pooler, operator, miners, until_number, paid_pooler, paid_operator, paid_miners,
    made_at, mac
) ON wallet.fee_marks TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE (mac) ON wallet.data_entries TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE ON chain.blocks, chain.head TO kalepool_wallet;
GRANT SELECT ON wallet.wallets_with_accounts, wallet.all_operations TO kalepool_wallet;

GRANT SELECT ON wallet.farmer_accounts, chain.blocks, chain.head TO
kalepool_registry, kalepool_plant, kalepool_work, kalepool_harvest;
GRANT SELECT ON wallet.settled_operations, wallet.batch_operations TO
kalepool_plant, kalepool_work, kalepool_harvest;

-- Rotation of the KEK -------------------------------------------------------------------------

-- Rotation of the key-encryption key (KEK): only how a data key is wrapped ever changes.
GRANT UPDATE (kek_id, wrapped_data_key) ON wallet.sealed_keys TO kalepool_wallet;
CREATE INDEX idx_sealed_keys_kek ON wallet.sealed_keys (kek_id, wallet_id);

-- A lost or changed seed is lost money: nobody does it by mistake, whatever rights they have.
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
CREATE FUNCTION wallet.refuse_change_of_seed() RETURNS trigger
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
CREATE TRIGGER sealed_keys_seeds_stay BEFORE UPDATE ON wallet.sealed_keys
FOR EACH ROW WHEN (
    (OLD.wallet_id, OLD.nonce, OLD.sealed_seed, OLD.created_at)
    IS DISTINCT FROM (NEW.wallet_id, NEW.nonce, NEW.sealed_seed, NEW.created_at)
) EXECUTE FUNCTION wallet.refuse_change_of_seed();
CREATE TRIGGER sealed_keys_rows_stay BEFORE DELETE ON wallet.sealed_keys
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change_of_seed();

CREATE FUNCTION wallet.refuse_loss_of_seeds() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'sealed seeds are never deleted';
END
$$;
CREATE TRIGGER sealed_keys_stay BEFORE TRUNCATE ON wallet.sealed_keys
FOR EACH STATEMENT EXECUTE FUNCTION wallet.refuse_loss_of_seeds();
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

CREATE TABLE wallet.key_rotations (
    id uuid PRIMARY KEY,
    -- The KEK under which all data keys are to be.
    kek_id text NOT NULL,
    rewrapped int NOT NULL DEFAULT 0 CHECK (rewrapped >= 0),
    -- Data keys that did not open; they stayed as they were.
    failed int NOT NULL DEFAULT 0 CHECK (failed >= 0),
    started_at wallet.moment NOT NULL DEFAULT now(),
    ended_at wallet.moment
);
CREATE UNIQUE INDEX idx_key_rotations_one_open ON wallet.key_rotations ((ended_at IS NULL))
WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE (rewrapped, failed, ended_at) ON wallet.key_rotations
TO kalepool_wallet;

-- Keys of rows' authenticators ------------------------------------------------------------------

-- Sealed like the wallets' data keys: without the KEK nobody makes an authenticator.
CREATE TABLE wallet.row_keys (
    number int PRIMARY KEY CHECK (number BETWEEN 1 AND 65535),
    -- The lowest number whose authenticators count beside this key's.
    accepts_from int NOT NULL CHECK (accepts_from BETWEEN 1 AND number),
    kek_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at wallet.moment NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE (kek_id, wrapped_key, accepts_from) ON wallet.row_keys TO kalepool_wallet;
-- Which keys were given up, by the log.
CREATE INDEX idx_audit_log_row_keys ON wallet.audit_log (number) WHERE action = 'give_up_row_keys';
-- Which keys wallet made in place of older ones, by the log.
CREATE INDEX idx_audit_log_made_keys ON wallet.audit_log (action, number)
WHERE action IN ('replace_row_key', 'replace_token_key');

-- A key follows the one before it, and is made now: a number that leaves no room for the next one would keep a
-- key that was stolen from ever being replaced, and a moment of before would have it count at once.
CREATE FUNCTION wallet.refuse_odd_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last int;
    is_there boolean;
BEGIN
    EXECUTE format(
        'SELECT max(k.number), coalesce(bool_or(k.number = $1), false) FROM %I.%I AS k',
        TG_TABLE_SCHEMA, TG_TABLE_NAME
    ) INTO last, is_there USING NEW.number;
    -- Who makes the same one at the same moment leaves the first as it is.
    IF NEW.created_at <> now() OR (NOT is_there AND NEW.number <> coalesce(last, 0) + 1) THEN
        RAISE EXCEPTION 'key % does not follow key %', NEW.number, last
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER row_keys_follow BEFORE INSERT ON wallet.row_keys
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_key();

-- API tokens --------------------------------------------------------------------------------------

-- Whether a list is one of texts that every reader can take: no list of lists, with no gap, of so many bytes.
CREATE FUNCTION wallet.is_list(list text [], most int) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce(array_ndims(list), 1) = 1
    AND NOT EXISTS (SELECT 1 FROM unnest(list) AS n (item) WHERE n.item IS NULL)
    AND (SELECT coalesce(sum(octet_length(n.item)), 0) FROM unnest(list) AS n (item)) <= most;

-- Who has a token calls the pool without a certificate. A row holds the SHA-256 of the token, which is 256
-- random bits that nobody keeps.
CREATE TABLE wallet.tokens (
    id uuid PRIMARY KEY,
    role text NOT NULL CHECK (role IN ('pooler', 'operator')),
    -- The name that callers with it have: spiffe://<trust domain>/pooler/<id>.
    subject text NOT NULL CHECK (octet_length(subject) <= 400),
    -- Whose it is; none of an operator's.
    pooler_id uuid,
    -- What its maker calls it.
    name text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 64),
    -- Full names of the only methods that it is for; none: all that its role may call by a token.
    methods text [] NOT NULL CHECK (wallet.is_list(methods, 16384)),
    is_read_only boolean NOT NULL,
    secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    -- What its maker calls the request; empty: not named.
    request_id text NOT NULL CHECK (octet_length(request_id) <= 400),
    created_by text NOT NULL CHECK (octet_length(created_by) <= 4096),
    created_at wallet.moment NOT NULL,
    expires_at wallet.moment NOT NULL,
    revoked_by text CHECK (octet_length(revoked_by) <= 4096),
    revoked_at wallet.moment,
    -- Authenticator of the whole row, and so of its end, too.
    mac bytea NOT NULL CHECK (octet_length(mac) = 34),
    CONSTRAINT tokens_pooler CHECK ((role = 'pooler') = (pooler_id IS NOT NULL)),
    CONSTRAINT tokens_revoked CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);
CREATE INDEX idx_tokens_pooler ON wallet.tokens (pooler_id, id);
-- Those that are still good for something.
CREATE INDEX idx_tokens_expires ON wallet.tokens (expires_at, id);
CREATE UNIQUE INDEX idx_tokens_request ON wallet.tokens (created_by, request_id) WHERE request_id <> '';
-- Whether a token was revoked, by the log.
CREATE INDEX idx_audit_log_revoked_tokens ON wallet.audit_log (subject) WHERE action = 'revoke_token';

-- Nobody takes a revocation back by mistake, or with the rights of wallet's role.
CREATE FUNCTION wallet.refuse_return_of_token() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'token % was revoked, for good', OLD.id;
END
$$;
CREATE TRIGGER tokens_stay_revoked BEFORE UPDATE ON wallet.tokens
FOR EACH ROW WHEN (
    OLD.revoked_at IS NOT NULL
    AND (OLD.revoked_by, OLD.revoked_at) IS DISTINCT FROM (NEW.revoked_by, NEW.revoked_at)
) EXECUTE FUNCTION wallet.refuse_return_of_token();
GRANT SELECT, INSERT, UPDATE (revoked_by, revoked_at, mac) ON wallet.tokens TO kalepool_wallet;

-- Keys that sign access tokens, sealed like the wallets' data keys.
CREATE TABLE wallet.token_keys (
    number int PRIMARY KEY CHECK (number >= 1),
    kek_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at wallet.moment NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE (kek_id, wrapped_key) ON wallet.token_keys TO kalepool_wallet;
CREATE TRIGGER token_keys_follow BEFORE INSERT ON wallet.token_keys
FOR EACH ROW EXECUTE FUNCTION wallet.refuse_odd_key();

-- Notices -------------------------------------------------------------------------------------------

-- What happened that poolers or operators want to be told: registry reads it and tells them. The database
-- writes each row in the statement that makes the change, whoever makes it; no role writes here.
CREATE TABLE wallet.notices (
    number bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    -- One notice of one change, however often it is told.
    name text NOT NULL UNIQUE,
    at wallet.moment NOT NULL DEFAULT now(),
    -- As services/registry/domain/notifications.py names them.
    kind text NOT NULL,
    -- Whom it concerns; none: operators, or everybody.
    pooler_id uuid,
    farmer_id uuid,
    is_public boolean NOT NULL DEFAULT false,
    facts jsonb NOT NULL
);
CREATE INDEX idx_notices_at ON wallet.notices (at);
GRANT SELECT ON wallet.notices TO kalepool_registry;

CREATE FUNCTION wallet.told_moment(moment timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

-- A payout that arrived or was given up; one that turns out to have arrived after all is told of again.
CREATE FUNCTION wallet.tell_payout() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, facts)
    SELECT
        format('payout %s %s', NEW.id, NEW.state),
        CASE WHEN NEW.state = 'succeeded' THEN 'payout.made' ELSE 'payout.failed' END,
        w.pooler_id,
        w.farmer_id,
        jsonb_strip_nulls(jsonb_build_object(
            'withdrawalId', NEW.id::text,
            'asset', d.asset,
            'amountStroops', d.amount::text,
            'destination', d.destination,
            'transactionHash', t.hash,
            'ledger', CASE WHEN NEW.state = 'succeeded' THEN NEW.ledger::text END,
            'reason', NEW.reason,
            'message', nullif(NEW.error_message, '')
        ))
    FROM wallet.withdrawals AS d
    INNER JOIN wallet.wallets AS w ON d.wallet_id = w.id
    LEFT JOIN wallet.transactions AS t ON t.id = NEW.transaction_id AND NEW.state = 'succeeded'
    WHERE d.operation_id = NEW.id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.tell_payout() FROM public;
CREATE TRIGGER operations_payouts_told AFTER UPDATE OF state ON wallet.operations
FOR EACH ROW WHEN (
    NEW.kind = 'withdraw' AND NEW.state IN ('succeeded', 'failed', 'expired')
    AND OLD.state IS DISTINCT FROM NEW.state
) EXECUTE FUNCTION wallet.tell_payout();

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

-- What is registered with a farmer changes nothing.
CREATE FUNCTION wallet.tell_address() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, facts)
    SELECT
        format(
            'address %s %s %s', NEW.wallet_id, NEW.number,
            CASE WHEN NEW.effective_at > NEW.registered_at THEN 'pending' ELSE 'changed' END
        ),
        CASE
            WHEN NEW.effective_at > NEW.registered_at THEN 'payout_address.pending'
            ELSE 'payout_address.changed'
        END,
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
REVOKE ALL ON FUNCTION wallet.tell_address() FROM public;
CREATE TRIGGER payout_addresses_told AFTER INSERT ON wallet.payout_addresses
FOR EACH ROW EXECUTE FUNCTION wallet.tell_address();

-- Addresses that count from now on, as their time has come: told once, unless they were replaced while they
-- cooled. What came into force longer ago than notices are kept is not told again.
CREATE INDEX idx_payout_addresses_effective ON wallet.payout_addresses (effective_at);
CREATE FUNCTION wallet.tell_effective_addresses() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, facts)
SELECT
    format('address %s %s changed', a.wallet_id, a.number),
    'payout_address.changed',
    w.pooler_id,
    w.farmer_id,
    jsonb_build_object('address', a.address, 'effectiveAt', wallet.told_moment(a.effective_at))
FROM wallet.payout_addresses AS a
INNER JOIN wallet.wallets AS w ON a.wallet_id = w.id
WHERE a.effective_at <= now()
  AND a.effective_at > now() - interval '29 days'
  AND a.effective_at > a.registered_at
  AND NOT EXISTS (
      SELECT 1 FROM wallet.payout_addresses AS n
      WHERE n.wallet_id = a.wallet_id AND n.number = a.number + 1
        AND n.registered_at < a.effective_at
  )
  AND NOT EXISTS (
      SELECT 1 FROM wallet.notices AS t
      WHERE t.name = format('address %s %s changed', a.wallet_id, a.number)
  )
ON CONFLICT DO NOTHING;
END;
REVOKE ALL ON FUNCTION wallet.tell_effective_addresses() FROM public;
GRANT EXECUTE ON FUNCTION wallet.tell_effective_addresses() TO kalepool_wallet;

-- Who is told of a pause: everybody, a pooler, or the pooler of a farmer. Why, and who ordered it, is
-- operators' business. Of several for the same, the first is told, and the end of the last.
CREATE FUNCTION wallet.tell_pause() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, pooler_id, farmer_id, is_public, facts)
    SELECT
        format('pause %s %s', NEW.id, CASE WHEN NEW.resumed_at IS NULL THEN 'begun' ELSE 'over' END),
        CASE WHEN NEW.resumed_at IS NULL THEN 'signing.paused' ELSE 'signing.resumed' END,
        CASE WHEN NEW.scope = 'pooler' THEN NEW.target ELSE w.pooler_id END,
        w.farmer_id,
        NEW.scope = 'everything',
        jsonb_build_object(
            'scope', CASE WHEN NEW.scope = 'wallet' THEN 'farmer' ELSE NEW.scope END
        )
    FROM (SELECT 1) AS once
    LEFT JOIN wallet.wallets AS w ON NEW.scope = 'wallet' AND w.id = NEW.target
    WHERE NOT EXISTS (
        SELECT 1 FROM wallet.pauses AS o
        WHERE o.scope = NEW.scope AND o.target IS NOT DISTINCT FROM NEW.target
          AND o.resumed_at IS NULL AND o.id <> NEW.id
    )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.tell_pause() FROM public;
CREATE TRIGGER pauses_told AFTER INSERT ON wallet.pauses
FOR EACH ROW EXECUTE FUNCTION wallet.tell_pause();
CREATE TRIGGER pauses_over_told AFTER UPDATE OF resumed_at ON wallet.pauses
FOR EACH ROW WHEN (OLD.resumed_at IS NULL AND NEW.resumed_at IS NOT NULL)
EXECUTE FUNCTION wallet.tell_pause();

-- What a wallet process sees that an operator has to know. A condition stands while any process reports it,
-- and is over when none has done so for a minute.
CREATE TABLE wallet.conditions (
    name text PRIMARY KEY CHECK (octet_length(name) <= 400),
    kind text NOT NULL CHECK (kind IN ('treasury', 'node')),
    stands boolean NOT NULL,
    since wallet.moment NOT NULL,
    reported_at wallet.moment NOT NULL,
    facts jsonb NOT NULL
);
GRANT SELECT, INSERT, UPDATE (stands, since, reported_at, facts) ON wallet.conditions
TO kalepool_wallet;

CREATE FUNCTION wallet.tell_condition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wallet.notices (name, kind, facts)
    VALUES (
        format('condition %s %s %s', NEW.name, extract(epoch FROM NEW.since), NEW.stands),
        CASE NEW.kind
            WHEN 'treasury' THEN
                CASE WHEN NEW.stands THEN 'treasury.low' ELSE 'treasury.restored' END
            ELSE CASE WHEN NEW.stands THEN 'node.set_aside' ELSE 'node.back' END
        END,
        NEW.facts
    )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION wallet.tell_condition() FROM public;
CREATE TRIGGER conditions_told AFTER INSERT ON wallet.conditions
FOR EACH ROW WHEN (NEW.stands) EXECUTE FUNCTION wallet.tell_condition();
CREATE TRIGGER conditions_changed_told AFTER UPDATE OF stands ON wallet.conditions
FOR EACH ROW WHEN (OLD.stands IS DISTINCT FROM NEW.stands)
EXECUTE FUNCTION wallet.tell_condition();

-- Notices are kept for a month, which is longer than registry may be away. Only this function deletes.
CREATE FUNCTION wallet.forget_notices() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
WITH old AS (
    DELETE FROM wallet.notices AS n WHERE n.at < now() - interval '30 days' RETURNING n.number
)
SELECT count(*) FROM old;
END;
REVOKE ALL ON FUNCTION wallet.forget_notices() FROM public;
GRANT EXECUTE ON FUNCTION wallet.forget_notices() TO kalepool_wallet;

-- What other roles hold up -------------------------------------------------------------------------

-- Locks of the server's table that no session of another service needs (it has a few dozen), and seconds
-- that no transaction of theirs takes. They are no arguments: wallet's own password ends nobody's session
-- by lower ones.
CREATE FUNCTION wallet.hold_up_limits() RETURNS TABLE (most_locks int, most_seconds double precision)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
SELECT 500, 300::double precision;
END;

-- Ends sessions of the other services' roles in this database that hold more locks than any of theirs needs
-- (the table of locks is everybody's, and each savepoint takes one), or whose transaction is older than any
-- of theirs (an old snapshot keeps old versions of rows). No limit of PostgreSQL's does, that a role cannot
-- lift for itself. It does what its owner may: what it may not end is told as not ended.
CREATE FUNCTION wallet.end_hold_ups()
RETURNS TABLE (pid int, role text, locks bigint, seconds double precision, is_ended boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    limits record;
BEGIN
    SELECT h.most_locks, h.most_seconds INTO STRICT limits FROM wallet.hold_up_limits() AS h;
    FOR pid, role, locks, seconds IN
        SELECT
            a.pid,
            a.usename::text,
            coalesce(l.taken, 0),
            extract(epoch FROM clock_timestamp() - a.xact_start)::double precision
        FROM pg_stat_activity AS a
        LEFT JOIN (
            SELECT k.pid, count(*) AS taken FROM pg_locks AS k WHERE NOT k.fastpath GROUP BY k.pid
        ) AS l ON a.pid = l.pid
        WHERE a.datname = current_database()
          AND a.usename IN (
              'kalepool_registry', 'kalepool_plant', 'kalepool_work', 'kalepool_harvest'
          )
    LOOP
        IF locks > limits.most_locks OR seconds > limits.most_seconds THEN
            BEGIN
                is_ended := pg_terminate_backend(pid);
                -- One that has gone meanwhile is nobody's any more.
                IF is_ended THEN
                    RETURN NEXT;
                END IF;
            EXCEPTION WHEN insufficient_privilege THEN
                is_ended := false;
                RETURN NEXT;
            END;
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION wallet.end_hold_ups() FROM public;
GRANT EXECUTE ON FUNCTION wallet.end_hold_ups() TO kalepool_wallet;

-- Agreements, owner accounts, and poolers that farm for themselves -----------------------------------------

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
    -- By what whoever gave it was known; of those, a signature is the farmer's own, and so is an owner account
    -- that has logged in.
    proof text NOT NULL CHECK (
        proof IN ('certificate', 'token', 'signature', 'operator', 'plaintext', 'owner')
    ),
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
CREATE INDEX idx_owner_accounts_address ON wallet.owner_accounts (address, wallet_id);
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

-- Farmers by the owner account that speaks for them now, as wallet's own store finds it: the newest that
-- counts, of those that were not replaced before they counted. For the services that show farmers to their
-- owners; wallet itself goes by what it has sealed.
CREATE VIEW wallet.owner_accounts_that_counted AS
SELECT o.wallet_id, o.number, o.address
FROM wallet.owner_accounts AS o
WHERE o.effective_at <= greatest(
    now(), (SELECT max(n.registered_at) FROM wallet.owner_accounts AS n WHERE n.wallet_id = o.wallet_id)
)
AND NOT EXISTS (
    SELECT 1 FROM wallet.owner_accounts AS n
    WHERE n.wallet_id = o.wallet_id AND n.number = o.number + 1 AND n.registered_at < o.effective_at
);
CREATE VIEW wallet.farmer_owners AS
SELECT w.farmer_id, o.address AS owner_account
FROM wallet.owner_accounts_that_counted AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE o.address <> ''
  AND NOT EXISTS (
      SELECT 1 FROM wallet.owner_accounts_that_counted AS l
      WHERE l.wallet_id = o.wallet_id AND l.number > o.number
  );
GRANT SELECT ON wallet.farmer_owners TO
kalepool_registry, kalepool_plant, kalepool_work, kalepool_harvest;

-- Challenges that somebody has logged in with, by the hash of their transaction, until they have ended: each
-- counts once.
CREATE TABLE wallet.used_challenges (
    challenge bytea PRIMARY KEY CHECK (octet_length(challenge) = 32),
    ends_at wallet.moment NOT NULL
);
CREATE INDEX idx_used_challenges_ends ON wallet.used_challenges (ends_at);
GRANT SELECT, INSERT ON wallet.used_challenges TO kalepool_wallet;

-- Forgets a hundred of those that ended an hour ago: whatever the clocks of wallet's processes say, none of them
-- counts. Others forget some, too, and need not wait for one another. Only this function deletes, so that nobody
-- has a challenge count once more.
CREATE FUNCTION wallet.forget_challenges() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
WITH ended AS (
    SELECT u.challenge FROM wallet.used_challenges AS u
    WHERE u.ends_at < now() - interval '1 hour'
    ORDER BY u.ends_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
),
forgotten AS (
    DELETE FROM wallet.used_challenges AS u USING ended AS e WHERE u.challenge = e.challenge
    RETURNING u.challenge
)
SELECT count(*) FROM forgotten;
END;
REVOKE ALL ON FUNCTION wallet.forget_challenges() FROM public;
GRANT EXECUTE ON FUNCTION wallet.forget_challenges() TO kalepool_wallet;

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
