-- What statements are made of: days that are closed, leaves, roots, and lines. A page of lines reads so many entries
-- of the owner's own accounts, whatever the history.

-- name: closing_state :one
-- The day that runs (days since 1970), the seconds since it began, the newest day that is closed, and whether
-- anything was booked before the running day.
SELECT
    (floor(extract(epoch FROM now()))::bigint / 86400)::int AS today,
    (floor(extract(epoch FROM now()))::bigint % 86400)::int AS seconds,
    (SELECT max(c.day) FROM harvest.closings AS c) AS closed,
    (
        SELECT j.booked_at < date_trunc('day', now(), 'UTC')
        FROM harvest.journals AS j
        ORDER BY j.id
        LIMIT 1
    ) AS has_past;

-- name: close_day :one
SELECT harvest.close_day($1) AS is_closed;

-- name: closings_without_root :many
SELECT c.day, c.last_journal, c.closed_at
FROM harvest.closings AS c
WHERE c.day > coalesce((SELECT max(r.day) FROM harvest.roots AS r), -1)
ORDER BY c.day;

-- name: all_covered_since :one
-- The first closing whose leaves of poolers and miners have histories.
SELECT min(c.day) AS day FROM harvest.closings AS c WHERE c.covers_all;

-- name: open_leaves :many
-- Owners, $2 at most, whose histories are not worked out at a day ($1), with those of the day before that was
-- closed, and the newest journal that this covers.
SELECT
    l.owner_id, p.history AS previous, coalesce(c.last_journal, 0) AS after_journal,
    EXISTS (
        SELECT 1 FROM harvest.accounts AS a WHERE a.owner_id = l.owner_id AND a.role::text LIKE 'farmer:%'
    ) AS is_farmer
FROM harvest.leaves AS l
LEFT JOIN LATERAL (
    SELECT b.day, b.last_journal FROM harvest.closings AS b
    WHERE b.day < $1
    ORDER BY b.day DESC
    LIMIT 1
) AS c ON true
LEFT JOIN harvest.leaves AS p ON p.day = c.day AND p.owner_id = l.owner_id
WHERE l.day = $1 AND l.history IS NULL
ORDER BY l.owner_id
LIMIT $2;

-- name: fill_history :exec
UPDATE harvest.leaves SET history = $3 WHERE day = $1 AND owner_id = $2 AND history IS NULL;

-- name: leaves :many
SELECT l.owner_id, l.address, l.roles, l.amounts, l.salt, l.history
FROM harvest.leaves AS l
WHERE l.day = $1;

-- name: leaf :one
SELECT l.owner_id, l.address, l.roles, l.amounts, l.salt, l.history
FROM harvest.leaves AS l
WHERE l.day = $1 AND l.owner_id = $2;

-- name: insert_root :exec
INSERT INTO harvest.roots (day, leaves, refused, tree_hash, total, account, previous, record)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: note_published :exec
UPDATE harvest.roots SET transaction_hash = $2, ledger = $3
WHERE day = $1 AND ledger = 0;

-- name: roots :many
-- The roots from day $1 to day $2, $3 at most (none: all), newest first.
SELECT
    r.day, c.closed_at, c.last_journal, r.leaves, r.refused, r.tree_hash, r.total, r.account, r.previous,
    r.transaction_hash, r.ledger
FROM harvest.roots AS r
INNER JOIN harvest.closings AS c ON r.day = c.day
WHERE r.day >= $1 AND r.day <= $2
ORDER BY r.day DESC
LIMIT $3;

-- name: statement_lines :many
-- What was booked for a farmer ($1) after one journal ($2), up to another ($3), oldest first: $4 journals at most.
WITH named AS (
    (
        SELECT n.journal_id
        FROM harvest.accounts AS a
        CROSS JOIN LATERAL (
            SELECT e.journal_id FROM harvest.entries AS e
            WHERE e.account_id = a.id AND e.journal_id > $2 AND e.journal_id <= $3
            ORDER BY e.journal_id
            LIMIT $4
        ) AS n
        WHERE a.owner_id = $1 AND a.asset = 'kale'
    )
    UNION
    (
        SELECT j.id
        FROM harvest.journals AS j
        WHERE j.farmer_id = $1 AND j.id > $2 AND j.id <= $3 AND {kinds_beside}
        ORDER BY j.id
        LIMIT $4
    )
    ORDER BY 1
    LIMIT $4
)
SELECT j.id AS number, j.kind::text AS kind, j.source_key, j.block_index, j.ledger, j.transaction_hash,
    j.happened_at, a.role::text AS role, sum(e.amount) AS amount
FROM named AS n
INNER JOIN harvest.journals AS j ON j.id = n.journal_id
INNER JOIN harvest.entries AS e ON e.journal_id = j.id
INNER JOIN harvest.accounts AS a ON a.id = e.account_id
WHERE a.asset = 'kale'
GROUP BY j.id, a.role
HAVING sum(e.amount) <> 0
ORDER BY j.id, a.role::text COLLATE "C";

