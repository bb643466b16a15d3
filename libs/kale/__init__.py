"""The KALE contract's rules as pure functions over integers: no I/O, no XDR, no floats.

Amounts are stroops (1 KALE = 10^7 stroops). The rules are those of the farm contract; the vectors
in tests/vectors/kale hold what the real contract answered.
"""
