"""Attacks on a running pool: malformed and hostile requests, and callers that go away."""
