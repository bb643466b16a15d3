"""Transaction and operation results, packed as XDR.

The unions are packed by hand, so that hundreds of results of one ledger take only microseconds.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from stellar_sdk.xdr import OperationResultCode, OperationType, TransactionResultCode

#: Result code of a whole transaction.
TxCode = TransactionResultCode
#: Result code of an operation that failed before its own rules were checked.
OpCode = OperationResultCode


@dataclass(frozen=True, kw_only=True)
class OperationOutcome:
    """The result of one operation."""

    #: The OperationResult in XDR.
    packed: bytes
    #: True when the operation succeeded.
    ok: bool


def op_error(code: OpCode) -> OperationOutcome:
    """Make the result of an operation that failed before its own rules were checked.

    Examples are opBAD_AUTH and opNO_ACCOUNT.
    """
    return OperationOutcome(packed=struct.pack(">i", code), ok=False)


def op_result(kind: OperationType, code: IntEnum, payload: bytes = b"") -> OperationOutcome:
    """Make an operation's own result; the code 0 means success for every operation."""
    return OperationOutcome(packed=struct.pack(">iii", 0, kind, code) + payload, ok=code == 0)


@dataclass(frozen=True, kw_only=True)
class TxOutcome:
    """The outcome of a transaction, without the fee."""

    #: Code of the (inner) transaction.
    code: TxCode
    #: Results of the operations; empty unless the code is txSUCCESS or txFAILED.
    operations: tuple[OperationOutcome, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the transaction succeeded."""
        return self.code is TxCode.txSUCCESS


def _body(outcome: TxOutcome) -> bytes:
    packed = struct.pack(">i", outcome.code)
    if outcome.code in (TxCode.txSUCCESS, TxCode.txFAILED):
        packed += struct.pack(">I", len(outcome.operations))
        packed += b"".join(o.packed for o in outcome.operations)
    return packed


def tx_result(fee: int, outcome: TxOutcome) -> bytes:
    """Pack a TransactionResult."""
    return struct.pack(">q", fee) + _body(outcome) + bytes(4)


def fee_bump_result(fee: int, outcome: TxOutcome, *, inner_hash: bytes, inner_fee: int) -> bytes:
    """Pack a fee bump's TransactionResult around the result of its inner transaction."""
    code = TxCode.txFEE_BUMP_INNER_SUCCESS if outcome.ok else TxCode.txFEE_BUMP_INNER_FAILED
    inner = struct.pack(">q", inner_fee) + _body(outcome) + bytes(4)
    return struct.pack(">qi", fee, code) + inner_hash + inner + bytes(4)
