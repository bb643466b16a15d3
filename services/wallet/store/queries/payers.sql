-- name: waiting_payments :many
-- Payments of these kinds ($1) that are due, by kind and the payer that they belong to (none: nobody's
-- yet).
SELECT o.kind, p.payer_id, count(*)::int AS payments
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
LEFT JOIN wallet.payments AS p ON o.id = p.operation_id
WHERE o.state = 'queued'
  AND o.kind = ANY($1::wallet.operation_kind[])
  AND NOT wallet.is_paused(w.id, w.pooler_id)
  AND wallet.is_due(o.due_at)
  AND wallet.is_due_at(o.due_ledger, $2)
GROUP BY o.kind, p.payer_id;

-- name: free_payers :many
-- Payers that may be given payments, the one with the fewest first, with their rows' authenticators.
SELECT w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac
FROM wallet.free_payers() AS f
INNER JOIN wallet.wallets AS w ON f.id = w.id
ORDER BY f.place;

-- name: unassigned_payments :many
-- Payments of one kind ($1) that are nobody's.
SELECT o.id
FROM wallet.operations AS o
WHERE o.state = 'queued'
  AND o.kind = $1::wallet.operation_kind
  AND NOT EXISTS (SELECT 1 FROM wallet.payments AS p WHERE p.operation_id = o.id)
ORDER BY o.id;

-- name: insert_payments :exec
-- Payments ($1) belong to payers ($2), with authenticators ($3): the first to say so decides, for ever.
INSERT INTO wallet.payments (operation_id, payer_id, mac)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[])
ON CONFLICT DO NOTHING;

