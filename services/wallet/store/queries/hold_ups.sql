-- Sessions of other services' roles that hold up everybody.

-- name: end_hold_ups :many
-- Those that were ended, and those that the function's owner may not end.
SELECT pid, role, locks, seconds, is_ended FROM wallet.end_hold_ups();

-- name: hold_up_rights :many
-- Of these roles ($1), what the owner of that function may: end their sessions, and see how old their
-- transactions are.
SELECT
    r.rolname AS role,
    pg_has_role(p.proowner, r.oid, 'USAGE')
    OR pg_has_role(p.proowner, 'pg_signal_backend', 'USAGE') AS may_end,
    pg_has_role(p.proowner, r.oid, 'USAGE')
    OR pg_has_role(p.proowner, 'pg_read_all_stats', 'USAGE') AS may_see
FROM pg_proc AS p
CROSS JOIN pg_roles AS r
WHERE p.oid = 'wallet.end_hold_ups()'::regprocedure AND r.rolname = ANY($1::text [])
ORDER BY 1;
