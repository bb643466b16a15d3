"""The yield of strategies: simulated by the contract's rules, against the best possible."""
