-- What has ended, in the order of the ends: harvest books it.
CREATE INDEX idx_operations_ends ON wallet.operations (settled_at, id) WHERE settled_at IS NOT NULL;
