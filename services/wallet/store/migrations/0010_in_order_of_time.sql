-- New rows go to the end of an index, whatever the history: an index that begins with something random
-- (a hash) or with a farmer is written to all over, and with months of history none of it is cached.

-- A hash covers its time bound, so that the same hash comes with the same bound, if ever; and a fee
-- bump's covers the inner transaction, so that two of the same hash have the same inner one.
ALTER TABLE wallet.transactions DROP CONSTRAINT transactions_hash_key;
ALTER TABLE wallet.transactions DROP CONSTRAINT transactions_lookup_hash_key;
CREATE UNIQUE INDEX idx_transactions_lookup_hash ON wallet.transactions (max_time, lookup_hash);

-- A number on record counts only where a node shows an older ledger: few are looked at.
DROP INDEX wallet.idx_transactions_source;
CREATE INDEX idx_transactions_ledger ON wallet.transactions (ledger) WHERE ledger IS NOT NULL;

DROP INDEX wallet.idx_operations_once;
CREATE UNIQUE INDEX idx_operations_once ON wallet.operations (
    block_index, wallet_id, kind, coalesce(nonce, -1)
) WHERE state NOT IN ('failed', 'expired');
DROP INDEX wallet.idx_operations_block;
CREATE INDEX idx_operations_block ON wallet.operations (block_index, wallet_id, kind);

-- A record's hash covers its number, which is unique already.
ALTER TABLE wallet.audit_log DROP CONSTRAINT audit_log_hash_key;
