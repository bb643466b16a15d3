-- What miners proved, and have of the miners' part of a block.

-- name: block_is_farmed :one
-- Whether farmers of a pooler ($1) took part in a block ($2).
SELECT
    EXISTS (
        SELECT 1 FROM plant.block_sums AS s WHERE s.block_index = $2 AND s.pooler_id = $1
    ) OR EXISTS (
        SELECT 1 FROM work.block_sums AS s WHERE s.block_index = $2 AND s.pooler_id = $1
    ) OR EXISTS (
        SELECT 1 FROM harvest.block_sums AS s WHERE s.block_index = $2 AND s.pooler_id = $1
    ) AS is_farmed;

-- name: tell_miners :one
SELECT harvest.tell_miners($1, $2, $3, $4, $5, $6, $7, $8, $9) AS is_new;

-- name: divide_pot :one
SELECT harvest.divide_pot($1, $2) AS is_divided;

-- name: due_pots :many
-- Blocks ($1 at most) of which something is not divided yet that could be, the oldest first.
SELECT p.block_index, p.pooler_id
FROM harvest.miner_pots AS p
WHERE p.told = p.chunks AND p.pot <> p.divided
ORDER BY p.block_index, p.pooler_id
LIMIT $1;

-- name: miner_pot :one
SELECT coalesce(p.told = p.chunks, false) AS is_complete, p.pot, p.divided
FROM harvest.miner_pots AS p
WHERE p.pooler_id = $1 AND p.block_index = $2;

-- name: miner :one
-- A miner of a pooler ($1) by its address ($2), with what is not paid of its credits.
SELECT m.id AS miner_id, coalesce(b.amount, 0) AS unpaid
FROM harvest.miners AS m
LEFT JOIN harvest.accounts AS a ON a.owner_id = m.id AND a.role = 'miner:earned' AND a.asset = 'kale'
LEFT JOIN harvest.account_balances AS b ON b.account_id = a.id
WHERE m.pooler_id = $1 AND m.address = $2;

-- name: miner_credits :many
-- Newest first, before a block ($2; none: all), $3 at most.
SELECT c.block_index, c.points, p.points + p.own_points AS block_points, p.pot, c.amount, k.told_at
FROM harvest.miner_credits AS c
INNER JOIN harvest.miner_pots AS p ON p.block_index = c.block_index AND p.pooler_id = c.pooler_id
CROSS JOIN LATERAL (
    SELECT max(k.told_at) AS told_at FROM harvest.miner_chunks AS k
    WHERE k.block_index = c.block_index AND k.pooler_id = c.pooler_id
) AS k
WHERE c.miner_id = $1 AND c.block_index < coalesce($2::bigint, 2147483648)
ORDER BY c.block_index DESC
LIMIT $3;

-- name: last_pot :one
SELECT max(p.block_index) AS block_index FROM harvest.miner_pots AS p;

-- name: wrong_pots :many
-- Blocks from $1 up to $2 of which not what is divided was given to those who mined them.
SELECT p.pooler_id, p.block_index, p.divided, coalesce(c.amount, 0) + p.own_amount AS given
FROM harvest.miner_pots AS p
LEFT JOIN (
    SELECT c.block_index, c.pooler_id, sum(c.amount) AS amount
    FROM harvest.miner_credits AS c
    WHERE c.block_index BETWEEN $1 AND $2
    GROUP BY c.block_index, c.pooler_id
) AS c ON c.block_index = p.block_index AND c.pooler_id = p.pooler_id
WHERE p.block_index BETWEEN $1 AND $2 AND p.divided <> coalesce(c.amount, 0) + p.own_amount
ORDER BY p.block_index, p.pooler_id;
