"""The validity of transactions, checked on sending and again on application."""

from collections.abc import Callable
from dataclasses import dataclass

from stellar_sdk import xdr

from localnet.ledger.accounts import Account, load_account
from localnet.ledger.classic.rules import RULES
from localnet.ledger.diagnostics import error_event
from localnet.ledger.fees import non_refundable_fee
from localnet.ledger.keys import is_soroban, raw_muxed
from localnet.ledger.results import OpCode, OperationOutcome, TxCode, TxOutcome, op_error, op_result
from localnet.ledger.settings import BASE_FEE, NetworkSettings, Usage
from localnet.ledger.signatures import SignatureChecker, Threshold
from localnet.ledger.state import Readable
from localnet.ledger.transaction import Soroban, Transaction
from localnet.soroban.deploy import is_supported


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The ledger for which a transaction is judged."""

    #: Sequence of the ledger.
    sequence: int
    #: Close time of the ledger (for a transaction that is sent: the close time of the last ledger).
    close_time: int
    #: The network's limits and fees.
    settings: NetworkSettings


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The reason why a transaction is not valid."""

    #: Outcome of the inner (or only) transaction.
    outcome: TxOutcome
    #: True when the fault is in a fee bump's own part, not in its inner transaction.
    outer: bool = False
    #: The fee in the result: the fee that the transaction would pay, or would have to pay.
    fee: int = 0
    #: Diagnostic events in XDR that explain the fault.
    diagnostics: tuple[bytes, ...] = ()


def minimum_fee(tx: Transaction) -> int:
    """Return the transaction's fee in stroops with the lowest inclusion fee that is allowed."""
    return tx.resource_fee + BASE_FEE * tx.fee_operations


def malformed(tx: Transaction) -> TxCode | None:
    """Return the fault in the transaction's form, or None; this is the first of all checks."""
    if not tx.operations:
        return TxCode.txMISSING_OPERATION
    if not tx.is_soroban:
        return TxCode.txMALFORMED if tx.soroban is not None else None
    if tx.soroban is None or len(tx.operations) != 1:
        return TxCode.txMALFORMED
    fee = min(tx.fee, tx.inner_fee)
    return TxCode.txMALFORMED if not 0 <= tx.resource_fee <= fee else None


_RESOURCE_NAMES = {
    "instructions": "instructions",
    "tx_bytes": "size",
    "disk_reads": "disk read entries",
    "disk_read_bytes": "disk read bytes",
    "write_entries": "write entries",
    "write_bytes": "write bytes",
}


def soroban_invalid(soroban: Soroban, settings: NetworkSettings) -> bytes | None:
    """Return the diagnostic event that names the wrong declared resource, or None."""
    storage = xdr.SCErrorType.SCE_STORAGE
    for field, name in _RESOURCE_NAMES.items():
        declared, limit = getattr(soroban.usage, field), getattr(settings.tx_limit, field)
        if declared > limit:
            text = f"transaction {name} resources exceed network config limit"
            return error_event(storage, text, declared, limit)
    keys = soroban.read_only + soroban.read_write
    if len(keys) > settings.tx_footprint:
        text = "transaction footprint entries exceed network config limit"
        return error_event(storage, text, len(keys), settings.tx_footprint)
    if len(set(keys)) != len(keys):
        invalid = xdr.SCErrorCode.SCEC_INVALID_INPUT
        text = "transaction footprint has repeated entries"
        return error_event(storage, text, code=invalid)
    needed = non_refundable_fee(settings, soroban.usage)
    if soroban.resource_fee < needed:
        text = "transaction `sorobanData.resourceFee` is lower than the actual Soroban resource fee"
        return error_event(storage, text, soroban.resource_fee, needed)
    return None


def _bounds(tx: Transaction, moment: Moment) -> TxCode | None:
    earliest, latest = tx.time_bounds
    first, last = tx.ledger_bounds
    if earliest > moment.close_time or first > moment.sequence:
        return TxCode.txTOO_EARLY
    if (latest and latest < moment.close_time) or (last and last <= moment.sequence):
        return TxCode.txTOO_LATE
    return None


