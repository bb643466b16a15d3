"""harvest: the payments for each block, the earnings of each farmer, and reports of both.

Owns the schema `harvest`: harvests (append-only), balances, sums, and the batches that made them.
Invariants: event and balance change in one statement, and a farmer is paid once for a block.
"""
