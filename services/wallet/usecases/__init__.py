"""What callers can have done: one file per noun."""
