"""Miners of others as engines: any program that takes a block and a farmer, and prints a nonce.

`template.py` has how a program is called, `output.py` what it prints, `run.py` starts it and sees
to its end, `engine.py` gives it farmers. It has no pool mode: each find takes a start of its own.
"""
