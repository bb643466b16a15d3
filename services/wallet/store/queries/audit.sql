-- The audit log held against the rows that its records tell of. A record and its rows are of one
-- transaction, and of one moment. Each query reads a page, and tells of each row whether its
-- counterpart is there: nothing in a row keeps the next one from being looked at.

-- name: audit_hash_at :one
SELECT hash FROM wallet.audit_log WHERE number = $1;

-- name: recorded_transactions :many
-- The next $2 transactions from $1 on: whether a record tells of the envelope that each has now. A bid
-- that was raised has a record of its own, of a later moment.
WITH page AS MATERIALIZED (
    SELECT
        t.id,
        t.hash,
        format('transaction %s, source %s, sequence %s, bid ', t.id, t.source, t.sequence) AS words,
        t.created_at,
        coalesce(t.closed_at, now()) AS ended_at
    FROM wallet.transactions AS t
    WHERE t.id >= $1
    ORDER BY t.id
    LIMIT $2
),
told AS MATERIALIZED (
    SELECT a.subject AS hash, left(a.details, strpos(a.details, ', bid ') + 5) AS words
    FROM wallet.audit_log AS a
    WHERE a.action IN ('sign', 'found')
      AND a.at >= (SELECT min(p.created_at) FROM page AS p)
      AND a.at <= (SELECT max(p.created_at) FROM page AS p)
)
SELECT
    p.id,
    CASE WHEN t.hash IS NOT NULL THEN true ELSE EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.action IN ('sign', 'found')
          AND a.at BETWEEN p.created_at AND p.ended_at
          AND a.subject = p.hash
          AND starts_with(a.details, p.words)
    ) END AS is_recorded
FROM page AS p
LEFT JOIN (SELECT DISTINCT hash, words FROM told) AS t ON p.hash = t.hash AND p.words = t.words
ORDER BY p.id;

-- name: recorded_withdrawals :many
-- The next $2 withdrawals from $1 on: whether a record tells of each, with this amount and destination,
-- and what is to be paid is that.
SELECT
    w.operation_id AS id,
    o.kind = 'withdraw' AND o.amount = w.amount AND o.wallet_id = w.wallet_id AND EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = w.requested_at
          AND a.action = 'withdraw'
          AND a.subject = format('wallet %s', w.wallet_id)
          AND a.details = format(
              '%s stroops of %s to %s, %s', w.amount, upper(w.asset), w.destination, w.operation_id
          )
    ) AS is_recorded
FROM wallet.withdrawals AS w
INNER JOIN wallet.operations AS o ON w.operation_id = o.id
WHERE w.operation_id >= $1
ORDER BY w.operation_id
LIMIT $2;

-- name: recorded_payouts :many
-- The next $2 payouts from $1 on: whether a record tells of each, with its parts, and what is to be paid is that.
SELECT
    f.operation_id AS id,
    o.kind = 'payout' AND o.wallet_id = f.wallet_id AND o.block_index = f.number
    AND o.amount = f.amount::numeric + f.pooler + f.operator + f.miners
    AND EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = f.requested_at
          AND a.action = 'pay_farmer'
          AND a.subject = format('wallet %s', f.wallet_id)
          AND a.details = format(
              '%s: %s to %s, pooler %s, operator %s, miners %s, %s', f.number, f.amount,
              coalesce(nullif(f.destination, ''), 'none'), f.pooler, f.operator, f.miners, f.operation_id
          )
    ) AS is_recorded
FROM wallet.payouts AS f
INNER JOIN wallet.operations AS o ON f.operation_id = o.id
WHERE f.operation_id >= $1
ORDER BY f.operation_id
LIMIT $2;

-- name: recorded_pool_payments :many
-- The next $2 payments from poolers' accounts from $1 on: whether a record tells of each, among those of one
-- moment, and what is to be paid is that. The records tell of all of a moment by a digest, which is looked at
-- with the records.
SELECT
    m.operation_id AS id,
    o.kind = 'pool_payment' AND o.wallet_id = m.wallet_id AND o.amount = m.amount AND EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = m.requested_at
          AND a.action = 'pay_from_pooler'
          AND a.subject = format('wallet %s', m.wallet_id)
          AND CASE
              WHEN a.details ~ '^[0-9]{1,9} from [0-9]{1,9} on: '
                  THEN m.number BETWEEN split_part(a.details, ' ', 3)::int
                      AND split_part(a.details, ' ', 1)::int
              ELSE false
          END
    ) AS is_recorded
