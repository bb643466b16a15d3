"""The gateway: HTTP in front of the five services.

It serves the seed's six paths, `/v1` as the protos' google.api.http rules say, `/openapi.json`, and
`/docs`. It is a gRPC client without a database: what it knows of callers is a token that wallet
exchanges, and each service checks that itself. Killing it at any instant loses nothing.
"""
