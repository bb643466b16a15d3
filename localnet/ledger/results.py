"""Transaction and operation results, packed as XDR.

The unions are packed by hand: a ledger of hundreds of results is then a matter of microseconds.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from stellar_sdk.xdr import OperationResultCode, OperationType, TransactionResultCode

#: Code of a transaction as a whole.
TxCode = TransactionResultCode
#: Code of an operation that did not get to its own result.
OpCode = OperationResultCode


@dataclass(frozen=True, kw_only=True)
class OperationOutcome:
    """One operation's result."""

    #: The OperationResult in XDR.
    packed: bytes
    #: True when the operation did what it says.
    ok: bool


def op_error(code: OpCode) -> OperationOutcome:
    """An operation that failed before its own rules: opBAD_AUTH, opNO_ACCOUNT and so on."""
    return OperationOutcome(packed=struct.pack(">i", code), ok=False)


def op_result(kind: OperationType, code: IntEnum, payload: bytes = b"") -> OperationOutcome:
    """An operation's own result; every operation's success is code 0."""
    return OperationOutcome(packed=struct.pack(">iii", 0, kind, code) + payload, ok=code == 0)


@dataclass(frozen=True, kw_only=True)
class TxOutcome:
    """What a transaction came to, without the fee."""

    #: The (inner) transaction's code.
    code: TxCode
    #: Results of its operations; empty unless the code is txSUCCESS or txFAILED.
    operations: tuple[OperationOutcome, ...] = ()

    @property
    def ok(self) -> bool:
        """True when it did all that it says."""
        return self.code is TxCode.txSUCCESS


def _body(outcome: TxOutcome) -> bytes:
    packed = struct.pack(">i", outcome.code)
    if outcome.code in (TxCode.txSUCCESS, TxCode.txFAILED):
        packed += struct.pack(">I", len(outcome.operations))
        packed += b"".join(o.packed for o in outcome.operations)
    return packed


def tx_result(fee: int, outcome: TxOutcome) -> bytes:
    """A TransactionResult in XDR."""
    return struct.pack(">q", fee) + _body(outcome) + bytes(4)


def fee_bump_result(fee: int, outcome: TxOutcome, *, inner_hash: bytes, inner_fee: int) -> bytes:
    """A fee bump's TransactionResult around the result of its inner transaction."""
    code = TxCode.txFEE_BUMP_INNER_SUCCESS if outcome.ok else TxCode.txFEE_BUMP_INNER_FAILED
    inner = struct.pack(">q", inner_fee) + _body(outcome) + bytes(4)
    return struct.pack(">qi", fee, code) + inner_hash + inner + bytes(4)
