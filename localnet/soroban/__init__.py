"""The contracts of a localnet and the host that runs them: a model of Soroban for just these.

Real XDR goes in and out; footprints, authorisation trees, events, errors and lifetimes are those of
the real host, checked against what it answered (tests/vectors).
"""
