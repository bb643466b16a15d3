"""What the wallet can do and what it costs: figures from the chain itself (`make bench`)."""
