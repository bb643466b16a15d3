"""plant: the stakes of farmers by block.

Owns the schema `plant`: plantings (append-only) and the batches that made them. Invariants: a batch
is durable before wallet hears of it, and a farmer has at most one successful planting in a block.
"""
