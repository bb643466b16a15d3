"""The parts of one wallet process, put together: `app.py` opens what they stand on.

`stores.py` has the stores, `engine.py` the steps that bring operations to a ledger and the loops
that repeat them, `callers.py` the use cases and the servicers that call them.
"""
