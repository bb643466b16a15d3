"""Pages (AIP-158): sizes with limits, and opaque tokens that hold the last key of a page."""

import base64
import binascii
import json
from collections.abc import Sequence

from libs.common.errors import FieldViolation, InvalidArgumentError

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def encode_token(key: Sequence[str | int]) -> str:
    """The token of the page that begins after `key`."""
    raw = json.dumps(list(key), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_token(
    token: str, kinds: Sequence[type[str] | type[int]]
) -> tuple[str | int, ...] | None:
    """The key in `token`, with items of just these kinds; None for the empty token.

    Raises InvalidArgumentError naming page_token when it is not one of ours.
    """
    if not token:
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        key = json.loads(raw)
    except (binascii.Error, ValueError) as error:
        raise _bad_token() from error
    if not isinstance(key, list) or [type(item) for item in key] != list(kinds):
        raise _bad_token()
    return tuple(key)


def _bad_token() -> InvalidArgumentError:
    violation = FieldViolation(
        field="page_token", description="is not a next_page_token of this method"
    )
    return InvalidArgumentError("page_token is not valid", violations=[violation])
