-- harvest: harvests (append-only events), balances, and the batches that made them.

GRANT USAGE ON SCHEMA harvest TO kalepool_harvest, kalepool_registry;

-- A moment at which something happened: one that every reader can tell. Whoever may write a row could
-- else keep a whole list from being read, by a time without an end.
CREATE DOMAIN harvest.moment AS timestamptz
CHECK (VALUE BETWEEN '2020-01-01 00:00Z' AND '2200-01-01 00:00Z');

CREATE TYPE harvest.harvest_status AS ENUM ('success', 'failed');

CREATE TABLE harvest.harvests (
    -- wallet's operation, or the batch item when none was made.
    id uuid NOT NULL,
    block_index int NOT NULL CHECK (block_index >= 0),
    farmer_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    -- What the chain paid, without the stake that came back.
    reward_amount bigint NOT NULL,
    stake_returned bigint NOT NULL CHECK (stake_returned >= 0),
    transaction_hash varchar(64) NOT NULL,
    ledger int NOT NULL,
    fee_charged bigint NOT NULL,
    status harvest.harvest_status NOT NULL,
    reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    harvested_at harvest.moment NOT NULL,
    PRIMARY KEY (block_index, id)
) PARTITION BY RANGE (block_index);

CREATE INDEX idx_harvests_block_farmer ON harvest.harvests (block_index, farmer_id);
CREATE INDEX idx_harvests_pooler_block ON harvest.harvests (pooler_id, block_index DESC, id DESC);
-- A block is harvested once for a farmer.
CREATE UNIQUE INDEX idx_harvests_once ON harvest.harvests (block_index, farmer_id)
WHERE status = 'success';

