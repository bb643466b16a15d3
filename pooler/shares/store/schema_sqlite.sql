-- The database of shares in SQLite. Beside it stands schema_postgres.sql: the same tables.
-- Moments are unix milliseconds, amounts stroops, points hashes.

-- One row for each thing that the whole database has once: version of the schema, key of jobs.
CREATE TABLE facts (
    name text PRIMARY KEY,
    value blob NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE miners (
    number integer PRIMARY KEY AUTOINCREMENT,
    miner_id text NOT NULL UNIQUE,
    credential_hash blob NOT NULL UNIQUE,
    address text NOT NULL,
    name text NOT NULL,
    terms text NOT NULL,
    joined_at integer NOT NULL,
    banned_until integer NOT NULL DEFAULT 0,
    ban_reason text NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE workers (
    number integer PRIMARY KEY AUTOINCREMENT,
    miner integer NOT NULL REFERENCES miners,
    name text NOT NULL,
    first_at integer NOT NULL,
    UNIQUE (miner, name)
) STRICT;

CREATE TABLE farmers (
    number integer PRIMARY KEY AUTOINCREMENT,
    farmer_id text NOT NULL UNIQUE
) STRICT;

CREATE TABLE blocks (
    block integer PRIMARY KEY,
    entropy blob NOT NULL,
    state text NOT NULL CHECK (state IN ('mined', 'sent', 'closed', 'final', 'handed_on')),
    opened_at integer NOT NULL,
    sent_at integer NOT NULL DEFAULT 0,
    own_hashes integer NOT NULL DEFAULT 0 CHECK (own_hashes >= 0),
    -- The terms that held when it was taken up.
    miners_bps integer NOT NULL CHECK (miners_bps BETWEEN 0 AND 10000),
    own_takes_part integer NOT NULL CHECK (own_takes_part IN (0, 1)),
    points integer NOT NULL DEFAULT 0,
    rewards integer NOT NULL DEFAULT 0 CHECK (rewards >= 0),
    pot integer NOT NULL DEFAULT 0 CHECK (pot BETWEEN 0 AND rewards)
) STRICT;

-- Shares of the newest blocks: no nonce of a farmer and block twice.
CREATE TABLE shares (
    block integer NOT NULL REFERENCES blocks,
    farmer integer NOT NULL REFERENCES farmers,
    nonce integer NOT NULL CHECK (nonce >= 0),
    worker integer NOT NULL REFERENCES workers,
    points integer NOT NULL CHECK (points > 0),
    zeros integer NOT NULL,
    at integer NOT NULL,
    PRIMARY KEY (block, farmer, nonce)
) STRICT, WITHOUT ROWID;

-- The best nonce of each farmer in a block that is mined.
CREATE TABLE bests (
    block integer NOT NULL REFERENCES blocks,
    farmer integer NOT NULL REFERENCES farmers,
    nonce text NOT NULL,
    zeros integer NOT NULL,
    PRIMARY KEY (block, farmer)
) STRICT, WITHOUT ROWID;

-- What a worker did in a block, once the block is closed.
CREATE TABLE worker_blocks (
    block integer NOT NULL REFERENCES blocks,
    worker integer NOT NULL REFERENCES workers,
    shares integer NOT NULL,
    points integer NOT NULL,
    squares real NOT NULL,
    best integer NOT NULL,
    PRIMARY KEY (block, worker)
) STRICT, WITHOUT ROWID;
CREATE INDEX worker_blocks_worker ON worker_blocks (worker, block);

-- Shares that came too late: credited nothing.
CREATE TABLE late_shares (
    block integer NOT NULL REFERENCES blocks,
    worker integer NOT NULL REFERENCES workers,
    shares integer NOT NULL,
    points integer NOT NULL,
    latest_ms integer NOT NULL,
    PRIMARY KEY (block, worker)
) STRICT, WITHOUT ROWID;

-- Shares of a worker with at least so many zeros, and those with more: see domain/withholding.py.
CREATE TABLE levels (
    worker integer NOT NULL REFERENCES workers,
    zeros integer NOT NULL,
    shares integer NOT NULL,
    better integer NOT NULL,
    PRIMARY KEY (worker, zeros)
) STRICT, WITHOUT ROWID;

-- Miners' parts of a block that is final.
CREATE TABLE parts (
    block integer NOT NULL REFERENCES blocks,
    miner integer NOT NULL REFERENCES miners,
    points integer NOT NULL CHECK (points > 0),
    amount integer NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (block, miner)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_miner ON parts (miner, block);
