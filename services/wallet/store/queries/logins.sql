-- Logins of owner accounts.

-- name: use_challenge :exec
-- Nothing when it was used before.
INSERT INTO wallet.used_challenges (challenge, ends_at) VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: forget_challenges :exec
-- A hundred of those that ended an hour ago: whatever the clocks of wallet's processes say, none of them
-- counts. Others forget some, too, and need not wait for one another.
DELETE FROM wallet.used_challenges
WHERE challenge IN (
    SELECT challenge FROM wallet.used_challenges
    WHERE ends_at < now() - interval '1 hour'
    ORDER BY ends_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
);
