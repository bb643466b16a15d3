"""Fields of a pooler's answers, read strictly: each error names the field."""

from collections.abc import Mapping
from typing import Any

from miner.model import MinerError

_KEY_DIGITS = 64


class PoolAnswerError(MinerError):
    """The pooler answers something that this miner does not understand."""


def text_of(content: Mapping[str, Any], name: str) -> str:
    """Return a text that is not empty. Raise PoolAnswerError."""
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise PoolAnswerError(f"{name}: must be a text")
    return value


def number_of(content: Mapping[str, Any], name: str, *, least: int = 0, most: int) -> int:
    """Return a whole number, which may stand there as a text. Raise PoolAnswerError."""
    value = content.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise PoolAnswerError(f"{name}: must be a number from {least} to {most}")
    return value


def key_of(content: Mapping[str, Any], name: str) -> bytes:
    """Return 32 bytes that stand there in hex. Raise PoolAnswerError."""
    text = text_of(content, name)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(text) != _KEY_DIGITS or len(key) * 2 != _KEY_DIGITS:
        raise PoolAnswerError(f"{name}: must be {_KEY_DIGITS} hexadecimal digits")
    return key


def object_of(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object, an empty one where there is none. Raise PoolAnswerError."""
    value = content.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PoolAnswerError(f"{name}: must be an object")
    return value
