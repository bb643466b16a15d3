-- Payouts: who could be paid and what keeps it from that, runs and their items, the switch.

-- name: payout_now :one
-- The database's time: one clock decides what is due.
SELECT now() AS now;

-- name: take_payout_turn :exec
-- One decision at a time on who is paid.
UPDATE harvest.payout_turn SET taken_at = now();

-- name: payout_farmers :many
-- Farmers who have anything, in the order of their ids: one ($1), a pooler's ($2), after one ($3), so many at most
-- ($4; none: no limit).
SELECT
    f.id AS payee_id,
    f.pooler_id,
    l.available,
    l.staked,
    l.on_its_way,
    coalesce(c.pooler + c.miners + c.operator, 0) AS fees,
    c.since AS fees_since,
    g.payout_threshold AS threshold,
    g.payout_interval_seconds AS interval_seconds,
    -- Since there is anything: the first thing that was booked to it, when it was never paid.
    coalesce(h.paid_at, l.begun_at, f.created_at) AS since,
    h.swept_at,
    coalesce(h.fees_left, 0) AS fees_left,
    coalesce(h.sweep_failures, 0) AS sweep_failures,
    h.sweep_failed_at,
    coalesce(h.failures, 0) AS failures,
    h.failed_at,
    coalesce(h.reason, '') AS refusal,
    coalesce(h.message, '') AS message,
    o.run_id,
    coalesce(o.amount, 0) AS open_amount,
    f.status = 'suspended' AS farmer_suspended,
    f.status = 'departed' AS farmer_departed,
    f.status IN ('leaving', 'closing') AS is_leaving,
    NOT p.is_active AS pooler_suspended,
    coalesce(a.is_paused, false) AS signing_paused,
    t.amount AS left_today,
    t.begun_at AS left_since
FROM registry.farmers AS f
INNER JOIN registry.poolers AS p ON p.id = f.pooler_id
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(b.amount) FILTER (WHERE a.role = 'farmer:available'), 0) AS available,
        coalesce(sum(b.amount) FILTER (WHERE a.role = 'farmer:staked'), 0) AS staked,
        coalesce(sum(b.amount) FILTER (WHERE a.role = 'farmer:pending_out'), 0) AS on_its_way,
        min(({first_booked})) FILTER (WHERE a.role = 'farmer:available') AS begun_at
    FROM harvest.accounts AS a
    INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
    WHERE a.owner_id = f.id AND a.asset = 'kale'
) AS l
LEFT JOIN harvest.fee_claims AS c ON c.farmer_id = f.id
LEFT JOIN harvest.payees AS h ON h.payee_id = f.id
LEFT JOIN harvest.payout_items AS o ON o.payee_id = f.id AND o.state = 'open'
LEFT JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
LEFT JOIN LATERAL (
    SELECT n.payout_threshold, n.payout_interval_seconds
    FROM wallet.farmer_agreements AS n
    WHERE n.farmer_id = f.id AND n.effective_at <= now()
    ORDER BY n.number DESC
    LIMIT 1
) AS g ON true
LEFT JOIN LATERAL ({left_today}) AS t ON true
WHERE ($1::uuid IS NULL OR f.id = $1)
    AND ($2::uuid IS NULL OR f.pooler_id = $2)
    AND ($3::uuid IS NULL OR f.id > $3)
    AND (l.available > 0 OR l.staked > 0 OR l.on_its_way > 0 OR coalesce(c.pooler + c.miners + c.operator, 0) > 0)
ORDER BY f.id
LIMIT $4;

-- name: first_booked :part
-- An account that was never paid from has all that was ever booked to it: the first journal tells since when.
SELECT j.happened_at
FROM harvest.entries AS e
INNER JOIN harvest.journals AS j ON j.id = e.journal_id
WHERE e.account_id = a.id
ORDER BY e.journal_id
LIMIT 1

