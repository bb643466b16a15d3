"""Durable batches: what plant, work and harvest share. Knows wallet's RPCs, no KALE rules."""