-- Partitions of 10,000 blocks (about 35 days), made when the first block of each is planned. Nobody who
-- reads or writes the table waits for whoever makes one, however long that transaction is open; and a
-- service makes one at a time as blocks come, since each takes locks and files.
CREATE FUNCTION harvest.ensure_partition(block int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low int := block / 10000 * 10000;
    name text := format('harvests_%s', low);
BEGIN
    IF to_regclass(format('harvest.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    IF session_user <> current_user AND (block < 0 OR block >= 20000 + coalesce(
        (SELECT greatest(h.current_block, h.plantable_block) FROM chain.head AS h), 0
    )) THEN
        RAISE EXCEPTION 'block % is far from where the chain is', block;
    END IF;
    LOCK TABLE harvest.harvests IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(format('harvest.%I', name)) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE harvest.%I (LIKE harvest.harvests INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'ALTER TABLE harvest.harvests ATTACH PARTITION harvest.%I FOR VALUES FROM (%s) TO (%s)',
            name, low, low::bigint + 10000);
    END IF;
END $$;
REVOKE ALL ON FUNCTION harvest.ensure_partition(int) FROM public;
GRANT EXECUTE ON FUNCTION harvest.ensure_partition(int) TO kalepool_harvest;

-- No foreign key to another schema: each is a lock on rows that are another role's.
CREATE TRIGGER trigger_harvests_farmers AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();
CREATE TRIGGER trigger_harvests_poolers AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();

CREATE FUNCTION harvest.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER trigger_harvests_append_only BEFORE UPDATE OR DELETE ON harvest.harvests
FOR EACH ROW EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_harvests_no_truncate BEFORE TRUNCATE ON harvest.harvests
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();

-- Whether nothing of a block is left to harvest for a farmer after a harvest of this kind: it was paid,
-- or no later try can mend it, since the pail was harvested, never worked, or has expired.
CREATE FUNCTION harvest.is_final(status harvest.harvest_status, reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN status = 'success' OR reason IN ('NOT_PLANTED', 'NOT_WORKED', 'BLOCK_EXPIRED');

-- What is worked and not harvested, so that no sweep looks through the events of days. Only the database
-- writes it, in the statements that write the events.
CREATE TABLE harvest.pending (
    block_index int NOT NULL,
    farmer_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    -- Tries that failed, and when the last one did: each leaves an event, so the pauses between grow.
    failures int NOT NULL DEFAULT 0,
    failed_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (block_index, farmer_id)
);

CREATE FUNCTION harvest.note_works() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO harvest.pending (block_index, farmer_id, pooler_id)
    SELECT n.block_index, n.farmer_id, n.pooler_id
    FROM noted AS n
    WHERE n.status = 'success'
        -- A farmer may have several works in a block, the last of them recorded after the harvest.
        AND NOT EXISTS (
            SELECT 1 FROM harvest.harvests AS h
            WHERE h.block_index = n.block_index AND h.farmer_id = n.farmer_id
                AND harvest.is_final(h.status, h.reason)
        )
        -- What is there is not inserted in vain: that would wait for whoever is changing it.
        AND NOT EXISTS (
            SELECT 1 FROM harvest.pending AS p
            WHERE p.block_index = n.block_index AND p.farmer_id = n.farmer_id
        )
    -- In one order, so that two batches with the same farmers never wait crosswise.
    ORDER BY n.block_index, n.farmer_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION harvest.note_harvests() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- All of them in one order, so that two batches with the same farmers never wait crosswise.
    PERFORM 1
    FROM harvest.pending AS p
    INNER JOIN noted AS n ON n.block_index = p.block_index AND n.farmer_id = p.farmer_id
    ORDER BY p.block_index, p.farmer_id
    FOR UPDATE OF p;
    DELETE FROM harvest.pending AS p
    USING noted AS n
    WHERE n.block_index = p.block_index AND n.farmer_id = p.farmer_id
        AND harvest.is_final(n.status, n.reason);
    UPDATE harvest.pending AS p
    SET failures = p.failures + 1, failed_at = now()
    FROM noted AS n
    WHERE n.block_index = p.block_index AND n.farmer_id = p.farmer_id
        -- Once in a transaction: see note_repeats.
        AND p.failed_at <> now();
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.note_works(), harvest.note_harvests() FROM public;

CREATE TRIGGER trigger_works_pending AFTER INSERT ON work.works
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_works();
CREATE TRIGGER trigger_harvests_pending AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_harvests();

-- What each farmer has earned; only the database writes it, in the statement that writes the event.
CREATE TABLE harvest.balances (
    farmer_id uuid PRIMARY KEY,
    current_balance bigint NOT NULL CHECK (current_balance >= 0),
    total_rewards bigint NOT NULL,
    harvests int NOT NULL,
    updated_at harvest.moment NOT NULL
);

-- What a pooler's harvests of a block come to, for reports. Only the database writes it, in the statements
-- that write the harvests, from all harvests of that pooler and block: it is right whatever comes first,
-- twice or at the same time.
CREATE TABLE harvest.block_sums (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    -- Farmers who were paid, and farmers whose harvests have all failed so far.
    harvested int NOT NULL DEFAULT 0,
    not_harvested int NOT NULL DEFAULT 0,
    -- Stroops of KALE.
    rewards bigint NOT NULL DEFAULT 0,
    min_reward bigint,
    max_reward bigint,
    stake_returned bigint NOT NULL DEFAULT 0,
    -- Stroops of XLM, those for harvests that failed included.
    fees bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (block_index, pooler_id)
) WITH (fillfactor = 50);
CREATE INDEX idx_block_sums_pooler ON harvest.block_sums (pooler_id, block_index DESC);

-- The nearest number that a bigint holds: a sum that is at its end keeps no event from being written.
CREATE FUNCTION harvest.fit(amount numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN least(greatest(amount, -9223372036854775808), 9223372036854775807)::bigint;

CREATE FUNCTION harvest.sum_blocks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Events of a block are found by an index, whatever the statistics say: a new partition has none.
SET enable_seqscan = off AS $$
BEGIN
    -- One statement at a time for a pooler's block, so that each sees what those before it have written;
    -- all in one order, so that two statements with the same blocks never wait crosswise.
    INSERT INTO harvest.block_sums (block_index, pooler_id)
    SELECT DISTINCT n.block_index, n.pooler_id FROM added AS n
    ORDER BY n.block_index, n.pooler_id
    ON CONFLICT DO NOTHING;
    PERFORM 1
    FROM harvest.block_sums AS s
    WHERE (s.block_index, s.pooler_id) IN (SELECT n.block_index, n.pooler_id FROM added AS n)
    ORDER BY s.block_index, s.pooler_id
    FOR UPDATE;
    UPDATE harvest.block_sums AS s
    SET harvested = e.harvested,
        not_harvested = e.farmers - e.harvested,
        rewards = harvest.fit(e.rewards),
        min_reward = e.min_reward,
        max_reward = e.max_reward,
        stake_returned = harvest.fit(e.stake_returned),
        fees = harvest.fit(e.fees)
    FROM (SELECT DISTINCT a.block_index, a.pooler_id FROM added AS a) AS n
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE h.status = 'success') AS harvested,
            count(DISTINCT h.farmer_id) AS farmers,
            coalesce(sum(h.reward_amount) FILTER (WHERE h.status = 'success'), 0) AS rewards,
            min(h.reward_amount) FILTER (WHERE h.status = 'success') AS min_reward,
            max(h.reward_amount) FILTER (WHERE h.status = 'success') AS max_reward,
            coalesce(sum(h.stake_returned) FILTER (WHERE h.status = 'success'), 0) AS stake_returned,
            sum(h.fee_charged) AS fees
        FROM harvest.harvests AS h
        WHERE h.block_index = n.block_index AND h.pooler_id = n.pooler_id
    ) AS e
    WHERE s.block_index = n.block_index AND s.pooler_id = n.pooler_id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.sum_blocks() FROM public;
CREATE TRIGGER trigger_harvests_sums AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION harvest.sum_blocks();

-- What was earned by hour, day and month (UTC), and ever: each harvest that was paid counts in the spans
-- in which it was settled. Only the database writes it, in the statements that write the harvests; what
-- is not written a second time does not count a second time. The keys begin with time: what is new is at
-- their ends.
CREATE TYPE harvest.span AS ENUM ('hour', 'day', 'month', 'all');
CREATE TABLE harvest.pooler_earnings (
    span harvest.span NOT NULL,
    starts_at harvest.moment NOT NULL,
    pooler_id uuid NOT NULL,
    -- Stroops of KALE.
    rewards bigint NOT NULL,
    harvests bigint NOT NULL,
    stake_returned bigint NOT NULL,
    PRIMARY KEY (span, starts_at, pooler_id)
) WITH (fillfactor = 50);
-- What a farmer earned ever is in harvest.balances.
CREATE TABLE harvest.farmer_earnings (
    span harvest.span NOT NULL CHECK (span <> 'all'),
    starts_at harvest.moment NOT NULL,
    farmer_id uuid NOT NULL,
    -- Stroops of KALE.
    rewards bigint NOT NULL,
    harvests bigint NOT NULL,
    stake_returned bigint NOT NULL,
    PRIMARY KEY (span, starts_at, farmer_id)
) WITH (fillfactor = 50);

-- The spans that a moment lies in; all of time begins in 2020, before which no event can be.
CREATE FUNCTION harvest.spans_of(moment timestamptz)
RETURNS TABLE (span harvest.span, starts_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
VALUES
    ('hour'::harvest.span, date_trunc('hour', moment, 'UTC')),
    ('day'::harvest.span, date_trunc('day', moment, 'UTC')),
    ('month'::harvest.span, date_trunc('month', moment, 'UTC')),
    ('all'::harvest.span, '2020-01-01 00:00Z'::timestamptz);
END;

CREATE FUNCTION harvest.sum_earnings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- In one order, so that two statements with the same poolers or farmers never wait crosswise.
    INSERT INTO harvest.pooler_earnings AS e (
        span, starts_at, pooler_id, rewards, harvests, stake_returned
    )
    SELECT s.span, s.starts_at, n.pooler_id, harvest.fit(sum(n.reward_amount)), count(*),
        harvest.fit(sum(n.stake_returned))
    FROM added AS n
    CROSS JOIN LATERAL harvest.spans_of(n.harvested_at) AS s
    WHERE n.status = 'success'
    GROUP BY s.span, s.starts_at, n.pooler_id
    ORDER BY s.span, s.starts_at, n.pooler_id
    ON CONFLICT (span, starts_at, pooler_id) DO UPDATE SET
        rewards = harvest.fit(e.rewards::numeric + excluded.rewards),
        harvests = e.harvests + excluded.harvests,
        stake_returned = harvest.fit(e.stake_returned::numeric + excluded.stake_returned);
    INSERT INTO harvest.farmer_earnings AS e (
        span, starts_at, farmer_id, rewards, harvests, stake_returned
    )
    SELECT s.span, s.starts_at, n.farmer_id, harvest.fit(sum(n.reward_amount)), count(*),
        harvest.fit(sum(n.stake_returned))
    FROM added AS n
    CROSS JOIN LATERAL harvest.spans_of(n.harvested_at) AS s
    WHERE n.status = 'success' AND s.span <> 'all'
    GROUP BY s.span, s.starts_at, n.farmer_id
    ORDER BY s.span, s.starts_at, n.farmer_id
    ON CONFLICT (span, starts_at, farmer_id) DO UPDATE SET
        rewards = harvest.fit(e.rewards::numeric + excluded.rewards),
        harvests = e.harvests + excluded.harvests,
        stake_returned = harvest.fit(e.stake_returned::numeric + excluded.stake_returned);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.sum_earnings() FROM public;
CREATE TRIGGER trigger_harvests_sums_of_time AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION harvest.sum_earnings();

CREATE TABLE harvest.batches (
    id uuid PRIMARY KEY,
    request_id text NOT NULL,
    pooler_id uuid NOT NULL,
    block_index int NOT NULL,
    digest bytea NOT NULL,
    created_at harvest.moment NOT NULL DEFAULT now(),
    completed_at harvest.moment,
    UNIQUE (pooler_id, request_id)
);
CREATE INDEX idx_batches_open ON harvest.batches (id) WHERE completed_at IS NULL;

CREATE TABLE harvest.batch_items (
    batch_id uuid NOT NULL REFERENCES harvest.batches (id),
    farmer_id uuid NOT NULL,
    id uuid NOT NULL,
    chunk int NOT NULL,
    custodial_wallet varchar(56) NOT NULL,
    -- Why wallet refused the chunk as a whole; empty when it did not.
    refusal text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    event_id uuid,
    PRIMARY KEY (batch_id, farmer_id)
);

-- Who asks again for what nobody has mended is answered by the operation that failed before. That leaves
-- no event, and is a try all the same.
CREATE FUNCTION harvest.note_repeats() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1
    FROM harvest.pending AS p
    INNER JOIN harvest.batches AS b ON b.block_index = p.block_index
    INNER JOIN noted AS n ON n.batch_id = b.id AND n.farmer_id = p.farmer_id
    ORDER BY p.block_index, p.farmer_id
    FOR UPDATE OF p;
    UPDATE harvest.pending AS p
    SET failures = p.failures + 1, failed_at = now()
    FROM noted AS n
    INNER JOIN harvest.batches AS b ON b.id = n.batch_id
    WHERE p.block_index = b.block_index AND p.farmer_id = n.farmer_id
        AND n.event_id IS NOT NULL AND p.failed_at <> now();
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.note_repeats() FROM public;
CREATE TRIGGER trigger_items_pending AFTER UPDATE ON harvest.batch_items
REFERENCING NEW TABLE AS noted
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_repeats();

CREATE TRIGGER trigger_balances_farmers AFTER INSERT ON harvest.balances
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();
CREATE TRIGGER trigger_batches_poolers AFTER INSERT ON harvest.batches
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_poolers();
CREATE TRIGGER trigger_batch_items_farmers AFTER INSERT ON harvest.batch_items
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse_unknown_farmers();

-- The row that a pooler's plans lock, one after the other; nobody else can.
CREATE TABLE harvest.turns (
    pooler_id uuid PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

GRANT SELECT, INSERT ON harvest.harvests TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (taken_at) ON harvest.turns TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (completed_at) ON harvest.batches TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (refusal, message, event_id) ON harvest.batch_items TO kalepool_harvest;
GRANT SELECT ON harvest.balances, harvest.pending TO kalepool_harvest;
GRANT SELECT ON harvest.block_sums, harvest.pooler_earnings, harvest.farmer_earnings
TO kalepool_harvest;
GRANT SELECT ON harvest.balances TO kalepool_registry;

-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA harvest TO kalepool_wallet;
GRANT SELECT ON harvest.harvests TO kalepool_wallet;
-- It tells what each KALE cost.
GRANT SELECT ON harvest.pooler_earnings TO kalepool_wallet;

-- The pool's ledger ----------------------------------------------------------------------------------

-- Double entry: what the chain, or an agreement, names is one journal, whose entries add up to nothing in
-- each asset. What an account has is the sum of its entries; what the pool's accounts have together is what
-- the contra accounts (chain:...) lack. No role writes here: the functions below do.
CREATE TYPE harvest.asset AS ENUM ('kale', 'xlm');

-- What an account is for. What no share of a reward takes is the farmer's: pool:rounding gets nothing of it.
CREATE TYPE harvest.account_role AS ENUM (
    'farmer:available', 'farmer:staked', 'farmer:pending_out', 'pooler:fee', 'operator:fee',
    'miner:earned', 'pool:rounding', 'chain:mint', 'chain:burn', 'chain:out', 'treasury:network_cost',
    -- What lies in a pooler's custodial account, and the other side of it: what was moved out of farmers'.
    'pooler:held', 'chain:moved'
);

CREATE TYPE harvest.journal_kind AS ENUM (
    -- A harvest that was paid.
    'harvest',
    -- A plant that succeeded.
    'plant',
    -- A stake that no harvest can bring back any more.
    'loss',
    -- A withdrawal of KALE: asked for, given up, and paid; paid after it was given up.
    'withdrawal', 'withdrawal_return', 'payout', 'late_payout',
    -- KALE that came from outside, as the chain shows it.
    'deposit',
    -- A plant or harvest that was booked, and of which the chain turned out to have no trace.
    'denial',
    -- What an operation cost that has no journal of its own: it failed, or moves no KALE.
    'cost',
    -- A deposit that was none.
    'deposit_return',
    -- The miners' part of a block, divided among those who mined it.
    'miner_credit',
    -- Fees that left a farmer's account, and what was paid of them from a pooler's.
    'fee_payout', 'pool_payment'
);

CREATE TABLE harvest.accounts (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    -- The farmer or pooler whose it is; all zeros of the pool's own.
    owner_id uuid NOT NULL,
    role harvest.account_role NOT NULL,
    asset harvest.asset NOT NULL,
    CONSTRAINT accounts_once UNIQUE (owner_id, role, asset)
);

CREATE TABLE harvest.journals (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    kind harvest.journal_kind NOT NULL,
    -- What names it: wallet's operation, but for what none names.
    source_key text COLLATE "C" NOT NULL CHECK (octet_length(source_key) BETWEEN 1 AND 128),
    -- Whose KALE it moves; none for what the pool does for itself.
    farmer_id uuid,
    pooler_id uuid,
    -- None of what belongs to no block.
    block_index int CHECK (block_index >= 0),
    ledger int NOT NULL,
    transaction_hash varchar(64) NOT NULL,
    happened_at harvest.moment NOT NULL,
    booked_at harvest.moment NOT NULL DEFAULT now(),
    -- Whatever is repeated, or killed in between, is booked once.
    CONSTRAINT journals_once UNIQUE (kind, source_key)
);
-- Stakes that are still out, by block.
CREATE INDEX idx_journals_blocks ON harvest.journals (block_index, farmer_id, kind)
WHERE block_index IS NOT NULL AND kind IN ('harvest', 'plant', 'loss', 'denial');
CREATE INDEX idx_journals_losses ON harvest.journals (block_index, farmer_id) WHERE kind = 'loss';

CREATE TABLE harvest.entries (
    journal_id bigint NOT NULL,
    account_id bigint NOT NULL,
    -- Stroops. A harvest's stake and reward together may be more than a bigint holds.
    amount numeric(20) NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (journal_id, account_id)
);
-- An account's newest entries, and their sum, without the others'.
CREATE INDEX idx_entries_account ON harvest.entries (account_id, journal_id) INCLUDE (amount);

-- Only the database writes it, in the statements that write the entries.
CREATE TABLE harvest.account_balances (
    account_id bigint PRIMARY KEY,
    amount numeric(39) NOT NULL,
    entries bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TRIGGER trigger_accounts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON harvest.accounts
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_journals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON harvest.journals
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();
CREATE TRIGGER trigger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON harvest.entries
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();

-- What a journal of each kind may take (-1) and give (1). A kind that takes from one account and gives to
-- one other is a transfer, and booked by these rows. Whatever an operation is, its cost may be beside it.
-- (Kinds that came later are written as texts: a migration cannot use a value that it adds.)
CREATE FUNCTION harvest.rules()
RETURNS TABLE (kind harvest.journal_kind, role harvest.account_role, direction int)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
VALUES
    ('harvest'::harvest.journal_kind, 'chain:mint'::harvest.account_role, -1),
    ('harvest', 'farmer:staked', -1),
    -- The stake was booked as lost before.
    ('harvest', 'chain:burn', -1),
    ('harvest', 'farmer:available', 1),
    ('harvest', 'pooler:fee', 1),
    ('harvest', 'operator:fee', 1),
    ('harvest', 'miner:earned', 1),
    ('plant', 'farmer:available', -1),
    ('plant', 'farmer:staked', 1),
    ('loss', 'farmer:staked', -1),
    ('loss', 'chain:burn', 1),
    ('withdrawal', 'farmer:available', -1),
    ('withdrawal', 'farmer:pending_out', 1),
    ('withdrawal_return', 'farmer:pending_out', -1),
    ('withdrawal_return', 'farmer:available', 1),
    ('payout', 'farmer:pending_out', -1),
    ('payout', 'chain:out', 1),
    ('late_payout', 'farmer:available', -1),
    ('late_payout', 'chain:out', 1),
    ('deposit', 'chain:out', -1),
    ('deposit', 'farmer:available', 1),
    ('deposit_return'::text::harvest.journal_kind, 'farmer:available', -1),
    ('deposit_return'::text::harvest.journal_kind, 'chain:out', 1),
    -- The part that is not divided yet is the pooler's miner:earned; what is divided again, and what was
    -- denied, moves back.
    ('miner_credit'::text::harvest.journal_kind, 'miner:earned', -1),
    ('miner_credit'::text::harvest.journal_kind, 'miner:earned', 1),
    -- The pooler's own hashes.
    ('miner_credit'::text::harvest.journal_kind, 'pooler:fee', -1),
    ('miner_credit'::text::harvest.journal_kind, 'pooler:fee', 1),
    -- Fees leave a farmer's account: what is the pooler's and its miners' lies in the pooler's account then,
    -- and the operator's is out.
    ('fee_payout'::text::harvest.journal_kind, 'chain:moved'::text::harvest.account_role, -1),
    ('fee_payout'::text::harvest.journal_kind, 'pooler:held'::text::harvest.account_role, 1),
    ('fee_payout'::text::harvest.journal_kind, 'operator:fee', -1),
    ('fee_payout'::text::harvest.journal_kind, 'chain:out', 1),
    -- A miner, or the pooler, is paid from there.
    ('pool_payment'::text::harvest.journal_kind, 'pooler:held'::text::harvest.account_role, -1),
    ('pool_payment'::text::harvest.journal_kind, 'chain:moved'::text::harvest.account_role, 1),
    ('pool_payment'::text::harvest.journal_kind, 'miner:earned', -1),
    ('pool_payment'::text::harvest.journal_kind, 'pooler:fee', -1),
    ('pool_payment'::text::harvest.journal_kind, 'chain:out', 1);
END;

-- Whether a journal of this kind may not leave such an account below zero. farmer:pending_out, the fees and
-- what miners earned have nothing but what earlier journals gave them, and are always guarded: nothing is
-- paid, or given back, that was not asked for. A loss is the pool's own conclusion, and takes no more than is
-- staked. farmer:available and farmer:staked may go below zero by what chain and wallet have decided already,
-- since that is to be recorded whatever was booked before: a harvest may be known before its plant, and a
-- farmer may stake or withdraw KALE that came from outside. That is a deposit, in a journal of its own kind
-- once the chain shows it; until then the account is below zero, and `kalepool ledger check` lists it. A
-- denial takes back what was booked, whatever became of it; and so does the division of what is left then. What
-- wallet has paid of fees it has paid by its own records, whatever is booked here so far.
CREATE FUNCTION harvest.is_guarded(kind harvest.journal_kind, role harvest.account_role)
RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN kind::text NOT IN ('denial', 'miner_credit', 'fee_payout', 'pool_payment') AND (
    role IN ('farmer:pending_out', 'pooler:fee', 'operator:fee', 'miner:earned')
    OR (role = 'farmer:staked' AND kind = 'loss')
);

-- Refuse what is no journal, and keep the balances, in one statement over the new entries. There are no
-- foreign keys: each would be a look for each entry, where one for all of them does.
CREATE FUNCTION harvest.keep_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong bigint;
    drawn bigint [];
BEGIN
    WITH lines AS MATERIALIZED (
        SELECT e.journal_id, e.account_id, e.amount, a.role, a.asset, j.kind, j.booked_at, j.farmer_id,
            j.pooler_id, j.block_index
        FROM added AS e
        LEFT JOIN harvest.accounts AS a ON e.account_id = a.id
        LEFT JOIN harvest.journals AS j ON e.journal_id = j.id
    ),
    -- Before the balances: whoever divides a pot locks it before them, too. All of them in one order, so that
    -- two statements with the same rows never wait crosswise.
    pots AS (
        INSERT INTO harvest.miner_pots AS p (block_index, pooler_id, pot)
        SELECT l.block_index, l.pooler_id, sum(l.amount)
        FROM lines AS l
        WHERE l.role = 'miner:earned' AND l.kind IN ('harvest', 'denial')
        GROUP BY l.block_index, l.pooler_id
        ORDER BY l.block_index, l.pooler_id
        ON CONFLICT (block_index, pooler_id) DO UPDATE SET pot = p.pot + excluded.pot
        RETURNING p.block_index
    ),
    kept AS (
        INSERT INTO harvest.account_balances AS b (account_id, amount, entries)
        SELECT l.account_id, sum(l.amount), count(*)
        FROM lines AS l
        WHERE (SELECT count(*) FROM pots) >= 0
        GROUP BY l.account_id
        ORDER BY l.account_id
        ON CONFLICT (account_id) DO UPDATE SET
            amount = b.amount + excluded.amount,
            entries = b.entries + excluded.entries
        RETURNING b.account_id, b.amount
    ),
    held AS (
        INSERT INTO harvest.holdings AS h (farmer_id, amount)
        SELECT l.farmer_id, sum(l.amount)
        FROM lines AS l
        WHERE l.farmer_id IS NOT NULL AND l.asset = 'kale' AND harvest.is_held(l.role)
            AND (SELECT count(*) FROM kept) >= 0
        GROUP BY l.farmer_id
        HAVING sum(l.amount) <> 0
        ORDER BY l.farmer_id
        ON CONFLICT (farmer_id) DO UPDATE SET amount = h.amount + excluded.amount
        RETURNING h.farmer_id
    ),
    claimed AS (
        INSERT INTO harvest.fee_claims AS c (farmer_id, pooler_id, pooler, miners, operator)
        SELECT
            l.farmer_id,
            (array_agg(l.pooler_id))[1],
            coalesce(sum(l.amount) FILTER (WHERE l.role = 'pooler:fee'), 0),
            coalesce(sum(l.amount) FILTER (WHERE l.role = 'miner:earned'), 0),
            coalesce(sum(l.amount) FILTER (WHERE l.role = 'operator:fee'), 0)
        FROM lines AS l
        WHERE l.role IN ('pooler:fee', 'operator:fee', 'miner:earned') AND l.kind IN ('harvest', 'denial')
            AND (SELECT count(*) FROM held) >= 0
        GROUP BY l.farmer_id
        ORDER BY l.farmer_id
        ON CONFLICT (farmer_id) DO UPDATE SET
            pooler = c.pooler + excluded.pooler,
            miners = c.miners + excluded.miners,
            operator = c.operator + excluded.operator,
            since = CASE WHEN c.pooler + c.miners + c.operator <= 0 THEN now() ELSE c.since END
    )
    SELECT
        (
            SELECT l.journal_id
            FROM lines AS l
            GROUP BY l.journal_id, l.asset
            HAVING sum(l.amount) <> 0
                -- In the transaction that makes the journal, and in no later one.
                OR bool_or(l.booked_at IS DISTINCT FROM now())
                OR bool_or(
                    CASE l.asset
                        WHEN 'kale' THEN l.kind <> 'denial' AND (l.kind, l.role, sign(l.amount)::int) NOT IN (
                            SELECT r.kind, r.role, r.direction FROM harvest.rules() AS r
                        )
                        WHEN 'xlm' THEN
                            (l.role, sign(l.amount)::int)
                            NOT IN (('treasury:network_cost', -1), ('chain:out', 1))
                        ELSE true
                    END
                )
            LIMIT 1
        ),
        ARRAY(
            SELECT DISTINCT l.account_id FROM lines AS l
            WHERE l.amount < 0 AND harvest.is_guarded(l.kind, l.role)
        )
    INTO wrong, drawn;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the entries of journal % are not those of a journal of its kind', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT b.account_id INTO wrong
    FROM harvest.account_balances AS b
    WHERE b.account_id = ANY(drawn) AND b.amount < 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a journal takes more than account % has', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.keep_balances() FROM public;
CREATE TRIGGER trigger_entries_balances AFTER INSERT ON harvest.entries
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION harvest.keep_balances();

-- A farmer's terms in a block, in ten-thousandths: the pooler's and the operator's parts of the reward, and
-- the miners' part of the pooler's. The only place that knows them: by the agreement that was in force when
-- the block opened, so that no change is for what is past, nor for the block that is open. Without an
-- agreement, and in a block that nobody saw open, nobody takes a fee.
CREATE FUNCTION harvest.terms(farmer_id uuid, block_index int)
RETURNS TABLE (pooler_bps int, operator_bps int, miners_bps int)
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT coalesce(f.pooler_bps, 0), coalesce(f.operator_bps, 0), coalesce(f.miners_bps, 0)
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT a.pooler_bps, a.operator_bps, a.miners_bps
    FROM chain.blocks AS b
    INNER JOIN wallet.farmer_agreements AS a ON a.effective_at <= b.opened_at
    WHERE b.index = terms.block_index AND a.farmer_id = terms.farmer_id
    ORDER BY a.number DESC
    LIMIT 1
) AS f ON true;
END;

-- The parts of a reward (libs/kale/fees.py has the same rule): fees together are never more
-- than was agreed, so that the odd stroop is the farmer's; they are divided by largest remainder, and of
-- equal ones the pooler's goes first, then the operator's.
-- OFFSET 0: each part is reckoned once, and not again wherever it is named.
CREATE FUNCTION harvest.split(reward bigint, pooler_bps int, operator_bps int, miners_bps int)
RETURNS TABLE (farmer bigint, pooler bigint, operator bigint, miners bigint)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
SELECT
    (reward - n.fee)::bigint,
    (n.pooler + ((n.operator_rest > n.pooler_rest)::int + (n.miners_rest > n.pooler_rest)::int < n.odd)::int)::bigint,
    (n.operator + ((n.pooler_rest >= n.operator_rest)::int + (n.miners_rest > n.operator_rest)::int < n.odd)::int)::bigint,
    (n.miners + ((n.pooler_rest >= n.miners_rest)::int + (n.operator_rest >= n.miners_rest)::int < n.odd)::int)::bigint
FROM (
    SELECT
        p.*,
        div(p.pooler_of, p.whole) AS pooler,
        div(p.operator_of, p.whole) AS operator,
        div(p.miners_of, p.whole) AS miners,
        mod(p.pooler_of, p.whole) AS pooler_rest,
        mod(p.operator_of, p.whole) AS operator_rest,
        mod(p.miners_of, p.whole) AS miners_rest,
        p.fee - div(p.pooler_of, p.whole) - div(p.operator_of, p.whole) - div(p.miners_of, p.whole) AS odd
    FROM (
        SELECT
            f.fee,
            f.fee * pooler_bps * (10000 - miners_bps) AS pooler_of,
            f.fee * operator_bps * 10000 AS operator_of,
            f.fee * pooler_bps * miners_bps AS miners_of,
            greatest((pooler_bps + operator_bps) * 10000::numeric, 1) AS whole
        FROM (SELECT div(reward::numeric * (pooler_bps + operator_bps), 10000) AS fee) AS f
        OFFSET 0
    ) AS p
    OFFSET 0
) AS n;
END;

-- What a caller wants booked: a journal, and one of its lines. A line is never 0, and a journal has one for
-- an account.
CREATE TYPE harvest.journal_head AS (
    kind harvest.journal_kind,
    source_key text,
    farmer_id uuid,
    pooler_id uuid,
    block_index int,
    ledger int,
    transaction_hash text,
    happened_at timestamptz
);
CREATE TYPE harvest.journal_line AS (
    kind harvest.journal_kind,
    source_key text,
    owner_id uuid,
    role harvest.account_role,
    asset harvest.asset,
    amount numeric
);

-- Book what is not booked yet, and tell which that was. A journal without a line does not come to be; an
-- account comes to be when something is first booked to it.
CREATE FUNCTION harvest.write_journals(heads harvest.journal_head [], lines harvest.journal_line [])
RETURNS TABLE (kind harvest.journal_kind, source_key text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO harvest.accounts (owner_id, role, asset)
    SELECT DISTINCT l.owner_id, l.role, l.asset
    FROM unnest(lines) AS l
    LEFT JOIN harvest.accounts AS a
        ON l.owner_id = a.owner_id AND l.role = a.role AND l.asset = a.asset
    WHERE a.id IS NULL
    ORDER BY l.owner_id, l.role, l.asset
    ON CONFLICT DO NOTHING;
    RETURN QUERY
    WITH made AS (
        INSERT INTO harvest.journals AS j (
            kind, source_key, farmer_id, pooler_id, block_index, ledger, transaction_hash, happened_at
        )
        SELECT
            h.kind, h.source_key, h.farmer_id, h.pooler_id, h.block_index, h.ledger, h.transaction_hash,
            h.happened_at
        FROM unnest(heads) AS h
        WHERE (h.kind, h.source_key) IN (SELECT l.kind, l.source_key FROM unnest(lines) AS l)
        -- In one order, so that two statements with the same journals never wait crosswise.
        ORDER BY h.kind, h.source_key COLLATE "C"
        ON CONFLICT ON CONSTRAINT journals_once DO NOTHING
        RETURNING j.id, j.kind, j.source_key
    ),
    written AS (
        INSERT INTO harvest.entries (journal_id, account_id, amount)
        SELECT n.id, a.id, l.amount
        FROM made AS n
        INNER JOIN unnest(lines) AS l ON n.kind = l.kind AND n.source_key = l.source_key
        INNER JOIN harvest.accounts AS a
            ON l.owner_id = a.owner_id AND l.role = a.role AND l.asset = a.asset
        ORDER BY n.id, a.id
    )
    SELECT n.kind, n.source_key FROM made AS n;
END $$;
REVOKE ALL ON FUNCTION harvest.write_journals(harvest.journal_head [], harvest.journal_line []) FROM public;

-- The lines of what an operation cost.
CREATE FUNCTION harvest.cost_lines(kind harvest.journal_kind, source_key text, fee bigint)
RETURNS SETOF harvest.journal_line
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
SELECT kind, source_key, '00000000-0000-0000-0000-000000000000'::uuid, n.role, 'xlm'::harvest.asset, n.amount
FROM (
    VALUES
        ('treasury:network_cost'::harvest.account_role, -fee::numeric),
        ('chain:out', fee::numeric)
) AS n (role, amount)
WHERE fee > 0;
END;

-- The name of a stake that is lost: a farmer has one in a block.
CREATE FUNCTION harvest.stake_key(block_index int, farmer_id uuid) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('%s/%s', block_index, farmer_id);

-- Book harvests: the stake comes back, the reward comes from the chain and is divided by the farmer's terms
-- in that block. Whatever the block's other harvests came to: a block's shares may be more than its pot. What
-- each farmer has earned follows from the same parts: its own of each reward.
CREATE FUNCTION harvest.book_harvests(events harvest.harvests []) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    pool CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    booked bigint;
BEGIN
    WITH divided AS MATERIALIZED (
        SELECT e.*, e.id::text AS source_key, j.id IS NOT NULL AS is_lost, p.farmer, p.pooler,
            p.operator, p.miners
        FROM unnest(events) AS e
        LEFT JOIN harvest.journals AS j
            ON j.kind = 'loss' AND e.block_index = j.block_index AND e.farmer_id = j.farmer_id
        CROSS JOIN LATERAL harvest.terms(e.farmer_id, e.block_index) AS t
        CROSS JOIN LATERAL harvest.split(
            e.reward_amount, t.pooler_bps, t.operator_bps, t.miners_bps
        ) AS p
    ),
    earned AS (
        INSERT INTO harvest.balances AS b (
            farmer_id, current_balance, total_rewards, harvests, updated_at
        )
        SELECT
            e.farmer_id, harvest.fit(sum(e.farmer)), harvest.fit(sum(e.reward_amount)), count(*),
            max(e.harvested_at)
        FROM divided AS e
        WHERE e.status = 'success'
        GROUP BY e.farmer_id
        -- In one order, so that two statements with the same farmers never wait crosswise.
        ORDER BY e.farmer_id
        ON CONFLICT (farmer_id) DO UPDATE SET
            -- A balance that is at its end keeps no batch from being recorded.
            current_balance = harvest.fit(b.current_balance::numeric + excluded.current_balance),
            total_rewards = harvest.fit(b.total_rewards::numeric + excluded.total_rewards),
            harvests = least(b.harvests::bigint + excluded.harvests, 2147483647),
            updated_at = excluded.updated_at
    )
    SELECT count(*) INTO booked
    FROM harvest.write_journals(
        (
            SELECT array_agg((
                CASE e.status WHEN 'success' THEN 'harvest' ELSE 'cost' END, e.source_key, e.farmer_id,
                e.pooler_id, e.block_index, e.ledger, e.transaction_hash, e.harvested_at
            )::harvest.journal_head)
            FROM divided AS e
        ),
        (
            SELECT array_agg(x.l)
            FROM divided AS e
            CROSS JOIN LATERAL (
                SELECT (
                    'harvest', e.source_key, n.owner_id, n.role, 'kale', n.amount
                )::harvest.journal_line AS l
                FROM (
                    VALUES
                        (pool, 'chain:mint', -e.reward_amount::numeric),
                        (
                            CASE WHEN e.is_lost THEN pool ELSE e.farmer_id END,
                            CASE WHEN e.is_lost THEN 'chain:burn' ELSE 'farmer:staked' END,
                            -e.stake_returned::numeric
                        ),
                        (e.farmer_id, 'farmer:available', e.stake_returned::numeric + e.farmer),
                        (e.pooler_id, 'pooler:fee', e.pooler),
                        (pool, 'operator:fee', e.operator),
                        (e.pooler_id, 'miner:earned', e.miners)
                ) AS n (owner_id, role, amount)
                WHERE e.status = 'success' AND n.amount <> 0
                UNION ALL
                SELECT c
                FROM harvest.cost_lines(
                    CASE e.status
                        WHEN 'success' THEN 'harvest'::harvest.journal_kind
                        ELSE 'cost'
                    END,
                    e.source_key, e.fee_charged
                ) AS c
            ) AS x
        )
    );
END $$;
REVOKE ALL ON FUNCTION harvest.book_harvests(harvest.harvests []) FROM public;

CREATE FUNCTION harvest.note_ledger() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM harvest.book_harvests((SELECT array_agg(ROW(n.*)::harvest.harvests) FROM added AS n));
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.note_ledger() FROM public;
CREATE TRIGGER trigger_harvests_ledger AFTER INSERT ON harvest.harvests
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION harvest.note_ledger();

-- Where harvest has read to in wallet's operations that ended; its lock is the turn of who books them.
CREATE TABLE harvest.bookkeeping (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- The moment and the operation that were read last.
    read_at harvest.moment NOT NULL,
    read_id uuid NOT NULL,
    -- Stakes of blocks before this one are harvested or lost.
    lost_before int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO harvest.bookkeeping (read_at, read_id)
VALUES ('2020-01-01 00:00Z', '00000000-0000-0000-0000-000000000000');

-- Book what wallet has told: transfers between a farmer's accounts or out of them, and what operations cost.
-- The caller holds the lock of harvest.bookkeeping, so that what was booked before is known: a payment that
-- was given up and made after all is paid from what went back, and the cost of an operation counts once.
CREATE FUNCTION harvest.book_transfers(
    kinds harvest.journal_kind [],
    source_keys text [],
    farmers uuid [],
    poolers uuid [],
    blocks int [],
    ledgers int [],
    hashes text [],
    moments timestamptz [],
    amounts bigint []
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    pool CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    booked bigint;
BEGIN
    IF kinds && ARRAY['harvest', 'denial']::harvest.journal_kind [] THEN
        RAISE EXCEPTION 'a journal of this kind is no transfer' USING ERRCODE = 'check_violation';
    END IF;
    WITH given AS (
        SELECT
            CASE
                WHEN g.kind = 'payout' AND EXISTS (
                    SELECT 1 FROM harvest.journals AS j
                    WHERE j.kind = 'withdrawal_return' AND j.source_key = g.source_key
                ) THEN 'late_payout'
                ELSE g.kind
            END AS kind,
            g.source_key, g.farmer_id, g.pooler_id, g.block_index, g.ledger, g.hash, g.happened_at, g.amount
        FROM unnest(
            kinds, source_keys, farmers, poolers, blocks, ledgers, hashes, moments, amounts
        ) AS g (
            kind, source_key, farmer_id, pooler_id, block_index, ledger, hash, happened_at, amount
        )
        WHERE g.amount > 0 AND NOT (
            g.kind IN ('payout', 'withdrawal_return') AND EXISTS (
                SELECT 1 FROM harvest.journals AS j
                WHERE j.kind IN ('payout', 'late_payout') AND j.source_key = g.source_key
            )
        )
    )
    SELECT count(*) INTO booked
    FROM harvest.write_journals(
        (
            SELECT array_agg((
                g.kind, g.source_key, g.farmer_id, g.pooler_id, g.block_index, g.ledger, g.hash,
                g.happened_at
            )::harvest.journal_head)
            FROM given AS g
        ),
        (
            SELECT array_agg(x.l)
            FROM given AS g
            CROSS JOIN LATERAL (
                SELECT (
                    g.kind, g.source_key,
                    CASE WHEN r.role::text LIKE 'farmer:%' THEN g.farmer_id ELSE pool END,
                    r.role, 'kale', r.direction * g.amount::numeric
                )::harvest.journal_line AS l
                FROM harvest.rules() AS r
                WHERE r.kind = g.kind
                UNION ALL
                SELECT c FROM harvest.cost_lines(g.kind, g.source_key, g.amount) AS c
                WHERE g.kind = 'cost'
            ) AS x
        )
    );
    RETURN booked;
END $$;

-- Take back what was booked of operations that the chain turned out to have no trace of.
CREATE FUNCTION harvest.book_denials(source_keys text []) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    booked bigint;
BEGIN
    WITH denied AS (
        SELECT j.* FROM harvest.journals AS j
        WHERE j.source_key = ANY(source_keys) AND j.kind IN ('plant', 'harvest')
    ),
    lines AS (
        SELECT d.farmer_id, d.source_key, a.owner_id, a.role, -e.amount AS amount
        FROM denied AS d
        INNER JOIN harvest.entries AS e ON d.id = e.journal_id
        INNER JOIN harvest.accounts AS a ON e.account_id = a.id
        WHERE a.asset = 'kale'
    ),
    made AS (
        SELECT w.source_key
        FROM harvest.write_journals(
            (
                SELECT array_agg((
                    'denial', d.source_key, d.farmer_id, d.pooler_id, d.block_index, d.ledger,
                    d.transaction_hash, now()
                )::harvest.journal_head)
                FROM denied AS d
            ),
            (
                SELECT array_agg((
                    'denial', l.source_key, l.owner_id, l.role, 'kale', l.amount
                )::harvest.journal_line)
                FROM lines AS l
            )
        ) AS w
    ),
    unearned AS (
        UPDATE harvest.balances AS b
        SET current_balance = greatest(harvest.fit(b.current_balance - n.amount), 0),
            total_rewards = greatest(harvest.fit(b.total_rewards - n.reward), 0),
            harvests = greatest(b.harvests - n.harvests, 0),
            updated_at = now()
        FROM (
            SELECT
                l.farmer_id,
                sum(l.amount) AS amount,
                coalesce(sum(l.amount) FILTER (WHERE l.role = 'chain:mint'), 0) AS reward,
                count(DISTINCT l.source_key) AS harvests
            FROM made AS m
            INNER JOIN denied AS d ON m.source_key = d.source_key AND d.kind = 'harvest'
            INNER JOIN lines AS l ON m.source_key = l.source_key
            WHERE l.role IN ('chain:mint', 'pooler:fee', 'operator:fee', 'miner:earned')
            GROUP BY l.farmer_id
        ) AS n
        WHERE b.farmer_id = n.farmer_id
    )
    SELECT count(*) INTO booked FROM made;
    RETURN booked;
END $$;

-- Book the stakes of blocks before one that were not harvested, and can be no more, as lost; the blocks that
-- were looked at before are not looked at again. A stake whose account has less is left to a person.
CREATE FUNCTION harvest.book_losses(before_block int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_block int;
    booked bigint;
BEGIN
    SELECT b.lost_before INTO STRICT first_block FROM harvest.bookkeeping AS b FOR NO KEY UPDATE;
    WITH staked AS (
        SELECT j.farmer_id, j.pooler_id, j.block_index, sum(e.amount) AS amount
        FROM harvest.journals AS j
        INNER JOIN harvest.entries AS e ON j.id = e.journal_id
        INNER JOIN harvest.accounts AS a ON e.account_id = a.id
        WHERE j.block_index >= first_block AND j.block_index < before_block
            AND j.kind IN ('harvest', 'plant', 'loss', 'denial') AND a.role = 'farmer:staked'
        GROUP BY j.farmer_id, j.pooler_id, j.block_index
        HAVING sum(e.amount) > 0
    ),
    covered AS (
        SELECT s.*
        FROM staked AS s
        INNER JOIN harvest.accounts AS a
            ON s.farmer_id = a.owner_id AND a.role = 'farmer:staked' AND a.asset = 'kale'
        INNER JOIN harvest.account_balances AS b ON a.id = b.account_id
        WHERE b.amount >= (SELECT sum(t.amount) FROM staked AS t WHERE t.farmer_id = s.farmer_id)
    ),
    moved AS (
        UPDATE harvest.bookkeeping SET lost_before = before_block WHERE lost_before < before_block
    )
    SELECT harvest.book_transfers(
        array_agg('loss'::harvest.journal_kind),
        array_agg(harvest.stake_key(c.block_index, c.farmer_id)),
        array_agg(c.farmer_id),
        array_agg(c.pooler_id),
        array_agg(c.block_index),
        array_agg(0),
        array_agg(''::text),
        array_agg(now()),
        array_agg(c.amount::bigint)
    ) INTO booked
    FROM covered AS c;
    RETURN coalesce(booked, 0);
END $$;
REVOKE ALL ON FUNCTION
harvest.book_transfers(
    harvest.journal_kind [], text [], uuid [], uuid [], int [], int [], text [], timestamptz [], bigint []
),
harvest.book_denials(text []), harvest.book_losses(int) FROM public;
GRANT EXECUTE ON FUNCTION
harvest.book_transfers(
    harvest.journal_kind [], text [], uuid [], uuid [], int [], int [], text [], timestamptz [], bigint []
),
harvest.book_denials(text []), harvest.book_losses(int) TO kalepool_harvest;

GRANT SELECT ON harvest.accounts, harvest.journals, harvest.entries, harvest.account_balances
TO kalepool_harvest;
GRANT SELECT, UPDATE (read_at, read_id) ON harvest.bookkeeping TO kalepool_harvest;

-- Whether the KALE of such an account lies in a farmer's account on the chain: its own, and claims to it
-- that nobody has paid yet; what was moved into a pooler's account of those is taken off (chain:moved).
CREATE FUNCTION harvest.is_held(role harvest.account_role) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN role::text IN (
    'farmer:available', 'farmer:pending_out', 'pooler:fee', 'operator:fee', 'miner:earned', 'chain:moved'
);

-- What each farmer's account on the chain has to hold, by the journals that name the farmer. Only the
-- database writes it, in the statements that write the entries.
CREATE TABLE harvest.holdings (
    farmer_id uuid PRIMARY KEY,
    amount numeric(39) NOT NULL
) WITH (fillfactor = 50);

-- What the chain showed more (or less) in a farmer's account than the ledger explains.
CREATE TABLE harvest.unexplained (
    farmer_id uuid PRIMARY KEY,
    amount numeric(39) NOT NULL CHECK (amount <> 0),
    -- Since when it is the same.
    since harvest.moment NOT NULL DEFAULT now()
);

-- What the last sound look by night has proven: what the entries of all journals up to one add up to, by
-- account, and what they gave farmers of rewards, and moved into their accounts. The next look goes on from it.
CREATE TABLE harvest.ledger_marks (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    journal_id bigint NOT NULL,
    journals bigint NOT NULL,
    -- Miners' parts of blocks before this one were proven, too.
    block_index int NOT NULL,
    accounts bigint [] NOT NULL,
    amounts numeric [] NOT NULL,
    entries bigint [] NOT NULL,
    earners uuid [] NOT NULL,
    earned numeric [] NOT NULL,
    holders uuid [] NOT NULL,
    held numeric [] NOT NULL,
    proven_at harvest.moment NOT NULL DEFAULT now()
);

-- Miners of a pooler: whoever is to be paid at an address. The id is the UUIDv5 of the pooler and the
-- address, and owns the miner's account.
CREATE TABLE harvest.miners (
    id uuid PRIMARY KEY,
    pooler_id uuid NOT NULL,
    address varchar(69) COLLATE "C" NOT NULL,
    UNIQUE (pooler_id, address)
);

-- The miners' part of what a pooler's farmers earned in a block, and what of it is divided. The database
-- keeps the pot in the statements that write the entries; it is divided whenever it has changed, and the
-- pooler has told what its miners did.
CREATE TABLE harvest.miner_pots (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    -- Stroops.
    pot numeric(39) NOT NULL DEFAULT 0,
    divided numeric(39) NOT NULL DEFAULT 0,
    -- How often it was divided: each is a journal.
    divisions int NOT NULL DEFAULT 0,
    -- Chunks in which the pooler tells it (null: it has told nothing), and those that are here.
    chunks int CHECK (chunks > 0),
    told int NOT NULL DEFAULT 0 CHECK (told <= chunks),
    -- Hashes that its miners proved, and those that were proven at the pooler's own address.
    points numeric(39) NOT NULL DEFAULT 0,
    -- Hashes of the pooler's own that take part, and what they were given.
    own_points bigint NOT NULL DEFAULT 0 CHECK (own_points >= 0),
    own_amount numeric(39) NOT NULL DEFAULT 0,
    PRIMARY KEY (block_index, pooler_id)
) WITH (fillfactor = 50);

CREATE INDEX idx_miner_pots_due ON harvest.miner_pots (block_index, pooler_id)
WHERE told = chunks AND pot <> divided;

-- What a pooler has told, chunk by chunk: whoever repeats it tells the same.
CREATE TABLE harvest.miner_chunks (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    chunk int NOT NULL CHECK (chunk >= 0),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    told_at harvest.moment NOT NULL DEFAULT now(),
    PRIMARY KEY (block_index, pooler_id, chunk)
);

-- What each miner proved in a block, and has of its pot: once for a block and miner.
CREATE TABLE harvest.miner_credits (
    block_index int NOT NULL,
    pooler_id uuid NOT NULL,
    miner_id uuid NOT NULL,
    points bigint NOT NULL CHECK (points > 0),
    amount numeric(39) NOT NULL DEFAULT 0 CHECK (amount >= 0),
    PRIMARY KEY (block_index, pooler_id, miner_id)
) WITH (fillfactor = 50);

CREATE INDEX idx_miner_credits_miner ON harvest.miner_credits (miner_id, block_index DESC);

-- Note what a pooler tells of a block: how many hashes its miners proved, in chunks, and its own. Tells
-- whether that is new; what was told before cannot be told otherwise, and a miner stands in one chunk.
CREATE FUNCTION harvest.tell_miners(
    pooler uuid,
    block int,
    chunk_number int,
    chunk_count int,
    own bigint,
    chunk_digest bytea,
    miners uuid [],
    addresses text [],
    proven bigint []
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known bytea;
    is_same boolean;
    -- The pooler's own address is no miner's: what is proven there are its own hashes.
    others CONSTANT boolean [] := ARRAY(
        SELECT NOT EXISTS (SELECT 1 FROM registry.poolers AS p WHERE p.id = pooler AND p.public_key = n.address)
        FROM unnest(addresses) WITH ORDINALITY AS n (address, place)
        ORDER BY n.place
    );
BEGIN
    -- Accounts and miners come before the pot is locked, as they do where harvests are booked.
    INSERT INTO harvest.accounts (owner_id, role, asset)
    SELECT n.owner_id, n.role, 'kale'
    FROM (
        SELECT m.id AS owner_id, 'miner:earned'::harvest.account_role AS role
        FROM unnest(miners, others) AS m (id, is_other)
        WHERE m.is_other
        UNION ALL
        VALUES
            (pooler, 'miner:earned'::harvest.account_role),
            (pooler, 'pooler:fee'::harvest.account_role)
    ) AS n
    ORDER BY n.owner_id, n.role
    ON CONFLICT DO NOTHING;
    INSERT INTO harvest.miners (id, pooler_id, address)
    SELECT n.id, pooler, n.address FROM unnest(miners, addresses, others) AS n (id, address, is_other)
    WHERE n.is_other
    ORDER BY n.id
    ON CONFLICT DO NOTHING;
    INSERT INTO harvest.miner_pots (block_index, pooler_id) VALUES (block, pooler)
    ON CONFLICT DO NOTHING;
    SELECT p.chunks IS NULL OR (p.chunks = chunk_count AND p.own_points = own) INTO STRICT is_same
    FROM harvest.miner_pots AS p
    WHERE p.block_index = block AND p.pooler_id = pooler
    FOR UPDATE;
    SELECT c.digest INTO known
    FROM harvest.miner_chunks AS c
    WHERE c.block_index = block AND c.pooler_id = pooler AND c.chunk = chunk_number;
    IF NOT is_same OR chunk_number > chunk_count OR known <> chunk_digest THEN
        RAISE EXCEPTION 'the miners of block % were told otherwise', block USING ERRCODE = 'unique_violation';
    END IF;
    IF known IS NOT NULL THEN
        RETURN false;
    END IF;
    INSERT INTO harvest.miner_chunks (block_index, pooler_id, chunk, digest)
    VALUES (block, pooler, chunk_number, chunk_digest);
    INSERT INTO harvest.miner_credits (block_index, pooler_id, miner_id, points)
    SELECT block, pooler, n.id, n.points FROM unnest(miners, proven, others) AS n (id, points, is_other)
    WHERE n.is_other
    ORDER BY n.id;
    UPDATE harvest.miner_pots AS p
    SET chunks = chunk_count, own_points = own, told = p.told + 1,
        points = p.points + coalesce((SELECT sum(n.points) FROM unnest(proven) AS n (points)), 0)
    WHERE p.block_index = block AND p.pooler_id = pooler;
    RETURN true;
END $$;

-- Divide a pot among those who mined the block, by largest remainders (services/harvest/domain/credits.py
-- has the same rule): of equal ones the address that comes first goes first, and the pooler's own hashes
-- come last. Where nobody proved anything, it is the pooler's. What each has then follows from the pot and
-- the points alone, however often it is divided; a journal moves what is new.
CREATE FUNCTION harvest.divide_pot(block int, pooler uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
    p harvest.miner_pots;
    -- Hashes that miners proved; all others are the pooler's own.
    mined numeric;
BEGIN
    SELECT * INTO p
    FROM harvest.miner_pots AS m
    WHERE m.block_index = block AND m.pooler_id = pooler AND m.told = m.chunks AND m.pot <> m.divided
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    name := format('%s/%s/%s', block, pooler, p.divisions + 1);
    SELECT coalesce(sum(c.points), 0) INTO mined
    FROM harvest.miner_credits AS c
    WHERE c.block_index = block AND c.pooler_id = pooler;
    WITH weights AS (
        SELECT c.miner_id, m.address, c.points::numeric AS points, c.amount AS before
        FROM harvest.miner_credits AS c
        INNER JOIN harvest.miners AS m ON c.miner_id = m.id
        WHERE c.block_index = block AND c.pooler_id = pooler
        UNION ALL
        SELECT
            NULL, NULL,
            CASE WHEN p.own_points + p.points > 0 THEN p.own_points + p.points - mined ELSE 1 END,
            p.own_amount
    ),
    whole AS (SELECT sum(w.points) AS points FROM weights AS w),
    floors AS (
        SELECT w.*, div(p.pot * w.points, t.points) AS part, mod(p.pot * w.points, t.points) AS rest
        FROM weights AS w
        CROSS JOIN whole AS t
    ),
    ranked AS (
        SELECT
            f.*,
            row_number() OVER (ORDER BY f.rest DESC, f.address COLLATE "C" NULLS LAST) AS place,
            p.pot - sum(f.part) OVER () AS odd
        FROM floors AS f
    ),
    parts AS MATERIALIZED (
        SELECT r.miner_id, r.points, r.part + (r.place <= r.odd)::int AS amount, r.before
        FROM ranked AS r
    ),
    -- They are all there: each row is found by its key, however many there are, and whatever the statistics say.
    changed AS (
        INSERT INTO harvest.miner_credits (block_index, pooler_id, miner_id, points, amount)
        SELECT block, pooler, n.miner_id, n.points, n.amount
        FROM parts AS n
        WHERE n.miner_id IS NOT NULL AND n.amount <> n.before
        ON CONFLICT (block_index, pooler_id, miner_id) DO UPDATE SET amount = excluded.amount
    ),
    noted AS (
        UPDATE harvest.miner_pots AS m
        SET divided = p.pot, divisions = p.divisions + 1,
            own_amount = (SELECT n.amount FROM parts AS n WHERE n.miner_id IS NULL)
        WHERE m.block_index = block AND m.pooler_id = pooler
    )
    SELECT w.source_key INTO STRICT name
    FROM harvest.write_journals(
        ARRAY[(
            'miner_credit', name, NULL, pooler, block, 0, '', now()
        )::harvest.journal_head],
        (
            SELECT array_agg(
                ('miner_credit', name, n.owner_id, n.role, 'kale', n.amount)::harvest.journal_line
            )
            FROM (
                SELECT n.miner_id AS owner_id, 'miner:earned' AS role, n.amount - n.before AS amount
                FROM parts AS n
                WHERE n.miner_id IS NOT NULL
                UNION ALL
                SELECT pooler, 'pooler:fee', n.amount - n.before FROM parts AS n WHERE n.miner_id IS NULL
                UNION ALL
                SELECT pooler, 'miner:earned', p.divided - p.pot
            ) AS n
            WHERE n.amount <> 0
        )
    ) AS w;
    RETURN true;
END $$;

-- Book what came from outside. The chain showed these farmers' accounts at a ledger, when nothing of theirs
-- was on its way: what it shows and the ledger does not explain is noted, and booked once it is the same for
-- so many seconds, in which everything else that may explain it is recorded. Less than the ledger explains is
-- a deposit that was none, as far as there was one; beyond that, a person has to look. The caller holds the
-- lock of harvest.bookkeeping.
CREATE FUNCTION harvest.book_deposits(
    farmers uuid [], poolers uuid [], kale bigint [], ledgers int [], settled_after float8
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    booked bigint;
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT n.farmer_id, n.pooler_id, n.ledger, n.kale - coalesce(h.amount, 0) AS amount
        FROM unnest(farmers, poolers, kale, ledgers) AS n (farmer_id, pooler_id, kale, ledger)
        LEFT JOIN harvest.holdings AS h ON n.farmer_id = h.farmer_id
        -- What was booked since the account was read is not seen in it.
        WHERE NOT EXISTS (
            SELECT 1
            FROM harvest.accounts AS a
            CROSS JOIN LATERAL (
                SELECT e.journal_id FROM harvest.entries AS e
                WHERE e.account_id = a.id
                ORDER BY e.journal_id DESC
                LIMIT 1
            ) AS e
            INNER JOIN harvest.journals AS j ON e.journal_id = j.id
            WHERE a.owner_id = n.farmer_id AND a.role = 'farmer:available' AND a.asset = 'kale'
                AND j.ledger > n.ledger
        )
    ),
    explained AS (
        DELETE FROM harvest.unexplained AS u USING seen AS s
        WHERE u.farmer_id = s.farmer_id AND s.amount = 0
    ),
    noted AS (
        INSERT INTO harvest.unexplained AS u (farmer_id, amount)
        SELECT s.farmer_id, s.amount FROM seen AS s WHERE s.amount <> 0
        ORDER BY s.farmer_id
        ON CONFLICT (farmer_id) DO UPDATE SET
            amount = excluded.amount,
            since = CASE WHEN u.amount = excluded.amount THEN u.since ELSE excluded.since END
        RETURNING u.farmer_id, u.amount, u.since
    ),
    due AS (
        SELECT s.*
        FROM noted AS u
        INNER JOIN seen AS s ON u.farmer_id = s.farmer_id
        WHERE u.since <= now() - make_interval(secs => settled_after)
            AND (u.amount > 0 OR -u.amount <= harvest.deposited(u.farmer_id))
    )
    SELECT harvest.book_transfers(
        array_agg((CASE WHEN d.amount > 0 THEN 'deposit' ELSE 'deposit_return' END)::harvest.journal_kind),
        array_agg(harvest.deposit_key(d.farmer_id, d.ledger)),
        array_agg(d.farmer_id),
        array_agg(d.pooler_id),
        array_agg(NULL::int),
        array_agg(d.ledger),
        array_agg(''::text),
        array_agg(now()),
        array_agg(abs(d.amount)::bigint)
    ) INTO booked
    FROM due AS d;
    DELETE FROM harvest.unexplained AS u
    USING harvest.holdings AS h, unnest(farmers, kale) AS n (farmer_id, kale)
    WHERE u.farmer_id = n.farmer_id AND h.farmer_id = n.farmer_id AND h.amount = n.kale;
    RETURN coalesce(booked, 0);
END $$;

-- The name of KALE that came from outside: seen in a farmer's account at a ledger.
CREATE FUNCTION harvest.deposit_key(farmer_id uuid, ledger int) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('%s/%s', farmer_id, ledger);

-- What a farmer was booked to have got from outside, by the names of the journals.
CREATE FUNCTION harvest.deposited(farmer uuid) RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT coalesce(sum(e.amount), 0)
FROM harvest.journals AS j
INNER JOIN harvest.entries AS e ON j.id = e.journal_id
INNER JOIN harvest.accounts AS a ON e.account_id = a.id AND a.role = 'farmer:available'
WHERE j.kind IN ('deposit', 'deposit_return'::text::harvest.journal_kind)
    AND j.source_key >= farmer::text || '/' AND j.source_key < farmer::text || '0';
END;

REVOKE ALL ON FUNCTION
harvest.tell_miners(uuid, int, int, int, bigint, bytea, uuid [], text [], bigint []),
harvest.divide_pot(int, uuid),
harvest.book_deposits(uuid [], uuid [], bigint [], int [], float8) FROM public;

GRANT EXECUTE ON FUNCTION
harvest.tell_miners(uuid, int, int, int, bigint, bytea, uuid [], text [], bigint []),
harvest.divide_pot(int, uuid),
harvest.book_deposits(uuid [], uuid [], bigint [], int [], float8) TO kalepool_harvest;

GRANT SELECT, INSERT, UPDATE (
    journal_id, journals, block_index, accounts, amounts, entries, earners, earned, holders, held, proven_at
) ON harvest.ledger_marks TO kalepool_harvest;

GRANT SELECT ON harvest.holdings, harvest.unexplained, harvest.miners, harvest.miner_pots,
harvest.miner_chunks, harvest.miner_credits
TO kalepool_harvest;

-- Payouts ---------------------------------------------------------------------------------------------

-- Fees of a farmer's rewards that still lie in its account: what was booked of them, less what left. Only the
-- database writes it, in the statements that write the entries.
CREATE TABLE harvest.fee_claims (
    farmer_id uuid PRIMARY KEY,
    pooler_id uuid NOT NULL,
    -- Stroops of KALE: the pooler's part, its miners', and the operator's.
    pooler numeric(39) NOT NULL,
    miners numeric(39) NOT NULL,
    operator numeric(39) NOT NULL,
    -- Since when there is any.
    since harvest.moment NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX idx_fee_claims_pooler ON harvest.fee_claims (pooler_id);

-- What was moved into each pooler's custodial account, and paid from it, as wallet reckons it: the pooler's part
-- and its miners'. Only the database writes it, with the journals.
CREATE TABLE harvest.pooler_funds (
    pooler_id uuid PRIMARY KEY,
    -- Stroops of KALE.
    pooler_in numeric(39) NOT NULL,
    miners_in numeric(39) NOT NULL,
    pooler_out numeric(39) NOT NULL,
    miners_out numeric(39) NOT NULL
) WITH (fillfactor = 50);

-- Book what wallet has told of fees that left a farmer's account (fee_payout), and of payments from poolers'
-- accounts (pool_payment: from the pooler's part, or to the owner from its miners'). Wallet has decided on them by its own
-- records: they are booked whatever was booked before.
CREATE FUNCTION harvest.book_payments(
    kinds harvest.journal_kind [],
    source_keys text [],
    farmers uuid [],
    poolers uuid [],
    owners uuid [],
    ledgers int [],
    hashes text [],
    moments timestamptz [],
    pooler_amounts bigint [],
    miner_amounts bigint [],
    operator_amounts bigint []
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    pool CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    booked bigint;
BEGIN
    IF EXISTS (SELECT 1 FROM unnest(kinds) AS k WHERE k NOT IN ('fee_payout', 'pool_payment')) THEN
        RAISE EXCEPTION 'a journal of this kind is no payment of fees' USING ERRCODE = 'check_violation';
    END IF;
    WITH given AS (
        SELECT
            g.*,
            g.pooler::numeric + g.miners AS moved,
            -- Whom the pool knows as no miner of the pooler's is the pooler itself, paid for its own hashes.
            EXISTS (SELECT 1 FROM harvest.miners AS n WHERE n.id = g.owner_id) AS is_miner
        FROM unnest(
            kinds, source_keys, farmers, poolers, owners, ledgers, hashes, moments, pooler_amounts, miner_amounts,
            operator_amounts
        ) AS g (
            kind, source_key, farmer_id, pooler_id, owner_id, ledger, hash, happened_at, pooler, miners, operator
        )
        WHERE least(g.pooler, g.miners, g.operator) >= 0
    ),
    made AS (
        SELECT w.kind, w.source_key
        FROM harvest.write_journals(
            (
                SELECT array_agg((
                    g.kind, g.source_key, g.farmer_id, g.pooler_id, NULL, g.ledger, g.hash, g.happened_at
                )::harvest.journal_head)
                FROM given AS g
            ),
            (
                SELECT array_agg((
                    g.kind, g.source_key, n.owner_id, n.role, 'kale', n.amount
                )::harvest.journal_line)
                FROM given AS g
                CROSS JOIN LATERAL (
                    VALUES
                        (
                            'fee_payout'::harvest.journal_kind, g.pooler_id,
                            'pooler:held'::harvest.account_role, g.moved
                        ),
                        ('fee_payout', pool, 'chain:moved', -g.moved),
                        ('fee_payout', pool, 'operator:fee', -g.operator::numeric),
                        ('fee_payout', pool, 'chain:out', g.operator::numeric),
                        ('pool_payment', g.pooler_id, 'pooler:held', -g.moved),
                        ('pool_payment', pool, 'chain:moved', g.moved),
                        (
                            'pool_payment',
                            CASE WHEN g.is_miner THEN g.owner_id ELSE g.pooler_id END,
                            (
                                CASE WHEN g.is_miner THEN 'miner:earned' ELSE 'pooler:fee' END
                            )::harvest.account_role,
                            -g.moved
                        ),
                        ('pool_payment', pool, 'chain:out', g.moved)
                ) AS n (kind, owner_id, role, amount)
                WHERE g.kind = n.kind AND n.amount <> 0
            )
        ) AS w
    ),
    claimed AS (
        INSERT INTO harvest.fee_claims AS c (farmer_id, pooler_id, pooler, miners, operator)
        SELECT g.farmer_id, (array_agg(g.pooler_id))[1], -sum(g.pooler), -sum(g.miners), -sum(g.operator)
        FROM made AS m
        INNER JOIN given AS g ON m.kind = g.kind AND m.source_key = g.source_key
        WHERE m.kind = 'fee_payout'
        GROUP BY g.farmer_id
        ORDER BY g.farmer_id
        ON CONFLICT (farmer_id) DO UPDATE SET
            pooler = c.pooler + excluded.pooler,
            miners = c.miners + excluded.miners,
            operator = c.operator + excluded.operator
    ),
    funded AS (
        INSERT INTO harvest.pooler_funds AS f (pooler_id, pooler_in, miners_in, pooler_out, miners_out)
        SELECT
            g.pooler_id,
            coalesce(sum(g.pooler) FILTER (WHERE g.kind = 'fee_payout'), 0),
            coalesce(sum(g.miners) FILTER (WHERE g.kind = 'fee_payout'), 0),
            coalesce(sum(g.pooler) FILTER (WHERE g.kind = 'pool_payment'), 0),
            coalesce(sum(g.miners) FILTER (WHERE g.kind = 'pool_payment'), 0)
        FROM made AS m
        INNER JOIN given AS g ON m.kind = g.kind AND m.source_key = g.source_key
        GROUP BY g.pooler_id
        ORDER BY g.pooler_id
        ON CONFLICT (pooler_id) DO UPDATE SET
            pooler_in = f.pooler_in + excluded.pooler_in,
            miners_in = f.miners_in + excluded.miners_in,
            pooler_out = f.pooler_out + excluded.pooler_out,
            miners_out = f.miners_out + excluded.miners_out
    )
    SELECT count(*) INTO booked FROM made;
    RETURN booked;
END $$;
REVOKE ALL ON FUNCTION
harvest.book_payments(
    harvest.journal_kind [], text [], uuid [], uuid [], uuid [], int [], text [], timestamptz [], bigint [],
    bigint [], bigint []
) FROM public;
GRANT EXECUTE ON FUNCTION
harvest.book_payments(
    harvest.journal_kind [], text [], uuid [], uuid [], uuid [], int [], text [], timestamptz [], bigint [],
    bigint [], bigint []
) TO kalepool_harvest;

CREATE TYPE harvest.payee_kind AS ENUM ('farmer', 'pooler', 'miner');
CREATE TYPE harvest.payout_cause AS ENUM ('threshold', 'interval', 'now', 'sweep', 'leaving');
CREATE TYPE harvest.payout_state AS ENUM (
    -- Recorded; wallet may or may not have been asked.
    'open',
    'paid',
    -- A ledger, or its absence, says that nothing was paid.
    'failed',
    -- Wallet refused it before it recorded anything.
    'refused'
);

-- The lock of this row is the turn of who decides who is paid: one at a time, so that nobody is in two runs
-- and what may leave within a day is counted once.
CREATE TABLE harvest.payout_turn (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO harvest.payout_turn DEFAULT VALUES;

CREATE TABLE harvest.payout_runs (
    id uuid PRIMARY KEY,
    request_id text NOT NULL UNIQUE CHECK (octet_length(request_id) BETWEEN 1 AND 1024),
    -- SHA-256 of what was asked for.
    digest bytea NOT NULL,
    started_by text NOT NULL,
    created_at harvest.moment NOT NULL DEFAULT now(),
    completed_at harvest.moment,
    -- Which process asks wallet, and until when: nobody else does so before.
    leased_by uuid,
    leased_until timestamptz,
    -- An operator asked for the farmer by name: it is paid whatever its standing is.
    by_name boolean NOT NULL DEFAULT false
);
CREATE INDEX idx_payout_runs_open ON harvest.payout_runs (id) WHERE completed_at IS NULL;

CREATE TABLE harvest.payout_items (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES harvest.payout_runs (id),
    -- With the run it names the request to wallet.
    chunk int NOT NULL,
    kind harvest.payee_kind NOT NULL,
    -- The farmer, pooler or miner.
    payee_id uuid NOT NULL,
    pooler_id uuid NOT NULL,
    -- A miner's; of all others it is empty until wallet has told.
    address varchar(69) NOT NULL DEFAULT '',
    cause harvest.payout_cause NOT NULL,
    -- Stroops of KALE; 0 when only fees are moved on.
    amount bigint NOT NULL CHECK (amount >= 0),
    state harvest.payout_state NOT NULL DEFAULT 'open',
    pooler_fee bigint NOT NULL DEFAULT 0,
    operator_fee bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    operation_id uuid,
    transaction_hash varchar(64) NOT NULL DEFAULT '',
    ledger int NOT NULL DEFAULT 0,
    created_at harvest.moment NOT NULL DEFAULT now(),
    -- When wallet was first asked; none: it was not yet.
    asked_at harvest.moment,
    settled_at harvest.moment,
    CONSTRAINT payout_items_ended CHECK ((state = 'open') = (settled_at IS NULL)),
    CONSTRAINT payout_items_worth CHECK (amount > 0 OR (kind = 'farmer' AND cause = 'sweep')),
    CONSTRAINT payout_items_addressed CHECK (kind <> 'miner' OR address <> '')
);
-- Nobody has two payouts on their way.
CREATE UNIQUE INDEX idx_payout_items_open ON harvest.payout_items (payee_id) WHERE state = 'open';
CREATE INDEX idx_payout_items_run ON harvest.payout_items (run_id, chunk);
CREATE INDEX idx_payout_items_payee ON harvest.payout_items (payee_id, id DESC);
CREATE INDEX idx_payout_items_pooler ON harvest.payout_items (pooler_id, id DESC);
-- What has left within a day.
CREATE INDEX idx_payout_items_left ON harvest.payout_items (created_at, payee_id) INCLUDE (amount)
WHERE state IN ('open', 'paid');

-- An item is settled once, and says then for ever what it said.
CREATE FUNCTION harvest.refuse_resettling() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'open' THEN
        RAISE EXCEPTION 'a payout that is settled stays as it is' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trigger_payout_items_settled BEFORE UPDATE OR DELETE ON harvest.payout_items
FOR EACH ROW EXECUTE FUNCTION harvest.refuse_resettling();
CREATE TRIGGER trigger_payout_items_no_truncate BEFORE TRUNCATE ON harvest.payout_items
FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();

-- What came of a payee's payouts: written in the statement that settles an item.
CREATE TABLE harvest.payees (
    payee_id uuid PRIMARY KEY,
    -- When something of its own was paid last, and when its fees were moved on.
    paid_at harvest.moment,
    swept_at harvest.moment,
    -- Stroops of fees that stayed in its account then.
    fees_left numeric(39) NOT NULL DEFAULT 0,
    -- Tries that have failed since, one after the other, and why the last one did.
    failures int NOT NULL DEFAULT 0,
    failed_at harvest.moment,
    -- The same of sweeps of its fees, which keep nothing of its own back.
    sweep_failures int NOT NULL DEFAULT 0,
    sweep_failed_at harvest.moment,
    reason text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- How payouts were switched off and on, by whom and why: the newest counts, and none means on.
CREATE TABLE harvest.payout_switchings (
    number bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    is_off boolean NOT NULL,
    switched_by text NOT NULL,
    switched_at harvest.moment NOT NULL DEFAULT now(),
    reason text NOT NULL
);
CREATE TRIGGER trigger_payout_switchings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
ON harvest.payout_switchings FOR EACH STATEMENT EXECUTE FUNCTION harvest.refuse_change();

GRANT SELECT ON harvest.fee_claims, harvest.pooler_funds TO kalepool_harvest;
GRANT SELECT, UPDATE (taken_at) ON harvest.payout_turn TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (completed_at, leased_by, leased_until) ON harvest.payout_runs TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (
    address, state, pooler_fee, operator_fee, reason, message, operation_id, transaction_hash, ledger, asked_at,
    settled_at
) ON harvest.payout_items TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (
    paid_at, swept_at, fees_left, failures, failed_at, sweep_failures, sweep_failed_at, reason, message
)
ON harvest.payees TO kalepool_harvest;
GRANT SELECT, INSERT (is_off, switched_by, reason) ON harvest.payout_switchings TO kalepool_harvest;

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
    closed_at harvest.moment NOT NULL,
    -- Whether leaves of poolers and miners have histories, too: those of before have none.
    covers_all boolean NOT NULL DEFAULT true
);

-- What each owner had then: the leaves of the day's tree.
CREATE TABLE harvest.leaves (
    day int NOT NULL,
    owner_id uuid NOT NULL,
    -- A farmer's or a pooler's custodial account, or where a miner is paid; else empty.
    address varchar(69) NOT NULL,
    -- Stroops of KALE by what they are for, in order; what is 0 is left out.
    roles text [] NOT NULL,
    amounts numeric [] NOT NULL,
    -- Random: nobody who sees the hash of a leaf can guess whose it is. Its sum stands in its neighbour's path.
    salt bytea NOT NULL CHECK (octet_length(salt) = 32),
    -- What all lines of the owner came to until then; null until that is worked out.
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
        coalesce(w.address, p.address, m.address, ''),
        coalesce(
            array_agg(a.role::text ORDER BY a.role::text COLLATE "C") FILTER (WHERE b.amount <> 0), '{}'
        ),
        coalesce(
            array_agg(b.amount ORDER BY a.role::text COLLATE "C") FILTER (WHERE b.amount <> 0), '{}'
        ),
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
        -- The operator has no statement.
        CASE WHEN coalesce(w.farmer_id, r.id, m.id) IS NULL THEN decode(repeat('00', 32), 'hex') END
    FROM harvest.accounts AS a
    INNER JOIN harvest.account_balances AS b ON a.id = b.account_id
    LEFT JOIN wallet.farmer_accounts AS w ON a.owner_id = w.farmer_id
    LEFT JOIN registry.poolers AS r ON a.owner_id = r.id
    LEFT JOIN wallet.wallets AS p ON a.owner_id = p.pooler_id AND p.kind = 'pooler'
    LEFT JOIN harvest.miners AS m ON a.owner_id = m.id
    -- What lies in a pooler's account is owed already: as its fees, and what its miners earned.
    WHERE a.asset = 'kale' AND a.role::text !~ '^(chain:|treasury:|pooler:held$)'
    GROUP BY a.owner_id, w.farmer_id, w.address, r.id, p.address, m.id, m.address;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION harvest.close_day(int) FROM public;
GRANT EXECUTE ON FUNCTION harvest.close_day(int) TO kalepool_harvest;

GRANT SELECT ON harvest.closings TO kalepool_harvest;
GRANT SELECT, UPDATE (history) ON harvest.leaves TO kalepool_harvest;
GRANT SELECT, INSERT, UPDATE (transaction_hash, ledger) ON harvest.roots TO kalepool_harvest;

-- A pooler's sums over hours and days of blocks, so that a month of a pooler is read in a few rows. Only the database
-- writes it, by adding what a statement has changed of the blocks' sums.
CREATE TABLE harvest.span_sums (
    -- Blocks of the span, 12 (about an hour) or 288 (about a day), and the first of them, which divides by it.
    blocks int NOT NULL,
    first_block int NOT NULL,
    pooler_id uuid NOT NULL,
    harvested bigint NOT NULL,
    not_harvested bigint NOT NULL,
    -- Stroops of KALE.
    rewards bigint NOT NULL,
    PRIMARY KEY (blocks, first_block, pooler_id)
) WITH (fillfactor = 50);

CREATE FUNCTION harvest.sum_spans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The blocks' rows are locked by now. All in one order, so that two statements never wait crosswise.
    INSERT INTO harvest.span_sums AS s (
        blocks, first_block, pooler_id, harvested, not_harvested, rewards
    )
    SELECT l.blocks, n.block_index / l.blocks * l.blocks, n.pooler_id, sum(n.harvested - w.harvested),
        sum(n.not_harvested - w.not_harvested), harvest.fit(sum(n.rewards::numeric - w.rewards))
    FROM became AS n
    INNER JOIN was AS w ON w.block_index = n.block_index AND w.pooler_id = n.pooler_id
    CROSS JOIN (VALUES (12), (288)) AS l (blocks)
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (blocks, first_block, pooler_id) DO UPDATE SET
        harvested = s.harvested + excluded.harvested,
        not_harvested = s.not_harvested + excluded.not_harvested,
        rewards = harvest.fit(s.rewards::numeric + excluded.rewards);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION harvest.sum_spans() FROM public;
CREATE TRIGGER trigger_block_sums_spans AFTER UPDATE ON harvest.block_sums
REFERENCING OLD TABLE AS was NEW TABLE AS became
FOR EACH STATEMENT EXECUTE FUNCTION harvest.sum_spans();
GRANT SELECT ON harvest.span_sums TO kalepool_harvest;

-- What is left of farmers, and of poolers themselves: while there is any of it, nobody has left. Rows of nothing
-- are among it.
CREATE VIEW harvest.leftovers AS
SELECT a.owner_id, a.role::text AS what, b.amount
FROM harvest.accounts AS a
INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
WHERE a.asset = 'kale' AND a.role IN ('farmer:available', 'farmer:pending_out', 'pooler:fee', 'miner:earned')
UNION ALL
SELECT m.pooler_id, 'miners', b.amount
FROM harvest.miners AS m
INNER JOIN harvest.accounts AS a ON a.owner_id = m.id AND a.role = 'miner:earned' AND a.asset = 'kale'
INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
UNION ALL
SELECT c.farmer_id, 'fees', c.pooler + c.miners + c.operator
FROM harvest.fee_claims AS c
UNION ALL
SELECT i.payee_id, 'payouts', 1
FROM harvest.payout_items AS i
WHERE i.state = 'open'
UNION ALL
SELECT p.farmer_id, 'unharvested', 1
FROM harvest.pending AS p
UNION ALL
SELECT f.pooler_id, 'funds', f.pooler_in + f.miners_in - f.pooler_out - f.miners_out
FROM harvest.pooler_funds AS f;
GRANT SELECT ON harvest.leftovers TO kalepool_registry;
