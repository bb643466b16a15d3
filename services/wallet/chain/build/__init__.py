"""Envelopes: calls of the farm, what they need, payments, new accounts, deployments."""
