-- Farmers and poolers that leave.

-- name: leave_farmer :one
-- A farmer ($1) in one of the statuses ($3) leaves ($2) by a word ($4, $5); the stronger word stays. $6: it leaves
-- because its pooler does; $7: by this signed wish of its own (0: by none).
WITH moved AS (
    UPDATE registry.farmers AS f
    SET status = $2::registry.farmer_status
    FROM registry.farmers AS b
    WHERE f.id = $1 AND b.id = f.id AND f.status = ANY($3::registry.farmer_status[])
    RETURNING f.id, b.status = $2::registry.farmer_status AS was_leaving
)
INSERT INTO registry.leavings AS l (owner_id, is_pooler, word, asked_by, with_pooler, wish)
SELECT m.id, false, $4::registry.leaving_word, $5, $6, $7 FROM moved AS m
ON CONFLICT (owner_id) DO UPDATE SET
    word = CASE WHEN (SELECT m.was_leaving FROM moved AS m) THEN greatest(l.word, excluded.word) ELSE excluded.word END,
    asked_by = CASE
        WHEN (SELECT m.was_leaving FROM moved AS m) AND l.word >= excluded.word THEN l.asked_by
        ELSE excluded.asked_by
    END,
    asked_at = CASE WHEN (SELECT m.was_leaving FROM moved AS m) THEN l.asked_at ELSE now() END,
    with_pooler = CASE
        WHEN (SELECT m.was_leaving FROM moved AS m) THEN l.with_pooler AND excluded.with_pooler
        ELSE excluded.with_pooler
    END,
    wish = greatest(l.wish, excluded.wish),
    waits_for = '',
    message = '',
    due_at = now()
RETURNING l.owner_id;

-- name: leaving_word :one
-- Whose word it is that a farmer ($1) leaves.
SELECT l.word::text AS word FROM registry.leavings AS l WHERE l.owner_id = $1;

-- name: stay_farmer :one
-- A farmer ($1) that leaves by no stronger word than $4 stays ($2, from $3).
UPDATE registry.farmers AS f
SET status = $2::registry.farmer_status
FROM registry.leavings AS l
WHERE f.id = $1 AND l.owner_id = f.id
    AND f.status = ANY($3::registry.farmer_status[])
    AND l.word <= $4::registry.leaving_word
RETURNING f.id;

-- name: stay_with_pooler :many
-- Farmers that leave because their pooler ($1) does stay ($2, from $3).
UPDATE registry.farmers AS f
SET status = $2::registry.farmer_status
FROM registry.leavings AS l
WHERE f.pooler_id = $1 AND l.owner_id = f.id AND l.with_pooler
    AND f.status = ANY($3::registry.farmer_status[])
RETURNING f.id;

-- name: leavable_farmers :many
-- Farmers of a pooler ($1) that could leave and do not, $2 at most.
SELECT f.id FROM registry.farmers AS f
WHERE f.pooler_id = $1 AND f.status IN ('active', 'suspended')
ORDER BY f.id
LIMIT $2;

-- name: leave_pooler :one
-- A pooler ($1) in one of the stages ($3) leaves ($2) by an operator's word ($4).
WITH moved AS (
    UPDATE registry.poolers AS p
    SET stage = $2::registry.pooler_stage
    WHERE p.id = $1 AND p.stage = ANY($3::registry.pooler_stage[])
    RETURNING p.id
)
INSERT INTO registry.leavings AS l (owner_id, is_pooler, word, asked_by)
SELECT m.id, true, 'operator', $4 FROM moved AS m
ON CONFLICT (owner_id) DO UPDATE SET waits_for = '', message = '', due_at = now()
RETURNING l.owner_id;

-- name: move_pooler :one
-- A pooler ($1) goes on to a stage ($2) from one of others ($3).
UPDATE registry.poolers
SET stage = $2::registry.pooler_stage
WHERE id = $1 AND stage = ANY($3::registry.pooler_stage[])
RETURNING id;

-- name: claim_leavings :many
-- Who leaves and is due to be looked at, $1 at most, for $2 seconds to this process alone.
WITH due AS (
    SELECT l.owner_id, l.is_pooler, coalesce(f.status = 'closing', p.stage = 'closing') AS is_closing
    FROM registry.leavings AS l
    LEFT JOIN registry.farmers AS f ON f.id = l.owner_id
    LEFT JOIN registry.poolers AS p ON p.id = l.owner_id
    WHERE l.due_at <= now()
        AND (f.status IN ('leaving', 'closing') OR p.stage IN ('leaving', 'closing'))
    ORDER BY l.due_at, l.owner_id
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE registry.leavings AS l
SET due_at = now() + make_interval(secs => $2::float8)
FROM due AS d
WHERE l.owner_id = d.owner_id
RETURNING l.owner_id, l.is_pooler, d.is_closing;

-- name: note_waits :exec
-- What somebody ($1) waits for who leaves ($2, $3), and in how many seconds ($4) that is looked at again.
UPDATE registry.leavings
SET waits_for = $2, message = $3, due_at = now() + make_interval(secs => $4::float8)
WHERE owner_id = $1;

-- name: leftovers :many
-- What is left of a farmer, or of a pooler itself ($1).
SELECT l.what, sum(l.amount) AS amount
FROM harvest.leftovers AS l
WHERE l.owner_id = $1
GROUP BY l.what
HAVING sum(l.amount) <> 0;

-- name: farmers_left :one
-- How many farmers a pooler ($1) has that have not left.
SELECT count(*)::int AS count FROM registry.farmers AS f WHERE f.pooler_id = $1 AND f.status <> 'departed';

-- name: depart_farmer :one
-- A farmer ($1) has left ($2, from $3); the database forgets what is personal of it.
UPDATE registry.farmers
SET status = $2::registry.farmer_status
WHERE id = $1 AND status = ANY($3::registry.farmer_status[])
RETURNING pooler_id;

-- name: uncount_farmer :exec
UPDATE registry.poolers SET current_farmers = current_farmers - 1 WHERE id = $1;

-- name: leave_wishes :many
-- Signed wishes of farmers to leave that were not carried out, the newest of each, $1 at most: of those that may leave
-- now. A suspended farmer's waits until it is resumed.
SELECT f.id AS farmer_id, max(w.number) AS number
FROM wallet.leave_wishes AS w
INNER JOIN registry.farmers AS f ON f.id = w.farmer_id
LEFT JOIN registry.leavings AS l ON l.owner_id = f.id
WHERE f.status IN ('active', 'leaving') AND w.number > coalesce(l.wish, 0)
GROUP BY f.id
ORDER BY f.id
LIMIT $1;
