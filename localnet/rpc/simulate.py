"""The method simulateTransaction: a run at the latest ledger that returns needs and costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stellar_sdk import StrKey, xdr

from localnet.ledger.accounts import load_account
from localnet.ledger.diagnostics import event_log
from localnet.ledger.fees import events_fee, non_refundable_fee, rent_changes, rent_fee
from localnet.ledger.keys import is_soroban, key_type, raw_muxed
from localnet.ledger.settings import Usage
from localnet.ledger.soroban_ops import (
    HostView,
    SorobanContext,
    read_bytes,
    write_changes,
    written_bytes,
)
from localnet.ledger.state import Changes, Readable, Snapshot
from localnet.ledger.transaction import disk_reads
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.encoding import base64
from localnet.rpc.errors import RpcError
from localnet.soroban.deploy import is_supported
from localnet.soroban.errors import describe
from localnet.soroban.host import invoke
from localnet.soroban.model import AuthMode, InvocationResult

_AUTH_MODES: tuple[AuthMode, ...] = ("enforce", "record", "record_allow_nonroot")
#: Bytes of the largest envelope around an operation and a footprint. The envelope has muxed
#: sources, every precondition, two payload signers, a hash memo and twenty signatures.
_ENVELOPE_BYTES = 1892
#: Bytes of an account's extensions, which exist from the first use of a sequence number.
_EXTENSION_BYTES = 52
_FOOTPRINT_OPERATIONS = frozenset(
    {xdr.OperationType.EXTEND_FOOTPRINT_TTL, xdr.OperationType.RESTORE_FOOTPRINT}
)
_NO_DATA = (
    "To perform a SimulateTransaction for ExtendFootprintTtl or RestoreFootprint operations,"
    " SorobanTransactionData must be provided"
)
_ACCOUNT = xdr.LedgerEntryType.ACCOUNT
_WRONG_TYPE = xdr.SCErrorCode.SCEC_UNEXPECTED_TYPE


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """The resources that a simulated operation declares, and the fee that it pays."""

    #: The transaction data.
    data: xdr.SorobanTransactionData
    #: Resource fee in stroops.
    fee: int


def _margin(value: int, *, more: int, factor_percent: int) -> int:
    """Return a measured amount with the margin that the real simulation adds; 0 stays 0."""
    return max(value + more, value * factor_percent // 100) if value else 0


async def simulate_transaction(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Simulate the one operation of a transaction; its signatures do not matter."""
    try:
        as_json = wants_json(params)
    except RpcError as error:
        return _refusal(error.message)
    try:
        envelope = xdr.TransactionEnvelope.from_xdr(params.get("transaction", ""))
    except Exception:
        return _refusal("Could not unmarshal transaction")
    tx = _inner(envelope)
    if tx is None or len(tx.operations) != 1:
        return _refusal("Transaction contains more than one operation")
    return _simulate(rpc, tx, tx.operations[0], params, as_json=as_json)


def _refusal(error: str) -> dict[str, Any]:
    """Return the answer to a call that is not simulated."""
    return {"error": error, "latestLedger": 0}


def _simulate(
    rpc: RpcContext,
    tx: xdr.Transaction,
    operation: xdr.Operation,
    params: Params,
    *,
    as_json: bool,
) -> dict[str, Any]:
    body = operation.body
    if body.type in _FOOTPRINT_OPERATIONS:
        if tx.ext.soroban_data is None:
            return _refusal(_NO_DATA)
        if body.extend_footprint_ttl_op is not None:
            return _simulate_extend(rpc, body, tx.ext.soroban_data, as_json=as_json)
        return _simulate_restore(rpc, body, as_json=as_json)
    if body.invoke_host_function_op is None:
        name = "".join(part.capitalize() for part in body.type.name.split("_"))
        return _refusal(f"transaction contains unsupported operation type: OperationType{name}")
    auth_mode = _auth_mode(body.invoke_host_function_op, params)
    if auth_mode is None:
        modes = ",".join(_AUTH_MODES)
        return _refusal(f"optional 'authMode' must be one of {modes} when included")
    source = raw_muxed(operation.source_account or tx.source_account)
    return _simulate_invoke(
        rpc,
        body.invoke_host_function_op,
        source=StrKey.encode_ed25519_public_key(source),
        auth_mode=auth_mode,
        as_json=as_json,
    )


