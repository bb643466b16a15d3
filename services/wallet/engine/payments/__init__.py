"""Payments that the ledger refuses to make twice, by payer accounts."""
