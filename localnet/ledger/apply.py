"""The application of one transaction: charge, sequence number, operations, refund.

A transaction that was charged and then fails loses its fee and uses up its sequence number. None of
its other changes stays.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stellar_sdk import xdr
from stellar_sdk.xdr import TransactionEventStage as Stage

from localnet.ledger.accounts import Account, load_account, store_account
from localnet.ledger.classic.asset_events import fee_event
from localnet.ledger.classic.context import Context, OperationRefusedError
from localnet.ledger.classic.rules import RULES
from localnet.ledger.fees import non_refundable_fee
from localnet.ledger.keys import account_key, raw_muxed
from localnet.ledger.meta import (
    OperationMeta,
    SorobanMeta,
    entry_changes,
    state_and_updated,
    transaction_event,
    transaction_meta,
)
from localnet.ledger.results import (
    OpCode,
    OperationOutcome,
    TxCode,
    TxOutcome,
    fee_bump_result,
    op_error,
    tx_result,
)
from localnet.ledger.soroban_ops import SorobanContext, apply_soroban
from localnet.ledger.state import Changes, Record
from localnet.ledger.transaction import Transaction
from localnet.ledger.validation import Moment, validate_applied
from localnet.network import Network

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Charged:
    """A transaction whose fee was taken."""

    #: The transaction.
    tx: Transaction
    #: Stroops per operation that inclusion costs in this ledger.
    base_fee: int
    #: Stroops that were taken.
    fee: int
    #: The payer's entry before and after the charge.
    payer: tuple[Record, Record]


@dataclass(frozen=True, kw_only=True)
class Executed:
    """A transaction that ran but did not get its refund yet."""

    #: The transaction and the fee that was taken for it.
    charged: Charged
    #: Outcome of the transaction.
    outcome: TxOutcome
    #: txChangesBefore of the transaction's meta.
    before: bytes
    #: Meta of the operations; empty when the transaction failed.
    operations: tuple[OperationMeta, ...]
    #: Charges and return value of a Soroban transaction.
    soroban: SorobanMeta | None
    #: DiagnosticEvents in XDR.
    diagnostics: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A transaction in a ledger, in the form that clients see."""

    #: Hash of the transaction (the outer hash of a fee bump).
    hash: bytes
    #: Hash of the inner transaction of a fee bump; else None.
    inner_hash: bytes | None
    #: The envelope in XDR.
    envelope: bytes
    #: TransactionResult in XDR.
    result: bytes
    #: TransactionMeta in XDR.
    meta: bytes
    #: True when the transaction succeeded.
    ok: bool
    #: True for a Soroban transaction.
    soroban: bool
    #: Stroops per operation that the transaction paid for inclusion.
    inclusion_fee: int
    #: TransactionEvents in XDR.
    events: tuple[bytes, ...]
    #: ContractEvents in XDR, by operation; empty when the transaction failed.
    contract_events: tuple[tuple[bytes, ...], ...]
    #: DiagnosticEvents in XDR.
    diagnostics: tuple[bytes, ...]
    #: LedgerEntryChanges of the charge.
    fee_changes: bytes
    #: LedgerEntryChanges of the refund.
    refund_changes: bytes


def charge(tx: Transaction, state: Changes, base_fee: int) -> Charged:
    """Take the fee, or all that the payer has, before anything of the ledger is applied."""
    key = account_key(tx.fee_source)
    before, payer = state.get(key), load_account(state, tx.fee_source)
    if before is None or payer is None:
        raise KeyError(tx.fee_source.hex())
    fee = min(tx.fee_at(base_fee), payer.balance)
    store_account(state, replace(payer, balance=payer.balance - fee))
    after = state.get(key)
    assert after is not None  # noqa: S101  (stored above)
    return Charged(tx=tx, base_fee=base_fee, fee=fee, payer=(before, after))


