"""Cross-cutting code of all services: settings, errors, logs, database, gRPC. Knows no KALE."""
