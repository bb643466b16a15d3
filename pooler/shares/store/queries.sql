-- Statements for PostgreSQL and SQLite alike; SQLite's adapter takes `shares.` away from names of
-- tables, and $1 becomes ?1.

-- name: keep_fact :exec
INSERT INTO shares.facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;

-- name: fact :one
SELECT value FROM shares.facts WHERE name = $1;

-- name: add_miner :one
INSERT INTO shares.miners (miner_id, credential_hash, address, name, terms, joined_at)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING number, miner_id, address, name, terms, joined_at, banned_until, ban_reason;

-- name: miner_of_credential :one
SELECT number, miner_id, address, name, terms, joined_at, banned_until, ban_reason
FROM shares.miners WHERE credential_hash = $1;

-- name: miner :one
SELECT number, miner_id, address, name, terms, joined_at, banned_until, ban_reason
FROM shares.miners WHERE miner_id = $1;

-- name: miners_after :many
SELECT number, miner_id, address, name, terms, joined_at, banned_until, ban_reason
FROM shares.miners WHERE number > $1 ORDER BY number LIMIT $2;

-- name: count_miners :one
SELECT count(*) AS miners FROM shares.miners;

-- name: agree :exec
UPDATE shares.miners SET terms = $2 WHERE number = $1;

-- name: ban :exec
UPDATE shares.miners SET banned_until = $2, ban_reason = $3 WHERE miner_id = $1;

-- name: bans_after :many
SELECT number, miner_id, address, name, terms, joined_at, banned_until, ban_reason
FROM shares.miners WHERE banned_until > $1 ORDER BY number;

-- name: forget_idle_miners :exec
DELETE FROM shares.miners
WHERE joined_at < $1 AND banned_until < $2
    AND NOT EXISTS (SELECT 1 FROM shares.workers WHERE workers.miner = miners.number);

-- name: add_worker :exec
INSERT INTO shares.workers (miner, name, first_at) VALUES ($1, $2, $3)
ON CONFLICT (miner, name) DO NOTHING;

-- name: worker :one
SELECT number, miner, name, first_at FROM shares.workers WHERE miner = $1 AND name = $2;

-- name: worker_of_number :one
SELECT number, miner, name, first_at FROM shares.workers WHERE number = $1;

-- name: workers_of :many
SELECT number, miner, name, first_at FROM shares.workers WHERE miner = $1 ORDER BY number;

-- name: add_farmer :exec
INSERT INTO shares.farmers (farmer_id) VALUES ($1) ON CONFLICT (farmer_id) DO NOTHING;

-- name: farmer :one
SELECT number FROM shares.farmers WHERE farmer_id = $1;

-- name: add_block :exec
INSERT INTO shares.blocks (block, entropy, state, opened_at, miners_bps, own_takes_part)
VALUES ($1, $2, 'mined', $3, $4, $5)
ON CONFLICT (block) DO NOTHING;

-- name: block :one
SELECT block, entropy, state, opened_at, sent_at, own_hashes, miners_bps, own_takes_part, points,
    rewards, pot
FROM shares.blocks WHERE block = $1;

-- name: blocks_before :many
SELECT block, entropy, state, opened_at, sent_at, own_hashes, miners_bps, own_takes_part, points,
    rewards, pot
FROM shares.blocks WHERE block < $1 ORDER BY block DESC LIMIT $2;

-- name: blocks_in :many
SELECT block, entropy, state, opened_at, sent_at, own_hashes, miners_bps, own_takes_part, points,
    rewards, pot
FROM shares.blocks WHERE state = $1 AND block > $2 ORDER BY block LIMIT $3;

-- name: open_blocks_before :many
SELECT block, entropy, state, opened_at, sent_at, own_hashes, miners_bps, own_takes_part, points,
    rewards, pot
FROM shares.blocks WHERE block < $1 AND state IN ('mined', 'sent') ORDER BY block;

-- name: send_block :exec
UPDATE shares.blocks SET state = 'sent', sent_at = $2 WHERE block = $1 AND state = 'mined';

-- name: note_own_hashes :exec
UPDATE shares.blocks SET own_hashes = $2
WHERE block = $1 AND own_hashes < $2 AND state IN ('mined', 'sent');

-- name: add_share :many
INSERT INTO shares.shares (block, farmer, nonce, worker, points, zeros, at)
SELECT block, CAST($2 AS bigint), CAST($3 AS bigint), CAST($4 AS bigint), CAST($5 AS bigint),
    CAST($6 AS bigint), CAST($7 AS bigint)
FROM shares.blocks
WHERE block = $1 AND state IN ('mined', 'sent')
ON CONFLICT (block, farmer, nonce) DO NOTHING
RETURNING block, farmer, nonce;

-- name: share :many
SELECT block, farmer, nonce FROM shares.shares WHERE block = $1 AND farmer = $2 AND nonce = $3;

-- name: keep_best :exec
INSERT INTO shares.bests (block, farmer, nonce, zeros) VALUES ($1, $2, $3, $4)
ON CONFLICT (block, farmer) DO UPDATE SET nonce = excluded.nonce, zeros = excluded.zeros
WHERE bests.zeros < excluded.zeros;

