"""Everything that can go wrong between the wallet, its database and the chain, one thing at a time.

`make faults` runs real processes, breaks something during plant, work, harvest and withdraw, and
compares PostgreSQL with the chain: nothing is lost, nothing is done twice, nothing is left for a
person.
"""