def _sequence(tx: Transaction, source: Account, moment: Moment) -> TxCode | None:
    v2 = tx.conditions.v2
    if v2 is None:
        return None if tx.sequence == source.seq_num + 1 else TxCode.txBAD_SEQ
    lowest = source.seq_num if v2.min_seq_num is None else v2.min_seq_num.sequence_number.int64
    exact = v2.min_seq_num is not None or tx.sequence == source.seq_num + 1
    if not exact or not lowest <= source.seq_num < tx.sequence:
        return TxCode.txBAD_SEQ
    used_ledger, used_time = source.sequence_used or (0, 0)
    young = moment.close_time - used_time < v2.min_seq_age.duration.uint64
    if young or moment.sequence - used_ledger < v2.min_seq_ledger_gap.uint32:
        return TxCode.txBAD_MIN_SEQ_AGE_OR_GAP
    return None


def _check_operation(
    operation: xdr.Operation,
    tx: Transaction,
    state: Readable,
    checker: SignatureChecker,
    settings: NetworkSettings,
) -> OperationOutcome | None:
    """Return the fault of an operation before it is applied (signature, kind or body), or None."""
    own = operation.source_account
    raw = tx.source if own is None else raw_muxed(own)
    rule, body = RULES.get(operation.body.type), operation.body
    if rule is None and not tx.is_soroban:
        return op_error(OpCode.opNOT_SUPPORTED)
    threshold = rule.threshold(body) if rule else _soroban_threshold(body)
    account = load_account(state, raw)
    if account is None:
        if own is None:
            return op_error(OpCode.opNO_ACCOUNT)
        signed = checker.master_only(raw)
    else:
        signed = checker.account(account, threshold)
    if not signed:
        return op_error(OpCode.opBAD_AUTH)
    return rule.check(body, raw) if rule else check_soroban_body(body, tx, settings)


def _soroban_threshold(body: xdr.OperationBody) -> Threshold:
    invoke = body.type is xdr.OperationType.INVOKE_HOST_FUNCTION
    return Threshold.MEDIUM if invoke else Threshold.LOW


def check_soroban_body(
    body: xdr.OperationBody, tx: Transaction, settings: NetworkSettings
) -> OperationOutcome | None:
    """Check the rules of the three Soroban operations that need no state."""
    assert tx.soroban is not None  # noqa: S101  (a Soroban transaction without is malformed)
    invoke = body.invoke_host_function_op
    if invoke is not None:
        supported = is_supported(invoke.host_function)
        return None if supported else op_error(OpCode.opNOT_SUPPORTED)
    keys = tx.soroban.read_only + tx.soroban.read_write
    extend = body.type is xdr.OperationType.EXTEND_FOOTPRINT_TTL
    other = tx.soroban.read_write if extend else tx.soroban.read_only
    longest = body.extend_footprint_ttl_op
    too_long = longest is not None and longest.extend_to.uint32 >= settings.max_entry_ttl
    if other or too_long or not all(is_soroban(k) for k in keys):
        code = (
            xdr.ExtendFootprintTTLResultCode.EXTEND_FOOTPRINT_TTL_MALFORMED
            if extend
            else xdr.RestoreFootprintResultCode.RESTORE_FOOTPRINT_MALFORMED
        )
        return op_result(body.type, code)
    return None


def check_operations(
    tx: Transaction, state: Readable, checker: SignatureChecker, settings: NetworkSettings
) -> TxOutcome | None:
    """Return txFAILED with a result per operation when one of them cannot be applied."""
    results = [_check_operation(o, tx, state, checker, settings) for o in tx.operations]
    if all(r is None for r in results):
        return None if checker.all_used() else TxOutcome(code=TxCode.txBAD_AUTH_EXTRA)
    # Operations without a fault get the zeroed success result of their kind.
    filled = tuple(
        r or op_result(o.body.type, OpCode.opINNER)
        for r, o in zip(results, tx.operations, strict=True)
    )
    return TxOutcome(code=TxCode.txFAILED, operations=filled)


