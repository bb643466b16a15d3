-- What moved a farmer's balance since a ledger is found without reading all that it ever did.
CREATE INDEX idx_operations_ledger ON wallet.operations (wallet_id, ledger)
WHERE ledger IS NOT NULL;
