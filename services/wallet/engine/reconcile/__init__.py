"""Records against the chain: what differs, and what others harvested."""
