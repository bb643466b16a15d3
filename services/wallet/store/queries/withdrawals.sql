-- name: lock_withdrawals :one
-- One withdrawal is recorded at a time, so that the sums that the limits are held against stand.
INSERT INTO wallet.turns (name) VALUES ('withdrawals')
ON CONFLICT (name) DO UPDATE SET taken_at = now()
RETURNING name;

-- name: lock_wallet :one
-- One change of a wallet's addresses at a time.
SELECT id FROM wallet.wallets WHERE id = $1 FOR NO KEY UPDATE;

-- name: payout_addresses :many
-- The newest addresses of a wallet, in one look, so that those are judged by which is decided; late are
-- those that were registered within $2 seconds. There may be more, which decide nothing.
WITH newest AS (
    SELECT * FROM wallet.payout_addresses WHERE wallet_id = $1 ORDER BY number DESC LIMIT 1000
),
{which_counts};

-- name: which_counts :part
-- The newest rows of a wallet, and which of them are shown: the newest that counts, if one does, then the newest of all if it is
-- still to come. One that was replaced before it counted never counts. What was registered is not in the future,
-- whenever this transaction began and whatever became of the clock: else no address would not stop at once.
named AS (
    SELECT
        *,
        effective_at <= greatest(now(), max(registered_at) OVER ()) AS is_effective,
        lead(registered_at) OVER (ORDER BY number) AS replaced_at
    FROM newest
),
ranked AS (
    SELECT number, row_number() OVER (PARTITION BY is_effective ORDER BY number DESC) AS place
    FROM named
    WHERE replaced_at IS NULL OR (is_effective AND effective_at <= replaced_at)
)
SELECT
    n.wallet_id,
    n.number,
    n.address,
    n.registered_at,
    n.effective_at,
    n.mac,
    n.is_effective,
    n.registered_at > now() - make_interval(secs => $2) AS is_late,
    coalesce(r.place = 1, false) AS is_shown
FROM named AS n
LEFT JOIN ranked AS r ON n.number = r.number
ORDER BY n.number

-- name: recorded_payout_address :one
-- The payout address that the audit log names last: the newest row has to have it. Whoever deletes
-- that row would have an older address count.
SELECT coalesce(nullif(split_part(details, ' ', 1), 'none'), '') AS address
FROM wallet.audit_log
WHERE action = 'set_payout_address' AND subject = format('wallet %s', $1::uuid)
ORDER BY number DESC
LIMIT 1;

-- name: next_payout_address :one
-- The number of the next address, and its moment: when the wallet's lock was got, and never before the
-- address that it replaces, as which was replaced while it cooled is told by these moments.
SELECT
    coalesce(max(n.number), 0) + 1 AS number,
    greatest(clock_timestamp(), max(n.registered_at)) AS registered_at
FROM (
    SELECT a.number, a.registered_at FROM wallet.payout_addresses AS a
    WHERE a.wallet_id = $1
    ORDER BY a.number DESC
    LIMIT 1
) AS n;

-- name: insert_payout_address :exec
INSERT INTO wallet.payout_addresses (
    wallet_id, number, address, registered_at, effective_at, mac
)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: withdrawal_of_request :one
SELECT operation_id, asset, amount FROM wallet.withdrawals
WHERE wallet_id = $1 AND request_id = $2;

