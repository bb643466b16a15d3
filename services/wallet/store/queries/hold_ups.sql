-- Sessions of other services' roles that hold up everybody.

-- name: end_hold_ups :many
-- Those that were ended, for more than $1 locks or a transaction of more than $2 seconds.
SELECT ended, role, locks, seconds FROM wallet.end_hold_ups($1, $2);