def _inner(envelope: xdr.TransactionEnvelope) -> xdr.Transaction | None:
    if envelope.v1 is not None:
        return envelope.v1.tx
    if envelope.v0 is not None:
        return _of_version_0(envelope.v0.tx)
    inner = envelope.fee_bump.tx.inner_tx.v1 if envelope.fee_bump else None
    return inner.tx if inner else None


def _of_version_0(tx: xdr.TransactionV0) -> xdr.Transaction:
    """Return a transaction of the old form, which has no resources, in the new form."""
    bounds = tx.time_bounds
    kinds = xdr.PreconditionType
    conditions = (
        xdr.Preconditions(kinds.PRECOND_NONE)
        if bounds is None
        else xdr.Preconditions(kinds.PRECOND_TIME, time_bounds=bounds)
    )
    return xdr.Transaction(
        source_account=xdr.MuxedAccount(
            xdr.CryptoKeyType.KEY_TYPE_ED25519, ed25519=tx.source_account_ed25519
        ),
        fee=tx.fee,
        seq_num=tx.seq_num,
        cond=conditions,
        memo=tx.memo,
        operations=tx.operations,
        ext=xdr.TransactionExt(0),
    )


def _auth_mode(call: xdr.InvokeHostFunctionOp, params: Params) -> AuthMode | None:
    """Return the mode of authorisation; None for a mode that there is not.

    Signed entries are enforced. Without any entries, the host records the entries that would be
    needed.
    """
    asked = params.get("authMode", "")
    if not asked:
        return "enforce" if call.auth else "record"
    return next((mode for mode in _AUTH_MODES if mode == asked), None)


def _context(rpc: RpcContext, snapshot: Snapshot) -> SorobanContext:
    """Return the latest ledger as the context.

    Its clock is that ledger's close time or, as in RPC 24.0, the wall clock.
    """
    wall = rpc.settings.simulation_clock == "wall"
    return SorobanContext(
        sequence=snapshot.sequence,
        close_time=int(rpc.clock()) if wall else snapshot.close_time,
        network_id=rpc.node.genesis.network.id,
        settings=rpc.node.settings,
        block_seconds=rpc.node.genesis.block_seconds,
        state_size=0,
        farm_code_bytes=rpc.node.genesis.farm_code_bytes,
    )


def _simulate_invoke(
    rpc: RpcContext,
    call: xdr.InvokeHostFunctionOp,
    *,
    source: str,
    auth_mode: AuthMode,
    as_json: bool,
) -> dict[str, Any]:
    snapshot = rpc.snapshot
    if not is_supported(call.host_function):
        text = f"localnet does not run {call.host_function.type.name} of this kind"
        return {"error": text, "latestLedger": snapshot.sequence}
    context = _context(rpc, snapshot)
    result = invoke(
        HostView(state=snapshot),
        call.host_function,
        ledger=context.ledger_info(),
        source=source,
        auth=tuple(call.auth) if auth_mode == "enforce" else None,
        footprint=None,
        auth_mode=auth_mode,
    )
    events = _events(result, as_json=as_json)
    if not result.ok:
        return _failure(result) | events | {"latestLedger": snapshot.sequence}
    changes = Changes(snapshot, snapshot.sequence)
    write_changes(changes, result, result.footprint.read_write, context.settings)
    auth = list(call.auth) if auth_mode == "enforce" else list(result.auth)
    cost = _invocation_cost(result, call, auth, changes, context)
    assert result.value is not None  # noqa: S101  (a call that succeeded returned something)
    answer = _cost_json(cost, as_json=as_json) | events
    if as_json:
        answer["results"] = [
            {
                "authJson": [to_json(a) for a in auth],
                "returnValueJson": to_json(result.value),
            }
        ]
    else:
        returned = base64(result.value.to_xdr_bytes())
        answer["results"] = [{"auth": [a.to_xdr() for a in auth], "xdr": returned}]
    state_changes = _state_changes(changes, result.footprint.read_write, as_json=as_json)
    if state_changes:
        answer["stateChanges"] = state_changes
    return answer | {"latestLedger": snapshot.sequence}


