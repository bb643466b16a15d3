-- registry: poolers, farmers, and the requests that made or changed them.

CREATE TYPE registry.farmer_status AS ENUM (
    'provisioning', 'active', 'suspended', 'leaving', 'departed'
);

CREATE TABLE registry.poolers (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL,
    public_key varchar(56) NOT NULL UNIQUE,
    api_endpoint varchar(512) NOT NULL DEFAULT '',
    max_farmers int NOT NULL CHECK (max_farmers BETWEEN 1 AND 1000),
    -- Kept in the transaction that adds or removes a farmer, under the row's lock.
    current_farmers int NOT NULL DEFAULT 0,
    is_active boolean NOT NULL DEFAULT true,
    last_seen timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (current_farmers BETWEEN 0 AND max_farmers)
);

CREATE TABLE registry.farmers (
    id uuid PRIMARY KEY,
    -- Empty until wallet has made it.
    wallet_id uuid REFERENCES wallet.wallets (id),
    custodial_public_key varchar(56) UNIQUE,
    pooler_id uuid NOT NULL REFERENCES registry.poolers (id),
    payout_wallet_address varchar(56) NOT NULL DEFAULT '',
    stake_percentage numeric(5, 4) NOT NULL DEFAULT 0.1
    CHECK (stake_percentage BETWEEN 0 AND 1),
    status registry.farmer_status NOT NULL DEFAULT 'provisioning',
    metadata jsonb NOT NULL DEFAULT '{}',
    -- The caller's request id, or a fresh one when it gave none.
    request_id text NOT NULL,
    -- SHA-256 of the request's arguments.
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (pooler_id, request_id),
    CHECK ((status = 'provisioning') = (custodial_public_key IS NULL)),
    CHECK ((wallet_id IS NULL) = (custodial_public_key IS NULL))
);
CREATE INDEX idx_farmers_pooler_status ON registry.farmers (pooler_id, status);
CREATE INDEX idx_farmers_provisioning ON registry.farmers (id) WHERE status = 'provisioning';

-- What a request id has done, for requests that do not make a farmer.
CREATE TABLE registry.requests (
    request_id text PRIMARY KEY,
    method text NOT NULL,
    digest bytea NOT NULL,
    -- The pooler or farmer that it made or changed.
    subject_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

GRANT USAGE ON SCHEMA registry
TO kalepool_registry, kalepool_wallet, kalepool_plant, kalepool_work, kalepool_harvest;
GRANT SELECT, INSERT, UPDATE ON registry.poolers, registry.farmers TO kalepool_registry;
GRANT SELECT, INSERT ON registry.requests TO kalepool_registry;
GRANT SELECT ON registry.poolers, registry.farmers
TO kalepool_wallet, kalepool_plant, kalepool_work, kalepool_harvest;
