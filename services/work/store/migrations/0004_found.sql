-- Of a work that reconciliation found in a pail, neither nonce nor hash is known.
ALTER TABLE work.works ALTER COLUMN nonce DROP NOT NULL;
ALTER TABLE work.works ALTER COLUMN hash DROP NOT NULL;

-- wallet compares events with the chain.
GRANT USAGE ON SCHEMA work TO kalepool_wallet;
GRANT SELECT ON work.works TO kalepool_wallet;
