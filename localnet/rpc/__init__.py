"""The JSON-RPC side of a localnet, and its HTTP endpoints."""
