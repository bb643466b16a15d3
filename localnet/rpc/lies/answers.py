"""Lies about fees, simulations, sent envelopes and the network itself."""

from typing import Any

from stellar_sdk import xdr
from stellar_sdk.xdr import TransactionResultCode as TxCode

from localnet.ledger.results import TxOutcome, tx_result
from localnet.rpc.encoding import base64
from localnet.rpc.lies.model import Lie, Result, Told, is_number, is_text, one_of

#: The error that a simulation gives for an existing pail.
_REFUSAL = "HostError: Error(Contract, #8)\n\nEvent log (newest first):\n"
_SEND = frozenset({"sendTransaction"})
_SIMULATE = frozenset({"simulateTransaction"})
_STATUSES = frozenset({"PENDING", "DUPLICATE", "TRY_AGAIN_LATER", "ERROR"})


def _fees(told: Told) -> Result:
    def dear(window: Result) -> Result:
        percentiles = {n: str(told.value) for n in window if not n.endswith("Count")}
        return {**window, **percentiles}

    kinds = ("sorobanInclusionFee", "inclusionFee")
    return {**told.result, **{kind: dear(told.result[kind]) for kind in kinds}}


def _passphrase(told: Told) -> Result:
    return {**told.result, "passphrase": told.value}


def _simulation(told: Told) -> Result:
    if told.value == "refuses":
        return {"error": _REFUSAL, "events": [], "latestLedger": told.result["latestLedger"]}
    if "transactionData" not in told.result:
        return told.result
    data = xdr.SorobanTransactionData.from_xdr(told.result["transactionData"])
    fee = int(told.result["minResourceFee"])
    if told.value == "footprint":
        written = data.resources.footprint.read_write or data.resources.footprint.read_only
        del written[:1]
    else:
        fee = fee * 100 if told.value == "dear" else fee // 10
        data.resource_fee = xdr.Int64(fee)
    if told.value == "cheap":
        data.resources.instructions = xdr.Uint32(data.resources.instructions.uint32 // 10)
    return {**told.result, "transactionData": data.to_xdr(), "minResourceFee": str(fee)}


def says(value: Any) -> dict[str, Any]:
    """Return a setting of `send` with all its members."""
    if value == "swallow":
        return {"says": "PENDING", "takes": False}
    given: dict[str, Any] = {"takes": True, **value}
    return given


def _send(told: Told) -> Result:
    """Change the status that is answered.

    The setting (see `says`) also decides whether the envelope was really taken.
    """
    lie = says(told.value)
    kept = {n: told.result[n] for n in ("hash", "latestLedger", "latestLedgerCloseTime")}
    if lie["says"] != "ERROR":
        return {"status": lie["says"], **kept}
    code = TxCode[lie.get("code", "txBAD_SEQ")]
    result = tx_result(100, TxOutcome(code=code))
    return {"errorResultXdr": base64(result), "status": "ERROR", **kept}


def _check_send(value: Any) -> None:
    if value == "swallow":
        return
    if not isinstance(value, dict) or not set(value) <= {"says", "takes", "code"}:
        raise ValueError('expected "swallow" or {"says": ..., "takes": ..., "code": ...}')
    if value.get("says") not in _STATUSES:
        raise ValueError(f"says: expected one of {sorted(_STATUSES)}")
    if value.get("code", "txBAD_SEQ") not in TxCode.__members__:
        raise ValueError(f"code: unknown {value['code']!r}")


FEES = Lie(methods=frozenset({"getFeeStats"}), tell=_fees, check=is_number)
PASSPHRASE = Lie(methods=frozenset({"getNetwork"}), tell=_passphrase, check=is_text)
SIMULATION = Lie(
    methods=_SIMULATE, tell=_simulation, check=one_of("refuses", "dear", "cheap", "footprint")
)
SEND = Lie(methods=_SEND, tell=_send, check=_check_send)
