"""gRPC servicers, one file per noun.

Messages become the arguments of use cases; their results become messages.
"""
