"""Lies about the outcome of transactions."""

from collections.abc import Iterable
from typing import Any

from stellar_sdk import StrKey, scval, xdr
from stellar_sdk.xdr import OperationType

from localnet.ledger.history import Found
from localnet.ledger.meta import OperationMeta, SorobanMeta, array, transaction_meta
from localnet.ledger.results import (
    OpCode,
    OperationOutcome,
    TxCode,
    TxOutcome,
    fee_bump_result,
    op_error,
    op_result,
    tx_result,
)
from localnet.ledger.transaction import Transaction, parse
from localnet.rpc.encoding import base64
from localnet.rpc.lies.model import Lie, Result, Told

_LOOKUPS = frozenset({"getTransaction", "getTransactions"})
_WORDS = ("all", "paying", "calls")
#: Failure codes of operations; operations that are not named here fail for lack of a signature.
_FAILURES = {
    OperationType.PAYMENT: xdr.PaymentResultCode.PAYMENT_UNDERFUNDED,
    OperationType.INVOKE_HOST_FUNCTION: (
        xdr.InvokeHostFunctionResultCode.INVOKE_HOST_FUNCTION_TRAPPED
    ),
}
#: Bytes that follow the success code of a call: the hash of its events.
_SUCCESS_PAYLOAD = {OperationType.INVOKE_HOST_FUNCTION: bytes(32)}


def _check(value: Any) -> None:
    if isinstance(value, dict):
        if set(value) != {"accounts"} or not isinstance(value["accounts"], list):
            raise ValueError('expected {"accounts": [...]}')
    elif not isinstance(value, list) and value not in _WORDS:
        raise ValueError(f"expected a list of hashes or one of {', '.join(_WORDS)}")


def _is_meant(told: Told, tx_hash: str) -> bool:
    """Tell whether the lie is about this transaction."""
    if told.value == "all":
        return True
    tx = _transaction(told, tx_hash)
    if isinstance(told.value, list):
        known = {tx_hash} | ({tx.hash.hex(), tx.inner.hash.hex()} if tx else set())
        return not known.isdisjoint(told.value)
    return tx is not None and _is_of_kind(tx, told.value)


def _is_of_kind(tx: Transaction, kind: Any) -> bool:
    if isinstance(kind, dict):
        keys = (StrKey.encode_ed25519_public_key(raw) for raw in (tx.source, tx.fee_source))
        return not set(kind["accounts"]).isdisjoint(keys)
    if kind == "calls":
        return tx.is_soroban
    return any(o.body.type is OperationType.PAYMENT for o in tx.operations)


def _transaction(told: Told, tx_hash: str) -> Transaction | None:
    sent = told.rpc.memory.sent.get(tx_hash)
    if sent is not None:
        return sent
    found = _find(told, tx_hash)
    if found is None:
        return None
    return parse(found.transaction.envelope, told.rpc.node.genesis.network.id)


def _find(told: Told, tx_hash: str) -> Found | None:
    try:
        return told.rpc.node.history.find(bytes.fromhex(tx_hash))
    except ValueError:
        return None


def _omit(told: Told) -> Result:
    result = told.result
    if told.method == "getTransaction":
        if result["status"] == "NOT_FOUND" or not _is_meant(told, result["txHash"]):
            return result
        kept = {n: v for n, v in result.items() if n.startswith(("latest", "oldest"))}
        return {
            **kept,
            "status": "NOT_FOUND",
            "txHash": result["txHash"],
            "applicationOrder": 0,
            "feeBump": False,
            "events": {},
            "ledger": 0,
            "createdAt": "0",
        }
    name = "events" if told.method == "getEvents" else "transactions"
    return {**result, name: [i for i in result[name] if not _is_meant(told, i["txHash"])]}


def _failed(told: Told) -> Result:
    if told.method == "getTransaction":
        return _turned(told, told.result, ok=False)
    items = [_turned(told, item, ok=False) for item in told.result["transactions"]]
    return {**told.result, "transactions": items}