FROM wallet.pool_payments AS m
INNER JOIN wallet.operations AS o ON m.operation_id = o.id
WHERE m.operation_id >= $1
ORDER BY m.operation_id
LIMIT $2;

-- name: recorded_data_entries :many
-- The next $2 roots from $1 on: whether a record tells of each, and the operation that writes it is for that day
-- and root.
SELECT
    d.operation_id AS id,
    o.kind::text = 'data_entry' AND o.block_index = d.day AND o.hash = d.root AND EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = d.requested_at
          AND a.action = 'publish_root'
          AND a.subject = format('wallet %s', o.wallet_id)
          AND a.details = format('day %s, %s, %s', d.day, encode(d.root, 'hex'), d.operation_id)
    ) AS is_recorded
FROM wallet.data_entries AS d
INNER JOIN wallet.operations AS o ON d.operation_id = o.id
WHERE d.operation_id >= $1
ORDER BY d.operation_id
LIMIT $2;

-- name: recorded_wallets :many
-- The next $2 wallets from $1 on: whether a record tells that each was made, with this address.
SELECT
    w.id,
    EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = w.created_at
          AND a.action = 'create_wallet'
          AND a.subject = format('wallet %s', w.id)
          AND a.details = format('%s %s', w.kind, w.address)
    ) AS is_recorded
FROM wallet.wallets AS w
WHERE w.id >= $1
ORDER BY w.id
LIMIT $2;

-- name: recorded_addresses :many
-- The payout addresses of the next $2 wallets from $1 on: whether records tell of all of each wallet's.
-- One that replaces another is registered when its turn has come, after its transaction began. Addresses and
-- records of a wallet are laid side by side in the order of time, and each address is held against the last
-- record before it (a record against itself, so that it says nothing): whoever writes very many of either makes
-- no look take more than its share of each.
WITH page AS MATERIALIZED (
    SELECT DISTINCT q.wallet_id AS id FROM wallet.payout_addresses AS q
    WHERE q.wallet_id >= $1
    ORDER BY q.wallet_id
    LIMIT $2
),
both_kinds AS (
    SELECT
        w.id, coalesce(nullif(p.address, ''), 'none') AS address, p.registered_at AS at, false AS is_record
    FROM page AS w
    INNER JOIN wallet.payout_addresses AS p ON w.id = p.wallet_id
    UNION ALL
    SELECT w.id, split_part(a.details, ' ', 1), a.at, true
    FROM page AS w
    INNER JOIN wallet.audit_log AS a
        ON a.subject = format('wallet %s', w.id) AND a.action = 'set_payout_address'
),
beside AS (
    SELECT
        b.id,
        b.at,
        max(b.at) FILTER (WHERE b.is_record) OVER (
            PARTITION BY b.id, b.address
            ORDER BY b.at, b.is_record DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS recorded_at
    FROM both_kinds AS b
)
SELECT
    s.id,
    bool_and(coalesce(s.recorded_at >= s.at - interval '1 hour', false)) AS is_recorded
FROM beside AS s
GROUP BY s.id
ORDER BY s.id;

-- name: recorded_agreements :many
-- Agreements of the next $2 wallets from $1 on: whether a record tells of each, with these numbers.
WITH page AS MATERIALIZED (
    SELECT DISTINCT q.wallet_id AS id FROM wallet.agreements AS q
    WHERE q.wallet_id >= $1
    ORDER BY q.wallet_id
    LIMIT $2
),
told AS MATERIALIZED (
    SELECT w.id, left(a.details, strpos(a.details, ', from ') - 1) AS words
    FROM page AS w
    INNER JOIN wallet.audit_log AS a
        ON a.action = 'set_agreement'
        AND a.subject = format('wallet %s', w.id)
),
words AS (
    SELECT
        w.id,
        format(
            '%s stake %s, pooler %s, operator %s, miners %s, threshold %s, interval %s, harvest %s, terms %s by %s',
            g.number, g.stake_bps, g.pooler_bps, g.operator_bps, g.miners_bps, g.payout_threshold,
            g.payout_interval_seconds, g.harvest_blocks, g.terms_version, g.proof
        ) AS words
    FROM page AS w
    INNER JOIN wallet.agreements AS g ON w.id = g.wallet_id
)
SELECT s.id, bool_and(t.words IS NOT NULL) AS is_recorded
FROM words AS s
LEFT JOIN (SELECT DISTINCT id, words FROM told) AS t ON s.id = t.id AND s.words = t.words
GROUP BY s.id
ORDER BY s.id;

-- name: recorded_owner_accounts :many
-- Owner accounts of the next $2 wallets from $1 on: whether a record tells of each.
WITH page AS MATERIALIZED (
    SELECT DISTINCT q.wallet_id AS id FROM wallet.owner_accounts AS q
    WHERE q.wallet_id >= $1
    ORDER BY q.wallet_id
    LIMIT $2
),
told AS MATERIALIZED (
    SELECT w.id, left(a.details, strpos(a.details, ' from ') - 1) AS words
    FROM page AS w
    INNER JOIN wallet.audit_log AS a
        ON a.action = 'set_owner_account'
        AND a.subject = format('wallet %s', w.id)
)
SELECT w.id, bool_and(t.words IS NOT NULL) AS is_recorded
FROM page AS w
INNER JOIN wallet.owner_accounts AS o ON w.id = o.wallet_id
LEFT JOIN (SELECT DISTINCT id, words FROM told) AS t
    ON w.id = t.id AND t.words = format('%s %s', o.number, coalesce(nullif(o.address, ''), 'none'))
GROUP BY w.id
ORDER BY w.id;

-- name: recorded_pooler_marks :many
-- Marks of the next $2 poolers from $1 on: whether a record tells of each.
WITH page AS MATERIALIZED (
    SELECT DISTINCT q.pooler_id AS id FROM wallet.pooler_marks AS q
    WHERE q.pooler_id >= $1
    ORDER BY q.pooler_id
    LIMIT $2
)
SELECT
    p.id,
    bool_and(EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.action = 'mark_pooler'
          AND a.subject = format('pooler %s', p.id)
          AND a.details = format(
              '%s farms for %s', m.number, CASE WHEN m.farms_for_itself THEN 'itself' ELSE 'others' END
          )
    )) AS is_recorded
