"""Signatures that people paste into forms."""

import base64
import binascii
import re

from libs.common.errors import InvalidArgumentError
from libs.kale.signed_message import SIGNATURE_BYTES

_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * SIGNATURE_BYTES}}}")


def signature_of(text: str) -> bytes:
    """Return a signature that a form has, in base64 or in hex; raise InvalidArgumentError."""
    said = "".join(text.split())
    if _HEX.fullmatch(said):
        return bytes.fromhex(said)
    try:
        found = base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != SIGNATURE_BYTES:
        raise InvalidArgumentError.of("signature", "must be 64 bytes in base64")
    return found
