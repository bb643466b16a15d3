"""Pure rules of the wallet: operations, transactions, blocks, and what the chain's answers mean."""