FROM page AS p
INNER JOIN wallet.pooler_marks AS m ON p.id = m.pooler_id
GROUP BY p.id
ORDER BY p.id;

-- name: recorded_pauses :many
-- The next $2 pauses from $1 on: whether records tell of each, and of its end.
SELECT
    p.id,
    EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = p.paused_at AND a.action = 'pause' AND a.actor = p.paused_by
          AND a.subject = concat_ws(' ', p.scope, p.target) AND a.details = p.reason
    ) AND (p.resumed_at IS NULL OR EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = p.resumed_at AND a.action = 'resume' AND a.actor = p.resumed_by
          AND a.subject = concat_ws(' ', p.scope, p.target)
    )) AS is_recorded
FROM wallet.pauses AS p
WHERE p.id >= $1
ORDER BY p.id
LIMIT $2;

-- name: recorded_tokens :many
-- The next $2 tokens from $1 on: whether records tell of each, and of its revocation.
SELECT
    t.id,
    EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = t.created_at AND a.action = 'create_token' AND a.actor = t.created_by
          AND a.subject = format('token %s', t.id)
          AND a.details = format('%s, %s', t.subject, t.name)
    ) AND (t.revoked_at IS NULL OR EXISTS (
        SELECT 1 FROM wallet.audit_log AS a
        WHERE a.at = t.revoked_at AND a.action = 'revoke_token' AND a.actor = t.revoked_by
          AND a.subject = format('token %s', t.id)
    )) AS is_recorded
FROM wallet.tokens AS t
WHERE t.id >= $1
ORDER BY t.id
LIMIT $2;

