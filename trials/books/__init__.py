"""Random journals of the pool's ledger, told and told again by processes that are killed."""
