"""harvest: the payments for each block, and the earnings of each farmer.

Owns the schema `harvest`: harvests (append-only), balances, and the batches that made them.
Invariants: event and balance change in one statement, and a farmer is paid once for a block.
"""
