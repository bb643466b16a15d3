-- Payouts: runs and their items, what came of them, the switch, fees that lie in farmers' accounts, and the
-- journals of what leaves.

ALTER TYPE harvest.account_role ADD VALUE 'pooler:held';
ALTER TYPE harvest.account_role ADD VALUE 'chain:moved';
ALTER TYPE harvest.journal_kind ADD VALUE 'fee_payout';
ALTER TYPE harvest.journal_kind ADD VALUE 'pool_payment';

-- What a journal of each kind may take (-1) and give (1). A kind that takes from one account and gives to
-- one other is a transfer, and booked by these rows. Whatever an operation is, its cost may be beside it.
-- (Kinds that came later are written as texts: a migration cannot use a value that it adds.)
CREATE OR REPLACE FUNCTION harvest.rules()
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
CREATE OR REPLACE FUNCTION harvest.is_guarded(kind harvest.journal_kind, role harvest.account_role)
RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN kind::text NOT IN ('denial', 'miner_credit', 'fee_payout', 'pool_payment') AND (
    role IN ('farmer:pending_out', 'pooler:fee', 'operator:fee', 'miner:earned')
    OR (role = 'farmer:staked' AND kind = 'loss')
);

-- Whether the KALE of such an account lies in a farmer's account on the chain: its own, and claims to it
-- that nobody has paid yet; what was moved into a pooler's account of those is taken off (chain:moved).
CREATE OR REPLACE FUNCTION harvest.is_held(role harvest.account_role) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN role::text IN (
    'farmer:available', 'farmer:pending_out', 'pooler:fee', 'operator:fee', 'miner:earned', 'chain:moved'
);

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

-- Refuse what is no journal, and keep the balances, in one statement over the new entries. There are no
-- foreign keys: each would be a look for each entry, where one for all of them does.
CREATE OR REPLACE FUNCTION harvest.keep_balances() RETURNS trigger
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

-- Payouts ---------------------------------------------------------------------------------------------

CREATE TYPE harvest.payee_kind AS ENUM ('farmer', 'pooler', 'miner');
CREATE TYPE harvest.payout_cause AS ENUM ('threshold', 'interval', 'now', 'sweep');
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

-- Fees that were booked before; nothing of them has left.
INSERT INTO harvest.fee_claims (farmer_id, pooler_id, pooler, miners, operator)
SELECT
    j.farmer_id,
    (array_agg(j.pooler_id))[1],
    coalesce(sum(e.amount) FILTER (WHERE a.role = 'pooler:fee'), 0),
    coalesce(sum(e.amount) FILTER (WHERE a.role = 'miner:earned'), 0),
    coalesce(sum(e.amount) FILTER (WHERE a.role = 'operator:fee'), 0)
FROM harvest.accounts AS a
INNER JOIN harvest.entries AS e ON a.id = e.account_id
INNER JOIN harvest.journals AS j ON e.journal_id = j.id
WHERE a.role IN ('pooler:fee', 'operator:fee', 'miner:earned') AND j.kind IN ('harvest', 'denial')
GROUP BY j.farmer_id;
