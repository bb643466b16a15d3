-- Channel accounts, shares of a ledger, and packs of operations that are split when they fail.

ALTER TYPE wallet.wallet_kind ADD VALUE 'channel';
ALTER TYPE wallet.operation_kind ADD VALUE 'open_channel';
ALTER TYPE wallet.operation_kind ADD VALUE 'top_up';

-- Only a farmer's wallet belongs to somebody.
ALTER TABLE wallet.wallets DROP CONSTRAINT wallets_owner;
ALTER TABLE wallet.wallets ADD CONSTRAINT wallets_owner CHECK (
    (kind = 'farmer') = (farmer_id IS NOT NULL) AND (farmer_id IS NULL) = (pooler_id IS NULL)
);

-- Until when a wallet process has a channel account to itself.
ALTER TABLE wallet.wallets
ADD COLUMN leased_until timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX idx_wallets_kind ON wallet.wallets (kind, id) WHERE kind <> 'farmer';

-- Millionths of a ledger that an envelope takes: what is open must fit into the nodes' queue.
ALTER TABLE wallet.transactions
ADD COLUMN ledger_share int NOT NULL DEFAULT 0 CHECK (ledger_share >= 0);
CREATE INDEX idx_transactions_source ON wallet.transactions (source, sequence);

-- Operations that it may share a transaction with, itself included; less after each that failed as
-- a whole, and 1 means: alone, and simulated for itself.
ALTER TABLE wallet.operations ADD COLUMN pack_limit smallint CHECK (pack_limit >= 1);
CREATE INDEX idx_operations_open ON wallet.operations (kind, block_index)
WHERE state IN ('queued', 'signed', 'sent');

GRANT UPDATE (leased_until) ON wallet.wallets TO kalepool_wallet;