def execute(
    charged: Charged, state: Changes, *, network: Network, context: SorobanContext
) -> Executed:
    """Run a charged transaction."""
    tx = charged.tx
    moment = Moment(
        sequence=context.sequence, close_time=context.close_time, settings=context.settings
    )
    wrong = validate_applied(tx, state, moment)
    before = _use_sequence(tx, state, context, used=wrong is None or _uses_sequence(wrong.code))
    fixed = _fixed_fee(tx, context)
    idle = SorobanMeta(non_refundable=fixed, refundable=0, rent=0, return_value=None)
    soroban = idle if tx.is_soroban else None
    if wrong is not None:
        return Executed(
            charged=charged,
            outcome=wrong,
            before=before,
            operations=(),
            soroban=soroban,
            diagnostics=(),
        )
    try:
        if tx.is_soroban:
            return _execute_soroban(charged, state, context, before, fixed)
        outcome, operations = _execute_classic(tx, state, network, context.close_time)
    except Exception:
        # stellar-core does the same: a defect fails the transaction that shows the defect, never
        # the ledger. The transaction's changes are not committed; its fee is taken, and its
        # sequence number is used.
        _log.exception("transaction %s failed within localnet", tx.hash.hex())
        outcome, operations = TxOutcome(code=TxCode.txINTERNAL_ERROR), ()
    return Executed(
        charged=charged,
        outcome=outcome,
        before=before,
        operations=operations,
        soroban=soroban,
        diagnostics=(),
    )


#: Codes of failures that are found before the sequence number is used.
_BEFORE_SEQUENCE = frozenset(
    {
        TxCode.txMALFORMED,
        TxCode.txSOROBAN_INVALID,
        TxCode.txMISSING_OPERATION,
        TxCode.txTOO_EARLY,
        TxCode.txTOO_LATE,
        TxCode.txNO_ACCOUNT,
        TxCode.txBAD_SEQ,
        TxCode.txBAD_MIN_SEQ_AGE_OR_GAP,
    }
)


def _uses_sequence(code: TxCode) -> bool:
    return code not in _BEFORE_SEQUENCE


def _fixed_fee(tx: Transaction, context: SorobanContext) -> int:
    if tx.soroban is None:
        return 0
    return non_refundable_fee(context.settings, tx.soroban.usage)


def _use_sequence(tx: Transaction, state: Changes, context: SorobanContext, *, used: bool) -> bytes:
    """Use the sequence number and return txChangesBefore.

    txChangesBefore shows the payer of a fee bump unchanged and the source with its new sequence
    number.
    """
    pairs: list[tuple[Record, Record]] = []
    payer = state.get(account_key(tx.fee_source))
    if tx.fee_bump and payer is not None:
        pairs.append((payer, payer))
    key = account_key(tx.source)
    before, source = state.get(key), load_account(state, tx.source)
    if used and before is not None and source is not None:
        moment = (context.sequence, context.close_time)
        store_account(state, replace(source, seq_num=tx.sequence, sequence_used=moment))
        after = state.get(key)
        assert after is not None  # noqa: S101  (stored above)
        pairs.append((before, after))
    return state_and_updated(pairs)


def _execute_soroban(
    charged: Charged, state: Changes, context: SorobanContext, before: bytes, fixed: int
) -> Executed:
    changes = Changes(state, context.sequence)
    done = apply_soroban(charged.tx, changes, context)
    meta = SorobanMeta(
        non_refundable=fixed,
        refundable=done.refundable,
        rent=done.rent,
        return_value=done.return_value,
    )
    operations: tuple[OperationMeta, ...] = ()
    if done.outcome.ok:
        operations = (OperationMeta(changes=entry_changes(changes), events=done.events),)
        changes.commit_to(state)
    code = TxCode.txSUCCESS if done.outcome.ok else TxCode.txFAILED
    return Executed(
        charged=charged,
        outcome=TxOutcome(code=code, operations=(done.outcome,)),
        before=before,
        operations=operations,
        soroban=meta,
        diagnostics=done.diagnostics,
    )


