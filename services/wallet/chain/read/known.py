"""XDR of a protocol that is newer than the SDK, told from XDR that is none.

An upgrade of the network may bring result codes, events and versions which the SDK does not know.
What is told so is not understood; it is neither a failure nor a broken answer.
"""

from collections.abc import Callable
from typing import TypeVar

from services.wallet.chain.errors import UnknownMetaError

T = TypeVar("T")
R = TypeVar("R")
#: Parts of the SDK's errors about a number that names nothing it knows.
_UNKNOWN = (" is not a valid ", "Invalid v.")


def known(decode: Callable[[T], R], packed: T, what: str) -> R:
    """Decode XDR; raise UnknownMetaError where the SDK does not know a part of it.

    `what` names the part of the answer.
    """
    try:
        return decode(packed)
    except ValueError as error:
        if not any(words in str(error) for words in _UNKNOWN):
            raise
        raise UnknownMetaError(f"the SDK does not know all of {what}: {error}") from error