-- name: withdrawn_lately :one
-- Stroops of an asset ($2) that have left within 24 hours or are still to leave, by withdrawals and payouts with
-- their fees, whenever they were asked for (a pause may hold them up for days): of a wallet ($1), and in all.
-- Whoever may write an operation's state may not therefore take it out of the sum: it ends at the moment when
-- that is written, and what was asked for within 24 hours counts whenever it ended. Without what is said to have
-- failed.
WITH counted AS (
    SELECT o.id
    FROM wallet.operations AS o
    WHERE o.kind IN ('withdraw', 'payout')
      AND o.state NOT IN ('failed', 'expired')
      AND (o.settled_at IS NULL OR o.settled_at > now() - interval '24 hours')
    UNION
    SELECT d.operation_id
    FROM wallet.withdrawals AS d
    INNER JOIN wallet.operations AS o ON d.operation_id = o.id
    WHERE d.requested_at > now() - interval '24 hours' AND o.state NOT IN ('failed', 'expired')
    UNION
    SELECT f.operation_id
    FROM wallet.payouts AS f
    INNER JOIN wallet.operations AS o ON f.operation_id = o.id
    WHERE f.requested_at > now() - interval '24 hours' AND o.state NOT IN ('failed', 'expired')
),
leaving AS (
    SELECT w.wallet_id, w.amount::numeric
    FROM wallet.withdrawals AS w
    INNER JOIN counted AS n ON w.operation_id = n.id
    WHERE w.asset = $2
    UNION ALL
    SELECT f.wallet_id, f.amount::numeric + f.pooler + f.operator + f.miners
    FROM wallet.payouts AS f
    INNER JOIN counted AS n ON f.operation_id = n.id
    WHERE $2 = 'kale'
)
SELECT
    least(coalesce(sum(l.amount), 0), 9223372036854775807)::bigint AS pool,
    least(
        coalesce(sum(l.amount) FILTER (WHERE l.wallet_id = $1), 0), 9223372036854775807
    )::bigint AS farmer
FROM leaving AS l;

-- name: kale_left_lately :many
-- The same for KALE, by wallet.
WITH counted AS (
    SELECT o.id
    FROM wallet.operations AS o
    WHERE o.kind IN ('withdraw', 'payout')
      AND o.state NOT IN ('failed', 'expired')
      AND (o.settled_at IS NULL OR o.settled_at > now() - interval '24 hours')
    UNION
    SELECT d.operation_id
    FROM wallet.withdrawals AS d
    INNER JOIN wallet.operations AS o ON d.operation_id = o.id
    WHERE d.requested_at > now() - interval '24 hours' AND o.state NOT IN ('failed', 'expired')
    UNION
    SELECT f.operation_id
    FROM wallet.payouts AS f
    INNER JOIN wallet.operations AS o ON f.operation_id = o.id
    WHERE f.requested_at > now() - interval '24 hours' AND o.state NOT IN ('failed', 'expired')
),
leaving AS (
    SELECT w.wallet_id, w.amount::numeric
    FROM wallet.withdrawals AS w
    INNER JOIN counted AS n ON w.operation_id = n.id
    WHERE w.asset = 'kale'
    UNION ALL
    SELECT f.wallet_id, f.amount::numeric + f.pooler + f.operator + f.miners
    FROM wallet.payouts AS f
    INNER JOIN counted AS n ON f.operation_id = n.id
)
SELECT l.wallet_id, least(sum(l.amount), 9223372036854775807)::bigint AS stroops
FROM leaving AS l
GROUP BY l.wallet_id;

-- name: withdrawals_said_to_fail :many
-- Withdrawals of an asset ($1), and payouts, that are said to have failed within 24 hours and that a transaction
-- carried, with the authenticators of their ends, and whether one that is as young as the id $2 did: by then
-- its payer's number has told whether it was paid.
SELECT
    o.id AS operation_id, o.wallet_id, o.kind, o.state, o.amount, o.stake_returned, o.gap, o.ledger,
    o.end_mac, d.amount AS withdrawn, c.is_young
FROM wallet.operations AS o
INNER JOIN LATERAL (
    SELECT w.amount FROM wallet.withdrawals AS w WHERE w.operation_id = o.id AND w.asset = $1
    UNION ALL
    SELECT least(f.amount::numeric + f.pooler + f.operator + f.miners, 9223372036854775807)::bigint
    FROM wallet.payouts AS f
    WHERE f.operation_id = o.id AND $1 = 'kale'
) AS d ON true
INNER JOIN LATERAL (
    SELECT bool_or(t.transaction_id >= $2) AS is_young
    FROM wallet.transaction_operations AS t
    WHERE t.operation_id = o.id
) AS c ON c.is_young IS NOT NULL
WHERE o.kind IN ('withdraw', 'payout')
  AND o.state IN ('failed', 'expired')
  AND o.settled_at > now() - interval '24 hours';

-- name: next_withdrawal :one
-- The number of a wallet's next withdrawal, and the moment of this transaction.
SELECT count(*)::int AS number, now() AS requested_at
FROM wallet.withdrawals WHERE wallet_id = $1;

