"""Shared code: common (no KALE), kale (the contract's rules), batches (durable requests)."""
