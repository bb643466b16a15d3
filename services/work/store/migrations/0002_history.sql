-- A block's nonces are found by its batches, not among all that a farmer ever sent.
CREATE INDEX idx_batches_block ON work.batches (block_index, pooler_id);
