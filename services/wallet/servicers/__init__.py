"""gRPC: one file per noun; a message becomes a use case's arguments, its answer a message."""