-- name: left_today :part
SELECT coalesce(sum(i.amount), 0) AS amount, min(i.created_at) AS begun_at
FROM harvest.payout_items AS i
WHERE i.payee_id = f.id AND i.state IN ('open', 'paid') AND i.created_at > now() - interval '24 hours'

-- name: payout_poolers :many
-- Poolers with what is theirs, what lies in their custodial accounts, and what of that is their miners', in the
-- order of their ids: one ($1), after one ($2), so many at most ($3; none: no limit).
SELECT
    p.id AS payee_id,
    l.fee,
    l.undivided,
    coalesce(n.pooler_in - n.pooler_out, 0) AS pooler_funds,
    coalesce(n.miners_in - n.miners_out, 0) AS miner_funds,
    p.public_key AS own_address,
    coalesce(m.amount, 0) AS divided,
    coalesce(c.pooler, 0) AS uncollected,
    u.since AS uncollected_since,
    coalesce(h.paid_at, l.begun_at, p.created_at) AS since,
    coalesce(h.failures, 0) AS failures,
    h.failed_at,
    coalesce(h.reason, '') AS refusal,
    coalesce(h.message, '') AS message,
    o.run_id,
    coalesce(o.amount, 0) AS open_amount,
    NOT p.is_active AS pooler_suspended,
    p.stage IN ('leaving', 'closing') AS is_leaving
FROM registry.poolers AS p
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(b.amount) FILTER (WHERE a.role = 'pooler:fee'), 0) AS fee,
        coalesce(sum(b.amount) FILTER (WHERE a.role = 'miner:earned'), 0) AS undivided,
        min(({first_booked})) FILTER (WHERE a.role = 'pooler:fee') AS begun_at
    FROM harvest.accounts AS a
    INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
    WHERE a.owner_id = p.id AND a.asset = 'kale'
) AS l
LEFT JOIN LATERAL (
    SELECT sum(b.amount) AS amount
    FROM harvest.miners AS n
    INNER JOIN harvest.accounts AS a ON a.owner_id = n.id AND a.role = 'miner:earned' AND a.asset = 'kale'
    INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
    WHERE n.pooler_id = p.id
) AS m ON true
LEFT JOIN LATERAL (
    SELECT sum(n.pooler) AS pooler FROM harvest.fee_claims AS n WHERE n.pooler_id = p.id
) AS c ON true
LEFT JOIN LATERAL ({uncollected_since}) AS u ON true
LEFT JOIN harvest.pooler_funds AS n ON n.pooler_id = p.id
LEFT JOIN harvest.payees AS h ON h.payee_id = p.id
LEFT JOIN harvest.payout_items AS o ON o.payee_id = p.id AND o.state = 'open'
WHERE ($1::uuid IS NULL OR p.id = $1)
    AND ($2::uuid IS NULL OR p.id > $2)
    AND (l.fee > 0 OR l.undivided > 0)
ORDER BY p.id
LIMIT $3;

-- name: payout_miners :many
-- Miners who have anything, in the order of their ids, with what they and those of their pooler before them have:
-- a pooler's ($1), after one ($2), so many at most ($3; none: no limit).
SELECT
    n.*,
    coalesce(f.miners_in - f.miners_out, 0) AS miner_funds,
    coalesce(h.paid_at, n.begun_at, now()) AS since,
    coalesce(h.failures, 0) AS failures,
    h.failed_at,
    coalesce(h.reason, '') AS refusal,
    coalesce(h.message, '') AS message,
    o.run_id,
    coalesce(o.amount, 0) AS open_amount,
    NOT p.is_active AS pooler_suspended,
    p.stage IN ('leaving', 'closing') AS is_leaving,
    c.since AS uncollected_since
