"""Everything that can go wrong between wallet, its database and the chain, one thing at a time.

`make faults` runs real processes, breaks something during plant, work, harvest and withdraw, and
compares PostgreSQL with the chain: nothing lost, nothing twice, nothing left for a person.
"""
