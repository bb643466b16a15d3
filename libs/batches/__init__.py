"""Durable batches: the code that plant, work and harvest share.

The package knows wallet's RPCs and views, and no KALE rule.
"""
