"""A small Stellar network with the KALE contract: JSON-RPC, timed ledgers, real XDR and checks.

It is for development, demos and tests, and it is the oracle of the tests: what is on its chain is
true. The invariant that it guards: an answer has the shape, the status and the error code that a
real network's RPC gives for the same call (tests/vectors/recordings).
"""
