"""The submission engine: takes up durable operations, signs, sends, and finds out what became."""
