-- What reports ask for. Each query reads a number of rows that its page decides, whatever the history:
-- sums by their keys, or events of a fixed number of blocks, found block by block. OFFSET 0 and sums keep
-- the look-ups of a row apart from the rest, so that none becomes a read of a whole table.

-- name: earned :part
harvest.fit(coalesce(sum(e.rewards), 0)) AS rewards,
coalesce(sum(e.harvests), 0)::bigint AS harvests,
harvest.fit(coalesce(sum(e.stake_returned), 0)) AS stake_returned

-- name: pool_began :one
SELECT now() AS now, min(p.created_at) AS registered_at FROM registry.poolers AS p;

-- name: pooler_began :one
SELECT now() AS now, p.created_at AS registered_at FROM registry.poolers AS p WHERE p.id = $1;

-- name: farmer_began :one
SELECT now() AS now, f.created_at AS registered_at FROM registry.farmers AS f WHERE f.id = $1;

-- name: pool_earnings :many
-- What the pool earned in spans of one length ($1) that began at these moments ($2), newest first.
SELECT m.starts_at, s.rewards, s.harvests, s.stake_returned
FROM unnest($2::timestamptz[]) AS m (starts_at)
CROSS JOIN LATERAL (
    SELECT {earned}
    FROM harvest.pooler_earnings AS e
    WHERE e.span = $1::harvest.span AND e.starts_at = m.starts_at
) AS s
ORDER BY m.starts_at DESC;

-- name: pooler_earnings :many
-- The same of one pooler ($3).
SELECT m.starts_at, s.rewards, s.harvests, s.stake_returned
FROM unnest($2::timestamptz[]) AS m (starts_at)
CROSS JOIN LATERAL (
    SELECT {earned}
    FROM harvest.pooler_earnings AS e
    WHERE e.span = $1::harvest.span AND e.starts_at = m.starts_at AND e.pooler_id = $3
) AS s
ORDER BY m.starts_at DESC;

-- name: farmer_earnings :many
-- The same of one farmer ($3).
SELECT m.starts_at, s.rewards, s.harvests, s.stake_returned
FROM unnest($2::timestamptz[]) AS m (starts_at)
CROSS JOIN LATERAL (
    SELECT {earned}
    FROM harvest.farmer_earnings AS e
    WHERE e.span = $1::harvest.span AND e.starts_at = m.starts_at AND e.farmer_id = $3
) AS s
ORDER BY m.starts_at DESC;

-- name: people :one
-- Who farms with the pool, or with one pooler ($1).
SELECT
    (
        SELECT count(*)::int FROM registry.poolers AS p
        WHERE p.is_active AND ($1::uuid IS NULL OR p.id = $1)
    ) AS active_poolers,
    (count(*) FILTER (WHERE f.status = 'active'))::int AS active_farmers,
    count(*)::int AS farmers
FROM registry.farmers AS f
WHERE $1::uuid IS NULL OR f.pooler_id = $1;

-- name: success :one
-- How often farming succeeded in blocks $1 to $2, for the pool or for one pooler ($3).
SELECT p.planted, p.not_planted, w.worked, w.not_worked, h.harvested, h.not_harvested
FROM (
    SELECT
        coalesce(sum(s.planted), 0)::bigint AS planted,
        coalesce(sum(s.not_planted), 0)::bigint AS not_planted
    FROM plant.block_sums AS s
    WHERE s.block_index BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR s.pooler_id = $3)
) AS p
CROSS JOIN (
    SELECT
        coalesce(sum(s.worked), 0)::bigint AS worked,
        coalesce(sum(s.not_worked), 0)::bigint AS not_worked
    FROM work.block_sums AS s
    WHERE s.block_index BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR s.pooler_id = $3)
) AS w
CROSS JOIN (
    SELECT
        coalesce(sum(s.harvested), 0)::bigint AS harvested,
        coalesce(sum(s.not_harvested), 0)::bigint AS not_harvested
    FROM harvest.block_sums AS s
    WHERE s.block_index BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR s.pooler_id = $3)
) AS h;

-- name: farmer_success :one
-- The same of one farmer ($3), from its events, with the most zeros of its works.
SELECT
    count(*) FILTER (WHERE p.is_done) AS planted,
    count(*) FILTER (WHERE NOT p.is_done) AS not_planted,
    count(*) FILTER (WHERE w.is_done) AS worked,
    count(*) FILTER (WHERE NOT w.is_done) AS not_worked,
    count(*) FILTER (WHERE h.is_done) AS harvested,
    count(*) FILTER (WHERE NOT h.is_done) AS not_harvested,
    max(w.zeros) AS best_zeros
