-- What plant, work and harvest ask of PostgreSQL alike. Each has the tables batches and batch_items and
-- a table of events, in a schema of its own. Its queries.sql says in parts what is different:
--
--   schema        its schema, which is named as wallet names the kind of operation
--   events        its table of events
--   item          columns of an item that wallet is told
--   event         columns of an event that only this service has, of e, and its time as settled_at
--   of_item       values of those columns, of an item i and the operation o that settled it
--   of_operation  the same values, of an operation o that no item asked for
--   is_told       whether an event e of the same farmer and block tells of an operation o already
--   recorded      the statement `recorded AS (INSERT ... SELECT ... FROM settled ... RETURNING ...)`
--                 that writes events; others may follow it

-- name: head :one
SELECT current_block, plantable_block, ledger FROM chain.head;

-- name: known :one
SELECT EXISTS (SELECT 1 FROM registry.poolers WHERE id = $1) AS pooler,
    $2::uuid IS NULL OR EXISTS (
        SELECT 1 FROM registry.farmers WHERE id = $2::uuid AND pooler_id = $1
    ) AS farmer;

-- name: accounts_of_farmers :many
-- Owner accounts of these farmers; '' for one that has none, or that there is not.
SELECT DISTINCT coalesce(o.owner_account, '') AS owner_account
FROM unnest($1::uuid []) AS asked (id)
LEFT JOIN wallet.farmer_owners AS o ON o.farmer_id = asked.id;

-- name: batch :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM {schema}.batches
WHERE id = $1;

-- name: batch_by_request :one
SELECT id AS batch_id, request_id, pooler_id, block_index, digest, created_at, completed_at
FROM {schema}.batches
WHERE pooler_id = $1 AND request_id = $2;

-- name: open_batches :many
SELECT id FROM {schema}.batches WHERE completed_at IS NULL ORDER BY id;

-- name: lock_pooler :exec
-- One plan at a time for a pooler, so that a repeated request finds the first one's batch, also when
-- it comes for another block.
INSERT INTO {schema}.turns (pooler_id) VALUES ($1)
ON CONFLICT (pooler_id) DO UPDATE SET taken_at = now();

-- name: ensure_partition :exec
SELECT {schema}.ensure_partition($1);

-- name: insert_batch :exec
INSERT INTO {schema}.batches (id, request_id, pooler_id, block_index, digest)
VALUES ($1, $2, $3, $4, $5);

-- name: items :many
-- Whole chunks that have something open: wallet knows a chunk by all of its items.
SELECT chunk, format('{schema}-%s-%s', batch_id, chunk) AS request_id, {item}
FROM {schema}.batch_items
WHERE batch_id = $1
    AND refusal = ''
    AND chunk IN (
        SELECT chunk FROM {schema}.batch_items WHERE batch_id = $1 AND event_id IS NULL
    )
ORDER BY chunk, farmer_id;

-- name: refuse_chunk :exec
UPDATE {schema}.batch_items SET refusal = $3, message = $4
WHERE batch_id = $1 AND chunk = $2 AND event_id IS NULL;

-- name: refuse_items :exec
UPDATE {schema}.batch_items SET refusal = $3, message = $4
WHERE batch_id = $1 AND farmer_id = ANY($2::uuid[]) AND event_id IS NULL AND refusal = '';

-- name: ended_items :many
-- Operations of the batch that have ended by their rows and have no event: wallet is asked whether they have.
SELECT o.operation_id, i.farmer_id, o.state
FROM {schema}.batches AS b
INNER JOIN {schema}.batch_items AS i ON i.batch_id = b.id
-- Looked up for each farmer, which takes a few steps into indexes. OFFSET 0 keeps it so, whatever
-- the statistics say: else all of a chunk is read for each farmer in it, or all of its history.
CROSS JOIN LATERAL (
    SELECT s.operation_id, s.state FROM wallet.settled_operations AS s
    WHERE s.farmer_id = i.farmer_id AND s.block_index = b.block_index
    AND (
        SELECT true FROM wallet.batch_operations AS x
        WHERE x.request_id = format('{schema}-%s-%s', b.id, i.chunk)
            AND x.operation_id = s.operation_id
    )
    OFFSET 0
) AS o
WHERE b.id = $1 AND i.event_id IS NULL;

