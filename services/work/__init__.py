"""work: the nonces that poolers submit for farmers, and the chain's results for them.

Owns the schema `work`: works (append-only), submissions and the batches that sent them. Invariants:
a nonce is judged by the hash that is computed here, and a batch is durable before wallet hears of
it.
"""
