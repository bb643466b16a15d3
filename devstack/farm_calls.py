"""The farm's calls in a transaction, single or in a multicall, and the result of each call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stellar_sdk import Address, scval, xdr
from stellar_sdk.soroban_rpc import GetTransactionStatus

#: The farm's functions that a pool calls.
_FUNCTIONS = ("plant", "work", "harvest")


@dataclass(frozen=True, kw_only=True)
class FarmCall:
    """One call for one farmer."""

    #: plant, work or harvest.
    function: str
    #: The farmer's address.
    farmer: str
    #: Block of a harvest; None for others, whose block is the chain's current one.
    block: int | None
    #: Whether the call succeeded.
    ok: bool
    #: Return value of the call; None when it failed.
    value: xdr.SCVal | None


def farm_calls(transaction: dict[str, Any]) -> list[FarmCall]:
    """Return the calls of one transaction as getTransactions gives it; none for anything else."""
    envelope = xdr.TransactionEnvelope.from_xdr(transaction["envelopeXdr"])
    invocation = _invocation(envelope)
    if invocation is None:
        return []
    ok = transaction["status"] == GetTransactionStatus.SUCCESS.value
    value = _return_value(transaction["resultMetaXdr"]) if ok else None
    function = scval.from_symbol(xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=invocation.function_name))
    if function in _FUNCTIONS:
        return [_call(function, invocation.args, value)]
    return _inner_calls(invocation.args, value)


def inner_envelope(envelope: xdr.TransactionEnvelope) -> xdr.TransactionV1Envelope | None:
    """Return the envelope of the transaction itself, which may be inside of a fee bump."""
    return envelope.v1 if envelope.fee_bump is None else envelope.fee_bump.tx.inner_tx.v1


def _invocation(envelope: xdr.TransactionEnvelope) -> xdr.InvokeContractArgs | None:
    inner = inner_envelope(envelope)
    if inner is None or len(inner.tx.operations) != 1:
        return None
    invoke = inner.tx.operations[0].body.invoke_host_function_op
    return None if invoke is None else invoke.host_function.invoke_contract


def _return_value(meta_xdr: str) -> xdr.SCVal | None:
    meta = xdr.TransactionMeta.from_xdr(meta_xdr)
    if meta.v4 is None or meta.v4.soroban_meta is None:
        return None
    return meta.v4.soroban_meta.return_value


def _call(function: str, arguments: Sequence[xdr.SCVal], value: xdr.SCVal | None) -> FarmCall:
    ok = value is not None and value.type != xdr.SCValType.SCV_ERROR
    farmer: Address = scval.from_address(arguments[0])
    return FarmCall(
        function=function,
        farmer=farmer.address,
        block=scval.from_uint32(arguments[1]) if function == "harvest" else None,
        ok=ok,
        value=value if ok else None,
    )


def _inner_calls(arguments: Sequence[xdr.SCVal], value: xdr.SCVal | None) -> list[FarmCall]:
    """Return the calls of a multicall.

    Its argument is vec<(contract, function, arguments)>, its value a vec of what each call
    returned.
    """
    calls = [_items(call) for argument in arguments for call in _items(argument)]
    values = _items(value) if value is not None else [None] * len(calls)
    return [
        _call(scval.from_symbol(call[1]), _items(call[2]), result)
        for call, result in zip(calls, values, strict=True)
        if len(call) == 3 and scval.from_symbol(call[1]) in _FUNCTIONS
    ]


def _items(value: xdr.SCVal) -> list[xdr.SCVal]:
    return list(value.vec.sc_vec) if value.vec is not None else []
