"""Strict reading of the fields of a node's answer.

A field that is not exactly what the method answers, or is out of its range, raises a ValueError
that names the field. The caller counts the error as a failure of the node.
"""

import string
import struct
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import Any

from services.wallet.chain.errors import UnknownAnswerError
from services.wallet.domain.chain_facts import LedgerHead

Json = Mapping[str, Any]

#: The largest number of 32 bits without a sign, such as a ledger's.
UINT32 = 2**32 - 1
#: The largest number of 64 bits with a sign, such as an amount in stroops.
INT64 = 2**63 - 1
#: The last unix second that a date can be made of.
_LAST_SECOND = 253_402_300_799
#: Characters of XDR (base64) at most: whole decoding takes half a millisecond per thousand.
LONGEST = 512 * 1024
#: Characters of a transaction's footprint and resources at most: a network's limits allow fewer.
LONGEST_DATA = 128 * 1024
#: Errors that decoding raises when an answer is not what its method answers.
UNDECODABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    ArithmeticError,
    RecursionError,
    AssertionError,
    MemoryError,
    struct.error,
)
#: Characters of a hash (hex).
_HASH = 64
_HEX = frozenset(string.hexdigits.lower())


def needed(answer: Json, name: str) -> Any:
    """Return a field that the method has always had.

    Raises UnknownAnswerError when the answer has no such field: a newer node may have dropped or
    renamed it.
    """
    try:
        return answer[name]
    except KeyError:
        raise UnknownAnswerError(f"an answer without {name}") from None


def integer(answer: Json, name: str, *, low: int = 0, high: int = UINT32) -> int:
    """Read a number that is written as a number."""
    value = answer.get(name)
    # A boolean is an int to Python, and 7.0 equals 7.
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is no number from {low} to {high}")
    return value


def decimal(answer: Json, name: str, *, high: int = INT64) -> int:
    """Read a number of 64 bits: nodes write some of them as text, which JavaScript can hold."""
    value = answer.get(name)
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 0 <= value <= high:
        raise ValueError(f"{name} is no number from 0 to {high}")
    return value


def time_of(answer: Json, name: str) -> int:
    """Read a close time (unix seconds)."""
    return decimal(answer, name, high=_LAST_SECOND)


def text(answer: Json, name: str, *, longest: int) -> str:
    """Read a text that is not empty."""
    value = answer.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ValueError(f"{name} is no text of up to {longest} characters")
    return value


def hash_of(answer: Json, name: str) -> str:
    """Read a hash in lower-case hex."""
    value = answer.get(name)
    if not isinstance(value, str) or len(value) != _HASH or not _HEX.issuperset(value):
        raise ValueError(f"{name} is no hash")
    return value


def objects(answer: Json, name: str, *, most: int) -> Sequence[Json]:
    """Read a list of objects; null is an empty list, as Go writes it."""
    found = _items(answer, name, most)
    if not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{name} has an item that is no object")
    return found


def texts(answer: Json, name: str, *, most: int, longest: int = LONGEST) -> Sequence[str]:
    """Read a list of texts with at most `longest` characters together.

    Null or an absent field is an empty list.
    """
    found = _items(answer, name, most)
    if not all(isinstance(item, str) for item in found):
        raise ValueError(f"{name} has an item that is no text")
    if sum(map(len, found)) > longest:
        raise ValueError(f"{name} has more than {longest} characters")
    return found


def raw_bytes(encoded: object, name: str) -> bytes:
    """Decode a text in base64."""
    if not isinstance(encoded, str):
        raise TypeError(f"{name} is no text")
    if len(encoded) > LONGEST:
        raise ValueError(f"{name} has more than {LONGEST} characters")
    try:
        return a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"{name} is no base64") from error


def head_of(answer: Json) -> LedgerHead:
    """Read the head in an answer of getTransaction."""
    return _head(answer, close_time="latestLedgerCloseTime")


def head_of_page(answer: Json) -> LedgerHead:
    """Read the head in an answer of getTransactions."""
    return _head(answer, close_time="latestLedgerCloseTimestamp")


def close_time_of(answer: Json) -> int | None:
    """Read the close time of the latest ledger; None when the method does not tell it."""
    names = ("latestLedgerCloseTime", "latestLedgerCloseTimestamp")
    return next((time_of(answer, name) for name in names if name in answer), None)


def _head(answer: Json, *, close_time: str) -> LedgerHead:
    sequence = integer(answer, "latestLedger", low=1)
    # A node that does not say how far it remembers counts as one that remembers nothing.
    told = answer if "oldestLedger" in answer else {"oldestLedger": sequence}
    return LedgerHead(
        sequence=sequence,
        close_time=time_of(answer, close_time),
        oldest=integer(told, "oldestLedger", high=sequence),
    )


def _items(answer: Json, name: str, most: int) -> Sequence[Any]:
    found = answer.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or len(found) > most:
        raise ValueError(f"{name} is no list of up to {most} items")
    return found
