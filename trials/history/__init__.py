"""The effect of months of history on the statements of a block (`make history`)."""
