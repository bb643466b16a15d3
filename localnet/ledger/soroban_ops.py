"""The three Soroban operations: their run, their charges and their changes to the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import StrKey, xdr
from stellar_sdk.xdr import ExtendFootprintTTLResultCode as Extend
from stellar_sdk.xdr import InvokeHostFunctionResultCode as Invoke
from stellar_sdk.xdr import RestoreFootprintResultCode as Restore

from localnet.ledger.diagnostics import error_event, host_failed_event, metric_events
from localnet.ledger.fees import events_fee, non_refundable_fee, rent_changes, rent_fee
from localnet.ledger.keys import is_persistent, is_soroban
from localnet.ledger.meta import array
from localnet.ledger.results import OperationOutcome, op_result
from localnet.ledger.settings import NetworkSettings
from localnet.ledger.state import Changes, Readable
from localnet.ledger.transaction import Soroban, Transaction
from localnet.soroban.host import invoke
from localnet.soroban.model import (
    Entry,
    Footprint,
    HostSettings,
    InvocationResult,
    LedgerInfo,
)

_BUDGET = xdr.SCErrorType.SCE_BUDGET
_STORAGE = xdr.SCErrorType.SCE_STORAGE


@dataclass(frozen=True, kw_only=True)
class SorobanContext:
    """The ledger in which a Soroban operation runs."""

    #: Sequence of the ledger.
    sequence: int
    #: Close time of the ledger.
    close_time: int
    #: Network id.
    network_id: bytes
    #: Limits and fees of the network.
    settings: NetworkSettings
    #: The farm's block interval in seconds.
    block_seconds: int
    #: Bytes of Soroban state, on which the rent depends.
    state_size: int
    #: Bytes of code for which the farm's code pays rent.
    farm_code_bytes: int

    def ledger_info(self) -> LedgerInfo:
        """Return the ledger in the form that the contract host takes."""
        return LedgerInfo(
            sequence=self.sequence,
            close_time=self.close_time,
            network_id=self.network_id,
            settings=HostSettings(
                min_temporary_ttl=self.settings.min_temporary_ttl,
                min_persistent_ttl=self.settings.min_persistent_ttl,
                max_entry_ttl=self.settings.max_entry_ttl,
                block_seconds=self.block_seconds,
                tx_max_instructions=self.settings.tx_limit.instructions,
                tx_memory_limit=self.settings.tx_memory,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class HostView:
    """Ledger entries in the form that the host reads."""

    #: The source of the entries.
    state: Readable

    def get(self, key: bytes) -> Entry | None:
        """Return the live entry under a key, or None."""
        record = self.state.get(key)
        return None if record is None else Entry(entry=record.entry, live_until=record.live_until)


@dataclass(frozen=True, kw_only=True)
class SorobanOutcome:
    """The outcome of a Soroban operation."""

    #: Result of the operation.
    outcome: OperationOutcome
    #: ContractEvents in XDR.
    events: tuple[bytes, ...] = ()
    #: DiagnosticEvents in XDR.
    diagnostics: tuple[bytes, ...] = ()
    #: The return value in XDR, or None.
    return_value: bytes | None = None
    #: Stroops for events and rent.
    refundable: int = 0
    #: Stroops of rent, a part of `refundable`.
    rent: int = 0


def apply_soroban(tx: Transaction, state: Changes, context: SorobanContext) -> SorobanOutcome:
    """Run the transaction's one operation; change `state` only when the operation succeeds."""
    assert tx.soroban is not None  # noqa: S101  (validated)
    body = tx.operations[0].body
    if body.extend_footprint_ttl_op is not None:
        extend_to = body.extend_footprint_ttl_op.extend_to.uint32
        return _extend(tx.soroban, state, context, extend_to)
    if body.restore_footprint_op is not None:
        # There is nothing to restore: persistent entries live 120 days, longer than any localnet.
        code = Restore.RESTORE_FOOTPRINT_SUCCESS
        return SorobanOutcome(outcome=op_result(body.type, code))
    return _invoke(tx, tx.soroban, state, context)


def _extend(
    soroban: Soroban, state: Changes, context: SorobanContext, extend_to: int
) -> SorobanOutcome:
    kind = xdr.OperationType.EXTEND_FOOTPRINT_TTL
    changes = Changes(state, state.sequence)
    for key in soroban.read_only:
        record = changes.get(key)
        if record is not None and (record.live_until or 0) < context.sequence + extend_to:
            changes.extend(key, context.sequence + extend_to)
    rent = _rent(changes, context)
    if rent > _refundable(soroban, context):
        code = Extend.EXTEND_FOOTPRINT_TTL_INSUFFICIENT_REFUNDABLE_FEE
        return SorobanOutcome(outcome=op_result(kind, code))
    changes.commit_to(state)
    done = op_result(kind, Extend.EXTEND_FOOTPRINT_TTL_SUCCESS)
    return SorobanOutcome(outcome=done, refundable=rent, rent=rent)