-- name: records_without_rows :many
-- Records after number $1, up to $2, that tell of something which is not there. Every text is looked at
-- before it is read as an id.
WITH page AS MATERIALIZED (
    SELECT
        a.number,
        a.at,
        a.action,
        a.subject,
        a.details,
        CASE WHEN a.subject ~ '^wallet [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN substr(a.subject, 8)::uuid END AS wallet_id,
        CASE WHEN a.subject ~ '^token [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN substr(a.subject, 7)::uuid END AS token_id,
        CASE WHEN a.subject ~ '^pooler [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN substr(a.subject, 8)::uuid END AS pooler_id,
        CASE WHEN a.details ~ '^[1-9][0-9]{0,8} ' THEN split_part(a.details, ' ', 1)::int END AS version,
        CASE WHEN a.details ~ '^transaction [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}, '
            THEN substr(a.details, 13, 36)::uuid END AS transaction_id,
        CASE WHEN a.details ~ ', [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN right(a.details, 36)::uuid END AS asked_id
    FROM wallet.audit_log AS a
    WHERE a.number > $1 AND a.number <= $2 AND a.action IN (
        'sign', 'found', 'withdraw', 'create_wallet', 'set_payout_address', 'pause', 'resume',
        'create_token', 'revoke_token', 'set_agreement', 'set_owner_account', 'mark_pooler', 'pay_farmer',
        'pay_from_pooler', 'publish_root'
    )
)
SELECT p.number
FROM page AS p
LEFT JOIN wallet.transactions AS t ON p.transaction_id = t.id
LEFT JOIN wallet.withdrawals AS d ON p.asked_id = d.operation_id
LEFT JOIN wallet.payouts AS f ON p.asked_id = f.operation_id
LEFT JOIN wallet.data_entries AS e ON p.asked_id = e.operation_id
LEFT JOIN wallet.wallets AS w ON p.wallet_id = w.id
LEFT JOIN wallet.tokens AS k ON p.token_id = k.id
WHERE CASE p.action
    WHEN 'withdraw' THEN (d.wallet_id = p.wallet_id) IS NOT TRUE
    WHEN 'pay_farmer' THEN (f.wallet_id = p.wallet_id) IS NOT TRUE
    WHEN 'pay_from_pooler' THEN p.details IS DISTINCT FROM (
        SELECT format(
            '%s from %s on: %s stroops, %s',
            max(m.number), min(m.number), sum(m.amount),
            encode(sha256(convert_to(string_agg(
                format(
                    '%s %s %s %s', m.number, m.amount, CASE WHEN m.is_miner THEN 'miner' ELSE 'pooler' END,
                    m.destination
                ),
                E'\n' ORDER BY m.number
            ), 'UTF8')), 'hex')
        )
        FROM wallet.pool_payments AS m
        WHERE m.wallet_id = p.wallet_id AND m.requested_at = p.at
    )
    WHEN 'publish_root' THEN (
        p.details = format('day %s, %s, %s', e.day, encode(e.root, 'hex'), e.operation_id)
    ) IS NOT TRUE
    WHEN 'create_wallet' THEN w.id IS NULL
    WHEN 'create_token' THEN k.id IS NULL
    WHEN 'revoke_token' THEN k.revoked_at IS DISTINCT FROM p.at
    WHEN 'set_payout_address' THEN NOT EXISTS (
        SELECT 1 FROM wallet.payout_addresses AS q
        WHERE q.wallet_id = p.wallet_id
          AND q.address = replace(split_part(p.details, ' ', 1), 'none', '')
    )
    WHEN 'set_agreement' THEN NOT EXISTS (
        SELECT 1 FROM wallet.agreements AS q WHERE q.wallet_id = p.wallet_id AND q.number = p.version
    )
    WHEN 'set_owner_account' THEN NOT EXISTS (
        SELECT 1 FROM wallet.owner_accounts AS q WHERE q.wallet_id = p.wallet_id AND q.number = p.version
    )
    WHEN 'mark_pooler' THEN NOT EXISTS (
        SELECT 1 FROM wallet.pooler_marks AS q WHERE q.pooler_id = p.pooler_id AND q.number = p.version
    )
    WHEN 'pause' THEN NOT EXISTS (
        SELECT 1 FROM wallet.pauses AS q
        WHERE q.paused_at = p.at AND concat_ws(' ', q.scope, q.target) = p.subject
    )
    WHEN 'resume' THEN NOT EXISTS (
        SELECT 1 FROM wallet.pauses AS q
        WHERE q.resumed_at = p.at AND concat_ws(' ', q.scope, q.target) = p.subject
    )
    ELSE t.id IS NULL OR NOT starts_with(
        p.details, format('transaction %s, source %s, sequence %s, bid ', t.id, t.source, t.sequence)
    )
END
ORDER BY p.number;
