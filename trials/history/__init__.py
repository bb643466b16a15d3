"""What months of history do to the statements of a block (`make history`)."""
