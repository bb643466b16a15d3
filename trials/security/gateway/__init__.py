"""Attacks on the gateway: who gets in by HTTP, what falls, what leaks, what wears it out."""
