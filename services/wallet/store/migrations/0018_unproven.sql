-- Operations whose envelopes ended without a proof, and that wait for a person after the second.

-- Envelopes after which another one was signed without a proof that they were excluded or had failed:
-- the chain's state was all that there was to go by.
ALTER TABLE wallet.operations
ADD COLUMN unproven smallint NOT NULL DEFAULT 0 CHECK (unproven >= 0);
CREATE INDEX idx_operations_held ON wallet.operations (id)
WHERE state = 'queued' AND unproven >= 2;
