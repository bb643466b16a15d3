-- name: with_names :part
n.number, n.id, n.kind, n.pooler_id, n.farmer_id, n.happened_at, n.facts::text AS facts,
    coalesce(p.name, '') AS pooler_name, coalesce(f.custodial_public_key, '') AS farmer_address

-- name: join_names :part
-- A farmer of another pooler than the notification's has no address: whoever may write notices shows no
-- pooler what is another's.
LEFT JOIN registry.poolers AS p ON n.pooler_id = p.id
LEFT JOIN registry.farmers AS f
    ON n.farmer_id = f.id AND (n.pooler_id IS NULL OR n.pooler_id = f.pooler_id)

-- name: take_notices :exec
-- What wallet has noticed within $1 seconds and was not taken yet, $2 at most. By what is not there, and
-- not by a cursor, which would pass over what commits late; nothing that others do keeps a notice back.
INSERT INTO registry.notifications (
    kind, pooler_id, farmer_id, is_public, happened_at, facts, wallet_notice
)
SELECT n.kind, n.pooler_id, n.farmer_id, n.is_public, n.at, n.facts, n.number
FROM wallet.notices AS n
WHERE n.at > now() - make_interval(secs => $1::float8)
  AND NOT EXISTS (
      SELECT 1 FROM registry.notifications AS t WHERE t.wallet_notice = n.number
  )
ORDER BY n.number
LIMIT $2
ON CONFLICT (wallet_notice) DO NOTHING;

-- name: forget_notifications :one
SELECT registry.forget_notifications($1::float8) AS forgotten;

-- name: all_notifications :many
-- Newest first, before a number ($1).
SELECT {with_names}
FROM registry.notifications AS n
{join_names}
WHERE n.webhook_id IS NULL AND ($1::bigint IS NULL OR n.number < $1)
ORDER BY n.number DESC
LIMIT $2;

-- name: notifications_of_pooler :many
-- What a pooler ($1) sees: its own, and what concerns everybody.
SELECT {with_names}
FROM (
    (
        SELECT o.* FROM registry.notifications AS o
        WHERE o.webhook_id IS NULL AND o.pooler_id = $1 AND ($2::bigint IS NULL OR o.number < $2)
        ORDER BY o.number DESC
        LIMIT $3
    )
    UNION ALL
    (
        SELECT e.* FROM registry.notifications AS e
        WHERE e.webhook_id IS NULL AND e.is_public AND e.pooler_id IS NULL
            AND ($2::bigint IS NULL OR e.number < $2)
        ORDER BY e.number DESC
        LIMIT $3
    )
) AS n
{join_names}
ORDER BY n.number DESC
LIMIT $3;

-- name: notifications_of_farmer :many
-- What concerns a farmer ($1), for its pooler ($4) or operators (none).
SELECT {with_names}
FROM registry.notifications AS n
{join_names}
WHERE n.webhook_id IS NULL AND n.farmer_id = $1
  AND ($2::bigint IS NULL OR n.number < $2)
  AND ($4::uuid IS NULL OR n.pooler_id = $4)
ORDER BY n.number DESC
LIMIT $3;

-- name: insert_webhook :exec
INSERT INTO registry.webhooks (id, pooler_id, farmer_id, url, kinds, key_name, created_by)
VALUES ($1, $2, $3, $4, $5::text[], $6, $7);

-- name: count_webhooks :one
-- Webhooks of an owner ($1; none: operators) that were not deleted.
SELECT count(*)::int AS count FROM registry.webhooks
WHERE pooler_id IS NOT DISTINCT FROM $1::uuid AND deleted_at IS NULL;

-- name: webhook :one
SELECT id AS webhook_id, pooler_id, farmer_id, url, kinds, key_name, created_by, created_at,
    failing_since, disabled_at, disabled_reason, deleted_at
FROM registry.webhooks
WHERE id = $1;

-- name: lock_webhook :one
-- Before its deliveries are changed: who ends the webhook changes them, too.
SELECT failing_since, clock_timestamp() AS moment
FROM registry.webhooks
WHERE id = $1
FOR NO KEY UPDATE;

-- name: list_webhooks :many
SELECT id AS webhook_id, pooler_id, farmer_id, url, kinds, key_name, created_by, created_at,
    failing_since, disabled_at, disabled_reason, deleted_at
FROM registry.webhooks
WHERE deleted_at IS NULL
  AND ($1::uuid IS NULL OR pooler_id = $1)
  AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3;

-- name: owners_of_webhooks :many
-- Whose webhooks these are; '' for one that is no pooler's.
SELECT DISTINCT coalesce(w.pooler_id::text, '') AS pooler_id
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN registry.webhooks AS w ON w.id = asked.id;

-- name: delete_webhook :exec
UPDATE registry.webhooks SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL;

