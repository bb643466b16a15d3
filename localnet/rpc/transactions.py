"""The methods getTransaction and getTransactions."""

from string import hexdigits
from typing import Any

from stellar_sdk import xdr

from localnet.ledger.apply import Applied
from localnet.ledger.close import ClosedLedger
from localnet.ledger.history import Found
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.encoding import base64
from localnet.rpc.errors import invalid_params
from localnet.rpc.paging import (
    TransactionCursor,
    cursor_of,
    page_limit,
    start_ledger,
    wants_json_page,
)

#: Number of transactions in a page: the default, and the maximum.
DEFAULT_LIMIT = 50
MAX_LIMIT = 200


def _ledger_range(rpc: RpcContext) -> dict[str, Any]:
    return {
        "latestLedger": rpc.latest.sequence,
        "latestLedgerCloseTime": str(rpc.latest.close_time),
        "oldestLedger": rpc.oldest.sequence,
        "oldestLedgerCloseTime": str(rpc.oldest.close_time),
    }


async def get_transaction(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Return one transaction by its hash, or by the inner hash of a fee bump.

    The two reads are separate, as in the real RPC. A ledger may close between them. Then NOT_FOUND
    can come with a latestLedger that holds the transaction (transaction first, RPC 25.1), or with
    one that is older than the ledgers that were searched (range first, RPC 24.0).
    """
    as_json, text = wants_json(params), params.get("hash", "")
    tx_hash = _parse_hash(text)
    first = rpc.settings.lookup_order == "transaction-first"
    found = _find(rpc, tx_hash) if first else None
    if first:
        await rpc.faults.between_reads()
    answer = _ledger_range(rpc)
    if not first:
        await rpc.faults.between_reads()
        found = _find(rpc, tx_hash)
    if found is None:
        return answer | {
            "status": "NOT_FOUND",
            "txHash": text,
            "applicationOrder": 0,
            "feeBump": False,
            "events": {},
            "ledger": 0,
            "createdAt": "0",
        }
    # The hash that was asked for is shown, even when it is the inner one.
    details = transaction_json(found, as_json=as_json) | {"txHash": text}
    return answer | details | {"createdAt": str(found.ledger.close_time)}


def _parse_hash(text: str) -> bytes:
    if len(text) != 64:
        raise invalid_params(f"unexpected hash length ({len(text)})")
    wrong = next((letter for letter in text if letter not in hexdigits), None)
    if wrong is not None:
        shown = f"U+{ord(wrong):04X} '{wrong}'"
        raise invalid_params(f"incorrect hash: encoding/hex: invalid byte: {shown}")
    return bytes.fromhex(text)


def _find(rpc: RpcContext, tx_hash: bytes) -> Found | None:
    """Find the transaction, unless this node pretends not to know its ledger yet."""
    found = rpc.node.history.find(tx_hash)
    return None if found is None or found.ledger.sequence > rpc.snapshot.sequence else found


def transaction_json(found: Found, *, as_json: bool) -> dict[str, Any]:
    """Return one transaction with all its parts."""
    transaction, ledger = found.transaction, found.ledger
    body = {
        "status": "SUCCESS" if transaction.ok else "FAILED",
        "txHash": transaction.hash.hex(),
        "applicationOrder": found.order,
        "feeBump": transaction.inner_hash is not None,
    }
    body |= _parts_json(transaction) if as_json else _parts_xdr(transaction)
    return body | {"ledger": ledger.sequence, "createdAt": ledger.close_time}


def _parts_xdr(transaction: Applied) -> dict[str, Any]:
    body: dict[str, Any] = {
        "envelopeXdr": base64(transaction.envelope),
        "resultXdr": base64(transaction.result),
        "resultMetaXdr": base64(transaction.meta),
    }
    if transaction.diagnostics:
        body["diagnosticEventsXdr"] = [base64(d) for d in transaction.diagnostics]
    events: dict[str, Any] = {"transactionEventsXdr": [base64(e) for e in transaction.events]}
    if transaction.contract_events:
        per_operation = [[base64(e) for e in o] for o in transaction.contract_events]
        events["contractEventsXdr"] = per_operation
    return body | {"events": events}


def _parts_json(transaction: Applied) -> dict[str, Any]:
    """Return the parts as readable JSON (SEP-51)."""
    body: dict[str, Any] = {
        "envelopeJson": to_json(xdr.TransactionEnvelope.from_xdr_bytes(transaction.envelope)),
        "resultJson": to_json(xdr.TransactionResult.from_xdr_bytes(transaction.result)),
        "resultMetaJson": to_json(xdr.TransactionMeta.from_xdr_bytes(transaction.meta)),
    }
    if transaction.diagnostics:
        body["diagnosticEventsJson"] = [
            to_json(xdr.DiagnosticEvent.from_xdr_bytes(d)) for d in transaction.diagnostics
        ]
    events: dict[str, Any] = {
        "transactionEventsJson": [
            to_json(xdr.TransactionEvent.from_xdr_bytes(e)) for e in transaction.events
        ]
    }
    if transaction.contract_events:
        events["contractEventsJson"] = [
            [to_json(xdr.ContractEvent.from_xdr_bytes(e)) for e in o]
            for o in transaction.contract_events
        ]
    return body | {"events": events}


async def get_transactions(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Return a page of transactions in the order of their application."""
    as_json, limit = wants_json_page(params), page_limit(params, DEFAULT_LIMIT, MAX_LIMIT)
    start = _start(rpc, params)
    page: list[dict[str, Any]] = []
    last = start
    latest = rpc.latest
    for ledger in rpc.node.history.range(start.ledger, latest.sequence):
        for found in _after(ledger, start):
            page.append(transaction_json(found, as_json=as_json))
            last = TransactionCursor(ledger=ledger.sequence, order=found.order)
            if len(page) == limit:
                return _page(rpc, page, last)
        # A ledger that was read to its end is not read again.
        last = TransactionCursor(ledger=ledger.sequence, order=len(ledger.transactions))
    return _page(rpc, page, last)


def _after(ledger: ClosedLedger, start: TransactionCursor) -> list[Found]:
    skip = start.order if ledger.sequence == start.ledger else 0
    return [
        Found(ledger=ledger, order=order, transaction=transaction)
        for order, transaction in enumerate(ledger.transactions, start=1)
        if order > skip
    ]


def _start(rpc: RpcContext, params: Params) -> TransactionCursor:
    cursor = cursor_of(params)
    if not cursor:
        return TransactionCursor(ledger=start_ledger(rpc, params), order=0)
    start = TransactionCursor.parse(cursor)
    if start.ledger < rpc.oldest.sequence:
        raise invalid_params(f"database does not contain metadata for ledger: {start.ledger}")
    return start


def _page(rpc: RpcContext, page: list[dict[str, Any]], last: TransactionCursor) -> dict[str, Any]:
    return {
        "transactions": page,
        "latestLedger": rpc.latest.sequence,
        "latestLedgerCloseTimestamp": rpc.latest.close_time,
        "oldestLedger": rpc.oldest.sequence,
        "oldestLedgerCloseTimestamp": rpc.oldest.close_time,
        "cursor": str(last),
    }