FROM generate_series($1::int, $2::int) AS b (block_index)
CROSS JOIN LATERAL (
    SELECT bool_or(e.status = 'success') AS is_done
    FROM plant.plantings AS e
    -- The range names the partitions, the block the rows.
    WHERE e.block_index BETWEEN $1 AND $2 AND e.block_index = b.block_index AND e.farmer_id = $3
) AS p
CROSS JOIN LATERAL (
    SELECT
        bool_or(e.status = 'success') AS is_done,
        max(e.zeros) FILTER (WHERE e.status = 'success') AS zeros
    FROM work.works AS e
    WHERE e.block_index BETWEEN $1 AND $2 AND e.block_index = b.block_index AND e.farmer_id = $3
) AS w
CROSS JOIN LATERAL (
    SELECT bool_or(e.status = 'success') AS is_done
    FROM harvest.harvests AS e
    WHERE e.block_index BETWEEN $1 AND $2 AND e.block_index = b.block_index AND e.farmer_id = $3
) AS h;

-- name: reported_farmer :part
SELECT now() AS now, f.id AS farmer_id, f.pooler_id,
    coalesce(f.custodial_public_key, '') AS address, f.created_at AS registered_at,
    coalesce(b.total_rewards, 0) AS rewards, coalesce(b.harvests, 0)::bigint AS harvests
FROM registry.farmers AS f
LEFT JOIN harvest.balances AS b ON b.farmer_id = f.id

-- name: farmer_by_id :one
{reported_farmer}
WHERE f.id = $1;

-- name: farmer_by_address :one
{reported_farmer}
WHERE f.custodial_public_key = $1;

-- name: block_figures :part
-- Of the blocks, newest first, for the pool or for one pooler ($3).
SELECT b.block_index, c.opened_at,
    p.planted, p.not_planted, p.staked, p.min_stake, p.max_stake,
    w.worked, w.not_worked, w.total_zeros, w.min_zeros, w.max_zeros,
    w.total_gap, w.min_gap, w.max_gap,
    h.harvested, h.not_harvested, h.rewards, h.min_reward, h.max_reward, h.stake_returned,
    harvest.fit(p.fees + w.fees + h.fees) AS fees,
    c.min_stake AS chain_min_stake, c.max_stake AS chain_max_stake,
    c.min_zeros AS chain_min_zeros, c.max_zeros AS chain_max_zeros,
    c.min_gap AS chain_min_gap, c.max_gap AS chain_max_gap
FROM blocks AS b
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(s.planted), 0)::int AS planted,
        coalesce(sum(s.not_planted), 0)::int AS not_planted,
        harvest.fit(coalesce(sum(s.staked), 0)) AS staked,
        min(s.min_stake) AS min_stake,
        max(s.max_stake) AS max_stake,
        coalesce(sum(s.fees), 0) AS fees
    FROM plant.block_sums AS s
    WHERE s.block_index = b.block_index AND ($3::uuid IS NULL OR s.pooler_id = $3)
) AS p
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(s.worked), 0)::int AS worked,
        coalesce(sum(s.not_worked), 0)::int AS not_worked,
        coalesce(sum(s.total_zeros), 0)::bigint AS total_zeros,
        min(s.min_zeros) AS min_zeros,
        max(s.max_zeros) AS max_zeros,
        coalesce(sum(s.total_gap), 0)::bigint AS total_gap,
        min(s.min_gap) AS min_gap,
        max(s.max_gap) AS max_gap,
        coalesce(sum(s.fees), 0) AS fees
    FROM work.block_sums AS s
    WHERE s.block_index = b.block_index AND ($3::uuid IS NULL OR s.pooler_id = $3)
) AS w
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(s.harvested), 0)::int AS harvested,
        coalesce(sum(s.not_harvested), 0)::int AS not_harvested,
        harvest.fit(coalesce(sum(s.rewards), 0)) AS rewards,
        coalesce(min(s.min_reward), 0) AS min_reward,
        coalesce(max(s.max_reward), 0) AS max_reward,
        harvest.fit(coalesce(sum(s.stake_returned), 0)) AS stake_returned,
        coalesce(sum(s.fees), 0) AS fees
    FROM harvest.block_sums AS s
    WHERE s.block_index = b.block_index AND ($3::uuid IS NULL OR s.pooler_id = $3)
) AS h
LEFT JOIN LATERAL (
    SELECT k.opened_at, k.min_stake, k.max_stake, k.min_zeros, k.max_zeros, k.min_gap, k.max_gap
    FROM chain.blocks AS k
    WHERE k.index = b.block_index
    OFFSET 0
) AS c ON true
ORDER BY b.block_index DESC

