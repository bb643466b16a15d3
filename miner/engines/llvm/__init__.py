"""Keccak on vectors: LLVM IR made in Python, compiled for this processor, run without the GIL.

`rounds.py` has the permutation, `kernel.py` the loop around it, `cpu.py` which vectors fit which
processor, `cache.py` keeps object code on disk, `engine.py` puts it all together. llvmlite is
needed for compiling and for loading (`requirements/miner.txt`).
"""
