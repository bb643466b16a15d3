"""The submission engine: takes up durable operations, signs and sends them, finds their
outcomes."""
