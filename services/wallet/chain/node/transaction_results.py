"""Results of transactions as XDR: from transactions in a ledger, and from those a node refuses."""

from stellar_sdk import xdr

from services.wallet.chain.errors import UnknownAnswerError
from services.wallet.chain.node.fields import Json, needed, text
from services.wallet.domain.chain_facts import SendResult, SendStatus

#: Characters of a transaction's result at most: one of a hundred operations has fewer.
RESULT_TEXT = 64 * 1024
#: The statuses that nodes answer, by their names, and characters of another one at most.
_STATUSES = {item.value: item for item in SendStatus}
_STATUS_TEXT = 40


def send_result(answer: Json) -> SendResult:
    """Read the answer of sendTransaction."""
    said = needed(answer, "status")
    if not isinstance(said, str):
        raise TypeError("status is no text")
    if said not in _STATUSES:
        raise UnknownAnswerError(f"the status {said[:_STATUS_TEXT]}")
    status = _STATUSES[said]
    if status is not SendStatus.ERROR:
        return SendResult(status=status)
    try:
        result = xdr.TransactionResult.from_xdr(text(answer, "errorResultXdr", longest=RESULT_TEXT))
    except (LookupError, ValueError, EOFError, AttributeError, TypeError):
        return SendResult(status=status)  # refused, with a reason that cannot be read
    outer, code = str(result.result.code.name), str(telling(result).code.name)
    fee = result.fee_charged.int64 if outer == "txINSUFFICIENT_FEE" else None
    if fee is not None and fee < 0:
        return SendResult(status=status)
    return SendResult(status=status, code=code, required_fee=fee)


def telling(
    result: xdr.TransactionResult,
) -> xdr.TransactionResultResult | xdr.InnerTransactionResultResult:
    """Return the part of a fee bump's result about its inner transaction, where it says more.

    Otherwise the result itself is returned.
    """
    inner = result.result.inner_result_pair
    return result.result if inner is None else inner.result.result