-- name: pool_blocks :many
-- Blocks before $1 that anybody of the pool took part in, $2 at most. $3 is null: of everybody.
WITH blocks AS (
    SELECT t.block_index
    FROM (
        (
            SELECT DISTINCT s.block_index FROM plant.block_sums AS s
            WHERE s.block_index < $1 ORDER BY s.block_index DESC LIMIT $2
        )
        UNION
        (
            SELECT DISTINCT s.block_index FROM work.block_sums AS s
            WHERE s.block_index < $1 ORDER BY s.block_index DESC LIMIT $2
        )
        UNION
        (
            SELECT DISTINCT s.block_index FROM harvest.block_sums AS s
            WHERE s.block_index < $1 ORDER BY s.block_index DESC LIMIT $2
        )
    ) AS t
    ORDER BY t.block_index DESC
    LIMIT $2
)
{block_figures};

-- name: pooler_blocks :many
-- Blocks before $1 that one pooler ($3) took part in, $2 at most.
WITH blocks AS (
    SELECT t.block_index
    FROM (
        (
            SELECT s.block_index FROM plant.block_sums AS s
            WHERE s.pooler_id = $3 AND s.block_index < $1 ORDER BY s.block_index DESC LIMIT $2
        )
        UNION
        (
            SELECT s.block_index FROM work.block_sums AS s
            WHERE s.pooler_id = $3 AND s.block_index < $1 ORDER BY s.block_index DESC LIMIT $2
        )
        UNION
        (
            SELECT s.block_index FROM harvest.block_sums AS s
            WHERE s.pooler_id = $3 AND s.block_index < $1 ORDER BY s.block_index DESC LIMIT $2
        )
    ) AS t
    ORDER BY t.block_index DESC
    LIMIT $2
)
{block_figures};

-- name: farmers_by_zeros :many
-- The pool's farmers in a block ($1) by the zeros of their best work, from no zeros up to the most.
SELECT sum(u.farmers)::int AS farmers
FROM work.block_sums AS s
CROSS JOIN LATERAL unnest(s.farmers_by_zeros) WITH ORDINALITY AS u (farmers, place)
WHERE s.block_index = $1
GROUP BY u.place
ORDER BY u.place;

-- name: listed_poolers :many
-- Poolers after one ($1) that are listed, with their terms in force, $2 at most.
SELECT p.id AS pooler_id, p.name, p.max_farmers - p.current_farmers AS room, p.is_open_to_join,
    t.version, t.stake_bps, t.pooler_bps, t.miners_bps, t.payout_threshold, t.payout_interval_seconds,
    t.harvest_blocks, t.text, t.digest, t.published_at
FROM registry.poolers AS p
CROSS JOIN LATERAL (
    SELECT
        r.version, r.stake_bps, r.pooler_bps, r.miners_bps, r.payout_threshold, r.payout_interval_seconds,
        r.harvest_blocks, r.text, r.digest, r.published_at
    FROM registry.terms AS r
    WHERE r.pooler_id = p.id
    ORDER BY r.version DESC
    LIMIT 1
) AS t
WHERE p.is_listed AND p.is_active AND ($1::uuid IS NULL OR p.id > $1)
ORDER BY p.id
LIMIT $2;

