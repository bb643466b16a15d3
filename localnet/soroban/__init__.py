"""The contracts of a localnet and the host that runs them: a model of Soroban for only these.

Real XDR goes in and out. Footprints, authorisation trees, events, errors and lifetimes are those of
the real host, checked against its recorded answers (tests/vectors).
"""
