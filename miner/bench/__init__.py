"""Measurements: how fast the engines of this machine are, beside each other and beside others."""
