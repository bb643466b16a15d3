"""The treasury's own transactions: new accounts, rent, deployments."""
