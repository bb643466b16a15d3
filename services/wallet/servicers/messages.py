"""Pure mapping between the domain and kalepool.wallet.v1, both ways."""

from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from libs.common.clock import micros_of, moment_of
from libs.common.ids import FarmerId
from libs.kale.amounts import WHOLE, format_percentage, parse_percentage
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import (
    Balances,
    Block,
    ChainHead,
    FailureReason,
    Intent,
    Movement,
    Operation,
    OperationKind,
    OperationState,
    PayoutParts,
    Wallet,
)
from services.wallet.domain.reconciling import Holding

#: Stroops of one base reserve. Every account must keep two, and one per subentry and sponsorship.
#: The network could change it by a vote; it was last changed in 2018.
_BASE_RESERVE = 5_000_000

STATES = {
    wallet_pb2.OperationState.Value(f"OPERATION_STATE_{state.name}"): state
    for state in OperationState
}
KINDS = {
    wallet_pb2.OperationKind.Value(f"OPERATION_KIND_{kind.name}"): kind for kind in OperationKind
}


#: The protos' numbers, looked up once: thousands of operations are reported in a block.
_KIND_NUMBERS = {kind: number for number, kind in KINDS.items()}
_STATE_NUMBERS = {state: number for number, state in STATES.items()}
_REASON_NUMBERS = {
    reason: common_pb2.FailureReason.Value(f"FAILURE_REASON_{reason.name}")
    for reason in FailureReason
}
#: Microseconds until the year 9999.
_LAST_MICROS = 253_370_764_800_000_000


