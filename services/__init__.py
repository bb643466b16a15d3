"""The five gRPC services of the pool; each owns one schema of the database and one .proto."""
