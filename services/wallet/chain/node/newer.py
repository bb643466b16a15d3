"""XDR of a network that is newer than the SDK: what is not known is told apart from what is broken.

Types of the network grow by further arms of unions and further values of enumerations. Whatever
else does not decode is broken, and the failure of the node that sent it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from services.wallet.chain.errors import UnknownAnswerError

#: The SDK's words for a value that an enumeration does not have, for an arm that a union does not
#: have, and for bytes behind the end of a type. Tests pin them.
_UNKNOWN = re.compile(r"-?\d+ is not a valid \w+|Invalid \w+\.|Unexpected trailing .*")

T_co = TypeVar("T_co", covariant=True)


class Type(Protocol[T_co]):
    """A type of the SDK's XDR."""

    def from_xdr_bytes(self, xdr: bytes) -> T_co:
        """Decode the bytes."""
        ...


@contextmanager
def newer() -> Iterator[None]:
    """Raise UnknownAnswerError for what the SDK does not know; let other errors pass."""
    try:
        yield
    except ValueError as error:
        if _UNKNOWN.fullmatch(str(error)) is None:
            raise
        raise UnknownAnswerError(f"XDR that is not known: {error}") from error


def decoded(kind: Type[T_co], data: bytes) -> T_co:
    """Decode XDR.

    Raises UnknownAnswerError for a value or an arm that the SDK does not know, and ValueError and
    the like for bytes that are broken.
    """
    with newer():
        return kind.from_xdr_bytes(data)
