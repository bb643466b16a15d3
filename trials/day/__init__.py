"""A day of blocks in compressed time, and a kill now and then (`make day`)."""