-- name: bests :many
SELECT block, farmer, nonce, zeros FROM shares.bests WHERE block = $1 ORDER BY farmer;

-- name: shares_of_block :many
SELECT block, farmer, nonce, worker, points, zeros, at FROM shares.shares WHERE block = $1;

-- name: recent_shares :many
SELECT worker, at / $1 AS slot, count(*) AS shares, CAST(sum(points) AS bigint) AS points,
    CAST(sum(points * 1.0 * points) AS double precision) AS squares
FROM shares.shares WHERE block > $2 GROUP BY worker, at / $1 ORDER BY slot;

-- name: add_late :exec
INSERT INTO shares.late_shares (block, worker, shares, points, latest_ms)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (block, worker) DO UPDATE SET
    shares = late_shares.shares + excluded.shares,
    points = late_shares.points + excluded.points,
    latest_ms = CASE
        WHEN late_shares.latest_ms > excluded.latest_ms THEN late_shares.latest_ms
        ELSE excluded.latest_ms
    END;

-- name: write_worker_blocks :exec
INSERT INTO shares.worker_blocks (block, worker, shares, points, squares, best)
SELECT block, worker, count(*), sum(points), sum(points * 1.0 * points), max(zeros)
FROM shares.shares WHERE block = $1 GROUP BY block, worker
ON CONFLICT (block, worker) DO NOTHING;

-- name: close_block :exec
UPDATE shares.blocks SET state = 'closed', points = (
    SELECT coalesce(sum(points), 0) FROM shares.worker_blocks WHERE block = $1
)
WHERE block = $1 AND state IN ('mined', 'sent');

-- name: blocks_of_worker :many
SELECT b.opened_at, w.block, w.worker, w.shares, w.points, w.squares, w.best
FROM shares.worker_blocks w JOIN shares.blocks b ON b.block = w.block
WHERE w.worker = $1 AND w.block <= $2 AND b.opened_at >= $3 ORDER BY w.block;

-- name: points_of_block :many
SELECT w.miner, CAST(sum(b.points) AS bigint) AS points
FROM shares.worker_blocks b JOIN shares.workers w ON w.number = b.worker
WHERE b.block = $1 GROUP BY w.miner ORDER BY w.miner;

-- name: divide_block :exec
UPDATE shares.blocks SET state = 'final', rewards = $2, pot = $3
WHERE block = $1 AND state = 'closed';

-- name: add_part :exec
INSERT INTO shares.parts (block, miner, points, amount) VALUES ($1, $2, $3, $4);

-- name: hand_on_block :exec
UPDATE shares.blocks SET state = 'handed_on' WHERE block = $1 AND state = 'final';

-- name: paid_parts :many
SELECT p.block, m.miner_id, m.address, p.points, p.amount
FROM shares.parts p JOIN shares.miners m ON m.number = p.miner
WHERE p.block = $1 ORDER BY p.miner;

-- name: results_of_miner :many
SELECT b.block, b.state, b.opened_at, b.points AS all_points, b.own_hashes, b.pot,
    m.shares, m.points, m.best, m.late_shares, m.late_points, m.latest_ms, p.amount
FROM shares.blocks b
JOIN (
    SELECT block, CAST(sum(shares) AS bigint) AS shares, CAST(sum(points) AS bigint) AS points,
        max(best) AS best, CAST(sum(late_shares) AS bigint) AS late_shares,
        CAST(sum(late_points) AS bigint) AS late_points, max(latest_ms) AS latest_ms
    FROM (
        SELECT a.block, a.shares, a.points, a.best, 0 AS late_shares, 0 AS late_points,
            0 AS latest_ms
        FROM shares.worker_blocks a JOIN shares.workers w ON w.number = a.worker
        WHERE w.miner = $1 AND a.block < $2
        UNION ALL
        SELECT l.block, 0, 0, -1, l.shares, l.points, l.latest_ms
        FROM shares.late_shares l JOIN shares.workers w ON w.number = l.worker
        WHERE w.miner = $1 AND l.block < $2
    ) done
    GROUP BY block
) m ON m.block = b.block
LEFT JOIN shares.parts p ON p.block = b.block AND p.miner = $1
ORDER BY b.block DESC LIMIT $3;

-- name: add_level :exec
INSERT INTO shares.levels (worker, zeros, shares, better) VALUES ($1, $2, $3, $4)
ON CONFLICT (worker, zeros) DO UPDATE SET shares = excluded.shares, better = excluded.better
WHERE levels.shares < excluded.shares;

-- name: levels_of_worker :many
SELECT zeros, shares, better FROM shares.levels WHERE worker = $1 ORDER BY zeros;

-- name: forget_shares :exec
DELETE FROM shares.shares WHERE block < $1;

-- name: forget_worker_blocks :exec
DELETE FROM shares.worker_blocks
WHERE block < $1
    AND block IN (SELECT block FROM shares.blocks WHERE state IN ('final', 'handed_on'));

-- name: forget_late_shares :exec
DELETE FROM shares.late_shares WHERE block < $1;

-- name: forget_bests :exec
DELETE FROM shares.bests WHERE block < $1;
