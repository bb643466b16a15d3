"""Facts from answers: entries, transactions and their results, simulations."""