-- name: pooler_figures :many
-- What poolers ($1) came to in windows ($2) of blocks. Each window is made of spans without a gap: their
-- lengths ($3), and the first blocks of the first ($4) and of the last of them ($5). Spans of one block are
-- the blocks' own sums.
WITH runs AS (
    SELECT r.number, r.blocks, r.first_block, r.last_block
    FROM unnest($2::int [], $3::int [], $4::int [], $5::int []) AS r (
        number, blocks, first_block, last_block
    )
),
planted AS (
    SELECT r.number, s.pooler_id, sum(s.planted)::bigint AS planted,
        sum(s.not_planted)::bigint AS not_planted, sum(s.staked) AS staked
    FROM runs AS r
    CROSS JOIN LATERAL (
        SELECT b.pooler_id, b.planted, b.not_planted, b.staked
        FROM plant.block_sums AS b
        WHERE r.blocks = 1 AND b.block_index BETWEEN r.first_block AND r.last_block
            AND b.pooler_id = ANY($1::uuid [])
        UNION ALL
        SELECT t.pooler_id, t.planted, t.not_planted, t.staked
        FROM plant.span_sums AS t
        WHERE t.blocks = r.blocks AND t.first_block BETWEEN r.first_block AND r.last_block
            AND t.pooler_id = ANY($1::uuid [])
    ) AS s
    GROUP BY r.number, s.pooler_id
),
works AS (
    SELECT r.number, s.pooler_id, s.worked, s.not_worked, s.worked_blocks, s.farmers_by_zeros
    FROM runs AS r
    CROSS JOIN LATERAL (
        SELECT b.pooler_id, b.worked, b.not_worked, (b.worked > 0)::int AS worked_blocks,
            b.farmers_by_zeros::bigint [] AS farmers_by_zeros
        FROM work.block_sums AS b
        WHERE r.blocks = 1 AND b.block_index BETWEEN r.first_block AND r.last_block
            AND b.pooler_id = ANY($1::uuid [])
        UNION ALL
        SELECT t.pooler_id, t.worked, t.not_worked, t.worked_blocks, t.farmers_by_zeros
        FROM work.span_sums AS t
        WHERE t.blocks = r.blocks AND t.first_block BETWEEN r.first_block AND r.last_block
            AND t.pooler_id = ANY($1::uuid [])
    ) AS s
),
worked AS (
    SELECT k.number, k.pooler_id, sum(k.worked)::bigint AS worked,
        sum(k.not_worked)::bigint AS not_worked, sum(k.worked_blocks)::int AS worked_blocks
    FROM works AS k
    GROUP BY k.number, k.pooler_id
),
zeros AS (
    SELECT c.number, c.pooler_id, array_agg(c.farmers ORDER BY c.place) AS farmers_by_zeros
    FROM (
        SELECT k.number, k.pooler_id, u.place, sum(u.farmers)::bigint AS farmers
        FROM works AS k
        CROSS JOIN LATERAL unnest(k.farmers_by_zeros) WITH ORDINALITY AS u (farmers, place)
        GROUP BY k.number, k.pooler_id, u.place
    ) AS c
    GROUP BY c.number, c.pooler_id
),
harvested AS (
    SELECT r.number, s.pooler_id, sum(s.harvested)::bigint AS harvested,
        sum(s.not_harvested)::bigint AS not_harvested, sum(s.rewards) AS rewards
    FROM runs AS r
    CROSS JOIN LATERAL (
        SELECT b.pooler_id, b.harvested, b.not_harvested, b.rewards
        FROM harvest.block_sums AS b
        WHERE r.blocks = 1 AND b.block_index BETWEEN r.first_block AND r.last_block
            AND b.pooler_id = ANY($1::uuid [])
        UNION ALL
        SELECT t.pooler_id, t.harvested, t.not_harvested, t.rewards
        FROM harvest.span_sums AS t
        WHERE t.blocks = r.blocks AND t.first_block BETWEEN r.first_block AND r.last_block
            AND t.pooler_id = ANY($1::uuid [])
    ) AS s
    GROUP BY r.number, s.pooler_id
)
SELECT q.pooler_id, w.number AS window_number,
    coalesce(p.planted, 0) AS planted, coalesce(p.not_planted, 0) AS not_planted,
    harvest.fit(coalesce(p.staked, 0)) AS staked,
    coalesce(k.worked, 0) AS worked, coalesce(k.not_worked, 0) AS not_worked,
    coalesce(k.worked_blocks, 0) AS worked_blocks,
    coalesce(z.farmers_by_zeros, '{}') AS farmers_by_zeros,
    coalesce(h.harvested, 0) AS harvested, coalesce(h.not_harvested, 0) AS not_harvested,
    harvest.fit(coalesce(h.rewards, 0)) AS rewards
FROM unnest($1::uuid []) AS q (pooler_id)
CROSS JOIN (SELECT DISTINCT r.number FROM runs AS r) AS w
LEFT JOIN planted AS p ON p.number = w.number AND p.pooler_id = q.pooler_id
LEFT JOIN worked AS k ON k.number = w.number AND k.pooler_id = q.pooler_id
LEFT JOIN zeros AS z ON z.number = w.number AND z.pooler_id = q.pooler_id
LEFT JOIN harvested AS h ON h.number = w.number AND h.pooler_id = q.pooler_id;

-- name: known_openings :many
-- Of windows ($1: the first blocks, $2: the last ones), the first opening in them that is known, and the last
-- one up to the block after them.
SELECT w.number::int AS number, a.index AS first_index, a.opened_at AS first_opened_at,
    z.index AS last_index, z.opened_at AS last_opened_at
FROM unnest($1::int [], $2::int []) WITH ORDINALITY AS w (first_block, last_block, number)
CROSS JOIN LATERAL (
    SELECT b.index, b.opened_at FROM chain.blocks AS b
    WHERE b.index BETWEEN w.first_block AND w.last_block + 1
    ORDER BY b.index
    LIMIT 1
) AS a
CROSS JOIN LATERAL (
    SELECT b.index, b.opened_at FROM chain.blocks AS b
    WHERE b.index BETWEEN w.first_block AND w.last_block + 1
    ORDER BY b.index DESC
    LIMIT 1
) AS z;