FROM (
    SELECT
        m.id AS payee_id,
        m.pooler_id,
        m.address,
        b.amount AS earned,
        sum(b.amount) OVER (PARTITION BY m.pooler_id ORDER BY m.id) AS until,
        ({first_booked}) AS begun_at
    FROM harvest.miners AS m
    INNER JOIN harvest.accounts AS a ON a.owner_id = m.id AND a.role = 'miner:earned' AND a.asset = 'kale'
    INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
    WHERE ($1::uuid IS NULL OR m.pooler_id = $1) AND b.amount > 0
) AS n
INNER JOIN registry.poolers AS p ON p.id = n.pooler_id
LEFT JOIN harvest.pooler_funds AS f ON f.pooler_id = n.pooler_id
LEFT JOIN harvest.payees AS h ON h.payee_id = n.payee_id
LEFT JOIN harvest.payout_items AS o ON o.payee_id = n.payee_id AND o.state = 'open'
LEFT JOIN LATERAL ({uncollected_since}) AS c ON true
WHERE $2::uuid IS NULL OR n.payee_id > $2
ORDER BY n.payee_id
LIMIT $3;

-- name: uncollected_since :part
SELECT min(greatest(q.since, y.swept_at)) AS since
FROM harvest.fee_claims AS q
LEFT JOIN harvest.payees AS y ON y.payee_id = q.farmer_id
WHERE q.pooler_id = p.id AND q.pooler + q.miners > 0

-- name: operator_fees :one
-- What the operator has, and since when the oldest of it lies in a farmer's account.
SELECT
    coalesce((
        SELECT b.amount FROM harvest.accounts AS a
        INNER JOIN harvest.account_balances AS b ON b.account_id = a.id
        WHERE a.owner_id = '00000000-0000-0000-0000-000000000000' AND a.role = 'operator:fee' AND a.asset = 'kale'
    ), 0) AS fee,
    c.since
FROM (
    SELECT min(greatest(n.since, y.swept_at)) AS since
    FROM harvest.fee_claims AS n
    LEFT JOIN harvest.payees AS y ON y.payee_id = n.farmer_id
    WHERE n.operator > 0
) AS c;

-- name: left_within_day :one
-- What left the pool within 24 hours, or is on its way, and since when.
SELECT coalesce(sum(i.amount), 0)::bigint AS amount, min(i.created_at) AS begun_at
FROM harvest.payout_items AS i
WHERE i.state IN ('open', 'paid') AND i.created_at > now() - interval '24 hours' AND i.amount > 0;

-- name: insert_payout_run :exec
INSERT INTO harvest.payout_runs (id, request_id, digest, started_by, completed_at, by_name)
VALUES ($1, $2, $3, $4, CASE WHEN $5::boolean THEN now() END, $6);

-- name: insert_payout_items :exec
INSERT INTO harvest.payout_items (id, run_id, chunk, kind, payee_id, pooler_id, address, cause, amount)
SELECT n.id, $1, n.chunk, n.kind::harvest.payee_kind, n.payee_id, n.pooler_id, n.address,
    n.cause::harvest.payout_cause, n.amount
