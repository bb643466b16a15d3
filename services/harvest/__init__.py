"""harvest: what was paid for which block, and what each farmer has earned.

Owns the schema `harvest`: harvests (append-only), balances, and the batches that made them.
Invariant: event and balance change in one statement, and a farmer is paid once for a block.
"""