-- name: lease_payers :many
-- These payers ($1; null: all) for $2 seconds, as far as they are on the chain and have nothing in flight.
WITH free AS (
    SELECT w.id
    FROM wallet.wallets AS w
    WHERE ($1::uuid[] IS NULL OR w.id = ANY($1))
      AND w.kind = 'payer'
      AND w.status = 'ready'
      AND wallet.is_due(w.leased_until)
      AND NOT EXISTS (
          SELECT 1 FROM wallet.transactions AS t
          WHERE t.source = w.address AND t.state IN ('signed', 'sent')
      )
    ORDER BY w.id
    FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE wallet.wallets AS w
SET leased_until = now() + make_interval(secs => $2)
FROM free AS f
WHERE w.id = f.id
RETURNING w.id, w.kind, w.farmer_id, w.pooler_id, w.address, w.stake_bps, w.mac, w.leased_until, w.stopped;

-- name: claim_payments :many
-- Takes up to $3 payments of one kind ($1) of a payer ($2) for $4 seconds: the oldest of each pooler,
-- then the second oldest of each. A pooler is suspect of which ledgers have refused payments within the
-- hour, or that has payments which go alone since then: nothing of it is taken up while another payment
-- of it is in flight, so that it keeps one payer busy at most.
WITH suspect AS (
    SELECT w.pooler_id
    FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.kind IN ('withdraw', 'payout', 'pool_payment') AND o.state = 'failed' AND o.attempts > 0
      AND o.settled_at > now() - interval '1 hour'
    UNION
    SELECT w.pooler_id
    FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.kind IN ('withdraw', 'payout', 'pool_payment')
      AND o.state = 'queued' AND o.attempts > 0 AND o.pack_limit = 1
),
held AS (
    SELECT w.pooler_id
    FROM wallet.operations AS o
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.kind IN ('withdraw', 'payout', 'pool_payment') AND o.state IN ('signed', 'sent')
      AND w.pooler_id IN (SELECT s.pooler_id FROM suspect AS s)
),
due AS MATERIALIZED (
    SELECT
        o.id,
        p.mac AS payment_mac,
        w.pooler_id IN (SELECT s.pooler_id FROM suspect AS s) AS is_suspect,
        row_number() OVER (PARTITION BY w.pooler_id ORDER BY o.id) AS turn
    FROM wallet.operations AS o
    INNER JOIN wallet.payments AS p ON o.id = p.operation_id
    INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
    WHERE o.state = 'queued'
      AND o.kind = $1::wallet.operation_kind
      AND p.payer_id = $2
      AND NOT wallet.is_paused(w.id, w.pooler_id)
      AND wallet.is_due(o.due_at)
      AND wallet.is_due_at(o.due_ledger, $5)
      AND (w.pooler_id IS NULL OR w.pooler_id NOT IN (SELECT h.pooler_id FROM held AS h))
),
locked AS (
    SELECT o.id, d.is_suspect, d.payment_mac
    FROM wallet.operations AS o
    INNER JOIN due AS d ON o.id = d.id
    WHERE o.state = 'queued' AND wallet.is_due(o.due_at)
    ORDER BY d.turn, o.id
    LIMIT $3
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE wallet.operations AS o
SET due_at = now() + make_interval(secs => $4)
FROM locked AS l, wallet.wallets AS w
WHERE o.id = l.id AND w.id = o.wallet_id
RETURNING o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash,
    o.attempts, o.pack_limit, o.mac, w.kind AS wallet_kind, w.farmer_id, w.pooler_id,
    w.stake_bps, w.mac AS wallet_mac, l.payment_mac, coalesce(l.is_suspect, false) AS is_suspect;

-- name: shown_targets_of :many
-- The numbers that payers ($1, addresses) were shown to stand at, with their authenticators.
SELECT w.address, s.target, s.mac
FROM wallet.shown_targets AS s
INNER JOIN wallet.wallets AS w ON s.payer_id = w.id
WHERE w.address = ANY($1::text[])
ORDER BY s.payer_id, s.target;

-- name: payer_records :many
-- What the records say of payers ($1, addresses): the target of the last payments that were made or
-- shown to be ($2; none: null), the greatest number that failed since then, the greatest target and
-- whose payments it is for.
SELECT
    a.address,
    last_paid.target AS paid,
    since.failed,
    newest.bump_to AS highest,
    coalesce(newest.members, '{}') AS members
FROM unnest($1::text[], $2::bigint[]) AS a (address, shown)
LEFT JOIN LATERAL (
    SELECT greatest(
        (
            SELECT t.bump_to FROM wallet.transactions AS t
            WHERE t.source = a.address AND t.bump_to IS NOT NULL AND t.state = 'succeeded'
            ORDER BY t.bump_to DESC
            LIMIT 1
        ),
        a.shown
    ) AS target
) AS last_paid ON true
LEFT JOIN LATERAL (
    SELECT max(t.sequence) AS failed FROM wallet.transactions AS t
    WHERE t.source = a.address
      AND t.bump_to > coalesce(last_paid.target, 0)
      AND t.state = 'failed'
) AS since ON true
LEFT JOIN LATERAL (
    SELECT
        t.bump_to,
        array(
            SELECT c.operation_id FROM wallet.transaction_operations AS c
            WHERE c.transaction_id = t.id
        ) AS members
    FROM wallet.transactions AS t
    WHERE t.source = a.address AND t.bump_to IS NOT NULL
    ORDER BY t.bump_to DESC
    LIMIT 1
) AS newest ON true;

-- name: payments_made :many
-- The payments of a payer ($1, address) that have been made when its account stands at a target ($2),
-- with an envelope that made them.
SELECT DISTINCT ON (o.id)
    o.id, o.state, t.id AS transaction_id, t.hash
FROM wallet.transactions AS t
INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
INNER JOIN wallet.operations AS o ON c.operation_id = o.id
WHERE t.source = $1 AND t.bump_to = $2
ORDER BY o.id, t.id DESC;

-- name: insert_shown_target :exec
-- With its authenticator ($3), which one that somebody else wrote before does not have.
INSERT INTO wallet.shown_targets AS s (payer_id, target, mac)
SELECT w.id, $2, $3 FROM wallet.wallets AS w WHERE w.address = $1
ON CONFLICT (payer_id, target) DO UPDATE SET mac = excluded.mac
WHERE s.mac IS DISTINCT FROM excluded.mac;

-- name: correct_payments :many
-- Payments ($1) that were given up ($2) and were made, by these transactions ($3), in a ledger ($4):
-- to the state $5, with a message ($6) and an authenticator of the end ($7) each.
UPDATE wallet.operations AS o
SET state = $5::wallet.operation_state,
    transaction_id = n.transaction_id,
    ledger = $4,
    reason = NULL,
    error_message = n.message,
    settled_at = now(),
    end_mac = n.end_mac
FROM unnest($1::uuid[], $3::uuid[], $6::text[], $7::bytea[])
AS n (id, transaction_id, message, end_mac)
WHERE o.id = n.id AND o.state = ANY($2::wallet.operation_state[])
RETURNING o.id, o.kind, o.wallet_id, o.block_index, o.state, o.reason, o.ledger, o.fee_charged,
    o.transaction_id, o.unproven;

-- name: stop_payer :exec
-- Why a payer may not sign ($2); empty: it may.
UPDATE wallet.wallets SET stopped = $2 WHERE id = $1 AND stopped <> $2;

-- name: payer_totals :one
SELECT
    count(*)::int AS made,
    (count(*) FILTER (WHERE w.status = 'ready'))::int AS ready,
    (count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM wallet.transactions AS t
        WHERE t.source = w.address AND t.state IN ('signed', 'sent')
    )))::int AS busy,
    (count(*) FILTER (WHERE w.stopped <> ''))::int AS stopped
