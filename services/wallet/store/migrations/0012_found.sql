-- What reconciliation records is told apart, so that plant, work and harvest learn of it.

ALTER TABLE wallet.operations ADD COLUMN is_found boolean NOT NULL DEFAULT false;
ALTER TABLE wallet.operations ADD COLUMN found_hash varchar(64);
-- A pail shows zeros only: of a work that was found there nobody knows the nonce.
ALTER TABLE wallet.operations DROP CONSTRAINT operations_work;
ALTER TABLE wallet.operations ADD CONSTRAINT operations_work CHECK (
    (kind = 'work') = (
        zeros IS NOT NULL AND (is_found OR (nonce IS NOT NULL AND hash IS NOT NULL))
    )
);
-- What no batch asked for is found by plant, work and harvest without reading all that was.
CREATE INDEX idx_operations_found ON wallet.operations (block_index) WHERE is_found;

CREATE OR REPLACE VIEW wallet.all_operations AS
SELECT
    o.id AS operation_id,
    o.kind,
    w.farmer_id,
    w.pooler_id,
    w.address,
    o.block_index,
    o.state,
    o.amount,
    o.stake_returned,
    o.nonce,
    o.hash,
    o.gap,
    coalesce(t.hash, o.found_hash)::text AS transaction_hash,
    o.ledger,
    o.fee_charged,
    o.attempts,
    o.reason,
    o.error_message,
    o.created_at,
    o.settled_at,
    o.zeros,
    o.is_found
FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
LEFT JOIN wallet.transactions AS t ON o.transaction_id = t.id;

CREATE OR REPLACE VIEW wallet.settled_operations AS
SELECT
    o.operation_id,
    o.kind::text AS kind,
    o.farmer_id,
    o.pooler_id,
    o.address,
    o.block_index,
    o.state::text AS state,
    o.amount,
    o.stake_returned,
    o.nonce,
    o.hash,
    o.gap,
    o.transaction_hash,
    o.ledger,
    o.fee_charged,
    o.reason,
    o.error_message,
    o.created_at,
    o.settled_at,
    o.zeros,
    o.is_found
FROM wallet.all_operations AS o
WHERE o.settled_at IS NOT NULL;
