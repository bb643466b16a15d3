"""Pages: limits, starts and cursors of getTransactions, getLedgers and getEvents."""

import re
from dataclasses import dataclass

from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.errors import RpcError, invalid_params, invalid_request

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
    def parse(text: str) -> "TransactionCursor":
        """Parse a cursor; an RPC error when the text is none."""
        number = parse_number(text, "ParseInt", 63)
        return TransactionCursor(
            ledger=number >> _LEDGER_SHIFT, order=number >> _ORDER_SHIFT & _ORDER_MASK
        )


def parse_number(text: str, function: str, bits: int) -> int:
    """Parse a number as a function of Go does; the RPC error has its words."""
    digits = re.match(r"\d*", text, re.ASCII)
    assert digits is not None  # noqa: S101  (no digit is a match, too)
    # Go reads digit by digit, so that the first error decides.
    if digits[0] and int(digits[0]) >= 1 << bits:
        raise invalid_params(f'strconv.{function}: parsing "{text}": value out of range')
    if digits[0] != text or not text:
        raise invalid_params(f'strconv.{function}: parsing "{text}": invalid syntax')
    return int(text)


def cursor_of(params: Params) -> str:
    """Return the cursor that a page begins after; empty for none.

    A start that is named as well is refused.
    """
    cursor: str = (params.get("pagination") or {}).get("cursor") or ""
    if cursor and params.get("startLedger"):
        start = params["startLedger"]
        raise invalid_request(f"startLedger ({start}) and cursor ({cursor}) cannot both be set")
    return cursor


def wants_json_page(params: Params) -> bool:
    """Tell whether xdrFormat is "json"; pages refuse other values as a wrong request."""
    try:
        return wants_json(params)
    except RpcError as error:
        raise invalid_request(error.message) from error


def page_limit(params: Params, default: int, most: int) -> int:
    """Return the page size that the call asks for."""
    limit: int = (params.get("pagination") or {}).get("limit", default) or default
    if limit > most:
        raise invalid_request(f"limit must not exceed {most}")
    return limit


def start_ledger(rpc: RpcContext, params: Params) -> int:
    """Return the first ledger of a page without a cursor."""
    start: int = params.get("startLedger", 0)
    oldest, latest = rpc.oldest.sequence, rpc.latest.sequence
    if not oldest <= start <= latest:
        raise invalid_request(
            f"start ledger ({start}) must be between the oldest ledger: {oldest} and the latest"
            f" ledger: {latest} for this rpc instance"
        )
    return start
