"""registry's gRPC interface: one servicer for each gRPC service."""