-- name: statement_totals :many
-- The same lines by kind: how many they are (in the row without a role), and what they come to by role.
WITH named AS (
    SELECT e.journal_id
    FROM harvest.accounts AS a
    INNER JOIN harvest.entries AS e ON e.account_id = a.id
    WHERE a.owner_id = $1 AND a.asset = 'kale' AND e.journal_id > $2 AND e.journal_id <= $3
    UNION
    SELECT j.id
    FROM harvest.journals AS j
    WHERE j.farmer_id = $1 AND j.id > $2 AND j.id <= $3 AND {kinds_beside}
)
SELECT j.kind::text AS kind, a.role::text AS role, sum(e.amount) AS amount, count(DISTINCT j.id) AS lines
FROM named AS n
INNER JOIN harvest.journals AS j ON j.id = n.journal_id
INNER JOIN harvest.entries AS e ON e.journal_id = j.id
INNER JOIN harvest.accounts AS a ON a.id = e.account_id
WHERE a.asset = 'kale'
GROUP BY GROUPING SETS ((j.kind, a.role), (j.kind))
ORDER BY j.kind::text COLLATE "C", a.role::text COLLATE "C" NULLS FIRST;

-- name: fee_lines :many
-- What was booked for a pooler or a miner ($1) after one journal ($2), up to another ($3), oldest first: $4 journals
-- at most.
WITH {own_accounts},
named AS (
    SELECT DISTINCT n.journal_id
    FROM own AS o
    CROSS JOIN LATERAL (
        SELECT e.journal_id FROM harvest.entries AS e
        WHERE e.account_id = o.id AND e.journal_id > $2 AND e.journal_id <= $3
        ORDER BY e.journal_id
        LIMIT $4
    ) AS n
    ORDER BY n.journal_id
    LIMIT $4
),
{own_amounts}
SELECT j.id AS number, j.kind::text AS kind, j.source_key, j.block_index, j.ledger, j.transaction_hash,
    j.happened_at, t.role, t.amount
FROM told AS t
INNER JOIN harvest.journals AS j ON j.id = t.journal_id
ORDER BY j.id, t.role COLLATE "C";

-- name: fee_totals :many
-- The same lines by kind: how many they are (in the row without a role), and what they come to by role.
WITH {own_accounts},
named AS (
    SELECT DISTINCT e.journal_id
    FROM own AS o
    INNER JOIN harvest.entries AS e ON e.account_id = o.id
    WHERE e.journal_id > $2 AND e.journal_id <= $3
),
{own_amounts}
SELECT j.kind::text AS kind, t.role, sum(t.amount) AS amount, count(DISTINCT j.id) AS lines
FROM told AS t
INNER JOIN harvest.journals AS j ON j.id = t.journal_id
GROUP BY GROUPING SETS ((j.kind, t.role), (j.kind))
ORDER BY j.kind::text COLLATE "C", t.role COLLATE "C" NULLS FIRST;

-- name: own_accounts :part
own AS (
    SELECT a.id, a.role::text AS role FROM harvest.accounts AS a
    WHERE a.owner_id = $1 AND a.asset = 'kale'
)

-- name: own_amounts :part
-- What journals gave the owner's own accounts, what left the pool of that, and what all others gave or got: a line
-- says nothing of what each of them has.
shown AS (
    SELECT e.journal_id, o.role, e.amount
    FROM named AS n
    INNER JOIN harvest.entries AS e ON e.journal_id = n.journal_id
    INNER JOIN own AS o ON o.id = e.account_id
    UNION ALL
    SELECT e.journal_id, a.role::text, e.amount
    FROM named AS n
    INNER JOIN harvest.journals AS j ON j.id = n.journal_id AND j.kind = 'pool_payment'
    INNER JOIN harvest.accounts AS a
        ON a.owner_id = '00000000-0000-0000-0000-000000000000' AND a.role = 'chain:out' AND a.asset = 'kale'
    INNER JOIN harvest.entries AS e ON e.journal_id = j.id AND e.account_id = a.id
),
told AS (
    SELECT s.journal_id, s.role, s.amount FROM shown AS s
    UNION ALL
    SELECT s.journal_id, 'others', -sum(s.amount) FROM shown AS s
    GROUP BY s.journal_id
    HAVING sum(s.amount) <> 0
)

-- name: kinds_beside :part
-- Kinds that move none of a farmer's accounts (idx_journals_beside).
j.kind NOT IN (
    'harvest', 'plant', 'loss', 'withdrawal', 'withdrawal_return', 'payout', 'late_payout', 'deposit',
    'deposit_return', 'denial', 'cost'
)