def _rent(changes: Changes, context: SorobanContext) -> int:
    return rent_fee(
        context.settings,
        rent_changes(changes, farm_code_bytes=context.farm_code_bytes),
        sequence=context.sequence,
        state_size=context.state_size,
    )


def _refundable(soroban: Soroban, context: SorobanContext) -> int:
    return soroban.resource_fee - non_refundable_fee(context.settings, soroban.usage)


def _invoke(
    tx: Transaction, soroban: Soroban, state: Changes, context: SorobanContext
) -> SorobanOutcome:
    operation = tx.operations[0]
    call = operation.body.invoke_host_function_op
    assert call is not None  # noqa: S101  (the other kinds are dealt with)
    source = tx.source if operation.source_account is None else _raw(operation.source_account)
    result = invoke(
        HostView(state=state),
        call.host_function,
        ledger=context.ledger_info(),
        source=StrKey.encode_ed25519_public_key(source),
        auth=tuple(call.auth),
        footprint=Footprint(read_only=soroban.read_only, read_write=soroban.read_write),
        auth_mode="enforce",
    )
    return _settle(result, soroban, state, context)


def _raw(account: xdr.MuxedAccount) -> bytes:
    key = account.ed25519 or (account.med25519.ed25519 if account.med25519 else None)
    assert key is not None  # noqa: S101  (the union has two arms)
    return key.uint256


def _settle(
    result: InvocationResult, soroban: Soroban, state: Changes, context: SorobanContext
) -> SorobanOutcome:
    """Judge the host's result by the declared resources and by the refundable fee."""
    failure = _over_budget(result, soroban, context)
    # A host that exceeds its budget cannot pay for its events either.
    diagnostics = result.diagnostics if failure is None else ()
    host_events = [d.to_xdr_bytes() for d in diagnostics]
    if failure is None and not result.ok:
        assert result.error is not None  # noqa: S101  (a failed call has an error)
        failure = Invoke.INVOKE_HOST_FUNCTION_TRAPPED, [host_failed_event(result.error)]
    changes = Changes(state, state.sequence)
    if failure is None:
        write_changes(changes, result, soroban.read_write, context.settings)
        failure = _over_limits(changes, result, soroban, context)
    metrics = _metrics(result, soroban, changes, ok=failure is None)
    rent = refundable = 0
    if failure is None:
        rent = _rent(changes, context)
        refundable = rent + events_fee(context.settings, _output_size(result))
        if refundable > _refundable(soroban, context):
            failure = _too_dear(refundable, soroban, context)
    if failure is not None:
        code, more = failure
        return SorobanOutcome(
            outcome=op_result(xdr.OperationType.INVOKE_HOST_FUNCTION, code),
            diagnostics=(*host_events, *more, *metrics),
        )
    changes.commit_to(state)
    return _success(result, (*host_events, *metrics), refundable, rent)


_Failure = tuple[Invoke, list[bytes]]


def used_instructions(result: InvocationResult) -> int:
    """Return the instructions that a call uses.

    The number is 6 % less than a simulation declares for the call (measured).
    """
    return result.resources.instructions * 94 // 100


def _over_budget(
    result: InvocationResult, soroban: Soroban, context: SorobanContext
) -> _Failure | None:
    limit = xdr.SCError(_BUDGET, code=xdr.SCErrorCode.SCEC_EXCEEDED_LIMIT)
    code = Invoke.INVOKE_HOST_FUNCTION_RESOURCE_LIMIT_EXCEEDED
    used, declared = used_instructions(result), soroban.usage.instructions
    if used > declared:
        text = "operation instructions exceeds amount specified"
        return code, [host_failed_event(limit), error_event(_BUDGET, text, used, declared)]
    used, declared = result.resources.memory_bytes, context.settings.tx_memory
    if used > declared:
        text = "operation memory usage exceeds network config limit"
        return code, [host_failed_event(limit), error_event(_BUDGET, text, used, declared)]
    return None


def written_bytes(changes: Readable, keys: Sequence[bytes]) -> int:
    """Return the bytes that an operation writes.

    Every entry of its read-write footprint that still exists counts.
    """
    return sum(len(r.packed) for r in map(changes.get, keys) if r is not None)


