-- New rows go to the end of an index, whatever the history: what was sent in a block is found by its
-- batches, and a farmer in each of them.
DROP INDEX work.idx_batch_items_farmer;
DROP INDEX work.idx_submissions_farmer;
CREATE INDEX idx_submissions_farmer ON work.submissions (batch_id, farmer_id);