def _events(result: InvocationResult, *, as_json: bool) -> dict[str, Any]:
    """Return the diagnostic events; a failed call tells them as well."""
    if as_json:
        return {"eventsJson": [to_json(d) for d in result.diagnostics]}
    return {"events": [base64(d.to_xdr_bytes()) for d in result.diagnostics]}


def _failure(result: InvocationResult) -> dict[str, Any]:
    assert result.error is not None  # noqa: S101  (a failed call has an error)
    error = f"HostError: {describe(result.error)}"
    if result.error.code is _WRONG_TYPE and not any(map(_is_error, result.diagnostics)):
        return {"error": f"{error}\nDebugInfo not available\n"}
    found = enumerate(result.diagnostics)
    log = event_log((e, place in result.undone) for place, e in found if not _is_vm_log(e))
    return {"error": f"{error}{log}"}


def _is_error(event: xdr.DiagnosticEvent) -> bool:
    return _first_topic(event) == b"error"


def _is_vm_log(event: xdr.DiagnosticEvent) -> bool:
    """Tell whether the event is the VM's own log, which is written after the error was composed."""
    return _first_topic(event) == b"log"


def _first_topic(event: xdr.DiagnosticEvent) -> bytes:
    body = event.event.body.v0
    first = body.topics[0].sym if body and body.topics else None
    return b"" if first is None else first.sc_symbol


def _invocation_cost(
    result: InvocationResult,
    call: xdr.InvokeHostFunctionOp,
    auth: Sequence[xdr.SorobanAuthorizationEntry],
    changes: Changes,
    context: SorobanContext,
) -> _Cost:
    read_only, read_write = result.footprint.read_only, result.footprint.read_write
    keys = read_only + read_write
    usage = Usage(
        instructions=result.resources.instructions,
        disk_reads=disk_reads(keys),
        disk_read_bytes=read_bytes(changes.base, keys) + _account_growth(changes.base, keys),
        write_entries=len(read_write),
        write_bytes=written_bytes(changes, read_write),
    )
    value = 0 if result.value is None else len(result.value.to_xdr_bytes())
    output = value + sum(len(e.to_xdr_bytes()) for e in result.events)
    body = xdr.OperationBody(
        xdr.OperationType.INVOKE_HOST_FUNCTION,
        invoke_host_function_op=xdr.InvokeHostFunctionOp(call.host_function, list(auth)),
    )
    footprint = _footprint(read_only, read_write)
    return _cost(usage, footprint, body, changes, context, output=output)


def _account_growth(state: Readable, keys: Sequence[bytes]) -> int:
    """Return the bytes by which accounts grow with their first sequence number.

    A simulation counts these bytes.
    """
    found = [load_account(state, k[8:]) for k in keys if key_type(k) is _ACCOUNT]
    return sum(
        _EXTENSION_BYTES + 4 * len(account.signers)
        for account in found
        if account is not None and account.sequence_used is None
    )


def _footprint(read_only: Sequence[bytes], read_write: Sequence[bytes]) -> xdr.LedgerFootprint:
    return xdr.LedgerFootprint(
        read_only=[xdr.LedgerKey.from_xdr_bytes(k) for k in read_only],
        read_write=[xdr.LedgerKey.from_xdr_bytes(k) for k in read_write],
    )