FROM wallet.wallets AS w
WHERE w.kind = 'payer';

-- name: payments_of_payer :many
-- Payments of a payer ($1) that wait to be signed, with what is to be paid by whom to whom, in this order: a
-- payout makes up to three.
SELECT
    o.id,
    CASE WHEN o.kind = 'top_up' THEN t.address ELSE w.address END AS source,
    n.destination,
    n.asset,
    n.amount
FROM wallet.operations AS o
INNER JOIN wallet.payments AS p ON o.id = p.operation_id
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
INNER JOIN wallet.wallets AS t ON t.kind = 'treasury'
LEFT JOIN wallet.withdrawals AS d ON o.id = d.operation_id
LEFT JOIN wallet.payouts AS f ON o.id = f.operation_id
LEFT JOIN wallet.pool_payments AS m ON o.id = m.operation_id
CROSS JOIN LATERAL (
    VALUES
        (1, d.destination, d.asset, d.amount),
        (2, f.destination, 'kale', f.amount),
        (3, f.pooler_account, 'kale', f.pooler + f.miners),
        (4, f.operator_account, 'kale', f.operator),
        (5, m.destination, 'kale', m.amount),
        (6, CASE WHEN o.kind = 'top_up' THEN w.address END, 'xlm', o.amount)
) AS n (place, destination, asset, amount)
WHERE o.state = 'queued' AND p.payer_id = $1 AND n.destination <> '' AND n.amount > 0
ORDER BY o.id, n.place
FOR UPDATE OF o;

-- name: insert_found_transaction :one
-- A payer's transaction that a ledger has and the records have lost, as it ended.
INSERT INTO wallet.transactions (
    id, state, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger,
    ledger, fee_charged, bump_to, closed_at, mac
)
VALUES (
    $1, $2::wallet.transaction_state, $3, $4, $5, $6, $7, $8, $9, $10, $10, $9, $11, now(), $12
)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: insert_found_payments :exec
-- The payments ($2) that a transaction ($1) carried, in their order.
INSERT INTO wallet.transaction_operations (transaction_id, position, operation_id)
SELECT $1, n.position, n.operation_id
FROM unnest($2::uuid[]) WITH ORDINALITY AS n (operation_id, position);

-- name: is_number_known :one
-- Whether an envelope of a payer ($1, address) brought its account to a number ($2), if a ledger took it.
SELECT EXISTS (
    SELECT 1 FROM wallet.transactions AS t
    WHERE t.source = $1 AND t.bump_to IS NOT NULL AND $2 IN (t.sequence, t.bump_to)
) AS is_known;

