"""work: which nonces were shown for whom, and what the chain made of them.

Owns the schema `work`: works (append-only), submissions and the batches that sent them. Invariant:
a nonce is judged by the hash that is computed here, and a batch is durable before wallet hears of
it.
"""
