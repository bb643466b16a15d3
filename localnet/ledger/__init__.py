"""The ledger: state, transaction rules, queue, closing. No network input or output in here."""