def read_bytes(state: Readable, keys: Sequence[bytes]) -> int:
    """Return the bytes read from disk: the sizes of the classic entries of a footprint."""
    return sum(len(r.packed) for r in map(state.get, keys) if r is not None and not r.live_until)


def _over_limits(
    changes: Changes, result: InvocationResult, soroban: Soroban, context: SorobanContext
) -> _Failure | None:
    keys = soroban.read_only + soroban.read_write
    limits = (
        (
            "operation byte-read resources exceeds amount specified",
            read_bytes(changes.base, [k for k in keys if not is_soroban(k)]),
            soroban.usage.disk_read_bytes,
        ),
        (
            "operation byte-write resources exceeds amount specified",
            written_bytes(changes, soroban.read_write),
            soroban.usage.write_bytes,
        ),
        (
            "total events size exceeds network config maximum",
            _output_size(result),
            context.settings.tx_events_bytes,
        ),
    )
    for text, used, most in limits:
        if used > most:
            code = Invoke.INVOKE_HOST_FUNCTION_RESOURCE_LIMIT_EXCEEDED
            return code, [error_event(_STORAGE, text, used, most)]
    return None


def _too_dear(needed: int, soroban: Soroban, context: SorobanContext) -> _Failure:
    text = "refundable resource fee was not sufficient to cover the rent and events fee"
    event = error_event(_STORAGE, text, needed, _refundable(soroban, context))
    return Invoke.INVOKE_HOST_FUNCTION_INSUFFICIENT_REFUNDABLE_FEE, [event]


def write_changes(
    changes: Changes,
    result: InvocationResult,
    written: Sequence[bytes],
    settings: NetworkSettings,
) -> None:
    """Put the host's changes into the ledger; the whole read-write footprint counts as written.

    A new temporary entry, also a nonce, lives at least for the network's minimum lifetime.
    """
    shortest = changes.sequence + settings.min_temporary_ttl - 1
    by_key = {c.key: c for c in result.changes}
    for key in (*written, *(k for k in by_key if k not in written)):
        change = by_key.get(key)
        if change is None:
            changes.touch(key)
        elif change.after is None:
            if change.before is not None:
                changes.erase(key)
        elif key not in written:
            if change.after.live_until is not None:
                changes.extend(key, change.after.live_until)
        else:
            life = change.after.live_until
            if life is not None and change.before is None and not is_persistent(key):
                life = max(life, shortest)
            changes.put(key, change.after.entry, life)


def _output_size(result: InvocationResult) -> int:
    """Return the bytes of events and return value."""
    value = 0 if result.value is None else len(result.value.to_xdr_bytes())
    return value + sum(len(e.to_xdr_bytes()) for e in result.events)


def _metrics(
    result: InvocationResult, soroban: Soroban, changes: Changes, *, ok: bool
) -> list[bytes]:
    found = ((k, changes.get(k)) for k in soroban.read_write if ok)
    kept = {k: len(r.packed) for k, r in found if r is not None}
    events = [len(e.to_xdr_bytes()) for e in result.events] if ok else []
    keys = [*soroban.read_only, *soroban.read_write]
    on_disk = [k for k in keys if not is_soroban(k) and changes.base.get(k) is not None]
    read = read_bytes(changes.base, on_disk)
    values = {
        "read_entry": len(keys),
        "write_entry": len(kept),
        "ledger_read_byte": read,
        "read_key_byte": sum(len(k) for k in on_disk),
        "read_data_byte": read,
        "ledger_write_byte": sum(kept.values()),
        "write_data_byte": sum(kept.values()),
        "emit_event": len(events),
        "emit_event_byte": _output_size(result) if ok else 0,
        "cpu_insn": used_instructions(result),
        "mem_byte": result.resources.memory_bytes,
        "max_rw_key_byte": max(map(len, kept), default=0),
        "max_rw_data_byte": max(kept.values(), default=0),
        "max_emit_event_byte": max(events, default=0),
    }
    return metric_events(values, successful=ok)


def _success(
    result: InvocationResult, diagnostics: tuple[bytes, ...], refundable: int, rent: int
) -> SorobanOutcome:
    assert result.value is not None  # noqa: S101  (a call that succeeded returned something)
    value = result.value.to_xdr_bytes()
    events = tuple(e.to_xdr_bytes() for e in result.events)
    preimage = value + array(events)
    return SorobanOutcome(
        outcome=op_result(
            xdr.OperationType.INVOKE_HOST_FUNCTION,
            Invoke.INVOKE_HOST_FUNCTION_SUCCESS,
            sha256(preimage).digest(),
        ),
        events=events,
        diagnostics=diagnostics,
        return_value=value,
        refundable=refundable,
        rent=rent,
    )
