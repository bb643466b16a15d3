-- What the pool's ledger is asked for. A look at all of it reads ranges of journals, so that no statement
-- grows with the ledger; a farmer's page reads so many entries of its own accounts, whatever the history.

-- name: ledger_state :one
-- The newest journal, and the database's time.
SELECT now() AS now, coalesce(max(j.id), 0) AS last FROM harvest.journals AS j;

-- name: read_in_bulk :exec
-- Whole ranges are read from here on: joined by hash, whatever the statistics say of a table that is new.
SET LOCAL enable_nestloop = off;

-- name: ledger_accounts :many
SELECT a.id AS account_id, a.owner_id, a.role::text AS role, a.asset::text AS asset,
    coalesce(b.amount, 0) AS amount, coalesce(b.entries, 0) AS entries
FROM harvest.accounts AS a
LEFT JOIN harvest.account_balances AS b ON b.account_id = a.id
ORDER BY a.id;

-- name: ledger_sums :many
-- What the entries of journals after $1, up to $2, add up to by account.
SELECT e.account_id, sum(e.amount) AS amount, count(*) AS entries
FROM harvest.entries AS e
WHERE e.journal_id > $1 AND e.journal_id <= $2
GROUP BY e.account_id;

-- name: unbalanced_journals :many
-- Those of the same journals whose entries do not add up to nothing in each asset.
SELECT e.journal_id, coalesce(a.asset::text, '') AS asset, sum(e.amount) AS amount
FROM harvest.entries AS e
LEFT JOIN harvest.accounts AS a ON a.id = e.account_id
WHERE e.journal_id > $1 AND e.journal_id <= $2
GROUP BY e.journal_id, a.asset
HAVING sum(e.amount) <> 0
ORDER BY e.journal_id;

-- name: booked_earnings :many
-- What the same journals gave each farmer of rewards.
SELECT j.farmer_id, sum(-e.amount) AS amount
FROM harvest.journals AS j
INNER JOIN harvest.entries AS e ON e.journal_id = j.id
INNER JOIN harvest.accounts AS a ON a.id = e.account_id
WHERE j.id > $1 AND j.id <= $2 AND j.kind IN ('harvest', 'denial')
    AND a.role IN ('chain:mint', 'pooler:fee', 'operator:fee', 'miner:earned')
GROUP BY j.farmer_id;

-- name: booked_holdings :many
-- What the same journals gave to and took from what each farmer's account holds.
SELECT j.farmer_id, sum(e.amount) AS amount
FROM harvest.journals AS j
INNER JOIN harvest.entries AS e ON e.journal_id = j.id
INNER JOIN harvest.accounts AS a ON a.id = e.account_id
WHERE j.id > $1 AND j.id <= $2 AND j.farmer_id IS NOT NULL AND a.asset = 'kale'
    AND harvest.is_held(a.role)
GROUP BY j.farmer_id;

-- name: kept_holdings :many
SELECT h.farmer_id, h.amount FROM harvest.holdings AS h;

-- name: unexplained :many
SELECT u.farmer_id, u.amount, u.since FROM harvest.unexplained AS u ORDER BY u.farmer_id;

-- name: settled_journal :one
-- The newest journal before which no transaction can still make one: it was booked an hour ago.
SELECT coalesce(max(j.id), 0) AS journal_id FROM (
    SELECT j.id FROM harvest.journals AS j
    WHERE j.booked_at < now() - interval '1 hour'
    ORDER BY j.id DESC
    LIMIT 1
) AS j;

-- name: ledger_mark :one
SELECT m.journal_id, m.journals, m.block_index, m.accounts, m.amounts, m.entries, m.earners, m.earned, m.holders, m.held
FROM harvest.ledger_marks AS m;

