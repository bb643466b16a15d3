"""A small Stellar network with the KALE contract: JSON-RPC, timed ledgers, real XDR and checks.

It is for development, demos and tests. It is also the reference of the tests: the content of its
chain is true. Its invariant: an answer has the shape, the status and the error code that a real
network's RPC gives for the same call (tests/vectors/recordings).
"""
