"""plant's decisions: pure functions, without I/O."""
