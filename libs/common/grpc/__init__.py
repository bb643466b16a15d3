"""gRPC for every service: server, health, info, errors, deadlines, limits, typed clients."""
