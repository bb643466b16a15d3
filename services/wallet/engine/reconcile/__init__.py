"""The comparison of records with the chain: what differs, and what others harvested."""
