"""The end of every transaction: what a ledger did with it, or the proof that none will take it."""