FROM unnest($2::uuid[], $3::int[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::bigint[])
AS n (id, chunk, kind, payee_id, pooler_id, address, cause, amount);

-- name: payout_run_of_request :one
SELECT r.id, r.digest FROM harvest.payout_runs AS r WHERE r.request_id = $1;

-- name: payout_run :one
SELECT
    r.id AS run_id,
    r.request_id,
    r.started_by,
    r.created_at AS started_at,
    r.completed_at,
    count(i.id)::int AS items,
    count(i.id) FILTER (WHERE i.state = 'paid')::int AS paid,
    count(i.id) FILTER (WHERE i.state IN ('failed', 'refused'))::int AS failed,
    harvest.fit(coalesce(sum(i.amount), 0)) AS total,
    harvest.fit(coalesce(sum(i.amount) FILTER (WHERE i.state = 'paid'), 0)) AS total_paid,
    harvest.fit(coalesce(sum(i.pooler_fee + i.operator_fee) FILTER (WHERE i.state = 'paid'), 0)) AS fees_moved
FROM harvest.payout_runs AS r
LEFT JOIN harvest.payout_items AS i ON i.run_id = r.id
WHERE r.id = $1
GROUP BY r.id;

-- name: open_payout_runs :many
SELECT r.id FROM harvest.payout_runs AS r WHERE r.completed_at IS NULL ORDER BY r.id;

-- name: lease_payout_run :exec
-- Lets one process ($2) ask wallet for a run ($1) for so many seconds ($3).
UPDATE harvest.payout_runs
SET leased_by = $2, leased_until = now() + make_interval(secs => $3)
WHERE id = $1 AND completed_at IS NULL
    AND (leased_by IS NULL OR leased_by = $2 OR leased_until < now());

-- name: open_payout_items :many
SELECT i.id AS item_id, i.chunk, i.kind::text AS kind, i.payee_id, i.pooler_id, i.address, i.amount,
    i.asked_at IS NOT NULL AS was_asked, r.by_name
FROM harvest.payout_items AS i
INNER JOIN harvest.payout_runs AS r ON i.run_id = r.id
WHERE i.run_id = $1 AND i.state = 'open'
ORDER BY i.chunk, i.id;

-- name: ask_for_payout_items :exec
-- Notes, before wallet is asked, that it will have been.
UPDATE harvest.payout_items AS i
SET asked_at = now()
WHERE i.run_id = $1 AND i.id = ANY($2::uuid[]) AND i.state = 'open' AND i.asked_at IS NULL;

-- name: settle_payout_items :many
-- What became of items of a run ($1), and what follows for who was to be paid; one that is settled stays so.
WITH told AS (
    SELECT * FROM unnest(
        $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::uuid[],
        $10::text[], $11::int[]
    ) AS n (
        item_id, state, address, pooler_fee, operator_fee, reason, message, operation_id, transaction_hash, ledger
    )
),
settled AS (
    UPDATE harvest.payout_items AS i
    SET state = n.state::harvest.payout_state,
        address = CASE n.address WHEN '' THEN i.address ELSE n.address END,
        pooler_fee = n.pooler_fee,
        operator_fee = n.operator_fee,
        reason = n.reason,
        message = n.message,
        operation_id = n.operation_id,
        transaction_hash = n.transaction_hash,
        ledger = n.ledger,
        settled_at = now()
    FROM told AS n
    WHERE i.run_id = $1 AND i.id = n.item_id AND i.state = 'open'
    RETURNING i.id, i.payee_id, i.state, i.amount, i.kind, i.reason, i.message
),
ended AS (
    SELECT s.*, s.state = 'paid' AS is_paid, s.amount = 0 AS is_sweep FROM settled AS s
),
noted AS (
    INSERT INTO harvest.payees AS p (
        payee_id, paid_at, swept_at, fees_left, failures, failed_at, sweep_failures, sweep_failed_at, reason, message
    )
    SELECT
        e.payee_id,
        CASE WHEN e.is_paid AND NOT e.is_sweep THEN now() END,
        CASE WHEN e.is_paid AND e.kind = 'farmer' THEN now() END,
        -- What has left is booked by now.
        CASE
            WHEN e.is_paid AND e.kind = 'farmer' THEN coalesce(greatest(c.pooler + c.miners + c.operator, 0), 0)
            ELSE 0
        END,
        (NOT e.is_paid AND NOT e.is_sweep)::int,
        CASE WHEN NOT e.is_paid AND NOT e.is_sweep THEN now() END,
        (NOT e.is_paid AND e.is_sweep)::int,
        CASE WHEN NOT e.is_paid AND e.is_sweep THEN now() END,
        CASE WHEN NOT e.is_paid AND NOT e.is_sweep THEN e.reason ELSE '' END,
        CASE WHEN NOT e.is_paid AND NOT e.is_sweep THEN e.message ELSE '' END
    FROM ended AS e
    LEFT JOIN harvest.fee_claims AS c ON c.farmer_id = e.payee_id
    -- In one order, so that two statements with the same payees never wait crosswise.
    ORDER BY e.payee_id
    ON CONFLICT (payee_id) DO UPDATE SET
        paid_at = coalesce(excluded.paid_at, p.paid_at),
        swept_at = coalesce(excluded.swept_at, p.swept_at),
        fees_left = CASE WHEN excluded.swept_at IS NULL THEN p.fees_left ELSE excluded.fees_left END,
        failures = CASE
            WHEN excluded.failures > 0 THEN p.failures + 1
            WHEN excluded.paid_at IS NOT NULL THEN 0
            ELSE p.failures
        END,
        failed_at = CASE
            WHEN excluded.paid_at IS NOT NULL THEN NULL
            ELSE coalesce(excluded.failed_at, p.failed_at)
        END,
        sweep_failures = CASE
            WHEN excluded.sweep_failures > 0 THEN p.sweep_failures + 1
            WHEN excluded.swept_at IS NOT NULL THEN 0
            ELSE p.sweep_failures
        END,
        sweep_failed_at = coalesce(excluded.sweep_failed_at, p.sweep_failed_at),
        reason = CASE
            WHEN excluded.failures > 0 OR excluded.paid_at IS NOT NULL THEN excluded.reason
            ELSE p.reason
        END,
        message = CASE
            WHEN excluded.failures > 0 OR excluded.paid_at IS NOT NULL THEN excluded.message
            ELSE p.message
        END
)
SELECT s.id FROM settled AS s;

-- name: complete_payout_run :exec
UPDATE harvest.payout_runs AS r
SET completed_at = now(), leased_by = NULL, leased_until = NULL
WHERE r.id = $1 AND r.completed_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM harvest.payout_items AS i WHERE i.run_id = r.id AND i.state = 'open');