def _check_inner(
    tx: Transaction, state: Readable, moment: Moment, early: Callable[[], TxCode | None]
) -> TxOutcome | None:
    """Check the rules that hold for plain and for inner transactions alike."""
    code = _bounds(tx, moment) or early()
    if code is not None:
        return TxOutcome(code=code)
    source = load_account(state, tx.source)
    if source is None:
        return TxOutcome(code=TxCode.txNO_ACCOUNT)
    code = _sequence(tx, source, moment)
    if code is not None:
        return TxOutcome(code=code)
    checker = SignatureChecker(tx.inner)
    extra = tx.conditions.v2.extra_signers if tx.conditions.v2 else []
    if not checker.account(source, Threshold.LOW) or not all(
        checker.extra_signer(s) for s in extra
    ):
        return TxOutcome(code=TxCode.txBAD_AUTH)
    return check_operations(tx, state, checker, moment.settings)


def _fee_too_low(tx: Transaction) -> int | None:
    """Return the lowest sufficient fee when the offered fee is too low, else None."""
    if tx.inclusion_fee < BASE_FEE * tx.fee_operations:
        return minimum_fee(tx)
    inner = tx.inner_fee - tx.resource_fee
    if tx.fee_bump and tx.inclusion_fee * len(tx.operations) < inner * tx.fee_operations:
        return tx.resource_fee - (-inner * tx.fee_operations // len(tx.operations))
    return None


def _check_payer(tx: Transaction, state: Readable) -> TxCode | None:
    """Check the fee bump's own rules: its account and its signatures."""
    if tx.outer is None:
        return None
    payer = load_account(state, tx.fee_source)
    if payer is None:
        return TxCode.txNO_ACCOUNT
    checker = SignatureChecker(tx.outer)
    if not checker.account(payer, Threshold.LOW):
        return TxCode.txBAD_AUTH
    return None if checker.all_used() else TxCode.txBAD_AUTH_EXTRA


def _affordable(tx: Transaction, state: Readable, committed: int) -> bool:
    """Tell whether the payer has the whole fee beside the fees of its pending transactions."""
    payer = load_account(state, tx.fee_source)
    return payer is None or payer.available - committed >= tx.fee


def _structure(tx: Transaction, moment: Moment) -> Verdict | None:
    code = malformed(tx)
    if code is not None:
        return Verdict(outcome=TxOutcome(code=code))
    event = soroban_invalid(tx.soroban, moment.settings) if tx.soroban else None
    if event is not None:
        outcome = TxOutcome(code=TxCode.txSOROBAN_INVALID)
        return Verdict(outcome=outcome, fee=minimum_fee(tx), diagnostics=(event,))
    return None


def validate_sent(
    tx: Transaction, state: Readable, moment: Moment, *, committed: int
) -> Verdict | None:
    """Judge a transaction that is sent; return None when the transaction is valid.

    `committed` is the sum of the fees that its payer offers in other pending transactions.
    """
    wrong = _structure(tx, moment)
    if wrong is not None:
        return wrong
    fee, needed = minimum_fee(tx), _fee_too_low(tx)

    def outer(code: TxCode, amount: int = fee) -> Verdict:
        return Verdict(outcome=TxOutcome(code=code), outer=True, fee=amount)

    if tx.fee_bump and needed is not None:
        return outer(TxCode.txINSUFFICIENT_FEE, needed)
    code = _check_payer(tx, state)
    if code is not None:
        return outer(code)
    early = None if tx.fee_bump or needed is None else TxCode.txINSUFFICIENT_FEE
    outcome = _check_inner(tx, state, moment, lambda: early)
    if outcome is not None:
        return Verdict(outcome=outcome, fee=fee)
    if not _affordable(tx, state, committed):
        return outer(TxCode.txINSUFFICIENT_BALANCE)
    return None


def validate_applied(tx: Transaction, state: Readable, moment: Moment) -> TxOutcome | None:
    """Judge a transaction whose fee is already charged; return None when it may run."""
    wrong = _structure(tx, moment)
    if wrong is not None:
        return wrong.outcome
    code = _check_payer(tx, state)
    if code is not None:
        return TxOutcome(code=code)
    return _check_inner(tx, state, moment, lambda: None)


def exceeds_ledger(usage: Usage, settings: NetworkSettings) -> bool:
    """Tell whether the usage exceeds the limits of any ledger."""
    return not usage.fits(settings.ledger_limit)