-- name: unmade_payments :many
-- Of the payments of a payer ($1, address) that are recorded as made, or by shown targets ($4), and were
-- not, as its account stands at $2, those that come first, and how often they failed of late.
-- Without those that another envelope may have made, as its target is a number from which envelopes lead
-- here. The target is the one that they had, or above the numbers of envelopes that were signed after
-- it, which must not become valid ($3: so many numbers are left for that).
WITH RECURSIVE mine AS (
    SELECT t.id, t.sequence, t.bump_to, t.state, t.created_at
    FROM wallet.transactions AS t
    WHERE t.source = $1 AND t.bump_to IS NOT NULL
),
believed AS (
    SELECT t.bump_to, t.id, c.operation_id, c.position
    FROM mine AS t
    INNER JOIN wallet.transaction_operations AS c ON t.id = c.transaction_id
    WHERE t.bump_to > $2
      AND (t.state = 'succeeded' OR t.bump_to = ANY($4::bigint[]))
),
carried AS (
    SELECT t.bump_to, x.operation_id
    FROM mine AS t
    INNER JOIN wallet.transaction_operations AS x ON t.id = x.transaction_id
    WHERE t.bump_to <= $2 AND x.operation_id IN (SELECT b.operation_id FROM believed AS b)
),
past (number) AS (
    SELECT $2::bigint
    UNION
    SELECT t.sequence - 1
    FROM past AS p
    INNER JOIN mine AS t ON p.number IN (t.bump_to, t.sequence)
    WHERE t.sequence > (SELECT min(c.bump_to) FROM carried AS c)
),
unmade AS (
    SELECT b.bump_to, b.id, b.operation_id, b.position
    FROM believed AS b
    WHERE NOT EXISTS (
        SELECT 1 FROM carried AS c
        INNER JOIN past AS p ON c.bump_to = p.number
        WHERE c.operation_id = b.operation_id
    )
)
SELECT
    greatest(t.bump_to, $2 + 2, (
        SELECT max(n.sequence) + 1 FROM mine AS n
        WHERE n.sequence > t.bump_to AND n.sequence < t.bump_to + $3 - 1
    )) AS bump_to,
    t.id AS transaction_id,
    o.id,
    (
        SELECT count(*)::int FROM mine AS f
        INNER JOIN wallet.transaction_operations AS x ON f.id = x.transaction_id
        WHERE x.operation_id = o.id AND f.state = 'failed'
          AND f.created_at > greatest(o.settled_at, now() - interval '1 hour')
    ) AS failures
FROM unmade AS t
INNER JOIN wallet.operations AS o ON t.operation_id = o.id
WHERE t.id = (SELECT u.id FROM unmade AS u ORDER BY u.bump_to, u.id LIMIT 1)
ORDER BY t.position;

-- name: payer_transaction :one
-- A payer's transaction ($1) with its authenticator and what that covers.
SELECT
    t.id, t.source, t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent, t.mac,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids
FROM wallet.transactions AS t
WHERE t.id = $1;

-- name: payment_orders :many
-- Operations ($1) and the wallets that they are for, with their authenticators.
SELECT o.id, o.kind, o.wallet_id, w.address, o.block_index, o.amount, o.nonce, o.hash, o.mac,
    w.kind AS wallet_kind, w.farmer_id, w.pooler_id, w.stake_bps, w.mac AS wallet_mac
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE o.id = ANY($1::uuid[]);

-- name: payer_pasts :many
-- How many transactions of payers ($1, addresses) are on record, and the sum of their targets.
SELECT source, count(*)::int AS count, sum(bump_to) AS total
FROM wallet.transactions
WHERE source = ANY($1::text[]) AND bump_to IS NOT NULL
GROUP BY source;

-- name: payer_past :many
-- All transactions on record of a payer ($1, address), with their authenticators and what these cover.
SELECT
    t.id, t.source, t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent, t.mac,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids
FROM wallet.transactions AS t
WHERE t.source = $1 AND t.bump_to IS NOT NULL
ORDER BY t.id;

-- name: payer_past_since :many
-- The transactions on record of a payer ($1, address) with ids from $2 on, with their authenticators and
-- what these cover; and whether each made its payments, as it succeeded or its payer went on from its target.
SELECT
    t.id, t.source, t.sequence, t.bump_to, t.lookup_hash, t.max_time, t.is_rent, t.mac, t.hash,
    array(
        SELECT c.operation_id FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
    ) AS operation_ids,
    t.state = 'succeeded' OR EXISTS (
        SELECT 1 FROM wallet.transactions AS n
        WHERE n.source = t.source AND n.bump_to IS NOT NULL AND n.sequence = t.bump_to + 1
    ) AS has_paid
FROM wallet.transactions AS t
WHERE t.source = $1 AND t.bump_to IS NOT NULL AND t.id >= $2
ORDER BY t.id;