-- name: list_payouts :many
-- A farmer's ($1), a pooler's with its farmers' and miners' ($2), or a run's ($3), before one ($4), $5 at most.
SELECT
    i.id AS item_id, i.run_id, i.kind::text AS kind, i.payee_id, i.pooler_id, i.address, i.cause::text AS cause,
    i.amount, i.pooler_fee, i.operator_fee, i.state::text AS state, i.reason, i.message, i.operation_id,
    i.transaction_hash, i.ledger, i.created_at, i.settled_at
FROM harvest.payout_items AS i
WHERE ($1::uuid IS NULL OR i.payee_id = $1)
    AND ($2::uuid IS NULL OR i.pooler_id = $2)
    AND ($3::uuid IS NULL OR i.run_id = $3)
    AND ($4::uuid IS NULL OR i.id < $4)
ORDER BY i.id DESC
LIMIT $5;

-- name: payout_switchings :many
SELECT s.is_off, s.switched_by, s.switched_at, s.reason
FROM harvest.payout_switchings AS s
ORDER BY s.number DESC
LIMIT $1;

-- name: switch_payouts :exec
-- Nothing, when it stands so already.
INSERT INTO harvest.payout_switchings (is_off, switched_by, reason)
SELECT $1, $2, $3
WHERE $1::boolean IS DISTINCT FROM coalesce(
    (SELECT s.is_off FROM harvest.payout_switchings AS s ORDER BY s.number DESC LIMIT 1), false
);

-- name: standings_of_payees :one
-- What limits these farmers ($1), or their poolers.
SELECT
    coalesce(bool_or(NOT p.is_active), false) AS pooler_suspended,
    coalesce(bool_or(f.status = 'suspended'), false) AS farmer_suspended,
    coalesce(bool_or(f.status IN ('leaving', 'closing')), false) AS farmer_leaving,
    coalesce(bool_or(f.status = 'departed'), false) AS farmer_departed,
    coalesce(bool_or(a.is_held_apart), false) AS signing_paused
FROM registry.farmers AS f
INNER JOIN registry.poolers AS p ON p.id = f.pooler_id
LEFT JOIN wallet.farmer_accounts AS a ON a.farmer_id = f.id
WHERE f.id = ANY($1::uuid []);
