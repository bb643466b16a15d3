"""The reference pooler: mines nonces for its farmers and drives the five services as a gRPC client.

The pooler keeps no state that matters: after a crash it asks the services where things stand, and
repeats calls with the request ids that the block determines, so nothing is planted, worked or paid
twice.
"""
