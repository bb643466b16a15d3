"""Attacks on a running pool: requests that nobody means, callers that go away."""
