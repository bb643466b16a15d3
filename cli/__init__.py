"""kalepool, the operators' command: a gRPC client of the five services, and nothing else.

Every RPC's comment in protos/ names the command line that calls it; a test keeps the two together.
"""
