-- Withdrawals, and the farmers' outside addresses that they go to.

ALTER TYPE wallet.operation_kind ADD VALUE 'withdraw';

-- Every outside address that a farmer ever had; the newest that is effective counts. An empty one
-- means: none.
CREATE TABLE wallet.payout_addresses (
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    number int NOT NULL CHECK (number >= 1),
    address varchar(56) NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    effective_at timestamptz NOT NULL,
    PRIMARY KEY (wallet_id, number)
);

-- What a farmer wanted sent; what became of it is in its operation.
CREATE TABLE wallet.withdrawals (
    operation_id uuid PRIMARY KEY REFERENCES wallet.operations (id),
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    -- 'kale' or 'xlm'.
    asset text NOT NULL CHECK (asset IN ('kale', 'xlm')),
    amount bigint NOT NULL CHECK (amount > 0),
    destination varchar(56) NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (wallet_id, request_id)
);
CREATE INDEX idx_withdrawals_recent ON wallet.withdrawals (requested_at, asset);

GRANT SELECT, INSERT ON wallet.payout_addresses, wallet.withdrawals TO kalepool_wallet;
