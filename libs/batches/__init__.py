"""Durable batches: what plant, work and harvest share.

Knows wallet's RPCs and views, and no KALE rule.
"""
