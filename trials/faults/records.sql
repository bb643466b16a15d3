-- What wallet recorded, read with all rights (trials/faults/records.py).

-- name: operations :many
SELECT
    o.address, o.state::text AS state, o.amount, o.gap, p.zeros, o.ledger, o.reason,
    o.stake_returned
FROM wallet.all_operations AS o
INNER JOIN wallet.operations AS p ON o.operation_id = p.id
WHERE o.kind::text = $1 AND o.block_index = $2
ORDER BY o.created_at, o.operation_id;

-- name: succeeded :many
-- All farming that is recorded as done.
SELECT
    o.kind::text AS kind, o.address, o.block_index, o.amount, o.gap, p.zeros, o.ledger,
    o.stake_returned
FROM wallet.all_operations AS o
INNER JOIN wallet.operations AS p ON o.operation_id = p.id
WHERE o.state = 'succeeded'
ORDER BY o.created_at, o.operation_id;

-- name: count_last_bound :one
-- Close time (unix seconds) after which no ledger takes anything that was signed so far.
SELECT coalesce(max(max_time), 0) AS bound FROM wallet.transactions;

-- name: count_open_operations :one
SELECT count(*) AS open FROM wallet.operations
WHERE state::text NOT IN ('succeeded', 'failed', 'expired');

-- name: count_open_transactions :one
SELECT count(*) AS open FROM wallet.transactions WHERE closed_at IS NULL;

-- name: count_ledgers :one
-- Ledgers that have taken anything of ours.
SELECT count(DISTINCT ledger) AS ledgers FROM wallet.transactions;

-- name: newest_notice :one
SELECT coalesce(max(number), 0) AS number FROM wallet.notices;

-- name: notices_after :many
-- What was noticed of pauses since a notice ($1), and what registry tells it by; none: it has not taken it.
SELECT r.id
FROM wallet.notices AS n
LEFT JOIN registry.notifications AS r ON n.number = r.wallet_notice
WHERE n.number > $1 AND n.kind IN ('signing.paused', 'signing.resumed')
ORDER BY n.number;

-- name: deliveries_of :many
-- What was, or is to be, sent to webhooks ($1).
SELECT
    d.webhook_id, n.id, d.state::text AS state, d.attempts,
    extract(EPOCH FROM d.ended_at)::float8 AS ended_at
FROM registry.deliveries AS d
INNER JOIN registry.notifications AS n ON d.notification_number = n.number
WHERE d.webhook_id = ANY($1::uuid[]);

-- name: payouts_of :many
-- What became of the payouts of runs ($1, the names of their requests).
SELECT i.run_id, i.kind::text AS kind, i.payee_id, i.state::text AS state, i.reason
FROM harvest.payout_items AS i
INNER JOIN harvest.payout_runs AS r ON i.run_id = r.id
WHERE r.request_id = ANY($1::text[])
ORDER BY i.id;

-- name: cut_connections :many
-- Ends every session of the services' roles that are like $1, whatever it is doing.
SELECT pg_terminate_backend(pid) AS ended
FROM pg_stat_activity
WHERE usename LIKE $1;

-- name: write_much :many
-- Needs more room on the disk, for as long as the session lasts.
CREATE TEMPORARY TABLE much AS SELECT generate_series(1, 100000) AS number;
