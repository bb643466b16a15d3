"""A day of blocks in compressed time, with a kill now and then (`make day`)."""
