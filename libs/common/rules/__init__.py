"""The rules that protos declare next to the fields of requests (kalepool/rules/v1/rules.proto)."""
