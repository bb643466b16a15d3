-- What is still to be harvested is found without reading the harvests themselves.
CREATE INDEX idx_harvests_failed ON harvest.harvests (block_index, farmer_id) INCLUDE (reason)
WHERE status = 'failed';