-- name: withdrawal_counts :one
-- Withdrawals of a wallet ($1) that are not settled, and those within 24 hours that cost a transaction and
-- were given up: of the wallet, and of all of its pooler.
SELECT
    (
        SELECT count(*)::int FROM wallet.operations AS o
        WHERE o.kind = 'withdraw' AND o.wallet_id = $1
          AND o.state NOT IN ('failed', 'expired') AND o.settled_at IS NULL
    ) AS open,
    (count(*) FILTER (WHERE o.wallet_id = $1))::int AS failures,
    count(*)::int AS failures_of_pooler
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE o.kind = 'withdraw' AND o.state = 'failed' AND o.attempts > 0
  AND o.settled_at > now() - interval '24 hours'
  AND w.pooler_id = (SELECT m.pooler_id FROM wallet.wallets AS m WHERE m.id = $1);

-- name: payments_in_flight :many
-- Stroops of payments to others that are on their way: from whom, to whom, of which asset.
SELECT
    w.address AS source, n.destination, n.asset,
    least(sum(n.amount::numeric), 9223372036854775807)::bigint AS amount
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
LEFT JOIN wallet.withdrawals AS d ON o.id = d.operation_id
LEFT JOIN wallet.payouts AS f ON o.id = f.operation_id
LEFT JOIN wallet.pool_payments AS m ON o.id = m.operation_id
CROSS JOIN LATERAL (
    VALUES
        (d.destination, d.asset, d.amount),
        (f.destination, 'kale', f.amount),
        (f.pooler_account, 'kale', f.pooler + f.miners),
        (f.operator_account, 'kale', f.operator),
        (m.destination, 'kale', m.amount)
) AS n (destination, asset, amount)
WHERE o.kind IN ('withdraw', 'payout', 'pool_payment')
  AND o.state IN ('signed', 'sent')
  AND n.destination <> '' AND n.amount > 0
GROUP BY w.address, n.destination, n.asset;

-- name: insert_withdrawal :exec
-- With its operation, which bears the number of the wallet's withdrawal ($7) in place of a block, and with
-- the payer ($9; none: nobody's yet) that it belongs to for ever: whatever is restored from a backup has
-- all of it, or nothing. The authenticators of the three are $10, $11 and $12.
WITH made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, amount, mac)
    VALUES ($1, 'withdraw', $2, $7, $5, $10)
    RETURNING id
),
assigned AS (
    INSERT INTO wallet.payments (operation_id, payer_id, mac)
    SELECT id, $9, $12 FROM made WHERE $9::uuid IS NOT NULL
)
INSERT INTO wallet.withdrawals (
    operation_id, wallet_id, request_id, asset, amount, destination, requested_at, mac
)
SELECT id, $2, $3, $4, $5, $6, $8, $11 FROM made;

-- name: withdrawal_orders :many
-- With the payer that each belongs to, and the newest outside addresses of its wallet, newest first: what
-- is decided by them is told by the same look.
SELECT
    w.operation_id,
    w.wallet_id,
    w.request_id,
    w.destination,
    w.asset,
    w.amount,
    w.requested_at,
    w.mac,
    p.payer_id,
    p.mac AS payment_mac,
    wallet.payout_address(w.wallet_id, w.requested_at) IS DISTINCT FROM w.destination AS is_stopped,
    array(
        SELECT a FROM wallet.payout_addresses AS a
        WHERE a.wallet_id = w.wallet_id
        ORDER BY a.number DESC
        LIMIT 1000
    ) AS addresses
FROM wallet.withdrawals AS w
LEFT JOIN wallet.payments AS p ON w.operation_id = p.operation_id
WHERE w.operation_id = ANY($1::uuid[]);

-- name: withdrawal :one
SELECT w.request_id, w.asset, w.amount AS withdrawn, w.destination, o.*
FROM wallet.withdrawals AS w
INNER JOIN wallet.all_operations AS o ON w.operation_id = o.operation_id
WHERE w.operation_id = $1;

-- name: list_withdrawals :many
SELECT w.request_id, w.asset, w.amount AS withdrawn, w.destination, o.*
FROM wallet.withdrawals AS w
INNER JOIN wallet.all_operations AS o ON w.operation_id = o.operation_id
WHERE ($1::uuid IS NULL OR o.farmer_id = $1)
  AND ($2::uuid IS NULL OR w.operation_id < $2)
ORDER BY w.operation_id DESC
LIMIT $3;
