"""Bytes and times as clients read them."""

from base64 import b64encode
from datetime import UTC, datetime


def base64(data: bytes) -> str:
    """XDR as clients read it."""
    return b64encode(data).decode()


def timestamp(seconds: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
