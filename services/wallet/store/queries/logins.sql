-- Logins of owner accounts.

-- name: use_challenge :exec
-- Nothing when it was used before.
INSERT INTO wallet.used_challenges (challenge, ends_at) VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: forget_challenges :one
SELECT wallet.forget_challenges() AS forgotten;
