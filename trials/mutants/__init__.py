"""Mutation testing: makes realistic wrong changes and shows which of them no test notices."""
