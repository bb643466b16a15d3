"""The submission engine: takes up, signs and sends durable operations, and finds their outcomes."""
