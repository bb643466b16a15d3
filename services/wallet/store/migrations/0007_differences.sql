-- What reconciliation found: records and chain that do not say the same.

CREATE TABLE wallet.differences (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    wallet_id uuid NOT NULL REFERENCES wallet.wallets (id),
    -- 0 for a balance.
    block_index int NOT NULL,
    recorded text NOT NULL,
    on_chain text NOT NULL,
    -- Ledger that the chain was read at.
    ledger int NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    -- How it was settled; empty while it is open.
    settled text NOT NULL DEFAULT '',
    settled_at timestamptz,
    CONSTRAINT differences_settled CHECK ((settled <> '') = (settled_at IS NOT NULL))
);
CREATE UNIQUE INDEX idx_differences_open ON wallet.differences (wallet_id, block_index, kind)
WHERE settled_at IS NULL;

-- The KALE that a farmer's account had when it was last reconciled.
CREATE TABLE wallet.reconciled_balances (
    wallet_id uuid PRIMARY KEY REFERENCES wallet.wallets (id),
    ledger int NOT NULL,
    kale_stroops bigint NOT NULL
);

GRANT SELECT, INSERT, UPDATE (settled, settled_at) ON wallet.differences TO kalepool_wallet;
GRANT SELECT, INSERT, UPDATE ON wallet.reconciled_balances TO kalepool_wallet;
