"""Tokens in the header Authorization (RFC 6750)."""


def token_in(authorization: str) -> str | None:
    """Return what an Authorization header brings as a token; None when it brings none."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
