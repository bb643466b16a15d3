"""Builders of envelopes: farm calls and their resources, payments, new accounts, deployments."""