-- name: save_ledger_mark :exec
INSERT INTO harvest.ledger_marks AS m (
    journal_id, journals, block_index, accounts, amounts, entries, earners, earned, holders, held
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (singleton) DO UPDATE SET
    journal_id = excluded.journal_id, journals = excluded.journals,
    block_index = excluded.block_index, accounts = excluded.accounts,
    amounts = excluded.amounts, entries = excluded.entries, earners = excluded.earners,
    earned = excluded.earned, holders = excluded.holders, held = excluded.held,
    proven_at = excluded.proven_at;

-- name: kept_earnings :many
SELECT b.farmer_id, b.current_balance FROM harvest.balances AS b;

-- name: count_journals :one
SELECT count(*) AS journals FROM harvest.journals AS j WHERE j.id > $1 AND j.id <= $2;

-- name: farmer_accounts :many
SELECT a.id AS account_id, a.owner_id, a.role::text AS role, a.asset::text AS asset, b.amount, b.entries
FROM harvest.accounts AS a
INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
WHERE a.owner_id = $1
ORDER BY a.role;

-- name: farmer_journals :many
-- The newest journals of a farmer ($1) before one ($2; none: all), $3 at most, with all of their entries.
WITH named AS (
    SELECT DISTINCT n.journal_id
    FROM harvest.accounts AS a
    CROSS JOIN LATERAL (
        SELECT e.journal_id FROM harvest.entries AS e
        WHERE e.account_id = a.id AND e.journal_id < coalesce($2::bigint, 9223372036854775807)
        ORDER BY e.journal_id DESC
        LIMIT $3
    ) AS n
    WHERE a.owner_id = $1
    ORDER BY n.journal_id DESC
    LIMIT $3
)
SELECT j.id AS journal_id, j.kind::text AS kind, j.source_key, j.block_index, j.ledger,
    j.transaction_hash, j.happened_at, a.owner_id, a.role::text AS role, a.asset::text AS asset, e.amount
FROM named AS n
INNER JOIN harvest.journals AS j ON j.id = n.journal_id
INNER JOIN harvest.entries AS e ON e.journal_id = j.id
INNER JOIN harvest.accounts AS a ON a.id = e.account_id
ORDER BY j.id DESC, a.asset, a.role;

-- name: bookkeeping :one
SELECT b.read_at, b.read_id, b.lost_before FROM harvest.bookkeeping AS b;

-- name: lock_bookkeeping :one
-- One booking of movements at a time: what was booked before is known.
SELECT b.singleton FROM harvest.bookkeeping AS b FOR NO KEY UPDATE;

-- name: book_transfers :one
SELECT harvest.book_transfers(
    $1::text[]::harvest.journal_kind[], $2, $3, $4, $5, $6, $7, $8, $9
) AS booked;

-- name: book_payments :one
SELECT harvest.book_payments(
    $1::text[]::harvest.journal_kind[], $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
) AS booked;

-- name: book_denials :one
SELECT harvest.book_denials($1) AS booked;

-- name: book_losses :one
SELECT harvest.book_losses($1) AS booked;

-- name: book_deposits :one
SELECT harvest.book_deposits($1, $2, $3, $4, $5) AS booked;

-- name: short_holdings :one
-- Farmers whose accounts hold less than the ledger says.
SELECT count(*)::int AS farmers FROM harvest.unexplained AS u WHERE u.amount < 0;

-- name: advance_bookkeeping :exec
-- Remembers the last of these movements ($1, $2) that is so old ($3, seconds) that none before it can still come.
UPDATE harvest.bookkeeping AS b
SET read_at = n.read_at, read_id = n.read_id
FROM (
    SELECT m.read_at, m.read_id
    FROM unnest($1::timestamptz[], $2::uuid[]) AS m (read_at, read_id)
    WHERE m.read_at < now() - make_interval(secs => $3)
    ORDER BY m.read_at DESC, m.read_id DESC
    LIMIT 1
) AS n
WHERE (b.read_at, b.read_id) < (n.read_at, n.read_id);
