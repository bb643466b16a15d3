"""Pages: limits, starts and cursors of getTransactions, getLedgers and getEvents."""

from dataclasses import dataclass
from typing import Any

from localnet.rpc.context import Params, RpcContext
from localnet.rpc.errors import invalid_params, invalid_request

#: Bit positions of a transaction's place and of the ledger in a total order id (SEP-35).
_ORDER_SHIFT, _LEDGER_SHIFT = 12, 32
_ORDER_MASK = (1 << (_LEDGER_SHIFT - _ORDER_SHIFT)) - 1


def total_order_id(ledger: int, order: int, operation: int) -> int:
    """Return ledger, transaction and operation as one number that sorts by them."""
    return ledger << _LEDGER_SHIFT | order << _ORDER_SHIFT | operation


@dataclass(frozen=True, kw_only=True)
class TransactionCursor:
    """The transaction after which a page starts."""

    #: Ledger of the transaction.
    ledger: int
    #: Place of the transaction in the ledger, from 1; 0 is before the first.
    order: int

    def __str__(self) -> str:
        # The real cursor names the transaction's first operation as 1.
        return str(total_order_id(self.ledger, self.order, 1))

    @staticmethod
    def parse(text: Any) -> "TransactionCursor":
        """Parse a cursor; an RPC error when the text is none."""
        try:
            number = int(text)
        except (TypeError, ValueError) as error:
            raise invalid_params(f"invalid cursor: {text}") from error
        return TransactionCursor(
            ledger=number >> _LEDGER_SHIFT, order=number >> _ORDER_SHIFT & _ORDER_MASK
        )


def page_limit(params: Params, default: int, most: int) -> int:
    """Return the page size that the call asks for."""
    limit = (params.get("pagination") or {}).get("limit", default) or default
    if not isinstance(limit, int):
        raise invalid_params("invalid parameters")
    if limit > most:
        raise invalid_request(f"limit must not exceed {most}")
    return limit


def start_ledger(rpc: RpcContext, params: Params) -> int:
    """Return the first ledger of a page without a cursor."""
    start, oldest, latest = params.get("startLedger", 0), rpc.oldest.sequence, rpc.latest.sequence
    if not isinstance(start, int):
        raise invalid_params("invalid parameters")
    if not oldest <= start <= latest:
        raise invalid_request(
            f"start ledger ({start}) must be between the oldest ledger: {oldest} and the latest"
            f" ledger: {latest} for this rpc instance"
        )
    return start
