"""registry's decisions: pure functions and tables, without I/O."""