def timestamp(value: datetime) -> Timestamp:
    """Return the protobuf timestamp."""
    seconds, micros = divmod(micros_of(value), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


def reason_number(reason: FailureReason | None) -> common_pb2.FailureReason.ValueType:
    """Return the proto's number of a reason."""
    return common_pb2.FAILURE_REASON_UNSPECIFIED if reason is None else _REASON_NUMBERS[reason]


def wallet_message(wallet: Wallet) -> wallet_pb2.Wallet:
    """Return the message of a farmer's wallet, with its balances as last read."""
    ready = wallet.is_ready
    return wallet_pb2.Wallet(
        wallet_id=str(wallet.id),
        farmer_id=str(wallet.farmer_id or ""),
        pooler_id=str(wallet.pooler_id or ""),
        address=wallet.address,
        status=wallet_pb2.WALLET_STATUS_READY if ready else wallet_pb2.WALLET_STATUS_PENDING,
        balances=balances_message(wallet, wallet.balances),
        created_at=timestamp(wallet.created_at),
        stake_limit=format_percentage(wallet.stake_bps),
    )


def stake_bps(percentage: str) -> int:
    """Return the ten-thousandths of a decimal from 0 to 1; all of them when it is empty."""
    return parse_percentage(percentage) if percentage else WHOLE


def balances_message(wallet: Wallet, balances: Balances) -> wallet_pb2.Balances:
    """Return the message of the balances of a farmer's address."""
    return wallet_pb2.Balances(
        farmer_id=str(wallet.farmer_id or ""),
        address=wallet.address,
        is_funded=balances.is_funded,
        has_trustline=balances.has_trustline,
        xlm_stroops=balances.xlm,
        kale_stroops=balances.kale,
        ledger=balances.ledger,
    )


def operation_message(operation: Operation) -> wallet_pb2.Operation:
    """Return the message of one operation."""
    return wallet_pb2.Operation(
        operation_id=str(operation.id),
        kind=_KIND_NUMBERS[operation.kind],
        farmer_id=str(operation.farmer_id or ""),
        pooler_id=str(operation.pooler_id or ""),
        address=operation.address,
        block_index=operation.block_index,
        state=_STATE_NUMBERS[operation.state],
        # Operations without a block move XLM, or say themselves what they move.
        amount=operation.amount if OPERATION_KINDS[operation.kind].has_block else 0,
        nonce=operation.nonce or 0,
        hash=operation.hash or b"",
        gap=operation.gap or 0,
        transaction_hash=operation.transaction_hash,
        ledger=operation.ledger,
        fee_charged=operation.fee_charged,
        attempts=operation.attempts,
        reason=reason_number(operation.reason),
        error_message=operation.error_message,
        created_at=timestamp(operation.created_at),
        settled_at=None if operation.settled_at is None else timestamp(operation.settled_at),
    )


def movement_message(movement: Movement) -> wallet_pb2.Movement:
    """Return the message of an end, or of a payment that was asked for."""
    return wallet_pb2.Movement(
        operation=operation_message(movement.operation),
        is_request=movement.is_request,
        at_micros=micros_of(movement.at),
        withdrawn_kale=movement.withdrawn_kale,
        payout=None if movement.payout is None else _payout_message(movement.payout),
        pool_payment=None
        if movement.pool_payment is None
        else wallet_pb2.PoolPaymentMovement(**vars(movement.pool_payment)),
    )


def _payout_message(parts: PayoutParts) -> wallet_pb2.PayoutMovement:
    return wallet_pb2.PayoutMovement(
        amount=parts.amount,
        pooler=parts.pooler,
        operator=parts.operator,
        miners=parts.miners,
        destination=parts.destination,
        pooler_account=parts.pooler_account,
    )


def holding_message(holding: Holding) -> wallet_pb2.Holding:
    """Return the message of what an account holds."""
    return wallet_pb2.Holding(
        farmer_id=str(holding.farmer_id),
        pooler_id=str(holding.pooler_id),
        kale=holding.kale,
        ledger=holding.ledger,
    )


def place_after(micros: int) -> datetime:
    """Return the moment to go on after; the last one that counts for a later one."""
    return moment_of(min(micros, _LAST_MICROS))


def block_message(block: Block, head: ChainHead) -> wallet_pb2.Block:
    """Return the message of a block; whether it is the current one depends on the head."""
    return wallet_pb2.Block(
        index=block.index,
        opened_ledger=block.opened_ledger,
        opened_at=timestamp(block.opened_at),
        closes_at=timestamp(block.closes_at),
        is_current=block.index == head.current_block,
        entropy=block.entropy,
        min_gap=block.min_gap,
        max_gap=block.max_gap,
        min_stake=block.min_stake,
        max_stake=block.max_stake,
        min_zeros=block.min_zeros,
        max_zeros=block.max_zeros,
        staked_total=block.staked_total,
        normalized_total=str(block.normalized_total),
        expires_ledger=block.expires_ledger,
    )


def head_message(head: ChainHead) -> wallet_pb2.ChainHead:
    """Return the message of the chain's head."""
    return wallet_pb2.ChainHead(
        ledger=head.ledger,
        close_time=timestamp(head.close_time),
        current_block=head.current_block or 0,
        plantable_block=head.plantable_block,
        paused=head.paused,
    )


def plant_intent(operation: wallet_pb2.PlantOperation) -> Intent:
    """Return the intent of a plant."""
    return Intent(farmer_id=FarmerId(UUID(operation.farmer_id)), amount=operation.stake)


def work_intent(operation: wallet_pb2.WorkOperation) -> Intent:
    """Return the intent of a work."""
    return Intent(
        farmer_id=FarmerId(UUID(operation.farmer_id)), nonce=operation.nonce, hash=operation.hash
    )


def harvest_intent(operation: wallet_pb2.HarvestOperation) -> Intent:
    """Return the intent of a harvest."""
    return Intent(farmer_id=FarmerId(UUID(operation.farmer_id)))


def reserved_stroops(balances: Balances) -> int:
    """Return the stroops of XLM that an account cannot spend; 0 when it does not exist."""
    return (2 + balances.reserves) * _BASE_RESERVE if balances.is_funded else 0
