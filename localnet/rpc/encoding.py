"""Bytes and times in the form that clients read."""

from base64 import b64encode
from datetime import UTC, datetime


def base64(data: bytes) -> str:
    """Return XDR bytes as base64 text."""
    return b64encode(data).decode()


def timestamp(seconds: int) -> str:
    """Return a time as RFC 3339 text in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
