"""Results of transactions that worked, read byte by byte: the SDK takes thirty times as long.

Nearly every transaction of a block is one call that worked. A result that is not written exactly as
one of those is left to the SDK; a test compares the fees that both read. Names and numbers of the
types are those of Stellar-transaction.x.
"""

import binascii
import re

#: int64 feeCharged.
_FEE = rb"(.{8})"
#: OperationResult<1>: opINNER, INVOKE_HOST_FUNCTION, INVOKE_HOST_FUNCTION_SUCCESS, its hash.
_ONE_CALL = rb"\0\0\0\x01\0\0\0\0\0\0\0\x18\0\0\0\0.{32}"
#: The void extension at the end of a result.
_NO_EXTENSION = rb"\0\0\0\0"
#: txSUCCESS.
_WORKED = rb"\0\0\0\0" + _ONE_CALL + _NO_EXTENSION
#: txFEE_BUMP_INNER_SUCCESS, the inner transaction's hash, its own fee, and its result.
_BUMP_WORKED = rb"\0\0\0\x01.{32}.{8}" + _WORKED + _NO_EXTENSION

_match = re.compile(_FEE + rb"(?:" + _WORKED + rb"|" + _BUMP_WORKED + rb")", re.DOTALL).fullmatch


def fee_of_one_call(text: str) -> int | None:
    """Return the stroops that a transaction cost which made one call and worked.

    Takes a TransactionResult in base64; returns None for every other result.
    """
    try:
        found = _match(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:
        return None
    return None if found is None else int.from_bytes(found[1], "big", signed=True)
