-- What is pending is a table of its own: nothing looks for harvests that failed.
DROP INDEX harvest.idx_harvests_failed;
