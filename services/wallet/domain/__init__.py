"""Pure rules of the wallet: operations, transactions, blocks, the meaning of the chain's
answers."""