def _cost(
    usage: Usage,
    footprint: xdr.LedgerFootprint,
    body: xdr.OperationBody,
    changes: Changes,
    context: SorobanContext,
    *,
    output: int = 0,
) -> _Cost:
    """Return the resources and the fee with the real simulation's margins."""
    size = _ENVELOPE_BYTES + len(body.to_xdr_bytes()) + len(footprint.to_xdr_bytes())
    sized = usage + Usage(tx_bytes=_margin(size, more=500, factor_percent=110))
    rent = rent_fee(
        context.settings,
        rent_changes(changes, farm_code_bytes=context.farm_code_bytes),
        sequence=context.sequence,
        state_size=context.state_size,
    )
    refundable = rent + events_fee(context.settings, output)
    fee = non_refundable_fee(context.settings, sized)
    fee += _margin(refundable, more=0, factor_percent=115)
    resources = xdr.SorobanResources(
        footprint=footprint,
        instructions=xdr.Uint32(usage.instructions),
        disk_read_bytes=xdr.Uint32(usage.disk_read_bytes),
        write_bytes=xdr.Uint32(usage.write_bytes),
    )
    data = xdr.SorobanTransactionData(
        ext=xdr.SorobanTransactionDataExt(0), resources=resources, resource_fee=xdr.Int64(fee)
    )
    return _Cost(data=data, fee=fee)


def _cost_json(cost: _Cost, *, as_json: bool) -> dict[str, Any]:
    data = (
        {"transactionDataJson": to_json(cost.data)}
        if as_json
        else {"transactionData": cost.data.to_xdr()}
    )
    return data | {"minResourceFee": str(cost.fee)}


def _state_changes(
    changes: Changes, written: Sequence[bytes], *, as_json: bool
) -> list[dict[str, Any]]:
    """Return every entry of the read-write footprint, before and after."""
    found = []
    for key in written:
        before, after = changes.base.get(key), changes.get(key)
        if before is None and after is None:
            continue
        kind = "created" if before is None else "deleted" if after is None else "updated"
        # A changed contract entry keeps its lastModified here; any other entry shows 0.
        modified = before.packed[:4] if before is not None and is_soroban(key) else bytes(4)
        old = None if before is None else before.packed
        new = None if after is None else modified + after.packed[4:]
        found.append(
            {
                "type": kind,
                **_state_part("key", key, xdr.LedgerKey, as_json=as_json),
                **_state_part("before", old, xdr.LedgerEntry, as_json=as_json),
                **_state_part("after", new, xdr.LedgerEntry, as_json=as_json),
            }
        )
    return found


def _state_part(name: str, packed: bytes | None, kind: Any, *, as_json: bool) -> dict[str, Any]:
    if not as_json:
        return {name: None if packed is None else base64(packed)}
    # stellar-rpc leaves the members of an entry there, for JSON as null.
    there: dict[str, Any] = {} if name == "key" else {name: None}
    if packed is None:
        return there
    return there | {f"{name}Json": to_json(kind.from_xdr_bytes(packed))}


def _simulate_extend(
    rpc: RpcContext, body: xdr.OperationBody, data: xdr.SorobanTransactionData, *, as_json: bool
) -> dict[str, Any]:
    assert body.extend_footprint_ttl_op is not None  # noqa: S101  (the caller looked)
    snapshot = rpc.snapshot
    context = _context(rpc, snapshot)
    until = snapshot.sequence + body.extend_footprint_ttl_op.extend_to.uint32
    changes = Changes(snapshot, snapshot.sequence)
    extended = []
    for key in (k.to_xdr_bytes() for k in data.resources.footprint.read_only):
        record = snapshot.get(key)
        if record is not None and record.live_until is not None and record.live_until < until:
            changes.extend(key, until)
            extended.append(key)
    cost = _cost(Usage(), _footprint(sorted(extended), ()), body, changes, context)
    return _cost_json(cost, as_json=as_json) | {"latestLedger": snapshot.sequence}


def _simulate_restore(rpc: RpcContext, body: xdr.OperationBody, *, as_json: bool) -> dict[str, Any]:
    """Return the cost of a restore; nothing is archived here, so nothing needs restoring."""
    snapshot = rpc.snapshot
    changes = Changes(snapshot, snapshot.sequence)
    cost = _cost(Usage(), _footprint((), ()), body, changes, _context(rpc, snapshot))
    return _cost_json(cost, as_json=as_json) | {"latestLedger": snapshot.sequence}
