-- name: data_entry :one
-- The root of a day ($1; none: the newest), by which day it is now, and whether a later one was asked for.
SELECT d.operation_id, d.day, d.root, d.requested_at, d.mac
FROM wallet.data_entries AS d
WHERE $1::int IS NULL OR d.day = $1
ORDER BY d.day DESC
LIMIT 1;

-- name: next_data_entry :one
-- The day that runs now, and the newest day whose root was asked for.
SELECT
    now() AS requested_at,
    (floor(extract(epoch FROM now()))::bigint / 86400)::int AS today,
    (SELECT max(d.day) FROM wallet.data_entries AS d) AS newest;

-- name: insert_data_entry :exec
-- The operation ($1) that writes a day's root ($3, $4) into the data entry of the treasury ($2).
WITH made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, hash, mac)
    VALUES ($1, 'data_entry', $2, $3, $4, $6)
    RETURNING id
)
INSERT INTO wallet.data_entries (operation_id, day, root, requested_at, mac)
SELECT m.id, $3, $4, $5, $7 FROM made AS m;
