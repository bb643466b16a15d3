-- What is to be harvested is found without reading the works themselves.
CREATE INDEX idx_works_done ON work.works (block_index, farmer_id) INCLUDE (pooler_id)
WHERE status = 'success';
