"""Pages (AIP-158): sizes with limits, and opaque tokens that hold the last key of a page."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from libs.common.errors import FieldViolation, InvalidArgumentError

DEFAULT_PAGE_SIZE = 100
#: Largest number in a key: what an int column holds.
MAX_INDEX = 2**31 - 1


def size_of(page_size: int) -> int:
    """Return the items of a page; 0, which means that the caller set no size, gives the default."""
    return page_size or DEFAULT_PAGE_SIZE


def id_after(page_token: str) -> UUID | None:
    """Return the id in a token whose key is one id; None for the first page."""
    key = decode_token(page_token, [UUID])
    return None if key is None else key[0]


def token_after(keys: Sequence[UUID | int], size: int) -> str:
    """Return the token for the page after one of `size` items; empty when there is no further page.

    `keys` are the keys that a read of one item more than `size` returned.
    """
    return encode_token([keys[size - 1]]) if len(keys) > size else ""


def encode_token(key: Sequence[UUID | int]) -> str:
    """Return the token of the page that begins after `key`."""
    raw = json.dumps([one if isinstance(one, int) else str(one) for one in key]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_token(token: str, kinds: Sequence[type]) -> tuple[Any, ...] | None:
    """Return the key in `token`; None for the empty token.

    `kinds` are int (a 32-bit index) or UUID. Raise InvalidArgumentError naming page_token when the
    token is not one of ours.
    """
    if not token:
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        key = json.loads(raw)
        # zip is strict: a key of another length raises ValueError, too.
        return tuple(_item(item, kind) for item, kind in zip(_items(key), kinds, strict=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        violation = FieldViolation(
            field="page_token", description="is not a next_page_token of this method"
        )
        raise InvalidArgumentError("page_token is not valid", violations=[violation]) from error


def _items(key: object) -> list[object]:
    if not isinstance(key, list):
        raise ValueError("not a key")  # noqa: TRY004  (it is text that is wrong, no argument)
    return key


def _item(item: object, kind: type) -> object:
    if kind is UUID and isinstance(item, str):
        return UUID(item)
    if kind is int and type(item) is int and 0 <= item <= MAX_INDEX:
        return item
    raise ValueError("not an item of a key")