def _succeeded(told: Told) -> Result:
    if told.method == "getTransaction":
        invented = _invented(told, told.result["txHash"])
        if told.result["status"] == "NOT_FOUND" and invented is not None:
            made = _story(told, invented, told.result["txHash"], ok=True)
            return {**told.result, **made, "createdAt": str(made["createdAt"])}
        return _turned(told, told.result, ok=True)
    items = [_turned(told, item, ok=True) for item in told.result["transactions"]]
    return {**told.result, "transactions": [*items, *_inventions(told)]}


def _turned(told: Told, item: Result, *, ok: bool) -> Result:
    """Return a transaction that is in a ledger with the opposite outcome."""
    before, after = ("FAILED", "SUCCESS") if ok else ("SUCCESS", "FAILED")
    if item["status"] != before or "envelopeXdr" not in item or not _is_meant(told, item["txHash"]):
        return item
    tx = _transaction(told, item["txHash"])
    assert tx is not None  # noqa: S101  (it is in a ledger)
    fee = xdr.TransactionResult.from_xdr(item["resultXdr"]).fee_charged.int64
    events = {n: v for n, v in item["events"].items() if n != "contractEventsXdr"}
    return {**item, "status": after, "events": events, **_outcome(tx, fee, ok=ok)}


def _inventions(told: Told) -> Iterable[Result]:
    """Yield transactions that are in no ledger, once the ledger invented for them is read."""
    first = told.params.get("startLedger") or 0
    for tx in {tx.hash: tx for tx in told.rpc.memory.sent.values()}.values():
        known = _invented(told, tx.hash.hex())
        if known is not None and told.rpc.memory.invented[tx.hash.hex()][0] >= first:
            yield _story(told, tx, tx.hash.hex(), ok=True)


def _invented(told: Told, tx_hash: str) -> Transaction | None:
    """Return the transaction that was sent and is in no ledger, if the lie is about it."""
    tx = told.rpc.memory.sent.get(tx_hash)
    if tx is None or _find(told, tx_hash) is not None or not _is_meant(told, tx_hash):
        return None
    latest = told.rpc.latest
    told.rpc.memory.invented.setdefault(tx.hash.hex(), (latest.sequence, latest.close_time))
    return tx


def _story(told: Told, tx: Transaction, tx_hash: str, *, ok: bool) -> Result:
    ledger, created = told.rpc.memory.invented[tx.hash.hex()]
    fee = tx.fee_at(100)
    return {
        "status": "SUCCESS" if ok else "FAILED",
        "txHash": tx_hash,
        "applicationOrder": 1,
        "feeBump": tx.fee_bump,
        "envelopeXdr": base64(tx.envelope),
        **_outcome(tx, fee, ok=ok),
        "events": {"transactionEventsXdr": []},
        "ledger": ledger,
        "createdAt": created,
    }


def _outcome(tx: Transaction, fee: int, *, ok: bool) -> Result:
    """Return result and meta as a ledger would have them, without any change of entries."""
    code = TxCode.txSUCCESS if ok else TxCode.txFAILED
    operations = tuple(_operation(o.body.type, ok=ok) for o in tx.operations)
    outcome = TxOutcome(code=code, operations=operations)
    if tx.fee_bump:
        result = fee_bump_result(fee, outcome, inner_hash=tx.inner.hash, inner_fee=0)
    else:
        result = tx_result(fee, outcome)
    value = scval.to_void().to_xdr_bytes() if ok else None
    soroban = SorobanMeta(non_refundable=fee, refundable=0, rent=0, return_value=value)
    meta = transaction_meta(
        before=array([]),
        operations=[OperationMeta(changes=array([]))] * len(operations) if ok else [],
        soroban=soroban if tx.is_soroban else None,
        events=(),
        diagnostics=(),
    )
    return {"resultXdr": base64(result), "resultMetaXdr": base64(meta)}


def _operation(kind: OperationType, *, ok: bool) -> OperationOutcome:
    if ok:
        return op_result(kind, OpCode.opINNER, _SUCCESS_PAYLOAD.get(kind, b""))
    code = _FAILURES.get(kind)
    return op_error(OpCode.opBAD_AUTH) if code is None else op_result(kind, code)


OMIT = Lie(methods=_LOOKUPS | {"getEvents"}, tell=_omit, check=_check)
FAILED = Lie(methods=_LOOKUPS, tell=_failed, check=_check)
SUCCEEDED = Lie(methods=_LOOKUPS, tell=_succeeded, check=_check)
