-- The story that is told: what happened to a pool's farmers, at random but always the same for a seed.

-- name: story_tables :exec
CREATE FUNCTION fill.dice(seed int, what text, number bigint, sides int) RETURNS int
LANGUAGE sql IMMUTABLE
RETURN ((hashtextextended(what || number, seed) & 9007199254740991) % sides)::int;
CREATE TABLE fill.story (
    number bigint PRIMARY KEY,
    kind text NOT NULL,
    -- Which of its kind it is.
    place bigint NOT NULL,
    farmer_id uuid NOT NULL,
    amount bigint NOT NULL,
    fee bigint NOT NULL,
    -- succeeded, failed, or denied: told as done, and later as never done.
    ending text NOT NULL,
    -- Milliseconds until it ends, or is denied.
    later int NOT NULL
);
CREATE TABLE fill.movements (
    at_micros bigint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    ending text NOT NULL,
    farmer_id uuid NOT NULL,
    block_index int NOT NULL,
    amount bigint NOT NULL,
    fee bigint NOT NULL,
    PRIMARY KEY (at_micros, id)
);
CREATE TABLE fill.events (
    block_index int NOT NULL,
    id uuid NOT NULL,
    farmer_id uuid NOT NULL,
    reward bigint NOT NULL,
    stake bigint NOT NULL,
    fee bigint NOT NULL,
    ending text NOT NULL,
    PRIMARY KEY (block_index, id)
);
GRANT USAGE ON SCHEMA fill TO kalepool_harvest;
GRANT SELECT ON fill.movements, fill.events TO kalepool_harvest;
INSERT INTO chain.head (ledger, close_time, current_block, plantable_block, paused, block_seconds)
VALUES (9, now(), 1000, 1001, false, 300);
CREATE OR REPLACE FUNCTION harvest.terms(farmer_id uuid, block_index int)
RETURNS TABLE (pooler_bps int, operator_bps int, miners_bps int) LANGUAGE sql STABLE
BEGIN ATOMIC VALUES (2000, 500, 6000); END;

-- name: story :exec
-- So many things ($2) of so many farmers ($3), by a seed ($1).
WITH drawn AS (
    SELECT
        n AS number,
        CASE
            WHEN fill.dice($1, 'kind', n, 20) < 7 THEN 'harvest'
            WHEN fill.dice($1, 'kind', n, 20) < 13 THEN 'plant'
            WHEN fill.dice($1, 'kind', n, 20) < 17 THEN 'withdraw'
            ELSE 'work'
        END AS kind
    FROM generate_series(1, $2::bigint) AS g (n)
),
placed AS (
    SELECT d.*, row_number() OVER (PARTITION BY d.kind ORDER BY d.number) - 1 AS place FROM drawn AS d
)
INSERT INTO fill.story
SELECT
    p.number, p.kind, p.place,
    fill.uid(20001 + CASE p.kind
        WHEN 'harvest' THEN (p.place % $3::int)::int
        ELSE fill.dice($1, 'farmer', p.number, $3::int)
    END),
    1 + fill.dice($1, 'amount', p.number, 1000000000),
    fill.dice($1, 'fee', p.number, 3) * 5000,
    CASE
        WHEN p.kind = 'plant' AND fill.dice($1, 'end', p.number, 10) = 0 THEN 'denied'
        WHEN p.kind = 'plant' AND fill.dice($1, 'end', p.number, 10) = 1 THEN 'failed'
        WHEN p.kind = 'harvest' AND fill.dice($1, 'end', p.number, 20) = 0 THEN 'denied'
        WHEN p.kind = 'harvest' AND fill.dice($1, 'end', p.number, 20) = 1 THEN 'failed'
        WHEN p.kind = 'withdraw' AND fill.dice($1, 'end', p.number, 3) = 0 THEN 'failed'
        ELSE 'succeeded'
    END,
    1 + fill.dice($1, 'later', p.number, 5000)
FROM placed AS p;

-- name: story_movements :exec
-- What wallet tells of it, of $1 farmers, in order: two milliseconds lie between the beginnings of two things.
INSERT INTO fill.movements
SELECT
    1750000000000000 + m.at_ms * 1000, fill.uid(1000000 + s.number), s.kind, m.ending, s.farmer_id,
    700 + (s.place / $1::int)::int, s.amount, s.fee
FROM fill.story AS s
CROSS JOIN LATERAL (
    SELECT s.number * 2 AS at_ms, CASE
        WHEN s.kind = 'withdraw' THEN 'asked'
        WHEN s.ending = 'denied' THEN 'succeeded'
        ELSE s.ending
    END AS ending
    UNION ALL
    SELECT s.number * 2 + s.later * 2 + 1, CASE s.ending WHEN 'denied' THEN 'failed' ELSE s.ending END
    WHERE s.kind = 'withdraw' OR s.ending = 'denied'
) AS m;

