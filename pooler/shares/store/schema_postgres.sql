-- The database of shares in PostgreSQL. Beside it stands schema_sqlite.sql: the same tables.
-- Moments are unix milliseconds, amounts stroops, points hashes.

CREATE SCHEMA shares;

-- One row for each thing that the whole database has once: version of the schema, key of jobs.
CREATE TABLE shares.facts (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE shares.miners (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    miner_id text NOT NULL UNIQUE,
    credential_hash bytea NOT NULL UNIQUE,
    address text NOT NULL,
    name text NOT NULL,
    terms text NOT NULL,
    joined_at bigint NOT NULL,
    banned_until bigint NOT NULL DEFAULT 0,
    ban_reason text NOT NULL DEFAULT ''
);

CREATE TABLE shares.workers (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    miner bigint NOT NULL REFERENCES shares.miners,
    name text NOT NULL,
    first_at bigint NOT NULL,
    UNIQUE (miner, name)
);

CREATE TABLE shares.farmers (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    farmer_id text NOT NULL UNIQUE
);

CREATE TABLE shares.blocks (
    block bigint PRIMARY KEY,
    entropy bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('mined', 'sent', 'closed', 'final', 'handed_on')),
    opened_at bigint NOT NULL,
    sent_at bigint NOT NULL DEFAULT 0,
    own_hashes bigint NOT NULL DEFAULT 0 CHECK (own_hashes >= 0),
    -- The terms that held when it was taken up.
    miners_bps bigint NOT NULL CHECK (miners_bps BETWEEN 0 AND 10000),
    own_takes_part bigint NOT NULL CHECK (own_takes_part IN (0, 1)),
    points bigint NOT NULL DEFAULT 0,
    rewards bigint NOT NULL DEFAULT 0 CHECK (rewards >= 0),
    pot bigint NOT NULL DEFAULT 0 CHECK (pot BETWEEN 0 AND rewards)
);

-- Shares of the newest blocks: no nonce of a farmer and block twice.
CREATE TABLE shares.shares (
    block bigint NOT NULL REFERENCES shares.blocks,
    farmer bigint NOT NULL REFERENCES shares.farmers,
    nonce bigint NOT NULL CHECK (nonce >= 0),
    worker bigint NOT NULL REFERENCES shares.workers,
    points bigint NOT NULL CHECK (points > 0),
    zeros bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (block, farmer, nonce)
);

-- The best nonce of each farmer in a block that is mined.
CREATE TABLE shares.bests (
    block bigint NOT NULL REFERENCES shares.blocks,
    farmer bigint NOT NULL REFERENCES shares.farmers,
    nonce text NOT NULL,
    zeros bigint NOT NULL,
    PRIMARY KEY (block, farmer)
);

-- What a worker did in a block, once the block is closed.
CREATE TABLE shares.worker_blocks (
    block bigint NOT NULL REFERENCES shares.blocks,
    worker bigint NOT NULL REFERENCES shares.workers,
    shares bigint NOT NULL,
    points bigint NOT NULL,
    squares double precision NOT NULL,
    best bigint NOT NULL,
    PRIMARY KEY (block, worker)
);
CREATE INDEX worker_blocks_worker ON shares.worker_blocks (worker, block);

-- Shares that came too late: credited nothing.
CREATE TABLE shares.late_shares (
    block bigint NOT NULL REFERENCES shares.blocks,
    worker bigint NOT NULL REFERENCES shares.workers,
    shares bigint NOT NULL,
    points bigint NOT NULL,
    latest_ms bigint NOT NULL,
    PRIMARY KEY (block, worker)
);

-- Shares of a worker with at least so many zeros, and those with more: see domain/withholding.py.
CREATE TABLE shares.levels (
    worker bigint NOT NULL REFERENCES shares.workers,
    zeros bigint NOT NULL,
    shares bigint NOT NULL,
    better bigint NOT NULL,
    PRIMARY KEY (worker, zeros)
);

-- Miners' parts of a block that is final.
CREATE TABLE shares.parts (
    block bigint NOT NULL REFERENCES shares.blocks,
    miner bigint NOT NULL REFERENCES shares.miners,
    points bigint NOT NULL CHECK (points > 0),
    amount bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (block, miner)
);
CREATE INDEX parts_miner ON shares.parts (miner, block);
