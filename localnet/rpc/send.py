"""The method sendTransaction."""

import binascii
from base64 import b64decode
from typing import Any

from stellar_sdk import xdr

from localnet.ledger.queue import Answer, Status
from localnet.ledger.results import fee_bump_result, tx_result
from localnet.ledger.transaction import Transaction, parse
from localnet.ledger.validation import Verdict
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.encoding import base64
from localnet.rpc.errors import invalid_params


def error_result(tx: Transaction, verdict: Verdict) -> bytes:
    """Return the TransactionResult of a refusal.

    The result of a fee bump wraps the error of its inner transaction.
    """
    inner_failed = tx.fee_bump and not verdict.outer and verdict.fee > 0
    if not inner_failed:
        return tx_result(verdict.fee, verdict.outcome)
    return fee_bump_result(
        verdict.fee, verdict.outcome, inner_hash=tx.inner.hash, inner_fee=verdict.fee
    )


async def send_transaction(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Hand an envelope to the queue."""
    as_json = wants_json(params)
    try:
        envelope = b64decode(params.get("transaction", ""), validate=True)
        tx = parse(envelope, rpc.node.genesis.network.id)
    except (binascii.Error, ValueError, TypeError, EOFError) as error:
        raise invalid_params("invalid_xdr") from error
    rpc.memory.note(tx)
    return _to_json(rpc, tx, _submitted(rpc, tx), as_json=as_json)


def _submitted(rpc: RpcContext, tx: Transaction) -> Answer:
    if rpc.faults.storms():
        return Answer(status=Status.TRY_AGAIN_LATER)
    if not rpc.lies.takes("sendTransaction"):
        # The answer may be the same as that of an honest node.
        rpc.faults.used["send"] += 1
        return Answer(status=Status.PENDING)
    return rpc.node.submit_parsed(tx)


def _to_json(rpc: RpcContext, tx: Transaction, answer: Answer, *, as_json: bool) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if answer.verdict is not None:
        result = error_result(tx, answer.verdict)
        diagnostics = answer.verdict.diagnostics
        if as_json:
            body["errorResultJson"] = to_json(xdr.TransactionResult.from_xdr_bytes(result))
        else:
            body["errorResultXdr"] = base64(result)
        if diagnostics and as_json:
            events = [to_json(xdr.DiagnosticEvent.from_xdr_bytes(d)) for d in diagnostics]
            body["diagnosticEventsJson"] = events
        elif diagnostics:
            body["diagnosticEventsXdr"] = [base64(d) for d in diagnostics]
    return body | {
        "status": answer.status.value,
        "hash": tx.hash.hex(),
        "latestLedger": rpc.latest.sequence,
        "latestLedgerCloseTime": str(rpc.latest.close_time),
    }