-- name: disable_webhook :exec
UPDATE registry.webhooks SET disabled_at = now(), disabled_reason = $2
WHERE id = $1 AND disabled_at IS NULL AND deleted_at IS NULL;

-- name: enable_webhook :exec
UPDATE registry.webhooks SET disabled_at = NULL, disabled_reason = '', failing_since = NULL
WHERE id = $1 AND disabled_at IS NOT NULL AND deleted_at IS NULL;

-- name: note_failing :exec
-- Since when a webhook fails; NULL ($2) once its receiver answers.
UPDATE registry.webhooks SET failing_since = $2::timestamptz
WHERE id = $1 AND (failing_since IS NULL) IS DISTINCT FROM ($2::timestamptz IS NULL);

-- name: insert_test :one
-- A test for one webhook ($1), unless there was one within $2 seconds.
INSERT INTO registry.notifications (kind, pooler_id, farmer_id, webhook_id)
SELECT 'webhook.test', w.pooler_id, w.farmer_id, w.id
FROM registry.webhooks AS w
WHERE w.id = $1
  AND NOT EXISTS (
      SELECT 1 FROM registry.notifications AS n
      WHERE n.webhook_id = w.id AND n.taken_at > now() - make_interval(secs => $2::float8)
  )
RETURNING id;

-- name: list_deliveries :many
SELECT {with_names},
    d.state::text AS state, d.attempts, d.last_status, d.last_error, d.due_at, d.ended_at
FROM registry.deliveries AS d
INNER JOIN registry.notifications AS n ON d.notification_number = n.number
{join_names}
WHERE d.webhook_id = $1 AND ($2::bigint IS NULL OR d.notification_number < $2)
ORDER BY d.notification_number DESC
LIMIT $3;

-- name: claim_deliveries :many
-- Takes up to $1 deliveries that are due for $2 seconds: of each owner $3 at most, the oldest of each before
-- the second oldest of any, and none of owners ($4; of operators, the id of zeros) that have their share
-- already. One that is being sent and whose time is over was a process's that has died.
WITH due AS MATERIALIZED (
    SELECT
        d.webhook_id,
        d.notification_number,
        row_number() OVER (PARTITION BY w.pooler_id ORDER BY d.due_at, d.notification_number) AS turn
    FROM registry.deliveries AS d
    INNER JOIN registry.webhooks AS w ON d.webhook_id = w.id
    WHERE d.state IN ('queued', 'sending')
      AND d.due_at <= now()
      AND w.deleted_at IS NULL AND w.disabled_at IS NULL
      AND coalesce(w.pooler_id, '00000000-0000-0000-0000-000000000000') <> ALL($4::uuid[])
),
locked AS (
    SELECT d.webhook_id, d.notification_number
    FROM registry.deliveries AS d
    INNER JOIN due AS u
        ON d.webhook_id = u.webhook_id AND d.notification_number = u.notification_number
    WHERE u.turn <= $3 AND d.state IN ('queued', 'sending') AND d.due_at <= now()
    ORDER BY u.turn, d.notification_number
    LIMIT $1
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE registry.deliveries AS d
SET state = 'sending', attempts = d.attempts + 1,
    due_at = now() + make_interval(secs => $2::float8)
FROM locked AS l, registry.notifications AS n, registry.webhooks AS w
WHERE d.webhook_id = l.webhook_id AND d.notification_number = l.notification_number
  AND n.number = l.notification_number AND w.id = l.webhook_id
RETURNING d.webhook_id, d.attempts, w.url, w.key_name,
    coalesce(w.pooler_id, '00000000-0000-0000-0000-000000000000') AS owner_id,
    extract(epoch FROM now() - d.created_at)::float8 AS age,
    n.number, n.id, n.kind, n.pooler_id, n.farmer_id, n.happened_at, n.facts::text AS facts;

-- name: end_attempt :exec
-- What became of an attempt ($3, its number) of a delivery ($1, $2) that is being sent: state $4, due in $5
-- seconds, status $6, error $7.
UPDATE registry.deliveries
SET state = $4::registry.delivery_state,
    due_at = now() + make_interval(secs => $5::float8),
    last_status = $6,
    last_error = $7,
    ended_at = CASE WHEN $4 IN ('delivered', 'failed', 'cancelled') THEN now() END
WHERE webhook_id = $1 AND notification_number = $2 AND attempts = $3 AND state = 'sending';

-- name: cancel_deliveries :exec
-- What was queued while its webhook was deleted or disabled.
UPDATE registry.deliveries AS d SET state = 'cancelled', ended_at = now()
FROM registry.webhooks AS w
WHERE w.id = d.webhook_id AND d.state IN ('queued', 'sending')
  AND (w.deleted_at IS NOT NULL OR w.disabled_at IS NOT NULL);
