"""The only place of the pool that knows Stellar: XDR, JSON-RPC, envelopes, results.

Everything that leaves it is a dataclass of model.py; stellar_sdk's types stay inside.
"""