-- name: story_events :exec
-- The harvests, of $1 farmers a block.
INSERT INTO fill.events
SELECT
    700 + (s.place / $1::int)::int, fill.uid(1000000 + s.number), s.farmer_id,
    s.amount, s.amount / 7, s.fee, s.ending
FROM fill.story AS s
WHERE s.kind = 'harvest';

-- name: told :many
-- A page of what wallet tells after a moment ($1) and an operation ($2). That a harvest never was is told
-- once it is recorded: what is recorded later is recorded as it ended.
WITH page AS (
    SELECT m.*, m.kind = 'harvest' AND m.ending = 'failed' AND EXISTS (
        SELECT 1 FROM fill.events AS e
        WHERE e.block_index = m.block_index AND e.id = m.id AND e.ending = 'denied'
            AND NOT EXISTS (
                SELECT 1 FROM harvest.harvests AS h
                WHERE h.block_index = e.block_index AND h.id = e.id
            )
    ) AS is_early
    FROM fill.movements AS m
    WHERE (m.at_micros, m.id) > ($1, $2)
    ORDER BY m.at_micros, m.id
    LIMIT $3
)
SELECT p.*, p.farmer_id AS farmer
FROM page AS p
WHERE NOT EXISTS (
    SELECT 1 FROM page AS q WHERE q.is_early AND (q.at_micros, q.id) <= (p.at_micros, p.id)
)
ORDER BY p.at_micros, p.id;

-- name: left :one
SELECT count(*) AS movements FROM (
    SELECT 1 FROM fill.movements AS m WHERE (m.at_micros, m.id) > ($1, $2) LIMIT 1
) AS n;

-- name: last_block :one
SELECT max(e.block_index) AS block_index FROM fill.events AS e;

-- name: recorded_until :one
SELECT coalesce(max(s.block_index), 700) AS block_index FROM harvest.block_sums AS s;

-- name: credited_until :one
SELECT coalesce(max(p.block_index), 700) AS block_index
FROM harvest.miner_pots AS p WHERE p.told = p.chunks;

-- name: record_half :exec
-- A half ($2) of the harvests of a block ($1).
INSERT INTO harvest.harvests
SELECT
    e.id, e.block_index, e.farmer_id, fill.uid(1), 'G' || lpad('1', 55, 'A'),
    CASE e.ending WHEN 'failed' THEN 0 ELSE e.reward END,
    CASE e.ending WHEN 'failed' THEN 0 ELSE e.stake END,
    '', 9, e.fee,
    (CASE e.ending WHEN 'failed' THEN 'failed' ELSE 'success' END)::harvest.harvest_status,
    CASE e.ending WHEN 'failed' THEN 'EXPIRED' ELSE '' END, '', now()
FROM fill.events AS e
WHERE e.block_index = $1 AND (hashtext(e.id::text) & 1) = $2
ORDER BY e.farmer_id, e.id
ON CONFLICT DO NOTHING;

-- name: expected_journals :many
-- How many journals there have to be, by kind.
SELECT n.kind, count(*) AS journals
FROM fill.story AS s
CROSS JOIN LATERAL (
    SELECT 'plant' AS kind WHERE s.kind = 'plant' AND s.ending <> 'failed'
    UNION ALL
    SELECT 'harvest' WHERE s.kind = 'harvest' AND s.ending <> 'failed'
    UNION ALL
    SELECT 'denial' WHERE s.ending = 'denied'
    UNION ALL
    SELECT 'withdrawal' WHERE s.kind = 'withdraw'
    UNION ALL
    SELECT CASE s.ending WHEN 'failed' THEN 'withdrawal_return' ELSE 'payout' END WHERE s.kind = 'withdraw'
    UNION ALL
    SELECT 'cost' WHERE s.fee > 0 AND (s.kind <> 'harvest' OR s.ending = 'failed')
) AS n
GROUP BY n.kind;

-- name: booked_journals :many
SELECT j.kind::text AS kind, count(*) AS journals FROM harvest.journals AS j
WHERE j.kind::text <> 'miner_credit' GROUP BY j.kind;

-- name: expected_balances :many
-- What each farmer's accounts have to have of plants and withdrawals.
SELECT
    s.farmer_id,
    coalesce(sum(s.amount) FILTER (WHERE s.kind = 'plant'), 0) AS staked,
    coalesce(sum(s.amount) FILTER (WHERE s.kind = 'withdraw'), 0) AS paid
FROM fill.story AS s
WHERE s.ending = 'succeeded'
GROUP BY s.farmer_id;

-- name: expected_harvests :many
SELECT e.block_index, e.farmer_id, e.reward, e.stake FROM fill.events AS e WHERE e.ending = 'succeeded';

-- name: booked_balances :many
SELECT a.owner_id, a.role::text AS role, b.amount
FROM harvest.accounts AS a
INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
WHERE a.asset = 'kale' AND b.amount <> 0 AND a.role::text NOT LIKE 'chain:%';