-- name: record :exec
-- Everything of the batch that is settled becomes an event; after a crash this is the recovery. These are the
-- operations ($2, in the states $3, of the farmers $4) of which wallet says that they have ended so.
WITH settled AS (
    SELECT i.batch_id, i.farmer_id, coalesce(o.operation_id, i.id) AS event_id, b.block_index,
        b.pooler_id,
        i.custodial_wallet, coalesce(o.transaction_hash, '') AS transaction_hash,
        coalesce(o.ledger, 0) AS ledger, coalesce(o.fee_charged, 0) AS fee_charged,
        CASE WHEN o.state = 'succeeded' THEN 'success' ELSE 'failed' END AS status,
        CASE WHEN o.operation_id IS NULL THEN i.refusal ELSE coalesce(o.reason, '') END AS reason,
        coalesce(o.error_message, i.message) AS error_message,
        coalesce(o.settled_at, now()) AS settled_at,
        {of_item}
    FROM {schema}.batches AS b
    INNER JOIN {schema}.batch_items AS i ON i.batch_id = b.id
    LEFT JOIN (
        SELECT s.*
        FROM unnest($2::uuid[], $3::text[], $4::uuid[]) AS n (operation_id, state, farmer_id)
        -- Looked up one by one, whatever the statistics say.
        CROSS JOIN LATERAL (
            SELECT * FROM wallet.settled_operations AS e
            WHERE e.operation_id = n.operation_id AND e.state = n.state
                AND e.farmer_id = n.farmer_id
            OFFSET 0
        ) AS s
    ) AS o ON o.farmer_id = i.farmer_id AND o.block_index = b.block_index
    WHERE b.id = $1 AND i.event_id IS NULL AND (o.operation_id IS NOT NULL OR i.refusal <> '')
),
{recorded}
UPDATE {schema}.batch_items AS i
SET event_id = s.event_id
FROM settled AS s
-- By the whole key, so that each is one step into its index, and not one of a nested loop over both.
WHERE i.batch_id = s.batch_id AND i.farmer_id = s.farmer_id;

-- name: complete :one
UPDATE {schema}.batches AS b
SET completed_at = now()
WHERE b.id = $1 AND b.completed_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM {schema}.batch_items AS i WHERE i.batch_id = b.id AND i.event_id IS NULL
    )
RETURNING b.id;

-- name: found_blocks :many
-- Blocks from $1 on with operations that reconciliation recorded and no event tells of.
SELECT DISTINCT o.block_index
FROM wallet.settled_operations AS o
INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
WHERE o.is_found AND o.kind = '{schema}' AND o.block_index >= $1
    AND NOT EXISTS (
        SELECT 1 FROM {events} AS e
        WHERE e.block_index = o.block_index AND e.farmer_id = o.farmer_id AND ({is_told})
    )
ORDER BY o.block_index;

-- name: found_operations :many
-- What reconciliation recorded in a block ($1), and no event tells of: wallet is asked whether it did.
SELECT o.operation_id, o.state
FROM wallet.settled_operations AS o
INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
WHERE o.is_found AND o.kind = '{schema}' AND o.block_index = $1
    AND NOT EXISTS (
        SELECT 1 FROM {events} AS e
        WHERE e.block_index = $1 AND e.farmer_id = o.farmer_id AND ({is_told})
    );

-- name: record_found :one
-- Everything of a block ($1) that reconciliation recorded and no batch asked for becomes an event: the
-- operations ($2, in the states $3) of which wallet says so. A batch may record it, too: it is the same
-- operation, and counts once.
WITH settled AS (
    SELECT o.farmer_id, o.operation_id AS event_id, o.block_index, o.pooler_id,
        o.address AS custodial_wallet, coalesce(o.transaction_hash, '') AS transaction_hash,
        coalesce(o.ledger, 0) AS ledger, o.fee_charged,
        CASE WHEN o.state = 'succeeded' THEN 'success' ELSE 'failed' END AS status,
        coalesce(o.reason, '') AS reason, o.error_message, o.settled_at,
        {of_operation}
    FROM wallet.settled_operations AS o
    INNER JOIN registry.farmers AS f ON f.id = o.farmer_id
    WHERE o.is_found AND o.kind = '{schema}' AND o.block_index = $1
        AND (o.operation_id, o.state) IN (
            SELECT n.operation_id, n.state FROM unnest($2::uuid[], $3::text[]) AS n (operation_id, state)
        )
        AND NOT EXISTS (
            SELECT 1 FROM {events} AS e
            WHERE e.block_index = $1 AND e.farmer_id = o.farmer_id AND ({is_told})
        )
),
{recorded}
SELECT count(*)::int AS recorded FROM recorded;

-- name: events_of_batch :many
SELECT e.id AS event_id, e.farmer_id, e.block_index, e.custodial_wallet, e.status::text AS status,
    e.reason, e.error_message, e.transaction_hash, e.ledger, e.fee_charged, {event}
FROM {schema}.batch_items AS i
INNER JOIN {schema}.batches AS b ON b.id = i.batch_id
INNER JOIN {events} AS e ON e.block_index = b.block_index AND e.id = i.event_id
WHERE i.batch_id = $1
ORDER BY e.farmer_id;

-- name: list_events :many
SELECT e.id AS event_id, e.farmer_id, e.block_index, e.custodial_wallet, e.status::text AS status,
    e.reason, e.error_message, e.transaction_hash, e.ledger, e.fee_charged, {event}
FROM {events} AS e
WHERE e.pooler_id = $1
    AND ($2::int IS NULL OR e.block_index = $2::int)
    AND ($3::uuid IS NULL OR e.farmer_id = $3::uuid)
    AND ($4::int IS NULL OR (e.block_index, e.id) < ($4::int, $5::uuid))
ORDER BY e.block_index DESC, e.id DESC
LIMIT $6;
