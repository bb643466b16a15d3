"""Mutation testing: realistic wrong changes, and a list of those that no test notices."""
