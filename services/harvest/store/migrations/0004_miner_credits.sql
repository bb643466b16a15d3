-- Miners' credits, what each farmer's account holds, and KALE that came from outside.

ALTER TYPE harvest.journal_kind ADD VALUE 'deposit_return';
ALTER TYPE harvest.journal_kind ADD VALUE 'miner_credit';

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
    ('miner_credit'::text::harvest.journal_kind, 'pooler:fee', 1);
END;

-- Whether a journal of this kind may not leave such an account below zero. farmer:pending_out, the fees and
-- what miners earned have nothing but what earlier journals gave them, and are always guarded: nothing is
-- paid, or given back, that was not asked for. A loss is the pool's own conclusion, and takes no more than is
-- staked. farmer:available and farmer:staked may go below zero by what chain and wallet have decided already,
-- since that is to be recorded whatever was booked before: a harvest may be known before its plant, and a
-- farmer may stake or withdraw KALE that came from outside. That is a deposit, in a journal of its own kind
-- once the chain shows it; until then the account is below zero, and `kalepool ledger check` lists it. A
-- denial takes back what was booked, whatever became of it; and so does the division of what is left then.
CREATE OR REPLACE FUNCTION harvest.is_guarded(kind harvest.journal_kind, role harvest.account_role)
RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN kind::text NOT IN ('denial', 'miner_credit') AND (
    role IN ('farmer:pending_out', 'pooler:fee', 'operator:fee', 'miner:earned')
    OR (role = 'farmer:staked' AND kind = 'loss')
);

-- Whether the KALE of such an account lies in a farmer's account on the chain: its own, and claims to it
-- that nobody has paid yet.
CREATE FUNCTION harvest.is_held(role harvest.account_role) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN role IN ('farmer:available', 'farmer:pending_out', 'pooler:fee', 'operator:fee', 'miner:earned');

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

-- Book harvests: the stake comes back, the reward comes from the chain and is divided by the farmer's terms
-- in that block. Whatever the block's other harvests came to: a block's shares may be more than its pot. What
-- each farmer has earned follows from the same parts: its own of each reward.
CREATE OR REPLACE FUNCTION harvest.book_harvests(events harvest.harvests []) RETURNS void
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

CREATE OR REPLACE FUNCTION harvest.note_ledger() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM harvest.book_harvests((SELECT array_agg(ROW(n.*)::harvest.harvests) FROM added AS n));
    RETURN NULL;
END $$;

-- Take back what was booked of operations that the chain turned out to have no trace of.
CREATE OR REPLACE FUNCTION harvest.book_denials(source_keys text []) RETURNS bigint
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

-- What is booked already.
INSERT INTO harvest.holdings (farmer_id, amount)
SELECT j.farmer_id, sum(e.amount)
FROM harvest.entries AS e
INNER JOIN harvest.accounts AS a
    ON e.account_id = a.id AND a.asset = 'kale' AND harvest.is_held(a.role)
INNER JOIN harvest.journals AS j ON e.journal_id = j.id AND j.farmer_id IS NOT NULL
GROUP BY j.farmer_id
HAVING sum(e.amount) <> 0;
INSERT INTO harvest.miner_pots (block_index, pooler_id, pot)
SELECT j.block_index, j.pooler_id, sum(e.amount)
FROM harvest.entries AS e
INNER JOIN harvest.accounts AS a ON e.account_id = a.id AND a.role = 'miner:earned'
INNER JOIN harvest.journals AS j ON e.journal_id = j.id AND j.kind IN ('harvest', 'denial')
GROUP BY j.block_index, j.pooler_id;