def _execute_classic(
    tx: Transaction, state: Changes, network: Network, close_time: int
) -> tuple[TxOutcome, tuple[OperationMeta, ...]]:
    """Run all operations, also after one failed; keep their changes only when all succeeded."""
    changes = Changes(state, state.sequence)
    sponsorships: dict[bytes, bytes] = {}
    results, metas = [], []
    for operation in tx.operations:
        step = Changes(changes, state.sequence)
        context = Context(
            network=network,
            state=step,
            source=tx.source
            if operation.source_account is None
            else raw_muxed(operation.source_account),
            sequence=state.sequence,
            close_time=close_time,
            sponsorships=sponsorships,
        )
        result = _apply_operation(context, operation.body)
        results.append(result)
        if result.ok:
            metas.append(OperationMeta(changes=entry_changes(step), events=tuple(context.events)))
            step.commit_to(changes)
    if not all(r.ok for r in results):
        return TxOutcome(code=TxCode.txFAILED, operations=tuple(results)), ()
    if sponsorships:
        return TxOutcome(code=TxCode.txBAD_SPONSORSHIP), ()
    changes.commit_to(state)
    return TxOutcome(code=TxCode.txSUCCESS, operations=tuple(results)), tuple(metas)


def _apply_operation(context: Context, body: xdr.OperationBody) -> OperationOutcome:
    rule = RULES.get(body.type)
    if rule is None:
        return op_error(OpCode.opNOT_SUPPORTED)
    try:
        _ = context.account
        return rule.apply(context, body)
    except OperationRefusedError as refusal:
        return refusal.outcome


def finish(executed: Executed, state: Changes, network: Network) -> Applied:
    """Refund the unused part of the fee, after all transactions of the ledger ran."""
    charged, tx = executed.charged, executed.charged.tx
    refund = 0
    if executed.soroban is not None:
        spent = executed.soroban.non_refundable + executed.soroban.refundable
        refund = max(0, tx.resource_fee - spent)
    refund_changes = _refund(tx, state, refund)
    events = _fee_events(tx, network, charged.fee, refund)
    return Applied(
        hash=tx.hash,
        inner_hash=tx.inner.hash if tx.fee_bump else None,
        envelope=tx.envelope,
        result=_result(executed, charged.fee - refund),
        meta=transaction_meta(
            before=executed.before,
            operations=executed.operations,
            soroban=executed.soroban,
            events=events,
            diagnostics=executed.diagnostics,
        ),
        ok=executed.outcome.ok,
        soroban=tx.is_soroban,
        inclusion_fee=(charged.fee - tx.resource_fee) // max(1, tx.fee_operations),
        events=tuple(events),
        contract_events=tuple(o.events for o in executed.operations),
        diagnostics=executed.diagnostics,
        fee_changes=state_and_updated([charged.payer]),
        refund_changes=refund_changes,
    )


def _refund(tx: Transaction, state: Changes, amount: int) -> bytes:
    key = account_key(tx.fee_source)
    before, payer = state.get(key), load_account(state, tx.fee_source)
    if amount == 0 or before is None or payer is None:
        return state_and_updated([])
    refunded: Account = replace(payer, balance=payer.balance + amount)
    store_account(state, refunded)
    after = state.get(key)
    assert after is not None  # noqa: S101  (stored above)
    return state_and_updated([(before, after)])


def _fee_events(tx: Transaction, network: Network, fee: int, refund: int) -> Sequence[bytes]:
    taken = fee_event(network.native_token, tx.fee_source, fee)
    events = [transaction_event(Stage.TRANSACTION_EVENT_STAGE_BEFORE_ALL_TXS, taken)]
    if refund:
        given = fee_event(network.native_token, tx.fee_source, -refund)
        events.append(transaction_event(Stage.TRANSACTION_EVENT_STAGE_AFTER_ALL_TXS, given))
    return events


def _result(executed: Executed, fee: int) -> bytes:
    tx, outcome = executed.charged.tx, executed.outcome
    if not tx.fee_bump:
        return tx_result(fee, outcome)
    # The inner result tells the fee that the inner transaction would have paid without the fee
    # bump.
    inner_fee = fee - executed.charged.base_fee
    return fee_bump_result(fee, outcome, inner_hash=tx.inner.hash, inner_fee=inner_fee)
