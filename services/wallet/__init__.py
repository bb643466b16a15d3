"""wallet: the only holder of keys and the only service that talks to Stellar.

Owns the schemas `wallet` (wallets, sealed keys, operations, transactions) and `chain` (blocks as
seen on the chain). Invariants: an operation is durable before a byte leaves, and a new envelope for
it is signed only once the old envelope can never be included.
"""
