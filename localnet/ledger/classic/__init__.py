"""The classic operations that a pool uses, one function each."""
